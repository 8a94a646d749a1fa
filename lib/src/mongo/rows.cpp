// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/rows.hpp"

#include <algorithm>
#include <array>

#include "core/failpoint.hpp"
#include "core/json.hpp"

namespace jobruntime::mongo {
namespace {

constexpr std::array all_states{JobState::scheduled, JobState::queued, JobState::running,
                                JobState::completed, JobState::failed, JobState::canceled};

bool holds_unique(const Job& job) { return !job.unique_key.empty() && job.unique_states.has(job.state); }

Error nonsense(const View& doc, std::string_view what) {
    return {Errc::corrupt, "the document " + doc.text("_id").value_or("with an _id that is no text") +
                               " in jobrt_jobs makes no sense (" + std::string(what) +
                               "); mend or delete it by hand"};
}

Doc progress_document(const Progress& progress) {
    Doc doc;
    if (progress.percent) doc.real("percent", *progress.percent);
    doc.text_if("stage", progress.stage).text_if("message", progress.message);
    return doc;
}

Progress read_progress(const View& doc) {
    return {doc.real("percent"), doc.text_or("stage"), doc.text_or("message")};
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

/// Small whole numbers that people may have edited.
bool small(const View& doc, std::string_view name, int& into) {
    const auto value = doc.number(name);
    if (!value || *value < 0 || *value > 1'000'000'000) return false;
    into = static_cast<int>(*value);
    return true;
}

void read_parts(const View& doc, unsigned parts, Job& job) {
    if (parts & part_result) job.result = doc.json("result").value_or(nullptr);
    if (parts & part_errors)
        if (const auto errors = doc.list("errors"))
            errors->each_doc([&](const View& error) {
                job.errors.push_back({error.time("at").value_or(Time{}),
                                      static_cast<int>(error.number("attempt").value_or(0)),
                                      error.text_or("code"), error.text_or("message")});
            });
    if (parts & part_steps)
        if (const auto steps = doc.list("steps"))
            steps->each_doc([&](const View& step) {
                job.steps.push_back({step.text_or("name"), step.json("value").value_or(nullptr)});
            });
}

void include(Doc& fields, std::initializer_list<std::string_view> names) {
    for (const auto name : names) fields.integer(name, 1);
}

constexpr std::array<std::string_view, 22> job_fields{"kind",           "queue",
                                                      "status",         "priority",
                                                      "runAt",          "attempt",
                                                      "maxAttempts",    "crashes",
                                                      "fence",          "workerId",
                                                      "uniqueKey",      "uniqueStates",
                                                      "idempotencyKey", "idempotencyHash",
                                                      "traceId",        "tags",
                                                      "progress",       "waitReason",
                                                      "createdAt",      "startedAt",
                                                      "finishedAt",     "cancelRequestedAt"};

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

Doc fields_of_parts(unsigned parts) {
    Doc fields;
    for (const auto name : job_fields) fields.integer(name, 1);
    if (parts & part_payload) include(fields, {"payload", "payloadText"});
    if (parts & part_result) include(fields, {"result", "resultText"});
    if (parts & part_errors) include(fields, {"errors"});
    if (parts & part_steps) include(fields, {"steps"});
    return fields;
}

Doc fields_of_row(unsigned parts) {
    auto fields = fields_of_parts(parts);
    include(fields, {"rev", "eventCount", "untold", "outbox", "lastWrite", "lastSettle"});
    if (!(parts & part_steps)) include(fields, {"steps.name", "steps.bytes"});
    return fields;
}

Result<Job> read_job(const View& doc, unsigned parts) {
    Job job;
    const auto id = JobId::parse(doc.text_or("_id"));
    if (!id || !*id) return nonsense(doc, "its _id is no job's");
    job.id = *id;
    const auto state = parse_job_state(doc.text_or("status"));
    if (!state) return nonsense(doc, "status");
    job.state = *state;
    job.kind = doc.text_or("kind");
    job.queue = doc.text_or("queue");
    if (job.kind.empty() || job.queue.empty()) return nonsense(doc, "kind or queue");
    const auto priority = doc.number("priority");
    if (!priority || *priority < INT16_MIN || *priority > INT16_MAX) return nonsense(doc, "priority");
    job.priority = static_cast<std::int16_t>(*priority);
    const auto run_at = doc.time("runAt");
    const auto created_at = doc.time("createdAt");
    if (!run_at || !created_at) return nonsense(doc, "runAt or createdAt");
    job.run_at = *run_at;
    job.created_at = *created_at;
    if (!small(doc, "attempt", job.attempt) || !small(doc, "maxAttempts", job.max_attempts) ||
        !small(doc, "crashes", job.crashes))
        return nonsense(doc, "attempt, maxAttempts or crashes");
    const auto fence = doc.number("fence");
    if (!fence || *fence < 0) return nonsense(doc, "fence");
    job.fence = static_cast<Fence>(*fence);
    if (doc.has("workerId")) {
        const auto session = SessionId::parse(doc.text_or("workerId"));
        if (!session) return nonsense(doc, "workerId");
        job.session = *session;
    }
    job.unique_key = doc.text_or("uniqueKey");
    if (const auto states = doc.list("uniqueStates"))
        states->each([&](const bson_iter_t& name) {
            if (const auto one = parse_job_state(View::as_text(name).value_or("")))
                job.unique_states = job.unique_states | StateSet{*one};
        });
    job.idempotency_key = doc.text_or("idempotencyKey");
    job.idempotency_hash = doc.text_or("idempotencyHash");
    job.trace_id = doc.text_or("traceId");
    if (const auto tags = doc.list("tags"))
        tags->each([&](const bson_iter_t& tag) {
            if (auto text = View::as_text(tag)) job.tags.push_back(*std::move(text));
        });
    if (const auto progress = doc.doc("progress")) job.progress = read_progress(*progress);
    job.wait_reason = doc.text_or("waitReason");
    job.started_at = doc.time("startedAt");
    job.finished_at = doc.time("finishedAt");
    job.cancel_requested_at = doc.time("cancelRequestedAt");
    if (is_final(job.state) != job.finished_at.has_value())
        return nonsense(doc, "finishedAt does not go with status");
    if (job.state == JobState::running && (!job.session || job.fence == Fence::none))
        return nonsense(doc, "it runs, and has no workerId or fence");
    if (parts & part_payload) {
        auto payload = doc.json("payload");
        if (!payload || !payload->is_object()) return nonsense(doc, "payload");
        job.payload = std::move(payload->get_object());
    }
    read_parts(doc, parts, job);
    return job;
}

Result<Row> read_row(const View& doc, unsigned parts) {
    Row row;
    row.gone = doc.text_or("status") == "deleted";
    if (row.gone) {
        const auto id = JobId::parse(doc.text_or("_id"));
        if (!id) return nonsense(doc, "its _id is no job's");
        row.job.id = *id;
    } else {
        auto job = read_job(doc, parts);
        if (!job) return std::move(job).error();
        row.job = *std::move(job);
    }
    const auto rev = doc.number("rev");
    const auto told = doc.number("eventCount");
    if (!rev || !told) return nonsense(doc, "rev or eventCount");
    row.rev = *rev;
    row.told = *told;
    row.untold = doc.flag("untold").value_or(false);
    row.last_write = doc.text_or("lastWrite");
    if (const auto settled = doc.doc("lastSettle")) {
        row.settled_by = settled->text_or("by");
        row.settled_fence = static_cast<Fence>(settled->number("fence").value_or(0));
    }
    row.whole_steps = parts & part_steps;
    if (const auto steps = doc.list("steps"))
        steps->each_doc([&](const View& step) {
            row.step_names.push_back(step.text_or("name"));
            row.step_sizes.push_back(step.number("bytes").value_or(0));
        });
    if (const auto outbox = doc.list("outbox"))
        outbox->each_doc([&](const View& event) {
            const auto number = event.number("n").value_or(0);
            Doc copy;
            event.each([&](const bson_iter_t& field) {
                if (std::string_view(bson_iter_key(&field)) != "n") copy.same(bson_iter_key(&field), field);
            });
            ++row.waiting_events;
            row.waiting_bytes += copy.size();
            row.outbox.push_back(
                {row.job.id, number, row.job.id.str() + "/" + std::to_string(number), std::move(copy)});
        });
    return row;
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

Doc event_document(const Event& event) {
    Doc doc;
    doc.time("at", event.at).text("name", event.name).text("level", to_string(event.level));
    doc.text_if("traceId", event.trace_id).text_if("source", event.source).text_if("role", event.role);
    if (core::flaw(event.fields)) {
        auto mended = event.fields;
        core::mend(mended);
        doc.json("fields", mended);
    } else if (!event.fields.empty()) {
        doc.json("fields", event.fields);
    }
    return doc;
}

std::optional<Event> read_event(const View& doc) {
    const auto at = doc.time("at");
    const auto name = doc.text("name");
    const auto level = parse_level(doc.text_or("level"));
    if (!at || !name || !level) return std::nullopt;
    Event event;
    event.at = *at;
    event.name = *name;
    event.level = *level;
    if (const auto job = JobId::parse(doc.text_or("jobId"))) event.job = *job;
    event.trace_id = doc.text_or("traceId");
    event.source = doc.text_or("source");
    event.role = doc.text_or("role");
    if (auto fields = doc.json("fields"); fields && fields->is_object())
        event.fields = std::move(fields->get_object());
    return event;
}

void tell(Row& row, Event event, const Origin& origin) {
    if (event.source.empty()) {
        event.source = origin.process;
        event.role = origin.role;
    }
    if (event.trace_id.empty()) event.trace_id = row.job.trace_id;
    row.changed = true;
    if (JOBRT_FAILPOINT("control.drop_event")) return;
    ++row.told;
    row.outbox.push_back(
        {row.job.id, row.told, row.job.id.str() + "/" + std::to_string(row.told), event_document(event)});
}

void tell(Row& row, const Telling& telling, const Origin& origin, Time now) {
    const Job& job = row.job;
    Event event;
    event.at = now;
    event.name = core::event_name(telling.code);
    event.level = core::event_level(telling.code);
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
                                       .priority = job.priority});
    tell(row, std::move(event), origin);
}

}  // namespace jobruntime::mongo
