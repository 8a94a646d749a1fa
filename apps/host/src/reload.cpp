// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "reload.hpp"

#include <algorithm>
#include <array>

namespace jobruntime::host {

bool changes_at_once(std::string_view key) {
    constexpr std::array<std::string_view, 6> keys{"max-connections", "max-streams", "client-connections",
                                                   "client-streams",  "rate-limit",  "trusted-proxies"};
    return std::ranges::find(keys, key) != keys.end();
}

std::vector<std::string> wait_for_restart(const Invocation& in, const Loaded& fresh) {
    std::vector<std::string> names;
    for (const auto& setting : settings_table())
        if (!changes_at_once(setting.key) && in.settings.text(setting.key) != fresh.settings.text(setting.key))
            names.emplace_back(setting.variable);
    for (const auto* member : {"platforms", "extractors", "pages"}) {
        const auto* before = in.config.structure.if_contains(member);
        const auto* now = fresh.config.structure.if_contains(member);
        if ((before == nullptr) != (now == nullptr) || (before && *before != *now)) names.emplace_back(member);
    }
    return names;
}

}  // namespace jobruntime::host
