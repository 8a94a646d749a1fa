// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>
#include <filesystem>
#include <utility>

#include <jobruntime/media.hpp>
#include <jobruntime/net.hpp>

#include "media/assembly.hpp"
#include "media/host_gate.hpp"
#include "media/retries.hpp"
#include "media/stream_download.hpp"
#include "media/track_file.hpp"
#include "media/watch.hpp"
#include "media/work_folder.hpp"
#include "net/folders.hpp"

namespace jobruntime::media {
namespace {

namespace fs = std::filesystem;

/// A server that asks a whole download to wait longer is left to the job's next attempt.
constexpr std::chrono::milliseconds longest_wait_in_a_call{10'000};

/// One name for the same media file, also when its signature in the query is a new one. Where the query itself names
/// a file, two share a name: what is begun of one is told from the other by what the server says (If-Range), and one
/// that was no good is gone before the next is fetched.
std::string target_name(const MediaSource& source) {
    const auto hash = hash_of(std::string_view(source.url).substr(0, source.url.find('?')));
    std::string name(download_prefix);
    for (int shift = 60; shift >= 0; shift -= 4) name += "0123456789abcdef"[(hash >> shift) & 15];
    return name;
}

std::string lower(std::string_view text) {
    std::string out(text);
    std::ranges::transform(out, out.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
    return out;
}

/// Headers that belong to the transfer itself; a page's word on them would break it.
bool is_ours(std::string_view name) {
    constexpr std::array ours{
        "host",     "connection",      "content-length", "transfer-encoding",  "te", "upgrade", "range",
        "if-range", "accept-encoding", "expect",         "proxy-authorization"};
    return std::ranges::find(ours, lower(name)) != ours.end();
}

net::Headers headers_of(const MediaSource& source) {
    net::Headers headers;
    for (const auto& [name, value] : source.http_headers)
        if (!is_ours(name)) headers.emplace_back(name, value);
    return headers;
}

/// A playlist or a manifest by its name, though its extractor has not said so.
bool named_as_stream(std::string_view url) {
    const auto path = lower(url.substr(0, url.find_first_of("?#")));
    return path.ends_with(".m3u8") || path.ends_with(".mpd");
}

/// The same by the type that its server gives it.
bool sent_as_stream(std::string_view content_type) {
    auto type = lower(content_type.substr(0, content_type.find(';')));
    while (type.ends_with(' ')) type.pop_back();
    return type.ends_with("mpegurl") || type == "application/dash+xml" || type == "application/xml" ||
           type == "text/xml";
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

/// Of a source with its sound elsewhere. The sound gets the name that a stream's own sound has, so that all who
/// follow treat it alike.
fs::path picture_of(const fs::path& target) { return target.string() + ".picture"; }
fs::path sound_of(const fs::path& target) { return target.string() + std::string(audio_suffix); }

bool has_begun(const fs::path& target) {
    for (const auto& path : {target, picture_of(target), sound_of(target)})
        if (has_part(path) || has_stream_part(path.string())) return true;
    std::error_code missing;
    return fs::exists(sound_of(target), missing);
}

void discard(const fs::path& target) {
    for (const auto& path : {picture_of(target), sound_of(target), target}) {
        net::discard_partial(path);
        discard_stream(path.string());
    }
    std::error_code ignored;
    fs::remove(picture_of(target), ignored);
}

/// How a finished download is to be read: one run from its beginning, unless it was put together.
Result<Assembly> assembly_of(const fs::path& path) {
    auto known = read_assembly(path.string());
    if (!known) return std::move(known).error();
    return *known ? **std::move(known) : Assembly{.runs = {0}};
}

/// Picture and sound, both whole, become one download. The picture takes the name last: what bears it is complete.
Result<void> join(const fs::path& target) {
    auto both = assembly_of(picture_of(target));
    if (!both) return std::move(both).error();
    auto sound = assembly_of(sound_of(target));
    if (!sound) return std::move(sound).error();
    if (both->audio.empty()) {
        both->audio = sound_of(target).filename().string();
        both->audio_seconds = sound->seconds;
        both->audio_runs = sound->runs;
        both->audio_pieces = sound->pieces;
        both->tolerance = std::max(both->tolerance, sound->tolerance);
        // A stream's clock begins anywhere, a file's at zero.
        both->audio_apart = (both->seconds > 0) != (sound->seconds > 0);
    }
    JR_TRY(write_assembly(target.string(), *both));
    std::error_code wrong;
    fs::rename(picture_of(target), target, wrong);
    if (wrong) return net::folder_error(wrong.value(), "rename the finished download");
    fs::remove(picture_of(target).string() + std::string(parts_suffix), wrong);
    fs::remove(sound_of(target).string() + std::string(parts_suffix), wrong);
    return {};
}

/// Brings a file that an extractor has left into the work folder.
Result<Downloaded> take_file(const MediaSource& source, const fs::path& target,
                             const DownloadOptions& options) {
    std::error_code wrong;
    if (options.extractor_dir.empty()) return net::path_refused(source.url);
    const fs::path folder = fs::canonical(options.extractor_dir, wrong);
    const fs::path file = wrong ? fs::path() : fs::canonical(folder / source.url, wrong);
    if (wrong)
        return Error{Errc::not_found, "MEDIA_IO", "the extractor's file " + source.url + " is not there"};
    const auto [end, rest] = std::ranges::mismatch(folder, file);
    if (end != folder.end() || rest == file.end() || !fs::is_regular_file(fs::symlink_status(file, wrong)))
        return net::path_refused(source.url);
    const auto bytes = fs::file_size(file, wrong);
    if (wrong) return net::folder_error(wrong.value(), "read " + file.string());
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
    if (wrong) return net::folder_error(wrong.value(), "take over " + file.string());
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

    const Watch watch({.time = options.time_limit, .min_free_bytes = options.min_free_bytes}, work.path(), stop);
    net::CookieJar cookies(info.cookies);
    std::optional<Error> telling;  // The error to give when every source has failed.
    const auto tell = [&](Error error, const net::TransferFacts& of) -> Result<Downloaded> {
        if (facts) *facts = of;
        return error;
    };
    net::TransferFacts telling_facts;
    for (std::size_t i = options.first_source; i < info.sources.size(); ++i) {
        if (auto ended = watch.error()) return *std::move(ended);
        if (stop.stop_requested()) return Error{Errc::canceled, "the download was stopped"};
        net::TransferFacts met;
        auto got = fetch(info.sources[i], target_of(i).string(), options, progress, watch.token(), met, cookies);
        if (got) {
            got->source = i;
            return got;
        }
        if (auto ended = watch.error()) return tell(*std::move(ended), met);
        const Error& error = got.error();
        const bool begun = has_begun(target_of(i));
        if (ends_all(error) || (goes_on_later(error) && begun)) return tell(error, met);
        discard(target_of(i));
        if (!telling || (!retry_may_help(*telling) && retry_may_help(error))) {
            telling = error;
            telling_facts = met;
        }
    }
    if (telling) return tell(*telling, telling_facts);
    return Error{Errc::unsupported, "UNSUPPORTED_SOURCE", "the post offers no further source to download"};
}

Result<Downloaded> Downloader::fetch(const MediaSource& source, const std::string& target,
                                     const DownloadOptions& options, const OnProgress& progress,
                                     const std::stop_token& stop, net::TransferFacts& facts,
                                     net::CookieJar& cookies) const {
    // A manifest that is named for both has both in it.
    if (source.sound && source.sound->url != source.url)
        return fetch_joined(source, target, options, progress, stop, facts, cookies);
    if (source.protocol == MediaProtocol::file) return take_file(source, target, options);
    const auto fetch_stream = [&] {
        return download_stream(
            fetcher_, *gate_,
            {.url = source.url, .headers = headers_of(source), .target = target, .cookies = &cookies}, options,
            progress, stop, facts);
    };
    const bool stream = source.protocol != MediaProtocol::https || named_as_stream(source.url);
    auto got = stream ? fetch_stream()
                      : fetch_file(source, target, options, progress, stop, facts, cookies);
    if (!got && !stream && got.error().name == "UNSUPPORTED_SOURCE" && facts.status / 100 == 2 &&
        sent_as_stream(facts.content_type))
        got = fetch_stream();
    return got;
}

Result<Downloaded> Downloader::fetch_joined(const MediaSource& source, const std::string& target,
                                            const DownloadOptions& options, const OnProgress& progress,
                                            const std::stop_token& stop, net::TransferFacts& facts,
                                            net::CookieJar& cookies) const {
    struct Part {
        MediaSource source;
        fs::path path;
        double from, to;  ///< Its share of the progress.
    };
    MediaSource picture = source;
    picture.sound.reset();
    MediaSource sound{.url = source.sound->url, .protocol = source.sound->protocol};
    sound.http_headers = source.sound->http_headers;
    Downloaded both{.path = target};
    for (const auto& part : {Part{std::move(sound), sound_of(target), 0, 10}, Part{std::move(picture), picture_of(target), 10, 100}}) {
        std::error_code missing;
        if (const auto bytes = fs::file_size(part.path, missing); !missing) {
            both.bytes += bytes;
            both.resumed_from += bytes;
            continue;
        }
        auto limited = options;
        limited.max_bytes -= std::min(limited.max_bytes, both.bytes);
        const auto report = [&](const Progress& at) {
            if (!progress) return;
            auto shared = at;
            shared.bytes += both.bytes;
            shared.total = 0;  // Of both nobody knows it.
            shared.percent = part.from + at.percent * (part.to - part.from) / 100;
            progress(shared);
        };
        auto got = fetch(part.source, part.path.string(), limited, report, stop, facts, cookies);
        if (!got) return got;
        both.bytes += got->bytes;
        both.resumed_from += got->resumed_from;
    }
    JR_TRY(join(target));
    return both;
}

Result<Downloaded> Downloader::fetch_file(const MediaSource& source, const std::string& target,
                                          const DownloadOptions& options, const OnProgress& progress,
                                          const std::stop_token& stop, net::TransferFacts& facts,
                                          net::CookieJar& cookies) const {
    const net::DownloadRequest request{.url = source.url,
                                       .headers = headers_of(source),
                                       .target = target,
                                       .max_bytes = options.max_bytes,
                                       .stall_timeout = options.stall_timeout,
                                       .cookies = &cookies};
    const auto report = [&](std::uint64_t bytes, std::uint64_t total) {
        if (!progress) return;
        const double percent =
            total > 0 ? 100.0 * static_cast<double>(std::min(bytes, total)) / static_cast<double>(total) : 0;
        progress({.stage = "download", .percent = percent, .bytes = bytes, .total = total});
    };
    const auto url = net::parse_url(source.url, net::max_fetch_url);
    if (!url) return url.error();
    // Content networks refuse by mistake now and then; what lasts is for the job's next attempt.
    Retries retries({.times = 1, .first_pause = options.first_pause, .longest_asked = longest_wait_in_a_call},
                    std::hash<std::string>{}(source.url));
    while (true) {
        auto got = [&] {
            const auto pass = gate_->enter(url->host, [] { return false; }, stop);
            return fetcher_.download(request, report, stop, &facts);
        }();
        if (got) return Downloaded{.path = target, .bytes = got->bytes, .resumed_from = got->resumed_from};
        const bool refused = facts.status == 403 || facts.status >= 500;
        if (!refused || !retries.again(got.error(), facts.retry_after, stop)) return got.error();
    }
}

}  // namespace jobruntime::media
