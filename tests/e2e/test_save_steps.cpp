// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// A save has three steps, and what one has done is not done again: not after a crash, not after a broken
// download, not after a link that has expired.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

/// The media files of a site, and how many of their bytes it has sent.
struct Site {
    test::TestServer server;
    std::atomic<std::size_t> sent = 0;
    std::size_t size = 0;  ///< What one whole download has.

    std::map<std::string, test::ServedFile> files;

    void media(const std::string& path, const test::ServedFile& file) {
        size += file.bytes.size();
        files[path] = file;
        server.on(path, route(path));
    }
    test::Behaviour route(const std::string& path) {
        return [this, file = files[path]](const test::ServedConnection& to, const test::ServedRequest& request) {
            give(file, to, request);
        };
    }
    void give(const test::ServedFile& file, const test::ServedConnection& to,
              const test::ServedRequest& request, std::size_t most = std::string::npos) {
        const auto start = test::range_start(file, request);
        const auto part = std::string_view(file.bytes).substr(start, most);
        if (to.send(test::file_head(file, start)) && to.send(part)) sent += part.size();
    }
    std::size_t asked_for(const std::string& path) const {
        const auto all = server.requests();
        return static_cast<std::size_t>(std::ranges::count_if(
            all, [&](const auto& one) { return one.target.substr(0, one.target.find('?')) == path; }));
    }
};

/// The clip of six seconds as /clip.mp4, or cut into seconds as /v/index.m3u8, and /page that plays it.
void add_media(Site& site, bool stream) {
    if (!stream) {
        site.media("/clip.mp4", {.bytes = made_clip()});
        site.server.on("/page", page_with("/clip.mp4"));
        return;
    }
    const Folder folder;
    std::ofstream(folder / "clip.mp4", std::ios::binary) << made_clip();
    const auto cut = run({"ffmpeg", "-nostdin", "-v", "error", "-i", folder / "clip.mp4", "-c:v", "libx264",
                          "-preset", "ultrafast", "-g", "25", "-c:a", "copy", "-f", "hls", "-hls_time", "1",
                          "-hls_playlist_type", "vod", folder / "index.m3u8"},
                         environment(folder), folder.path(), 60s);
    REQUIRE_MESSAGE(cut.status.success(), cut.err);
    for (const auto& entry : fs::directory_iterator(folder.path())) {
        const auto name = entry.path().filename().string();
        if (name.ends_with(".ts"))
            site.media("/v/" + name, {.bytes = contents(entry.path().string()), .type = "video/mp2t"});
    }
    site.server.on("/v/index.m3u8", test::serve({.bytes = contents(folder / "index.m3u8"),
                                                 .type = "application/vnd.apple.mpegurl"}));
    site.server.on("/page", page_with("/v/index.m3u8"));
}

/// An ffmpeg that waits, once for all: publishing begins and does not end until open() is called.
struct Gate {
    explicit Gate(const Folder& in) : folder(in) {
        std::ofstream(path()) << "#!/bin/sh\n[ -e " << folder / "open" << " ] || { : > " << folder / "here"
                              << "; exec /bin/sleep 600; }\nexec ffmpeg \"$@\"\n";
        fs::permissions(path(), fs::perms::owner_all);
    }
    std::string path() const { return folder / "gate"; }
    bool reached() const { return fs::exists(folder / "here"); }
    void open() const { std::ofstream(folder / "open") << "now"; }

    const Folder& folder;
};

/// Pages are read without a browser, which is not what these tests are about.
const Variables no_browser{{"JOBRT_CONFIG", ""}};

/// Runs a job that waits for its next attempt at once.
void run_now(Runtime& runtime, const std::string& id) {
    REQUIRE(text(runtime.wait(id, "scheduled", 30s), "status") == "scheduled");
    CHECK(http(runtime.port(), "POST", "/api/jobs/" + id + "/retry").status == 200);
}

bool published_only(const Folder& folder, const boost::json::object& job) {
    return partial_files(folder / "downloads").empty() &&
           fs::exists(folder / ("downloads/" + text(job, "outputPath")));
}

}  // namespace

TEST_CASE("a worker that is killed after the download costs no byte of it again") {
    bool stream = false;
    SUBCASE("a file") { stream = false; }
    SUBCASE("a stream") { stream = true; }
    CAPTURE(stream);
    Site site;
    add_media(site, stream);
    const Folder folder;
    const Gate gate(folder);
    auto more = no_browser;
    more["FFMPEG_PATH"] = gate.path();
    Runtime runtime(folder, true, more);
    const auto id = runtime.save(site.server.url("/page"));
    REQUIRE(eventually(30s, [&] { return gate.reached(); }));
    CHECK(site.sent == site.size);
    runtime.worker().program().signal(SIGKILL);
    REQUIRE(runtime.worker().program().wait(5s));
    gate.open();
    auto variables = environment(folder);
    for (const auto& [name, value] : more) variables[name] = value;
    variables["ROLE"] = "worker";
    Service successor(folder, variables);
    const auto job = runtime.wait(id, "completed|failed");
    INFO(boost::json::serialize(job));
    REQUIRE(text(job, "status") == "completed");
    CHECK(site.sent == site.size);
    CHECK(site.asked_for("/page") == 1);
    CHECK(published_only(folder, job));
    const auto events = events_of(runtime.port(), id);
    // What the killed worker had not yet told is lost with it.
    CHECK(std::ranges::count(events, "worker.job.extraction.started") <= 1);
    CHECK(std::ranges::count(events, "worker.job.download.started") <= 1);
}

TEST_CASE("a download that broke goes on where it was, without another look at the page") {
    Site site;
    add_media(site, false);
    const test::ServedFile clip{.bytes = made_clip()};
    std::atomic<int> asked = 0;
    site.server.on("/clip.mp4", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        site.give(clip, to, request, asked++ == 0 ? clip.bytes.size() / 2 : std::string::npos);
        if (asked == 1) to.hold();
    });
    const Folder folder;
    auto more = no_browser;
    more["DOWNLOAD_TIMEOUT_MS"] = "500";
    Runtime runtime(folder, false, more);
    const auto id = runtime.save(site.server.url("/page"));
    run_now(runtime, id);
    const auto job = runtime.wait(id, "completed|failed");
    INFO(boost::json::serialize(job));
    REQUIRE(text(job, "status") == "completed");
    CHECK(site.server.requests().back().header("range") == "bytes=" + std::to_string(clip.bytes.size() / 2) + "-");
    CHECK(site.sent == clip.bytes.size());
    CHECK(site.asked_for("/page") == 1);
    CHECK(published_only(folder, job));
}

TEST_CASE("a stream that broke goes on behind the segments that were there") {
    Site site;
    add_media(site, true);
    std::atomic<int> refused = 0;
    const auto whole = site.route("/v/index3.ts");
    site.server.on("/v/index3.ts", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        // First a moment in which the segments before it arrive, then longer than an attempt waits.
        const int time = refused++;
        if (time >= 2) return whole(to, request);
        test::status(429, time == 0 ? "Retry-After: 1\r\n" : "Retry-After: 3600\r\n")(to, request);
    });
    const Folder folder;
    Runtime runtime(folder, false, no_browser);
    const auto id = runtime.save(site.server.url("/page"));
    run_now(runtime, id);
    const auto job = runtime.wait(id, "completed|failed");
    INFO(boost::json::serialize(job));
    REQUIRE(text(job, "status") == "completed");
    for (const auto* name : {"/v/index0.ts", "/v/index1.ts", "/v/index2.ts", "/page"}) {
        CAPTURE(name);
        CHECK(site.asked_for(name) == 1);
    }
    CHECK(published_only(folder, job));
}

TEST_CASE("a link that has expired is looked for again, once, and the new one goes on with the old one's bytes") {
    Site site;
    const test::ServedFile clip{.bytes = made_clip()};
    std::atomic<int> signature = 0;
    std::atomic<int> refused = 0;
    site.server.on("/page", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        page_with("/clip.mp4?sig=" + std::to_string(++signature))(to, request);
    });
    std::atomic<bool> broken = false;
    site.server.on("/clip.mp4", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        if (!broken.exchange(true)) {
            site.give(clip, to, request, clip.bytes.size() / 2);
            to.hold();
        } else if (request.target.ends_with("sig=1")) {
            ++refused;
            test::status(403)(to, request);
        } else {
            site.give(clip, to, request);
        }
    });
    const Folder folder;
    auto more = no_browser;
    more["DOWNLOAD_TIMEOUT_MS"] = "500";
    Runtime runtime(folder, false, more);
    const auto id = runtime.save(site.server.url("/page"));
    run_now(runtime, id);
    CHECK(eventually(30s, [&] { return refused > 0; }));
    run_now(runtime, id);
    const auto job = runtime.wait(id, "completed|failed");
    INFO(boost::json::serialize(job));
    REQUIRE(text(job, "status") == "completed");
    CHECK(signature == 2);
    CHECK(site.sent == clip.bytes.size());
    CHECK(published_only(folder, job));
}

}  // namespace jobruntime::e2e
