// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <atomic>
#include <cmath>
#include <functional>

#include "stream_bench.hpp"

// Streams whose last segment was cut exactly between two packets or boxes: nothing in its bytes is broken, and of a long
// film it is less than 2 %. Beside them what ffmpeg makes in many ways, all of which is whole.
using namespace jobruntime;
using namespace jobruntime::media;
using namespace jobruntime::media_test;

namespace {

constexpr std::size_t packet = 188;

/// A film as HLS, as ffmpeg has cut it.
class Film {
public:
    /// `input` and `how` are ffmpeg's.
    Film(const std::string& input, const std::string& how, bool fragments = false) : fragments_(fragments) {
        ffmpeg(input + " -pix_fmt yuv420p -c:v libx264 -preset ultrafast -f hls -hls_playlist_type vod " + how +
               (fragments ? " -hls_segment_type fmp4 -hls_fmp4_init_filename init.mp4" : "") + " '" + dir_.path("index.m3u8") + "'");
        list_ = read_file(dir_.path("index.m3u8"));
        for (auto at = list_.find("#EXTINF:"); at != std::string::npos; at = list_.find("#EXTINF:", at + 1))
            seconds_.push_back(std::stod(list_.substr(at + 8)));
    }
    std::string name(std::size_t i) const { return "index" + std::to_string(i) + (fragments_ ? ".m4s" : ".ts"); }
    std::string segment(std::size_t i) const { return read_file(dir_.path(name(i))); }
    std::string last() const { return segment(count() - 1); }
    std::size_t count() const { return seconds_.size(); }
    /// With durations of the test's own.
    std::string list(const std::function<std::string(double)>& written) const {
        std::string text = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:10\n";
        if (fragments_) text += "#EXT-X-MAP:URI=\"init.mp4\"\n";
        for (std::size_t i = 0; i < count(); ++i) text += "#EXTINF:" + written(seconds_[i]) + ",\n" + name(i) + "\n";
        return text + "#EXT-X-ENDLIST\n";
    }
    void serve(StreamBench& bench, const std::string& list, const std::string& last, const std::string& where = "/v/") const {
        serve_folder(bench.server, dir_.path(), where);
        bench.server.on(where + "index.m3u8", test::status(200, "Content-Type: application/vnd.apple.mpegurl\r\n", list));
        bench.server.on(where + name(count() - 1), test::serve({.bytes = last, .type = type_of(name(0))}));
    }
    void serve(StreamBench& bench) const { serve(bench, list_, last()); }

private:
    bool fragments_;
    TempDir dir_;
    std::string list_;
    std::vector<double> seconds_;
};

std::string exact(double seconds) { return std::to_string(seconds); }
std::string nearest(double seconds) { return std::to_string(std::lround(seconds)); }
std::string rounded_up(double seconds) { return std::to_string(static_cast<int>(std::ceil(seconds - 0.01))); }
std::string rounded_down(double seconds) { return std::to_string(static_cast<int>(seconds + 0.01)); }

/// The first part of a transport stream: at least this share of it, up to where the next packet begins one of a stream
/// that is not the sound's, or to the first of several packets that a sound's has.
std::string cut_transport(const std::string& bytes, double share, bool within_sound) {
    constexpr int sound = 0x101;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(bytes[i]); };
    const auto pid = [&](std::size_t at) { return (byte(at + 1) & 0x1f) << 8 | byte(at + 2); };
    const auto begins = [&](std::size_t at) { return (byte(at + 1) & 0x40) != 0; };
    auto at = static_cast<std::size_t>(share * static_cast<double>(bytes.size())) / packet * packet;
    for (; at + 2 * packet < bytes.size(); at += packet) {
        if (within_sound && pid(at) == sound && begins(at) && pid(at + packet) == sound && !begins(at + packet))
            return bytes.substr(0, at + packet);
        if (!within_sound && begins(at) && pid(at) != sound && pid(at) != 0) return bytes.substr(0, at);
    }
    REQUIRE_MESSAGE(false, "there is no such place in the segment");
    return bytes;
}

std::string u32(std::size_t number) {
    return {static_cast<char>(number >> 24 & 255), static_cast<char>(number >> 16 & 255), static_cast<char>(number >> 8 & 255),
            static_cast<char>(number & 255)};
}

std::string picture(double seconds) { return "-f lavfi -i testsrc=s=64x48:r=10:d=" + std::to_string(seconds) + " "; }
std::string with_sound(double seconds) { return picture(seconds) + "-f lavfi -i sine=d=" + std::to_string(seconds) + " -c:a aac -b:a 96k "; }

std::size_t published(const StreamBench& bench) {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(bench.root.path("downloads"))) count += entry.is_regular_file() ? 1 : 0;
    return count;
}

}  // namespace

TEST_CASE("a last segment that is cut between two packets is found as far as its list tells how long it is") {
    if (helper_or_skip().empty()) return;
    struct Row {
        const char* what;
        std::string (*written)(double);
        double share;  // Of the last segment; 1 = whole.
        bool within_sound;
        const char* code;
    };
    struct Clip {
        const char* what;
        double seconds;
        const char* cut;
        std::vector<Row> rows;
    };
    const Clip clips[] = {
        {"the last of 3 s, the others of 4", 123, "-g 40 -hls_time 4",
         {{"fractional", exact, 1, false, "ok"},
          {"fractional", exact, 0.8, false, "WRONG_DURATION"},
          {"fractional", exact, 0.5, false, "WRONG_DURATION"},
          {"fractional", exact, 0.5, true, "WRONG_DURATION"},
          {"whole", nearest, 1, false, "ok"},
          {"whole", nearest, 0.8, false, "ok"},
          {"whole", nearest, 0.4, false, "WRONG_DURATION"},
          {"whole", nearest, 0.4, true, "WRONG_DURATION"}}},
        {"the last of 3.8 s, the others of 4.4", 47.8, "-g 44 -hls_time 4.4",
         {{"nearest", nearest, 1, false, "ok"},
          {"up", rounded_up, 1, false, "ok"},
          {"down", rounded_down, 1, false, "ok"},
          {"fractional", exact, 0.8, false, "WRONG_DURATION"},
          {"down", rounded_down, 0.5, false, "WRONG_DURATION"}}},
        {"all of 4 s", 120, "-g 40 -hls_time 4",
         {{"fractional and the same", exact, 1, false, "ok"},
          {"fractional and the same", exact, 0.7, false, "ok"},  // May have been written before anybody knew.
          {"fractional and the same", exact, 0.7, true, "WRONG_DURATION"},
          {"whole and the same", nearest, 1, false, "ok"},
          {"whole and the same", nearest, 0.5, false, "ok"},
          {"whole and the same", nearest, 0.5, true, "WRONG_DURATION"}}}};
    std::uint64_t fence = 0;
    for (const auto& [which, seconds, cut, rows] : clips) {
        const Film film(with_sound(seconds), cut);
        for (const Row& row : rows) {
            CAPTURE(which);
            CAPTURE(row.what);
            CAPTURE(row.share);
            CAPTURE(row.within_sound);
            StreamBench bench;
            film.serve(bench, film.list(row.written), row.share < 1 ? cut_transport(film.last(), row.share, row.within_sound) : film.last());
            const auto saved = bench.save("/v/index.m3u8", ++fence);
            CHECK_MESSAGE(saved.code == row.code, saved.message);
            CHECK(bench.nothing_left());
            CHECK(published(bench) == (saved.code == "ok" ? 3 : 0));
        }
    }
}

TEST_CASE("a last segment that is cut between two fragments is found as far as its list or its index tells how long it is") {
    if (helper_or_skip().empty()) return;
    // Parts of half a second, of which the test makes segments of four seconds; the last has three and a half.
    const Film parts(with_sound(123.5), "-g 5 -hls_time 0.5", true);
    constexpr std::size_t together = 8;
    const auto joined = [&](std::size_t first, std::size_t count) {
        std::string bytes;
        for (std::size_t i = first; i < std::min(first + count, parts.count()); ++i) bytes += parts.segment(i);
        return bytes;
    };
    /// With an index of its own in front, of milliseconds.
    const auto indexed = [&](const std::string& whole, std::size_t n) {
        return u32(44) + "sidx" + u32(0) + u32(1) + u32(1000) + u32(n * 4000) + u32(0) + std::string("\0\0\0\1", 4) + u32(whole.size()) +
               u32(4000) + u32(0x9000'0000);
    };
    struct Row {
        const char* what;
        const char* others;
        const char* last;
        std::size_t parts;  // What is left of the last one's seven.
        bool index;
        const char* code;
    };
    const Row rows[] = {{"fractional", "4.000", "3.500", 7, false, "ok"},
                        {"fractional", "4.000", "3.500", 6, false, "WRONG_DURATION"},
                        {"fractional", "4.000", "3.500", 4, false, "WRONG_DURATION"},
                        {"whole, rounded down", "4", "3", 7, false, "ok"},
                        {"whole, rounded down", "4", "3", 1, false, "WRONG_DURATION"},
                        {"whole and the same", "4", "4", 7, false, "ok"},
                        {"whole and the same", "4", "4", 4, false, "ok"},
                        {"whole and the same, with an index", "4", "4", 7, true, "ok"},
                        {"whole and the same, with an index", "4", "4", 4, true, "WRONG_DURATION"}};
    const auto count = (parts.count() + together - 1) / together;
    std::uint64_t fence = 0;
    for (const Row& row : rows) {
        CAPTURE(row.what);
        CAPTURE(row.parts);
        StreamBench bench;
        std::string list = "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:4\n#EXT-X-MAP:URI=\"init.mp4\"\n";
        parts.serve(bench);
        for (std::size_t n = 0; n < count; ++n) {
            const auto name = "s" + std::to_string(n) + ".m4s";
            const auto whole = joined(n * together, together);
            const auto bytes = n + 1 < count ? whole : joined(n * together, row.parts);
            list += std::string("#EXTINF:") + (n + 1 < count ? row.others : row.last) + ",\n" + name + "\n";
            bench.server.on("/v/" + name, test::serve({.bytes = (row.index ? indexed(whole, n) : "") + bytes, .type = "video/mp4"}));
        }
        bench.server.on("/v/joined.m3u8", test::status(200, "", list + "#EXT-X-ENDLIST\n"));
        const auto saved = bench.save("/v/joined.m3u8", ++fence);
        CHECK_MESSAGE(saved.code == row.code, saved.message);
        CHECK(bench.nothing_left());
        CHECK(published(bench) == (saved.code == "ok" ? 3 : 0));
    }
}

TEST_CASE("what was cut is fetched again by the next attempt") {
    if (helper_or_skip().empty()) return;
    const Film film(with_sound(61.5), "-g 20 -hls_time 2");
    StreamBench bench;
    film.serve(bench);
    std::atomic<int> asked = 0;
    const auto whole = film.last();
    const auto cut = cut_transport(whole, 0.5, false);
    bench.server.on("/v/" + film.name(film.count() - 1), [&](const test::ServedConnection& to, const test::ServedRequest& request) {
        test::serve({.bytes = asked++ == 0 ? cut : whole, .type = "video/mp2t"})(to, request);
    });
    const auto first = bench.save("/v/index.m3u8", 1);
    CHECK_MESSAGE(first.code == "WRONG_DURATION", first.message);
    CHECK(bench.nothing_left());
    const auto second = bench.save("/v/index.m3u8", 2);
    CHECK_MESSAGE(second.code == "ok", second.message);
    CHECK(asked == 2);
}

TEST_CASE("of a short stream in fractions no more may be missing than a picture and a packet of sound") {
    if (helper_or_skip().empty()) return;
    const Film film(with_sound(3), "-g 10 -hls_time 1");
    StreamBench bench;
    film.serve(bench, film.list(exact), cut_transport(film.last(), 0.3, false));
    const auto saved = bench.save("/v/index.m3u8");
    CHECK_MESSAGE(saved.code == "WRONG_DURATION", saved.message);
    CHECK(bench.nothing_left());
}

TEST_CASE("what is shared out in equal lengths, or rounded, is whole though its last segment is shorter than its word") {
    if (helper_or_skip().empty()) return;
    // Cut every 2.1 s, and said to be of 2: the list's last is what is left of the whole, not what the last one has.
    const Film film(with_sound(47), "-g 21 -hls_time 2.1");
    std::uint64_t fence = 0;
    for (const bool fractions : {true, false}) {
        CAPTURE(fractions);
        StreamBench bench;
        const auto left = 47 - 2.0 * static_cast<double>(film.count() - 1);
        std::size_t at = 0;
        const auto list = film.list([&](double) {
            const double said = ++at < film.count() ? 2.0 : std::max(1.0, left);
            return fractions ? exact(said) : nearest(said);
        });
        film.serve(bench, list, film.last());
        const auto saved = bench.save("/v/index.m3u8", ++fence);
        CHECK_MESSAGE(saved.code == "ok", saved.message);
    }
}

TEST_CASE("a last word that may not be about this track, or was the same for all, is not believed against the film") {
    if (helper_or_skip().empty()) return;
    SUBCASE("two lists that end alike") {
        const Film silent(picture(61.3), "-g 40 -hls_time 4");
        const Film sound("-f lavfi -i sine=d=62 -c:a aac", "-hls_time 4");
        StreamBench bench;
        for (const auto* film : {&silent, &sound}) {
            std::size_t at = 0;
            const auto list = film->list([&](double) { return ++at < film->count() ? "4.000" : "2.000"; });
            film->serve(bench, list, film->last(), film == &silent ? "/p/" : "/s/");
        }
        bench.server.on("/v/index.m3u8",
                        test::status(200, "", "#EXTM3U\n#EXT-X-MEDIA:TYPE=AUDIO,GROUP-ID=\"a\",NAME=\"x\",DEFAULT=YES,URI=\"/s/index.m3u8\"\n"
                                              "#EXT-X-STREAM-INF:BANDWIDTH=1000,AUDIO=\"a\"\n/p/index.m3u8\n"));
        const auto saved = bench.save("/v/index.m3u8");
        CHECK_MESSAGE(saved.code == "ok", saved.message);
    }
    SUBCASE("one fraction for all") {
        const Film film(with_sound(61.3), "-g 20 -hls_time 2");
        StreamBench bench;
        film.serve(bench, film.list([](double) { return "2.002"; }), film.last());
        const auto saved = bench.save("/v/index.m3u8");
        CHECK_MESSAGE(saved.code == "ok", saved.message);
    }
    SUBCASE("sound that ends before a picture that stands") {
        const Film film(picture(61) + "-f lavfi -i sine=d=40 -c:a aac", "-g 40 -hls_time 4");
        StreamBench bench;
        film.serve(bench, film.list([&](double seconds) { return exact(seconds < 2 ? 1.9 : seconds); }), film.last());
        const auto saved = bench.save("/v/index.m3u8");
        CHECK_MESSAGE(saved.code == "ok", saved.message);
    }
}

TEST_CASE("whatever ffmpeg cuts into HLS is whole by its own list, in fractions and rounded in any way") {
    if (helper_or_skip().empty()) return;
    struct Set {
        const char* what;
        std::string input;
        const char* how;
        bool rounds = true;  // Of pieces below a second whole ones say nothing.
    };
    const auto film = [](const char* seconds, const char* rate, const char* sound) {
        const std::string d = seconds;
        return std::string("-f lavfi -i testsrc=s=64x48:d=") + d + ":r=" + rate + (*sound ? " -f lavfi -i sine=" + std::string(sound) + ":d=" + d + " -c:a aac" : "");
    };
    const Set sets[] = {{"a second", film("1", "25", "r=44100"), "-hls_time 2"},
                        {"a second in pieces", film("1.3", "30", "r=48000"), "-g 6 -hls_time 0.2", false},
                        {"silent", film("1.7", "25", ""), "-g 10 -hls_time 0.4", false},
                        {"with pictures between", film("7.7", "30000/1001", "r=44100"), "-g 30 -bf 3 -hls_time 1"},
                        {"few pictures a second", film("9.5", "5", "r=22050"), "-g 5 -hls_time 2"},
                        {"sound of few samples", film("8.3", "24000/1001", "r=16000"), "-g 48 -hls_time 2"},
                        {"a last picture alone", film("6.04", "25", "r=48000"), "-g 25 -hls_time 2"},
                        {"uneven cuts", film("31.4", "25", "r=48000"), "-g 37 -hls_time 4"},
                        {"pieces of less than a second", film("33.3", "25", "r=44100"), "-g 20 -hls_time 0.8", false}};
    std::uint64_t fence = 0;
    for (const auto& [what, input, how, rounds] : sets)
        for (const bool fragments : {false, true}) {
            const Film made(input, how, fragments);
            for (const auto& written : {exact, nearest, rounded_up, rounded_down}) {
                if (!rounds && written != exact) continue;
                CAPTURE(what);
                CAPTURE(fragments);
                CAPTURE(written(1.4) + " of 1.4, " + written(1.6) + " of 1.6");
                StreamBench bench;
                made.serve(bench, made.list(written), made.last());
                const auto saved = bench.save("/v/index.m3u8", ++fence);
                CHECK_MESSAGE(saved.code == "ok", saved.message);
            }
        }
}

TEST_CASE("a single file that lacks its last samples is no success, whatever its boxes say") {
    if (helper_or_skip().empty()) return;
    const TempDir dir;
    // So long that its last half second is less than 2 %.
    ffmpeg(with_sound(60) + "-pix_fmt yuv420p -c:v libx264 -preset ultrafast -movflags +faststart '" + dir.path("film.mp4") + "'");
    ffmpeg("-i '" + dir.path("film.mp4") + "' -c copy -movflags +frag_keyframe+empty_moov+default_base_moof+global_sidx '" +
           dir.path("index.mp4") + "'");
    const auto film = read_file(dir.path("film.mp4"));
    auto to_the_end = film;
    const auto mdat = to_the_end.find("mdat");
    to_the_end.replace(mdat - 4, 4, std::string(4, '\0'));
    const auto index = read_file(dir.path("index.mp4"));
    const auto last_fragment = index.rfind("moof") - 4;
    struct Row {
        const char* what;
        std::string bytes;
        const char* code;
    };
    const Row rows[] = {{"whole", film, "ok"},
                        {"its box reaches to the end", to_the_end, "ok"},
                        {"its box reaches to the end, which comes too early", to_the_end.substr(0, to_the_end.size() - 500), "TRUNCATED"},
                        {"fragments with an index", index, "ok"},
                        {"fragments with an index, without the last", index.substr(0, last_fragment), "TRUNCATED"}};
    std::uint64_t fence = 0;
    for (const Row& row : rows) {
        CAPTURE(row.what);
        StreamBench bench;
        bench.server.on("/film.mp4", test::serve({.bytes = row.bytes, .type = "video/mp4"}));
        const auto saved = bench.save("/film.mp4", ++fence);
        CHECK_MESSAGE(saved.code == row.code, saved.message);
        CHECK(bench.nothing_left());
    }
}
