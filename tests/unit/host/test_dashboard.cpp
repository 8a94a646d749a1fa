// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <jobruntime/memory.hpp>

#include "host/src/dashboard.hpp"

using namespace jobruntime;
using namespace jobruntime::host;

namespace {

struct Page {
    explicit Page(ApiOptions options = {}) : store(memory::open()), queue(*store), router(queue, std::move(options)) {
        add_dashboard(router);
    }
    Response get(const std::string& target, std::vector<std::pair<std::string, std::string>> headers = {}) {
        headers.emplace_back("host", "127.0.0.1:4000");
        return router.handle({"GET", target, std::move(headers), "", ""});
    }
    std::unique_ptr<Store> store;
    JobQueue queue;
    ApiRouter router;
};

std::string header(const Response& response, std::string_view name) {
    for (const auto& [key, value] : response.headers)
        if (key == name) return value;
    return {};
}

std::string text(const Response& response) { return std::get<std::string>(response.body); }

/// What stands in the text between `before` and the next `after`, each time.
std::vector<std::string> between(std::string_view text, std::string_view before, std::string_view after) {
    std::vector<std::string> found;
    for (auto at = text.find(before); at != std::string_view::npos; at = text.find(before, at + 1)) {
        const auto begin = at + before.size();
        found.emplace_back(text.substr(begin, text.find(after, begin) - begin));
    }
    return found;
}

}  // namespace

TEST_CASE("the dashboard's page has nothing inline, and all that it names is there") {
    Page page;
    const auto answer = page.get("/");
    REQUIRE(answer.status == 200);
    CHECK(header(answer, "content-type") == "text/html; charset=utf-8");
    CHECK(header(answer, "cache-control") == "no-cache");
    CHECK(header(answer, "content-security-policy").starts_with("default-src 'none'; script-src 'self';"));
    const auto html = text(answer);
    for (const auto& script : between(html, "<script", "</script")) CHECK(script.ends_with(">"));
    for (const auto* inlined : {"<style", "style=", " onload=", " onerror=", " onclick=", "javascript:"}) {
        CAPTURE(inlined);
        CHECK(html.find(inlined) == std::string::npos);
    }
    auto named = between(html, "src=\"./", "\"");
    for (auto& path : between(html, "href=\"./", "\"")) named.push_back(std::move(path));
    CHECK(named.size() == 3);  // Script, style, icon.
    for (const auto& path : named) {
        CAPTURE(path);
        const auto asset = page.get("/" + path);
        CHECK(asset.status == 200);
        CHECK(header(asset, "cache-control") == "public, max-age=31536000, immutable");
        CHECK(header(asset, "content-encoding") == "gzip");
        CHECK(text(asset).starts_with("\x1f\x8b"));
    }
}

TEST_CASE("what has not changed is not sent again") {
    Page page;
    for (const auto& file : dashboard_files()) {
        CAPTURE(file.path);
        const auto target = file.path == "index.html" ? "/" : "/" + std::string(file.path);
        CHECK(text(page.get(target)) == file.bytes);
        const auto again = page.get(target, {{"if-none-match", "\"other\", " + std::string(file.etag)}});
        CHECK(again.status == 304);
        CHECK(text(again).empty());
        CHECK(page.get(target, {{"if-none-match", "\"other\""}}).status == 200);
    }
    CHECK(page.get("/assets/none.js").status == 404);
    CHECK(page.get("/index.html").status == 404);
}

TEST_CASE("with tokens the page is for those who may read, and a browser is sent to the log-in") {
    ApiOptions options;
    options.authenticate = [](std::string_view token) -> std::optional<Caller> {
        if (token != "good") return std::nullopt;
        return Caller{"1", "ada", Role::read};
    };
    Page page(std::move(options));
    CHECK(page.get("/").status == 401);
    const auto visit = page.get("/", {{"sec-fetch-mode", "navigate"}});
    CHECK(visit.status == 303);
    CHECK(header(visit, "location") == "login");
    CHECK(page.get("/", {{"cookie", "jobrt_token=good"}}).status == 200);
    CHECK(page.get("/assets/third-party.txt").status == 200);
}
