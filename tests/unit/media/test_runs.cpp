// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "stream_bench.hpp"

// Streams whose coding begins anew halfway: a discontinuity with an init section of its own.
using namespace jobruntime;
using namespace jobruntime::media_test;

namespace {

/// Two seconds, cut into fragments of one: <name>.mp4 is the init section, <name>0.m4s and <name>1.m4s the rest.
void make(const TempDir& dir, const std::string& name, const std::string& picture, const std::string& sound) {
    ffmpeg("-f lavfi -i testsrc2=" + picture + ":d=2:r=25 -f lavfi -i sine=d=2 -pix_fmt yuv420p -g 25 " + sound +
           " -f hls -hls_time 1 -hls_playlist_type vod -hls_segment_type fmp4 -hls_fmp4_init_filename " + name +
           ".mp4 -hls_segment_filename '" + dir.path(name) + "%d.m4s' '" + dir.path(name) + ".m3u8'");
}

/// The checksums of the packets as they are stored, or of the pictures that they decode to.
std::string hashes(const std::string& file, const std::string& stream, bool decoded = false) {
    const std::string how = decoded ? " -vsync passthrough" : " -c copy";
    return output_of("ffmpeg -nostdin -v error -i '" + file + "' -map 0:" + stream + how +
                     " -f framemd5 - 2>&1 | grep -v '^#' | sed 's/.*, *//'");
}

}  // namespace

TEST_CASE("a stream in fragments goes on behind a new init section, unless its coding is really another") {
    if (helper_or_skip().empty()) return;
    const std::string aac = " -c:a aac -ar 44100", x264 = "-c:v libx264 -preset ultrafast" + aac;
    const std::string x265 = "-c:v libx265 -tag:v hvc1 -preset ultrafast -x265-params log-level=error" + aac;
    const std::string open_gop = "-c:v libx264 -preset veryfast -bf 2 -x264-params open_gop=1:b-adapt=0:scenecut=0" + aac;
    struct Row {
        const char* what;
        std::string picture, first, second;
        const char* code;
        bool same_packets;
        std::string third = {};  // The coding of what follows the two; the first again where it is empty.
        int begin = 0;           // Of the second's segments.
    };
    const Row rows[] = {{"the same coding", "s=160x120", x264, x264, "ok", true},
                        {"an AAC head with other last words", "s=160x120", x264, x264, "ok", true},
                        {"other parameters", "s=160x120", x264, "-c:v libx264 -preset veryfast -crf 35 -bf 2" + aac, "ok", false},
                        {"another size", "s=320x240", x264, x264, "ok", false},
                        {"another depth", "s=160x120", x264, x264 + " -pix_fmt yuv422p", "UNSUPPORTED_SOURCE", false},
                        {"another codec behind other parameters", "s=160x120", x264, "-c:v libx264 -preset veryfast -bf 2" + aac,
                         "UNSUPPORTED_SOURCE", false, "-c:v mpeg4" + aac},
                        {"key frames that do not clear the decoder", "s=160x120", x264, open_gop, "ok", false},
                        {"a run that begins with one", "s=160x120", x264, open_gop, "UNSUPPORTED_SOURCE", false, {}, 1},
                        {"another codec", "s=160x120", x264, "-c:v mpeg4" + aac, "UNSUPPORTED_SOURCE", false},
                        {"another rate of the sound", "s=160x120", x264, x264 + " -ar 22050", "UNSUPPORTED_SOURCE", false},
                        {"other parameters of H.265", "s=160x120", x265, x265 + " -preset fast -crf 40", "ok", false}};
    const TempDir dir;
    std::string made;  // The first part's coding.
    std::uint64_t fence = 0;
    for (const Row& row : rows) {
        CAPTURE(row.what);
        if (made != row.first) make(dir, "a", "s=160x120", made = row.first);
        make(dir, "b", row.picture, row.second);
        if (!row.third.empty()) make(dir, "c", row.picture, row.third);
        if (row.what == std::string("an AAC head with other last words")) {
            auto head = read_file(dir.path("b.mp4"));
            const auto at = head.find("\x56\xe5");  // That there is no extension; no word of it says the same.
            REQUIRE(at != std::string::npos);
            head.replace(at, 3, 3, '\0');
            write_file(dir.path("b.mp4"), head);
        }
        const auto list = [&](const char* name, int end, int begin = 0) {
            std::string text = std::string("#EXT-X-MAP:URI=\"") + name + ".mp4\"\n";
            for (int i = begin; i < end; ++i) text += "#EXTINF:1.0,\n" + std::string(name) + std::to_string(i) + ".m4s\n";
            return text;
        };
        const std::string anew = "#EXT-X-DISCONTINUITY\n";
        write_file(dir.path("index.m3u8"), "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:2\n" + list("a", 2) + anew +
                                               list("b", 2, row.begin) + anew + list(row.third.empty() ? "a" : "c", 1) + "#EXT-X-ENDLIST\n");
        StreamBench bench;
        serve_folder(bench.server, dir.path(), "/v/");
        const auto saved = bench.save("/v/index.m3u8", ++fence);
        REQUIRE_MESSAGE(saved.code == row.code, saved.message);
        CHECK(bench.nothing_left());
        if (saved.code != "ok") continue;
        const auto file = bench.finished(saved.done);
        // A run ends with its sound, which is a few hundredths longer than its picture.
        CHECK(saved.done.file.facts.seconds == doctest::Approx(5).epsilon(0.03));
        CHECK(std::stod(ffprobe(file, "stream=duration -select_streams a")) == doctest::Approx(5).epsilon(0.03));
        CHECK(ffprobe(file, "stream=nb_frames -select_streams v") == "125");
        // It decodes to its end without a complaint.
        CHECK(output_of("ffprobe -v error -count_frames -select_streams v -show_entries stream=nb_read_frames -of csv=p=0 '" +
                        file + "' 2>&1") == "125");
        // The same packets, where nothing had to be put into them; else what they decode to tells.
        const bool comparable = row.same_packets || row.picture == std::string("s=160x120");
        std::string picture, sound;
        for (const auto& [name, segments] : {std::pair{"a", 2}, {"b", 2}, {"a", 1}}) {
            if (!comparable) break;
            auto part = read_file(dir.path(name) + ".mp4");
            for (int i = 0; i < segments; ++i) part += read_file(dir.path(name) + std::to_string(i) + ".m4s");
            write_file(dir.path("part.mp4"), part);
            picture += hashes(dir.path("part.mp4"), "v", !row.same_packets) + "\n";
            if (row.same_packets) sound += hashes(dir.path("part.mp4"), "a") + "\n";
        }
        if (comparable) CHECK(hashes(file, "v", !row.same_packets) + "\n" == picture);
        if (row.same_packets) CHECK(hashes(file, "a") + "\n" == sound);
        // Whoever begins at one key frame and goes back to another finds each run's parameters there.
        const std::string parameters = row.first == x264 ? "7" : "33";
        const auto told = output_of("ffmpeg -nostdin -v error -i '" + file + "' -map 0:v -c copy -bsf:v filter_units=pass_types=" +
                                    parameters + " -f framemd5 - | grep -cv '^#'; true");
        CHECK(told == (row.same_packets ? "0" : "5"));
    }
}
