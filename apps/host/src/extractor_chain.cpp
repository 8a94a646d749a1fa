// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extractor_chain.hpp"

#include <algorithm>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <optional>

#include "codes.hpp"

namespace jobruntime::host {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// How much an error tells about the post; of several extractors' errors that of the highest rank is the job's.
enum class Rank {
    not_my_site,   ///< About the extractor, and nothing is wrong with it.
    nothing_seen,  ///< It saw no video; another was asked because it may have missed one.
    own_trouble,   ///< About the extractor: it cannot start, say. Somebody must do something about it.
    about_post,    ///< It wants a log-in or a person; or a program's own code.
    may_pass,      ///< The same extractor may find the video at the next attempt, so there must be one.
    held,          ///< A process of ours has the browser's profile and gives it back: the browser is asked then.
    settled,       ///< No extractor and no attempt can change it.
};

Rank rank_of(const Error& error) {
    const std::string_view code = error.name;
    const auto is = [&](std::initializer_list<std::string_view> names) { return std::find(names.begin(), names.end(), code) != names.end(); };
    if (code == "UNSUPPORTED_SOURCE") return Rank::not_my_site;
    if (code == "NO_MEDIA") return Rank::nothing_seen;
    if (code == "BROWSER_PROFILE_IN_USE" && error.code == Errc::unavailable) return Rank::held;
    if (is({"BROWSER_LAUNCH_FAILED", "BROWSER_PROFILE_IN_USE", "EXTRACTOR_PROTOCOL", "EXTRACTOR_NOT_FOUND", "TOO_LARGE",
            "RECORDING_INCOMPLETE"}))
        return Rank::own_trouble;
    if (is({"VIDEO_UNAVAILABLE", "GEO_BLOCKED", "DRM_PROTECTED", "SSRF_BLOCKED", "INVALID_URL"})) return Rank::settled;
    return code_info(code).retryable ? Rank::may_pass : Rank::about_post;
}

/// An extractor finds its folder empty, whatever the one before has left there.
void empty_folder(const std::string& folder) {
    if (folder.empty()) return;
    std::error_code code;
    for (std::filesystem::directory_iterator entry(folder, code), end; !code && entry != end; entry.increment(code)) {
        std::error_code ignored;
        std::filesystem::remove_all(entry->path(), ignored);
    }
}

/// Longer than that a site is left alone by putting the job off, which holds up no others.
constexpr std::chrono::seconds longest_pause{10};

void pause(std::chrono::seconds time, const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    never.wait_for(lock, stop, time, [] { return false; });
}

}  // namespace

ExtractorChain::ExtractorChain(std::vector<std::shared_ptr<Extractor>> own, Known known, MediaConfig config)
    : own_(std::move(own)), known_(std::move(known)), config_(std::move(config)) {}

Result<MediaInfo> ExtractorChain::ask(Extractor& extractor, const ExtractorUse& use, const ExtractRequest& request,
                                      const std::stop_token& stop) const {
    const auto deadline = steady_clock::now() + request.timeout;
    for (int attempt = 1;; ++attempt) {
        auto limited = request;
        const auto left = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
        limited.timeout = std::max(milliseconds(1), use.timeout ? std::min(*use.timeout, left) : left);
        std::chrono::seconds wanted{0};
        limited.asked_to_wait = [&](std::chrono::seconds wait) {
            wanted = std::max(wanted, wait);
            if (request.asked_to_wait) request.asked_to_wait(wait);
        };
        empty_folder(request.tmp_dir);
        auto info = extractor.extract(limited, stop);
        if (info) {
            info->extractor = std::string(extractor.name());
            return info;
        }
        const bool again = attempt < use.attempts && code_info(info.error().name).retryable && wanted <= longest_pause &&
                           steady_clock::now() + wanted < deadline;
        if (!again || stop.stop_requested()) return info;
        const auto when = wanted.count() > 0 ? " in " + std::to_string(wanted.count()) + " s, as the site asks" : std::string();
        if (request.log) request.log(std::string(extractor.name()) + ": " + info.error().name + "; trying it again" + when);
        if (wanted.count() > 0) pause(wanted, stop);
        if (stop.stop_requested()) return Error{Errc::canceled, "stopped while waiting as the site asks"};
    }
}

Result<MediaInfo> ExtractorChain::extract(const ExtractRequest& request, std::stop_token stop) {
    const auto deadline = steady_clock::now() + request.timeout;
    Error telling{Errc::unsupported, "UNSUPPORTED_SOURCE", "no extractor of this worker knows " + request.url};
    std::vector<std::string> said;
    std::vector<std::pair<std::shared_ptr<Extractor>, ExtractorUse>> list;
    std::vector<std::shared_ptr<Extractor>> front = own_;
    if (const auto* platform = config_.find(request.platform))
        for (const auto& use : platform->extractors) {
            if (const auto found = known_.find(use.name); found != known_.end()) {
                list.push_back({found->second, use});
                continue;
            }
            const auto named = [&](const auto& extractor) { return extractor->name() == use.name; };
            if (const auto found = std::find_if(own_.begin(), own_.end(), named); found != own_.end()) list.push_back({*found, use});
            std::erase_if(front, named);
        }
    for (auto place = list.begin(); const auto& extractor : front) {
        const ExtractorUse use{std::string(extractor->name()), {}, 1, {"UNSUPPORTED_SOURCE"}};
        place = list.insert(place, {extractor, use}) + 1;
    }
    for (std::size_t i = 0; i < list.size(); ++i) {
        const auto& [extractor, use] = list[i];
        auto limited = request;
        limited.timeout = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
        if (limited.timeout.count() <= 0) break;
        auto info = ask(*extractor, use, limited, stop);
        if (info || info.error().code == Errc::canceled || stop.stop_requested()) return info;
        const auto error = std::move(info).error();
        if (error.name != "UNSUPPORTED_SOURCE") said.push_back(std::string(extractor->name()) + ": " + error.name);
        // Of two that tell as much the later one counts: the list goes from the quick to the thorough.
        if (rank_of(error) >= rank_of(telling)) telling = error;
        if (std::find(use.next_on.begin(), use.next_on.end(), error.name) == use.next_on.end()) break;
        if (i + 1 < list.size() && request.log)
            request.log(std::string(extractor->name()) + ": " + error.name + ": " + error.message + "; trying " + list[i + 1].second.name);
    }
    // What the others said may be what a person needs to know.
    if (said.size() > 1) {
        telling.message += " (";
        for (const auto& one : said) telling.message += (&one == &said.front() ? "" : ", ") + one;
        telling.message += ")";
    }
    return telling;
}

}  // namespace jobruntime::host
