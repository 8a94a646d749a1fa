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

void PlatformFlags::take(const Config& config) {
    std::map<std::string, Given, std::less<>> given;
    given["x"].by_environment = config.enable_x;
    given["tiktok"].by_environment = config.enable_tiktok;
    given["web"].by_environment = config.enable_web;
    if (const auto* platforms = config.structure.if_contains("platforms"); platforms && platforms->is_object())
        for (const auto& item : platforms->get_object())
            given[std::string(item.key())].by_file = enabled_by_file(config, item.key());
    const std::lock_guard lock(mutex_);
    given_ = std::move(given);
}

PlatformFlags::Given PlatformFlags::given(std::string_view platform) const {
    const std::lock_guard lock(mutex_);
    const auto found = given_.find(platform);
    return found == given_.end() ? Given{} : found->second;
}

Result<PlatformFlags::Flag> PlatformFlags::get(std::string_view platform) const {
    const auto known = given(platform);
    if (known.by_environment == false) return Flag{false, "environment", true};
    auto record = read(store_, key_of(platform));
    if (!record) return std::move(record).error();
    if (*record) return Flag{(*record)->value != "false", "store", false};
    if (known.by_environment) return Flag{true, "environment", false};
    return known.by_file ? Flag{*known.by_file, "file", false} : Flag{};
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
