// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "stream_bench.hpp"

// Streams whose pieces are answered politely and hold less than their playlist says, beside streams that are whole
// though their packets lie far apart.
using namespace jobruntime;
using namespace jobruntime::media;
using namespace jobruntime::media_test;

namespace {

/// Twelve seconds in pieces of 0.4 s, which a test puts together to segments of two: so any part of one can be missing.
class Parts {
public:
    Parts(const TempDir& dir, const std::string& input, bool fragments) : ext_(fragments ? ".m4s" : ".ts") {
        const std::string how = fragments ? " -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4" : "";
        ffmpeg(input + " -f hls -hls_time 0.4 -hls_playlist_type vod" + how + " -hls_segment_filename '" + dir.path("p%d") +
               ext_ + "' '" + dir.path("parts.m3u8") + "'");
        if (fragments) init_ = read_file(dir.path("init.mp4"));
        for (int i = 0; fs::exists(dir.path("p" + std::to_string(i) + ext_)); ++i)
            parts_.push_back(read_file(dir.path("p" + std::to_string(i) + ext_)));
    }
    /// The segment's first `count` parts of five.
    std::string segment(int n, int count = 5) const {
        std::string bytes;
        for (int i = n * 5; i < n * 5 + count; ++i) bytes += parts_.at(static_cast<std::size_t>(i));
        return bytes;
    }
    /// Of the right shape, and without a picture or sound.
    std::string nothing() const {
        return init_.empty() ? parts_[0].substr(0, std::size_t{188} * 3) : std::string("\0\0\0\x18styphlsf\0\0\0\0hlsfiso6", 24);
    }
    void serve(StreamBench& bench, const std::vector<std::string>& segments, const std::string& extinf = "2.000") const {
        std::string list = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n";
        if (!init_.empty()) list += "#EXT-X-MAP:URI=\"init.mp4\"\n";
        bench.server.on("/v/init.mp4", test::serve({.bytes = init_}));
        for (std::size_t i = 0; i < segments.size(); ++i) {
            const auto name = "s" + std::to_string(i) + ext_;
            list += "#EXTINF:" + extinf + ",\n" + name + "\n";
            bench.server.on("/v/" + name, test::serve({.bytes = segments[i], .type = type_of(name)}));
        }
        bench.server.on("/v/index.m3u8", test::status(200, "Content-Type: application/vnd.apple.mpegurl\r\n", list + "#EXT-X-ENDLIST\n"));
    }

private:
    std::string ext_, init_;
    std::vector<std::string> parts_;
};

const std::string test_picture = "-f lavfi -i testsrc=s=160x120:d=12:r=25 ";
const std::string test_sound = "-f lavfi -i sine=d=12 -c:a aac ";
const std::string coded = "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 10 ";

}  // namespace

TEST_CASE("a segment that holds less than its playlist says is no success, wherever it stands") {
    if (helper_or_skip().empty()) return;
    struct Row {
        const char* what;
        int damaged;  // Which segment of the six.
        int parts;    // What is left of it, in fifths.
        const char* code;
        int length = 6;
    };
    const Row rows[] = {{"whole", 0, 5, "ok"},
                        {"a little is missing", 3, 4, "ok"},
                        {"most of one in the middle is missing", 3, 1, "WRONG_DURATION"},
                        {"one in the middle is empty", 2, 0, "WRONG_DURATION"},
                        {"half of the first is missing", 0, 2, "WRONG_DURATION"},
                        {"the first is empty", 0, 0, "WRONG_DURATION"},
                        {"most of the last is missing", 5, 1, "WRONG_DURATION"},
                        {"the last is empty", 5, 0, "WRONG_DURATION"}};
    std::uint64_t fence = 0;
    for (const bool fragments : {false, true})
        for (const bool silent : {false, true}) {
            const TempDir dir;
            const Parts parts(dir, test_picture + (silent ? "" : test_sound) + coded, fragments);
            for (const Row& row : rows) {
                CAPTURE(row.what);
                CAPTURE(fragments);
                CAPTURE(silent);
                StreamBench bench;
                std::vector<std::string> segments;
                for (int i = 0; i < 6; ++i) segments.push_back(parts.segment(i, i == row.damaged ? row.parts : 5));
                if (row.parts == 0) segments[static_cast<std::size_t>(row.damaged)] = parts.nothing();
                parts.serve(bench, segments);
                const auto saved = bench.save("/v/index.m3u8", ++fence);
                CHECK_MESSAGE(saved.code == row.code, saved.message);
                CHECK(bench.nothing_left());
            }
        }
}

TEST_CASE("a long film without its end, or with a hole in its sound alone, is no success") {
    if (helper_or_skip().empty()) return;
    const TempDir dir, apart;
    // Two per cent of it are more than what is missing.
    const Parts parts(dir, "-f lavfi -i testsrc=s=160x120:d=120:r=5 -f lavfi -i sine=d=120 -c:a aac -pix_fmt yuv420p -c:v libx264 "
                           "-preset ultrafast -g 2", false);
    std::vector<std::string> segments;
    for (int i = 0; i < 60; ++i) segments.push_back(parts.segment(i, i == 59 ? 1 : 5));
    StreamBench bench;
    parts.serve(bench, segments);
    const auto cut = bench.save("/v/index.m3u8", 1);
    CHECK_MESSAGE(cut.code == "WRONG_DURATION", cut.message);
    segments.back() = parts.segment(59);
    parts.serve(bench, segments);
    CHECK(bench.save("/v/index.m3u8", 2).code == "ok");
    // Whole seconds say little about a single segment.
    segments.back() = parts.segment(59, 2);
    parts.serve(bench, segments, "2");
    CHECK(bench.save("/v/index.m3u8", 3).code == "ok");

    // Sound of its own, with a clock and as raw AAC, whose packets have none.
    const Parts pictures(dir, test_picture + coded, false);
    std::vector<std::string> shown;
    for (int i = 0; i < 6; ++i) shown.push_back(pictures.segment(i));
    pictures.serve(bench, shown);
    ffmpeg("-f lavfi -i sine=d=12 -c:a aac -f segment -segment_time 2 -segment_format adts '" + apart.path("%d.aac") + "'");
    const Parts heard(apart, "-f lavfi -i sine=d=12 -c:a aac", false);
    for (const bool raw : {false, true})
        for (const bool whole : {true, false}) {
            CAPTURE(raw);
            CAPTURE(whole);
            std::string list = "#EXTM3U\n#EXT-X-TARGETDURATION:3\n";
            for (int i = 0; i < 6; ++i) {
                auto bytes = raw ? read_file(apart.path(std::to_string(i) + ".aac")) : heard.segment(i, i == 2 && !whole ? 1 : 5);
                if (raw && i == 2 && !whole) bytes.resize(bytes.size() / 4);
                bench.server.on("/v/a" + std::to_string(i), test::serve({.bytes = bytes, .type = raw ? "audio/aac" : "video/mp2t"}));
                list += "#EXTINF:2.000,\na" + std::to_string(i) + "\n";
            }
            bench.server.on("/v/a.m3u8", test::status(200, "", list + "#EXT-X-ENDLIST\n"));
            bench.server.on("/v/master.m3u8", test::status(200, "", "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"s\",NAME=\"s\",DEFAULT=YES,"
                                                                    "URI=\"a.m3u8\"\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"s\"\nindex.m3u8\n"));
            const auto saved = bench.save("/v/master.m3u8", 4 + (raw ? 2 : 0) + (whole ? 1 : 0));
            CHECK_MESSAGE(saved.code == (whole ? "ok" : "WRONG_DURATION"), saved.message);
        }
    CHECK(bench.nothing_left());
}

TEST_CASE("pictures that are few, stand still or come at uneven times are no hole") {
    if (helper_or_skip().empty()) return;
    const std::pair<const char*, const char*> films[] = {
        {"one a second", "testsrc=s=160x120:d=20:r=1"},
        {"one for each segment", "testsrc=s=160x120:d=20:r=1/4"},
        {"at uneven times", "testsrc=s=160x120:d=20:r=25,select='lt(mod(n\\,80)\\,5)+eq(mod(n\\,97)\\,0)'"},
        {"that stand still before a segment's end", "testsrc=s=160x120:d=20:r=10,select='lt(t\\,5)+gt(t\\,9)'"},
        {"that stand still for long within one", "testsrc=s=160x120:d=20:r=10,select='lt(t\\,3)+gt(t\\,14)'"}};
    std::uint64_t fence = 0;
    for (const auto& [what, film] : films)
        for (const char* heard : {"", "-f lavfi -i sine=d=20 -c:a aac"})
            for (const char* kind : {"mpegts", "fmp4"}) {
                CAPTURE(what);
                CAPTURE(heard);
                CAPTURE(kind);
                const TempDir dir;
                ffmpeg(std::string("-f lavfi -i \"") + film + "\" " + heard +
                       " -vsync vfr -pix_fmt yuv420p -c:v libx264 -preset ultrafast -g 10 -f hls -hls_time 2 -hls_playlist_type vod "
                       "-hls_segment_type " + kind + " '" + dir.path("index.m3u8") + "'");
                StreamBench bench;
                serve_folder(bench.server, dir.path(), "/v/");
                const auto saved = bench.save("/v/index.m3u8", ++fence);
                CHECK_MESSAGE(saved.code == "ok", saved.message);
            }
}

TEST_CASE("a picture that ends well before its sound is no success, unless the file itself says so or it stands still") {
    const std::string helper = helper_or_skip();
    if (helper.empty()) return;
    struct Row {
        const char* what;
        const char* picture;
        const char* file;
        const char* code;
    };
    const Row rows[] = {{"the same length", "testsrc=s=160x120:d=20:r=25", "a.ts", "ok"},
                        {"two seconds less", "testsrc=s=160x120:d=18:r=25", "b.ts", "ok"},
                        {"a quarter", "testsrc=s=160x120:d=5:r=25", "c.ts", "WRONG_DURATION"},
                        {"a quarter", "testsrc=s=160x120:d=5:r=25", "d.flv", "WRONG_DURATION"},
                        {"a quarter, and its table of samples says it", "testsrc=s=160x120:d=5:r=25", "e.mp4", "ok"},
                        {"a cover", "testsrc=s=160x120:d=1:r=1", "f.ts", "ok"},
                        {"few pictures", "testsrc=s=160x120:d=15:r=1/2", "g.ts", "ok"}};
    const TempDir dir;
    std::uint64_t fence = 0;
    for (const Row& row : rows) {
        CAPTURE(row.file);
        const auto path = dir.path(row.file);
        ffmpeg(std::string("-f lavfi -i ") + row.picture + " -f lavfi -i sine=d=20 -c:a aac " + coded + "'" + path + "'");
        const auto alone = HelperClient({.program = helper}).finish({.input = path, .output = dir.path("out.mp4")});
        CHECK_MESSAGE((alone ? "ok" : alone.error().name) == row.code, (alone ? "" : alone.error().message));
        fs::remove(dir.path("out.mp4"));
        if (!path.ends_with(".ts")) continue;
        // The same as a stream of one segment, whose playlist promises what the two have together.
        StreamBench bench;
        bench.server.on("/v/a.ts", test::serve({.bytes = read_file(path), .type = "video/mp2t"}));
        bench.server.on("/v/index.m3u8", test::status(200, "", "#EXTM3U\n#EXTINF:20.0,\na.ts\n#EXT-X-ENDLIST\n"));
        const auto saved = bench.save("/v/index.m3u8", ++fence);
        CHECK_MESSAGE(saved.code == row.code, saved.message);
    }
}

TEST_CASE("a fragment that is cut off in the middle of a box is asked for again, whatever length its server says it has") {
    StreamBench bench;
    const auto box = [](const std::string& type, std::size_t bytes) {
        return std::string({0, 0, static_cast<char>(bytes >> 8), static_cast<char>(bytes & 255)}) + type + std::string(bytes - 8, 'x');
    };
    const std::string whole = box("styp", 24) + box("moof", 300) + box("mdat", 2'000);
    std::atomic<int> asked = 0;
    bench.server.on("/v/index.m3u8", test::status(200, "", "#EXTM3U\n#EXTINF:1.0,\na.m4s\n#EXT-X-ENDLIST\n"));
    bench.server.on("/v/a.m4s", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        test::serve({.bytes = asked++ == 0 ? whole.substr(0, 1'000) : whole, .ranges = false})(to, request);
    });
    const auto work = bench.work(1);
    const auto got = bench.download("/v/index.m3u8", work);
    REQUIRE_MESSAGE(got, got.error().message);
    CHECK(read_file(got->path) == whole);
    CHECK(asked == 2);
}

TEST_CASE("a live playlist that begins to count anew and ends is no success") {
    for (const bool anew : {true, false}) {
        CAPTURE(anew);
        StreamBench bench;
        std::atomic<int> asked = 0;
        bench.server.on("/v/index.m3u8", [&](const test::ServedConnection& to, const test::ServedRequest& request) {
            const bool first = asked++ == 0;
            const int begin = first || !anew ? 7 : 0;
            std::string list = "#EXTM3U\n#EXT-X-TARGETDURATION:0.2\n#EXT-X-MEDIA-SEQUENCE:" + std::to_string(begin) + "\n";
            for (int i = begin; i < begin + 3; ++i) list += "#EXTINF:0.2,\ns" + std::to_string(i) + ".ts\n";
            test::status(200, "", list + (first ? "" : "#EXT-X-ENDLIST\n"))(to, request);
        });
        for (int i = 0; i < 10; ++i) bench.server.on("/v/s" + std::to_string(i) + ".ts", test::serve({.bytes = "G" + std::to_string(i)}));
        const auto work = bench.work(1);
        const auto got = bench.download("/v/index.m3u8", work);
        CHECK((got ? "ok" : got.error().name) == (anew ? "DOWNLOAD_INCOMPLETE" : "ok"));
    }
}
