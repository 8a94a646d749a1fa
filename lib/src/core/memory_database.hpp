// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <unordered_map>

#include <sys/types.h>

#include "core/hints.hpp"
#include "core/memory_store.hpp"
#include "core/state_event.hpp"

namespace jobruntime::memory {

/// One job as the memory store keeps it: `job` without its parts, and the parts beside it.
struct Row {
    Job job;
    std::uint64_t sequence = 0;  ///< Order of creation.
    boost::json::object payload;
    boost::json::value result;
    std::vector<JobError> errors;
    std::vector<StepResult> steps;
};

/// What an event says besides what its job's row says.
struct Telling {
    core::EventCode code = core::EventCode::other;
    bool ran = false;  ///< Name the session.
    std::string_view error_code{};
    std::string_view message{};
    const Actor* by = nullptr;
};

/// All data and the verbs on it. Every member is used with mutex() held, except hints().
class Database {
public:
    explicit Database(Controls controls);

    std::mutex& mutex() { return mutex_; }
    core::HintHub& hints() { return *hints_; }
    bool forked() const;
    /// What there is to tell of since the last call.
    unsigned take_hints() { return std::exchange(pending_hints_, 0u); }

    InsertAnswer insert(const NewJob& given, const Origin& origin, Time now);
    InsertAnswer restore(const Job& given, const Origin& origin, Time now);
    Result<Claimed> claim(std::span<const Want> wants, SessionId session, ClaimMode mode, const Origin& origin, Time now);
    SettleAnswer settle(const Settlement& settlement, const Origin& origin, Time now);
    NoteAnswer note(const Note& note, const Origin& origin);
    ChangeAnswer change(JobId id, const Change& change, const Origin& origin, Time now, const Seen* seen = nullptr);
    Result<Changed> change(const JobFilter& filter, const Change& change, int limit, std::string_view cursor,
                           const Origin& origin, Time now);
    std::optional<Job> get(JobId id, unsigned parts) const;
    Result<JobPage> list(const JobFilter& filter, JobOrder order, std::string_view cursor, int limit,
                         unsigned parts) const;
    std::vector<CountRow> count(const JobFilter& filter, CountBy by) const;
    BeatAnswer beat(SessionId session, const SessionFacts& facts, Time now);
    Recovered recover(SessionId session, std::uint64_t beat_seen, Loss loss, int limit, const Origin& origin, Time now);
    std::vector<SessionInfo> sessions() const;
    Tended tend(const Retention& retention, int budget, const Origin& origin, Time now);
    EventPage events(std::optional<EventId> after, const EventFilter& filter, int limit) const;
    std::vector<Record> records(std::string_view prefix) const;
    Result<std::uint64_t> put(std::string_view key, std::optional<std::string_view> value, std::uint64_t expected);

private:
    using Turn = std::tuple<std::int16_t, Time, JobId>;  ///< Order of claiming.
    using Line = std::pair<std::string, std::string>;    ///< Queue and kind.
    struct Ready {
        std::map<Turn, Row*> ordinary;
        std::map<Turn, Row*> solitary;
    };

    // Indexes: a row leaves all of them before its state or order changes, and enters again after.
    void enter(Row& row);
    void leave(Row& row);
    bool counts_unique(const Row& row) const;
    Row* find(JobId id);
    const Row* find(JobId id) const;
    Row* holder(const std::string& unique_key, const Row* except);
    bool holds(const Row* row, Fence fence) const;
    void erase(Row& row);
    /// A row with a number of its own, in no index yet but those of its id and of creation.
    Row& make_row(JobId id);

    void tell(const Row& row, const Telling& telling, const Origin& origin, Time now);
    void append(Event event, const Origin& origin);

    InsertAnswer meet(const NewJob& given, Row& held, const Origin& origin, Time now);
    void promote(Row& row, const Origin& origin, Time now);
    void promote_due(Time now, const Origin& origin);
    std::optional<Time> next_due(Time now) const;
    void take(Row& row, SessionId session, const Origin& origin, Time now);
    void take_ordinary(const Want& want, std::size_t room, SessionId session, const Origin& origin, Time now,
                       std::vector<Job>& taken);
    /// The first in line that fits `want`, among those that run alone or the others.
    Row* first_ready(const Want& want, bool alone);
    Row* first_solitary(std::span<const Want> wants);
    void finish(Row& row, JobState state, Time now);
    void keep_error(Row& row, std::string_view code, std::string_view message, Time now);
    void lose(Row& row, Loss loss, const Origin& origin, Time now);
    bool keep_steps(Row& row, const Note& note);
    void prune_jobs(const Retention& retention, int budget, Time now, Tended& tended);
    void prune_events(const Retention& retention, int budget, Time now, Tended& tended);
    void prune_sessions(const Retention& retention, Time now);

    const Controls controls_;
    const pid_t process_;
    const std::shared_ptr<core::HintHub> hints_ = std::make_shared<core::HintHub>();
    std::mutex mutex_;
    unsigned pending_hints_ = 0;

    std::unordered_map<JobId, std::unique_ptr<Row>> rows_;
    std::map<std::uint64_t, Row*> by_creation_;
    std::map<Line, Ready> ready_;
    std::set<std::pair<Time, JobId>> scheduled_;
    std::unordered_map<SessionId, std::set<JobId>> running_;
    std::set<std::pair<Time, JobId>> finished_[job_state_count];
    std::unordered_map<std::string, Row*> unique_;
    std::unordered_map<std::string, Row*> idempotent_;
    std::map<SessionId, SessionInfo> sessions_;
    std::map<std::string, Record, std::less<>> records_;
    std::deque<Event> log_;
    EventId last_event_ = 0;
    EventId pruned_through_ = 0;
    std::uint64_t last_sequence_ = 0;
    std::uint64_t last_fence_ = 0;
    std::uint64_t last_version_ = 0;
};

/// `row` as callers see it, with the parts asked for.
Job view(const Row& row, unsigned parts);

}  // namespace jobruntime::memory
