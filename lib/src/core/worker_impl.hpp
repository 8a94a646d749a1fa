// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <thread>
#include <unordered_map>

#include <jobruntime/worker.hpp>

#include "core/attempt.hpp"
#include "core/ids.hpp"
#include "core/scribe.hpp"

namespace jobruntime {

/// What stands behind Worker. Its threads:
/// - handler threads, started as they are needed: an idle one that a hint wakes claims by itself and runs what it
///   got, so that no second thread stands between a new job and its handler (worker_threads.cpp, worker_claim.cpp);
/// - the scribe, which writes ends and notes and does the upkeep in between (scribe.hpp, worker_chores.cpp);
/// - the timer, which never touches the store: deadlines, stuck handlers, when to ask again (worker_timer.cpp);
/// - the heartbeat's.
class WorkerImpl {
public:
    WorkerImpl(Store& store, WorkerOptions options);
    ~WorkerImpl();

    void on(std::string_view kind, Handler handler, KindOptions options);
    Result<void> start();
    void begin_drain();
    void stop(bool at_once);
    Result<bool> run_one();

    Worker::Stats stats() const;
    Heartbeat& heartbeat() { return *heartbeat_; }

    /// Calls the handler: its outcome, or what an exception stands for.
    static Outcome run_handler(Attempt& attempt);

private:
    using Lock = std::unique_lock<std::mutex>;

    struct Queue {
        QueueOptions options;
        int running = 0;
        bool paused = false;
        int ahead = 0;                                ///< How many to hold beyond those that run; see plan_ahead.
        std::vector<std::string> quick;               ///< The kinds that may be among them.
        std::deque<std::shared_ptr<Attempt>> ready;   ///< Claimed and not started, in claim order.
    };
    /// A handler thread. Shared with the thread itself, which may be given up and come back late.
    struct Slot {
        std::shared_ptr<Attempt> attempt;   // What it runs. Guarded by mutex_.
        std::thread thread;                 // Guarded by mutex_.
    };
    enum class Solitary { none, wanted, running };
    struct ClaimPlan {
        std::vector<Want> wants;
        ClaimMode mode = ClaimMode::ordinary;
        std::map<std::string, int> limits;  ///< By queue, the sum of its wants.
    };

    // worker.cpp
    Result<void> check_before_start();
    std::vector<std::string> kind_names() const;
    void publish_facts(int running);
    void say(std::string_view line) const noexcept;
    void tell(std::string_view name, boost::json::object fields, Level level = Level::info, JobId job = {});
    void say_waiting(std::string_view what, Duration limit) const;
    void wait_until_settled(SteadyTime end);
    void fire_all(StopReason why);

    // worker_claim.cpp
    void plan_ahead(Queue& queue) const;
    static bool room_in(const Queue& queue);
    bool may_claim() const;
    ClaimPlan plan();
    void claim(Lock& lock);
    void take_in(ClaimPlan& plan, const Claimed& claimed, std::vector<std::shared_ptr<Attempt>> attempts,
                 std::uint64_t epoch);
    void claim_failed(Lock& lock, const Error& why);
    std::vector<std::shared_ptr<Attempt>> adopt(std::vector<Job> jobs, SessionId session);
    void want_claim();
    void release_ready();

    // worker_threads.cpp
    void on_hint(unsigned hints);
    void wake_one();
    std::shared_ptr<Attempt> next_ready();
    void handler_thread(std::shared_ptr<Slot> slot);
    void run_in_slot(Lock& lock, const std::shared_ptr<Slot>& slot, std::shared_ptr<Attempt> attempt);
    static void learn(core::KindEntry& kind, SteadyTime started, SteadyTime ended);

    // worker_outcome.cpp
    core::Ending end_of(const std::shared_ptr<Attempt>& attempt, Outcome outcome);
    core::Ending ending(const std::shared_ptr<Attempt>& attempt, Outcome outcome);
    core::Ending interrupted(const std::shared_ptr<Attempt>& attempt, StopReason why);
    static core::Ending released(const std::shared_ptr<Attempt>& attempt, bool started);
    void as_retry(const Attempt& attempt, Settlement& settlement, std::optional<Duration> after);
    void on_ended(std::span<core::Ended> ended);
    void mirror(const core::Ended& ended);
    void mirror_claimed(const Job& job);

    // worker_crank.cpp
    Result<void> prepare_crank();
    Result<std::shared_ptr<Attempt>> claim_one();
    Result<std::shared_ptr<Attempt>> ask_queues(ClaimMode mode, bool& solitary_waits);
    void run_here(std::shared_ptr<Attempt> attempt);

    // worker_timer.cpp
    void timer_thread(std::stop_token stop);
    SteadyTime look_at_slots(SteadyTime now, std::vector<std::shared_ptr<Attempt>>& late,
                             std::vector<std::shared_ptr<Slot>>& stuck);
    void give_up(const std::shared_ptr<Slot>& slot);
    void release_stale(SteadyTime now);

    // worker_chores.cpp
    SteadyTime chores(SteadyTime now);
    void read_queues();
    void tend();
    void find_lost(SteadyTime now);
    Result<std::vector<Job>> unknown_jobs(SessionId session);
    Settlement give_back(const Job& job);
    void on_cancel(const std::vector<CancelRequest>& requests);
    void on_lost(SessionId session);

    Store& store_;
    WorkerOptions options_;
    Clock& clock_;
    core::IdSource random_;
    std::shared_ptr<core::Port> port_ = std::make_shared<core::Port>();
    std::unordered_map<std::string, std::shared_ptr<core::KindEntry>> kinds_;   // Fixed once started.
    std::vector<std::string> kind_names_;
    std::unique_ptr<Heartbeat> heartbeat_;
    std::unique_ptr<core::Scribe> scribe_;

    mutable std::mutex mutex_;
    std::condition_variable work_;           // Idle handler threads wait here.
    std::vector<Queue> queues_;              // Guarded by mutex_, as is all below up to stats_.
    std::vector<std::shared_ptr<Slot>> slots_;
    std::size_t most_threads_ = 0;
    int idle_ = 0;                           // Threads that wait and were not called.
    int called_ = 0;                         // Idle threads that were called and have not come yet.
    int starting_ = 0;                       // New threads that have not come yet.
    bool claiming_ = false;
    std::uint64_t epoch_ = 1;                // Rises with every sign that there may be work.
    std::uint64_t claimed_epoch_ = 0;        // All work of this epoch has been claimed.
    bool queues_known_ = false;              // The pauses have been read.
    SteadyTime claim_not_before_{};
    Duration claim_pause_{0};
    Solitary solitary_ = Solitary::none;
    bool ignore_solitary_ = false;           // Until the next poll: nothing came of asking.
    std::size_t unsettled_ = 0;              // Claimed, and their end not written.
    std::optional<SteadyTime> next_due_;
    bool draining_ = false;
    bool quit_ = false;
    bool started_ = false;
    int lost_threads_ = 0;
    Worker::Stats stats_;

    std::atomic<bool> queues_changed_{true};
    /// The store may hold jobs for this session that nothing here knows of: a claim failed, or an end was dropped.
    std::atomic<bool> lost_sight_{false};
    std::unordered_map<JobId, Fence> refused_;   // Ends that the store would not hear of. For the scribe's thread, as
    SteadyTime next_search_{};                   // are the next four.
    Duration search_pause_{0};
    SteadyTime next_queues_{};
    SteadyTime next_tend_{};
    SteadyTime next_beat_{};                 // For run_one, as are the next two.
    bool cranked_ = false;
    std::size_t turn_ = 0;

    Wakeup timer_wakeup_;
    SteadyTime timer_next_{};                // Guarded by mutex_.
    Wakeup settled_wakeup_;                  // stop() waits here.
    std::mutex stop_mutex_;
    bool stopped_ = false;                   // Guarded by stop_mutex_.
    std::atomic<bool> at_once_{false};
    Subscription hints_;
    std::jthread timer_;
};

}  // namespace jobruntime
