// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <set>

#include "api_fixture.hpp"
#include "core/etag.hpp"

using namespace api_test;

TEST_CASE("a job and a list, of events and queues too, are 304 while nothing changed, and are sent again once something did") {
    Api api;
    const auto id = api.create();
    for (const auto& target : {"/api/jobs/" + id, std::string("/api/jobs?limit=3"), std::string("/api/telemetry?limit=3"), std::string("/api/queues")}) {
        CAPTURE(target);
        const auto first = api.get(target);
        REQUIRE(first.status == 200);
        const auto tag = first.header("etag");
        CHECK(tag.starts_with("W/\""));
        // Events are no browser's to keep beyond the log-out.
        CHECK(first.header("cache-control") == (target.starts_with("/api/telemetry") ? "no-store" : "private, no-cache"));
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
    const auto events = api.get("/api/telemetry").header("etag"), queues = api.get("/api/queues").header("etag");
    const auto before = api.get("/api/jobs/" + id).header("etag");
    REQUIRE(api.post("/api/jobs/" + id + "/cancel").status == 200);
    const auto after = api.call("GET", "/api/jobs/" + id, "", {{"if-none-match", before}});
    CHECK(after.status == 200);
    CHECK(after.header("etag") != before);
    CHECK(api.call("GET", "/api/telemetry", "", {{"if-none-match", events}}).status == 200);
    CHECK(api.call("GET", "/api/queues", "", {{"if-none-match", queues}}).status == 200);
    CHECK(api.get("/api/telemetry/stream").header("etag").empty());
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

TEST_CASE("a list is given again while the store has not changed, for a moment, and never to whoever may not see it") {
    Api api;
    int lists = 0;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb == "list") ++lists;
        return std::nullopt;
    };
    api.create();
    const auto asked = [&](std::string target) {
        lists = 0;
        const auto answer = api.get(std::move(target));
        REQUIRE(answer.status == 200);
        return answer;
    };
    asked("/api/jobs");
    asked("/api/jobs");
    CHECK_MESSAGE(lists == 1, "a store that cannot tell is asked each time");

    api.store.changes = 7;
    const auto first = asked("/api/jobs");
    CHECK(lists == 1);
    const auto again = asked("/api/jobs");
    CHECK(lists == 0);
    CHECK(again.body == first.body);
    CHECK(again.header("etag") == first.header("etag"));
    CHECK(again.header("x-trace-id") != first.header("x-trace-id"));
    CHECK(api.call("GET", "/api/jobs", "", {{"if-none-match", first.header("etag")}}).status == 304);
    CHECK(lists == 0);
    asked("/api/jobs?limit=1");
    CHECK_MESSAGE(lists == 1, "another question");
    CHECK(api.call("GET", "/api/jobs", "", {{"host", "evil.example"}}).status == 421);

    api.create();
    api.store.changes = 8;
    CHECK(asked("/api/jobs").body.at("jobs").as_array().size() == 2);
    CHECK(lists == 1);

    api.clock.advance(Duration{249});
    asked("/api/jobs");
    CHECK(lists == 0);
    api.clock.advance(Duration{1});
    asked("/api/jobs");
    CHECK_MESSAGE(lists == 1, "what waiting jobs wait for depends on the time");

    for (int i = 1; i <= 20; ++i) asked("/api/jobs?limit=" + std::to_string(i));
    asked("/api/jobs?limit=1");
    CHECK_MESSAGE(lists == 1, "few are kept");
}

TEST_CASE("what went wrong is not kept") {
    Api api;
    api.store.changes = 7;
    api.store.before = [](std::string_view) { return std::optional<Error>(Error{Errc::unavailable, "away"}); };
    CHECK(api.get("/api/jobs").status == 503);
    api.store.before = {};
    CHECK(api.get("/api/jobs").status == 200);
}
