// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/testing/manual_clock.hpp>

#include <map>

#include "core/wakeup_access.hpp"

namespace jobruntime::testing {

struct ManualClock::State {
    mutable std::mutex mutex;
    std::condition_variable changed;    // When somebody begins to wait.
    Time wall{};                        // Guarded by mutex, as is all below.
    SteadyTime steady{std::chrono::hours{1}};
    std::multimap<SteadyTime, Wakeup*> waiters;
};

ManualClock::ManualClock(Time start) : state_(std::make_unique<State>()) { state_->wall = start; }

ManualClock::~ManualClock() = default;

Time ManualClock::wall() const {
    const std::lock_guard lock(state_->mutex);
    return state_->wall;
}

SteadyTime ManualClock::steady() const {
    const std::lock_guard lock(state_->mutex);
    return state_->steady;
}

// Locks are taken in one order: the clock's, then a wakeup's. A waiter holds only its wakeup's while it waits.
Woken ManualClock::wait_until(SteadyTime deadline, Wakeup& wakeup, std::stop_token stop) {
    const std::stop_callback wake(stop, [&wakeup] { wakeup.poke(); });
    std::multimap<SteadyTime, Wakeup*>::iterator entry;
    {
        const std::lock_guard lock(state_->mutex);
        entry = state_->waiters.emplace(deadline, &wakeup);
    }
    state_->changed.notify_all();
    const auto leave = [&](Woken woken) {
        const std::lock_guard lock(state_->mutex);
        state_->waiters.erase(entry);
        return woken;
    };
    while (true) {
        // Before the wakeup's lock, and looked at again after each poke: an advance in between pokes.
        const unsigned pokes = WakeupAccess::pokes(wakeup);
        const bool reached = steady() >= deadline;
        std::unique_lock lock(WakeupAccess::mutex(wakeup));
        if (stop.stop_requested()) return lock.unlock(), leave(Woken::stopped);
        if (WakeupAccess::take_ring(wakeup)) return lock.unlock(), leave(Woken::rung);
        if (reached) return lock.unlock(), leave(Woken::deadline);
        WakeupAccess::wait(wakeup, lock, pokes);
    }
}

void ManualClock::advance(Duration by) {
    if (by <= Duration::zero()) return;
    const std::lock_guard lock(state_->mutex);
    state_->wall += by;
    state_->steady += by;
    for (auto it = state_->waiters.begin(); it != state_->waiters.end() && it->first <= state_->steady; ++it)
        it->second->poke();
}

void ManualClock::set_wall(Time time) {
    const std::lock_guard lock(state_->mutex);
    state_->wall = time;
}

bool ManualClock::await_waiters(int count, Duration patience) {
    std::unique_lock lock(state_->mutex);
    return state_->changed.wait_for(lock, patience,
                                    [&] { return state_->waiters.size() >= static_cast<std::size_t>(count); });
}

}  // namespace jobruntime::testing
