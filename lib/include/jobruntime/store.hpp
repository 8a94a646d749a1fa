// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <jobruntime/export.hpp>
#include <jobruntime/store_values.hpp>

namespace jobruntime {

/// Where new jobs go: a store, or a caller's own transaction on it (sqlite.hpp).
class JOBRUNTIME_API Inserter {
public:
    virtual ~Inserter() = default;
    /// One answer per job, in order. Each is one atomic step with its event jobs.create.queued.
    /// Once this has returned, an inserted job is not lost (sqlite.hpp: durability).
    /// An id already stored answers `inserted` and changes nothing, so repeating is safe.
    /// Several jobs of one batch with one key: the first is inserted, the others see it.
    /// Looked at in this order: a known id, the idempotency key, the unique key. One unique key counts for
    /// all kinds and queues; a job holds its key while its own state is among its own unique_states.
    /// A request that made no job (existing, replaced) does not use up its idempotency key.
    /// Errc::full: no space; nothing of the batch was stored. Errc::unavailable: unknown
    /// what was stored; repeat with the same ids.
    virtual Result<std::vector<InsertAnswer>> insert(std::span<const NewJob> jobs, Time now) = 0;
};

/// What may have happened in the store, by this process or another. Only a hint: ask again.
enum Hint : unsigned { hint_jobs = 1, hint_cancel = 2, hint_events = 4, hint_records = 8, hint_settled = 16 };

/// Ends a subscription when destroyed; once that returns, the callback is not running and will not be called again.
class JOBRUNTIME_API Subscription {
public:
    Subscription() = default;
    explicit Subscription(std::function<void()> end) : end_(std::move(end)) {}
    Subscription(Subscription&& other) noexcept : end_(std::exchange(other.end_, nullptr)) {}
    Subscription& operator=(Subscription&& other) noexcept;
    ~Subscription();

private:
    std::function<void()> end_;
};

/// Where jobs live. One implementation per database; JobQueue and Worker put the policy
/// (ids, retries, telemetry) on top, so a store only moves rows.
///
/// Every item of a batch is one atomic step together with its events: it happens wholly or
/// not at all, also when the process dies inside it, and also against other processes on the
/// same database. A bad item never fails its neighbours. At most limits::batch_items items
/// and limits::batch_bytes bytes a call, else Errc::invalid_argument.
///
/// A `limit` or `budget` below 1 is Errc::invalid_argument; one above limits::batch_items is cut to it.
///
/// The event of a state change has the job's id and trace id, its name and level by core's table
/// (docs/states.md), and at least these fields. All: kind, queue, status (the state after it), attempt
/// (Job::attempt after it). Besides:
///
///     jobs.create.queued, .replaced    runAt when scheduled
///     jobs.restored                    runAt when scheduled
///     worker.job.claimed               workerId (the session's id)
///     worker.job.completed, .released  workerId
///     worker.job.retry_scheduled       workerId, code, error (the message), runAt
///     worker.job.snoozed               workerId, reason, runAt
///     worker.job.failed                workerId, code, error
///     worker.job.canceled              workerId when it ran; code and error when there is a code
///     worker.job.recovered             workerId (the lost one), crashes; code and error after a crash; runAt
///                                      when scheduled
///     jobs.cancel.requested            workerId
///     jobs.reprioritised               priority
///     jobs.deleted                     status is the state that it had
///
/// Those that insert and change write have caller, tokenId and from, too, as far as NewJob::by and Change::by say them.
/// Times are ISO text. Making an event's fields from a row: core/state_event.hpp.
/// A cancel asked again of a running job writes no second event; pruning writes none.
///
/// Thread-safe. No verb waits for work; a verb may block on disk or network for as long as
/// the store's own time-out, then answers Errc::unavailable. A store owns no clock: `now` is
/// given, and only schedules, retention and the times shown to people depend on it.
/// After fork() in the child: Errc::invalid_argument.
/// Prove an implementation with testing/store_contract.hpp.
class JOBRUNTIME_API Store : public Inserter {
public:
    // insert: see Inserter.

    /// Hands due jobs of the wanted kinds to `session`: per queue the smallest priority first, then
    /// the earliest run_at, then the oldest id. Scheduled jobs that are due count as queued. Each
    /// claim raises the job's fence and its attempt, sets started_at, and writes worker.job.claimed
    /// (jobs.promoted may come before it). Limits of wants that sum up to more than limits::batch_items are cut.
    /// An empty answer means nothing is due; that is not an error. A lost claim (the process died
    /// before it saw the answer) comes back by `recover`. A job whose stored text is damaged (by hand, by a disk) is
    /// never handed out and never fails its neighbours: it ends failed with CORRUPT, or is left out.
    /// Errc::conflict: the session is not there or was declared dead; beat first.
    virtual Result<Claimed> claim(std::span<const Want> wants, SessionId session, ClaimMode mode, Time now) = 0;

    /// Ends attempts, one answer per settlement, in order; durable once returned. When cancel was
    /// asked of the job, completed stays completed and every other verdict ends canceled. Every verdict but
    /// released sets the crash counter back to zero.
    virtual Result<std::vector<SettleAnswer>> settle(std::span<const Settlement> settlements, Time now) = 0;

    /// Progress, checkpoints and events without a change of state. One answer per note, in order.
    virtual Result<std::vector<NoteAnswer>> note(std::span<const Note> notes, Time now) = 0;

    /// Does one thing to many jobs; each job is its own atomic step. With a filter at most `limit`
    /// jobs a call, beginning at `cursor` ("" at first). Durable once returned.
    virtual Result<Changed> change(const Selection& which, const Change& change, int limit, std::string_view cursor,
                                   Time now) = 0;

    /// "No such id" is an answer, not an error. `parts` is a sum of Parts.
    virtual Result<std::optional<Job>> get(JobId id, unsigned parts) = 0;

    /// In the order of creation; paging misses and repeats nothing while jobs come and go. A store may look at so many
    /// jobs a call: a page may be short, even empty, and have a next_cursor, where what fits is rare among what was
    /// looked at. Only an empty next_cursor is the end.
    /// Errc::invalid_argument for a cursor this store did not make.
    virtual Result<JobPage> list(const JobFilter& filter, JobOrder order, std::string_view cursor, int limit,
                                 unsigned parts) = 0;

    /// CountBy::nothing: exactly one row. Else one row for each that has jobs, by key and then by state.
    virtual Result<std::vector<CountRow>> count(const JobFilter& filter, CountBy by) = 0;

    /// As `count`, in slices for who waits: a store that has to look at jobs one by one for it looks at some ten thousands
    /// of them, newest first, from `cursor` on ("" at first), and says where the next slice begins. While nothing changes
    /// the slices add up to what `count` says; jobs made after the first are in none. Whatever asks only for states, kinds
    /// and queues is one slice. Errc::invalid_argument for a cursor this store did not make. Unless a store has its own,
    /// it is `count`, in one slice.
    virtual Result<Counts> rough_count(const JobFilter& filter, CountBy by, std::string_view cursor);

    /// Another number than before once anything has been committed that a verb could show, by whomever, and the same one
    /// for as long as nothing was (or, now and then, another one all the same): for answers that are kept until something
    /// changes. To be compared with numbers of this object only. Nothing where that cannot be told at once; unless a
    /// store has its own, it is nothing.
    virtual std::optional<std::uint64_t> stamp();

    /// Says that `session` lives; the first one makes its row. One write however many jobs it runs.
    /// A session declared dead stays so, and its counter stays where it is.
    virtual Result<BeatAnswer> beat(SessionId session, const SessionFacts& facts, Time now) = 0;

    /// Takes up to `limit` running jobs away from a session that is gone, if its counter still is `beat_seen`;
    /// from then on it is declared dead. By the crash rule, for Loss::crash: the attempt is given back and the
    /// crash counter rises; after the first crash the job is queued at once, after the second it is scheduled
    /// (min(2^crashes × 5 s, 6 h)) and from then on claimed in solitary mode only; a job that reaches four
    /// crashes, the last two of them alone, ends failed with CRASH_LIMIT. Asked to cancel: canceled. Loss::reboot:
    /// queued at once, attempt given back, nothing counted. Writes worker.job.recovered (or .failed, .canceled).
    virtual Result<Recovered> recover(SessionId session, std::uint64_t beat_seen, Loss loss, int limit, Time now) = 0;

    virtual Result<std::vector<SessionInfo>> sessions() = 0;

    /// Promotes due jobs (at most `budget`), prunes at most `budget` jobs and events past `retention`, mends
    /// what a crash left behind. Harmless when several processes do it.
    virtual Result<Tended> tend(const Retention& retention, int budget, Time now) = 0;

    /// Events after a position, oldest first; without it the last `limit`, of a trace perhaps only those of its newest
    /// 2,000 jobs. `after` = 0 begins at the very first event ever, so it is truncated once anything was pruned.
    /// Events become visible in the order of their ids: after id n was seen, none below n appears.
    virtual Result<EventPage> events(std::optional<EventId> after, const EventFilter& filter, int limit) = 0;

    /// All records whose key begins with `prefix`, by key.
    virtual Result<std::vector<Record>> records(std::string_view prefix) = 0;

    /// Writes or (without a value) removes a record if its version still is `expected` (0 = must not be
    /// there); the new version, 0 after a removal. Removing what is not there is fine. Errc::conflict when the
    /// version is another; Errc::invalid_argument for an empty or too long key or value. Durable once returned.
    virtual Result<std::uint64_t> put(std::string_view key, std::optional<std::string_view> value,
                                      std::uint64_t expected) = 0;

    /// Calls back soon after something happened; from the store's threads or from the caller of a verb, so it
    /// must be quick, call no verb and end no subscription. Hints may be late, doubled, or missing: poll slowly
    /// besides.
    [[nodiscard]] virtual Subscription on_change(std::function<void(unsigned hints)> callback) = 0;

    /// For people, without secrets: "sqlite:/srv/app.db", "memory".
    virtual std::string describe() const = 0;

    /// Stores jobs as another store had them (`get` with all_parts): state, attempts, fence, times, errors, steps,
    /// result, all as given; for copies and imports. One answer per job, in order, and each one atomic step with its
    /// event jobs.restored, which is the only one: the job's history is the caller's to append (`note`). Durable once
    /// returned. As with insert, a known id answers `inserted` with the state it has here and changes nothing, so
    /// repeating is safe; `repeated` and `existing` name the job that holds the idempotency key, or the unique key where
    /// that counts in the given state, and then nothing was stored.
    /// The next claim of a restored job gives it a higher fence than the one it came with. Its session is kept
    /// for people; whether that session is known here does not matter.
    /// Refused, each for itself (Errc::invalid_argument): what insert refuses; a running job, because a lease cannot be
    /// handed over; a final job without finished_at, or another with one; counters below zero; a fence above 2^53;
    /// more errors or steps than limits allow, or a result or step over limits::result.
    /// Errc::unsupported: a store that cannot, which is what a store does that leaves this verb alone.
    virtual Result<std::vector<InsertAnswer>> restore(std::span<const Job> jobs, Time now);
};

}  // namespace jobruntime
