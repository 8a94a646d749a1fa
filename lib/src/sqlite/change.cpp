// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "sqlite/verbs.hpp"

namespace jobruntime::sqlite {
namespace {

using How = ChangeAnswer::How;

/// Another job that holds this job's unique key now.
std::optional<JobId> other_holder(Writer& writer, const JobRow& job) {
    Query row = writer.sql("SELECT id FROM jobrt_job WHERE counted = 1 AND seq <> ?1 AND "
                           "unique_key = (SELECT unique_key FROM jobrt_job WHERE seq = ?1)")
                    .query(job.seq);
    if (!row.next()) return std::nullopt;
    return row.id<JobId>(0);
}

void ask_to_cancel(Writer& writer, const JobRow& job, const Actor& by, Time now) {
    if (job.cancel_asked) return;
    writer.sql("UPDATE jobrt_job SET cancel_at = ? WHERE seq = ?").run(now, job.seq);
    writer.event({.code = core::EventCode::cancel_requested, .job = job.seq, .state = job.state, .attempt = job.attempt,
                  .queue = job.queue, .session = job.session, .by = &by},
                 now);
    writer.hint(hint_cancel);
}

void forget_steps(Writer& writer, JobRow& job) {
    if (!(job.side & side_steps)) return;
    writer.forget_steps(job.seq);
    job.side &= ~side_steps;
    writer.sql("UPDATE jobrt_job SET side = ? WHERE seq = ?").run(job.side, job.seq);
}

/// What an operator's retry of an ended job takes back besides its state.
void forget_ending(Writer& writer, JobRow& job) {
    if (job.side & side_result) writer.sql("DELETE FROM jobrt_result WHERE job = ?").run(job.seq);
    if (job.side & side_progress) writer.sql("DELETE FROM jobrt_progress WHERE job = ?").run(job.seq);
    job.side &= ~(side_result | side_progress);
    writer.sql("UPDATE jobrt_job SET cancel_at = NULL, result = NULL, side = ? WHERE seq = ?").run(job.side, job.seq);
}

}  // namespace

ChangeAnswer change_job(Writer& writer, JobRow job, const Change& change, const Seen* seen, Time now) {
    const auto after = core::after_change(change.action, job.state);
    ChangeAnswer answer{job.id, after.how, after.state, {}};
    if (!core::is_as_seen(seen, Fence{job.fence}, job.state)) return {job.id, How::invalid_state, job.state, {}};
    if (after.how == How::invalid_state) return answer;
    if (after.how == How::requested) {
        ask_to_cancel(writer, job, change.by, now);
        return answer;
    }
    if (!job.counted && counts(job.has_key, job.unique_states, after.state)) {
        if (const auto other = other_holder(writer, job)) return {job.id, How::conflict, job.state, *other};
    }
    auto to = placement_of(job);
    to.state = after.state;
    EventRow event{.code = after.event, .job = job.seq, .state = after.state, .queue = job.queue, .by = &change.by};
    switch (change.action) {
        case Action::cancel: to.finished_at = now; break;
        case Action::retry:
            to.run_at = now;
            if (is_final(job.state)) {
                to.max_attempts = std::max(job.max_attempts, job.attempt + 1);
                to.crashes = 0;
                forget_ending(writer, job);
            }
            if (change.fresh) forget_steps(writer, job);
            break;
        case Action::promote: to.run_at = now; break;
        case Action::move: event.queue = to.queue = writer.words().intern(change.queue); break;
        case Action::reprioritise: event.number = to.priority = change.priority; break;
        case Action::remove: break;
    }
    event.attempt = to.attempt;
    if (after.state == JobState::scheduled) event.due = to.run_at;
    if (change.action == Action::cancel) event.session = job.session;
    if (change.action == Action::remove) {
        writer.event(event, now);
        writer.erase(job);
        writer.hint(hint_jobs);
        return answer;
    }
    // A job that stays scheduled keeps the reason why it waits.
    const auto reason = [&]() -> std::string {
        if (to.state != JobState::scheduled) return {};
        Query row = writer.sql("SELECT wait_reason FROM jobrt_job WHERE seq = ?").query(job.seq);
        return row.next() ? std::string(row.text(0)) : std::string();
    }();
    to.wait_reason = reason;
    place(writer, job, to);
    writer.event(event, now);
    writer.hint(hint_jobs | (is_final(to.state) ? hint_settled : 0u));
    return answer;
}

}  // namespace jobruntime::sqlite
