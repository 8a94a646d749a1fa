// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <jobruntime/extractor.hpp>
#include <jobruntime/media.hpp>
#include <jobruntime/net.hpp>
#include <jobruntime/worker.hpp>

namespace jobruntime::host {

/// The kind media.save: extract → download → publish, each a checkpoint. Payload `{url, canonicalUrl, platform}`.
class MediaSave {
public:
    struct Options {
        std::vector<std::shared_ptr<Extractor>> extractors;  ///< Asked in this order.
        std::chrono::milliseconds extraction_timeout{180'000};
        int per_host = 16;                ///< Requests for media to one host at once, over all jobs.
        media::DownloadOptions download;  ///< Limits; what belongs to one download is filled in.
        /// The post that an address stands for, short links followed; unset = net::identify.
        std::function<Result<net::Post>(const net::Url& url, std::stop_token stop)> identify;
        std::string ffmpeg;        ///< Every job fails at once while it is named and not there; empty = none.
        std::string cookies_file;  ///< For extractors without a browser; need not be there.
        /// Whether a platform may be used now; "web", "x", "tiktok".
        std::function<bool(std::string_view platform)> enabled;
    };
    MediaSave(net::Fetcher& fetcher, media::Publisher& publisher, Options options);
    /// Another one with these options, which shares the count of requests to each host; `per_host` stays.
    MediaSave with(Options options) const;

    Outcome operator()(JobContext& job) const;

private:
    struct Attempt;
    Result<boost::json::value> look(Attempt& attempt, std::optional<MediaInfo>& fresh) const;
    Result<MediaInfo> extract(Attempt& attempt) const;
    static bool begins_with_lost_file(const Attempt& attempt, const MediaInfo& info);
    /// A file in the work folder, and which source it came from.
    struct Fetched {
        std::string path;
        std::size_t source = 0;
    };
    static std::optional<Fetched> fetched_earlier(Attempt& attempt);
    static std::optional<Fetched> file_of(const Attempt& attempt, const boost::json::value& checkpoint);
    Result<Fetched> download(Attempt& attempt, const MediaInfo& info, std::size_t first_source) const;
    Result<boost::json::value> publish(Attempt& attempt, const MediaInfo& info, const std::string& file) const;
    Result<boost::json::value> save(Attempt& attempt) const;
    static std::size_t first_source(JobContext& job);
    static bool look_again(std::string_view code, Attempt& attempt);
    static void forget(JobContext& job, std::initializer_list<std::string_view> steps);
    Outcome outcome_of(const Error& error, Attempt& attempt) const;

    media::Downloader downloader_;  // One for all jobs: it counts the requests to each host.
    media::Publisher& publisher_;
    Options options_;
};

}  // namespace jobruntime::host
