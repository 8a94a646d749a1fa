// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include <jobruntime/extractor.hpp>

#include "platform_config.hpp"

namespace jobruntime::host {

/// Asks the extractors of a post's platform in their order; the answer names the one that gave it
/// (MediaInfo::extractor). A program's own extractors come first, and pass by UNSUPPORTED_SOURCE, but where the
/// platform's list names one, it is asked in its place there and as the list says. When nobody finds it, the error is the one that tells most: what no attempt can change (gone, blocked here), then what may pass by
/// itself, then what a person must do (a log-in), then an extractor's own trouble, then NO_MEDIA, then
/// UNSUPPORTED_SOURCE. Of two that tell as much, the later one.
class ExtractorChain final : public Extractor {
public:
    using Known = std::map<std::string, std::shared_ptr<Extractor>, std::less<>>;
    ExtractorChain(std::vector<std::shared_ptr<Extractor>> own, Known known, MediaConfig config);

    std::string_view name() const override { return "chain"; }
    Result<MediaInfo> extract(const ExtractRequest& request, std::stop_token stop) override;

private:
    Result<MediaInfo> ask(Extractor& extractor, const ExtractorUse& use, const ExtractRequest& request,
                          const std::stop_token& stop) const;

    const std::vector<std::shared_ptr<Extractor>> own_;
    const Known known_;
    const MediaConfig config_;
};

}  // namespace jobruntime::host
