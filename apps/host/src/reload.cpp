// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "reload.hpp"

#include <algorithm>

namespace jobruntime::host {
namespace {

std::vector<std::string> changed(const Settings& settings, const Loaded& fresh, bool live) {
    std::vector<std::string> names;
    for (const auto& setting : settings_table())
        if (setting.live == live && settings.text(setting.key) != fresh.settings.text(setting.key))
            names.emplace_back(setting.variable);
    return names;
}

}  // namespace

std::vector<std::string> changed_at_once(const Settings& settings, const Config& config, const Loaded& fresh) {
    auto names = changed(settings, fresh, true);
    for (const auto* member : {"platforms", "extractors", "pages"}) {
        const auto* before = config.structure.if_contains(member);
        const auto* now = fresh.config.structure.if_contains(member);
        if ((before == nullptr) != (now == nullptr) || (before && *before != *now)) names.emplace_back(member);
    }
    return names;
}

std::vector<std::string> wait_for_restart(const Settings& settings, const Loaded& fresh) {
    return changed(settings, fresh, false);
}

std::vector<std::string> new_warnings(const Settings& before, const Settings& now) {
    std::vector<std::string> lines;
    for (const auto& line : now.warnings())
        if (std::ranges::find(before.warnings(), line) == before.warnings().end()) lines.push_back(line);
    return lines;
}

std::string joined(const std::vector<std::string>& names) {
    std::string text;
    for (const auto& name : names) text += (text.empty() ? "" : ", ") + name;
    return text;
}

}  // namespace jobruntime::host
