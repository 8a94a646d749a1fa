// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <boost/json/object.hpp>

#include <jobruntime/event.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/job.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime {

// ---- insert -------------------------------------------------------------------------------

/// What insert does when another job holds the unique key.
enum class OnConflict : std::uint8_t {
    keep,     ///< Leave that job alone and answer with its id.
    replace,  ///< While it is scheduled or queued and of the same kind, give it the new payload, run_at, priority,
              ///< queue, tags and max_attempts, and the state that fits run_at; else as keep. Everything
              ///< else (attempt, errors, trace id, keys, creation) stays as it was.
};

/// A job to be. Whoever calls has checked names and bounds and that the payload is a JSON object; a store
/// refuses an item of its own accord only for the zero id, an empty kind or queue, a payload over its limit, or a
/// payload or tag that could not be read again: the payload is a JSON object in UTF-8, nested at most 32 deep.
struct NewJob {
    JobId id;                     ///< Made by the caller, so that a repeated insert is the same job.
    std::string kind;
    std::string queue = "default";
    std::string payload = "{}";   ///< A JSON object as text.
    std::int16_t priority = 0;
    Time run_at{};                ///< After `now`: the job starts out scheduled.
    int max_attempts = 25;
    std::string unique_key;
    StateSet unique_states = live_states;
    OnConflict on_conflict = OnConflict::keep;
    std::string idempotency_key;  ///< Empty = none. Counts as long as the job is kept.
    std::string idempotency_hash; ///< Of the request; answered back on a repeated key.
    std::string trace_id;
    std::vector<std::string> tags;
};

struct InsertAnswer {
    enum class How : std::uint8_t {
        inserted,   ///< It is stored; `id` is the given one. Also when it had been stored before by this id.
        existing,   ///< Another job holds the unique key; `id` and `state` are that job's.
        replaced,   ///< The waiting job `id` holds what was given now.
        repeated,   ///< Another job was made with this idempotency key; `id`, `state`, `hash` are that job's.
    };
    How how = How::inserted;
    JobId id;
    JobState state = JobState::queued;
    std::string hash;             ///< repeated: the idempotency_hash it was made with.
    std::optional<Error> refused; ///< This item was not stored (e.g. Errc::full); the fields above say nothing then.
};

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

// ---- claim, settle, note: an attempt ---------------------------------------------------------

/// What a worker would take from one queue.
struct Want {
    std::string queue;
    std::vector<std::string> kinds;  ///< Those it has handlers for; others are left alone.
    int limit = 1;
    JobId only{};                    ///< Not zero: this job and no other, where the rest fits it too.
};

/// Which jobs a claim may take, by their crash counter (see crash rule at `recover`).
enum class ClaimMode : std::uint8_t {
    ordinary,  ///< Those with fewer than two crashes.
    solitary,  ///< One job with two or more crashes; for a session that runs nothing else.
};

struct Claimed {
    std::vector<Job> jobs;            ///< State running, with payload and steps; by queue, then in claim order.
    bool solitary_waiting = false;    ///< A due job of the wanted queues and kinds waits to be run alone.
    std::optional<Time> next_due;     ///< When the next job of this store that waits for its time is due; after `now`.
};

/// How an attempt ends.
enum class Verdict : std::uint8_t {
    completed,  ///< → completed, with `result`.
    retry,      ///< → scheduled at run_at; the attempt stays charged, the error is kept.
    snooze,     ///< → scheduled at run_at; the attempt is given back.
    failed,     ///< → failed; the error is kept.
    canceled,   ///< → canceled.
    released,   ///< → queued; never started or interrupted by a drain: the attempt is given back.
};

struct Settlement {
    JobId job;
    Fence fence = Fence::none;
    Verdict verdict = Verdict::completed;
    Time run_at{};            ///< retry, snooze.
    std::string result;       ///< completed: JSON text; empty = null. Over limits::result, the job ends failed with
                              ///< RESULT_TOO_LARGE instead, and when it is no JSON with INVALID_RESULT (canceled, when
                              ///< that was asked).
    std::string code;         ///< retry, failed (and canceled, when it has one).
    std::string message;      ///< retry, failed (and canceled, when it has a code); snooze: the reason. Kept as
                              ///< wait_reason while a retry or snooze waits. Cut at limits::message.
    bool started = true;      ///< released: false when the handler never saw it.
};

struct SettleAnswer {
    bool done = false;                       ///< False: the fence no longer holds the job; nothing was changed.
    JobState state = JobState::completed;    ///< Where the job is now (cancel may have turned a retry into canceled).
};

/// Facts about a running attempt, without a change of state. Everything in one Note is one atomic step.
struct Note {
    JobId job;                              ///< Zero: only `events`, about no attempt.
    Fence fence = Fence::none;              ///< Fence::none with a job: events about it, accepted whatever its state.
    std::optional<Progress> progress;
    std::optional<std::string> step_name;   ///< With step_value: store this checkpoint, durably (fsynced).
    std::string step_value;                 ///< JSON text.
    std::optional<std::string> forget_step; ///< Remove this checkpoint; durable.
    std::vector<Event> events;              ///< Appended; the id is the store's to fill in, and source and role
                                            ///< where source is empty (one with a source is a copy from elsewhere).
                                            ///< With a job: that job's id, and its trace id where the event has none.
};

enum class NoteAnswer : std::uint8_t {
    done,
    conflict,  ///< The fence no longer holds the job (or is none, with more than events); nothing was changed.
    refused,   ///< One checkpoint more than limits::steps, one over limits::result, or no JSON; nothing was changed.
};

// ---- change, get, list, count: people and programs from outside ---------------------------------

/// Which jobs. Every given field must match; empty fields match all.
struct JobFilter {
    StateSet states;
    std::vector<std::string> kinds;
    std::vector<std::string> queues;
    std::string tag;
    std::string trace_id;
    std::string unique_key;
    std::string idempotency_key;
    std::string error_code;          ///< Of the last error.
    SessionId session;
    std::optional<Time> created_before;  ///< Earlier than this.
    std::optional<Time> created_after;   ///< This moment or later.
};

enum class Action : std::uint8_t {
    cancel,        ///< scheduled, queued → canceled; running → cancel requested.
    retry,         ///< final → queued: run_at = now, max_attempts = max(max_attempts, attempt + 1), crashes 0, result,
                   ///< finished_at, cancel_requested_at gone; errors and steps kept. scheduled: as promote.
    promote,       ///< scheduled → queued, run_at = now.
    move,          ///< scheduled, queued: to another queue.
    reprioritise,  ///< scheduled, queued: another priority.
    remove,        ///< anything but running: deleted.
};

struct Change {
    Action action = Action::cancel;
    std::string queue;          ///< move.
    std::int16_t priority = 0;  ///< reprioritise.
    bool fresh = false;         ///< retry: forget the steps too.
};

struct ChangeAnswer {
    enum class How : std::uint8_t {
        done,
        requested,      ///< cancel of a running job: it has been asked to stop (also when asked before).
        not_found,
        invalid_state,  ///< The state forbids it; `state` says which it is.
        conflict,       ///< retry: another job, `other`, holds the unique key.
    };
    JobId job;
    How how = How::done;
    JobState state = JobState::queued;  ///< After the change, or as it is.
    JobId other;
};

/// The ids, or a slice of those that match a filter, oldest first.
using Selection = std::variant<std::vector<JobId>, JobFilter>;

struct Changed {
    std::vector<ChangeAnswer> answers;   ///< Ids: one per id, in order. Filter: one per matching job of this slice.
    std::string next_cursor;             ///< Filter: where the next slice begins; empty = that was all. As with
                                         ///< `list`, a slice may be short before the end.
};

/// Parts of a job that cost extra to read. Without it: not filled in.
enum Parts : unsigned { part_payload = 1, part_result = 2, part_errors = 4, part_steps = 8, all_parts = 15 };

struct JobPage {
    std::vector<Job> jobs;
    std::string next_cursor;  ///< Empty = that was all.
    std::vector<JobId> unreadable;  ///< Left out of `jobs`: what is stored of them is damaged. `get` says what is wrong.
};

enum class JobOrder : std::uint8_t { newest_first, oldest_first };
enum class CountBy : std::uint8_t { nothing, state, kind, queue, queue_and_state };
struct CountRow {
    std::string key;                     ///< Kind or queue; empty when not counted by one.
    std::optional<JobState> state;       ///< When counted by state.
    std::uint64_t count = 0;
    std::optional<Time> oldest;          ///< The earliest run_at of those that are scheduled or queued.
};

/// Counts for people who wait for them.
struct Counts {
    std::vector<CountRow> rows;
    bool complete = true;  ///< False: there are more jobs than it looked at, so each number is "at least".
};

// ---- sessions --------------------------------------------------------------------------------

/// What a process says about itself with each beat.
struct SessionFacts {
    std::string host;               ///< Machine name.
    std::string boot_id;            ///< Changes with every boot of that machine; empty = unknown.
    std::int64_t pid = 0;
    std::string role;
    std::string version;
    bool works = false;             ///< It claims whatever is due; not an API alone, nor a worker for one job only.
    std::vector<std::string> kinds; ///< It has handlers for.
    std::vector<std::string> queues;///< It serves.
    int running = 0;                ///< Jobs it runs now.
    bool stopped = false;           ///< The last beat of a clean stop; the row stays for a while.
    boost::json::object details;    ///< Anything else for people (store, sink, missing programs); small.
};

struct SessionInfo {
    SessionId id;
    SessionFacts facts;
    std::uint64_t beat = 0;         ///< Raised by each beat. An observer that sees the same for a whole lease on
                                    ///< its own steady clock may recover the session's jobs.
    Time started_at{};              ///< Wall clock of its first beat.
    Time beat_at{};                 ///< Wall clock of its last beat, as that process had it; for people only.
    std::optional<Duration> age;    ///< Since its last beat, by the store's own clock; unset where the store has none, and all
                                    ///< processes share one wall clock.
    bool declared_dead = false;     ///< recover has been here.
    bool seen_dead = false;         ///< The store can see, now, that the process is gone (same host).
    bool seen_alive = false;        ///< The store can see, now, that the process lives (same host).
};

/// How long ago a session beat, for who looks only once: by the store's clock, else by the wall clock, `now`. Never below
/// zero. Who looks again counts on its own steady clock from when it saw the counter change.
JOBRUNTIME_API Duration age_of(const SessionInfo& session, Time now);
/// Whether it has neither ended nor been silent for longer than a lease, for who looks only once. For what people are told;
/// no lease is decided by it.
JOBRUNTIME_API bool seems_alive(const SessionInfo& session, Time now, Duration lease);

struct CancelRequest {
    JobId job;
    Fence fence = Fence::none;
};

struct BeatAnswer {
    bool declared_dead = false;           ///< Others have taken this session's jobs: stop them, begin a new session.
    std::uint64_t beat = 0;               ///< The counter now.
    std::vector<CancelRequest> cancels;   ///< This session's running jobs that were asked to stop.
};

enum class Loss : std::uint8_t {
    crash,   ///< The process vanished: counts against its jobs by the crash rule.
    reboot,  ///< The machine went down: its jobs are queued again and nothing is counted.
};

struct Recovered {
    bool mine = false;               ///< The compare-and-swap held: the session was at beat_seen (or already dead).
    bool more = false;               ///< The limit was reached; call again.
    std::vector<Job> jobs;           ///< Their state after it; without parts.
};

// ---- upkeep, events, records -----------------------------------------------------------------

/// How long finished jobs and events are kept. Kinds in `keep` are never pruned.
struct Retention {
    Duration completed{7LL * 24 * 3600 * 1000};
    Duration canceled{7LL * 24 * 3600 * 1000};
    Duration failed{30LL * 24 * 3600 * 1000};
    Duration sessions{24LL * 3600 * 1000};       ///< Rows of stopped and dead sessions.
    Duration events{7LL * 24 * 3600 * 1000};
    std::uint64_t event_count = 1'000'000;
    std::vector<std::string> keep;
};

struct Tended {
    std::uint64_t promoted = 0;
    std::uint64_t pruned_jobs = 0;
    std::uint64_t pruned_events = 0;
    std::vector<JobId> pruned;            ///< The pruned jobs, so that their files can go too.
    bool more = false;                    ///< The budget was used up; call again soon.
    std::optional<Time> next_due;         ///< When the next job that waits for its time is due; after `now`.
};

struct EventFilter {
    JobId job;                     ///< Zero = all.
    std::string trace_id;          ///< Empty = all.
    std::optional<Level> level;    ///< Exactly this level.
    std::string name_prefix;       ///< Empty = all.
};

struct EventPage {
    std::vector<Event> events;     ///< Ascending by id.
    EventId next = 0;              ///< Ask on after this one: the last id looked at, also when nothing matched. When
                                   ///< the page is not full, the newest id there was.
    bool truncated = false;        ///< `after` is older than what is kept, or was never reached: events were missed;
                                   ///< the page begins with the oldest kept.
    EventId oldest = 0;            ///< The oldest id kept; 0 = the log is empty.
};

/// A small shared fact: queue settings, platform flags, schedules.
struct Record {
    std::string key;            ///< At most 255 bytes, e.g. "queue/default".
    std::string value;          ///< JSON text, at most 64 KiB.
    std::uint64_t version = 0;  ///< Another one after each put, never 0; 0 = not there.
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

    /// As `count`, but a store that has to look at jobs one by one for it may stop after some ten thousands. Whatever
    /// asks only for states, kinds and queues is complete. Unless a store has its own, it is `count`.
    virtual Result<Counts> rough_count(const JobFilter& filter, CountBy by);

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
    /// 10,000 jobs. `after` = 0 begins at the very first event ever, so it is truncated once anything was pruned.
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
