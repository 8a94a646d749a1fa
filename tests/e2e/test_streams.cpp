// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// Posts whose video is a stream, through the real browser to the finished file.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

/// The clip of six seconds, cut into seconds below /v/ of a site, and the page that plays it.
void add_stream_page(test::TestServer& site) {
    const Folder folder;
    std::ofstream(folder / "clip.mp4", std::ios::binary) << made_clip();
    const auto cut = run({"ffmpeg",
                          "-nostdin",
                          "-v",
                          "error",
                          "-i",
                          folder / "clip.mp4",
                          "-c:v",
                          "libx264",
                          "-preset",
                          "ultrafast",
                          "-g",
                          "25",
                          "-c:a",
                          "copy",
                          "-f",
                          "hls",
                          "-hls_time",
                          "1",
                          "-hls_playlist_type",
                          "vod",
                          folder / "index.m3u8"},
                         environment(folder), folder.path(), 60s);
    REQUIRE_MESSAGE(cut.status.success(), cut.err);
    for (const auto& entry : fs::directory_iterator(folder.path())) {
        const auto name = entry.path().filename().string();
        const auto type = name.ends_with(".ts") ? "video/mp2t" : "application/vnd.apple.mpegurl";
        site.on("/v/" + name, test::serve({.bytes = contents(entry.path().string()), .type = type}));
    }
    site.on("/page", test::status(200, "Content-Type: text/html; charset=utf-8\r\n",
                                  "<!doctype html><title>A stream</title><video></video>"
                                  "<script>fetch('/v/index.m3u8')</script>"));
}

double seconds_of(const Folder& folder, const std::string& path) {
    const auto asked = run({"ffprobe", "-v", "error", "-of", "default=noprint_wrappers=1:nokey=1",
                            "-show_entries", "format=duration", path},
                           environment(folder), folder.path());
    return asked.status.success() ? std::stod(asked.out) : 0;
}

std::size_t asked_for(const test::TestServer& site, const std::string& path) {
    const auto all = site.requests();
    return static_cast<std::size_t>(std::ranges::count(all, path, &test::ServedRequest::target));
}

}  // namespace

TEST_CASE("a page whose video is an HLS stream is saved") {
    test::TestServer site;
    add_stream_page(site);
    const Folder folder;
    Runtime runtime(folder, false);
    const auto job = runtime.wait(runtime.save(site.url("/page")), "completed|failed", 90s);
    INFO(boost::json::serialize(job));
    REQUIRE(text(job, "status") == "completed");
    const auto file = folder / ("downloads/" + text(job, "outputPath"));
    CHECK(file.ends_with(".mp4"));
    CHECK(seconds_of(folder, file) == doctest::Approx(6).epsilon(0.02));
    CHECK(partial_files(folder / "downloads").empty());
}

TEST_CASE("a page whose script plays a DASH stream is saved with its sound") {
    test::TestServer site;
    const Folder folder, set;
    std::ofstream(set / "clip.mp4", std::ios::binary) << made_clip();
    const auto cut = run({"ffmpeg", "-nostdin", "-v", "error", "-i", set / "clip.mp4", "-c", "copy", "-f", "dash",
                          "-single_file", "1", "-single_file_name", "$RepresentationID$.mp4", set / "index.mpd"},
                         environment(set), set.path(), 60s);
    REQUIRE_MESSAGE(cut.status.success(), cut.err);
    for (const auto& [name, type] : {std::pair{"index.mpd", "application/dash+xml"}, std::pair{"0.mp4", "video/mp4"},
                                     std::pair{"1.mp4", "audio/mp4"}})
        site.on(std::string("/v/") + name, test::serve({.bytes = contents(set / name), .type = type}));
    // As a player does: the manifest, then parts of the files that it names. The picture's alone is no source.
    site.on("/page", test::status(200, "Content-Type: text/html\r\n",
                                  "<!doctype html><title>A stream</title><video></video><script>"
                                  "fetch('/v/index.mpd').then(() => {"
                                  "for (const n of [0, 1]) fetch('/v/' + n + '.mp4', {headers: {range: 'bytes=0-999'}})"
                                  "})</script>"));
    Runtime runtime(folder, false);
    const auto job = runtime.wait(runtime.save(site.url("/page")), "completed|failed", 90s);
    INFO(boost::json::serialize(job));
    REQUIRE(text(job, "status") == "completed");
    const auto file = folder / ("downloads/" + text(job, "outputPath"));
    CHECK(seconds_of(folder, file) == doctest::Approx(6).epsilon(0.02));
    const auto codecs = run({"ffprobe", "-v", "error", "-of", "csv=p=0", "-show_entries", "stream=codec_name", file},
                            environment(folder), folder.path());
    CHECK(codecs.out == "h264\naac\n");
    CHECK(partial_files(folder / "downloads").empty());
}

TEST_CASE("a link that expires on the way is looked for once more, and what was fetched stays fetched") {
    test::TestServer site;
    add_stream_page(site);
    std::atomic<int> pages = 0;
    const Folder folder;
    site.on("/page", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        ++pages;
        test::status(
            200, "Content-Type: text/html\r\n",
            "<!doctype html><title>A stream</title><video></video><script>fetch('/v/index.m3u8')</script>")(
            to, request);
    });
    site.on("/v/index5.ts", test::status(403));
    Runtime runtime(folder, false);
    const auto job = runtime.wait(runtime.save(site.url("/page")), "failed", 120s);
    INFO(boost::json::serialize(job));
    CHECK(text(job, "status") == "failed");
    CHECK(pages == 2);
    CHECK(asked_for(site, "/v/index0.ts") == 1);
    CHECK(partial_files(folder / "downloads").empty());
}

}  // namespace jobruntime::e2e
