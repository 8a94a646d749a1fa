// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include <jobruntime/api_router.hpp>
#include <jobruntime/http.hpp>
#include <jobruntime/store.hpp>

#include "http/event_loop.hpp"

namespace jobruntime::http {

/// Knows what requests wait for (Later), by keys of their owner's, and says when to ask for one again. One thread reads the
/// store's new events once for all of them: soon after the store hints that there are any, and without a hint every
/// `stream_poll`. While nobody waits it reads nothing.
class Waiters {
public:
    struct Call {
        std::uint64_t key = 0;
        std::uint64_t turn = 0;  ///< As add() said: a key may wait again.
        bool last = false;  ///< Its patience is over.
    };

    /// `call` is called from the thread; it must be quick.
    Waiters(Store& store, const Options& options, std::function<void(std::vector<Call>)> call);
    ~Waiters() { stop(); }

    void start();
    /// Waits for a verb in progress.
    void stop();

    // From any thread, for one key at a time: add, then after each call go_on, or remove, which may come at any time.

    /// It is called once in any case: what it waits for may have happened since it was asked first.
    std::uint64_t add(std::uint64_t key, Later later);
    void go_on(std::uint64_t key, Later later);
    /// `served`: what it was called for is used up. Else another that waits for the like is called instead.
    void remove(std::uint64_t key, bool served);

private:
    struct Waiter {
        Later later;
        RealTime until{};
        std::optional<RealTime> due;  ///< In timers_, while it is not called.
        std::uint64_t turn = 0;       ///< Of those who want jobs, the one with the smallest goes first.
        bool called = false;
        bool missed = false;          ///< Something was told while it was called.
        std::string kind;             ///< Of the job that it was called for.
    };
    using Waiting = std::unordered_map<std::uint64_t, Waiter>;

    void run();
    void look(std::unique_lock<std::mutex>& lock);
    void hear(const Event& event);
    void call(std::uint64_t key, Waiter& waiter);
    void call_one(std::string_view queue, const std::string& kind);
    void call_all();
    void call_due(RealTime now);
    void set_timer(std::uint64_t key, Waiter& waiter);
    void drop_timer(std::uint64_t key, Waiter& waiter);
    void forget(std::uint64_t key, const Waiter& waiter);

    Store& store_;
    const Options& options_;
    const std::function<void(std::vector<Call>)> call_;
    std::atomic<bool> any_{false};     ///< There is somebody for whom to look.
    std::atomic<bool> hinted_{false};
    std::mutex mutex_;
    std::condition_variable changed_;
    bool stop_ = false;                                                      // Guarded by mutex_, as all that follows.
    Waiting waiters_;
    std::map<JobId, std::set<std::uint64_t>> by_job_;
    std::map<std::string, std::map<std::uint64_t, std::uint64_t>, std::less<>> by_queue_;  ///< Keys by their turn.
    std::set<std::pair<RealTime, std::uint64_t>> timers_;
    std::vector<std::uint64_t> fresh_;  ///< To be called once it is known where the log stands.
    std::vector<Call> calls_;           ///< To be told to the owner.
    std::uint64_t next_turn_ = 0;
    std::optional<EventId> tail_;       ///< All events up to it were heard by those who waited then.
    RealTime look_at_{};
    RealTime rest_until_{};
    Subscription subscription_;
    std::thread thread_;
};

}  // namespace jobruntime::http
