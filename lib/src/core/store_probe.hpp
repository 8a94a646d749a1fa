// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include <jobruntime/api_router.hpp>
#include <jobruntime/clock.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::core {

/// Asks the store for its sessions on a thread of its own, so that whoever wants to know whether it answers
/// can stop waiting. Also watches the beats: their age counts from when this process saw them change, on its own
/// steady clock, so that two machines' clocks need not agree.
class StoreProbe {
public:
    using Session = AgedSession;

    StoreProbe(Store& store, Clock& clock) : store_(store), clock_(clock) {}
    /// Waits for a verb in progress.
    ~StoreProbe();

    /// The sessions as they are now. Errc::unavailable when the store has not answered within a second and a half.
    Result<std::vector<Session>> sessions();
    /// Whether the store answers; a good answer of the last 50 ms counts, so that a flood of questions is one.
    Result<void> answers();
    /// Whether there is such a good answer. Never waits.
    bool is_fresh();
    /// Has the store asked, by somebody who does not wait for the answer.
    void look();
    /// Whether the store has been silent for a second now, asked by look() or by others, or was so until it gave up by itself, as a
    /// driver with time limits of its own does. Never waits.
    bool is_hung();

private:
    using RealTime = std::chrono::steady_clock::time_point;
    struct Beat {
        std::uint64_t counter = 0;
        SteadyTime seen_at{};
    };

    bool hangs() const;  // With mutex_ held, as are the next two.
    void begin_asking();
    Result<void> ask(std::unique_lock<std::mutex>& lock);
    bool heard(std::unique_lock<std::mutex>& lock);
    void run();
    void note(Result<std::vector<SessionInfo>> answer);

    Store& store_;
    Clock& clock_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t wanted_ = 0;            // Guarded by mutex_. Questions so far.
    std::uint64_t answered_ = 0;          // Guarded by mutex_. Those that were put before the newest answer began.
    std::optional<RealTime> asked_at_;    // Guarded by mutex_. Set while the verb runs.
    RealTime answered_at_{};              // Guarded by mutex_.
    bool gave_up_ = false;                // Guarded by mutex_. The newest answer was an error that took so long.
    Result<std::vector<SessionInfo>> newest_ = std::vector<SessionInfo>{};  // Guarded by mutex_.
    std::map<SessionId, Beat> beats_;     // Guarded by mutex_.
    bool stop_ = false;                   // Guarded by mutex_.
    std::thread thread_;                  // Guarded by mutex_ until stop_.
};

}  // namespace jobruntime::core
