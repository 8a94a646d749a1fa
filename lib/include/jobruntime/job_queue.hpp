// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/job.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>
#include <jobruntime/telemetry_sink.hpp>

namespace jobruntime {

/// How and when a job is to run. Everything has a default.
struct EnqueueOptions {
    std::string queue = "default";
    std::optional<Duration> delay{};     ///< From now. Not together with run_at.
    std::optional<Time> run_at{};        ///< In the past = now.
    std::int16_t priority = 0;           ///< Smaller goes first.
    int max_attempts = 25;               ///< 1 to 1000.
    std::string unique{};                ///< A key that at most one job holds at a time, over all kinds; "" = none.
    StateSet unique_states{};            ///< Where the key counts besides scheduled, queued and running.
    OnConflict on_conflict = OnConflict::keep;
    std::string idempotency_key{};       ///< Of a request; repeated, it answers with the job it made.
    std::string idempotency_hash{};      ///< Of that request's content; answered back.
    std::string trace_id{};              ///< "" = the 32 digits of the job's id.
    std::vector<std::string> tags{};
    Actor by{};                          ///< Who asks; for the event jobs.create.queued or .replaced.
};

/// One job to enqueue, when there are many or the kind is known at run time only.
struct JobSpec {
    std::string kind{};
    boost::json::object payload{};
    EnqueueOptions options{};
};

struct Enqueued {
    JobId id;                              ///< The new job, or the one that was there.
    InsertAnswer::How how = InsertAnswer::How::inserted;
    JobState state = JobState::queued;
    std::string idempotency_hash;          ///< repeated: the hash that request had.
    bool inserted() const { return how == InsertAnswer::How::inserted; }
};

struct JobQueueOptions {
    Clock* clock = nullptr;                ///< nullptr = system_clock().
    TelemetrySink* sink = nullptr;         ///< Copies of jobs.create.* events; nullptr = none.
    std::optional<std::uint64_t> seed{};   ///< For ids and trace ids; unset = the system's randomness.
};

/// The side of a queue that programs talk to: put jobs in, look at them, wait for them, change
/// their fate. Policy above a Store; any number of them may share one. Thread-safe. Every call
/// blocks as long as the store does (store.hpp) and passes its errors on.
class JOBRUNTIME_API JobQueue {
public:
    explicit JobQueue(Store& store, JobQueueOptions options = {});
    ~JobQueue();
    JobQueue(JobQueue&&) noexcept;

    /// Puts a job in. Once this has returned a value, the job is never lost. On Errc::unavailable it
    /// has tried once more with the same id and it is unknown whether the job is there.
    /// Errc::invalid_argument: a name, size or number out of bounds (INVALID_ARGUMENT, PAYLOAD_TOO_LARGE; job.hpp, limits),
    /// or a payload that cannot be kept as JSON (INVALID_PAYLOAD): text that is not UTF-8, a number that is not finite,
    /// or nested deeper than 32. Errc::full (STORE_FULL): no space.
    Result<Enqueued> enqueue(std::string_view kind, boost::json::object payload, EnqueueOptions options = {});
    /// A described struct with `static constexpr auto kind`. Needs typed.hpp.
    template <class T>
        requires requires { T::kind; }
    Result<Enqueued> enqueue(const T& job, EnqueueOptions options = {}) {
        return enqueue(T::kind, Typed<T>::to_payload(job), std::move(options));
    }
    /// Many in as few trips as the store's bounds allow; one answer each, in order, a bad one refused by itself. When a
    /// trip fails after an earlier one was accepted, nothing more is sent: the jobs of that trip and of those behind it
    /// have the error as their answer, and only they may be enqueued again. The call itself fails, with the store's
    /// error, only when no job was accepted.
    Result<std::vector<Result<Enqueued>>> enqueue_many(std::span<const JobSpec> jobs);

    /// Writes the event jobs.create.duplicate: `other` was asked for once more, and nothing was enqueued. For programs
    /// whose operators watch for it; best effort, since it changes no job.
    void tell_duplicate(const Job& other, std::string_view trace_id);

    /// A queue that puts jobs into `inserter`, e.g. a caller's own transaction (sqlite.hpp). Everything but
    /// enqueue and enqueue_many still goes to the store. `inserter` outlives it.
    JobQueue within(Inserter& inserter) const;

    /// Blocks until the job is in a final state: the job with its result. Errc::timed_out; Errc::not_found;
    /// Errc::canceled when `stop` was requested. Learns of the end by the store's hints and a slow poll.
    Result<Job> wait(JobId id, Duration timeout, std::stop_token stop = {});

    Result<std::optional<Job>> get(JobId id, unsigned parts = all_parts);
    Result<JobPage> list(const JobFilter& filter = {}, std::string_view cursor = {}, int limit = 50,
                         JobOrder order = JobOrder::newest_first, unsigned parts = part_payload | part_errors);
    Result<std::vector<CountRow>> count(const JobFilter& filter = {}, CountBy by = CountBy::state);

    /// One thing to one job: the answer says what came of it; Errc::not_found when it is not there. `by`: who asks, for
    /// the event that is written with the change.
    Result<ChangeAnswer> cancel(JobId id, const Actor& by = {});
    Result<ChangeAnswer> retry(JobId id, bool fresh = false, const Actor& by = {});
    Result<ChangeAnswer> remove(JobId id, const Actor& by = {});
    Result<ChangeAnswer> change(JobId id, const Change& change);
    /// One thing to all that match, in slices, until done or `limit` jobs were looked at; how many of each answer.
    struct BulkAnswer {
        std::uint64_t done = 0, requested = 0, refused = 0;
    };
    Result<BulkAnswer> change_all(const JobFilter& filter, const Change& change, std::uint64_t limit = UINT64_MAX);

    /// A paused queue keeps taking jobs, and no worker claims from it. Durable; every process sees it within a second. `by`: who
    /// asks, kept with the time in the queue's record until it is set again (docs/states.md).
    Result<void> pause(std::string_view queue, const Actor& by = {});
    Result<void> resume(std::string_view queue, const Actor& by = {});
    Result<std::vector<std::string>> paused();

    /// Why the job is not running, as a sentence for people; empty when it runs or is final: its time,
    /// its own reason (snooze), queue paused, no live worker, none for its kind, waits to run alone, all busy.
    /// `lease` = how long a session may be silent and still counts as live (seems_alive).
    Result<std::string> waiting_for(const Job& job, Duration lease = Duration{30'000});
    /// The same for many jobs with one look at sessions and records.
    Result<std::vector<std::string>> waiting_for(std::span<const Job> jobs, Duration lease = Duration{30'000});

    Store& store() const;

private:
    struct Impl;
    explicit JobQueue(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

}  // namespace jobruntime
