// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>

#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>

namespace jobruntime::testing {

/// A clock that stands still until it is told to go. Wall and steady time move together. Thread-safe.
///
/// Who waits for a moment is woken by the advance() that reaches it, and has been counted as waiting before
/// await_waiters() returns; so a test can let a thread come to rest, move time, and know what happens.
class JOBRUNTIME_API ManualClock final : public Clock {
public:
    /// Steady time begins at one hour, so that a test may look back.
    explicit ManualClock(Time start = std::chrono::sys_days{std::chrono::year{2026} / 1 / 1});
    ~ManualClock() override;

    Time wall() const override;
    SteadyTime steady() const override;
    Woken wait_until(SteadyTime deadline, Wakeup& wakeup, std::stop_token stop) override;

    /// Moves time on, and returns at once; a negative duration does nothing.
    void advance(Duration by);
    /// Sets the wall clock alone, forwards or back, as an operator or NTP may.
    void set_wall(Time time);
    /// Blocks until at least `count` threads wait at this clock; false after `patience` of real time.
    bool await_waiters(int count, Duration patience = Duration{10'000});

private:
    struct State;
    const std::unique_ptr<State> state_;
};

}  // namespace jobruntime::testing
