// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "stream_bench.hpp"

// Sources whose picture and sound lie apart: two downloads that become one file.
using namespace jobruntime;
using namespace jobruntime::media;
using namespace jobruntime::media_test;
using namespace std::chrono_literals;

namespace {

/// The picture alone and the sound alone, as files and as streams.
struct Apart : StreamBench {
    Apart() {
        const std::string clip = Clips::get()["plain.mp4"];
        ffmpeg("-i '" + clip + "' -an -c copy '" + root.path("picture.mp4") + "'");
        ffmpeg("-i '" + clip + "' -an -c copy -movflags +faststart '" + root.path("fast.mp4") + "'");
        ffmpeg("-i '" + clip + "' -vn -c copy '" + root.path("sound.m4a") + "'");
        ffmpeg("-i '" + Clips::get()["vp9.webm"] + "' -an -c copy '" + root.path("picture.webm") + "'");
        ffmpeg("-i '" + Clips::get()["vp9.webm"] + "' -vn -c copy '" + root.path("sound.webm") + "'");
        // Without an index, and half of it silent: its length can be reckoned from its bit rate, and wrongly.
        ffmpeg("-f lavfi -i \"anoisesrc=d=6:a=0.8,volume='gt(t,3)':eval=frame\" -c:a aac '" + root.path("sound.aac") + "'");
        for (const char* name : {"picture.mp4", "fast.mp4", "sound.m4a", "sound.aac", "picture.webm", "sound.webm"})
            server.on(std::string("/") + name, test::serve({.bytes = read_file(root.path(name))}));
        serve_folder(server, Streams::get().folder("apart"), "/hls/");
    }
    MediaInfo pair(const std::string& picture, const std::string& sound) const {
        const auto how = [](const std::string& path) {
            return path.ends_with(".m3u8") ? MediaProtocol::hls : MediaProtocol::https;
        };
        MediaInfo made;
        MediaSource source{.url = server.url(picture), .protocol = how(picture)};
        source.sound = MediaSound{server.url(sound), how(sound), {{"Referer", "http://page/"}}};
        made.sources.push_back(std::move(source));
        return made;
    }
};

}  // namespace

TEST_CASE("picture and sound that lie apart become one file, whatever each of them is") {
    if (helper_or_skip().empty()) return;
    struct Row {
        const char* picture;
        const char* sound;
        const char* codecs;
        double seconds;
    };
    const Row rows[] = {{"/picture.mp4", "/sound.m4a", "h264 aac", 6},
                        {"/fast.mp4", "/hls/s1.m3u8", "h264 aac", 6},
                        {"/hls/s0.m3u8", "/sound.m4a", "h264 aac", 6},
                        {"/hls/s0.m3u8", "/hls/s1.m3u8", "h264 aac", 6},
                        {"/picture.mp4", "/sound.aac", "h264 aac", 6},
                        {"/picture.webm", "/sound.webm", "vp9 opus", 2}};
    Apart bench;
    std::uint64_t fence = 0;
    for (const Row& row : rows) {
        CAPTURE(row.picture);
        CAPTURE(row.sound);
        const auto work = bench.work(++fence);
        double percent = 0;
        bool backwards = false;
        const auto got = bench.downloader.download(bench.pair(row.picture, row.sound), work, bench.options,
                                                   [&](const Progress& at) {
                                                       backwards = backwards || at.percent < percent;
                                                       percent = at.percent;
                                                   });
        REQUIRE_MESSAGE(got.has_value(), got.error().message);
        CHECK(percent == 100);
        CHECK_FALSE(backwards);
        const auto done = bench.publish(got->path, work, fence);
        REQUIRE_MESSAGE(done.has_value(), done.error().message);
        const auto file = bench.finished(*done);
        const auto& facts = done->file.facts;
        CHECK(facts.video_codec + " " + facts.audio_codec == row.codecs);
        CHECK(facts.streams == 2);
        CHECK(facts.seconds == doctest::Approx(row.seconds).epsilon(0.02));
        const bool stream = std::string_view(row.picture).ends_with(".m3u8");
        CHECK(video_md5(file) == (stream ? Streams::get().md5_by_ffmpeg(Streams::get().folder("apart") + "/s0.m3u8")
                                         : video_md5(Clips::get()[row.seconds == 2 ? "vp9.webm" : "plain.mp4"])));
        CHECK(output_of("ffmpeg -nostdin -v error -i '" + file + "' -f null - 2>&1").empty());
        CHECK(std::stod(ffprobe(file, "stream=duration -select_streams a")) == doctest::Approx(row.seconds).epsilon(0.02));
        // Neither waits for the other.
        for (const char* which : {"v", "a"})
            CHECK(std::abs(std::stod(ffprobe(file, std::string("stream=start_time -select_streams ") + which))) < 0.15);
    }
    for (const auto& request : bench.server.requests())
        if (request.target == "/sound.m4a") CHECK(request.header("referer") == "http://page/");
}

TEST_CASE("a broken half is resumed by the next attempt, and the whole one is not fetched again") {
    if (helper_or_skip().empty()) return;
    Apart bench;
    const test::ServedFile picture{.bytes = read_file(bench.root.path("picture.mp4"))};
    bench.server.on("/picture.mp4", test::stall_after(picture, picture.bytes.size() / 2));
    const auto info = bench.pair("/picture.mp4", "/sound.m4a");
    {
        auto work = bench.work(1);
        const auto got = bench.downloader.download(info, work, bench.options);
        REQUIRE_FALSE(got.has_value());
        CHECK(got.error().name == "DOWNLOAD_STALLED");
        work.keep();
    }
    bench.server.on("/picture.mp4", test::serve(picture));
    const auto work = bench.work(2);
    const auto got = bench.downloader.download(info, work, bench.options);
    REQUIRE_MESSAGE(got.has_value(), got.error().message);
    CHECK(got->resumed_from > read_file(bench.root.path("sound.m4a")).size());
    CHECK(got->bytes == picture.bytes.size() + read_file(bench.root.path("sound.m4a")).size());
    CHECK(bench.asked_for("/sound.m4a") == 1);
    // And once it is one, nobody is asked at all.
    const auto requests = bench.server.requests().size();
    CHECK(bench.downloader.download(info, work, bench.options).has_value());
    CHECK(bench.server.requests().size() == requests);
    CHECK(bench.publish(got->path, work, 2).has_value());
}

TEST_CASE("without its sound a source is not taken, and the next one is") {
    Apart bench;
    auto info = bench.pair("/picture.mp4", "/gone.m4a");
    const auto work = bench.work(1);
    CHECK(bench.downloader.download(info, work, bench.options).error().name == "VIDEO_UNAVAILABLE");
    CHECK(std::distance(fs::directory_iterator(work.path()), fs::directory_iterator()) == 0);
    info.sources.push_back({.url = bench.server.url("/fast.mp4")});
    const auto got = bench.downloader.download(info, work, bench.options);
    REQUIRE(got.has_value());
    CHECK(got->source == 1);
    CHECK(bench.asked_for("/picture.mp4") == 0);
}

TEST_CASE("a half that was cut short is no success") {
    if (helper_or_skip().empty()) return;
    Apart bench;
    std::uint64_t fence = 0;
    // Whole for HTTP: the server itself has no more. A file with its index in front still says how long it was; one
    // of fragments says only how long the box is that it ends in.
    for (const char* flags : {"faststart", "frag_keyframe+empty_moov+default_base_moof"})
        for (const bool picture : {true, false}) {
            CAPTURE(flags);
            CAPTURE(picture);
            const auto cut = bench.root.path("cut.mp4");
            ffmpeg("-i '" + bench.root.path(picture ? "picture.mp4" : "sound.m4a") + "' -c copy -movflags +" + flags + " '" + cut + "'");
            auto bytes = read_file(cut);
            bytes.resize(bytes.size() * 2 / 3);
            bench.server.on("/cut.mp4", test::serve({.bytes = bytes}));
            const auto work = bench.work(++fence);
            const auto got = bench.downloader.download(
                picture ? bench.pair("/cut.mp4", "/sound.m4a") : bench.pair("/fast.mp4", "/cut.mp4"), work, bench.options);
            REQUIRE_MESSAGE(got.has_value(), got.error().message);
            const auto done = bench.publish(got->path, work, fence);
            REQUIRE_FALSE(done.has_value());
            CHECK_MESSAGE((done.error().name == "WRONG_DURATION" || done.error().name == "TRUNCATED"), done.error().name);
        }
}

TEST_CASE("a half that was cut short is found by its structure where it says nothing of its length") {
    if (helper_or_skip().empty()) return;
    Apart bench;
    std::uint64_t fence = 0;
    for (const bool picture : {true, false})
        for (const bool whole : {true, false}) {
            CAPTURE(picture);
            CAPTURE(whole);
            auto bytes = read_file(bench.root.path(picture ? "picture.webm" : "sound.webm"));
            // Its Duration (an id of two bytes, eight bytes long) becomes a Void of the same size.
            const auto at = bytes.find("\x44\x89\x88");
            REQUIRE(at != std::string::npos);
            bytes.replace(at, 2, "\xec\x89");
            if (!whole) bytes.resize(bytes.size() * 2 / 3);
            bench.server.on("/mute.webm", test::serve({.bytes = bytes}));
            const auto work = bench.work(++fence);
            const auto got = bench.downloader.download(
                picture ? bench.pair("/mute.webm", "/sound.webm") : bench.pair("/picture.webm", "/mute.webm"), work, bench.options);
            REQUIRE_MESSAGE(got.has_value(), got.error().message);
            const auto done = bench.publish(got->path, work, fence);
            CHECK((done ? "ok" : done.error().name) == (whole ? "ok" : "TRUNCATED"));
        }
}
