// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "stream_bench.hpp"

using namespace jobruntime;
using namespace jobruntime::media;
using namespace jobruntime::media_test;
using namespace std::chrono_literals;

TEST_CASE("streams of every kind become the file that ffmpeg's copy would be") {
    if (helper_or_skip().empty()) return;
    struct Row {
        const char* folder;
        const char* playlist;
    };
    const Row table[] = {{"ts", "index.m3u8"},
                         {"fmp4", "index.m3u8"},
                         {"ranges", "index.m3u8"},
                         {"aes", "index.m3u8"},
                         {"apart", "master.m3u8"}};
    std::uint64_t fence = 0;
    for (const Row& row : table) {
        CAPTURE(row.folder);
        StreamBench bench;
        const auto folder = Streams::get().folder(row.folder);
        serve_folder(bench.server, folder, "/v/");
        const auto saved = bench.save(std::string("/v/") + row.playlist, ++fence);
        REQUIRE_MESSAGE(saved.code == "ok", saved.message);
        const auto file = bench.finished(saved.done);
        CHECK(saved.done.output_path.ends_with(".mp4"));
        CHECK(video_md5(file) == Streams::get().md5_by_ffmpeg(folder + "/" + row.playlist));
        CHECK(saved.done.file.facts.seconds == doctest::Approx(6).epsilon(0.02));
        CHECK(saved.done.file.facts.video_codec == "h264");
        CHECK(saved.done.file.facts.audio_codec == "aac");
        CHECK(saved.done.file.thumbnail);
        // It decodes from the first to the last picture without a complaint.
        CHECK(output_of("ffmpeg -nostdin -v error -i '" + file + "' -f null - 2>&1").empty());
        CHECK(bench.nothing_left());
    }
}

TEST_CASE("runs of different clocks and gaps are closed up, and the gap's time does not count") {
    if (helper_or_skip().empty()) return;
    StreamBench bench;
    serve_folder(bench.server, Streams::get().folder("ts"), "/v/");
    const auto list = [](const std::string& body) {
        return test::status(200, "Content-Type: application/vnd.apple.mpegurl\r\n",
                            "#EXTM3U\n#EXT-X-TARGETDURATION:1\n" + body + "#EXT-X-ENDLIST\n");
    };
    const auto segment = [](int n) { return "#EXTINF:1.0,\nindex" + std::to_string(n) + ".ts\n"; };
    bench.server.on("/v/gap.m3u8",
                    list(segment(0) + segment(1) + "#EXT-X-GAP\n" + segment(9) + segment(3) + segment(4)));
    const auto gap = bench.save("/v/gap.m3u8", 1);
    REQUIRE_MESSAGE(gap.code == "ok", gap.message);
    CHECK(gap.done.file.facts.seconds == doctest::Approx(4).epsilon(0.03));
    CHECK(bench.asked_for("/v/index9.ts") == 0);
    // The same second three times, each with the clock of the first.
    bench.server.on("/v/again.m3u8", list(segment(2) + "#EXT-X-DISCONTINUITY\n" + segment(2) +
                                          "#EXT-X-DISCONTINUITY\n" + segment(0)));
    const auto again = bench.save("/v/again.m3u8", 2);
    REQUIRE_MESSAGE(again.code == "ok", again.message);
    CHECK(again.done.file.facts.seconds == doctest::Approx(3).epsilon(0.03));
    CHECK(ffprobe(bench.finished(again.done), "stream=nb_frames").substr(0, 2) == "75");
}

TEST_CASE("the best variant within the height is taken") {
    StreamBench bench;
    const std::string master =
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,RESOLUTION=320x180\nlow.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=2,RESOLUTION=640x360\nhigh.m3u8\n"
        "#EXT-X-STREAM-INF:BANDWIDTH=3,RESOLUTION=1280x720\ngone.m3u8\n";
    bench.server.on("/v/master.m3u8", test::status(200, "", master));
    for (const char* name : {"low", "high"}) {
        bench.server.on(
            std::string("/v/") + name + ".m3u8",
            test::status(200, "", "#EXTM3U\n#EXTINF:1,\n" + std::string(name) + ".ts\n#EXT-X-ENDLIST\n"));
        bench.server.on(std::string("/v/") + name + ".ts",
                        test::serve({.bytes = name, .type = "video/mp2t"}));
    }
    const auto taken = [&](int height, std::uint64_t fence) {
        bench.options.max_height = height;
        const auto work = bench.work(fence);
        const auto got = bench.download("/v/master.m3u8", work);
        return got ? read_file(got->path) : got.error().name;
    };
    CHECK(taken(0, 1) == "high");  // The tallest is listed and not there.
    CHECK(taken(360, 2) == "high");
    CHECK(taken(359, 3) == "low");
}

TEST_CASE("servers that misbehave lead to their code, leave nothing, and are never a success") {
    struct Row {
        const char* what;
        test::Behaviour playlist, second;
        const char* code;
    };
    const auto list = [](const std::string& text) { return test::status(200, "", text); };
    const std::string two = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.ts\n#EXTINF:1,\nb.ts\n";
    const auto whole = list(two + "#EXT-X-ENDLIST\n");
    const test::ServedFile segment{.bytes = "G" + test::pattern(20'000), .type = "video/mp2t"};
    const auto key = [&](const std::string& uri) {
        return list("#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"" + uri +
                    "\"\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n");
    };
    std::atomic<int> live = 0;
    const Row table[] = {
        {"a page for a playlist", list("<!doctype html>log in"), test::serve(segment), "NOT_MEDIA"},
        {"no playlist", test::status(404), test::serve(segment), "VIDEO_UNAVAILABLE"},
        {"a playlist that is locked", test::status(403), test::serve(segment), "AUTH_REQUIRED"},
        {"a playlist without end", test::endless("application/vnd.apple.mpegurl"), test::serve(segment), "TOO_LARGE"},
        {"a playlist that never comes", test::silence(), test::serve(segment), "DOWNLOAD_STALLED"},
        {"a playlist that is cut off", test::drop_after({.bytes = two + "#EXT-X-ENDLIST\n"}, 40), test::serve(segment), "NETWORK"},
        {"an empty list", list("#EXTM3U\n#EXT-X-ENDLIST\n"), test::serve(segment), "NOT_MEDIA"},
        {"a segment that is gone", whole, test::status(404), "VIDEO_UNAVAILABLE"},
        {"a link that has expired", whole, test::status(403), "AUTH_REQUIRED"},
        {"a page for a segment", whole, test::status(200, "Content-Type: text/html\r\n", "<html>"),
         "NOT_MEDIA"},
        {"a page that says it is media", whole, test::status(200, "Content-Type: video/mp2t\r\n", "<html>"),
         "NOT_MEDIA"},
        {"a segment cut off", whole, test::drop_after(segment, 5'000), "NETWORK"},
        {"a segment that stalls", whole, test::stall_after(segment, 5'000), "DOWNLOAD_STALLED"},
        {"an empty segment", whole, test::status(200), "NETWORK"},
        {"a server in trouble", whole, test::status(500), "NETWORK"},
        {"a server that wants us to wait long", whole, test::status(429, "Retry-After: 3600\r\n"),
         "RATE_LIMITED"},
        {"a segment without end", whole, test::endless("video/mp2t"), "TOO_LARGE"},
        {"one byte at a time", whole, test::slowly(segment, 1, 100ms), "DOWNLOAD_TIMEOUT"},
        {"a playlist that never ends nor grows", list(two), test::serve(segment), "DOWNLOAD_STALLED"},
        {"a playlist that grows for ever",
         [&](const test::ServedConnection& to, const test::ServedRequest& asked) {
             const int first = live += 2;
             std::string text =
                 "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-MEDIA-SEQUENCE:" + std::to_string(first) + "\n";
             for (int i = 0; i < 4; ++i) text += "#EXTINF:20,\na.ts\n";
             list(text)(to, asked);
         },
         test::serve(segment), "TOO_LONG"},
        {"a key that is a page", key("/page"), test::serve(segment), "NOT_MEDIA"},
        {"a key that is not there", key("/gone"), test::serve(segment), "VIDEO_UNAVAILABLE"},
        {"a key on a private address", key("http://192.168.7.1/key"), test::serve(segment), "SSRF_BLOCKED"},
        {"a segment on a private address",
         list("#EXTM3U\n#EXTINF:1,\nhttp://10.1.2.3/a.ts\n#EXT-X-ENDLIST\n"), test::serve(segment),
         "SSRF_BLOCKED"},
        {"a redirect to a private address", whole, test::redirect("http://169.254.1.1/a.ts"), "SSRF_BLOCKED"},
        {"a redirect in a circle", whole, test::redirect("/v/b.ts"), "UNSUPPORTED_SOURCE"},
        {"a playlist that moves to a private address", test::redirect("http://[::1]/a.m3u8"),
         test::serve(segment), "INVALID_URL"},
        {"SAMPLE-AES",
         list("#EXTM3U\n#EXT-X-KEY:METHOD=SAMPLE-AES,URI=\"k\"\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n"),
         test::serve(segment), "DRM_PROTECTED"},
        {"sound only", list("#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1,CODECS=\"mp4a.40.2\"\ns.m3u8\n"),
         test::serve(segment), "NO_VIDEO"}};
    std::uint64_t fence = 0;
    for (const Row& row : table) {
        CAPTURE(row.what);
        StreamBench bench;
        bench.server.on("/v/index.m3u8", row.playlist);
        bench.server.on("/v/a.ts", test::serve(segment));
        bench.server.on("/v/b.ts", row.second);
        bench.server.on("/page", test::status(200, "Content-Type: text/html\r\n", "<html>"));
        bench.options.max_bytes = 1'000'000;
        bench.options.time_limit = row.code == std::string("DOWNLOAD_TIMEOUT") ? 5s : 60s;
        bench.options.max_duration = 100s;
        const auto saved = bench.save("/v/index.m3u8", ++fence);
        CHECK_MESSAGE(saved.code == row.code, saved.message);
        CHECK(bench.nothing_left());
    }
}

TEST_CASE("a key that cannot be had is asked for as often as anything else, and no segment without it") {
    StreamBench bench;
    std::string list = "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"key\"\n";
    for (int i = 0; i < 20; ++i) list += "#EXTINF:1,\na.ts\n";
    bench.server.on("/v/index.m3u8", test::status(200, "", list + "#EXT-X-ENDLIST\n"));
    bench.server.on("/v/key", test::status(500));
    CHECK(bench.save("/v/index.m3u8").code == "NETWORK");
    CHECK(bench.asked_for("/v/key") == 3);  // segment_retries of the bench, and once.
    CHECK(bench.asked_for("/v/a.ts") == 0);
}

TEST_CASE("a playlist that says nothing has stalled, and one that only trickles is too slow") {
    const test::ServedFile list{.bytes = "#EXTM3U\n" + std::string(10'000, '#')};
    const std::pair<test::Behaviour, std::string> table[] = {{test::silence(), "DOWNLOAD_STALLED"},
                                                             {test::stall_after(list, 20), "DOWNLOAD_STALLED"},
                                                             {test::slowly(list, 1, 100ms), "NETWORK"}};
    std::uint64_t fence = 0;
    for (const auto& [behaviour, code] : table) {
        CAPTURE(code);
        StreamBench bench;
        bench.server.on("/v/index.m3u8", behaviour);
        bench.options.stall_timeout = 1s;
        bench.options.segment_retries = 0;
        const auto saved = bench.save("/v/index.m3u8", ++fence);
        CHECK_MESSAGE(saved.code == code, saved.message);
    }
}

TEST_CASE("a playlist that grows goes on with the variables of its master playlist, and those of its address") {
    StreamBench bench;
    bench.server.on("/v/master.m3u8", test::status(200, "", "#EXTM3U\n#EXT-X-DEFINE:NAME=\"at\",VALUE=\"/files\"\n"
                                                            "#EXT-X-STREAM-INF:BANDWIDTH=1\nlist.m3u8?part=b&x=1\n"));
    const std::string head = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXT-X-DEFINE:IMPORT=\"at\"\n"
                             "#EXT-X-DEFINE:QUERYPARAM=\"part\"\n#EXTINF:1,\n{$at}/a.ts\n";
    std::atomic<int> asked = 0;
    bench.server.on("/v/list.m3u8", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        test::status(200, "", head + (asked++ == 0 ? "" : "#EXTINF:1,\n{$at}/{$part}.ts\n#EXT-X-ENDLIST\n"))(to, request);
    });
    for (const char* name : {"a", "b"})
        bench.server.on("/files/" + std::string(name) + ".ts", test::serve({.bytes = std::string(188, *name), .type = "video/mp2t"}));
    const auto folder = bench.work(1);
    const auto got = bench.download("/v/master.m3u8", folder);
    REQUIRE_MESSAGE(got, got.error().message);
    CHECK(read_file(got->path) == std::string(188, 'a') + std::string(188, 'b'));
    CHECK(asked == 2);
}

TEST_CASE("a segment that fails for a moment is asked for again, and Retry-After is kept") {
    StreamBench bench;
    std::atomic<int> asked = 0;
    std::atomic<std::int64_t> second_at = 0;
    const auto now = [] { return std::chrono::steady_clock::now().time_since_epoch().count(); };
    const test::ServedFile good{.bytes = "G-the-segment", .type = "video/mp2t"};
    const std::pair<const char*, test::Behaviour> table[] = {
        {"403", test::status(403)},
        {"500", test::status(500)},
        {"dropped", test::drop_after(good, 4)},
        {"stalled", test::stall_after(good, 4)},
        {"429", test::status(429, "Retry-After: 1\r\n")}};
    bench.server.on("/v/index.m3u8", test::status(200, "", "#EXTM3U\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n"));
    std::uint64_t fence = 0;
    for (const auto& [what, first] : table) {
        CAPTURE(what);
        asked = 0;
        bench.server.on("/v/a.ts", [&, once = first](const test::ServedConnection& to,
                                                     const test::ServedRequest& request) {
            const bool again = asked++ > 0;
            if (again) second_at = now();
            (again ? test::serve(good) : once)(to, request);
        });
        const auto begun = now();
        const auto work = bench.work(++fence);
        const auto got = bench.download("/v/index.m3u8", work);
        REQUIRE_MESSAGE(got, got.error().message);
        CHECK(read_file(got->path) == good.bytes);
        CHECK(asked == 2);
        if (std::string_view(what) == "429") CHECK(std::chrono::nanoseconds(second_at - begun) >= 1s);
    }
}

TEST_CASE("the next attempt goes on behind the segments that are there, also under new signatures") {
    StreamBench bench;
    const auto list = [&](const std::string& signature) {
        std::string text = "#EXTM3U\n";
        for (int i = 0; i < 6; ++i)
            text += "#EXTINF:1,\ns" + std::to_string(i) + ".ts?sig=" + signature + "\n";
        return test::status(200, "", text + "#EXT-X-ENDLIST\n");
    };
    std::string all;
    for (int i = 0; i < 6; ++i) {
        const std::string bytes = "G" + std::to_string(i) + test::pattern(3'000);
        all += bytes;
        bench.server.on("/v/s" + std::to_string(i) + ".ts",
                        i == 4 ? test::status(403) : test::serve({.bytes = bytes}));
    }
    bench.server.on("/v/index.m3u8", list("old"));
    {
        auto work = bench.work(1);
        const auto broken = bench.download("/v/index.m3u8?sig=old", work);
        REQUIRE_FALSE(broken);
        CHECK(broken.error().name == "AUTH_REQUIRED");
        work.keep();
    }
    bench.server.on("/v/s4.ts", test::serve({.bytes = "G4" + test::pattern(3'000)}));
    bench.server.on("/v/index.m3u8", list("new"));
    const auto work = bench.work(2);
    const auto got = bench.download("/v/index.m3u8?sig=new", work);
    REQUIRE_MESSAGE(got, got.error().message);
    CHECK(read_file(got->path) == all);
    CHECK(got->resumed_from == 4 * 3'002);
    for (int i = 0; i < 4; ++i) CHECK(bench.asked_for("/v/s" + std::to_string(i) + ".ts") == 1);
    // Complete: nobody is asked.
    const auto requests = bench.server.requests().size();
    CHECK(bench.download("/v/index.m3u8?sig=newer", work));
    CHECK(bench.server.requests().size() == requests);
}

TEST_CASE("a sliding playlist is followed until it ends") {
    StreamBench bench;
    std::atomic<int> asked = 0;
    std::string all;
    for (int i = 0; i < 5; ++i) {
        all += "G" + std::to_string(i);
        bench.server.on("/v/s" + std::to_string(i) + ".ts", test::serve({.bytes = "G" + std::to_string(i)}));
    }
    bench.server.on(
        "/v/index.m3u8", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
            const int first = std::min(asked++, 3);
            std::string text =
                "#EXTM3U\n#EXT-X-TARGETDURATION:0.2\n#EXT-X-MEDIA-SEQUENCE:" + std::to_string(first) + "\n";
            for (int i = first; i < first + 2; ++i) text += "#EXTINF:0.2,\ns" + std::to_string(i) + ".ts\n";
            test::status(200, "", text + (first == 3 ? "#EXT-X-ENDLIST\n" : ""))(to, request);
        });
    const auto work = bench.work(1);
    const auto got = bench.download("/v/index.m3u8", work);
    REQUIRE_MESSAGE(got, got.error().message);
    CHECK(read_file(got->path) == all);
    for (int i = 0; i < 5; ++i) CHECK(bench.asked_for("/v/s" + std::to_string(i) + ".ts") == 1);
}

TEST_CASE("segments come in parallel, in order, with each host's limit kept over all downloads") {
    StreamBench bench;
    const Downloader downloader(bench.fetcher, 3);
    std::atomic<int> inside = 0, most = 0;
    std::string text = "#EXTM3U\n", all;
    for (int i = 0; i < 30; ++i) {
        const std::string bytes = "G" + std::to_string(i) + test::pattern(2'000);
        all += bytes;
        text += "#EXTINF:1,\ns" + std::to_string(i) + ".ts\n";
        bench.server.on("/v/s" + std::to_string(i) + ".ts",
                        [&, bytes](const test::ServedConnection& to, const test::ServedRequest& request) {
                            const int now = ++inside;
                            for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {}
                            std::this_thread::sleep_for(20ms);
                            --inside;
                            test::serve({.bytes = bytes})(to, request);
                        });
    }
    bench.server.on("/v/index.m3u8", test::status(200, "", text + "#EXT-X-ENDLIST\n"));
    const auto work = bench.work(1);
    const auto got = downloader.download(bench.info("/v/index.m3u8"), work, bench.options);
    REQUIRE_MESSAGE(got, got.error().message);
    CHECK(read_file(got->path) == all);
    CHECK(most >= 2);
    CHECK(most <= 4);  // The limit, and the foremost segment.
}

TEST_CASE("a stop ends a stream's download at once and leaves nothing") {
    StreamBench bench;
    const test::ServedFile segment{.bytes = "G" + test::pattern(20'000), .type = "video/mp2t"};
    bench.server.on("/v/index.m3u8",
                    test::status(200, "", "#EXTM3U\n#EXTINF:1,\na.ts\n#EXTINF:1,\nb.ts\n#EXT-X-ENDLIST\n"));
    bench.server.on("/v/a.ts", test::serve(segment));
    bench.server.on("/v/b.ts", test::stall_after(segment, 100));
    bench.options.stall_timeout = 60s;
    std::stop_source stop;
    std::chrono::steady_clock::time_point asked;
    {
        const auto work = bench.work(1);
        const auto got = bench.download(
            "/v/index.m3u8", work,
            [&](const Progress& at) {
                if (at.bytes < segment.bytes.size() || stop.stop_requested()) return;
                asked = std::chrono::steady_clock::now();
                stop.request_stop();
            },
            stop.get_token());
        CHECK(std::chrono::steady_clock::now() - asked < 5s);
        REQUIRE_FALSE(got);
        CHECK(got.error().code == Errc::canceled);
    }
    CHECK(bench.nothing_left());
}

TEST_CASE("a shorter stream than its playlist promises is no success") {
    if (helper_or_skip().empty()) return;
    StreamBench bench;
    serve_folder(bench.server, Streams::get().folder("ts"), "/v/");
    const auto cut = read_file(Streams::get().folder("ts") + "/index5.ts");
    // A server that closes early without saying how much there was: only the clock can tell.
    bench.server.on("/v/index5.ts", [&](const test::ServedConnection& to, const test::ServedRequest&) {
        to.send("HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n" +
                cut.substr(0, 188 * 4));
    });
    const auto saved = bench.save("/v/index.m3u8");
    CHECK(saved.code == "WRONG_DURATION");
    CHECK(bench.nothing_left());
}

TEST_CASE("real streams made by others") {
    if (helper_or_skip().empty()) return;
    const char* fixtures = std::getenv("JOBRT_FIXTURES");
    const auto root = std::string(fixtures ? fixtures : "") + "/shaka";
    if (!fixtures || !fs::exists(root)) {
        MESSAGE("skipped: JOBRT_FIXTURES names no folder with shaka/");
        return;
    }
    struct Row {
        const char* folder;
        const char* playlist;
        const char* code;
        double seconds;
    };
    const Row table[] = {{"hls-gap", "playlist.m3u8", "ok", 24.024},
                         {"hls-mp4-muxed-aac-h264", "hls.m3u8", "ok", 1.001},
                         {"hls-raw-aac", "manifest.m3u8", "NO_VIDEO", 0},
                         {"hls-raw-aac", "stream.m4a.m3u8", "NO_VIDEO", 0},
                         {"hls-sample-aes", "index.m3u8", "DRM_PROTECTED", 0},
                         {"hls-ts-b-frames", "index.m3u8", "ok", 5.76},
                         {"hls-ts-muxed-aac-h264", "playlist.m3u8", "ok", 36}};
    std::uint64_t fence = 0;
    for (const Row& row : table) {
        CAPTURE(row.folder);
        StreamBench bench;
        const auto folder = root + "/" + row.folder;
        serve_folder(bench.server, folder, "/v/");
        const auto saved = bench.save(std::string("/v/") + row.playlist, ++fence);
        CHECK_MESSAGE(saved.code == row.code, saved.message);
        if (saved.code != "ok") continue;
        CHECK(saved.done.file.facts.seconds == doctest::Approx(row.seconds).epsilon(0.02));
        CHECK(video_md5(bench.finished(saved.done)) == Streams::get().md5_by_ffmpeg(folder + "/" + row.playlist));
    }
}
