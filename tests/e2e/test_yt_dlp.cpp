// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "e2e/support.hpp"
#include "unit/extract/canary.hpp"

// The real yt-dlp on pages of loopback: that what it prints and says is read right. Its guard, its limits and its end
// are tested with programs that pretend to be it.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

/// The clip as a playlist of two pieces.
void add_playlist(test::TestServer& site, const Folder& folder) {
    std::ofstream(folder / "clip.mp4", std::ios::binary) << made_clip();
    const auto cut = run({"ffmpeg", "-nostdin", "-v", "error", "-i", "clip.mp4", "-c", "copy", "-f", "hls", "-hls_time", "3",
                          "-hls_playlist_type", "vod", "list.m3u8"},
                         environment(folder), folder.path(), 60s);
    REQUIRE_MESSAGE(cut.status.success(), cut.err);
    for (const auto& entry : fs::directory_iterator(folder.path())) {
        const auto name = entry.path().filename().string();
        const bool list = name.ends_with(".m3u8");
        if (list || name.ends_with(".ts"))
            site.on("/" + name, test::serve({.bytes = contents(entry.path().string()),
                                             .type = list ? "application/vnd.apple.mpegurl" : "video/mp2t"}));
    }
}

test::Behaviour page(const std::string& body) {
    return test::status(200, "Content-Type: text/html; charset=utf-8\r\n", "<!doctype html><title>A page</title>" + body);
}

}  // namespace

TEST_CASE("the real yt-dlp finds a file and a playlist, and its words become the right codes") {
    // tools/clients puts it beside the Python that it prints.
    const char* clients = std::getenv("JOBRT_CLIENTS");
    const auto installed = clients ? fs::path(clients).parent_path() / "yt-dlp" : fs::path();
    if (installed.empty() || !fs::exists(installed)) {
        MESSAGE("skipped: JOBRT_CLIENTS names no Python with yt-dlp beside it; tools/clients installs one and prints its path");
        return;
    }
    const extract_test::Canary canary;
    test::TestServer site;
    const Folder folder, made;
    // By a path of its own, so that the processes of tests beside this one are not taken for ours.
    const auto program = folder / "own-yt-dlp";
    fs::create_symlink(installed, program);
    const auto at_work = [&] { return !children_with(0, program).empty(); };
    site.on("/clip.mp4", test::serve({.bytes = made_clip()}));
    add_playlist(site, made);
    site.on("/plays", page("<video><source src='/list.m3u8' type='application/x-mpegURL'></video>"));
    site.on("/words", page("<p>Words only.</p>"));
    site.on("/locked", test::status(401));
    site.on("/busy", test::status(429));
    site.on("/moved", test::redirect("http://" + canary.v4("/moved")));
    std::ofstream(folder / "e2e.json") << R"({"platforms":{"web":{"extractors":["yt-dlp"]}}})";
    Runtime runtime(folder, false,
                    {{"JOBRT_CONFIG", folder / "e2e.json"}, {"YT_DLP_PATH", program}, {"JOBRT_ALLOW_NETS", "127.0.0.1/32"},
                     {"JOBRT_CONCURRENCY", "2"}});

    for (const auto* path : {"/clip.mp4", "/plays", "/list.m3u8"}) {
        const auto id = runtime.save(site.url(path));
        CHECK(eventually(20s, at_work));  // Or that it has ended, below, would say nothing.
        const auto job = tried(runtime, id);
        CAPTURE(boost::json::serialize(job));
        REQUIRE(text(job, "status") == "completed");
        const auto& result = job.at("result").as_object();
        CHECK(result.at("durationMs").to_number<double>() == doctest::Approx(6000).epsilon(0.05));
        if (path == std::string("/plays")) CHECK(text(result, "title").starts_with("A page"));
    }
    for (const auto& [path, code] : {std::pair{"/words", "UNSUPPORTED_SOURCE"}, std::pair{"/missing", "VIDEO_UNAVAILABLE"},
                                     std::pair{"/locked", "AUTH_REQUIRED"}, std::pair{"/busy", "RATE_LIMITED"},
                                     std::pair{"/moved", "SSRF_BLOCKED"}}) {
        const auto job = tried(runtime, runtime.save(site.url(path)));
        CAPTURE(boost::json::serialize(job));
        CHECK(text(job, "errorCode") == code);
    }
    CHECK_MESSAGE(canary.connections() == 0, canary.seen_text());
    // Some are tried again meanwhile; one that was left behind would never end.
    CHECK(eventually(30s, [&] { return !at_work(); }));
}

}  // namespace jobruntime::e2e
