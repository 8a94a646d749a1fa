// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

#include "settings.hpp"

namespace jobruntime::host {

/// Those that are built in; the configuration file may add more.
inline constexpr std::array<std::string_view, 3> platform_names{"x", "tiktok", "web"};

/// Which platforms may be used: a `false` of the environment is final for this process; else the flag
/// kept in the store wins; else the environment's; else the configuration file's; else on. Thread-safe.
class PlatformFlags {
public:
    PlatformFlags(Store& store, const Config& config) : store_(store) { take(config); }
    /// What the environment and the file say from now on.
    void take(const Config& config);

    struct Flag {
        bool enabled = true;
        std::string_view source = "default";  ///< "environment", "store", "file" or "default".
        bool locked = false;
    };
    Result<Flag> get(std::string_view platform) const;
    /// Writes the store's flag, so that every process sees it.
    Result<void> set(std::string_view platform, bool enabled) const;

private:
    struct Given {
        std::optional<bool> by_environment, by_file;
    };
    Given given(std::string_view platform) const;
    Store& store_;
    mutable std::mutex mutex_;
    std::map<std::string, Given, std::less<>> given_;  // Guarded by mutex_.
};

}  // namespace jobruntime::host
