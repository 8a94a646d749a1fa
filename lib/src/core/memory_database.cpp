// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Rows and their indexes, the event log, and what comes in from outside: insert and change.
#include "core/memory_database.hpp"

#include <algorithm>

#include <unistd.h>

#include "core/json.hpp"

namespace jobruntime::memory {

using core::EventCode;

Database::Database(Controls controls) : controls_(controls), process_(::getpid()) {}

bool Database::forked() const { return ::getpid() != process_; }

Job view(const Row& row, unsigned parts) {
    Job job = row.job;
    if (parts & part_payload) job.payload = row.payload;
    if (parts & part_result) job.result = row.result;
    if (parts & part_errors) job.errors = row.errors;
    if (parts & part_steps) job.steps = row.steps;
    return job;
}

bool Database::counts_unique(const Row& row) const {
    return !controls_.ignore_unique && !row.job.unique_key.empty() && row.job.unique_states.has(row.job.state);
}

void Database::enter(Row& row) {
    const Job& job = row.job;
    switch (job.state) {
        case JobState::scheduled: scheduled_.emplace(job.run_at, job.id); break;
        case JobState::queued: {
            auto& line = ready_[{job.queue, job.kind}];
            auto& side = job.crashes < core::solitary_crashes ? line.ordinary : line.solitary;
            side.emplace(Turn{job.priority, job.run_at, job.id}, &row);
            break;
        }
        case JobState::running: running_[job.session].insert(job.id); break;
        default: finished_[static_cast<std::size_t>(job.state)].emplace(*job.finished_at, job.id); break;
    }
    if (counts_unique(row)) unique_[job.unique_key] = &row;
}

void Database::leave(Row& row) {
    const Job& job = row.job;
    switch (job.state) {
        case JobState::scheduled: scheduled_.erase({job.run_at, job.id}); break;
        case JobState::queued: {
            const auto line = ready_.find({job.queue, job.kind});
            const Turn turn{job.priority, job.run_at, job.id};
            line->second.ordinary.erase(turn);
            line->second.solitary.erase(turn);
            if (line->second.ordinary.empty() && line->second.solitary.empty()) ready_.erase(line);
            break;
        }
        case JobState::running: {
            const auto session = running_.find(job.session);
            session->second.erase(job.id);
            if (session->second.empty()) running_.erase(session);
            break;
        }
        default: finished_[static_cast<std::size_t>(job.state)].erase({*job.finished_at, job.id}); break;
    }
    const auto key = unique_.find(job.unique_key);
    if (key != unique_.end() && key->second == &row) unique_.erase(key);
}

Row* Database::find(JobId id) {
    const auto found = rows_.find(id);
    return found == rows_.end() ? nullptr : found->second.get();
}

const Row* Database::find(JobId id) const {
    const auto found = rows_.find(id);
    return found == rows_.end() ? nullptr : found->second.get();
}

Row* Database::holder(const std::string& unique_key, const Row* except) {
    if (unique_key.empty()) return nullptr;
    const auto found = unique_.find(unique_key);
    return found == unique_.end() || found->second == except ? nullptr : found->second;
}

void Database::erase(Row& row) {
    leave(row);
    const auto key = idempotent_.find(row.job.idempotency_key);
    if (key != idempotent_.end() && key->second == &row) idempotent_.erase(key);
    by_creation_.erase(row.sequence);
    rows_.erase(JobId{row.job.id});  // A copy: the row that holds the id goes.
}

Row& Database::make_row(JobId id) {
    auto made = std::make_unique<Row>();
    Row& row = *made;
    row.sequence = ++last_sequence_;
    row.job.id = id;
    by_creation_.emplace(row.sequence, &row);
    rows_.emplace(id, std::move(made));
    return row;
}

void Database::append(Event event, const Origin& origin) {
    event.id = ++last_event_;
    if (core::flaw(event.fields)) core::mend(event.fields);
    if (event.source.empty()) {
        event.source = origin.process;
        event.role = origin.role;
    }
    log_.push_back(std::move(event));
    pending_hints_ |= hint_events;
}

void Database::tell(const Row& row, const Telling& telling, const Origin& origin, Time now) {
    if (controls_.dropped == telling.code) return;
    const Job& job = row.job;
    Event event;
    event.at = now;
    event.name = core::event_name(telling.code);
    event.level = core::event_level(telling.code);
    event.job = job.id;
    event.trace_id = job.trace_id;
    event.fields = core::event_fields({.code = telling.code,
                                       .kind = job.kind,
                                       .queue = job.queue,
                                       .state = job.state,
                                       .attempt = job.attempt,
                                       .session = telling.ran ? job.session : SessionId{},
                                       .error_code = telling.error_code,
                                       .message = telling.message,
                                       .run_at = job.run_at,
                                       .crashes = job.crashes,
                                       .priority = job.priority,
                                       .by = telling.by});
    append(std::move(event), origin);
}

// ---- insert ------------------------------------------------------------------------------------

namespace {

InsertAnswer answer(InsertAnswer::How how, const Row& row) {
    InsertAnswer given;
    given.how = how;
    given.id = row.job.id;
    given.state = row.job.state;
    if (how == InsertAnswer::How::repeated) given.hash = row.job.idempotency_hash;
    return given;
}

InsertAnswer refuse(Error error) {
    InsertAnswer given;
    given.refused = std::move(error);
    return given;
}

/// What a new job brings and a replacing one changes.
void fill(Row& row, const NewJob& given, boost::json::object payload, Time now) {
    Job& job = row.job;
    row.payload = std::move(payload);
    job.queue = given.queue;
    job.priority = given.priority;
    job.run_at = given.run_at;
    job.max_attempts = given.max_attempts;
    job.tags = given.tags;
    job.wait_reason.clear();
    job.state = given.run_at > now ? JobState::scheduled : JobState::queued;
}

}  // namespace

InsertAnswer Database::meet(const NewJob& given, Row& held, const Origin& origin, Time now) {
    const bool waits = held.job.state == JobState::scheduled || held.job.state == JobState::queued;
    if (given.on_conflict != OnConflict::replace || !waits || held.job.kind != given.kind)
        return answer(InsertAnswer::How::existing, held);
    auto payload = core::parse_json_object(given.payload);
    if (!payload) return refuse(std::move(payload).error());
    leave(held);
    fill(held, given, *std::move(payload), now);
    enter(held);
    tell(held, {.code = EventCode::replaced, .by = &given.by}, origin, now);
    pending_hints_ |= hint_jobs;
    return answer(InsertAnswer::How::replaced, held);
}

InsertAnswer Database::insert(const NewJob& given, const Origin& origin, Time now) {
    if (const Row* known = find(given.id)) return answer(InsertAnswer::How::inserted, *known);
    if (!given.idempotency_key.empty()) {
        const auto known = idempotent_.find(given.idempotency_key);
        if (known != idempotent_.end()) return answer(InsertAnswer::How::repeated, *known->second);
    }
    if (Row* held = holder(given.unique_key, nullptr)) return meet(given, *held, origin, now);
    auto payload = core::parse_json_object(given.payload);
    if (!payload) return refuse(std::move(payload).error());

    Row& row = make_row(given.id);
    row.job.idempotency_hash = given.idempotency_hash;
    row.job.kind = given.kind;
    row.job.unique_key = given.unique_key;
    if (!given.unique_key.empty()) row.job.unique_states = given.unique_states | live_states;
    row.job.idempotency_key = given.idempotency_key;
    row.job.trace_id = given.trace_id;
    row.job.created_at = now;
    fill(row, given, *std::move(payload), now);
    if (!given.idempotency_key.empty()) idempotent_.emplace(given.idempotency_key, &row);
    enter(row);
    tell(row, {.code = EventCode::created, .by = &given.by}, origin, now);
    pending_hints_ |= hint_jobs;
    return answer(InsertAnswer::How::inserted, row);
}

InsertAnswer Database::restore(const Job& given, const Origin& origin, Time now) {
    if (const Row* known = find(given.id)) return answer(InsertAnswer::How::inserted, *known);
    if (!given.idempotency_key.empty()) {
        const auto known = idempotent_.find(given.idempotency_key);
        if (known != idempotent_.end()) return answer(InsertAnswer::How::repeated, *known->second);
    }
    const auto states = given.unique_key.empty() ? given.unique_states : given.unique_states | live_states;
    if (states.has(given.state))
        if (const Row* held = holder(given.unique_key, nullptr)) return answer(InsertAnswer::How::existing, *held);

    Row& row = make_row(given.id);
    row.job = given;
    row.job.unique_states = states;
    row.payload = std::move(row.job.payload);
    row.result = std::move(row.job.result);
    row.errors = std::move(row.job.errors);
    row.steps = std::move(row.job.steps);
    row.job.payload = {};
    row.job.result = nullptr;
    row.job.errors.clear();
    row.job.steps.clear();
    last_fence_ = std::max(last_fence_, static_cast<std::uint64_t>(given.fence));
    if (!given.idempotency_key.empty()) idempotent_.emplace(given.idempotency_key, &row);
    enter(row);
    tell(row, {.code = EventCode::restored}, origin, now);
    pending_hints_ |= hint_jobs;
    return answer(InsertAnswer::How::inserted, row);
}

// ---- change ------------------------------------------------------------------------------------

namespace {

void begin_anew(Row& row, bool fresh, Time now) {
    Job& job = row.job;
    job.run_at = now;
    job.max_attempts = std::max(job.max_attempts, job.attempt + 1);
    job.crashes = 0;
    job.finished_at.reset();
    job.cancel_requested_at.reset();
    row.result = nullptr;
    if (fresh) row.steps.clear();
}

}  // namespace

ChangeAnswer Database::change(JobId id, const Change& change, const Origin& origin, Time now, const Seen* seen) {
    ChangeAnswer given;
    given.job = id;
    Row* row = find(id);
    if (!row) {
        given.how = ChangeAnswer::How::not_found;
        return given;
    }
    Job& job = row->job;
    const auto next = core::after_change(change.action, job.state);
    given.how = core::is_as_seen(seen, job.fence, job.state) ? next.how : ChangeAnswer::How::invalid_state;
    given.state = job.state;
    if (given.how == ChangeAnswer::How::invalid_state) return given;
    pending_hints_ |= hint_jobs;
    if (next.how == ChangeAnswer::How::requested) {
        if (job.cancel_requested_at) return given;
        job.cancel_requested_at = now;
        pending_hints_ |= hint_cancel;
        tell(*row, {.code = next.event, .ran = true, .by = &change.by}, origin, now);
        return given;
    }
    if (next.event == EventCode::removed) {
        tell(*row, {.code = next.event, .by = &change.by}, origin, now);
        erase(*row);
        return given;
    }
    if (next.event == EventCode::retried && !controls_.ignore_unique) {
        if (const Row* other = holder(job.unique_key, row)) {
            given.how = ChangeAnswer::How::conflict;
            given.other = other->job.id;
            return given;
        }
    }
    leave(*row);
    job.state = next.state;
    switch (next.event) {
        case EventCode::retried: begin_anew(*row, change.fresh, now); break;
        case EventCode::promoted: job.run_at = now; break;
        case EventCode::moved: job.queue = change.queue; break;
        case EventCode::reprioritised: job.priority = change.priority; break;
        default: break;
    }
    if (next.event == EventCode::promoted && change.action == Action::retry && change.fresh) row->steps.clear();
    if (job.state != JobState::scheduled) job.wait_reason.clear();
    if (is_final(job.state)) {
        job.finished_at = now;
        pending_hints_ |= hint_settled;
    }
    enter(*row);
    tell(*row, {.code = next.event, .by = &change.by}, origin, now);
    given.state = job.state;
    return given;
}

}  // namespace jobruntime::memory
