// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <filesystem>
#include <string>
#include <utility>

#include <jobruntime/media.hpp>
#include <jobruntime/net.hpp>

#include "clips.hpp"
#include "support/places.hpp"
#include "unit/net/test_server.hpp"

// What the tests of streams share: made-up streams on a loopback server, and the way to a finished file.
namespace jobruntime::media_test {

namespace fs = std::filesystem;

inline const JobId stream_job = *JobId::parse("0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f");

inline std::string type_of(const std::string& name) {
    const auto ext = fs::path(name).extension();
    if (ext == ".m3u8") return "application/vnd.apple.mpegurl";
    if (ext == ".mpd") return "application/dash+xml";
    if (ext == ".ts") return "video/mp2t";
    return ext == ".key" ? "application/octet-stream" : "video/mp4";
}

/// Serves every file of a folder under `prefix`.
inline void serve_folder(test::TestServer& server, const std::string& folder, const std::string& prefix) {
    for (const auto& entry : fs::directory_iterator(folder)) {
        const auto name = entry.path().filename().string();
        server.on(prefix + name,
                  test::serve({.bytes = read_file(entry.path().string()), .type = type_of(name)}));
    }
}

/// Six seconds of picture and tone, cut in the ways of HLS. Once for the whole program.
class Streams {
public:
    static const Streams& get() {
        static const Streams streams;
        return streams;
    }
    std::string folder(const std::string& name) const { return dir_.path(name); }

    /// The checksum that ffmpeg's own copy of this playlist into MP4 has.
    std::string md5_by_ffmpeg(const std::string& playlist) const {
        const TempDir out;
        ffmpeg("-allowed_extensions ALL -i '" + playlist + "' -map 0:v -c copy '" + out.path("copy.mp4") +
               "'");
        return video_md5(out.path("copy.mp4"));
    }

private:
    Streams() {
        const std::string clip = Clips::get()["plain.mp4"];
        for (const char* name : {"ts", "fmp4", "aes", "ranges", "apart"})
            fs::create_directory(dir_.path(name));
        const auto cut = [&](const std::string& options, const std::string& to) {
            ffmpeg("-i '" + clip + "' -c copy -f hls -hls_time 1 -hls_playlist_type vod " + options + " '" +
                   dir_.path(to) + "'");
        };
        cut("", "ts/index.m3u8");
        cut("-hls_segment_type fmp4", "fmp4/index.m3u8");
        cut("-hls_segment_type fmp4 -hls_flags single_file", "ranges/index.m3u8");
        write_file(dir_.path("aes/the.key"), std::string("0123456789abcdef"));
        write_file(dir_.path("aes.info"), "the.key\n" + dir_.path("aes/the.key") + "\n");
        cut("-hls_key_info_file '" + dir_.path("aes.info") + "'", "aes/index.m3u8");
        ffmpeg("-i '" + clip +
               "' -map 0:v -map 0:a -c copy -f hls -hls_time 1 -hls_playlist_type vod -var_stream_map "
               "'v:0,agroup:sound a:0,agroup:sound,default:yes' -master_pl_name master.m3u8 '" +
               dir_.path("apart/s%v.m3u8") + "'");
    }
    TempDir dir_;
};

/// What a save came to.
struct Whole {
    std::string code = "ok";
    std::string message;
    media::Published done;
};

struct StreamBench {
    TempDir root;
    test::TestServer server;
    net::Fetcher fetcher{{.allow_nets = *net::Network::parse_list("127.0.0.0/8")}};
    media::Publisher publisher{{.root = root.path("downloads"), .helper = {.program = tests::program("jobrt-media")}}};
    media::Downloader downloader{fetcher};
    media::DownloadOptions options{.stall_timeout = std::chrono::milliseconds(900),
                                   .segment_retries = 2,
                                   .first_pause = std::chrono::milliseconds(10)};

    media::WorkFolder work(std::uint64_t fence) {
        auto folder = publisher.claim_work_folder(stream_job, Fence{fence});
        REQUIRE(folder);
        return std::move(*folder);
    }
    MediaInfo info(const std::string& path) const {
        MediaInfo found;
        const auto has = [&](const char* ext) { return path.find(ext) != std::string::npos; };
        found.sources.push_back({.url = server.url(path),
                                 .protocol = has(".mpd")   ? MediaProtocol::dash
                                             : has(".mp4") ? MediaProtocol::https
                                                           : MediaProtocol::hls});
        return found;
    }
    Result<media::Downloaded> download(const std::string& path, const media::WorkFolder& folder,
                                       const media::OnProgress& progress = {}, std::stop_token stop = {}) {
        return downloader.download(info(path), folder, options, progress, std::move(stop));
    }
    Result<media::Published> publish(const std::string& input, const media::WorkFolder& folder,
                                     std::uint64_t fence) const {
        return publisher.publish({.input = input,
                                  .job = stream_job,
                                  .fence = Fence{fence},
                                  .account = "ada",
                                  .source_url = "https://x.com/ada/status/1"},
                                 folder);
    }
    /// From the source to the finished file.
    Whole save(const std::string& path, std::uint64_t fence = 1) {
        const auto folder = work(fence);
        auto got = download(path, folder);
        if (!got) return {got.error().name, got.error().message, {}};
        auto done = publish(got->path, folder, fence);
        if (!done) return {done.error().name, done.error().message, {}};
        return {"ok", "", *std::move(done)};
    }
    std::string finished(const media::Published& done) const {
        return root.path("downloads/" + done.output_path);
    }
    /// Files and folders that attempts have left.
    bool nothing_left() const { return fs::is_empty(root.path("downloads/.jobrt-tmp")); }
    std::size_t asked_for(const std::string& path) const {
        std::size_t count = 0;
        for (const auto& request : server.requests())
            count += request.target.substr(0, request.target.find('?')) == path ? 1 : 0;
        return count;
    }
};

}  // namespace jobruntime::media_test
