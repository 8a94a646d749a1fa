// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include <jobruntime/media.hpp>
#include <jobruntime/net.hpp>

#include "media/assembly.hpp"
#include "media/folders.hpp"
#include "media/host_gate.hpp"
#include "media/stream_download.hpp"
#include "media/work_folder.hpp"

namespace jobruntime::media {
namespace {

namespace fs = std::filesystem;

/// One name for the same media file, also when its signature in the query is a new one. Two
/// files that share a name are told apart by what the server says of them (If-Range).
/// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/
std::string target_name(const MediaSource& source) {
    std::uint64_t hash = 14695981039346656037ULL;
    for (const char byte : std::string_view(source.url).substr(0, source.url.find('?'))) {
        hash ^= static_cast<unsigned char>(byte);
        hash *= 1099511628211ULL;
    }
    std::string name(download_prefix);
    for (int shift = 60; shift >= 0; shift -= 4) name += "0123456789abcdef"[(hash >> shift) & 15];
    return name;
}

/// Headers that belong to the transfer itself; a page's word on them would break it.
bool is_ours(std::string_view name) {
    constexpr std::array ours{
        "host",     "connection",      "content-length", "transfer-encoding",  "te", "upgrade", "range",
        "if-range", "accept-encoding", "expect",         "proxy-authorization"};
    std::string lower(name);
    std::ranges::transform(lower, lower.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return std::ranges::find(ours, lower) != ours.end();
}

net::Headers headers_of(const MediaSource& source) {
    net::Headers headers;
    for (const auto& [name, value] : source.http_headers)
        if (!is_ours(name)) headers.emplace_back(name, value);
    return headers;
}

bool retry_may_help(const Error& error) {
    return error.code == Errc::unavailable || error.code == Errc::timed_out;
}

/// Errors that every other source would meet as well.
bool ends_all(const Error& error) {
    return error.code == Errc::canceled || error.code == Errc::internal || error.name == "DISK_FULL" ||
           error.name == "MEDIA_IO";
}

bool has_part(const fs::path& target) {
    std::error_code missing;
    const auto bytes = fs::file_size(target.string() + ".part", missing);
    return !missing && bytes > 0;
}

/// The link may have expired on the way: a fresh one goes on with what is here.
bool goes_on_later(const Error& error) { return retry_may_help(error) || error.name == "AUTH_REQUIRED"; }

void discard(const fs::path& target) {
    net::discard_partial(target);
    discard_stream(target.string());
}

/// Watches a direct download's time and disk, and ends it by a stop of its own.
class Watch {
public:
    Watch(const DownloadOptions& options, const std::string& target, std::stop_token outer)
        : options_(options),
          folder_(fs::path(target).parent_path()),
          deadline_(std::chrono::steady_clock::now() + options.time_limit),
          pass_on_(std::move(outer), [this] { stop_.request_stop(); }) {}

    std::stop_token token() const { return stop_.get_token(); }
    const std::optional<Error>& error() const { return error_; }

    void look() {
        if (error_) return;
        std::error_code unknown;
        if (std::chrono::steady_clock::now() >= deadline_)
            error_ = Error{Errc::timed_out, "DOWNLOAD_TIMEOUT",
                           "the download was not complete after " +
                               std::to_string(options_.time_limit.count() / 1000) +
                               " s; what was fetched is kept for the next try"};
        else if (options_.min_free_bytes > 0) {
            const auto space = fs::space(folder_, unknown);
            if (!unknown && space.available < options_.min_free_bytes)
                error_ = Error{Errc::full, "DISK_FULL",
                               "fewer than " + std::to_string(options_.min_free_bytes) +
                                   " bytes are free on the disk of the download folder"};
        }
        if (error_) stop_.request_stop();
    }

private:
    const DownloadOptions& options_;
    fs::path folder_;
    std::chrono::steady_clock::time_point deadline_;
    std::stop_source stop_;
    std::optional<Error> error_;
    std::stop_callback<std::function<void()>> pass_on_;  // Last: its callback uses the others.
};

/// Brings a file that an extractor has left into the work folder.
Result<Downloaded> take_file(const MediaSource& source, const fs::path& target,
                             const DownloadOptions& options) {
    std::error_code wrong;
    const fs::path folder =
        options.extractor_dir.empty() ? fs::path() : fs::canonical(options.extractor_dir, wrong);
    if (wrong || folder.empty()) return refused(source.url);
    const fs::path file = fs::canonical(folder / source.url, wrong);
    if (wrong)
        return Error{Errc::not_found, "MEDIA_IO", "the extractor's file " + source.url + " is not there"};
    const auto [end, rest] = std::ranges::mismatch(folder, file);
    if (end != folder.end() || rest == file.end() || !fs::is_regular_file(fs::symlink_status(file, wrong)))
        return refused(source.url);
    const auto bytes = fs::file_size(file, wrong);
    if (wrong) return folder_error(wrong.value(), "read " + file.string());
    if (bytes > options.max_bytes)
        return Error{Errc::full, "TOO_LARGE",
                     "the extractor's file has " + std::to_string(bytes) + " bytes, allowed are " +
                         std::to_string(options.max_bytes)};
    fs::rename(file, target, wrong);
    // Another file system: a copy under another name first, so that no half of it is taken for whole.
    if (wrong) {
        const fs::path half = target.string() + ".copy";
        fs::copy_file(file, half, fs::copy_options::overwrite_existing, wrong);
        if (!wrong) fs::rename(half, target, wrong);
    }
    if (wrong) return folder_error(wrong.value(), "take over " + file.string());
    return Downloaded{.path = target.string(), .bytes = bytes};
}

}  // namespace

Downloader::Downloader(const net::Fetcher& fetcher, int per_host)
    : fetcher_(fetcher), gate_(std::make_shared<HostGate>(std::max(1, per_host))) {}

Result<Downloaded> Downloader::download(const MediaInfo& info, const WorkFolder& work,
                                        const DownloadOptions& options, const OnProgress& progress,
                                        std::stop_token stop, net::TransferFacts* facts) const {
    const auto target_of = [&](std::size_t i) {
        return fs::path(work.path()) / target_name(info.sources[i]);
    };
    for (std::size_t i = options.first_source; i < info.sources.size(); ++i) {
        std::error_code missing;
        const auto bytes = fs::file_size(target_of(i), missing);
        if (!missing)
            return Downloaded{
                .path = target_of(i).string(), .source = i, .bytes = bytes, .resumed_from = bytes};
    }

    std::optional<Error> telling;  // The error to give when every source has failed.
    for (std::size_t i = options.first_source; i < info.sources.size(); ++i) {
        if (stop.stop_requested()) return Error{Errc::canceled, "the download was stopped"};
        auto got = fetch(info.sources[i], target_of(i).string(), options, progress, stop, facts);
        if (got) {
            got->source = i;
            return got;
        }
        const Error& error = got.error();
        const bool begun = has_part(target_of(i)) || has_stream_part(target_of(i).string());
        if (ends_all(error) || (goes_on_later(error) && begun)) return error;
        discard(target_of(i));
        if (!telling || (!retry_may_help(*telling) && retry_may_help(error))) telling = error;
    }
    if (telling) return *telling;
    return Error{Errc::unsupported, "UNSUPPORTED_SOURCE", "the post offers no further source to download"};
}

Result<Downloaded> Downloader::fetch(const MediaSource& source, const std::string& target,
                                     const DownloadOptions& options, const OnProgress& progress,
                                     std::stop_token stop, net::TransferFacts* facts) const {
    if (source.protocol == MediaProtocol::dash)
        return Error{Errc::unsupported, "UNSUPPORTED_SOURCE",
                     "the post is served as a DASH manifest, which this version cannot download"};
    if (source.protocol == MediaProtocol::file) return take_file(source, target, options);
    if (source.protocol == MediaProtocol::hls)
        return download_hls(fetcher_, *gate_,
                            {.url = source.url, .headers = headers_of(source), .target = target}, options,
                            progress, stop);
    const net::DownloadRequest request{.url = source.url,
                                       .headers = headers_of(source),
                                       .target = target,
                                       .max_bytes = options.max_bytes,
                                       .stall_timeout = options.stall_timeout};
    Watch watch(options, target, stop);
    const auto report = [&](std::uint64_t bytes, std::uint64_t total) {
        watch.look();
        if (!progress) return;
        const double percent =
            total > 0 ? 100.0 * static_cast<double>(std::min(bytes, total)) / static_cast<double>(total) : 0;
        progress({.stage = "download", .percent = percent, .bytes = bytes, .total = total});
    };
    auto got = fetcher_.download(request, report, watch.token(), facts);
    if (!got) return watch.error() ? *watch.error() : got.error();
    return Downloaded{.path = target, .bytes = got->bytes, .resumed_from = got->resumed_from};
}

}  // namespace jobruntime::media
