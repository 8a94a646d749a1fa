// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace jobruntime::host {

/// Tells a supervisor how the process is, by systemd's protocol (sd_notify(3)): datagrams of NAME=VALUE lines to the
/// socket that NOTIFY_SOCKET names. Without such a variable every call does nothing. Not thread-safe.
class Notifier {
public:
    /// Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID.
    static Notifier from_environment();
    /// `socket`: a path, or @NAME of the abstract name space; empty = nobody listens. `watchdog`: silence after which
    /// the supervisor kills this process; unset = it does not.
    explicit Notifier(std::string socket, std::optional<std::chrono::microseconds> watchdog = std::nullopt)
        : socket_(std::move(socket)), watchdog_(watchdog) {}

    bool wanted() const { return !socket_.empty(); }
    std::optional<std::chrono::microseconds> watchdog() const { return watchdog_; }
    /// False when nobody took it, or nobody listens. Waits at most a second for a supervisor that is behind.
    bool send(std::string_view lines) const;

private:
    std::string socket_;
    std::optional<std::chrono::microseconds> watchdog_;
};

/// Pats the supervisor's watchdog, but only when everything that must live has moved since the last time: a process
/// whose heartbeat hangs is killed and started anew rather than believed.
class Watchdog {
public:
    /// `pulses`: counters that rise while their part lives.
    Watchdog(const Notifier& notifier, std::vector<std::function<std::uint64_t()>> pulses);

    /// How often to call tick(): a quarter of the supervisor's patience, so that one late pulse is forgiven. Unset
    /// when no watchdog waits.
    std::optional<std::chrono::milliseconds> every() const;
    /// True when it patted.
    bool tick();

private:
    const Notifier& notifier_;
    std::vector<std::function<std::uint64_t()>> pulses_;
    std::vector<std::uint64_t> seen_;
};

}  // namespace jobruntime::host
