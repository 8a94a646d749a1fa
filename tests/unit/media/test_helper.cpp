// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <filesystem>

#include <sys/stat.h>
#include <boost/json/parse.hpp>

#include <jobruntime/media.hpp>

#include "clips.hpp"

using namespace jobruntime;
using namespace jobruntime::media;
using media_test::Clips;
using media_test::TempDir;
namespace fs = std::filesystem;

namespace {

Result<Finished> finish(const std::string& helper, const std::string& input, const TempDir& dir,
                        double expected = 0) {
    return HelperClient({.program = helper})
        .finish({.input = input,
                 .output = dir.path("out.mp4"),
                 .thumbnail = dir.path("out.jpg"),
                 .expected_seconds = expected});
}

/// A film with a box of nothing behind it, whose checksum takes minutes; the disk holds none of it.
std::string film_before_nothing(const TempDir& dir) {
    const auto film = dir.path("film.mp4");
    fs::copy_file(Clips::get()["faststart.mp4"], film);
    constexpr std::uint64_t nothing = std::uint64_t{256} << 30;
    const auto size = fs::file_size(film);
    std::ofstream(film, std::ios::binary | std::ios::app) << std::string("\0\0\0\1free\0\0\0\x40\0\0\0\0", 16);
    fs::resize_file(film, size + nothing);
    return film;
}

}  // namespace

TEST_CASE("every container becomes a faststart MP4 with the very same pictures") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const Clips& clips = Clips::get();
    for (const char* name : {"plain.mp4", "plain.mkv", "plain.ts", "plain.flv", "plain.mov", "fragments.mp4",
                             "vp9.webm", "turned.mp4"}) {
        CAPTURE(name);
        const TempDir dir;
        const auto done = finish(helper, clips[name], dir);
        REQUIRE_MESSAGE(done, done.error().message);
        CHECK(done->remuxed);
        CHECK(done->ext == "mp4");
        CHECK(done->facts.container == "mp4");
        CHECK(done->facts.width == 320);
        CHECK(done->facts.height == 240);
        const std::string out = dir.path("out.mp4");
        const std::string seconds = std::string(name) == "vp9.webm" ? "2.0" : "6.0";
        CHECK(media_test::ffprobe(out, "format=duration").substr(0, 3) == seconds);
        CHECK(media_test::ffprobe(out, "format=start_time") == "0.000000");
        CHECK(done->facts.seconds == doctest::Approx(std::stod(media_test::ffprobe(out, "format=duration"))));
        CHECK(done->facts.video_codec ==
              media_test::ffprobe(out, "stream=codec_name").substr(0, done->facts.video_codec.size()));
        CHECK(done->facts.bytes == fs::file_size(out));
        CHECK(media_test::output_of("sha256sum < " + out).substr(0, 64) == done->sha256);
        const std::string bytes = media_test::read_file(out);
        CHECK(bytes.find("moov") < bytes.find("mdat"));
        // ffmpeg's own copy of the same streams into MP4 is the reference.
        media_test::ffmpeg("-i '" + clips[name] + "' -c copy '" + dir.path("reference.mp4") + "'");
        CHECK(media_test::video_md5(out) == media_test::video_md5(dir.path("reference.mp4")));
        CHECK(media_test::output_of("ffmpeg -nostdin -v warning -i " + out + " -f null - 2>&1")
                  .empty());  // Decodes whole.
    }
}

TEST_CASE("what is fine as it is stays as it is") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const std::tuple<const char*, const char*, const char*, const char*> table[] = {
        {"faststart.mp4", "mp4", "h264", "aac"}, {"vp8.webm", "webm", "vp8", "vorbis"}};
    for (const auto& [name, ext, video, audio] : table) {
        CAPTURE(name);
        const TempDir dir;
        const auto done = finish(helper, Clips::get()[name], dir);
        REQUIRE(done);
        CHECK_FALSE(done->remuxed);
        CHECK(done->ext == ext);
        CHECK(done->facts.video_codec == video);
        CHECK(done->facts.audio_codec == audio);
        CHECK_FALSE(fs::exists(dir.path("out.mp4")));
        CHECK(media_test::output_of("sha256sum < " + Clips::get()[name]).substr(0, 64) == done->sha256);
    }
}

TEST_CASE("the thumbnail is a JPEG, upright, never larger than asked") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const TempDir dir;
    const HelperClient client({.program = helper});
    const auto size_of = [&](const char* clip, int width) {
        fs::remove(dir.path("out.jpg"));
        fs::remove(dir.path("out.mp4"));
        REQUIRE(client.finish({.input = Clips::get()[clip],
                               .output = dir.path("out.mp4"),
                               .thumbnail = dir.path("out.jpg"),
                               .thumbnail_width = width}));
        CHECK(media_test::ffprobe(dir.path("out.jpg"), "stream=codec_name") == "mjpeg");
        return media_test::ffprobe(dir.path("out.jpg"), "stream=width,height");
    };
    CHECK(size_of("plain.mp4", 640) == "320\n240");
    CHECK(size_of("plain.mp4", 160) == "160\n120");
    CHECK(size_of("turned.mp4", 640) == "240\n320");
    CHECK(size_of("vp8.webm", 100) == "100\n76");
}

TEST_CASE("what is no whole video is refused by name, and nothing is left") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const std::pair<const char*, const char*> table[] = {{"audio.m4a", "NO_VIDEO"},
                                                         {"encrypted.mp4", "DRM_PROTECTED"},
                                                         {"page.mp4", "NOT_MEDIA"},
                                                         {"empty.mp4", "NOT_MEDIA"},
                                                         {"playlist.mp4", "UNSUPPORTED_SOURCE"},
                                                         {"concat.mp4", "UNSUPPORTED_SOURCE"},
                                                         {"dash.mp4", "UNSUPPORTED_SOURCE"},
                                                         {"cut-plain.mp4", "TRUNCATED"},
                                                         {"cut-faststart.mp4", "TRUNCATED"},
                                                         {"cut-fragments.mp4", "TRUNCATED"},
                                                         {"cut-plain.mkv", "TRUNCATED"},
                                                         {"cut-vp9.webm", "TRUNCATED"},
                                                         {"noise.mp4", "MEDIA_DAMAGED"},
                                                         {"missing.mp4", "MEDIA_IO"}};
    for (const auto& [name, code] : table) {
        CAPTURE(name);
        const TempDir dir;
        const auto done = finish(helper, Clips::get()[name], dir);
        REQUIRE_FALSE(done);
        CHECK(done.error().name == code);
        CHECK_FALSE(done.error().message.empty());
        CHECK(fs::is_empty(dir.path()));
        CHECK_FALSE(HelperClient({.program = helper}).verify(Clips::get()[name]));
    }
}

TEST_CASE("a promised duration that the file does not have is an error") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    // Whole numbers were rounded; others are wrong by more than 2 %, or a picture of 25 a second and 0.1 s.
    const std::pair<double, bool> table[] = {{6, true},   {5, true},    {7, true},    {0, true},   {60, false},  {3, false},
                                             {8, false},  {4, false},   {6.1, true},  {5.95, true}, {6.25, false}, {5.8, false}};
    for (const auto& [expected, fine] : table) {
        CAPTURE(expected);
        const TempDir dir;
        const auto done = finish(helper, Clips::get()["plain.ts"], dir, expected);
        CHECK(done.has_value() == fine);
        if (!done) CHECK(done.error().name == "WRONG_DURATION");
    }
}

TEST_CASE("a short film that lost a fifth of a second is cut off, one that lost two pictures is not") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    // Its head says two seconds, and nothing of its bytes, as of a film that was written to a pipe.
    const TempDir dir;
    const auto film = dir.path("film.mkv");
    media_test::ffmpeg("-f lavfi -i testsrc=s=64x48:d=2:r=25 -c:v libx264 -preset ultrafast -g 5 -cluster_time_limit 20 '" + film + "'");
    auto bytes = media_test::read_file(film);
    const auto segment = bytes.find("\x18\x53\x80\x67");
    REQUIRE(segment != std::string::npos);
    bytes.replace(segment + 4, 8, "\x01\xff\xff\xff\xff\xff\xff\xff");
    std::vector<std::size_t> pictures;  // Where each begins: a cluster each.
    for (auto at = bytes.find("\x1f\x43\xb6\x75"); at != std::string::npos; at = bytes.find("\x1f\x43\xb6\x75", at + 4))
        pictures.push_back(at);
    REQUIRE(pictures.size() == 50);
    const std::pair<std::size_t, const char*> rows[] = {{0, "ok"}, {1, "ok"}, {2, "ok"}, {5, "TRUNCATED"}, {25, "TRUNCATED"}};
    for (const auto& [lost, code] : rows) {
        CAPTURE(lost);
        const auto cut = dir.path("cut.mkv");
        media_test::write_file(cut, bytes.substr(0, lost == 0 ? bytes.size() : pictures[50 - lost]));
        const auto done = HelperClient({.program = helper}).verify(cut);
        CHECK_MESSAGE((done ? std::string("ok") : done.error().name) == code, (done ? "" : done.error().message));
    }
}

TEST_CASE("a film of few pictures may end where its last one stands") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const TempDir dir;
    const auto film = dir.path("slides.mkv");
    media_test::ffmpeg("-f lavfi -i testsrc=s=64x48:d=6:r=1/2 -c:v libx264 -preset ultrafast '" + film + "'");
    const HelperClient client({.program = helper});
    CHECK(client.verify(film));
    CHECK(client.verify(film, 4.5));
    CHECK_FALSE(client.verify(film, 9.5));
}

TEST_CASE("a file that is longer than wanted is refused, whether it says so or not, and nothing is left") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    for (const char* name : {"plain.mp4", "faststart.mp4", "plain.ts", "fragments.mp4"})
        for (const auto& [most, code] : {std::pair{5.0, "TOO_LONG"}, {6.5, "ok"}, {0.0, "ok"}}) {
            CAPTURE(name);
            CAPTURE(most);
            const TempDir dir;
            const auto done = HelperClient({.program = helper})
                                  .finish({.input = Clips::get()[name], .output = dir.path("out.mp4"), .max_seconds = most});
            CHECK_MESSAGE((done ? "ok" : done.error().name) == code, (done ? "" : done.error().message));
            if (!done) CHECK(fs::is_empty(dir.path()));
        }
    // Said at once: behind this film there are hours of nothing to read.
    const TempDir dir;
    const auto film = film_before_nothing(dir);
    const auto done = HelperClient({.program = helper, .timeout = std::chrono::seconds(20)})
                          .finish({.input = film, .output = dir.path("out.mp4"), .max_seconds = 5});
    REQUIRE_FALSE(done);
    CHECK_MESSAGE(done.error().name == "TOO_LONG", done.error().message);
}

TEST_CASE("a file that is refused is not read to its end first") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const TempDir dir;
    const auto film = film_before_nothing(dir);
    const auto done = HelperClient({.program = helper, .timeout = std::chrono::seconds(20)})
                          .finish({.input = film, .output = dir.path("out.mp4"), .expected_seconds = 60});
    REQUIRE_FALSE(done);
    CHECK_MESSAGE(done.error().name == "WRONG_DURATION", done.error().message);
}

TEST_CASE("probing describes without judging") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const HelperClient client({.program = helper});
    const auto audio = client.probe(Clips::get()["audio.m4a"]);
    REQUIRE(audio);
    CHECK(audio->video_codec.empty());
    CHECK(audio->audio_codec == "aac");
    CHECK(audio->streams == 1);
    const auto video = client.probe(Clips::get()["plain.ts"]);
    REQUIRE(video);
    CHECK(video->container == "mpegts");
    CHECK(video->fps == 25);
    CHECK(video->seconds == doctest::Approx(6).epsilon(0.02));
}

TEST_CASE("a path with colons, blanks and quotes is a path") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const TempDir dir;
    for (const char* name : {"http:file.mp4", "a b'c\"d.mp4", "concat:x|y.mp4", "%d.mp4", "ü.mp4"}) {
        CAPTURE(name);
        fs::copy_file(Clips::get()["plain.mp4"], dir.path(name));
        CHECK(HelperClient({.program = helper}).verify(dir.path(name)));
    }
}

TEST_CASE("limits hold: a file that may not grow, memory that may not") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const TempDir dir;
    const auto small = HelperClient({.program = helper, .max_file_bytes = 20'000})
                           .finish({.input = Clips::get()["plain.mp4"], .output = dir.path("out.mp4")});
    REQUIRE_FALSE(small);
    CHECK(small.error().name == "TOO_LARGE");
    CHECK(fs::is_empty(dir.path()));
}

TEST_CASE("a request that is no request is refused, without a crash") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    for (const std::string& line :
         {std::string("hello"), std::string("[]"), std::string("{}"),
          std::string(R"({"v":2,"op":"probe","input":"/x"})"),
          std::string(R"({"op":"probe","input":"x.mp4"})"), std::string(R"({"op":"dance","input":"/x"})"),
          std::string(R"({"op":"probe","input":"/x","extra":1})"),
          std::string(R"({"op":"probe","input":"/x\u0000y"})"),
          std::string(R"({"op":"finish","input":"/x","cpuSeconds":-1})"), std::string(2'000'000, 'x')}) {
        CAPTURE(line.substr(0, 80));
        const TempDir dir;
        media_test::write_file(dir.path("request"), line + "\n");
        const std::string said =
            media_test::output_of(helper + " < " + dir.path("request") + "; test $? = 1");
        const auto answer = boost::json::parse(said).as_object();
        CHECK(answer.at("type") == "error");
        CHECK(answer.at("code") == "BAD_REQUEST");
    }
}

TEST_CASE("real films come out whole") {
    const std::string helper = media_test::helper_or_skip();
    const char* fixtures = std::getenv("JOBRT_FIXTURES");
    if (helper.empty()) return;
    if (!fixtures) {
        MESSAGE("skipped: JOBRT_FIXTURES is not set");
        return;
    }
    const TempDir dir;
    const std::string film = std::string(fixtures) + "/bbb/bbb_480p_30s.mp4";
    const auto done = finish(helper, film, dir);
    REQUIRE(done);
    const std::string out = done->remuxed ? dir.path("out.mp4") : film;
    CHECK(done->facts.seconds == doctest::Approx(30).epsilon(0.02));
    CHECK(media_test::video_md5(out) == media_test::video_md5(film));
    CHECK(done->thumbnail);
    const auto sealed =
        HelperClient({.program = helper}).verify(std::string(fixtures) + "/shaka/hls-sample-aes/video.mp4");
    REQUIRE_FALSE(sealed);
    CHECK(sealed.error().name == "DRM_PROTECTED");
}
