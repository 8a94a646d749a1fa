// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <string>
#include <string_view>

#include <doctest/doctest.h>
#include <unistd.h>

#include "support/places.hpp"

// Made-up clips for the media tests: ffmpeg draws them when the tests run.
namespace jobruntime::media_test {

/// A folder of this test, removed with all that is in it.
class TempDir {
public:
    TempDir() {
        std::string pattern = (std::filesystem::temp_directory_path() / "jobrt-media-test-XXXXXX").string();
        REQUIRE(::mkdtemp(pattern.data()) != nullptr);
        path_ = std::filesystem::canonical(pattern).string();
    }
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    ~TempDir() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    const std::string& path() const { return path_; }
    std::string path(std::string_view name) const { return path_ + "/" + std::string(name); }

private:
    std::string path_;
};

inline void write_file(const std::string& path, std::string_view text) {
    std::ofstream(path, std::ios::binary) << text;
}

inline std::string read_file(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
}

/// Runs a command line of the test's own making, answers what it printed.
inline std::string output_of(const std::string& command) {
    std::string out;
    FILE* pipe = ::popen(command.c_str(), "re");
    REQUIRE(pipe != nullptr);
    char block[4096];
    for (std::size_t got = 0; (got = std::fread(block, 1, sizeof block, pipe)) > 0;) out.append(block, got);
    const int status = ::pclose(pipe);
    CAPTURE(command);
    REQUIRE(status == 0);
    while (!out.empty() && out.back() == '\n') out.pop_back();
    return out;
}

inline std::string replaced(std::string text, const std::string& what, const std::string& with) {
    for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += with.size()) text.replace(at, what.size(), with);
    return text;
}

/// The last name on an ffmpeg command line is that of what is made; its folder.
inline std::string folder_made_in(const std::string& arguments) {
    const auto end = arguments.rfind('/');
    const auto begin = end == std::string::npos ? end : arguments.rfind('\'', end);
    return begin == std::string::npos ? "" : arguments.substr(begin + 1, end - begin - 1);
}

/// Drawing and encoding clips is most of what the media tests take, and comes out the same each time: with a folder in
/// JOBRT_MADE_CLIPS, all programs and builds together make each of them once. Not what is made from another file.
inline void ffmpeg(const std::string& arguments) {
    namespace fs = std::filesystem;
    const auto run = [](const std::string& words) { output_of("ffmpeg -nostdin -v error -y " + words); };
    const char* shared = std::getenv("JOBRT_MADE_CLIPS");
    const auto folder = folder_made_in(arguments);
    const auto recipe = folder.empty() ? arguments : replaced(arguments, folder, "@");
    const bool drawn = recipe.find("lavfi") != std::string::npos && recipe.find("-i '") == std::string::npos &&
                       recipe.find("key_info") == std::string::npos && recipe.find("'/") == std::string::npos;
    if (!shared || !*shared || folder.empty() || !drawn) return run(arguments);
    const fs::path made = fs::path(shared) / std::to_string(std::hash<std::string>{}(recipe));
    if (!fs::exists(made)) {
        auto fresh = made.string() + "-XXXXXX";
        REQUIRE(::mkdtemp(fresh.data()) != nullptr);
        run(replaced(arguments, folder, fresh));
        std::error_code somebody_was_quicker;
        fs::rename(fresh, made, somebody_was_quicker);
        if (somebody_was_quicker) fs::remove_all(fresh);
    }
    fs::copy(made, folder, fs::copy_options::recursive | fs::copy_options::overwrite_existing);
}

/// The checksum of the video's packets as they are stored.
inline std::string video_md5(const std::string& file) {
    return output_of("ffmpeg -nostdin -v error -i '" + file + "' -map 0:v -c copy -f md5 -");
}

inline std::string ffprobe(const std::string& file, const std::string& entries) {
    return output_of("ffprobe -v error -of default=noprint_wrappers=1:nokey=1 -show_entries " + entries +
                     " '" + file + "'");
}

/// Every clip once for the whole program; making them takes a second or two.
class Clips {
public:
    static const Clips& get() {
        static const Clips clips;
        return clips;
    }
    std::string operator[](std::string_view name) const { return dir_.path(name); }

private:
    Clips() {
        const std::string av = " -f lavfi -i testsrc=s=320x240:d=6:r=25 -f lavfi -i sine=d=6 ";
        ffmpeg(av + "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -g 25 -c:a aac " + at("plain.mp4"));
        ffmpeg(av + "-t 2 -c:v libvpx-vp9 -cpu-used 8 -c:a libopus " + at("vp9.webm"));
        ffmpeg(av + "-t 2 -c:v libvpx -cpu-used 8 -c:a libvorbis " + at("vp8.webm"));
        const std::string copy = "-i " + at("plain.mp4") + " -c copy ";
        ffmpeg(copy + "-movflags +faststart " + at("faststart.mp4"));
        ffmpeg(copy + "-movflags +frag_keyframe+empty_moov+default_base_moof " + at("fragments.mp4"));
        for (const char* name : {"plain.mkv", "plain.ts", "plain.flv", "plain.mov"}) ffmpeg(copy + at(name));
        ffmpeg(copy + "-vn " + at("audio.m4a"));
        ffmpeg(copy + "-metadata:s:v rotate=90 " + at("turned.mp4"));
        ffmpeg(copy +
               "-encryption_scheme cenc-aes-ctr -encryption_key 76a6c65c5ea762046bd749a2e632ccbb "
               "-encryption_kid a7e61c373e219033c21091fa607bf3b8 " +
               at("encrypted.mp4"));
        for (const char* name : {"plain.mp4", "faststart.mp4", "fragments.mp4", "plain.mkv", "vp9.webm"}) {
            const std::string whole = read_file(dir_.path(name));
            write_file(dir_.path("cut-" + std::string(name)), whole.substr(0, whole.size() * 2 / 3));
        }
        // Undamaged boxes round a picture stream of noise: what is encrypted without saying so.
        std::string noise = read_file(dir_.path("faststart.mp4"));
        std::uint32_t state = 1;
        for (std::size_t i = noise.find("mdat") + 4; i < noise.size(); ++i)
            noise[i] = static_cast<char>((state = state * 1664525 + 1013904223) >> 24);
        write_file(dir_.path("noise.mp4"), noise);
        write_file(dir_.path("page.mp4"), "<!doctype html><html><body>Please log in</body></html>");
        write_file(dir_.path("empty.mp4"), "");
        write_file(dir_.path("playlist.mp4"),
                   "#EXTM3U\n#EXTINF:6,\n" + dir_.path("plain.ts") + "\n#EXT-X-ENDLIST\n");
        write_file(dir_.path("concat.mp4"), "ffconcat version 1.0\nfile '" + dir_.path("plain.mp4") + "'\n");
        write_file(dir_.path("dash.mp4"),
                   "<?xml version=\"1.0\"?><MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\"></MPD>");
    }
    std::string at(std::string_view name) const { return "'" + dir_.path(name) + "'"; }

    TempDir dir_;
};

/// Names the helper, or says aloud why the test cannot run.
inline std::string helper_or_skip() {
    const auto helper = tests::program("jobrt-media");
    if (!std::filesystem::exists(helper))
        MESSAGE("skipped: jobrt-media is not part of this build");
    else if (std::system("ffmpeg -version >/dev/null 2>&1 && ffprobe -version >/dev/null 2>&1") != 0)
        MESSAGE("skipped: there is no ffmpeg to make clips with");
    else
        return helper;
    return {};
}

}  // namespace jobruntime::media_test
