// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "core/failpoint.hpp"
#include "core/ids.hpp"
#include "core/json.hpp"
#include "core/state_event.hpp"
#include "sqlite/filter.hpp"
#include "sqlite/reads.hpp"

namespace jobruntime::sqlite {
namespace {

/// The last events of a trace are looked for at so many of its jobs, the newest: each has one, so they fill a page. Those
/// after an id are looked for at all of them.
std::int64_t jobs_looked_at() { return JOBRT_FAILPOINT("sqlite.short_looks") ? 50 : 2'000; }

constexpr int event_codes = static_cast<int>(core::last_event_code) + 1;

/// The stored codes for which `wanted` holds, as a list for IN.
template <class Wanted>
std::string codes_where(Wanted wanted) {
    std::string list;
    for (int code = 1; code < event_codes; ++code)
        if (wanted(static_cast<core::EventCode>(code)))
            list.append(list.empty() ? "" : ",").append(std::to_string(code));
    return list;
}

/// The numbers of the events of these jobs: those that name them, and those of their creation.
std::string events_of(const std::string& jobs) {
    return "SELECT id FROM jobrt_event INDEXED BY jobrt_event_job WHERE job IN (" + jobs + ") UNION " + jobs;
}

/// The newest of what an index lists.
std::string newest(const std::string& listed, std::string_view number, const std::string& most) {
    return "SELECT * FROM (" + listed + " ORDER BY " + std::string(number) + " DESC LIMIT " + most + ")";
}

/// Events that carry the trace themselves, and those of its jobs that carry none. Whether they do is asked only of those that
/// are wanted: a look at every event of a large trace takes several times as long as its number in an index.
std::string of_trace(const EventFilter& filter, bool last) {
    std::string own = "SELECT id FROM jobrt_event INDEXED BY jobrt_event_trace WHERE trace = ?3";
    std::string jobs = "SELECT seq FROM jobrt_job WHERE trace = ?3";
    std::string gone = "SELECT job FROM jobrt_gone WHERE trace = ?3";
    if (last) {
        const auto most = std::to_string(jobs_looked_at());
        const bool more_terms = filter.job || filter.level || !filter.name_prefix.empty();
        own = newest(own, "id", more_terms ? most : "?6");
        jobs = newest(jobs, "seq", most);
        gone = newest(gone, "job", most);
    }
    jobs += " UNION ALL " + gone;
    if (const auto self = own_trace_term(filter.trace_id); !self.empty()) jobs += " UNION ALL SELECT seq FROM jobrt_job WHERE " + self;
    return " AND (+e.trace IS NULL OR +e.trace = ?3) AND e.id IN (" + own + " UNION " + events_of(jobs) + ")";
}

/// Terms over jobrt_event e, beside the position: ?2 is the job's id, ?3 the trace, ?4 and ?5 the names' bounds, ?6 how many.
std::string terms_of(const EventFilter& filter, bool last) {
    std::string terms;
    if (filter.job) {
        terms += " AND e.id IN (" + events_of("SELECT seq FROM jobrt_job WHERE id = ?2 UNION ALL "
                                                  "SELECT job FROM jobrt_gone WHERE id = ?2") + ")";
    }
    if (!filter.trace_id.empty()) terms += of_trace(filter, last);
    if (filter.level) {
        auto codes = codes_where([&](auto code) { return core::event_level(code) == *filter.level; });
        codes.append(codes.empty() ? "" : ",").append(std::to_string(static_cast<int>(*filter.level) * 32));
        terms += " AND e.code IN (" + codes + ")";
    }
    if (!filter.name_prefix.empty()) {
        const auto codes =
            codes_where([&](auto code) { return core::event_name(code).substr(0, filter.name_prefix.size()) == filter.name_prefix; });
        terms += " AND (e.code IN (" + codes + ") OR (e.code % 32 = 0 AND e.name >= ?4 AND e.name < ?5))";
    }
    return terms;
}

/// The index of a level that few events have, when nothing else says where to look. Nothing has one for `info`: of that the
/// log is full.
std::string_view index_of(const EventFilter& filter) {
    if (!filter.level || filter.job || !filter.trace_id.empty()) return {};
    switch (*filter.level) {
        case Level::warn: return " INDEXED BY jobrt_event_warn";
        case Level::error: return " INDEXED BY jobrt_event_error";
        default: return {};
    }
}

RawEvent read_event(Words& words, Query& row) {
    RawEvent raw;
    Event& event = raw.event;
    event.id = static_cast<EventId>(row.number(0));
    event.at = from_ms(row.number(1));
    const auto stored = row.number(2);
    raw.code = static_cast<core::EventCode>(stored % 32);
    event.level = raw.code == core::EventCode::other ? static_cast<Level>(stored / 32) : core::event_level(raw.code);
    const std::string_view source = words.text(row.number(3));
    const auto split = source.find('\x1f');
    event.source = source.substr(0, split);
    if (split != source.npos) event.role = source.substr(split + 1);
    raw.mark = row.number(4);
    if (!row.null(5)) raw.queue = words.text(row.number(5));
    if (!row.null(6)) {
        const auto& session = words.text(row.number(6));
        if (session.size() == raw.session.bytes.size())
            std::memcpy(raw.session.bytes.data(), session.data(), session.size());
    }
    raw.due = row.time(7);
    raw.number = static_cast<int>(row.number(8));
    raw.data = row.text(9);
    if (raw.code == core::EventCode::other) {
        event.name = row.text(10);
    } else {
        event.name = core::event_name(raw.code);
        raw.by = row.text(10);
    }
    event.job = row.id<JobId>(12);
    if (!row.null(11))
        event.trace_id = row.text(11);
    else if (row.number(15) & side_own_trace)
        event.trace_id = core::own_trace_id(event.job);
    else
        event.trace_id = row.text(14);
    if (!row.null(13)) raw.kind = words.text(row.number(13));
    return raw;
}

Event finish_event(RawEvent&& raw) {
    Event event = std::move(raw.event);
    if (raw.code == core::EventCode::other) {
        if (auto fields = core::parse_json_object(raw.data)) event.fields = std::move(*fields);
        return event;
    }
    const std::string_view data = raw.data;
    const auto line = data.find('\n');
    core::StateEvent facts;
    facts.code = raw.code;
    facts.kind = raw.kind;
    facts.queue = raw.queue;
    facts.state = static_cast<JobState>(raw.mark % 8);
    facts.attempt = static_cast<int>(raw.mark / 8);
    facts.session = raw.session;
    facts.error_code = data.substr(0, line);
    if (line != data.npos) facts.message = data.substr(line + 1);
    facts.run_at = raw.due.value_or(Time{});
    facts.crashes = facts.priority = raw.number;
    event.fields = core::event_fields(facts);
    if (raw.by.empty()) return event;
    if (auto by = core::parse_json_object(raw.by))
        for (auto& member : *by) event.fields[member.key()] = std::move(member.value());
    return event;
}

EventId number_of(Connection& connection, const char* sql) {
    Query row = connection.cached(sql).query();
    return row.next() ? static_cast<EventId>(row.number(0)) : 0;
}

}  // namespace

RawEvents read_events(Connection& connection, Words& words, std::optional<EventId> after, const EventFilter& filter,
                      int limit) {
    RawEvents page;
    const auto pruned_through = number_of(connection, "SELECT pruned_through FROM jobrt_state");
    page.oldest = number_of(connection, "SELECT id FROM jobrt_event ORDER BY id LIMIT 1");
    const auto newest =
        std::max(pruned_through, number_of(connection, "SELECT id FROM jobrt_event ORDER BY id DESC LIMIT 1"));
    EventId from = after.value_or(0);
    if (after && (*after < pruned_through || *after > newest)) {
        page.truncated = true;
        from = 0;
    }
    const auto sql = std::string("SELECT e.id, e.at, e.code, e.source, e.mark, e.queue, e.session, e.due, e.n, e.data, "
                                 "e.name, e.trace, coalesce(j.id, g.id), coalesce(j.kind, g.kind), "
                                 "coalesce(j.trace, g.trace), j.side FROM jobrt_event e") +
                     std::string(index_of(filter)) +
                     std::string(" LEFT JOIN jobrt_job j ON j.seq = coalesce(e.job, e.id) "
                                 "LEFT JOIN jobrt_gone g ON g.job = coalesce(e.job, e.id) "
                                 "WHERE e.id > ?1") +
                     terms_of(filter, !after) + (after ? " ORDER BY e.id LIMIT ?6" : " ORDER BY e.id DESC LIMIT ?6");
    auto statement = connection.prepare(sql);
    statement.bind(1, from);
    if (filter.job) statement.bind(2, bytes(filter.job));
    if (!filter.trace_id.empty()) statement.bind(3, std::string_view(filter.trace_id));
    const auto past_prefix = filter.name_prefix + "\xff";
    if (!filter.name_prefix.empty()) {
        statement.bind(4, std::string_view(filter.name_prefix));
        statement.bind(5, std::string_view(past_prefix));
    }
    statement.bind(6, limit);
    Query row = statement.query();
    while (row.next()) page.events.push_back(read_event(words, row));
    if (!after) std::reverse(page.events.begin(), page.events.end());
    const bool full = after && page.events.size() == static_cast<std::size_t>(limit);
    page.next = full ? page.events.back().event.id : newest;
    return page;
}

EventPage finish_events(RawEvents&& raw) {
    EventPage page;
    page.events.reserve(raw.events.size());
    for (auto& event : raw.events) page.events.push_back(finish_event(std::move(event)));
    page.next = raw.next;
    page.truncated = raw.truncated;
    page.oldest = raw.oldest;
    return page;
}

}  // namespace jobruntime::sqlite
