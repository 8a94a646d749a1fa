// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/retries.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>

namespace jobruntime::media {

bool Retries::again(const Error& error, std::optional<std::chrono::seconds> asked,
                    const std::stop_token& stop) {
    const bool passing = error.code == Errc::unavailable || error.code == Errc::timed_out;
    const bool refused = error.name == "AUTH_REQUIRED";
    const int times = passing ? policy_.times : refused ? 1 : 0;
    if (failures_ >= times || stop.stop_requested()) return false;
    auto pause = std::min(policy_.longest_pause, policy_.first_pause * (1 << std::min(failures_, 16)));
    // Different for each request and time, the same in each run.
    const auto spread = static_cast<long>((salt_ >> (8 * (failures_ % 8))) & 0xff) - 128;
    pause += pause * spread / 640;
    ++failures_;
    if (asked) {
        if (*asked > policy_.longest_asked) return false;
        pause = std::max(pause, std::chrono::milliseconds(*asked));
    }
    std::mutex mutex;
    std::condition_variable_any nobody_rings;
    std::unique_lock lock(mutex);
    nobody_rings.wait_for(lock, stop, pause, [] { return false; });
    return !stop.stop_requested();
}

}  // namespace jobruntime::media
