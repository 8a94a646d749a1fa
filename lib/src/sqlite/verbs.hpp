// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/store.hpp>

#include "sqlite/filter.hpp"
#include "sqlite/rows.hpp"
#include "sqlite/writer.hpp"

namespace jobruntime::sqlite {

/// The verbs as they run inside a transaction. Each may run more than once for one call (the group
/// that it was in may have failed), so it begins by emptying its answer. They check before they write:
/// an item that is refused has written nothing.

/// What can be made ready before the write turn.
struct InsertPlan {
    explicit InsertPlan(std::span<const NewJob> given);
    std::span<const NewJob> jobs;
    std::vector<std::string> tags;  ///< As text, by job; empty when no job has any.
    std::vector<std::optional<Error>> refused;  ///< By job; empty when none is.
};
void insert_jobs(Writer& writer, const InsertPlan& plan, Time now, std::vector<InsertAnswer>& answers);

/// The JSON texts of jobs to be restored, made before the write turn.
struct RestorePlan {
    explicit RestorePlan(std::span<const Job> given);
    struct Texts {
        std::optional<Error> refused;
        std::string payload, result, tags;
        std::vector<std::string> steps;
    };
    std::span<const Job> jobs;
    std::vector<Texts> texts;
};
void restore_jobs(Writer& writer, const RestorePlan& plan, Time now, std::vector<InsertAnswer>& answers);

struct RawClaim {
    std::vector<RawJob> jobs;
    bool session_gone = false;
    bool solitary_waiting = false;
    std::optional<Time> next_due;
};
void claim_jobs(Writer& writer, std::span<const Want> wants, SessionId session, ClaimMode mode, Time now,
                RawClaim& answer);
/// Queues up to `limit` scheduled jobs that are due; how many.
int promote_due(Writer& writer, int limit, Time now);
/// When the first scheduled job after `now` is due.
std::optional<Time> next_due(Connection& connection, Time now);

/// As with InsertPlan.
struct SettlePlan {
    explicit SettlePlan(std::span<const Settlement> given);
    std::span<const Settlement> settlements;
    std::vector<bool> no_json;  ///< Whose result cannot be read, by settlement; empty when all can.
};
void settle_jobs(Writer& writer, const SettlePlan& plan, Time now, std::vector<SettleAnswer>& answers);
void note_facts(Writer& writer, std::span<const Note> notes, std::vector<NoteAnswer>& answers);

ChangeAnswer change_job(Writer& writer, JobRow job, const Change& change, const Seen* seen, Time now);
/// Puts a job where `state` says, with its tally and its unique key; the caller has checked that it may.
/// Writes every column that a change of state may touch.
struct Placement {
    JobState state = JobState::queued;
    std::int64_t queue = 0;
    int priority = 0;
    Time run_at{};
    int attempt = 0;
    int max_attempts = 0;
    int crashes = 0;
    std::optional<Time> finished_at;
    std::string_view wait_reason;
};
Placement placement_of(const JobRow& job);
void place(Writer& writer, const JobRow& job, const Placement& to);

/// `locked`: this process holds the session's lock file.
void beat_session(Writer& writer, SessionId session, const SessionFacts& facts, std::string_view facts_text, bool locked,
                  Time now, BeatAnswer& answer);
struct RawRecovery {
    bool mine = false;
    bool more = false;
    std::vector<RawJob> jobs;
};
void recover_session(Writer& writer, SessionId session, std::uint64_t beat_seen, Loss loss, int limit, Time now,
                     RawRecovery& answer);
std::string facts_to_text(const SessionFacts& facts);
SessionFacts facts_from_text(std::string_view text);

struct TendWork {
    Tended tended;
    std::vector<SessionId> sessions;  ///< Rows that went.
};
/// Reads only: is there anything for tend_store to do?
bool needs_tending(Connection& connection, Words& words, const Retention& retention, Time now);
void tend_store(Writer& writer, const Retention& retention, int budget, Time now, TendWork& work);

Result<std::uint64_t> put_record(Writer& writer, std::string_view key, std::optional<std::string_view> value,
                                 std::uint64_t expected);

}  // namespace jobruntime::sqlite
