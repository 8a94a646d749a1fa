// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <vector>

#include <doctest/doctest.h>

#include "e2e/player.hpp"
#include "e2e/support.hpp"

// Streams made by others, in every format: saved as ffmpeg would copy them, and played by a browser.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

std::string type_of(const fs::path& name) {
    const auto ext = name.extension();
    if (ext == ".m3u8") return "application/vnd.apple.mpegurl";
    if (ext == ".mpd") return "application/dash+xml";
    if (ext == ".ts") return "video/mp2t";
    return ext == ".key" ? "application/octet-stream" : "video/mp4";
}

void serve_folder(test::TestServer& site, const std::string& folder, const std::string& prefix) {
    for (const auto& entry : fs::directory_iterator(folder)) {
        const auto name = entry.path().filename();
        site.on(prefix + name.string(),
                test::serve({.bytes = contents(entry.path().string()), .type = type_of(name)}));
    }
}

/// What a command prints; the test ends when it fails.
std::string output_of(const Folder& folder, const std::vector<std::string>& argv) {
    const auto ended = run(argv, environment(folder), folder.path(), 60s);
    REQUIRE_MESSAGE(ended.status.success(), ended.err);
    return ended.out;
}

/// The checksum of the packets of "v" or "a" as they are stored.
std::string md5_of(const char* stream, const Folder& folder, const std::string& file) {
    return output_of(folder, {"ffmpeg", "-nostdin", "-v", "error", "-i", file, "-map", std::string("0:") + stream,
                              "-c", "copy", "-f", "md5", "-"});
}

struct Set {
    std::string name;
    std::string folder;
    std::string list;
    double seconds = 0;
    /// The file whose video it must have; "copy" = the one that ffmpeg's own copy of the list is.
    std::string like;
    /// The same of its sound; empty = not compared.
    std::string sound_like = {};
};

/// What the segments of a playlist add up to.
double seconds_of(const std::string& list) {
    double sum = 0;
    std::istringstream lines(contents(list));
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with("#EXTINF:")) sum += std::stod(line.substr(8));
    return sum;
}

/// Makes one way of cutting, in a folder of its own; what is in it must have what the way is about.
void add_cut(const Folder& folder, Set set, const std::vector<std::vector<std::string>>& commands,
             std::string_view about, std::vector<Set>& sets) {
    set.folder = folder / set.name;
    fs::create_directory(set.folder);
    for (const auto& command : commands) {
        std::vector<std::string> argv{"ffmpeg", "-nostdin", "-v", "error"};
        argv.insert(argv.end(), command.begin(), command.end());
        argv.back() = set.folder + "/" + argv.back();
        output_of(folder, argv);
    }
    REQUIRE(contents(set.folder + "/" + set.list).find(about) != std::string::npos);
    sets.push_back(std::move(set));
}

/// The film in files of byte ranges, with its sound apart, and in two parts with clocks of their own.
void add_rarer_cuts(const Folder& folder, const std::string& film, std::vector<Set>& sets) {
    const std::vector<std::string> whole{"-i", film, "-c", "copy", "-f", "hls", "-hls_playlist_type", "vod"};
    const auto with = [](std::vector<std::string> argv, std::initializer_list<const char*> more) {
        argv.insert(argv.end(), more.begin(), more.end());
        return argv;
    };
    const Set of_film{.name = "", .folder = "", .list = "index.m3u8", .seconds = 30, .like = "copy", .sound_like = film};
    for (const bool mp4 : {false, true}) {
        auto set = of_film;
        set.name = mp4 ? "bbb-ranges-fmp4" : "bbb-ranges-ts";
        add_cut(folder, set,
                {with(whole, {"-hls_flags", "single_file", "-hls_segment_type", mp4 ? "fmp4" : "mpegts", "index.m3u8"})},
                mp4 ? "BYTERANGE=\"" : "#EXT-X-BYTERANGE:", sets);
        CHECK(fs::exists(sets.back().folder + (mp4 ? "/index.m4s" : "/index.ts")));
        set.name = mp4 ? "bbb-apart-fmp4" : "bbb-apart-ts";
        set.list = "master.m3u8";
        add_cut(folder, set,
                {with(whole, {"-map", "0:v", "-map", "0:a", "-hls_segment_type", mp4 ? "fmp4" : "mpegts",
                              "-var_stream_map", "v:0,agroup:sound,name:picture a:0,agroup:sound,default:yes,name:sound",
                              "-master_pl_name", "master.m3u8", "%v.m3u8"})},
                "#EXT-X-MEDIA:TYPE=AUDIO", sets);
    }
    // The second part is another piece of the film, and its clock begins anew.
    for (const bool mp4 : {false, true}) {
        auto set = of_film;
        set.name = mp4 ? "bbb-parts-fmp4" : "bbb-parts-ts";
        const std::vector<std::string> cut{"-c", "copy", "-f", "hls", "-hls_list_size", "0", "-hls_segment_type",
                                           mp4 ? "fmp4" : "mpegts", "-hls_flags", "append_list", "index.m3u8"};
        std::vector<std::vector<std::string>> commands;
        for (const char* from : {"0", "20"}) {
            commands.push_back({"-ss", from, "-t", "8", "-i", film});
            commands.back().insert(commands.back().end(), cut.begin(), cut.end());
        }
        add_cut(folder, set, commands, mp4 ? "index0.m4s\n#EXT-X-DISCONTINUITY" : "index0.ts\n#EXT-X-DISCONTINUITY", sets);
        sets.back().seconds = seconds_of(sets.back().folder + "/index.m3u8");
        // Of the fragments ffmpeg's own copy loses the last packet of the sound.
        sets.back().sound_like = mp4 ? folder / "bbb-parts-ts.mp4" : "copy";
    }
}

/// The film, cut in each way.
void add_cuts(const Folder& folder, const std::string& film, std::vector<Set>& sets) {
    std::ofstream(folder / "the.key") << "0123456789abcdef";
    std::ofstream(folder / "key.info") << "the.key\n" << (folder / "the.key") << "\n";
    const std::pair<const char*, std::vector<std::string>> cuts[] = {
        {"ts", {"-f", "hls", "-hls_playlist_type", "vod"}},
        {"fmp4", {"-f", "hls", "-hls_playlist_type", "vod", "-hls_segment_type", "fmp4"}},
        {"aes", {"-f", "hls", "-hls_playlist_type", "vod", "-hls_key_info_file", folder / "key.info"}},
        {"dash", {"-f", "dash", "-seg_duration", "4"}}};
    for (const auto& [name, options] : cuts) {
        const auto to = folder / (std::string("bbb-") + name);
        // Of DASH ffmpeg's packets are those of the film; a transport stream holds them in another form.
        const bool dash = name == std::string("dash");
        const std::string list = dash ? "index.mpd" : "index.m3u8";
        fs::create_directory(to);
        fs::copy(folder / "the.key", to + "/the.key");
        std::vector<std::string> argv{"ffmpeg", "-nostdin", "-v", "error", "-i", film, "-c", "copy"};
        argv.insert(argv.end(), options.begin(), options.end());
        argv.push_back(to + "/" + list);
        output_of(folder, argv);
        sets.push_back({.name = std::string("bbb-") + name,
                        .folder = to,
                        .list = list,
                        .seconds = 30,
                        .like = dash ? film : "copy",
                        .sound_like = film});
    }
    add_rarer_cuts(folder, film, sets);
}

/// What ffmpeg's own copy of a playlist is.
std::string copy_by_ffmpeg(const Folder& folder, const Set& set) {
    const auto to = folder / (set.name + ".mp4");
    std::vector<std::string> argv{"ffmpeg", "-nostdin", "-v", "error", "-allowed_extensions", "ALL", "-i",
                                  set.folder + "/" + set.list, "-map", "0:v"};
    if (set.sound_like == "copy") argv.insert(argv.end(), {"-map", "0:a"});
    argv.insert(argv.end(), {"-c", "copy", to});
    output_of(folder, argv);
    return to;
}

}  // namespace

TEST_CASE("streams made by others are saved as ffmpeg copies them, and Chromium plays the files") {
    const char* fixtures = std::getenv("JOBRT_FIXTURES");
    const std::string root = fixtures ? fixtures : "";
    if (!fixtures || !fs::exists(root + "/bbb") || !fs::exists(root + "/shaka")) {
        MESSAGE("skipped: JOBRT_FIXTURES names no folder with bbb/ and shaka/");
        return;
    }
    const Folder folder, made;
    std::vector<Set> sets;
    add_cuts(made, root + "/bbb/bbb_480p_30s.mp4", sets);
    for (auto set : {Set{"hls-gap", "", "playlist.m3u8", 24.024, "copy"},
                     Set{"hls-mp4-muxed-aac-h264", "", "hls.m3u8", 1.001, "copy"},
                     Set{"hls-ts-b-frames", "", "index.m3u8", 5.76, "copy"},
                     Set{"hls-ts-muxed-aac-h264", "", "playlist.m3u8", 36, "copy"}}) {
        set.folder = root + "/shaka/" + set.name;
        sets.push_back(std::move(set));
    }
    // What has no picture, or a lock, is refused by name. Each set of the folder is one or the other.
    const std::map<std::string, std::pair<std::string, std::string>> refused{
        {"hls-raw-aac", {"manifest.m3u8", "NO_VIDEO"}}, {"hls-sample-aes", {"index.m3u8", "DRM_PROTECTED"}}};
    for (const auto& entry : fs::directory_iterator(root + "/shaka")) {
        const auto name = entry.path().filename().string();
        const bool known = std::any_of(sets.begin(), sets.end(), [&](const Set& set) { return set.name == name; });
        CHECK_MESSAGE((!entry.is_directory() || known || refused.contains(name)), name << " is not tried");
    }
    for (auto& set : sets) {
        if (set.like == "copy") set.like = copy_by_ffmpeg(made, set);
        if (set.sound_like == "copy") set.sound_like = set.like;
    }
    test::TestServer site;
    for (const auto& set : sets) serve_folder(site, set.folder, "/" + set.name + "/");
    for (const auto& [name, how] : refused) serve_folder(site, root + "/shaka/" + name, "/" + name + "/");

    Runtime runtime(folder, false);
    std::vector<std::string> jobs;
    for (const auto& set : sets) jobs.push_back(runtime.save(site.url("/" + set.name + "/" + set.list)));
    for (const auto& [name, how] : refused) {
        CAPTURE(name);
        const auto job = runtime.wait(runtime.save(site.url("/" + name + "/" + how.first)), "completed|failed", 60s);
        CHECK(text(job, "errorCode") == how.second);
    }
    Player player(folder, "about:blank");
    for (std::size_t i = 0; i < sets.size(); ++i) {
        const auto& set = sets[i];
        CAPTURE(set.name);
        const auto job = runtime.wait(jobs[i], "completed|failed", 60s);
        CHECK_MESSAGE(text(job, "status") == "completed", boost::json::serialize(job));
        if (text(job, "status") != "completed") continue;
        const auto file = folder / ("downloads/" + text(job, "outputPath"));
        CHECK(file.ends_with(".mp4"));
        CHECK(md5_of("v", folder, file) == md5_of("v", folder, set.like));
        if (!set.sound_like.empty()) CHECK(md5_of("a", folder, file) == md5_of("a", folder, set.sound_like));

        const auto url =
            "http://127.0.0.1:" + std::to_string(runtime.port()) + "/downloads/" + text(job, "outputPath");
        player.show(url);
        CHECK(eventually(20s, [&] {
            const auto at = player.value_of("location.href");
            return at.is_string() && at.as_string() == url &&
                   player.number("document.querySelector('video').duration") > 0;
        }));
        CHECK(player.number("document.querySelector('video').duration") ==
              doctest::Approx(set.seconds).epsilon(0.02));
        player.value_of(
            "document.querySelector('video').muted = true, document.querySelector('video').play()");
        // Pictures come, and not only the clock runs.
        CHECK_MESSAGE(eventually(20s,
                                 [&] {
                                     return player.number("document.querySelector('video').currentTime") >
                                                0.4 &&
                                            player.number(
                                                "document.querySelector('video').getVideoPlaybackQuality()"
                                                ".totalVideoFrames") > 5;
                                 }),
                      player.value_of("String((document.querySelector('video').error || {}).message)"));
        CHECK(player.number("document.querySelector('video').videoWidth") > 0);
        if (!set.sound_like.empty())
            CHECK(player.number("document.querySelector('video').webkitAudioDecodedByteCount") > 0);
        // Its last pieces, too.
        const auto near_end = set.seconds - std::min(2.0, set.seconds / 4);
        player.value_of("document.querySelector('video').currentTime = " + std::to_string(near_end));
        CHECK(eventually(20s, [&] {
            return player.number("document.querySelector('video').currentTime") > near_end + 0.1;
        }));
        CHECK(player.value_of("document.querySelector('video').error === null").as_bool());
    }
    CHECK(partial_files(folder / "downloads").empty());
}

}  // namespace jobruntime::e2e
