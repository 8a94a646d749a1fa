// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/rows.hpp"

#include <array>

namespace jobruntime::mongo {
namespace {

Error nonsense(const View& doc, std::string_view what) {
    return {Errc::corrupt, "the document " + doc.text("_id").value_or("with an _id that is no text") +
                               " in jobrt_jobs makes no sense (" + std::string(what) +
                               "); mend or delete it by hand"};
}

Progress read_progress(const View& doc) {
    return {doc.real("percent"), doc.text_or("stage"), doc.text_or("message")};
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
    include(fields, {"rev", "eventCount", "untold", "outbox", "lastWrite", "lastSettle", "lastNote"});
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
    row.noted_by = doc.text_or("lastNote");
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

}  // namespace jobruntime::mongo
