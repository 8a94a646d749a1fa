// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// A browser that does not answer in time is replaced, whatever became of the job that met it.
#include <doctest/doctest.h>

#include "browser_fixture.hpp"
#include "support/places.hpp"

using namespace extract_test;

namespace {

/// The browser that stands in for Chromium; what it does not answer is in the address of the page.
struct StandIn {
    explicit StandIn(const std::string& mute = {}, bool visible = false) {
        auto options = browser_options(folder);
        options.program = jobruntime::tests::source("tests/unit/extract/standin_browser.py");
        if (!mute.empty()) options.extra_args.push_back("--mute=" + mute);
        options.headless = !visible;
        options.environment.emplace_back("DISPLAY=:4711");  // It opens no window.
        browser.emplace(std::move(options));
    }
    /// The error's name; empty when a video was found.
    std::string visit(const std::string& what, std::chrono::milliseconds timeout,
                      std::chrono::milliseconds nav_timeout = 15s) {
        REQUIRE(browser->start());  // Else that would take the job's time.
        jx::ExtractOptions looking;
        looking.settle = 0ms;  // The first look is the last one.
        looking.nav_timeout = nav_timeout;
        looking.manual_solve_timeout = 100ms;
        auto asked = request("http://127.0.0.1/" + what);
        asked.timeout = timeout;
        const auto info = jx::BrowserExtractor(*browser, looking).extract(asked, {});
        return info ? "" : info.error().name;
    }
    /// Whether whoever comes next has a new browser.
    bool replaced() {
        const int before = browser->status().launches;
        REQUIRE(browser->start());
        return browser->status().launches == before + 1;
    }
    TempFolder folder;
    std::optional<jx::Browser> browser;
};

}  // namespace

TEST_CASE("a browser that answers stays, also after pages that want a log-in") {
    StandIn web;
    CHECK(web.visit("page", 20s).empty());
    CHECK(web.visit("wall", 20s) == "AUTH_REQUIRED");
    CHECK_FALSE(web.replaced());
}

TEST_CASE("of two targets in a row that never ask for their page, the browser is called broken") {
    StandIn web;
    // Each waits for its page until the navigation's time is over, and the job is tried in a second one.
    CHECK(web.visit("deaf", 20s, 200ms) == "EXTRACTION_TIMEOUT");
    CHECK(web.replaced());
    // The job's own time may be over first: then the second target is the next job's.
    CHECK(web.visit("deaf", 2s) == "EXTRACTION_TIMEOUT");
    CHECK_FALSE(web.replaced());
    CHECK(web.visit("page", 20s).empty());
    CHECK(web.visit("deaf", 2s) == "EXTRACTION_TIMEOUT");
    CHECK_FALSE(web.replaced());  // Not in a row.
    CHECK(web.visit("deaf", 2s) == "EXTRACTION_TIMEOUT");
    CHECK(web.replaced());
}

TEST_CASE("a page that does not answer a look costs the browser, be it with a video, a verdict or a person waiting") {
    {
        StandIn web;
        CHECK(web.visit("hung", 2500ms).empty());
        CHECK(web.replaced());
        CHECK(web.visit("hung-wall", 2500ms) == "AUTH_REQUIRED");
        CHECK(web.replaced());
    }
    StandIn window({}, true);
    CHECK(window.visit("wall", 20s) == "AUTH_REQUIRED");
    CHECK_FALSE(window.replaced());
    CHECK(window.visit("stuck-wall", 2800ms) == "AUTH_REQUIRED");
    CHECK(window.replaced());
}

TEST_CASE("a request without an answer at the end of the job's time costs the browser") {
    for (const std::string method : {"Target.attachToTarget", "Page.enable", "Network.getCookies"}) {
        CAPTURE(method);
        StandIn web(method);
        const auto found = web.visit("page", 2500ms);
        CHECK(found == (method == "Network.getCookies" ? "" : "EXTRACTION_TIMEOUT"));
        CHECK(web.replaced());
    }
}
