// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

#include <jobruntime/media.hpp>

namespace jobruntime::media {

/// Keeps a time limit and the disk's floor, by a stop of its own: whatever is waited for at that moment, a slow byte,
/// a playlist or the helper, it ends. The outer stop is passed on.
class Watch {
public:
    struct Limits {
        std::optional<std::chrono::milliseconds> time;  ///< From now on.
        std::uint64_t min_free_bytes = 0;               ///< 0 = none.
    };
    Watch(Limits limits, std::filesystem::path folder, std::stop_token outer);
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;

    std::stop_token token() const { return stop_.get_token(); }
    /// DOWNLOAD_TIMEOUT or DISK_FULL when it has ended the work.
    std::optional<Error> error() const;

private:
    void look();
    void run(const std::stop_token& done);

    const Limits limits_;
    const std::filesystem::path folder_;
    const std::chrono::steady_clock::time_point deadline_;
    std::stop_source stop_;
    mutable std::mutex mutex_;
    std::optional<Error> error_;  // Guarded by mutex_.
    std::stop_callback<std::function<void()>> pass_on_;
    std::jthread thread_;  // Last: it uses the others.
};

}  // namespace jobruntime::media
