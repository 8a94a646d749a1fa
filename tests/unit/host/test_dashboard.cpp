// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <regex>

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

}  // namespace

TEST_CASE("the dashboard's page has nothing inline, and all that it names is there") {
    Page page;
    const auto answer = page.get("/");
    REQUIRE(answer.status == 200);
    CHECK(header(answer, "content-type") == "text/html; charset=utf-8");
    CHECK(header(answer, "cache-control") == "no-cache");
    CHECK(header(answer, "content-security-policy").starts_with("default-src 'none'; script-src 'self';"));
    const auto html = text(answer);
    CHECK_FALSE(std::regex_search(html, std::regex("<script[^>]*>[^<]|<style|style=|\\son[a-z]+=")));
    int named = 0;
    const std::regex part("(?:src|href)=\"\\./([^\"]+)\"");
    for (auto found = std::sregex_iterator(html.begin(), html.end(), part); found != std::sregex_iterator(); ++found, ++named) {
        const auto path = (*found)[1].str();
        CAPTURE(path);
        const auto asset = page.get("/" + path);
        CHECK(asset.status == 200);
        CHECK(header(asset, "cache-control") == "public, max-age=31536000, immutable");
        CHECK(header(asset, "content-encoding") == "gzip");
        CHECK(text(asset).starts_with("\x1f\x8b"));
    }
    CHECK(named == 3);  // Script, style, icon.
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
