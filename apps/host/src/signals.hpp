// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <csignal>
#include <functional>
#include <memory>
#include <optional>

namespace jobruntime::host {

/// Blocks SIGTERM, SIGINT and SIGHUP in this thread and all that it starts, and ignores SIGPIPE. Before any
/// thread starts.
void block_signals();

/// Takes that blocking back, for work that the signals may end as they usually do.
void unblock_signals();

/// What ended a wait for signals.
enum class Ended { first_signal, second_signal, woken };

/// Waits for SIGTERM or SIGINT, or until another thread calls wake().
class SignalWaiter {
public:
    /// `hangup`: SIGHUP counts, too, as for a command of which somebody has closed the terminal.
    explicit SignalWaiter(bool hangup = false);
    /// SIGHUP calls `on_hangup` instead of ending a wait, and means nothing during run().
    explicit SignalWaiter(std::function<void()> on_hangup);
    ~SignalWaiter();
    SignalWaiter(const SignalWaiter&) = delete;
    SignalWaiter& operator=(const SignalWaiter&) = delete;
    /// Blocks; first_signal, or woken. With `every`, calls `tick` each time so long has passed.
    Ended wait(std::optional<std::chrono::milliseconds> every = std::nullopt, const std::function<void()>& tick = {});
    /// Runs `work` in a thread of its own and waits for its end, or for another signal, on which it calls
    /// `hurry` and waits on; says which came.
    Ended run(const std::function<void()>& work, const std::function<void()>& hurry);
    void wake();

private:
    /// Whether it was one that ends something.
    bool take_signal();

    std::function<void()> on_hangup_;
    int signal_fd_ = -1;
    int wake_fd_ = -1;
};

}  // namespace jobruntime::host
