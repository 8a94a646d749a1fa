// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media_save.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include <boost/json/parse.hpp>

#include "codes.hpp"
#include "platform_config.hpp"
#include "stored_extraction.hpp"
#include "traceparent.hpp"

namespace jobruntime::host {
namespace {

/// A download that goes on for longer is not held up by the helper's start, and its memory is worth more.
constexpr std::chrono::seconds helper_waits{60};

std::string text_of(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

/// What an earlier step of this name has stored; nothing when there is none.
std::optional<boost::json::value> stored_step(JobContext& job, std::string_view name) {
    bool known = true;
    auto stored = job.step(name, [&known]() -> Result<boost::json::value> {
        known = false;
        return Error{Errc::not_found, "nothing is stored under this name yet"};
    });
    if (!known || !stored) return std::nullopt;
    return *std::move(stored);
}

/// The source gave bytes that are no video worth keeping: another source may be better, the same one will not.
bool is_about_content(std::string_view code) {
    for (auto known : {"NOT_MEDIA", "NO_VIDEO", "MEDIA_DAMAGED", "TRUNCATED", "WRONG_DURATION", "DRM_PROTECTED",
                       "UNSUPPORTED_SOURCE"})
        if (code == known) return true;
    return false;
}

double seconds_of(std::chrono::milliseconds time) { return static_cast<double>(time.count()) / 1000; }

/// What a server says of a link that has expired: that there is nothing, that one may not, or a page that says so.
bool is_about_link(std::string_view code) {
    return code == "VIDEO_UNAVAILABLE" || code == "AUTH_REQUIRED" || code == "NOT_MEDIA" || code == "UNSUPPORTED_SOURCE";
}

/// Passes progress on as the job's, and now and then as the event that operators know.
media::OnProgress report_to(JobContext& job) {
    auto next = std::make_shared<std::chrono::steady_clock::time_point>();
    return [&job, next](const media::Progress& progress) {
        const auto percent = progress.total > 0 || progress.percent > 0 ? std::optional(progress.percent) : std::nullopt;
        job.progress(percent, progress.stage);
        const auto now = std::chrono::steady_clock::now();
        if (progress.stage != "download" || now < *next) return;
        *next = now + std::chrono::seconds(1);
        boost::json::object fields{{"bytes", progress.bytes}};
        if (progress.total > 0) fields["totalBytes"] = progress.total;
        if (percent) fields["percent"] = *percent;
        job.event("worker.job.download.progress", std::move(fields));
    };
}

}  // namespace

struct MediaSave::Attempt {
    JobContext& job;
    net::Post post;
    media::WorkFolder work;
    bool extracted_earlier = false;  ///< The sources come from an attempt before this one and may have expired.
    bool secrets_are_gone = false;   ///< And what they were found with, such as a log-in, went with that attempt.
    std::chrono::milliseconds downloading{0};  ///< So far, over all the sources that were no good.
    bool bytes_came = false;         ///< They were good when the download began.

    bool link_failed = false;        ///< It ended while it asked for the media, not before and not after.
    std::optional<std::chrono::seconds> asked_to_wait;  ///< By a server, with Retry-After.

    media::HelperAhead helper;  ///< Loads its libraries while the file is downloaded.

    std::string folder() const { return work.path() + "/extract"; }
};

MediaSave::MediaSave(net::Fetcher& fetcher, media::Publisher& publisher, Options options)
    : downloader_(fetcher, options.per_host), publisher_(publisher), options_(std::move(options)) {}

MediaSave MediaSave::with(Options options) const {
    auto other = *this;
    other.options_ = std::move(options);
    return other;
}

Outcome MediaSave::operator()(JobContext& job) const {
    auto url = net::parse_url(text_of(job.job().payload, "url"));
    if (!url) return failed("INVALID_URL", "the payload's url is refused: " + url.error().message);
    // The API has followed a short link already, where it could.
    auto canonical = net::parse_url(text_of(job.job().payload, "canonicalUrl"), net::max_fetch_url);
    const auto& address = canonical ? *canonical : *url;
    auto post = options_.identify ? options_.identify(address, job.stop()) : net::identify(address);
    if (!post && post.error().code == Errc::canceled) return canceled();
    if (!post) return failed("INVALID_URL", post.error().message);
    if (options_.enabled && !options_.enabled(post->platform))
        return failed("PLATFORM_DISABLED", "the platform " + post->platform + " is switched off on this worker");
    // Which file needs it shows only once it has been fetched: a program that is missing is said before that.
    if (!options_.ffmpeg.empty())
        if (auto ffmpeg = media::find_ffmpeg(options_.ffmpeg); !ffmpeg)
            return failed(ffmpeg.error().name, ffmpeg.error().message + ". " +
                                                   std::string(code_info(ffmpeg.error().name).remedy));
    auto work = publisher_.claim_work_folder(job.job().id, job.fence());
    if (!work) {
        const auto& info = code_info(work.error().name);
        return info.retryable ? retry(work.error().name, work.error().message)
                              : failed(work.error().name, work.error().message);
    }
    Attempt attempt{job, *std::move(post), *std::move(work)};
    auto result = save(attempt);
    if (!result) return outcome_of(result.error(), attempt);
    auto outcome = completed(*std::move(result));
    outcome.forget_steps = true;  // The address of the medium may be signed, and nobody needs it any more.
    return outcome;
}

Result<boost::json::value> MediaSave::save(Attempt& attempt) const {
    auto info = extract(attempt);
    if (!info) return std::move(info).error();
    auto first = first_source(attempt.job);
    if (first >= info->sources.size()) first = 0;
    for (;;) {
        auto fetched = download(attempt, *info, first);
        if (!fetched) return std::move(fetched).error();
        auto published = publish(attempt, *info, fetched->path);
        const bool other_source = fetched->source + 1 < info->sources.size();
        if (published || !is_about_content(published.error().name)) return published;
        attempt.link_failed = published.error().name == "NOT_MEDIA";  // A page that calls itself a video.
        if (!other_source) {
            // Should it be worth another attempt, that one begins with the best again.
            if (first > 0) JR_TRY(attempt.job.forget("first-source"));
            return published;
        }
        attempt.job.log("source " + std::to_string(fetched->source + 1) + " is no good (" + published.error().name +
                            "); trying the next",
                        Level::warn);
        first = fetched->source + 1;
        // In this order: a crash between the two meets the bad source's file again, which goes the same way.
        JR_TRY(attempt.job.forget("first-source"));
        auto kept = attempt.job.step("first-source", [first] { return Result<boost::json::value>(first); });
        if (!kept) return std::move(kept).error();
        JR_TRY(attempt.job.forget("download"));
        if (attempt.secrets_are_gone) info = extract(attempt);
        if (!info) return std::move(info).error();
        // Another look may find fewer. It is the only one: what it found has its secrets.
        if (first >= info->sources.size()) first = 0;
    }
}

/// Asks the extractors one after the other. What was found goes to `fresh`, and what may be stored of it is the answer.
Result<boost::json::value> MediaSave::look(Attempt& attempt, std::optional<MediaInfo>& fresh) const {
    auto& job = attempt.job;
    job.event("worker.job.extraction.started", {{"url", attempt.post.canonical}, {"platform", attempt.post.platform}});
    job.progress(std::nullopt, "extract", "looking for the video");
    std::error_code code;
    std::filesystem::remove_all(attempt.folder(), code);
    std::filesystem::create_directory(attempt.folder(), code);
    if (code) return Error{Errc::unavailable, "DISK_FULL", "cannot make " + attempt.folder() + ": " + code.message()};
    ExtractRequest request;
    request.url = attempt.post.canonical;
    request.platform = attempt.post.platform;
    request.post_id = attempt.post.post_id;
    request.job_id = job.job().id.str();
    request.timeout = options_.extraction_timeout;
    request.tmp_dir = attempt.folder();
    request.traceparent = traceparent_of(job.job());
    request.nth = attempt.post.nth;
    if (std::filesystem::exists(options_.cookies_file, code)) request.cookies_file = options_.cookies_file;
    request.asked_to_wait = [&attempt](std::chrono::seconds wait) { attempt.asked_to_wait = wait; };
    request.log = [&job](std::string_view line) { job.log(line); };
    request.progress = [&job](std::optional<double> percent, std::string_view message) {
        job.progress(percent, "extract", message);
    };
    Error last{Errc::unsupported, "UNSUPPORTED_SOURCE", "no extractor of this worker knows " + attempt.post.canonical};
    for (const auto& extractor : options_.extractors) {
        auto found = extractor->extract(request, job.stop());
        if (found) {
            job.event("worker.job.extraction.completed",
                      {{"extractor", found->extractor.empty() ? std::string(extractor->name()) : found->extractor}, {"sources", found->sources.size()}, {"title", found->title}});
            fresh = *found;
            return boost::json::value(without_secrets(*std::move(found)));
        }
        last = std::move(found).error();
        if (last.name != "UNSUPPORTED_SOURCE") break;
    }
    return last;
}

Result<MediaInfo> MediaSave::extract(Attempt& attempt) const {
    auto& job = attempt.job;
    std::optional<MediaInfo> fresh;
    const auto ask = [&] { return look(attempt, fresh); };
    auto stored = job.step("extract", ask);
    if (!stored) return std::move(stored).error();
    if (!fresh) {
        attempt.extracted_earlier = true;
        auto earlier = stored_extraction(*stored);
        if (!earlier) return std::move(earlier).error();
        attempt.secrets_are_gone = earlier->had_secrets;
        const bool file_is_gone = begins_with_lost_file(attempt, earlier->info);
        if ((!attempt.secrets_are_gone && !file_is_gone) || fetched_earlier(attempt)) return std::move(earlier->info);
        // Without its secrets the site would refuse the download, or give another one; a file is to be had nowhere else.
        if (file_is_gone) job.log("the file that the extractor has left is gone; asking it again", Level::warn);
        JR_TRY(job.forget("extract"));
        if (file_is_gone) JR_TRY(job.forget("first-source"));
        attempt.secrets_are_gone = false;
        stored = job.step("extract", ask);
        if (!stored) return std::move(stored).error();
    }
    attempt.extracted_earlier = !fresh;
    if (fresh) return *std::move(fresh);
    auto kept = stored_extraction(*stored);
    if (!kept) return std::move(kept).error();
    return std::move(kept->info);
}

/// Whether the source to begin with is a file that an extractor has left, and that went since: with the work folder, or
/// as a download that was no good.
bool MediaSave::begins_with_lost_file(const Attempt& attempt, const MediaInfo& info) {
    if (info.sources.empty()) return false;
    const auto first = first_source(attempt.job);
    const auto& source = info.sources[first < info.sources.size() ? first : 0];
    std::error_code code;
    return source.protocol == MediaProtocol::file &&
           !std::filesystem::is_regular_file(std::filesystem::path(attempt.folder()) / source.url, code);
}

/// The file of an earlier attempt, or of this one; a step whose file has vanished is forgotten.
std::optional<MediaSave::Fetched> MediaSave::fetched_earlier(Attempt& attempt) {
    const auto stored = stored_step(attempt.job, "download");
    if (!stored) return std::nullopt;
    if (auto fetched = file_of(attempt, *stored)) return fetched;
    attempt.job.log("the downloaded file of an earlier attempt is gone; fetching it again", Level::warn);
    forget(attempt.job, {"download"});
    return std::nullopt;
}

/// What the step "download" stands for, while its file is in the work folder.
std::optional<MediaSave::Fetched> MediaSave::file_of(const Attempt& attempt, const boost::json::value& checkpoint) {
    if (!checkpoint.is_object()) return std::nullopt;
    const auto name = text_of(checkpoint.get_object(), "file");
    const auto* source = checkpoint.get_object().if_contains("source");
    std::error_code code;
    // 0 where it is no count: checkpoints can be changed by hand.
    Fetched fetched{attempt.work.path() + "/" + name, source ? source->to_number<std::size_t>(code) : 0};
    if (name.empty() || name.find('/') != std::string::npos || !std::filesystem::is_regular_file(fetched.path, code))
        return std::nullopt;
    return fetched;
}

Result<MediaSave::Fetched> MediaSave::download(Attempt& attempt, const MediaInfo& info,
                                              std::size_t first_source) const {
    auto& job = attempt.job;
    media::DownloadOptions options = options_.download;
    options.extractor_dir = attempt.folder();
    options.first_source = first_source;
    const double most = seconds_of(options.max_duration);
    if (info.duration && info.duration_stated && *info.duration > most)
        return Error{Errc::full, "TOO_LONG",
                     "the site says that the video is " + std::to_string(static_cast<long>(*info.duration)) +
                         " s long, the limit is " + std::to_string(static_cast<long>(most)) + " s"};
    auto fetch = [&]() -> Result<boost::json::value> {
        job.event("worker.job.download.started", {{"sources", info.sources.size()}});
        attempt.helper = publisher_.start_helper();
        const auto let_go = std::chrono::steady_clock::now() + helper_waits;
        const auto report = [&attempt, let_go, tell = report_to(job)](const media::Progress& progress) {
            if (std::chrono::steady_clock::now() >= let_go) attempt.helper = {};
            attempt.bytes_came = attempt.bytes_came || progress.bytes > 0;
            tell(progress);
        };
        // The limit is the attempt's, however many sources it tries.
        options.time_limit = std::max(options.time_limit - attempt.downloading, std::chrono::milliseconds(1));
        const auto begun = std::chrono::steady_clock::now();
        net::TransferFacts facts;
        auto got = downloader_.download(info, attempt.work, options, report, job.stop(), &facts);
        attempt.downloading += std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begun);
        if (!got) {
            attempt.link_failed = true;
            attempt.asked_to_wait = facts.retry_after;
            return std::move(got).error();
        }
        job.event("worker.job.download.completed",
                  {{"bytes", got->bytes}, {"resumedFrom", got->resumed_from}, {"source", got->source}});
        // The work folder has another name in the next attempt; the file in it keeps its own.
        return boost::json::value{{"file", std::filesystem::path(got->path).filename().string()}, {"source", got->source}};
    };
    if (auto fetched = fetched_earlier(attempt)) return *std::move(fetched);
    auto stored = job.step("download", fetch);
    if (!stored) return std::move(stored).error();
    if (auto fetched = file_of(attempt, *stored)) return *std::move(fetched);
    return Error{Errc::unavailable, "DOWNLOAD_INCOMPLETE", "the downloaded file has vanished from the work folder"};
}

Result<boost::json::value> MediaSave::publish(Attempt& attempt, const MediaInfo& info, const std::string& file) const {
    auto& job = attempt.job;
    media::PublishRequest request;
    request.input = file;
    request.job = job.job().id;
    request.fence = job.fence();
    request.nth = attempt.post.nth;
    request.account = attempt.post.platform == "web" ? std::string() : attempt.post.handle_slug;
    request.source_url = attempt.post.canonical;
    request.info = info;
    // Records round to a second at most, which the helper allows for.
    if (info.duration && info.duration_stated) request.expected_seconds = *info.duration;
    request.max_seconds = seconds_of(options_.download.max_duration);
    request.min_free_bytes = options_.download.min_free_bytes;
    auto published =
        publisher_.publish(request, attempt.work, report_to(job), job.stop(), std::exchange(attempt.helper, {}));
    if (!published) return std::move(published).error();
    if (!published->thumbnail_path.empty())
        job.event("worker.job.thumbnail.completed", {{"thumbnailPath", published->thumbnail_path}});
    boost::system::error_code code;
    auto result = boost::json::parse(published->json, code);
    if (code || !result.is_object())
        return Error{Errc::internal, "PUBLISH_JSON", "the published description is not JSON; please report it"};
    auto& object = result.get_object();
    object["outputPath"] = published->output_path;
    object["jsonPath"] = published->json_path;
    object["thumbnailPath"] = published->thumbnail_path.empty() ? boost::json::value(nullptr)
                                                                : boost::json::value(published->thumbnail_path);
    return result;
}

/// The source to begin with: those before it were no good, an attempt ago.
std::size_t MediaSave::first_source(JobContext& job) {
    const auto stored = stored_step(job, "first-source");
    std::error_code no_count;  // As a change by hand may leave it: then 0.
    return stored ? stored->to_number<std::size_t>(no_count) : 0;
}

/// Addresses of media expire: what an earlier attempt has found, or what was good a moment ago, is looked for
/// again, once until the job has ended.
bool MediaSave::look_again(std::string_view code, Attempt& attempt) {
    if (!attempt.link_failed || !is_about_link(code)) return false;
    if (!attempt.extracted_earlier && !attempt.bytes_came) return false;
    auto& job = attempt.job;
    bool first_time = false;
    auto noted = job.step("extract-again", [&]() -> Result<boost::json::value> {
        first_time = true;
        return boost::json::value(std::string(code));
    });
    if (!noted || !first_time) return false;
    forget(job, {"extract", "first-source"});
    return true;
}

void MediaSave::forget(JobContext& job, std::initializer_list<std::string_view> steps) {
    for (const auto step : steps)
        if (auto forgotten = job.forget(step); !forgotten) job.log(forgotten.error().message, Level::warn);
}

Outcome MediaSave::outcome_of(const Error& error, Attempt& attempt) const {
    auto& job = attempt.job;
    if (error.code == Errc::canceled || job.stop_reason() == StopReason::cancel) {
        // After a drain, a lost lease or a deadline the next attempt resumes what is here.
        if (job.stop_reason() != StopReason::cancel) attempt.work.keep();
        return canceled();
    }
    if (error.name == "BROWSER_PROFILE_IN_USE" && error.code == Errc::unavailable) {
        attempt.work.keep();
        return snooze(Duration{15'000}, "waits for the browser profile, which another jobrt process uses");
    }
    const std::string name = error.name.empty() ? "INTERNAL" : error.name;
    const auto& info = code_info(name);
    std::string message = error.message;
    if (!info.remedy.empty()) message += ". " + std::string(info.remedy);
    const bool expired = look_again(name, attempt);
    const bool last = job.job().attempt >= job.job().max_attempts;
    if ((!info.retryable && !expired) || last) {
        // Whoever retries the job later shall find it able to look at the page again, and not held to sources
        // that are known to be dead.
        forget(job, {"extract-again", "first-source"});
        if (attempt.link_failed && is_about_link(name)) forget(job, {"extract"});
    }
    if (!info.retryable && !expired) return failed(name, message);
    if (!last) attempt.work.keep();  // Nobody would resume it.
    const std::chrono::milliseconds pause{job.job().attempt <= 1 ? 5'000 : 30'000};
    const std::chrono::milliseconds asked = attempt.asked_to_wait.value_or(std::chrono::seconds(0));
    return retry(name, message, std::max(pause, asked));
}

}  // namespace jobruntime::host
