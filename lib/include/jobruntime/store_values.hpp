// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <boost/json/object.hpp>

#include <jobruntime/event.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/job.hpp>
#include <jobruntime/result.hpp>

// What the verbs of Store (store.hpp) take and answer, in the order in which they come there.
namespace jobruntime {

/// Who asks for a change. It stands in the event that the change writes, and so in the same transaction; what is empty is
/// left out there. Stores cut each text at limits::actor and leave out what looks like a secret (redact()).
struct Actor {
    std::string caller{};    ///< A name: of an access token, of a part of a program.
    std::string token_id{};  ///< Which token it was; never the token.
    std::string from{};      ///< Where it came from, e.g. an address.
    bool known() const { return !caller.empty() || !token_id.empty() || !from.empty(); }
};

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
    Actor by{};                   ///< Not kept with the job, but in its event.
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
    bool forget_steps = false;  ///< When the job ends completed, its checkpoints go with that.
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
    StateSet states{};
    std::vector<std::string> kinds{};
    std::vector<std::string> queues{};
    std::string tag{};
    std::string trace_id{};
    std::string unique_key{};
    std::string idempotency_key{};
    std::string error_code{};        ///< Of the last error.
    SessionId session{};
    std::optional<Time> created_before{};  ///< Earlier than this.
    std::optional<Time> created_after{};   ///< This moment or later.
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

/// What a job was like when it was looked at.
struct Seen {
    Fence fence = Fence::none;
    std::optional<JobState> state{};  ///< Nothing: any will do.
};

struct Change {
    Action action = Action::cancel;
    std::string queue{};        ///< move.
    std::int16_t priority = 0;  ///< reprioritise.
    bool fresh = false;         ///< retry: forget the steps too.
    /// With ids only, and when not empty one for each. A job that has another fence by now, because it was claimed
    /// meanwhile, or another state is left alone (invalid_state). Nothing: whatever it is like.
    std::vector<std::optional<Seen>> seen{};
    Actor by{};                 ///< For the event of each job that is changed.
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

/// A slice of a count, for people who wait for it.
struct Counts {
    std::vector<CountRow> rows;  ///< Of what was looked at. Until there is no next cursor, each number is "at least".
    std::string next_cursor;     ///< Where the next slice begins; empty = that was all.
};

// ---- sessions --------------------------------------------------------------------------------

/// What a process says about itself with each beat.
struct SessionFacts {
    std::string host{};             ///< Machine name.
    std::string boot_id{};          ///< Changes with every boot of that machine; empty = unknown.
    std::int64_t pid = 0;
    std::string role{};
    std::string version{};
    bool works = false;             ///< It claims whatever is due; not an API alone, nor a worker for one job only.
    std::vector<std::string> kinds{}; ///< It has handlers for.
    std::vector<std::string> queues{};///< It serves.
    int running = 0;                ///< Jobs it runs now.
    bool stopped = false;           ///< The last beat of a clean stop; the row stays for a while.
    boost::json::object details{};  ///< Anything else for people (store, sink, missing programs); small.
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
    JobId job{};                   ///< Zero = all.
    std::string trace_id{};        ///< Empty = all.
    std::optional<Level> level{};  ///< Exactly this level.
    std::string name_prefix{};     ///< Empty = all.
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

}  // namespace jobruntime
