// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/bounds.hpp"
#include "core/ids.hpp"
#include "core/json.hpp"
#include "sqlite/verbs.hpp"

namespace jobruntime::sqlite {
namespace {

using Inserted = InsertAnswer::How;

/// What is in the way of this job, or that it is here already.
std::optional<InsertAnswer> met(Writer& writer, const Job& job, bool counted) {
    if (const auto same = writer.job(job.id)) return InsertAnswer{Inserted::inserted, job.id, same->state, {}, {}};
    if (!job.idempotency_key.empty()) {
        Query row = writer.sql("SELECT id, state, idem_hash FROM jobrt_job WHERE idem_key = ?")
                        .query(job.idempotency_key);
        if (row.next())
            return InsertAnswer{Inserted::repeated,
                                row.id<JobId>(0),
                                static_cast<JobState>(row.number(1)),
                                std::string(row.text(2)),
                                {}};
    }
    if (!counted) return std::nullopt;
    Query row = writer.sql("SELECT id, state FROM jobrt_job WHERE unique_key = ? AND counted = 1")
                    .query(job.unique_key);
    if (!row.next()) return std::nullopt;
    return InsertAnswer{Inserted::existing, row.id<JobId>(0), static_cast<JobState>(row.number(1)), {}, {}};
}

std::int64_t side_of(const Job& job, const RestorePlan::Texts& texts) {
    std::int64_t side = 0;
    if (texts.payload.size() > inline_bytes) side |= side_payload;
    if (texts.result.size() > inline_bytes) side |= side_result;
    if (!job.errors.empty()) side |= side_errors;
    if (!job.steps.empty()) side |= side_steps;
    if (!job.tags.empty()) side |= side_tags;
    if (job.progress != Progress{}) side |= side_progress;
    if (job.trace_id == core::own_trace_id(job.id)) side |= side_own_trace;
    return side;
}

void write_sides(Writer& writer, std::int64_t seq, std::int64_t side, const Job& job,
                 const RestorePlan::Texts& texts) {
    if (side & side_payload)
        writer.sql("INSERT INTO jobrt_payload(job, text) VALUES(?, ?)").run(seq, texts.payload);
    if (side & side_result)
        writer.sql("INSERT INTO jobrt_result(job, text) VALUES(?, ?)").run(seq, texts.result);
    for (const auto& tag : job.tags)
        writer.sql("INSERT OR IGNORE INTO jobrt_tag(tag, job) VALUES(?, ?)").run(tag, seq);
    std::int64_t n = 0;
    for (const auto& error : job.errors)
        writer.sql("INSERT INTO jobrt_error(job, n, at, attempt, code, message) VALUES(?, ?, ?, ?, ?, ?)")
            .run(seq, ++n, error.at, error.attempt, error.code, core::cut(error.message, limits::message));
    for (std::size_t i = 0; i < job.steps.size(); ++i)
        writer.sql("INSERT OR REPLACE INTO jobrt_step(job, name, n, value) VALUES(?, ?, ?, ?)")
            .run(seq, job.steps[i].name, writer.next_number(), texts.steps[i]);
    if (side & side_progress)
        writer.sql("INSERT INTO jobrt_progress(job, percent, stage, message) VALUES(?, ?, ?, ?)")
            .run(seq, job.progress.percent, job.progress.stage, job.progress.message);
}

std::optional<std::string_view> inlined(std::string_view text, std::string_view nothing) {
    if (text.size() > inline_bytes || text == nothing) return std::nullopt;
    return text;
}

InsertAnswer restore_one(Writer& writer, const Job& job, const RestorePlan::Texts& texts, Time now) {
    const bool has_key = !job.unique_key.empty();
    const bool counted = counts(has_key, job.unique_states, job.state);
    if (auto answer = met(writer, job, counted)) return *std::move(answer);
    // The numbers that fences are made of go on above the one it comes with.
    writer.pass_number(static_cast<std::uint64_t>(job.fence));
    const auto queue = writer.words().intern(job.queue);
    const auto kind = writer.words().intern(job.kind);
    std::optional<std::int64_t> session;
    if (job.session)
        session = writer.words().intern(
            {reinterpret_cast<const char*>(job.session.bytes.data()), job.session.bytes.size()}, true);
    const auto side = side_of(job, texts);
    const auto states = has_key ? job.unique_states | live_states : job.unique_states;
    const auto code = job.errors.empty() ? std::string_view() : std::string_view(job.errors.back().code);
    const auto seq = static_cast<std::int64_t>(writer.next_number());
    writer
        .sql(
            "INSERT INTO jobrt_job(seq, id, state, queue, kind, priority, run_at, attempt, max_attempts, "
            "crashes, fence, "
            "session, side, counted, unique_states, created_at, started_at, finished_at, cancel_at, "
            "error_code, "
            "wait_reason, trace, unique_key, idem_key, idem_hash, tags, payload, result) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)")
        .run(seq, bytes(job.id), static_cast<int>(job.state), queue, kind, static_cast<int>(job.priority),
             job.run_at, job.attempt, job.max_attempts, job.crashes, static_cast<std::uint64_t>(job.fence),
             session, side, counted ? 1 : 0, static_cast<int>(states.bits), job.created_at, job.started_at,
             job.finished_at, job.cancel_requested_at, or_null(code), or_null(job.wait_reason),
             or_null(side & side_own_trace ? std::string_view() : job.trace_id), or_null(job.unique_key),
             or_null(job.idempotency_key), or_null(job.idempotency_hash), or_null(texts.tags),
             inlined(texts.payload, "{}"), inlined(texts.result, "null"));
    write_sides(writer, seq, side, job, texts);
    EventRow event{.code = core::EventCode::restored,
                   .job = seq,
                   .state = job.state,
                   .attempt = job.attempt,
                   .queue = queue};
    if (job.state == JobState::scheduled) event.due = job.run_at;
    // Steps have numbers of their own, so the event's is not the job's.
    writer.event(event, now);
    writer.tally(queue, kind, job.state, +1);
    writer.hint(hint_jobs);
    return {Inserted::inserted, job.id, job.state, {}, {}};
}

}  // namespace

RestorePlan::RestorePlan(std::span<const Job> given) : jobs(given) {
    texts.reserve(jobs.size());
    for (const auto& job : jobs) {
        Texts text;
        text.refused = core::refusal(job);
        if (!text.refused) {
            text.payload = core::to_text(job.payload);
            text.result = core::to_text(job.result);
            if (!job.tags.empty()) text.tags = core::tags_to_text(job.tags);
            for (const auto& step : job.steps) text.steps.push_back(core::to_text(step.value));
        }
        texts.push_back(std::move(text));
    }
}

void restore_jobs(Writer& writer, const RestorePlan& plan, Time now, std::vector<InsertAnswer>& answers) {
    answers.clear();
    answers.reserve(plan.jobs.size());
    for (std::size_t i = 0; i < plan.jobs.size(); ++i) {
        const auto& job = plan.jobs[i];
        if (plan.texts[i].refused)
            answers.push_back({Inserted::inserted, job.id, job.state, {}, plan.texts[i].refused});
        else
            answers.push_back(restore_one(writer, job, plan.texts[i], now));
    }
}

}  // namespace jobruntime::sqlite
