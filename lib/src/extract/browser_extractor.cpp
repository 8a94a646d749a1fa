// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/extract.hpp>

#include "extract/browser_impl.hpp"
#include "extract/page_run.hpp"

namespace jobruntime::extract {

BrowserExtractor::BrowserExtractor(Browser& browser, ExtractOptions options)
    : browser_(browser), options_(std::move(options)) {}
BrowserExtractor::~BrowserExtractor() = default;

Result<MediaInfo> BrowserExtractor::extract(const ExtractRequest& request, std::stop_token stop) {
    const auto deadline = std::chrono::steady_clock::now() + request.timeout;
    auto url = net::parse_url(request.url, net::max_fetch_url);
    if (!url) return std::move(url).error();
    ExtractRequest checked = request;
    checked.url = url->str();  // Never the text as it was given: parsers disagree about hostile strings.
    HostVetter vetter(options_.allow_nets);
    JR_TRY(vetter.check_url(checked.url, deadline, stop));

    auto& impl = *browser_.impl_;
    auto lease = impl.acquire(deadline, stop);
    if (!lease) return std::move(lease).error();
    const bool visible = !impl.options().headless;
    {
        PageRun first(lease->engine(), options_, checked, visible, vetter, deadline, stop);
        auto info = first.run();
        if (info || !first.fresh_target_may_help() || !lease->engine().usable()) return info;
        if (request.log) request.log("trying again in a fresh window: " + info.error().message);
    }
    PageRun second(lease->engine(), options_, checked, visible, vetter, deadline, stop);
    return second.run();
}

}  // namespace jobruntime::extract
