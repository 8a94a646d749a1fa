// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <array>

#include "core/failpoint.hpp"
#include "mongo/rows.hpp"

// Jobs as the server is to have them: new ones, and what a change makes of one.
namespace jobruntime::mongo {
namespace {

constexpr std::array all_states{JobState::scheduled, JobState::queued, JobState::running,
                                JobState::completed, JobState::failed, JobState::canceled};

bool holds_unique(const Job& job) { return !job.unique_key.empty() && job.unique_states.has(job.state); }

Doc progress_document(const Progress& progress) {
    Doc doc;
    if (progress.percent) doc.real("percent", *progress.percent);
    doc.text_if("stage", progress.stage).text_if("message", progress.message);
    return doc;
}

Doc error_document(const JobError& error) {
    Doc doc;
    doc.time("at", error.at)
        .integer("attempt", error.attempt)
        .text("code", error.code)
        .text("message", error.message);
    return doc;
}

Doc step_document(std::string_view name, const boost::json::value& value, std::int64_t size) {
    Doc doc;
    doc.text("name", name).json("value", value).number("bytes", size);
    return doc;
}

Doc texts(const std::vector<std::string>& list) {
    List made;
    for (const auto& text : list) made.text(text);
    return Doc(made.made().raw());
}

}  // namespace

Doc names_of(StateSet states) {
    List names;
    for (const auto state : all_states)
        if (states.has(state)) names.text(to_string(state));
    return Doc(names.made().raw());
}

std::int64_t stored_size(const boost::json::value& value) {
    return static_cast<std::int64_t>(Doc().json("value", value).size());
}

Doc new_document(const Row& row, std::string_view token) {
    const Job& job = row.job;
    Doc doc;
    doc.text("_id", job.id.str())
        .text("kind", job.kind)
        .text("queue", job.queue)
        .text("status", to_string(job.state));
    doc.integer("priority", job.priority).time("runAt", job.run_at).integer("attempt", job.attempt);
    doc.integer("maxAttempts", job.max_attempts).integer("crashes", job.crashes);
    doc.flag("alone", job.crashes >= core::solitary_crashes)
        .number("fence", static_cast<std::int64_t>(job.fence));
    if (job.session) doc.text("workerId", job.session.str());
    doc.json("payload", job.payload);
    if (!job.result.is_null()) doc.json("result", job.result);
    if (!job.unique_key.empty())
        doc.text("uniqueKey", job.unique_key).list("uniqueStates", names_of(job.unique_states));
    if (holds_unique(job) && !JOBRT_FAILPOINT("control.ignore_unique"))
        doc.text("uniqueHeld", job.unique_key);
    doc.text_if("idempotencyKey", job.idempotency_key).text_if("idempotencyHash", job.idempotency_hash);
    doc.text_if("traceId", job.trace_id);
    if (!job.tags.empty()) doc.list("tags", texts(job.tags));
    if (job.progress != Progress{}) doc.doc("progress", progress_document(job.progress));
    doc.text_if("waitReason", job.wait_reason).time("createdAt", job.created_at);
    doc.time_if("startedAt", job.started_at).time_if("finishedAt", job.finished_at);
    doc.time_if("cancelRequestedAt", job.cancel_requested_at);
    List errors, steps, outbox;
    for (const auto& error : job.errors) errors.doc(error_document(error));
    for (const auto& step : job.steps)
        steps.doc(step_document(step.name, step.value, stored_size(step.value)));
    for (const auto& entry : row.outbox)
        outbox.doc(std::move(Doc().number("n", entry.number).all_of(entry.event)));
    doc.list("errors", errors.made()).list("steps", steps.made());
    if (!job.errors.empty()) doc.text("errorCode", job.errors.back().code);
    doc.number("rev", 1).text("lastWrite", token).number("eventCount", row.told);
    doc.list("outbox", outbox.made()).flag("untold", true);
    return doc;
}

Doc filter_of(const Row& before) {
    Doc filter;
    filter.text("_id", before.job.id.str());
    if (JOBRT_FAILPOINT("control.ignore_revisions")) return filter;
    filter.number("rev", before.rev);
    // The revision says it all; these two say it to people who read the server's log, and keep the promise
    // should a hand have put the revision back.
    if (!before.gone)
        filter.text("status", to_string(before.job.state))
            .number("fence", static_cast<std::int64_t>(before.job.fence));
    return filter;
}

namespace {

/// Collects $set and $unset.
struct Difference {
    Doc set, unset;

    void time(std::string_view name, const std::optional<Time>& before, const std::optional<Time>& after) {
        if (before == after) return;
        if (after)
            set.time(name, *after);
        else
            unset.integer(name, 1);
    }
    void text(std::string_view name, const std::string& before, const std::string& after) {
        if (before == after) return;
        if (after.empty())
            unset.integer(name, 1);
        else
            set.text(name, after);
    }
    void integer(std::string_view name, int before, int after) {
        if (before != after) set.integer(name, after);
    }
};

void job_difference(const Job& before, const Job& after, Difference& found) {
    if (before.state != after.state) found.set.text("status", to_string(after.state));
    found.text("queue", before.queue, after.queue);
    found.integer("priority", before.priority, after.priority);
    found.time("runAt", before.run_at, after.run_at);
    found.integer("attempt", before.attempt, after.attempt);
    found.integer("maxAttempts", before.max_attempts, after.max_attempts);
    found.integer("crashes", before.crashes, after.crashes);
    const bool alone = after.crashes >= core::solitary_crashes;
    if (alone != (before.crashes >= core::solitary_crashes)) found.set.flag("alone", alone);
    if (before.fence != after.fence) found.set.number("fence", static_cast<std::int64_t>(after.fence));
    if (before.session != after.session) found.set.text("workerId", after.session.str());
    if (before.tags != after.tags) found.set.list("tags", texts(after.tags));
    if (before.progress != after.progress) found.set.doc("progress", progress_document(after.progress));
    found.text("waitReason", before.wait_reason, after.wait_reason);
    found.time("startedAt", before.started_at, after.started_at);
    found.time("finishedAt", before.finished_at, after.finished_at);
    found.time("cancelRequestedAt", before.cancel_requested_at, after.cancel_requested_at);
    if (holds_unique(before) && !holds_unique(after)) found.unset.integer("uniqueHeld", 1);
    if (!holds_unique(before) && holds_unique(after)) found.set.text("uniqueHeld", after.unique_key);
}

void parts_difference(const Row& row, Difference& found) {
    if (row.payload) {
        found.set.json("payload", *row.payload);
        // The other of the two ways in which it may be there.
        found.unset.integer(View(found.set).has("payload") ? "payloadText" : "payload", 1);
    }
    if (row.result && !row.result->is_null()) found.set.json("result", *row.result);
    if (row.forget_result) found.unset.integer("result", 1).integer("resultText", 1);
    if (row.rewrite_steps) {
        List steps;
        for (const auto& step : row.job.steps)
            steps.doc(step_document(step.name, step.value, stored_size(step.value)));
        found.set.list("steps", steps.made());
    } else {
        for (const auto& [place, value] : row.new_steps)
            found.set.doc("steps." + std::to_string(place),
                          step_document(row.step_names[place], value, row.step_sizes[place]));
    }
    if (row.error) found.set.text("errorCode", row.error->code);
    if (!row.claim_token.empty()) found.set.text("claimToken", row.claim_token);
    if (!row.note_token.empty()) found.set.text("lastNote", row.note_token);
    if (!row.settle_token.empty())
        found.set.doc("lastSettle", Doc()
                                        .number("fence", static_cast<std::int64_t>(row.settled_fence))
                                        .text("outcome", to_string(row.job.state))
                                        .text("by", row.settle_token));
}

}  // namespace

Doc update_of(const Row& before, const Row& row, std::string_view token) {
    Difference found;
    if (row.gone) {
        found.set.text("status", "deleted");
        found.unset.integer("uniqueHeld", 1).integer("idempotencyKey", 1);
    } else {
        job_difference(before.job, row.job, found);
        parts_difference(row, found);
    }
    found.set.text("lastWrite", token);
    Doc push;
    List events;
    for (const auto& entry : row.outbox)
        if (entry.number > before.told)
            events.doc(std::move(Doc().number("n", entry.number).all_of(entry.event)));
    if (events.size() > 0) {
        found.set.number("eventCount", row.told).flag("untold", true);
        push.doc("outbox", Doc().list("$each", events.made()));
    }
    if (row.error)
        push.doc("errors", Doc()
                               .list("$each", List().doc(error_document(*row.error)).made())
                               .integer("$slice", -static_cast<std::int32_t>(limits::errors)));
    Doc update;
    update.doc("$set", found.set).doc("$inc", Doc().number("rev", 1));
    if (!found.unset.empty()) update.doc("$unset", found.unset);
    if (!push.empty()) update.doc("$push", push);
    return update;
}

}  // namespace jobruntime::mongo
