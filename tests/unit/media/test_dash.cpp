// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "stream_bench.hpp"

// DASH from the manifest to the finished file.
using namespace jobruntime;
using namespace jobruntime::media;
using namespace jobruntime::media_test;
using namespace std::chrono_literals;

namespace {

/// Where a box begins in a file, and its length.
std::pair<std::size_t, std::size_t> box_in(const std::string& file, const char* type) {
    const auto bytes = read_file(file);
    const auto at = bytes.find(type);
    REQUIRE(at != std::string::npos);
    std::size_t length = 0;
    for (std::size_t i = at - 4; i < at; ++i) length = length << 8 | static_cast<unsigned char>(bytes[i]);
    return {at - 4, length};
}

/// Six seconds of picture and tone, cut in the ways of DASH. Once for the whole program.
class DashSets {
public:
    static const DashSets& get() {
        static const DashSets sets;
        return sets;
    }
    std::string folder(const std::string& name) const { return dir_.path(name); }

    static void cut(const std::string& clip, const std::string& options, const std::string& folder) {
        fs::create_directory(folder);
        ffmpeg("-i '" + clip + "' -c copy -f dash -seg_duration 1 " + options + " '" + folder +
               "/index.mpd'");
    }

private:
    DashSets() {
        const std::string clip = Clips::get()["plain.mp4"];
        cut(clip, "", folder("timeline"));
        cut(clip, "-use_timeline 0", folder("number"));
        cut(clip, "-use_template 0", folder("list"));
        cut(clip, "-single_file 1", folder("ranges"));
        cut(clip, "-single_file 1 -global_sidx 1", folder("index"));
        fs::copy(folder("index"), folder("whole"));
        const auto by_index = [&](const std::string& name) {
            const auto [begin, length] = box_in(folder("index/" + name), "sidx");
            return "<BaseURL>" + name + "</BaseURL><SegmentBase indexRange=\"" + std::to_string(begin) + "-" +
                   std::to_string(begin + length - 1) + "\"><Initialization range=\"0-" +
                   std::to_string(begin - 1) + "\"/></SegmentBase>";
        };
        write_file(folder("index/index.mpd"),
                   two_tracks(by_index("index-stream0.mp4"), by_index("index-stream1.mp4")));
        write_file(folder("whole/index.mpd"), two_tracks("<BaseURL>index-stream0.mp4</BaseURL>",
                                                         "<BaseURL>index-stream1.mp4</BaseURL>"));
        // Two halves, each with a clock of its own.
        fs::create_directory(folder("periods"));
        std::string periods;
        for (const std::string half : {"0", "3"}) {
            ffmpeg("-ss " + half + " -t 3 -i '" + clip + "' -c copy '" + folder("half" + half + ".mp4") +
                   "'");
            cut(folder("half" + half + ".mp4"), "", folder("periods/" + half));
            const auto mpd = read_file(folder("periods/" + half + "/index.mpd"));
            auto period = mpd.substr(mpd.find("<Period"), mpd.find("</MPD>") - mpd.find("<Period"));
            period.replace(0, period.find('>') + 1,
                           "<Period duration=\"PT3S\"><BaseURL>" + half + "/</BaseURL>");
            periods += period;
        }
        write_file(folder("periods/index.mpd"),
                   "<MPD mediaPresentationDuration=\"PT6S\">" + periods + "</MPD>");
    }
    static std::string two_tracks(const std::string& video, const std::string& audio) {
        const auto set = [](const std::string& kind, const std::string& inside) {
            return "<AdaptationSet mimeType=\"" + kind + "/mp4\"><Representation id=\"" + kind + "\">" +
                   inside + "</Representation></AdaptationSet>";
        };
        return "<MPD mediaPresentationDuration=\"PT6S\"><Period>" + set("video", video) +
               set("audio", audio) + "</Period></MPD>";
    }
    TempDir dir_;
};

void serve_set(StreamBench& bench, const std::string& name) {
    serve_folder(bench.server, DashSets::get().folder(name), "/v/");
    if (name != "periods") return;
    for (const std::string half : {"0", "3"})
        serve_folder(bench.server, DashSets::get().folder("periods/" + half), "/v/" + half + "/");
}

/// A manifest of one track: segments of a second by number.
std::string numbered(const std::string& more = "", const std::string& duration = "PT3S") {
    return "<MPD mediaPresentationDuration=\"" + duration +
           "\"><Period><AdaptationSet mimeType=\"video/mp4\">" + more +
           "<SegmentTemplate duration=\"1\" "
           "media=\"s$Number$.m4s\"/><Representation/></AdaptationSet></Period></MPD>";
}
test::Behaviour sent(const std::string& text) {
    return test::status(200, "Content-Type: application/dash+xml\r\n", text);
}

}  // namespace

TEST_CASE("DASH sets of every kind become the file that ffmpeg's copy would be") {
    if (helper_or_skip().empty()) return;
    const auto clip = Clips::get()["plain.mp4"];
    std::uint64_t fence = 0;
    for (const char* name : {"timeline", "number", "list", "ranges", "index", "whole", "periods"}) {
        CAPTURE(name);
        StreamBench bench;
        serve_set(bench, name);
        const auto saved = bench.save("/v/index.mpd", ++fence);
        REQUIRE_MESSAGE(saved.code == "ok", saved.message);
        const auto file = bench.finished(saved.done);
        CHECK(saved.done.output_path.ends_with(".mp4"));
        CHECK(video_md5(file) == video_md5(clip));
        CHECK(saved.done.file.facts.seconds == doctest::Approx(6).epsilon(0.02));
        CHECK(saved.done.file.facts.video_codec == "h264");
        CHECK(saved.done.file.facts.audio_codec == "aac");
        CHECK(saved.done.file.thumbnail);
        CHECK(output_of("ffmpeg -nostdin -v error -i '" + file + "' -f null - 2>&1").empty());
        // By its index a file is fetched in parts, without it in one.
        const auto requests = bench.asked_for("/v/index-stream0.mp4");
        if (name == std::string("index")) CHECK(requests >= 7);
        if (name == std::string("whole")) CHECK(requests == 1);
        CHECK(bench.nothing_left());
    }
}

TEST_CASE("a film made by others, cut into DASH") {
    if (helper_or_skip().empty()) return;
    const char* fixtures = std::getenv("JOBRT_FIXTURES");
    const auto film = std::string(fixtures ? fixtures : "") + "/bbb/bbb_480p_30s.mp4";
    if (!fixtures || !fs::exists(film)) {
        MESSAGE("skipped: JOBRT_FIXTURES names no folder with bbb/");
        return;
    }
    const TempDir dir;
    DashSets::cut(film, "-seg_duration 4", dir.path("set"));
    StreamBench bench;
    serve_folder(bench.server, dir.path("set"), "/v/");
    const auto saved = bench.save("/v/index.mpd");
    REQUIRE_MESSAGE(saved.code == "ok", saved.message);
    CHECK(video_md5(bench.finished(saved.done)) == video_md5(film));
    CHECK(saved.done.file.facts.seconds ==
          doctest::Approx(std::stod(ffprobe(film, "format=duration"))).epsilon(0.02));
}

TEST_CASE("a manifest is known by its name, its type or its text, whatever the source says") {
    const std::string two = numbered("", "PT2S");
    struct Row {
        const char* path;
        MediaProtocol protocol;
        const char* type;
        bool good;
    };
    const Row table[] = {{"/a.mpd", MediaProtocol::https, "application/octet-stream", true},
                         {"/A.MPD?sig=1", MediaProtocol::https, "text/plain", true},
                         {"/a", MediaProtocol::https, "application/dash+xml", true},
                         {"/a", MediaProtocol::https, "Text/XML; charset=utf-8", true},
                         {"/a", MediaProtocol::hls, "text/plain", true},
                         {"/a", MediaProtocol::dash, "text/plain", true},
                         {"/a", MediaProtocol::https, "text/html", false}};
    std::uint64_t fence = 0;
    for (const Row& row : table) {
        CAPTURE(row.path);
        CAPTURE(row.type);
        StreamBench bench;
        const std::string path = row.path;
        bench.server.on(path.substr(0, path.find('?')),
                        test::status(200, std::string("Content-Type: ") + row.type + "\r\n", two));
        bench.server.on("/s1.m4s", test::serve({.bytes = "-one-"}));
        bench.server.on("/s2.m4s", test::serve({.bytes = "-two-"}));
        MediaInfo info;
        info.sources.push_back({.url = bench.server.url(row.path), .protocol = row.protocol});
        const auto work = bench.work(++fence);
        const auto got = bench.downloader.download(info, work, bench.options);
        CHECK((got ? read_file(got->path) : got.error().name) ==
              (row.good ? "-one--two-" : "UNSUPPORTED_SOURCE"));
    }
    // The same for a playlist of the other kind.
    StreamBench bench;
    bench.server.on("/list", test::status(200, "Content-Type: application/x-mpegURL\r\n",
                                          "#EXTM3U\n#EXTINF:1,\ns1.m4s\n#EXT-X-ENDLIST\n"));
    bench.server.on("/s1.m4s", test::serve({.bytes = "-one-"}));
    MediaInfo info;
    info.sources.push_back({.url = bench.server.url("/list")});
    const auto work = bench.work(1);
    const auto got = bench.downloader.download(info, work, bench.options);
    REQUIRE_MESSAGE(got, got.error().message);
    CHECK(read_file(got->path) == "-one-");
}

TEST_CASE("a manifest that is named for the picture and for its sound is fetched once") {
    if (helper_or_skip().empty()) return;
    StreamBench bench;
    serve_set(bench, "timeline");
    auto info = bench.info("/v/index.mpd");
    info.sources[0].sound = MediaSound{.url = info.sources[0].url, .protocol = MediaProtocol::dash};
    const auto work = bench.work(1);
    const auto got = bench.downloader.download(info, work, bench.options);
    REQUIRE_MESSAGE(got, got.error().message);
    for (const char* path : {"/v/index.mpd", "/v/chunk-stream0-00001.m4s", "/v/chunk-stream1-00001.m4s"})
        CHECK(bench.asked_for(path) == 1);
    const auto done = bench.publish(got->path, work, 1);
    REQUIRE_MESSAGE(done, done.error().message);
    CHECK(done->file.facts.audio_codec == "aac");
}

TEST_CASE("a broken DASH download goes on behind the segments that are there, of both tracks") {
    if (helper_or_skip().empty()) return;
    StreamBench bench;
    serve_set(bench, "timeline");
    bench.server.on("/v/chunk-stream0-00004.m4s", test::status(403));
    {
        auto work = bench.work(1);
        const auto broken = bench.download("/v/index.mpd?sig=1", work);
        REQUIRE_FALSE(broken);
        CHECK(broken.error().name == "AUTH_REQUIRED");
        work.keep();
    }
    serve_set(bench, "timeline");
    const auto first = bench.asked_for("/v/chunk-stream0-00001.m4s");
    const auto saved = bench.save("/v/index.mpd?sig=2", 2);
    REQUIRE_MESSAGE(saved.code == "ok", saved.message);
    CHECK(bench.asked_for("/v/chunk-stream0-00001.m4s") == first);
    CHECK(bench.asked_for("/v/init-stream0.m4s") == 1);
    CHECK(video_md5(bench.finished(saved.done)) == video_md5(Clips::get()["plain.mp4"]));
}

TEST_CASE("a manifest that promises more than its segments have is no success") {
    if (helper_or_skip().empty()) return;
    const auto mpd = read_file(DashSets::get().folder("timeline") + "/index.mpd");
    for (const char* promised : {"PT6.0S", "PT9.0S", "PT4.0S"}) {
        CAPTURE(promised);
        auto text = mpd;
        text.replace(text.find("mediaPresentationDuration=\"PT6.0S\""), 34,
                     "mediaPresentationDuration=\"" + std::string(promised) + "\"");
        StreamBench bench;
        serve_set(bench, "timeline");
        bench.server.on("/v/index.mpd", sent(text));
        CHECK(bench.save("/v/index.mpd").code ==
              (promised == std::string("PT6.0S") ? "ok" : "WRONG_DURATION"));
        CHECK(bench.nothing_left());
    }
    // Half of the segments are not listed: the timeline knows of three seconds, the presentation of six.
    auto text = mpd;
    text.replace(text.find("r=\"5\""), 5, "r=\"2\"");
    StreamBench bench;
    serve_set(bench, "timeline");
    bench.server.on("/v/index.mpd", sent(text));
    CHECK(bench.save("/v/index.mpd").code == "WRONG_DURATION");
}

TEST_CASE("a server that does not know Range still gives the parts of a file") {
    if (helper_or_skip().empty()) return;
    for (const char* name : {"ranges", "index"}) {
        CAPTURE(name);
        StreamBench bench;
        serve_set(bench, name);
        for (const char* file : {"index-stream0.mp4", "index-stream1.mp4"})
            bench.server.on(std::string("/v/") + file,
                            test::serve({.bytes = read_file(DashSets::get().folder(name) + "/" + file),
                                         .ranges = false}));
        const auto saved = bench.save("/v/index.mpd");
        REQUIRE_MESSAGE(saved.code == "ok", saved.message);
        CHECK(video_md5(bench.finished(saved.done)) == video_md5(Clips::get()["plain.mp4"]));
    }
}

TEST_CASE("DASH servers that misbehave lead to their code, and leave nothing") {
    struct Row {
        const char* what;
        test::Behaviour manifest, second;
        const char* code;
    };
    const test::ServedFile segment{.bytes = std::string("\0\0\x4e\x28mdat", 8) + test::pattern(20'000)};
    const auto good = test::serve(segment);
    const std::string one_file =
        "<MPD mediaPresentationDuration=\"PT3S\"><Period><AdaptationSet mimeType=\"video/mp4\">"
        "<Representation><BaseURL>s2.m4s</BaseURL><SegmentBase indexRange=\"50-99\"/>"
        "</Representation></AdaptationSet></Period></MPD>";
    const Row table[] = {
        {"a page for a manifest", test::status(200, "Content-Type: text/html\r\n", "<!doctype html>log in"),
         good, "NOT_MEDIA"},
        {"no manifest", test::status(404), good, "VIDEO_UNAVAILABLE"},
        {"a manifest that is locked", test::status(403), good, "AUTH_REQUIRED"},
        {"a manifest without end", test::endless("application/dash+xml"), good, "TOO_LARGE"},
        {"a manifest that is cut off", test::drop_after({.bytes = numbered()}, 100), good, "NETWORK"},
        {"a bomb of entities", sent("<!DOCTYPE MPD [<!ENTITY a \"aaaa\">]><MPD>&a;</MPD>"), good,
         "NOT_MEDIA"},
        {"a live manifest", sent("<MPD type=\"dynamic\"/>"), good, "UNSUPPORTED_SOURCE"},
        {"protection",
         sent(numbered("<ContentProtection schemeIdUri=\"urn:uuid:edef8ba9-79d6-4ace-a3c8-27dcd51d21ed\"/>")),
         good, "DRM_PROTECTED"},
        {"a film that is too long", sent(numbered("", "PT1H")), good, "TOO_LONG"},
        {"a segment that is gone", sent(numbered()), test::status(404), "VIDEO_UNAVAILABLE"},
        {"a link that has expired", sent(numbered()), test::status(403), "AUTH_REQUIRED"},
        {"a page for a segment", sent(numbered()), test::status(200, "Content-Type: text/html\r\n", "<html>"),
         "NOT_MEDIA"},
        {"a segment cut off", sent(numbered()), test::drop_after(segment, 5'000), "NETWORK"},
        {"a segment that stalls", sent(numbered()), test::stall_after(segment, 5'000), "DOWNLOAD_STALLED"},
        {"a segment without end", sent(numbered()), test::endless(), "TOO_LARGE"},
        {"a part of a segment that was asked for whole", sent(numbered()),
         test::status(206, "Content-Range: bytes 0-7/20008\r\n", std::string("\0\0\0\x08" "free", 8)), "NETWORK"},
        {"a server in trouble", sent(numbered()), test::status(500), "NETWORK"},
        {"one that wants us to wait long", sent(numbered()), test::status(429, "Retry-After: 3600\r\n"),
         "RATE_LIMITED"},
        {"one byte at a time", sent(numbered()), test::slowly(segment, 1, 100ms), "DOWNLOAD_TIMEOUT"},
        {"a redirect to a private address", sent(numbered()), test::redirect("http://10.0.0.1/s"),
         "SSRF_BLOCKED"},
        {"segments on a private address", sent(numbered("<BaseURL>http://192.168.7.1/</BaseURL>")), good,
         "SSRF_BLOCKED"},
        {"a manifest that moves to a private address", test::redirect("http://169.254.169.254/m.mpd"), good,
         "SSRF_BLOCKED"},
        {"an index that is a page", sent(one_file),
         test::status(200, "Content-Type: text/html\r\n", "<html>"), "NOT_MEDIA"},
        {"an index of another file", sent(one_file),
         test::status(206, "Content-Range: bytes 0-49/100\r\n", std::string(50, 'x')), "NETWORK"},
        {"a file that is too short for its index", sent(one_file), test::serve({.bytes = "12345"}),
         "UNSUPPORTED_SOURCE"}};
    std::uint64_t fence = 0;
    for (const Row& row : table) {
        CAPTURE(row.what);
        StreamBench bench;
        bench.server.on("/v/index.mpd", row.manifest);
        for (const char* name : {"/v/s1.m4s", "/v/s3.m4s"}) bench.server.on(name, good);
        bench.server.on("/v/s2.m4s", row.second);
        bench.options.max_bytes = 1'000'000;
        bench.options.time_limit = row.code == std::string("DOWNLOAD_TIMEOUT") ? 500ms : 60'000ms;
        bench.options.max_duration = 100s;
        const auto saved = bench.save("/v/index.mpd", ++fence);
        CHECK_MESSAGE(saved.code == row.code, saved.message);
        CHECK(bench.nothing_left());
    }
}

TEST_CASE("the last segment that was reckoned may be missing where little is left for it, no other") {
    struct Row {
        const char* duration;
        const char* code;
    };
    const Row rows[] = {{"PT2.05S", "ok"}, {"PT2.4S", "VIDEO_UNAVAILABLE"}, {"PT3S", "VIDEO_UNAVAILABLE"}};
    std::uint64_t fence = 0;
    for (const Row& row : rows) {
        CAPTURE(row.duration);
        StreamBench bench;
        bench.server.on("/v/index.mpd", sent(numbered("", row.duration)));
        for (const char* name : {"1", "2"})
            bench.server.on(std::string("/v/s") + name + ".m4s", test::serve({.bytes = std::string("-") + name}));
        const auto work = bench.work(++fence);
        const auto got = bench.download("/v/index.mpd", work);
        CHECK((got ? "ok" : got.error().name) == row.code);
        if (got) CHECK(read_file(got->path) == "-1-2");
    }
}
