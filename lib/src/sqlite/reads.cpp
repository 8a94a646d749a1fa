// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/reads.hpp"

#include <algorithm>
#include <map>
#include <tuple>

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

struct Cells {
    std::vector<Counted> cells;
    std::optional<std::int64_t> next{};  ///< Go on behind this one; nullopt = that was all.
};

/// The earliest run_at of each cell that is scheduled, in one pass by that time, which ends once each has one.
void find_oldest_scheduled(Connection& connection, std::vector<Counted>& cells) {
    std::map<std::pair<std::int64_t, std::int64_t>, Counted*> wanted;
    for (auto& cell : cells)
        if (cell.state == JobState::scheduled) wanted[{cell.queue, cell.kind}] = &cell;
    Query row = connection
                    .cached("SELECT run_at, queue, kind FROM jobrt_job INDEXED BY jobrt_job_scheduled WHERE state = 0 "
                            "ORDER BY run_at")
                    .query();
    while (!wanted.empty() && row.next()) {
        const auto found = wanted.find({row.number(1), row.number(2)});
        if (found == wanted.end()) continue;
        found->second->oldest = row.time(0);
        wanted.erase(found);
    }
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
    for (auto& cell : cells)
        if (cell.state == JobState::queued) cell.oldest = oldest_queued(connection, cell.queue, cell.kind);
    find_oldest_scheduled(connection, cells);
    return cells;
}

Cells from_rows(Connection& connection, const JobFilter& filter, const Where& where, Effort effort,
                std::optional<std::int64_t> cursor) {
    std::map<std::tuple<std::int64_t, std::int64_t, JobState>, Counted> cells;
    const auto see = [&](std::int64_t queue, std::int64_t kind, JobState state, Time run_at) {
        auto& cell = cells.try_emplace({queue, kind, state}, Counted{queue, kind, state, 0, {}}).first->second;
        ++cell.count;
        if (state == JobState::scheduled || state == JobState::queued) keep_earliest(cell.oldest, run_at);
    };
    Cells found;
    found.next = each_match(connection, filter, where, effort, cursor, see);
    for (auto& [key, cell] : cells) found.cells.push_back(cell);
    return found;
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
    const auto found = matching(connection, filter, where_of(filter, words), order, cursor, limit);
    for (const auto seq : found.seqs) {
        Query row = connection.cached("SELECT " JOBRT_JOB_COLUMNS " FROM jobrt_job WHERE seq = ?").query(seq);
        if (row.next()) page.jobs.push_back(read_raw(connection, words, row, parts));
    }
    if (found.next) page.next_cursor = write_cursor(order == JobOrder::newest_first ? 'n' : 'o', *found.next);
    return page;
}

Counts count_jobs(Connection& connection, Words& words, const JobFilter& filter, CountBy by, Effort effort,
                  std::optional<std::int64_t> cursor) {
    const auto where = where_of(filter, words);
    Cells found;
    // The tally knows of no place to begin at; with it there is no cursor but one of another question.
    if (!where.none && where.plain && !cursor) found.cells = from_tally(connection, filter, where);
    else if (!where.none) found = from_rows(connection, filter, where, effort, cursor);
    std::map<std::pair<std::string, int>, CountRow> rows;
    if (by == CountBy::nothing) rows[{"", -1}] = {};
    for (const auto& cell : found.cells) {
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
    Counts counts;
    if (found.next) counts.next_cursor = write_cursor('k', *found.next);
    for (auto& [key, row] : rows) counts.rows.push_back(std::move(row));
    return counts;
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
