// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extractor_chain.hpp"

#include <algorithm>
#include <filesystem>
#include <optional>

namespace jobruntime::host {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

bool may_pass(std::string_view code) {
    return code == "NETWORK" || code == "EXTRACTION_TIMEOUT" || code == "EXTRACTOR_CRASHED" || code == "RATE_LIMITED";
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
        empty_folder(request.tmp_dir);
        auto info = extractor.extract(limited, stop);
        if (info) {
            info->extractor = std::string(extractor.name());
            return info;
        }
        const bool again = attempt < use.attempts && may_pass(info.error().name) && steady_clock::now() < deadline;
        if (!again || stop.stop_requested()) return info;
        if (request.log) request.log(std::string(extractor.name()) + ": " + info.error().name + "; trying it again");
    }
}

Result<MediaInfo> ExtractorChain::extract(const ExtractRequest& request, std::stop_token stop) {
    const auto deadline = steady_clock::now() + request.timeout;
    Error last{Errc::unsupported, "UNSUPPORTED_SOURCE", "no extractor of this worker knows " + request.url};
    std::vector<std::pair<std::shared_ptr<Extractor>, ExtractorUse>> list;
    for (const auto& extractor : own_) list.push_back({extractor, {std::string(extractor->name()), {}, 1, {"UNSUPPORTED_SOURCE"}}});
    if (const auto* platform = config_.find(request.platform))
        for (const auto& use : platform->extractors)
            if (const auto found = known_.find(use.name); found != known_.end()) list.push_back({found->second, use});
    for (std::size_t i = 0; i < list.size(); ++i) {
        const auto& [extractor, use] = list[i];
        auto limited = request;
        limited.timeout = std::chrono::duration_cast<milliseconds>(deadline - steady_clock::now());
        if (limited.timeout.count() <= 0) break;
        auto info = ask(*extractor, use, limited, stop);
        if (info || info.error().code == Errc::canceled || stop.stop_requested()) return info;
        const auto error = std::move(info).error();
        if (last.name == "UNSUPPORTED_SOURCE" || error.name != "UNSUPPORTED_SOURCE") last = error;
        if (std::find(use.next_on.begin(), use.next_on.end(), error.name) == use.next_on.end()) return error;
        if (i + 1 < list.size() && request.log)
            request.log(std::string(extractor->name()) + ": " + error.name + ": " + error.message + "; trying " + list[i + 1].second.name);
    }
    return last;
}

}  // namespace jobruntime::host
