// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/failpoint.hpp"
#include "core/json.hpp"
#include "sqlite/verbs.hpp"

namespace jobruntime::sqlite {
namespace {

/// The settlement as it counts: a result that cannot be kept ends the job another way.
struct Ending {
    Verdict verdict;
    std::string_view result;
    std::string_view code;
    std::string_view message;
};

Ending ending_of(const Settlement& settlement, bool no_json) {
    const auto message = core::cut(settlement.message, limits::message);
    if (settlement.verdict != Verdict::completed) return {settlement.verdict, {}, settlement.code, message};
    if (settlement.result.size() > limits::result) {
        return {Verdict::failed, {}, "RESULT_TOO_LARGE",
                "the result is larger than a store keeps; store it elsewhere and return its address"};
    }
    if (no_json) return {Verdict::failed, {}, "INVALID_RESULT", "the result of the job is no JSON text"};
    if (settlement.result == "null") return {Verdict::completed, {}, {}, {}};
    return {Verdict::completed, settlement.result, {}, {}};
}

/// The common end, with the fewest columns touched.
void complete(Writer& writer, const JobRow& job, std::string_view result, bool forget_steps, Time now) {
    auto side = job.side;
    if (forget_steps && (side & side_steps)) {
        writer.forget_steps(job.seq);
        side &= ~side_steps;
    }
    if (result.size() > inline_bytes) {
        writer.sql("INSERT OR REPLACE INTO jobrt_result(job, text) VALUES(?, ?)").run(job.seq, result);
        side |= side_result;
        result = {};
    }
    writer
        .sql("UPDATE jobrt_job SET state = 3, crashes = 0, finished_at = ?, side = ?, counted = ?, result = ? "
             "WHERE seq = ?")
        .run(now, side, counts(job.has_key, job.unique_states, JobState::completed) ? 1 : 0, or_null(result), job.seq);
    writer.move_tally(job, JobState::completed);
}

void end_otherwise(Writer& writer, JobRow job, const Ending& ending, const core::AfterSettle& after, Time run_at,
                   Time now) {
    auto to = placement_of(job);
    to.state = after.state;
    if (after.give_attempt_back && !JOBRT_FAILPOINT("control.charge_release")) to.attempt = std::max(0, job.attempt - 1);
    if (after.reset_crashes) to.crashes = 0;
    if (after.state == JobState::scheduled) {
        to.run_at = run_at;
        to.wait_reason = ending.message;
    }
    if (is_final(after.state)) to.finished_at = now;
    const bool has_error = after.keep_error || (after.state == JobState::canceled && !ending.code.empty());
    if (has_error) {
        writer.append_error(job, now, job.attempt, ending.code, ending.message);
        writer.sql("UPDATE jobrt_job SET error_code = ?, side = ? WHERE seq = ?").run(ending.code, job.side, job.seq);
    }
    place(writer, job, to);
    EventRow event{.code = after.event, .job = job.seq, .state = to.state, .attempt = to.attempt, .queue = job.queue,
                   .session = job.session};
    if (to.state == JobState::scheduled) event.due = to.run_at;
    event.message = ending.message;
    if (after.event != core::EventCode::snoozed) event.error_code = ending.code;
    writer.event(event, now);
    if (!is_final(to.state)) writer.hint(hint_jobs);
}

SettleAnswer settle_one(Writer& writer, const Settlement& settlement, bool no_json, Time now) {
    const auto job = writer.job(settlement.job);
    const bool holds = job && job->state == JobState::running && job->fence == static_cast<std::uint64_t>(settlement.fence);
    if (!holds && !(job && JOBRT_FAILPOINT("control.ignore_fences")))
        return {false, job ? job->state : JobState::completed};
    const auto ending = ending_of(settlement, no_json);
    const auto after = core::after_settle(ending.verdict, job->cancel_asked);
    if (after.state == JobState::completed) {
        complete(writer, *job, ending.result, settlement.forget_steps, now);
        writer.event({.code = after.event, .job = job->seq, .state = after.state, .attempt = job->attempt,
                      .queue = job->queue, .session = job->session},
                     now);
    } else {
        end_otherwise(writer, *job, ending, after, settlement.run_at, now);
    }
    writer.hint(hint_settled);
    return {true, after.state};
}

void write_progress(Writer& writer, JobRow& job, const Progress& progress) {
    writer.sql("INSERT OR REPLACE INTO jobrt_progress(job, percent, stage, message) VALUES(?, ?, ?, ?)")
        .run(job.seq, progress.percent, std::string_view(progress.stage), std::string_view(progress.message));
    if (job.side & side_progress) return;
    job.side |= side_progress;
    writer.sql("UPDATE jobrt_job SET side = ? WHERE seq = ?").run(job.side, job.seq);
}

/// Empty stands for null.
std::string_view step_text(const Note& note) { return note.step_value.empty() ? "null" : std::string_view(note.step_value); }

bool step_fits(Writer& writer, const JobRow& job, const Note& note) {
    if (note.step_value.size() > limits::result || !core::is_json(step_text(note))) return false;
    Query row = writer.sql("SELECT count(*), sum(name = ?2) FROM jobrt_step WHERE job = ?1").query(job.seq, *note.step_name);
    row.next();
    const bool known = row.number(1) > 0;
    return known || row.number(0) < static_cast<std::int64_t>(limits::steps);
}

void write_step(Writer& writer, JobRow& job, const Note& note) {
    std::optional<Writer::Wiping> wiping;
    if (job.side & side_steps) wiping.emplace(writer);  // One of that name is replaced.
    writer.sql("INSERT INTO jobrt_step(job, name, n, value) VALUES(?, ?, ?, ?) "
               "ON CONFLICT(job, name) DO UPDATE SET value = excluded.value")
        .run(job.seq, *note.step_name, writer.next_number(), step_text(note));
    if (job.side & side_steps) return;
    job.side |= side_steps;
    writer.sql("UPDATE jobrt_job SET side = ? WHERE seq = ?").run(job.side, job.seq);
}

/// The job an event speaks of, when its note is about none. One that is not here is remembered as one that is gone.
std::int64_t job_of(Writer& writer, const Event& event) {
    if (!event.job) return 0;
    if (const auto job = writer.job(event.job)) return job->seq;
    const auto event_number = [&] { return writer.last_number() + 1; };
    {
        Query row = writer.sql("SELECT job FROM jobrt_gone WHERE id = ?").query(bytes(event.job));
        if (row.next()) {
            const auto known = row.number(0);
            writer.sql("UPDATE jobrt_gone SET last = ? WHERE job = ?").run(event_number(), known);
            return known;
        }
    }
    const auto made = static_cast<std::int64_t>(writer.next_number());
    writer.sql("INSERT INTO jobrt_gone(job, last, id, kind, trace) VALUES(?, ?, ?, 0, ?)")
        .run(made, event_number(), bytes(event.job), or_null(event.trace_id));
    return made;
}

NoteAnswer note_one(Writer& writer, const Note& note) {
    const bool facts = note.progress || note.step_name || note.forget_step;
    if (!note.job) {
        if (facts) return NoteAnswer::conflict;
        for (const auto& event : note.events) writer.event(event, job_of(writer, event), event.trace_id);
        return NoteAnswer::done;
    }
    auto job = writer.job(note.job);
    if (!job) return NoteAnswer::conflict;
    if (note.fence == Fence::none) {
        if (facts) return NoteAnswer::conflict;
    } else if (job->state != JobState::running || job->fence != static_cast<std::uint64_t>(note.fence)) {
        return NoteAnswer::conflict;
    }
    if (note.step_name && !step_fits(writer, *job, note)) return NoteAnswer::refused;
    if (note.progress) write_progress(writer, *job, *note.progress);
    if (note.step_name) write_step(writer, *job, note);
    if (note.forget_step) writer.forget_steps(job->seq, *note.forget_step);
    // Its trace id is the job's where it has none, which reading finds by itself.
    for (const auto& event : note.events) writer.event(event, job->seq, event.trace_id);
    return NoteAnswer::done;
}

}  // namespace

SettlePlan::SettlePlan(std::span<const Settlement> given) : settlements(given) {
    for (std::size_t i = 0; i < given.size(); ++i) {
        const auto& result = given[i].result;
        if (given[i].verdict != Verdict::completed || result.empty() || result.size() > limits::result) continue;
        if (core::is_json(result)) continue;
        no_json.resize(given.size());
        no_json[i] = true;
    }
}

void settle_jobs(Writer& writer, const SettlePlan& plan, Time now, std::vector<SettleAnswer>& answers) {
    answers.clear();
    answers.reserve(plan.settlements.size());
    for (std::size_t i = 0; i < plan.settlements.size(); ++i)
        answers.push_back(settle_one(writer, plan.settlements[i], !plan.no_json.empty() && plan.no_json[i], now));
}

void note_facts(Writer& writer, std::span<const Note> notes, std::vector<NoteAnswer>& answers) {
    answers.clear();
    answers.reserve(notes.size());
    for (const auto& note : notes) answers.push_back(note_one(writer, note));
}

Placement placement_of(const JobRow& job) {
    return {job.state, job.queue, job.priority, job.run_at, job.attempt, job.max_attempts, job.crashes, {}, {}};
}

void place(Writer& writer, const JobRow& job, const Placement& to) {
    writer
        .sql("UPDATE jobrt_job SET state = ?, queue = ?, priority = ?, run_at = ?, attempt = ?, max_attempts = ?, "
             "crashes = ?, finished_at = ?, wait_reason = ?, counted = ? WHERE seq = ?")
        .run(static_cast<int>(to.state), to.queue, to.priority, to.run_at, to.attempt, to.max_attempts, to.crashes,
             to.finished_at, or_null(to.wait_reason), counts(job.has_key, job.unique_states, to.state) ? 1 : 0,
             job.seq);
    writer.tally(job.queue, job.kind, job.state, -1);
    writer.tally(to.queue, job.kind, to.state, +1);
}

}  // namespace jobruntime::sqlite
