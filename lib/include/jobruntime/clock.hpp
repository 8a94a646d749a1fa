// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>

#include <jobruntime/export.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime {

/// Every length of time in this library, in milliseconds.
using Duration = std::chrono::milliseconds;
/// A moment on the wall clock (UTC), in milliseconds. For schedules and for people; may jump.
using Time = std::chrono::sys_time<std::chrono::milliseconds>;
/// A moment on this machine's steady clock. For leases and time-outs; never jumps.
using SteadyTime = std::chrono::time_point<std::chrono::steady_clock, std::chrono::nanoseconds>;

/// "2026-03-01T12:00:00.000Z".
JOBRUNTIME_API std::string to_iso(Time time);
/// Reads what to_iso writes, also with an offset ("+02:00"), without a fraction, or with up to nine digits
/// of it (cut to milliseconds). Errc::invalid_argument otherwise.
JOBRUNTIME_API Result<Time> parse_iso(std::string_view text);

/// What ended a wait.
enum class Woken { deadline, rung, stopped };

/// A doorbell that one thread waits at and any thread may ring. A ring that comes before
/// the wait is kept; several rings before a wait count as one.
class JOBRUNTIME_API Wakeup {
public:
    void ring();
    /// Wakes the waiting thread so that it looks at its clock again; leaves no ring behind.
    void poke();

private:
    friend class SystemClock;
    friend class WakeupAccess;
    std::mutex mutex_;
    std::condition_variable changed_;
    bool rung_ = false;        // Guarded by mutex_.
    unsigned pokes_ = 0;       // Guarded by mutex_.
};

/// Where time comes in. Every time-out, beat and schedule of this library goes through it,
/// so that a test can hold time still. Thread-safe.
class JOBRUNTIME_API Clock {
public:
    virtual ~Clock() = default;
    virtual Time wall() const = 0;
    virtual SteadyTime steady() const = 0;
    /// Blocks until `deadline`, until `wakeup` is rung, or until `stop` is requested, and says
    /// which; of several at once, stopped goes before rung before deadline. Takes the ring.
    virtual Woken wait_until(SteadyTime deadline, Wakeup& wakeup, std::stop_token stop) = 0;
};

/// The machine's own clocks. One instance, never destroyed before its users.
JOBRUNTIME_API Clock& system_clock();

}  // namespace jobruntime
