// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>
#include <unordered_set>
#include <vector>

#include "core/attempt.hpp"

namespace jobruntime::core {

/// The end of an attempt on its way to the store.
struct Ending {
    Settlement settlement;
    std::shared_ptr<Attempt> attempt;
    SteadyTime give_up{};      ///< After this the end is void if its session is no longer ours.
    bool ambiguous = false;    ///< A settle of it was not answered: it may have been accepted.
    bool replaced = false;     ///< The store refused what it said; it now says so.
};

/// What came of an ending.
struct Ended {
    Ending ending;
    bool done = false;         ///< Accepted. Else somebody else has the job, the store was silent for too long, or it
                               ///< refused to hear of it; then nobody may know of the job any more.
    bool conflict = false;
    JobState state = JobState::completed;
};

/// The one writer of what attempts do: it gathers ends and notes of all threads and hands them to the store
/// in batches, so that no handler waits for a disk, and many ends share one fsync. What an attempt noted is
/// written before its end. While the store is unavailable it keeps everything and tries again.
class Scribe final : public NoteTaker {
public:
    struct Options {
        Duration give_up_after{60'000};  ///< How long an end is worth repeating when its session is gone.
        /// Whether this is the session that we beat for. As long as it is, nobody else takes its jobs: an end that was
        /// thrown away would leave its job running for good.
        std::function<bool(SessionId)> ours = [](SessionId) { return false; };
        std::function<void(std::span<Ended>)> on_ended;
        std::function<void(const std::vector<Event>&)> on_noted;  ///< Events now in the store's log.
        bool store_progress = true;  ///< False: progress and log lines are told to on_noted only.
        /// What else this thread does in between; when it wants to be called again.
        std::function<SteadyTime(SteadyTime now)> chores;
        std::function<void(const std::string&)> log;
    };
    Scribe(Store& store, Clock& clock, Options options)
        : store_(store), clock_(clock), options_(std::move(options)) {}
    ~Scribe();

    void start();
    /// Ends the thread; what could not be written until then is void.
    void stop();

    void push(std::vector<Ending> endings);
    void dirty(const std::shared_ptr<Attempt>& attempt) override;
    /// An event about no attempt; about a job, if it names one.
    void add(Event event);
    void ring() { wakeup_.ring(); }
    /// Adds the jobs whose ends are still to be written. For the one that works.
    void add_pending(std::unordered_set<JobId>& jobs) const;

    /// One pass, in the caller's thread: writes what is due, with `all` also what could wait. When to come again.
    SteadyTime work(bool all);
    bool idle() const;

private:
    struct Written {
        std::shared_ptr<Attempt> attempt;  // Empty: about no attempt.
        Note note;
    };
    struct Pause {
        Duration length{0};  // 0 = the last try was taken.
        SteadyTime until{};
    };
    void run(std::stop_token stop);
    void take_endings();
    void take_notes(SteadyTime now, bool all);
    void take_note(const std::shared_ptr<Attempt>& attempt);
    /// False: the store does not answer, and everything not written is kept.
    bool write_notes();
    bool write_endings(SteadyTime now);
    void answer_notes(std::span<Written> batch, std::span<const NoteAnswer> answers);
    void refuse(std::vector<Ending> batch, const Error& why, std::vector<Ended>& ended);
    void drop_late(SteadyTime now, std::vector<Ended>& ended);
    /// Nothing: the store does not say now what became of it, and the ending is kept.
    std::optional<Ended> judge(Ending ending, const SettleAnswer& answer);
    /// Makes the next try wait, longer each time.
    void back_off(Pause& pause, SteadyTime now, const Error& why);

    Store& store_;
    Clock& clock_;
    const Options options_;
    Wakeup wakeup_;

    mutable std::mutex mutex_;
    std::vector<Ending> arrived_;                     // Guarded by mutex_, as are the next two.
    std::vector<std::shared_ptr<Attempt>> dirty_;
    std::vector<Event> events_;

    // For the one that works:
    std::deque<Ending> endings_;
    std::vector<std::shared_ptr<Attempt>> waiting_;   // Have notes that are not due yet.
    std::deque<Written> notes_;
    Pause away_;  // Of everything.
    Pause full_;  // Of notes alone, while the disk is full.
    std::jthread thread_;
};

}  // namespace jobruntime::core
