// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/filter.hpp"

#include <charconv>

#include "mongo/rows.hpp"

namespace jobruntime::mongo {
namespace {

void one_of(Doc& doc, std::string_view name, const std::vector<std::string>& values) {
    if (values.empty()) return;
    List list;
    for (const auto& value : values) list.text(value);
    doc.doc(name, Doc().list("$in", list.made()));
}

constexpr StateSet every_state{JobState::scheduled, JobState::queued, JobState::running,
                               JobState::completed, JobState::failed, JobState::canceled};
/// A letter that says whose cursor it is.
constexpr char cursor_mark = 'g';

}  // namespace

Doc named_by_text() { return std::move(Doc().text("$type", "string")); }

Doc filter_of(const JobFilter& filter) {
    Doc doc;
    doc.doc("_id", named_by_text());
    doc.doc("status", Doc().list("$in", names_of(filter.states.empty() ? every_state : filter.states)));
    one_of(doc, "kind", filter.kinds);
    one_of(doc, "queue", filter.queues);
    doc.text_if("tags", filter.tag)
        .text_if("traceId", filter.trace_id)
        .text_if("uniqueKey", filter.unique_key);
    doc.text_if("idempotencyKey", filter.idempotency_key).text_if("errorCode", filter.error_code);
    if (filter.session) doc.text("workerId", filter.session.str());
    if (filter.created_before || filter.created_after) {
        Doc range;
        if (filter.created_before) range.time("$lt", *filter.created_before);
        if (filter.created_after) range.time("$gte", *filter.created_after);
        doc.doc("createdAt", range);
    }
    return doc;
}

Result<std::optional<Position>> read_cursor(std::string_view cursor) {
    if (cursor.empty()) return std::optional<Position>{};
    if (cursor.front() == cursor_mark) {
        std::int64_t time = 0;
        const char* end = cursor.data() + cursor.size();
        const auto read = std::from_chars(cursor.data() + 1, end, time);
        if (read.ec == std::errc{} && end - read.ptr > 1 && *read.ptr == '.')
            return std::optional(Position{Time(Duration(time)), std::string(read.ptr + 1, end)});
    }
    return Error{Errc::invalid_argument, "this is no cursor of this store; begin again without one"};
}

std::string write_cursor(const Position& last) {
    return cursor_mark + std::to_string(last.created_at.time_since_epoch().count()) + "." + last.id;
}

void continue_after(Doc& filter, const Position& place, JobOrder order) {
    const std::string_view beyond = order == JobOrder::oldest_first ? "$gt" : "$lt";
    List any;
    any.doc(Doc().doc("createdAt", Doc().time(beyond, place.created_at)));
    any.doc(Doc().time("createdAt", place.created_at).doc("_id", Doc().text(beyond, place.id)));
    filter.list("$or", any.made());
}

Doc creation_order(JobOrder order) {
    const int way = order == JobOrder::oldest_first ? 1 : -1;
    return std::move(Doc().integer("createdAt", way).integer("_id", way));
}

}  // namespace jobruntime::mongo
