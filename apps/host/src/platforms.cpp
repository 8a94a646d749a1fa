// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "platforms.hpp"

#include <string>

#include "platform_config.hpp"

namespace jobruntime::host {
namespace {

std::string key_of(std::string_view platform) { return "platform/" + std::string(platform); }

/// The record itself, not one whose key merely begins like it.
Result<std::optional<Record>> read(Store& store, const std::string& key) {
    auto records = store.records(key);
    if (!records) return std::move(records).error();
    for (auto& record : *records)
        if (record.key == key) return std::optional<Record>(std::move(record));
    return std::optional<Record>();
}

}  // namespace

std::optional<bool> PlatformFlags::of_environment(std::string_view platform) const {
    if (platform == "x") return config_.enable_x;
    if (platform == "tiktok") return config_.enable_tiktok;
    return platform == "web" ? config_.enable_web : std::nullopt;
}

Result<PlatformFlags::Flag> PlatformFlags::get(std::string_view platform) const {
    const auto given = of_environment(platform);
    if (given == false) return Flag{false, "environment", true};
    auto record = read(store_, key_of(platform));
    if (!record) return std::move(record).error();
    if (*record) return Flag{(*record)->value != "false", "store", false};
    if (given) return Flag{true, "environment", false};
    const auto in_file = enabled_by_file(config_, platform);
    return in_file ? Flag{*in_file, "file", false} : Flag{};
}

Result<void> PlatformFlags::set(std::string_view platform, bool enabled) const {
    const auto key = key_of(platform);
    for (int tries = 0;; ++tries) {
        auto record = read(store_, key);
        if (!record) return std::move(record).error();
        auto put = store_.put(key, enabled ? "true" : "false", *record ? (*record)->version : 0);
        if (put) return {};
        if (put.error().code != Errc::conflict || tries == 4) return std::move(put).error();
    }
}

}  // namespace jobruntime::host
