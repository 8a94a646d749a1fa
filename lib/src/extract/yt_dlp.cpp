// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <array>
#include <mutex>
#include <utility>

#include <jobruntime/extract.hpp>

#include "core/json.hpp"
#include "extract/child_run.hpp"
#include "extract/info_dict.hpp"
#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace {

/// What yt-dlp's "ERROR:" lines mean. Its words are for people, and it has no codes; the first row that fits decides.
struct Said {
    std::string_view words;
    std::string_view code;
};
constexpr std::array said{
    Said{"unsupported url", "UNSUPPORTED_SOURCE"},
    Said{"drm", "DRM_PROTECTED"},
    Said{"not available in your country", "GEO_BLOCKED"},
    Said{"geo restrict", "GEO_BLOCKED"},
    Said{"http error 429", "RATE_LIMITED"},
    Said{"rate-limit", "RATE_LIMITED"},
    Said{"not a bot", "BOT_CHALLENGE"},
    Said{"captcha", "BOT_CHALLENGE"},
    Said{"log in", "AUTH_REQUIRED"},
    Said{"login", "AUTH_REQUIRED"},
    Said{"sign in", "AUTH_REQUIRED"},
    Said{"--cookies", "AUTH_REQUIRED"},
    Said{"nsfw", "AUTH_REQUIRED"},
    Said{"private", "AUTH_REQUIRED"},
    Said{"no video could be found", "NO_MEDIA"},
    Said{"no video formats", "NO_MEDIA"},
    Said{"there's no video", "NO_MEDIA"},
    Said{"http error 404", "VIDEO_UNAVAILABLE"},
    Said{"http error 410", "VIDEO_UNAVAILABLE"},
    Said{"unavailable", "VIDEO_UNAVAILABLE"},
    Said{"not available", "VIDEO_UNAVAILABLE"},
    Said{"removed", "VIDEO_UNAVAILABLE"},
    Said{"timed out", "NETWORK"},
    Said{"unable to download", "NETWORK"},
    Said{"connection", "NETWORK"},
};

Error meaning_of(const std::string& complaint, const std::string& how) {
    const auto words = lower(complaint);
    for (const auto& row : said)
        if (words.find(row.words) != std::string::npos)
            return {errc_of(row.code), std::string(row.code), "yt-dlp says: " + complaint};
    return {Errc::unavailable, "EXTRACTOR_CRASHED",
            complaint.empty() ? "yt-dlp ended with " + how + " and gave no answer" : "yt-dlp says: " + complaint};
}

}  // namespace

YtDlpExtractor::YtDlpExtractor(YtDlpOptions options) : options_(std::move(options)) {}
YtDlpExtractor::~YtDlpExtractor() = default;

Result<MediaInfo> YtDlpExtractor::extract(const ExtractRequest& request, std::stop_token stop) {
    const auto deadline = std::chrono::steady_clock::now() + request.timeout;
    auto url = net::parse_url(request.url, net::max_fetch_url);
    if (!url) return std::move(url).error();
    HostVetter vetter(options_.allow_nets);
    JR_TRY(vetter.check_url(url->str(), deadline, stop));  // It has no guard of its own.

    std::mutex mutex;  // stderr is read on a thread of its own.
    std::string complaint;
    std::optional<boost::json::object> dict;
    ChildRun run;
    run.name = "yt-dlp";
    run.argv = {options_.program, "--ignore-config", "--no-plugin-dirs", "--no-cache-dir", "--no-playlist", "--no-warnings", "-q", "-J"};
    if (!request.cookies_file.empty()) run.argv.insert(run.argv.end(), {"--cookies", request.cookies_file});
    run.argv.insert(run.argv.end(), {"--", url->str()});
    run.environment = options_.environment;
    run.directory = request.tmp_dir;
    run.limits = options_.limits;
    run.on_line = [&](std::string_view line) -> Result<void> {
        if (line.empty() || line == "null") return {};
        auto parsed = core::parse_json_object(line);
        if (!parsed || dict)
            return Error{Errc::unsupported, "EXTRACTOR_PROTOCOL", "yt-dlp wrote something else than one info dict; is it up to date?"};
        dict = *std::move(parsed);
        return {};
    };
    run.on_stderr = [&](std::string_view line) {
        const std::lock_guard lock(mutex);
        if (request.log) request.log("yt-dlp: " + std::string(line));
        if (line.starts_with("ERROR:")) complaint = clean_line(line.substr(6), 300);
    };
    run.answered = [&] { return dict.has_value(); };
    ChildEnd end;
    JR_TRY(run_child(run, deadline, stop, end));
    if (!dict) {
        const std::lock_guard lock(mutex);
        return meaning_of(complaint, end.status ? to_string(*end.status) : "an unknown status");
    }
    auto info = info_from_dict(*dict, request.nth);
    if (!info) return info;
    if (info->sources.empty()) return Error{Errc::not_found, "NO_MEDIA", "yt-dlp found no format with a picture"};
    JR_TRY(vet_info(*info, request, vetter, deadline, stop));
    return info;
}

}  // namespace jobruntime::extract
