// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/reads.hpp"

#include <algorithm>
#include <map>

namespace jobruntime::sqlite {
namespace {

void keep_earliest(std::optional<Time>& oldest, std::optional<Time> other) {
    if (other && (!oldest || *other < *oldest)) oldest = other;
}

/// The earliest run_at of one queue and kind, without reading all its jobs: a step per priority in use.
std::optional<Time> oldest_queued(Connection& connection, std::int64_t queue, std::int64_t kind) {
    std::optional<Time> oldest;
    std::int64_t priority = -1'000'000;
    while (true) {
        Query row = connection
                        .cached("SELECT priority, run_at FROM jobrt_job INDEXED BY jobrt_job_queued WHERE state = 1 "
                                "AND crashes < 2 AND queue = ? AND kind = ? AND priority > ? "
                                "ORDER BY priority, run_at LIMIT 1")
                        .query(queue, kind, priority);
        if (!row.next()) break;
        priority = row.number(0);
        keep_earliest(oldest, from_ms(row.number(1)));
    }
    Query row = connection
                    .cached("SELECT min(run_at) FROM jobrt_job INDEXED BY jobrt_job_solitary WHERE state = 1 AND "
                            "crashes >= 2 AND queue = ? AND kind = ?")
                    .query(queue, kind);
    if (row.next()) keep_earliest(oldest, row.time(0));
    return oldest;
}

std::optional<Time> oldest_scheduled(Connection& connection, std::int64_t queue, std::int64_t kind) {
    Query row = connection
                    .cached("SELECT run_at FROM jobrt_job INDEXED BY jobrt_job_scheduled WHERE state = 0 AND queue = ? "
                            "AND kind = ? ORDER BY run_at LIMIT 1")
                    .query(queue, kind);
    return row.next() ? row.time(0) : std::nullopt;
}

struct Counted {
    std::int64_t queue;
    std::int64_t kind;
    JobState state;
    std::uint64_t count;
    std::optional<Time> oldest;
};

bool among(const std::vector<std::int64_t>& numbers, std::int64_t number) {
    return numbers.empty() || std::find(numbers.begin(), numbers.end(), number) != numbers.end();
}

std::vector<Counted> from_tally(Connection& connection, const JobFilter& filter, const Where& where) {
    std::vector<Counted> cells;
    {
        Query row = connection.cached("SELECT queue, kind, state, n FROM jobrt_tally WHERE n > 0").query();
        while (row.next()) {
            const auto state = static_cast<JobState>(row.number(2));
            if (!filter.states.empty() && !filter.states.has(state)) continue;
            if (!among(where.queues, row.number(0)) || !among(where.kinds, row.number(1))) continue;
            cells.push_back({row.number(0), row.number(1), state, static_cast<std::uint64_t>(row.number(3)), {}});
        }
    }
    for (auto& cell : cells) {
        if (cell.state == JobState::queued) cell.oldest = oldest_queued(connection, cell.queue, cell.kind);
        if (cell.state == JobState::scheduled) cell.oldest = oldest_scheduled(connection, cell.queue, cell.kind);
    }
    return cells;
}

std::vector<Counted> from_rows(Connection& connection, const Where& where) {
    std::vector<Counted> cells;
    auto statement = connection.prepare(
        "SELECT queue, kind, state, count(*), min(CASE WHEN state < 2 THEN run_at END) FROM jobrt_job WHERE " + where.sql +
        " GROUP BY queue, kind, state");
    where.bind(statement, 1);
    Query row = statement.query();
    while (row.next()) {
        cells.push_back({row.number(0), row.number(1), static_cast<JobState>(row.number(2)),
                         static_cast<std::uint64_t>(row.number(3)), row.time(4)});
    }
    return cells;
}

}  // namespace

std::optional<RawJob> read_job(Connection& connection, Words& words, JobId id, unsigned parts) {
    Query row = connection.cached("SELECT " JOBRT_JOB_COLUMNS " FROM jobrt_job WHERE id = ?").query(bytes(id));
    if (!row.next()) return std::nullopt;
    return read_raw(connection, words, row, parts);
}

RawPage list_jobs(Connection& connection, Words& words, const JobFilter& filter, JobOrder order,
                  std::optional<std::int64_t> cursor, int limit, unsigned parts) {
    RawPage page;
    const char what = order == JobOrder::newest_first ? 'n' : 'o';
    auto seqs = matching(connection, filter, where_of(filter, words), order, cursor, limit + 1);
    const bool more = seqs.size() > static_cast<std::size_t>(limit);
    if (more) seqs.pop_back();
    for (const auto seq : seqs) {
        Query row = connection.cached("SELECT " JOBRT_JOB_COLUMNS " FROM jobrt_job WHERE seq = ?").query(seq);
        if (row.next()) page.jobs.push_back(read_raw(connection, words, row, parts));
    }
    if (more) page.next_cursor = write_cursor(what, seqs.back());
    return page;
}

std::vector<CountRow> count_jobs(Connection& connection, Words& words, const JobFilter& filter, CountBy by) {
    const auto where = where_of(filter, words);
    std::vector<Counted> cells;
    if (!where.none) cells = where.plain ? from_tally(connection, filter, where) : from_rows(connection, where);
    std::map<std::pair<std::string, int>, CountRow> rows;
    if (by == CountBy::nothing) rows[{"", -1}] = {};
    for (const auto& cell : cells) {
        std::string key;
        if (by == CountBy::kind) key = words.text(cell.kind);
        if (by == CountBy::queue || by == CountBy::queue_and_state) key = words.text(cell.queue);
        const bool by_state = by == CountBy::state || by == CountBy::queue_and_state;
        auto& row = rows[{key, by_state ? static_cast<int>(cell.state) : -1}];
        row.key = key;
        if (by_state) row.state = cell.state;
        row.count += cell.count;
        keep_earliest(row.oldest, cell.oldest);
    }
    std::vector<CountRow> list;
    for (auto& [key, row] : rows) list.push_back(std::move(row));
    return list;
}

std::vector<SessionRow> read_sessions(Connection& connection) {
    std::vector<SessionRow> rows;
    Query row =
        connection.cached("SELECT id, beat, started_at, beat_at, dead, locked, facts FROM jobrt_session ORDER BY started_at, id")
            .query();
    while (row.next()) {
        SessionRow one;
        one.info.id = row.id<SessionId>(0);
        one.info.beat = static_cast<std::uint64_t>(row.number(1));
        one.info.started_at = from_ms(row.number(2));
        one.info.beat_at = from_ms(row.number(3));
        one.info.declared_dead = row.number(4) != 0;
        one.locked = row.number(5) != 0;
        one.facts = row.text(6);
        rows.push_back(std::move(one));
    }
    return rows;
}

std::vector<Record> read_records(Connection& connection, std::string_view prefix) {
    std::vector<Record> records;
    Query row = connection.cached("SELECT key, value, version FROM jobrt_record WHERE key >= ? ORDER BY key").query(prefix);
    while (row.next()) {
        const auto key = row.text(0);
        if (key.substr(0, prefix.size()) != prefix) break;
        records.push_back({std::string(key), std::string(row.text(1)), static_cast<std::uint64_t>(row.number(2))});
    }
    return records;
}

}  // namespace jobruntime::sqlite
