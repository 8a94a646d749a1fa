// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/bounds.hpp"
#include "core/failpoint.hpp"
#include "core/ids.hpp"
#include "core/json.hpp"
#include "sqlite/verbs.hpp"

namespace jobruntime::sqlite {
namespace {

using Inserted = InsertAnswer::How;

void write_tags(Writer& writer, const NewJob& job, std::int64_t seq) {
    for (const auto& tag : job.tags) writer.sql("INSERT OR IGNORE INTO jobrt_tag(tag, job) VALUES(?, ?)").run(tag, seq);
}

void write_payload(Writer& writer, const NewJob& job, std::int64_t seq) {
    writer.sql("INSERT OR REPLACE INTO jobrt_payload(job, text) VALUES(?, ?)").run(seq, job.payload);
}

std::optional<std::string_view> inline_payload(const NewJob& job) {
    if (job.payload.size() > inline_bytes || job.payload == "{}") return std::nullopt;
    return job.payload;
}

void replace(Writer& writer, const JobRow& old, const NewJob& job, std::string_view tags, Time now) {
    const auto state = job.run_at > now ? JobState::scheduled : JobState::queued;
    if (old.side & side_tags) {
        writer
            .sql("DELETE FROM jobrt_tag WHERE job = ?1 AND tag IN "
                 "(SELECT value FROM json_each((SELECT tags FROM jobrt_job WHERE seq = ?1)))")
            .run(old.seq);
    }
    auto side = old.side & ~(side_payload | side_tags);
    if (job.payload.size() > inline_bytes) {
        write_payload(writer, job, old.seq);
        side |= side_payload;
    } else if (old.side & side_payload) {
        writer.sql("DELETE FROM jobrt_payload WHERE job = ?").run(old.seq);
    }
    if (!job.tags.empty()) {
        write_tags(writer, job, old.seq);
        side |= side_tags;
    }
    const auto queue = writer.words().intern(job.queue);
    writer
        .sql("UPDATE jobrt_job SET state = ?, queue = ?, priority = ?, run_at = ?, max_attempts = ?, side = ?, tags = ?, "
             "payload = ?, wait_reason = CASE WHEN ?1 = 0 THEN wait_reason END WHERE seq = ?")
        .run(static_cast<int>(state), queue, static_cast<int>(job.priority), job.run_at, job.max_attempts, side,
             or_null(tags), inline_payload(job), old.seq);
    writer.tally(old.queue, old.kind, old.state, -1);
    writer.tally(queue, old.kind, state, +1);
    EventRow event{.code = core::EventCode::replaced, .job = old.seq, .state = state, .attempt = old.attempt,
                   .queue = queue};
    if (state == JobState::scheduled) event.due = job.run_at;
    event.by = &job.by;
    writer.event(event, now);
    writer.hint(hint_jobs);
}

/// The row was refused by one of the unique indexes: says by which, and does what that asks for.
InsertAnswer clash(Writer& writer, const NewJob& job, std::string_view tags, Time now) {
    if (const auto same = writer.job(job.id)) return {Inserted::inserted, job.id, same->state, {}, {}};
    if (!job.idempotency_key.empty()) {
        Query row = writer.sql("SELECT id, state, idem_hash FROM jobrt_job WHERE idem_key = ?").query(job.idempotency_key);
        if (row.next()) {
            return {Inserted::repeated, row.id<JobId>(0), static_cast<JobState>(row.number(1)), std::string(row.text(2)), {}};
        }
    }
    std::optional<std::int64_t> holder;
    {
        Query row = writer.sql("SELECT seq FROM jobrt_job WHERE unique_key = ? AND counted = 1").query(job.unique_key);
        if (row.next()) holder = row.number(0);
    }
    const auto old = holder ? writer.job(*holder) : std::nullopt;
    if (!old) throw Failure{{Errc::internal, "a job was refused by no index that is known; please report it"}};
    const bool waits = old->state == JobState::scheduled || old->state == JobState::queued;
    if (job.on_conflict == OnConflict::replace && waits && writer.words().text(old->kind) == job.kind) {
        replace(writer, *old, job, tags, now);
        return {Inserted::replaced, old->id, job.run_at > now ? JobState::scheduled : JobState::queued, {}, {}};
    }
    return {Inserted::existing, old->id, old->state, {}, {}};
}

InsertAnswer insert_one(Writer& writer, const NewJob& job, std::string_view tags, Time now) {
    const auto state = job.run_at > now ? JobState::scheduled : JobState::queued;
    const auto queue = writer.words().intern(job.queue);
    const auto kind = writer.words().intern(job.kind);
    const bool outside = job.payload.size() > inline_bytes;
    std::int64_t side = 0;
    if (outside) side |= side_payload;
    if (!tags.empty()) side |= side_tags;
    const bool own_trace = job.trace_id == core::own_trace_id(job.id);
    if (own_trace) side |= side_own_trace;
    const auto seq = static_cast<std::int64_t>(writer.last_number() + 1);
    const auto states = job.unique_key.empty() ? job.unique_states : job.unique_states | live_states;
    writer
        .sql("INSERT INTO jobrt_job(seq, id, state, queue, kind, priority, run_at, attempt, max_attempts, crashes, fence, "
             "side, counted, unique_states, created_at, trace, unique_key, idem_key, idem_hash, tags, payload) "
             "VALUES(?, ?, ?, ?, ?, ?, ?, 0, ?, 0, 0, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
        .run(seq, bytes(job.id), static_cast<int>(state), queue, kind, static_cast<int>(job.priority), job.run_at,
             job.max_attempts, side,
             job.unique_key.empty() || JOBRT_FAILPOINT("control.ignore_unique") ? 0 : 1, static_cast<int>(states.bits), now,
             or_null(own_trace ? std::string_view() : job.trace_id), or_null(job.unique_key), or_null(job.idempotency_key), or_null(job.idempotency_hash), or_null(tags),
             inline_payload(job));
    if (writer.connection().changes() == 0) return clash(writer, job, tags, now);
    writer.next_number();
    if (outside) write_payload(writer, job, seq);
    if (!tags.empty()) write_tags(writer, job, seq);
    EventRow event{.code = core::EventCode::created, .job = seq, .state = state, .attempt = 0, .queue = queue};
    if (state == JobState::scheduled) event.due = job.run_at;
    event.by = &job.by;
    writer.event(event, now, static_cast<std::uint64_t>(seq));
    writer.tally(queue, kind, state, +1);
    writer.hint(hint_jobs);
    return {Inserted::inserted, job.id, state, {}, {}};
}

}  // namespace

InsertPlan::InsertPlan(std::span<const NewJob> given) : jobs(given) {
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        if (auto wrong = core::refusal(jobs[i])) {
            refused.resize(jobs.size());
            refused[i] = std::move(wrong);
            continue;
        }
        if (jobs[i].tags.empty()) continue;
        tags.resize(jobs.size());
        tags[i] = core::tags_to_text(jobs[i].tags);
    }
}

void insert_jobs(Writer& writer, const InsertPlan& plan, Time now, std::vector<InsertAnswer>& answers) {
    answers.clear();
    answers.reserve(plan.jobs.size());
    for (std::size_t i = 0; i < plan.jobs.size(); ++i) {
        if (!plan.refused.empty() && plan.refused[i]) {
            answers.push_back({Inserted::inserted, plan.jobs[i].id, JobState::queued, {}, plan.refused[i]});
            continue;
        }
        answers.push_back(insert_one(writer, plan.jobs[i], plan.tags.empty() ? std::string_view() : plan.tags[i], now));
    }
}

}  // namespace jobruntime::sqlite
