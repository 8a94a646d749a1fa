// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include <jobruntime/store.hpp>

#include "sqlite/filter.hpp"
#include "sqlite/rows.hpp"
#include "sqlite/search.hpp"
#include "sqlite/writer.hpp"

namespace jobruntime::sqlite {

/// The reading verbs, inside one read transaction.

std::optional<RawJob> read_job(Connection& connection, Words& words, JobId id, unsigned parts);

struct RawPage {
    std::vector<RawJob> jobs;
    std::string next_cursor;
};
RawPage list_jobs(Connection& connection, Words& words, const JobFilter& filter, JobOrder order,
                  std::optional<std::int64_t> cursor, int limit, unsigned parts);

Counts count_jobs(Connection& connection, Words& words, const JobFilter& filter, CountBy by, Effort effort,
                  std::optional<std::int64_t> cursor);

/// An event as read, its fields still text.
struct RawEvent {
    Event event;
    core::EventCode code = core::EventCode::other;
    std::int64_t mark = 0;
    std::string kind;
    std::string queue;
    SessionId session;
    std::optional<Time> due;
    int number = 0;
    std::string data;
    std::string by;  ///< Of a change of state: who asked, as an object.
};
struct RawEvents {
    std::vector<RawEvent> events;
    EventId next = 0;
    bool truncated = false;
    EventId oldest = 0;
};
RawEvents read_events(Connection& connection, Words& words, std::optional<EventId> after, const EventFilter& filter,
                      int limit);
EventPage finish_events(RawEvents&& raw);

struct SessionRow {
    SessionInfo info;
    bool locked = false;  ///< Its process held the session's lock file.
    std::string facts;
};
std::vector<SessionRow> read_sessions(Connection& connection);
std::vector<Record> read_records(Connection& connection, std::string_view prefix);

}  // namespace jobruntime::sqlite
