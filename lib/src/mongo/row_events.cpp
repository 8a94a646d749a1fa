// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/failpoint.hpp"
#include "core/json.hpp"
#include "mongo/rows.hpp"

// Events as documents, and how a job's come into its outbox.
namespace jobruntime::mongo {

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
                                       .priority = job.priority,
                                       .by = telling.by});
    tell(row, std::move(event), origin);
}

}  // namespace jobruntime::mongo
