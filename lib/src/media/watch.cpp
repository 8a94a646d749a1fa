// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/watch.hpp"

#include <algorithm>
#include <condition_variable>
#include <system_error>
#include <utility>

namespace jobruntime::media {
namespace {

using std::chrono::steady_clock;

constexpr std::chrono::milliseconds look_every{500};

}  // namespace

Watch::Watch(Limits limits, std::filesystem::path folder, std::stop_token outer)
    : limits_(limits),
      folder_(std::move(folder)),
      deadline_(limits.time ? steady_clock::now() + *limits.time : steady_clock::time_point::max()),
      pass_on_(std::move(outer), [this] { stop_.request_stop(); }) {
    if (!limits_.time && limits_.min_free_bytes == 0) return;
    look();  // A disk that is too full already is not asked for more.
    thread_ = std::jthread([this](const std::stop_token& done) { run(done); });
}

std::optional<Error> Watch::error() const {
    const std::lock_guard lock(mutex_);
    return error_;
}

void Watch::look() {
    std::optional<Error> found;
    std::error_code unknown;
    if (steady_clock::now() >= deadline_)
        found = Error{Errc::timed_out, "DOWNLOAD_TIMEOUT",
                      "the download was not complete after " + std::to_string(limits_.time->count() / 1000) +
                          " s; what was fetched is kept for the next try"};
    else if (limits_.min_free_bytes > 0) {
        const auto space = std::filesystem::space(folder_, unknown);
        if (!unknown && space.available < limits_.min_free_bytes)
            found = Error{Errc::full, "DISK_FULL",
                          "only " + std::to_string(space.available) +
                              " bytes are free on the disk of the download folder, " +
                              std::to_string(limits_.min_free_bytes) + " must stay free"};
    }
    if (!found) return;
    {
        const std::lock_guard lock(mutex_);
        error_ = std::move(found);
    }
    stop_.request_stop();
}

void Watch::run(const std::stop_token& done) {
    std::mutex mutex;
    std::condition_variable_any nobody_rings;
    std::unique_lock lock(mutex);
    while (!done.stop_requested() && !stop_.stop_requested()) {
        const auto next =
            limits_.min_free_bytes > 0 ? std::min(deadline_, steady_clock::now() + look_every) : deadline_;
        nobody_rings.wait_until(lock, done, next, [] { return false; });
        if (!done.stop_requested()) look();
    }
}

}  // namespace jobruntime::media
