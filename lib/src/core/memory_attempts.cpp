// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// An attempt from claim to settle, and what becomes of it when its process is lost.
#include <algorithm>

#include "core/json.hpp"
#include "core/memory_database.hpp"

namespace jobruntime::memory {

using core::EventCode;

namespace {

/// `now` + `delay`, without passing the end of time.
Time later(Time now, Duration delay) { return now > Time::max() - delay ? Time::max() : now + delay; }

}  // namespace

void Database::promote(Row& row, const Origin& origin, Time now) {
    leave(row);
    row.job.state = JobState::queued;
    row.job.wait_reason.clear();
    enter(row);
    tell(row, {.code = EventCode::promoted}, origin, now);
    pending_hints_ |= hint_jobs;
}

void Database::promote_due(Time now, const Origin& origin) {
    while (!scheduled_.empty() && scheduled_.begin()->first <= now)
        promote(*find(scheduled_.begin()->second), origin, now);
}

std::optional<Time> Database::next_due(Time now) const {
    for (auto it = scheduled_.lower_bound({now, JobId{}}); it != scheduled_.end(); ++it)
        if (it->first > now) return it->first;
    return std::nullopt;
}

bool Database::holds(const Row* row, Fence fence) const {
    if (row && controls_.ignore_fences) return true;
    return row && row->job.state == JobState::running && fence != Fence::none && row->job.fence == fence;
}

void Database::take(Row& row, SessionId session, const Origin& origin, Time now) {
    leave(row);
    Job& job = row.job;
    job.state = JobState::running;
    job.session = session;
    job.fence = static_cast<Fence>(++last_fence_);
    job.started_at = now;
    ++job.attempt;
    enter(row);
    tell(row, {.code = EventCode::claimed, .ran = true}, origin, now);
}

Row* Database::first_ready(const Want& want, bool alone) {
    const std::pair<const Turn, Row*>* first = nullptr;
    for (const auto& kind : want.kinds) {
        const auto line = ready_.find({want.queue, kind});
        if (line == ready_.end()) continue;
        for (const auto& candidate : alone ? line->second.solitary : line->second.ordinary) {
            if (want.only && candidate.second->job.id != want.only) continue;
            if (!first || candidate.first < first->first) first = &candidate;
            break;
        }
    }
    return first ? first->second : nullptr;
}

void Database::take_ordinary(const Want& want, std::size_t room, SessionId session, const Origin& origin, Time now,
                             std::vector<Job>& taken) {
    const auto limit = std::min(room, static_cast<std::size_t>(std::max(want.limit, 0)));
    for (std::size_t count = 0; count < limit; ++count) {
        Row* first = first_ready(want, false);
        if (!first) return;
        Row& row = *first;
        take(row, session, origin, now);
        taken.push_back(view(row, part_payload | part_steps));
    }
}

Row* Database::first_solitary(std::span<const Want> wants) {
    for (const auto& want : wants)
        if (Row* first = want.limit > 0 ? first_ready(want, true) : nullptr) return first;
    return nullptr;
}

Result<Claimed> Database::claim(std::span<const Want> wants, SessionId session, ClaimMode mode, const Origin& origin,
                                Time now) {
    const auto known = sessions_.find(session);
    if (known == sessions_.end() || known->second.declared_dead)
        return Error{Errc::conflict, "session " + session.str() +
                                         (known == sessions_.end() ? " is not known" : " was declared dead") +
                                         "; begin a new one with a beat before claiming"};
    promote_due(now, origin);
    Claimed claimed;
    if (mode == ClaimMode::ordinary) {
        for (const auto& want : wants)
            take_ordinary(want, limits::batch_items - claimed.jobs.size(), session, origin, now, claimed.jobs);
    } else if (Row* row = first_solitary(wants)) {
        take(*row, session, origin, now);
        claimed.jobs.push_back(view(*row, part_payload | part_steps));
    }
    claimed.solitary_waiting = first_solitary(wants) != nullptr;
    claimed.next_due = next_due(now);
    return claimed;
}

void Database::keep_error(Row& row, std::string_view code, std::string_view message, Time now) {
    row.errors.push_back({now, row.job.attempt, std::string(code), std::string(core::cut(message, limits::message))});
    if (row.errors.size() > limits::errors) row.errors.erase(row.errors.begin());
}

SettleAnswer Database::settle(const Settlement& settlement, const Origin& origin, Time now) {
    SettleAnswer given;
    Row* row = find(settlement.job);
    if (!holds(row, settlement.fence)) {
        if (row) given.state = row->job.state;
        return given;
    }
    Verdict verdict = settlement.verdict;
    std::string_view code = settlement.code;
    std::string_view message = core::cut(settlement.message, limits::message);
    boost::json::value result;
    if (verdict == Verdict::completed && settlement.result.size() > limits::result) {
        verdict = Verdict::failed;
        code = "RESULT_TOO_LARGE";
        message = "the result of the job is larger than 1 MiB; keep it elsewhere and return where it is";
    } else if (verdict == Verdict::completed && !settlement.result.empty()) {
        if (auto parsed = core::parse_json(settlement.result)) {
            result = *std::move(parsed);
        } else {
            verdict = Verdict::failed;
            code = "INVALID_RESULT";
            message = "the result of the job is no JSON text";
        }
    }
    Job& job = row->job;
    const auto next = core::after_settle(verdict, job.cancel_requested_at.has_value());
    if (next.keep_error) keep_error(*row, code, message, now);
    leave(*row);
    job.state = next.state;
    if (next.give_attempt_back) --job.attempt;
    if (next.reset_crashes) job.crashes = 0;
    if (job.state == JobState::scheduled) {
        job.run_at = settlement.run_at;
        job.wait_reason = message;
    }
    if (job.state == JobState::completed) {
        row->result = std::move(result);
        if (settlement.forget_steps) row->steps.clear();
    }
    if (is_final(job.state)) job.finished_at = now;
    enter(*row);
    tell(*row, {.code = next.event, .ran = true, .error_code = code, .message = message}, origin, now);
    pending_hints_ |= is_final(job.state) ? hint_settled : hint_jobs | hint_settled;
    given.done = true;
    given.state = job.state;
    return given;
}

bool Database::keep_steps(Row& row, const Note& note) {
    auto steps = row.steps;
    if (note.forget_step)
        std::erase_if(steps, [&](const StepResult& step) { return step.name == *note.forget_step; });
    if (note.step_name) {
        auto value = core::parse_json(note.step_value.empty() ? "null" : note.step_value);
        if (!value || note.step_value.size() > limits::result) return false;
        const auto known = std::find_if(steps.begin(), steps.end(),
                                        [&](const StepResult& step) { return step.name == *note.step_name; });
        if (known != steps.end())
            known->value = *std::move(value);
        else if (steps.size() >= limits::steps)
            return false;
        else
            steps.push_back({*note.step_name, *std::move(value)});
    }
    row.steps = std::move(steps);
    return true;
}

NoteAnswer Database::note(const Note& note, const Origin& origin) {
    Row* row = note.job ? find(note.job) : nullptr;
    const bool fenced = note.fence != Fence::none || note.progress || note.step_name || note.forget_step;
    if (fenced && !holds(row, note.fence)) return NoteAnswer::conflict;
    if (row && fenced) {
        if ((note.forget_step || note.step_name) && !keep_steps(*row, note)) return NoteAnswer::refused;
        if (note.progress) row->job.progress = *note.progress;
    }
    for (Event event : note.events) {
        if (note.job) event.job = note.job;
        if (row && event.trace_id.empty()) event.trace_id = row->job.trace_id;
        append(std::move(event), origin);
    }
    return NoteAnswer::done;
}

void Database::lose(Row& row, Loss loss, const Origin& origin, Time now) {
    Job& job = row.job;
    const auto next = core::after_loss(job.crashes, job.cancel_requested_at.has_value(), loss);
    const auto message = core::loss_message(next.code);
    if (!next.code.empty()) keep_error(row, next.code, message, now);
    leave(row);
    job.state = next.state;
    job.crashes = next.crashes;
    if (next.give_attempt_back) --job.attempt;
    if (job.state == JobState::scheduled) job.run_at = later(now, next.delay);
    if (is_final(job.state)) job.finished_at = now;
    enter(row);
    tell(row, {.code = next.event, .ran = true, .error_code = next.code, .message = message}, origin, now);
    pending_hints_ |= is_final(job.state) ? hint_settled : hint_jobs | hint_settled;
}

Recovered Database::recover(SessionId session, std::uint64_t beat_seen, Loss loss, int limit, const Origin& origin,
                            Time now) {
    Recovered recovered;
    const auto known = sessions_.find(session);
    if (known == sessions_.end()) return recovered;
    SessionInfo& info = known->second;
    if (!info.declared_dead && info.beat != beat_seen) return recovered;
    recovered.mine = true;
    info.declared_dead = true;
    while (recovered.jobs.size() < static_cast<std::size_t>(limit)) {
        const auto running = running_.find(session);
        if (running == running_.end()) break;
        Row& row = *find(*running->second.begin());
        lose(row, loss, origin, now);
        recovered.jobs.push_back(view(row, 0));
    }
    recovered.more = running_.contains(session);
    return recovered;
}

}  // namespace jobruntime::memory
