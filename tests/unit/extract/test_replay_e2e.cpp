// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Real Chromium, a page that it took down, and the same page once more with no network at all.
#include <doctest/doctest.h>

#include <boost/json.hpp>

#include "browser_fixture.hpp"
#include "canary.hpp"

using namespace extract_test;
using jobruntime::MediaInfo;
using jobruntime::Result;

namespace {

/// A site whose video comes by a redirect, a script, a frame and an interface that wants a token.
struct Site {
    Site() {
        server.add("/go", [](auto&, auto&) {
            return Reply{
                .status = 302,
                .headers = {"Location: /watch?token=query-secret-1", "Set-Cookie: session=cookie-secret-1"}};
        });
        server.add("/watch", [this](auto&, auto&) {
            return Reply{
                .body =
                    "<title>A film</title><meta name=author content=Ada><script src=/play.js></script>"
                    "<div data-session=cookie-secret-1></div><img src='http://" +
                    canary.v4("/img") + "'>"};
        });
        server.file(
            "/play.js", "text/javascript",
            "new WebSocket('ws://" + canary.v4("/socket") +
                "');"
                "fetch('/api?access_token=api-secret-1').then(r => r.json()).then(j => {"
                "const f = document.createElement('iframe'); f.src = j.frame; document.body.append(f); });");
        server.file("/api", "application/json", R"({"frame":"/frame.html"})");
        server.page("/frame.html", "<video src=/clip.mp4 muted autoplay></video>");
        server.file("/clip.mp4", "video/mp4", clip());
    }
    int hits() const {
        int all = 0;
        for (const char* path : {"/go", "/watch", "/play.js", "/api", "/frame.html", "/clip.mp4"})
            all += server.hits(path);
        return all;
    }
    Canary canary;
    PageServer server;
};

Result<MediaInfo> look(const std::string& url, jx::Recording* recording) {
    const TempFolder folder;
    auto options = browser_options(folder);
    options.offline = recording->replays();
    jx::Browser browser(options);
    auto looking = extract_options();
    looking.settle = 2s;
    looking.recording = recording;
    return jx::BrowserExtractor(browser, looking).extract(request(url), {});
}

std::string in_json(const Result<MediaInfo>& info) {
    if (!info) return info.error().name + ": " + info.error().message;
    return boost::json::serialize(to_json(*info));
}

void replace_all(std::string& text, const std::string& what, const std::string& with) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
        text.replace(at, what.size(), with);
}

}  // namespace

TEST_CASE("what a browser saw it sees again without any network, scripts and frames and all") {
    REQUIRE_MESSAGE(!clip().empty(), "ffmpeg made no clip");
    Site site;
    const TempFolder folder;
    const auto url = site.server.url("/go");
    jx::Recording taken;
    const auto live = look(url, &taken);
    REQUIRE_MESSAGE(live.has_value(), live.error().message);
    REQUIRE(live->cookies.size() == 1);
    CHECK(live->cookies[0].value == "cookie-secret-1");
    CHECK(live->sources[0].width == 320);
    CHECK(site.canary.connections() > 0);  // The control: a page can reach it, from a browser that may.
    const auto kept =
        taken.save(folder / "case",
                   {.url = url, .platform = "web", .post_id = {}, .extractor = "browser", .answer = {}});
    REQUIRE_MESSAGE(kept.has_value(), kept.error().message);
    std::string text;
    for (const auto& entry : std::filesystem::directory_iterator(folder / "case"))
        text += read_file(entry.path());
    for (const char* secret : {"query-secret-1", "cookie-secret-1", "api-secret-1"})
        CHECK(text.find(secret) == std::string::npos);

    auto recording = jx::Recording::open(folder / "case");
    REQUIRE_MESSAGE(recording.has_value(), recording.error().message);
    const auto hits = site.hits();
    const auto reached = site.canary.connections();
    const auto replayed = look(url, &*recording);
    CHECK(site.hits() == hits);
    CHECK(site.canary.connections() == reached);
    CHECK(site.canary.datagrams() == 0);
    auto expected = in_json(live);
    // The page's own address has the token in its query.
    const auto at = in_json(replayed).find("redacted-");
    REQUIRE_MESSAGE(at != std::string::npos, in_json(replayed));
    replace_all(expected, "query-secret-1", in_json(replayed).substr(at, std::string("redacted-1").size()));
    CHECK(in_json(replayed) == expected);
}

TEST_CASE("a page that was not recorded is said to be missing, and nobody is asked for it") {
    Site site;
    const TempFolder folder;
    jx::Recording nothing;
    REQUIRE(nothing
                .save(folder / "case", {.url = "http://127.0.0.1/",
                                        .platform = "web",
                                        .post_id = {},
                                        .extractor = "browser",
                                        .answer = {}})
                .has_value());
    auto recording = jx::Recording::open(folder / "case");
    REQUIRE(recording.has_value());
    const auto info = look(site.server.url("/go"), &*recording);
    REQUIRE_FALSE(info.has_value());
    CHECK(info.error().name == "RECORDING_INCOMPLETE");
    CHECK(site.hits() == 0);
    // A browser with a way out is no browser for that.
    jx::Browser browser(browser_options(folder));
    auto looking = extract_options();
    looking.recording = &*recording;
    CHECK(jx::BrowserExtractor(browser, looking).extract(request(site.server.url("/go")), {}).error().name ==
          "INVALID_ARGUMENT");
    CHECK_FALSE(browser.status().running);
}
