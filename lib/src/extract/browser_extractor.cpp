// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <utility>

#include <jobruntime/extract.hpp>

#include "extract/browser_impl.hpp"
#include "extract/page_rules.hpp"
#include "extract/page_run.hpp"

namespace jobruntime::extract {

BrowserExtractor::BrowserExtractor(Browser& browser, ExtractOptions options)
    : browser_(browser), options_(std::move(options)) {}
BrowserExtractor::~BrowserExtractor() = default;

Result<MediaInfo> BrowserExtractor::extract(const ExtractRequest& request, std::stop_token stop) {
    const auto deadline = std::chrono::steady_clock::now() + request.timeout;
    // What a page has that the recording does not, a browser would fetch.
    if (options_.recording != nullptr && options_.recording->replays() && !browser_.impl_->options().offline)
        return Error{Errc::invalid_argument, "INVALID_ARGUMENT",
                     "a replay wants a browser with BrowserOptions::offline"};
    auto url = net::parse_url(request.url, net::max_fetch_url);
    if (!url) return std::move(url).error();
    ExtractRequest checked = request;
    checked.url = url->str();  // Never the text as it was given: parsers disagree about hostile strings.

    const PageRule* rule = nullptr;
    if (options_.rules.impl_ != nullptr)
        for (const auto& one : options_.rules.impl_->rules)
            if (rule == nullptr && one.matches(request.platform, url->host)) rule = &one;

    auto& impl = *browser_.impl_;
    const bool visible = !impl.options().headless;
    bool second_browser = false;
    bool second_target = false;
    while (true) {
        auto lease = impl.acquire(deadline, stop);
        if (!lease) return std::move(lease).error();
        do {
            PageRun run(lease->engine(), options_, checked, rule, visible, impl.options().allow_nets, deadline, stop);
            auto info = run.run();
            if (info || info.error().code == Errc::canceled) return info;
            // A browser that had died while it was idle has not touched the site: that is nobody's failure.
            const bool in_time = std::chrono::steady_clock::now() < deadline;
            if (in_time && !run.navigated() && !lease->engine().usable() && !std::exchange(second_browser, true)) break;
            if (!run.fresh_target_may_help() || !lease->engine().usable()) return info;
            if (std::exchange(second_target, true)) return info;
            if (request.log) request.log("trying again in a fresh window: " + info.error().message);
        } while (true);
    }
}

}  // namespace jobruntime::extract
