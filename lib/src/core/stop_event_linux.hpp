// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <poll.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <stop_token>

#include <sys/eventfd.h>
#include <unistd.h>

#include <jobruntime/subprocess.hpp>

namespace jobruntime::core {

/// Makes a stop token something that poll() can wait for. Holds no descriptor for a token
/// that can never be stopped.
class StopEvent {
public:
    explicit StopEvent(const std::stop_token& stop) {
        if (!stop.stop_possible()) return;
        event_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
        callback_.emplace(stop, [fd = event_.get()] {
            const std::uint64_t one = 1;
            [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
        });
    }
    int fd() const noexcept { return event_.get(); }

private:
    Fd event_;
    std::optional<std::stop_callback<std::function<void()>>> callback_;  // Destroyed before event_.
};

/// Waits for `events` on `fd` (-1 = for time and stop alone). Errc::timed_out, Errc::canceled;
/// Errc::internal when poll itself fails.
Result<void> wait_ready(int fd, short events, Deadline deadline, const std::stop_token& stop);

}  // namespace jobruntime::core
