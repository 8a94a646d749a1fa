// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/id.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime {

/// Where a job stands; docs/states.md draws every way from one to the next. The numbers are
/// stored and never change.
enum class JobState : std::uint8_t {
    scheduled = 0,  ///< Waits for its time: delayed, retried, snoozed, or backing off after crashes.
    queued = 1,     ///< May be claimed now.
    running = 2,    ///< Claimed by one session under one fence.
    completed = 3,  ///< Ended well.
    failed = 4,     ///< Ended badly: attempts used up, not retryable, or CRASH_LIMIT.
    canceled = 5,   ///< Ended because somebody asked for it.
};
inline constexpr std::size_t job_state_count = 6;

JOBRUNTIME_API std::string_view to_string(JobState state) noexcept;
JOBRUNTIME_API std::optional<JobState> parse_job_state(std::string_view text) noexcept;
/// completed, failed or canceled.
constexpr bool is_final(JobState state) noexcept { return state >= JobState::completed; }

/// A set of job states, e.g. `StateSet{JobState::queued, JobState::running}`.
struct StateSet {
    std::uint8_t bits = 0;

    constexpr StateSet() = default;
    constexpr StateSet(std::initializer_list<JobState> states) {
        for (auto state : states) bits = static_cast<std::uint8_t>(bits | (1u << static_cast<unsigned>(state)));
    }
    constexpr bool has(JobState state) const { return (bits >> static_cast<unsigned>(state)) & 1u; }
    constexpr bool empty() const { return bits == 0; }
    constexpr StateSet operator|(StateSet other) const {
        StateSet both;
        both.bits = static_cast<std::uint8_t>(bits | other.bits);
        return both;
    }
    bool operator==(const StateSet&) const = default;
};
/// The states in which a unique key always counts.
inline constexpr StateSet live_states{JobState::scheduled, JobState::queued, JobState::running};

/// How far a running job says it is.
struct Progress {
    std::optional<double> percent;  ///< 0 to 100; unset = unknown.
    std::string stage;              ///< One word, e.g. "download"; at most 64 bytes.
    std::string message;            ///< For people; at most 1 KiB.
    bool operator==(const Progress&) const = default;
};

/// One thing that went wrong with a job. A job keeps its last 20.
struct JobError {
    Time at{};
    int attempt = 0;      ///< The attempt it belongs to, counted as Job::attempt was then.
    std::string code;     ///< UPPER_SNAKE.
    std::string message;  ///< At most 4 KiB.
    bool operator==(const JobError&) const = default;
};

/// A checkpoint: once stored, JobContext::step returns it instead of running again.
struct StepResult {
    std::string name;
    boost::json::value value;
    bool operator==(const StepResult&) const = default;
};

/// One job as stored: a value, safe to copy and to send between threads.
struct Job {
    JobId id;
    std::string kind;                       ///< Picks the handler, e.g. "mail.welcome".
    std::string queue = "default";
    boost::json::object payload;            ///< The handler's business; at most 256 KiB as text.
    JobState state = JobState::queued;
    std::int16_t priority = 0;              ///< Smaller goes first.
    Time run_at{};                          ///< Not claimed before this.
    int attempt = 0;                        ///< Charged attempts; a claim adds one, snooze, drain and crash give it back.
    int max_attempts = 25;
    int crashes = 0;                        ///< Processes that vanished under it, since an attempt last ended by itself.
    Fence fence = Fence::none;              ///< Of the newest claim.
    SessionId session;                      ///< Who runs it, or ran it last; zero = never claimed.
    std::string unique_key;                 ///< Empty = none.
    StateSet unique_states;                 ///< Where the key counts; always includes live_states when there is a key.
    std::string idempotency_key;            ///< Of the request that made it; empty = none.
    std::string idempotency_hash;           ///< Of that request's content; empty = none.
    std::string trace_id;
    std::vector<std::string> tags;
    Progress progress;
    boost::json::value result;              ///< Null until completed; at most 1 MiB as text.
    std::vector<JobError> errors;           ///< Oldest first, bounded.
    std::vector<StepResult> steps;          ///< Filled by claim, and by get when asked.
    std::string wait_reason;                ///< Why a snooze or a retry put it aside, in words; else empty.
    Time created_at{};
    std::optional<Time> started_at;         ///< Of the newest attempt.
    std::optional<Time> finished_at;        ///< Set in a final state only.
    std::optional<Time> cancel_requested_at;
    bool operator==(const Job&) const = default;
};

/// Bounds that JobQueue, Worker and every store enforce. Text sizes are in bytes of UTF-8.
namespace limits {
inline constexpr std::size_t payload = 256 * 1024;
inline constexpr std::size_t result = 1024 * 1024;
inline constexpr std::size_t name = 64;             ///< Kind, queue, step, stage: `[a-z0-9._-]{1,64}` for kind and queue.
inline constexpr std::size_t unique_key = 512;
inline constexpr std::size_t idempotency_key = 255;
inline constexpr std::size_t trace_id = 120;
inline constexpr std::size_t tag = 64;
inline constexpr std::size_t tags = 16;             ///< Tags a job.
inline constexpr std::size_t errors = 20;           ///< Errors kept a job.
inline constexpr std::size_t actor = 128;           ///< Each text of an Actor; longer is cut.
inline constexpr std::size_t message = 4096;        ///< One error message or log line; longer is cut.
inline constexpr std::size_t steps = 64;            ///< Steps a job.
inline constexpr std::size_t log_lines = 500;       ///< Log lines an attempt; then one line says that it was cut.
inline constexpr std::size_t batch_items = 2000;    ///< Operations in one trip to the store.
inline constexpr std::size_t batch_bytes = 8 * 1024 * 1024;
}  // namespace limits

/// Conversion between a described struct and a payload; defined by typed.hpp, which a program
/// includes to use `JobQueue::enqueue(T)` and `Worker::on<T>(…)`.
template <class T>
struct Typed;

/// Kind and queue names: 1 to 64 of a–z, 0–9, dot, underscore, hyphen.
JOBRUNTIME_API bool is_name(std::string_view text) noexcept;

}  // namespace jobruntime
