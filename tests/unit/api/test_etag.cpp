// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <set>

#include "api_fixture.hpp"
#include "core/etag.hpp"

using namespace api_test;

TEST_CASE("a job and a list are 304 while nothing changed, and are sent again once something did") {
    Api api;
    const auto id = api.create();
    for (const auto& target : {"/api/jobs/" + id, std::string("/api/jobs?limit=3")}) {
        CAPTURE(target);
        const auto first = api.get(target);
        REQUIRE(first.status == 200);
        const auto tag = first.header("etag");
        CHECK(tag.starts_with("W/\""));
        CHECK(first.header("cache-control") == "private, no-cache");
        for (const auto& known : {tag, tag.substr(2), "\"other\", " + tag, std::string("*")}) {
            CAPTURE(known);
            const auto same = api.call("GET", target, "", {{"if-none-match", known}});
            CHECK(same.status == 304);
            CHECK(same.body.empty());
            CHECK(same.header("etag") == tag);
            CHECK_FALSE(same.header("x-trace-id").empty());
        }
        CHECK(api.call("HEAD", target, "", {{"if-none-match", tag}}).status == 304);
        CHECK(api.call("GET", target, "", {{"if-none-match", "\"other\""}}).status == 200);
    }
    const auto before = api.get("/api/jobs/" + id).header("etag");
    REQUIRE(api.post("/api/jobs/" + id + "/cancel").status == 200);
    const auto after = api.call("GET", "/api/jobs/" + id, "", {{"if-none-match", before}});
    CHECK(after.status == 200);
    CHECK(after.header("etag") != before);
    // Nothing else has one: a change's answer, an error, health with its time.
    CHECK(api.get("/api/jobs/" + id + "0").header("etag").empty());
    CHECK(api.post("/api/jobs", R"({"kind":"demo.echo"})").header("etag").empty());
    CHECK(api.get("/api/health").header("etag").empty());
}

TEST_CASE("tags of texts that differ by a little differ") {
    std::set<std::string> tags;
    std::string text(1000, 'a');
    std::size_t texts = 0;
    for (std::size_t i = 0; i < text.size(); ++i)
        for (const char c : {'b', 'A', '\0', '\x80'}) {
            const char was = std::exchange(text[i], c);
            tags.insert(core::tag_of(text));
            text[i] = was;
            ++texts;
        }
    for (std::size_t size = 0; size < 100; ++size, ++texts) tags.insert(core::tag_of(std::string(size, '\0')));
    CHECK(tags.size() == texts);
}
