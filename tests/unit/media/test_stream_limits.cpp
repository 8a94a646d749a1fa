// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <atomic>
#include <filesystem>
#include <thread>

#include "media/piece_shape.hpp"
#include "media/track_download.hpp"
#include "stream_bench.hpp"

// What a stream's download never does: take a part for the whole, mix two variants, outlive its time, or hold
// more in memory than it may.
using namespace jobruntime;
using namespace jobruntime::media;
using namespace jobruntime::media_test;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

namespace {

std::string saved(StreamBench& bench, const std::string& path, std::uint64_t fence = 1,
                  Published* into = nullptr) {
    auto whole = bench.save(path, fence);
    if (into) *into = std::move(whole.done);
    return whole.code;
}

/// Says nothing of how long it is, and ends where the connection ends.
test::Behaviour without_length(const std::string& bytes, const std::string& type) {
    return test::say("HTTP/1.1 200 OK\r\nContent-Type: " + type + "\r\nConnection: close\r\n\r\n" + bytes);
}

std::string box(const std::string& type, std::size_t size) {
    std::string bytes(size, 'x');
    for (int i = 0; i < 4; ++i) bytes[static_cast<std::size_t>(i)] = static_cast<char>(size >> (24 - 8 * i) & 0xff);
    return bytes.replace(4, 4, type);
}

}  // namespace

TEST_CASE("a part of a stream that is cut off is told from a whole one") {
    std::string ts;
    for (int i = 0; i < 4; ++i) ts += "G" + std::string(187, 'x');
    std::string wide = box("mdat", 300);
    wide.replace(0, 4, std::string("\0\0\0\1", 4)).replace(8, 8, std::string("\0\0\0\0\0\0\1\54", 8));
    const std::string mp4 = box("styp", 24) + box("moof", 200) + box("mdat", 500);
    struct Row {
        const char* what;
        std::string bytes;
        bool cut_off;
    };
    const Row table[] = {{"transport stream", ts, false},
                         {"transport stream, cut", ts.substr(0, ts.size() - 1), true},
                         {"boxes", mp4, false},
                         {"boxes, cut inside", mp4.substr(0, mp4.size() - 1), true},
                         {"boxes, cut in a head", mp4 + std::string(5, '\0'), true},
                         {"a box of 64 bits", wide + box("mdat", 9), false},
                         {"a box of 64 bits, cut", wide.substr(0, 299), true},
                         {"a box to the end", box("moof", 200) + std::string("\0\0\0\0mdat", 8) + "more", false},
                         {"sound", std::string(1'001, 'a'), false},
                         {"a few bytes", "G12", false}};
    for (const Row& row : table)
        for (const std::size_t step : {std::size_t{1}, std::size_t{7}, row.bytes.size()}) {
            CAPTURE(row.what);
            CAPTURE(step);
            PieceShape shape;
            for (std::size_t at = 0; at < row.bytes.size(); at += step)
                shape.add(std::string_view(row.bytes).substr(at, step));
            CHECK(shape.cut_off() == row.cut_off);
        }
}

TEST_CASE("a segment without a length that is cut off is fetched again, and is no success when it stays so") {
    if (helper_or_skip().empty()) return;
    for (const char* kind : {"ts", "fmp4"}) {
        CAPTURE(kind);
        StreamBench bench;
        const auto folder = Streams::get().folder(kind);
        serve_folder(bench.server, folder, "/v/");
        const std::string name = kind == std::string("ts") ? "index5.ts" : "index5.m4s";
        const auto whole = read_file(folder + "/" + name);
        std::atomic<int> asked = 0;
        std::atomic<int> bad_times = 1;
        bench.server.on("/v/" + name, [&](const test::ServedConnection& to, const test::ServedRequest& request) {
            const auto part = asked++ < bad_times ? whole.size() - 100 : whole.size();
            without_length(whole.substr(0, part), type_of(name))(to, request);
        });
        CHECK(saved(bench, "/v/index.m3u8", 1) == "ok");
        CHECK(asked == 2);
        bad_times = 100;
        CHECK(saved(bench, "/v/index.m3u8", 2) == "NETWORK");
    }
}

TEST_CASE("a stream in one file on a server that knows no ranges ends before it has been downloaded many times") {
    StreamBench bench;
    bench.options.stall_timeout = std::chrono::seconds(10);
    constexpr std::size_t part = std::size_t{1} << 20;
    const auto list = [&](int parts) {
        std::string text = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n";
        for (int i = 0; i < parts; ++i)
            text += "#EXTINF:1,\n#EXT-X-BYTERANGE:" + std::to_string(part) + "@" + std::to_string(part * static_cast<std::size_t>(i)) + "\nall.ts\n";
        return text + "#EXT-X-ENDLIST\n";
    };
    const auto file = test::pattern(40 * part);
    bench.server.on("/v/all.ts", test::serve({.bytes = file, .type = "video/mp2t", .ranges = false}));
    bench.server.on("/v/short.m3u8", test::status(200, "", list(8)));
    bench.server.on("/v/long.m3u8", test::status(200, "", list(40)));
    {
        const auto folder = bench.work(1);
        const auto got = bench.download("/v/short.m3u8", folder);
        REQUIRE_MESSAGE(got, got.error().message);
        CHECK(read_file(got->path) == file.substr(0, 8 * part));
    }
    const auto folder = bench.work(2);
    const auto got = bench.download("/v/long.m3u8", folder);
    REQUIRE_FALSE(got);
    CHECK(got.error().name == "UNSUPPORTED_SOURCE");
    // 16 parts in front of whose bytes there are 120 MiB, and those that were fetched beside the last of them.
    CHECK(bench.server.requests().size() < 50);
}

TEST_CASE("durations in whole seconds do not hide a part that is missing") {
    if (helper_or_skip().empty()) return;
    const TempDir clip;
    ffmpeg("-f lavfi -i testsrc=s=64x48:d=60:r=5 -c:v libx264 -preset ultrafast -g 5 -f hls -hls_time 1 "
           "-hls_playlist_type vod '" + clip.path("index.m3u8") + "'");
    StreamBench bench;
    serve_folder(bench.server, clip.path(), "/v/");
    std::string list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n";
    for (int i = 0; i < 60; ++i) list += "#EXTINF:1,\nindex" + std::to_string(i) + ".ts\n";
    bench.server.on("/v/index.m3u8", test::status(200, "", list + "#EXT-X-ENDLIST\n"));
    Published done;
    REQUIRE(saved(bench, "/v/index.m3u8", 1, &done) == "ok");
    CHECK(done.file.facts.seconds == doctest::Approx(60).epsilon(0.02));
    // The server gives nothing but a head for the last six seconds.
    const auto head = read_file(clip.path("index59.ts")).substr(0, 188 * 2);
    for (int i = 54; i < 60; ++i)
        bench.server.on("/v/index" + std::to_string(i) + ".ts", test::serve({.bytes = head, .type = "video/mp2t"}));
    CHECK(saved(bench, "/v/index.m3u8", 2) == "WRONG_DURATION");
}

TEST_CASE("of a long stream in whole seconds no two pieces may be missing, and its rounding is no fault") {
    if (helper_or_skip().empty()) return;
    struct Row {
        const char* what;
        int last_seconds;       // What the list says of the last piece; of the others it says 10 s.
        int first_head, heads;  // Which give nothing but a head.
        const char* code;
    };
    struct Clip {
        int pieces;
        const char* cut;
        std::vector<Row> rows;
    };
    const Clip clips[] = {{32, "-g 48 -hls_time 9.5", {{"rounded up by 12 s, the last has 2.4 s", 2, 0, 0, "ok"}, {"the last said to be like the others", 10, 0, 0, "ok"}}},
                          {30, "-g 50 -hls_time 10", {{"whole", 10, 0, 0, "ok"},
                            {"without the last two", 10, 28, 2, "WRONG_DURATION"},
                            {"without two in the middle", 10, 14, 2, "WRONG_DURATION"},
                            {"without the first two", 10, 0, 2, "WRONG_DURATION"}}}};
    std::uint64_t fence = 0;
    for (const std::string sound : {"", "-f lavfi -i sine=d=300 -c:a aac -b:a 16k "})
        for (const auto& [pieces, cut, rows] : clips) {
            const TempDir clip;
            ffmpeg("-f lavfi -i testsrc=s=64x48:d=300:r=5 " + sound + "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -f hls -hls_playlist_type vod " +
                   cut + " '" + clip.path("index.m3u8") + "'");
            const auto piece = [](int i) { return "index" + std::to_string(i) + ".ts"; };
            REQUIRE(fs::exists(clip.path(piece(pieces - 1))));
            REQUIRE_FALSE(fs::exists(clip.path(piece(pieces))));
            const auto head = read_file(clip.path(piece(pieces - 1))).substr(0, std::size_t{188} * 3);
            for (const Row& row : rows) {
                CAPTURE(sound);
                CAPTURE(row.what);
                StreamBench bench;
                serve_folder(bench.server, clip.path(), "/v/");
                std::string list = "#EXTM3U\n#EXT-X-TARGETDURATION:10\n";
                for (int i = 0; i < pieces; ++i)
                    list += "#EXTINF:" + std::to_string(i + 1 < pieces ? 10 : row.last_seconds) + ",\n" + piece(i) + "\n";
                bench.server.on("/v/index.m3u8", test::status(200, "", list + "#EXT-X-ENDLIST\n"));
                for (int i = row.first_head; i < row.first_head + row.heads; ++i)
                    bench.server.on("/v/" + piece(i), test::serve({.bytes = head, .type = "video/mp2t"}));
                const auto whole = bench.save("/v/index.m3u8", ++fence);
                CHECK_MESSAGE(whole.code == row.code, whole.message);
                CHECK(bench.nothing_left());
            }
        }
}

TEST_CASE("a stream whose coding fits no MP4 becomes a Matroska file") {
    if (helper_or_skip().empty()) return;
    const TempDir clip;
    ffmpeg("-f lavfi -i testsrc=s=64x48:d=4:r=25 -c:v mpeg2video -g 25 -f hls -hls_time 1 -hls_playlist_type vod '" +
           clip.path("index.m3u8") + "'");
    StreamBench bench;
    serve_folder(bench.server, clip.path(), "/v/");
    Published done;
    REQUIRE(saved(bench, "/v/index.m3u8", 1, &done) == "ok");
    CHECK(done.output_path.ends_with(".mkv"));
    CHECK(done.file.facts.video_codec == "mpeg2video");
    CHECK(ffprobe(bench.finished(done), "format=format_name").find("matroska") != std::string::npos);
}

TEST_CASE("a stream of more segments than are allowed is refused") {
    StreamBench bench;
    std::string list = "#EXTM3U\n";
    for (int i = 0; i < 4; ++i) list += "#EXTINF:1,\ns" + std::to_string(i) + ".ts\n";
    bench.server.on("/v/index.m3u8", test::status(200, "", list + "#EXT-X-ENDLIST\n"));
    bench.options.max_segments = 3;
    CHECK(saved(bench, "/v/index.m3u8") == "TOO_LONG");
    CHECK(bench.server.requests().size() == 1);
}

TEST_CASE("the time limit ends a stream that waits for a playlist, the first or a later one") {
    const std::string live = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:0.2,\ns0.ts\n";
    for (const int good : {0, 1}) {
        CAPTURE(good);
        StreamBench bench;
        std::atomic<int> asked = 0;
        bench.server.on("/v/index.m3u8", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
            (asked++ < good ? test::status(200, "", live) : test::silence())(to, request);
        });
        bench.server.on("/v/s0.ts", test::serve({.bytes = "G0"}));
        bench.options.stall_timeout = 60s;
        bench.options.time_limit = 1'500ms;
        const auto begun = Clock::now();
        CHECK(saved(bench, "/v/index.m3u8") == "DOWNLOAD_TIMEOUT");
        CHECK(Clock::now() - begun < 20s);
        CHECK(bench.nothing_left());
    }
}

TEST_CASE("a segment that cannot be had ends a live stream, whatever becomes of its playlist meanwhile") {
    StreamBench bench;
    std::atomic<int> asked = 0;
    bench.server.on("/v/index.m3u8", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        const auto list = test::status(200, "", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:0.2,\ns0.ts\n#EXTINF:0.2,\ns1.ts\n");
        (asked++ == 0 ? list : test::silence())(to, request);
    });
    // It is on its way while the next one fails, and while the playlist would be asked for again.
    bench.server.on("/v/s0.ts", test::slowly({.bytes = std::string(40, 'G')}, 1, 100ms));
    bench.server.on("/v/s1.ts", test::status(404));
    bench.options.stall_timeout = 60s;
    bench.options.time_limit = 30s;
    CHECK(saved(bench, "/v/index.m3u8") == "VIDEO_UNAVAILABLE");
    CHECK(asked == 1);
}

TEST_CASE("a playlist that is being asked for when a segment fails is not waited for") {
    StreamBench bench;
    std::atomic<int> asked = 0;
    bench.server.on("/v/index.m3u8", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        const auto list = test::status(200, "", "#EXTM3U\n#EXT-X-TARGETDURATION:0.2\n#EXTINF:0.2,\ns0.ts\n");
        (asked++ == 0 ? list : test::silence())(to, request);
    });
    bench.server.on("/v/s0.ts", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        for (int i = 0; asked < 2 && i < 6'000; ++i) std::this_thread::sleep_for(10ms);
        test::status(404)(to, request);
    });
    bench.options.stall_timeout = 120s;
    bench.options.time_limit = 100s;
    const auto begun = Clock::now();
    CHECK(saved(bench, "/v/index.m3u8") == "VIDEO_UNAVAILABLE");
    CHECK(asked == 2);
    CHECK(Clock::now() - begun < 60s);
    CHECK(bench.nothing_left());
}

TEST_CASE("a resume never mixes two variants, though their addresses differ in the query only") {
    StreamBench bench;
    const auto query = [](const test::ServedRequest& request) { return request.target.substr(request.target.find('=') + 1); };
    bench.server.on("/v/master.m3u8",
                    test::status(200, "",
                                 "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=320x180\nlist.m3u8?q=low\n"
                                 "#EXT-X-STREAM-INF:BANDWIDTH=2,RESOLUTION=640x360\nlist.m3u8?q=high\n"));
    bench.server.on("/v/list.m3u8", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        std::string list = "#EXTM3U\n";
        for (int i = 0; i < 4; ++i) list += "#EXTINF:1,\ns" + std::to_string(i) + ".ts?q=" + query(request) + "\n";
        test::status(200, "", list + "#EXT-X-ENDLIST\n")(to, request);
    });
    std::atomic<bool> broken = true;
    for (int i = 0; i < 4; ++i)
        bench.server.on("/v/s" + std::to_string(i) + ".ts",
                        [&, i](const test::ServedConnection& to, const test::ServedRequest& request) {
                            if (i == 3 && broken) return test::status(403)(to, request);
                            test::serve({.bytes = "G" + std::to_string(i) + query(request)})(to, request);
                        });
    {
        auto work = bench.work(1);
        CHECK_FALSE(bench.download("/v/master.m3u8", work));
        work.keep();
    }
    broken = false;
    bench.options.max_height = 180;
    const auto work = bench.work(2);
    const auto got = bench.download("/v/master.m3u8", work);
    REQUIRE_MESSAGE(got, got.error().message);
    CHECK(read_file(got->path) == "G0lowG1lowG2lowG3low");
}

TEST_CASE("a live stream of fragmented MP4 goes on where it was, though its playlist has moved on") {
    StreamBench bench;
    std::atomic<bool> second = false;
    bench.server.on("/v/index.m3u8", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        const int first = second ? 2 : 0;
        std::string list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:" + std::to_string(first) +
                           "\n#EXT-X-MAP:URI=\"init.mp4?sig=" + std::to_string(first) + "\"\n";
        for (int i = first; i < first + 4; ++i) list += "#EXTINF:1,\ns" + std::to_string(i) + ".m4s\n";
        test::status(200, "", list + (second ? "#EXT-X-ENDLIST\n" : ""))(to, request);
    });
    bench.server.on("/v/init.mp4", test::serve({.bytes = "-init-"}));
    std::string all = "-init-";
    for (int i = 0; i < 6; ++i) {
        const auto bytes = "-s" + std::to_string(i) + "-";
        all += bytes;
        bench.server.on("/v/s" + std::to_string(i) + ".m4s",
                        [&, i, bytes](const test::ServedConnection& to, const test::ServedRequest& request) {
                            (i == 3 && !second ? test::status(403) : test::serve({.bytes = bytes}))(to, request);
                        });
    }
    {
        auto work = bench.work(1);
        CHECK_FALSE(bench.download("/v/index.m3u8", work));
        work.keep();
    }
    second = true;
    const auto work = bench.work(2);
    const auto got = bench.download("/v/index.m3u8", work);
    REQUIRE_MESSAGE(got, got.error().message);
    CHECK(read_file(got->path) == all);
    for (const char* name : {"/v/init.mp4", "/v/s0.m4s", "/v/s1.m4s", "/v/s2.m4s"}) {
        CAPTURE(name);
        CHECK(bench.asked_for(name) == 1);
    }
}

TEST_CASE("a live stream that has moved on past what an earlier attempt has read stays incomplete") {
    for (const bool ended : {false, true}) {
        CAPTURE(ended);
        StreamBench bench;
        std::atomic<int> first = 0;
        bench.server.on("/v/index.m3u8", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
            std::string list = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:" + std::to_string(first) + "\n";
            for (int i = first; i < first + 3; ++i) list += "#EXTINF:1,\ns" + std::to_string(i) + ".ts\n";
            test::status(200, "", list + (first > 0 && ended ? "#EXT-X-ENDLIST\n" : ""))(to, request);
        });
        for (int i = 0; i < 12; ++i)
            bench.server.on("/v/s" + std::to_string(i) + ".ts",
                            i == 2 ? test::status(403) : test::serve({.bytes = "G" + std::to_string(i)}));
        const auto attempt = [&](std::uint64_t fence) {
            auto work = bench.work(fence);
            const auto got = bench.download("/v/index.m3u8", work);
            work.keep();
            return got ? "ok" : got.error().name;
        };
        CHECK(attempt(1) == "AUTH_REQUIRED");
        first = 8;
        CHECK(attempt(2) == "DOWNLOAD_INCOMPLETE");
        CHECK(attempt(3) == "DOWNLOAD_INCOMPLETE");  // Not forgotten by the attempt that has found it out.
        CHECK(bench.asked_for("/v/s8.ts") == 0);
    }
}

TEST_CASE("segments behind a slow one wait in bounded memory") {
    StreamBench bench;
    constexpr std::size_t window = 64 * 1024;
    std::atomic<bool> go = false;
    std::vector<Piece> pieces;
    std::string all;
    for (int i = 0; i < 12; ++i) {
        const std::string bytes = "G" + std::to_string(i) + test::pattern(40'000);
        const auto path = "/s" + std::to_string(i) + ".ts";
        all += bytes;
        bench.server.on(path, [&, i, bytes](const test::ServedConnection& to, const test::ServedRequest& request) {
            while (i == 0 && !go) std::this_thread::sleep_for(1ms);
            test::serve({.bytes = bytes})(to, request);
        });
        pieces.push_back({.url = bench.server.url(path), .seconds = 1, .sequence = static_cast<std::uint64_t>(i)});
    }
    HostGate gate(8);
    StreamSource source(bench.fetcher, gate, {.headers = {}, .origin = "", .stall_timeout = 60s, .retries = {}});
    std::atomic<std::uint64_t> total = 0;
    auto file = TrackFile::open(bench.root.path("track"));
    REQUIRE(file);
    std::atomic<bool> told = false;
    TrackDownload track(
        source, *std::move(file), total,
        {.parallel = 8, .window_bytes = window, .max_bytes = 10'000'000, .on_end = [&] { told = true; }});
    track.add(pieces);
    track.close();
    const auto until = [](const std::function<bool()>& done) {
        const auto end = Clock::now() + 20s;
        while (!done() && Clock::now() < end) std::this_thread::sleep_for(2ms);
        return done();
    };
    // Several have more to give than there is room for, and the first has given nothing.
    CHECK(until([&] { return track.waiting_bytes_peak() > window / 2; }));
    CHECK_FALSE(told);
    go = true;
    CHECK(until([&] { return told.load(); }));
    CHECK(track.state().done);
    track.stop();
    CHECK(track.waiting_bytes_peak() <= window);
    CHECK(read_file(bench.root.path("track")) == all);
}

TEST_CASE("what is on its way before a segment that cannot be had is still kept, unless it takes long") {
    std::atomic<bool> comes = false, go = false;
    StreamBench bench;
    std::vector<Piece> pieces;
    for (int i = 0; i < 4; ++i) {
        const auto path = "/s" + std::to_string(i) + ".ts";
        bench.server.on(path, [&, i](const test::ServedConnection& to, const test::ServedRequest& request) {
            if (i == 2) return test::status(404)(to, request);
            if (i == 0 && !comes) return to.hold();
            while (i == 0 && !go) std::this_thread::sleep_for(1ms);
            test::serve({.bytes = "G" + std::to_string(i), .type = "video/mp2t"})(to, request);
        });
        pieces.push_back({.url = bench.server.url(path), .seconds = 1, .sequence = static_cast<std::uint64_t>(i)});
    }
    HostGate gate(8);
    StreamSource source(bench.fetcher, gate, {.headers = {}, .origin = "", .stall_timeout = 60s, .retries = {}});
    const auto until = [](const std::function<bool()>& done) {
        const auto end = Clock::now() + 20s;
        while (!done() && Clock::now() < end) std::this_thread::sleep_for(2ms);
        return done();
    };
    for (const bool late : {false, true}) {
        CAPTURE(late);
        comes = late;
        std::atomic<std::uint64_t> total = 0;
        auto file = TrackFile::open(bench.root.path("track"));
        REQUIRE(file);
        std::atomic<bool> told = false;
        TrackDownload track(source, *std::move(file), total,
                            {.max_bytes = 1'000,
                             .patience = late ? std::chrono::milliseconds(60'000) : std::chrono::milliseconds(50),
                             .on_end = [&] { told = true; }});
        track.add(pieces);
        track.close();
        if (late) {
            CHECK(until([&] { return bench.asked_for("/s2.ts") == 2; }));
            std::this_thread::sleep_for(200ms);  // Nobody tells that the third has failed while the first is awaited.
            CHECK_FALSE(told);
            CHECK_FALSE(track.state().failure);
            go = true;
            CHECK(until([&] { return told.load(); }));
        }
        CHECK(until([&] { return track.state().failure.has_value(); }));
        CHECK(track.state().failure->name == "VIDEO_UNAVAILABLE");
        track.stop();
        CHECK(track.file().entries().size() == (late ? 2 : 0));
    }
}
