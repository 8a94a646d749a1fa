// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <utility>

#include <jobruntime/clock.hpp>

namespace jobruntime {

/// How a clock outside the core waits at a Wakeup.
class WakeupAccess {
public:
    static std::mutex& mutex(Wakeup& wakeup) { return wakeup.mutex_; }
    static unsigned pokes(Wakeup& wakeup) {
        const std::lock_guard lock(wakeup.mutex_);
        return wakeup.pokes_;
    }
    /// With the mutex held, as the next.
    static bool take_ring(Wakeup& wakeup) { return std::exchange(wakeup.rung_, false); }
    /// Until it is rung, or poked since `pokes` was read.
    static void wait(Wakeup& wakeup, std::unique_lock<std::mutex>& lock, unsigned pokes) {
        wakeup.changed_.wait(lock, [&] { return wakeup.rung_ || wakeup.pokes_ != pokes; });
    }
};

}  // namespace jobruntime
