// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/search.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "core/failpoint.hpp"

namespace jobruntime::sqlite {
namespace {

using Key = Where::Key;

/// How much one call looks at. With rows in the operating system's cache one in the order of the table costs half a
/// microsecond, one that lies anywhere five, an entry of an index a fifth of one.
struct Bounds {
    std::int64_t first = 10'000;      ///< Rows of the table, while there is another way.
    std::int64_t rows = 30'000;       ///< Rows of the table.
    std::int64_t scattered = 10'000;  ///< Rows found by an index.
    std::int64_t few = 20'000;        ///< So few matches are gathered at once: that is quicker than looking at rows.
    std::int64_t entries = 400'000;   ///< Gathered from the indexes.
};
Bounds bounds() {
    if (JOBRT_FAILPOINT("sqlite.short_looks")) return {20, 50, 50, 10, 100};
    return {};
}

struct FoundCell {
    std::int64_t queue, kind;
    JobState state;
    std::int64_t count;
};

/// What the tally has of these states, queues and kinds.
std::vector<FoundCell> cells_of(Connection& connection, const JobFilter& filter, const Where& where) {
    std::vector<FoundCell> cells;
    Query row = connection.cached("SELECT queue, kind, state, n FROM jobrt_tally WHERE n > 0").query();
    const auto wanted = [](const std::vector<std::int64_t>& numbers, std::int64_t number) {
        return numbers.empty() || std::find(numbers.begin(), numbers.end(), number) != numbers.end();
    };
    while (row.next()) {
        const auto state = static_cast<JobState>(row.number(2));
        if (!filter.states.empty() && !filter.states.has(state)) continue;
        if (!wanted(where.queues, row.number(0)) || !wanted(where.kinds, row.number(1))) continue;
        cells.push_back({row.number(0), row.number(1), state, row.number(3)});
    }
    return cells;
}

/// The seqs of these cells by the partial indexes, joined by UNION ALL.
std::string gather_sql(const std::vector<FoundCell>& cells, const Where& where) {
    std::array<std::vector<std::int64_t>, job_state_count> queues;
    for (const auto& cell : cells) {
        auto& known = queues.at(static_cast<std::size_t>(cell.state));
        if (std::find(known.begin(), known.end(), cell.queue) == known.end()) known.push_back(cell.queue);
    }
    const auto kinds = where.kinds.empty() ? std::string() : " AND kind IN (" + list_of(where.kinds) + ")";
    std::string sql;
    for (std::size_t state = 0; state < job_state_count; ++state) {
        if (queues[state].empty()) continue;
        // Where the queue stands before the kind in an index, a kind is found by naming the queues too.
        const bool named = !where.kinds.empty() || !where.queues.empty();
        const auto names = named ? " AND queue IN (" + list_of(queues[state]) + ")" + kinds : std::string();
        const auto from = [&](std::string_view index, std::string_view term) {
            if (!sql.empty()) sql.append(" UNION ALL ");
            sql.append("SELECT seq FROM jobrt_job INDEXED BY ").append(index);
            sql.append(" WHERE ").append(term).append(names);
        };
        switch (static_cast<JobState>(state)) {
            case JobState::scheduled: from("jobrt_job_scheduled", "state = 0"); break;
            case JobState::queued:
                from("jobrt_job_queued", "state = 1 AND crashes < 2");
                from("jobrt_job_solitary", "state = 1 AND crashes >= 2");
                break;
            case JobState::running: from("jobrt_job_running", "state = 2"); break;
            default: from("jobrt_job_finished", "state >= 3 AND state = " + std::to_string(state)); break;
        }
    }
    return sql;
}

/// A way to the rows in the order of creation: tables and first terms, and the column that has the order. Several are
/// merged. The rest of the terms is looked at row by row.
struct Way {
    struct Source {
        std::string from;
        std::string_view order = "seq";
        std::optional<std::string> value;
    };
    std::vector<Source> sources;
    Key key = Key::none;    ///< Its term need not be looked at.
    bool together = false;  ///< Its rows lie as they come, and not anywhere in the table.
};

Way by_table(const JobFilter& filter) {
    for (const auto state : {JobState::completed, JobState::failed, JobState::canceled})
        if (filter.states == StateSet{state})
            return {{{"jobrt_job INDEXED BY jobrt_job_final WHERE state >= 3 AND state = " +
                          std::to_string(static_cast<int>(state)), "seq", {}}}, Key::none};
    return {{{"jobrt_job NOT INDEXED WHERE 1", "seq", {}}}, Key::none, true};
}

Way by_key(const JobFilter& filter) {
    if (!filter.idempotency_key.empty())
        return {{{"jobrt_job INDEXED BY jobrt_job_idem WHERE idem_key = ?", "seq", filter.idempotency_key}},
                Key::idempotency};
    if (!filter.unique_key.empty())
        return {{{"jobrt_job INDEXED BY jobrt_job_unique WHERE unique_key = ?", "seq", filter.unique_key}}, Key::unique};
    if (!filter.trace_id.empty()) {
        Way way{{{"jobrt_job INDEXED BY jobrt_job_trace WHERE trace = ?", "seq", filter.trace_id}}, Key::trace};
        if (auto own = own_trace_term(filter.trace_id); !own.empty())
            way.sources.push_back({"jobrt_job INDEXED BY jobrt_job_id WHERE " + own, "seq", {}});
        return way;
    }
    if (!filter.error_code.empty())
        return {{{"jobrt_job INDEXED BY jobrt_job_error WHERE error_code = ?", "seq", filter.error_code}}, Key::error};
    return {{{"jobrt_tag CROSS JOIN jobrt_job ON seq = job WHERE tag = ?", "job", filter.tag}}, Key::tag};
}

bool has_key(const JobFilter& filter) {
    return !filter.tag.empty() || !filter.trace_id.empty() || !filter.unique_key.empty() ||
           !filter.idempotency_key.empty() || !filter.error_code.empty();
}

Way by_gathering(const std::vector<FoundCell>& cells, const Where& where) {
    return {{{"jobrt_job WHERE seq IN (" + gather_sql(cells, where) + ")", "seq", {}}}, Key::none};
}

/// All rows of a way in order, with whether the rest of the filter fits (column 1) and these columns behind it.
Statement prepare(Connection& connection, const Way& way, const Where& where, JobOrder order,
                  std::optional<std::int64_t> cursor, std::string_view columns) {
    const bool newest = order == JobOrder::newest_first;
    std::string sql;
    for (const auto& source : way.sources) {
        if (!sql.empty()) sql += " UNION ALL ";
        sql.append("SELECT ").append(source.order).append(", ").append(where.sql(way.key)).append(columns);
        sql.append(" FROM ").append(source.from);
        if (cursor) sql.append(" AND ").append(source.order).append(newest ? " < ?" : " > ?");
    }
    sql += newest ? " ORDER BY 1 DESC" : " ORDER BY 1";
    auto statement = connection.prepare(sql);
    int at = 1;
    for (const auto& source : way.sources) {
        at = where.bind(statement, at, way.key);
        if (source.value) statement.bind(at++, std::string_view(*source.value));
        if (cursor) statement.bind(at++, *cursor);
    }
    return statement;
}

/// Looks at up to `most` rows of a way. One that matches is looked for behind the last, so that no page comes after it
/// for nothing.
Found walk(Connection& connection, const Way& way, const Where& where, JobOrder order, std::optional<std::int64_t> cursor,
           std::size_t limit, std::int64_t most) {
    Found found;
    auto statement = prepare(connection, way, where, order, cursor, "");
    Query row = statement.query();
    std::int64_t last = 0;
    for (std::int64_t looked = 0; row.next(); ++looked) {
        if (looked == most) {
            found.next = last;
            return found;
        }
        last = row.number(0);
        if (row.number(1) == 0) continue;
        if (found.seqs.size() == limit) {
            found.next = found.seqs.back();
            return found;
        }
        found.seqs.push_back(last);
    }
    return found;
}

/// The first of all that the tally counts here, by the indexes alone.
Found gather(Connection& connection, const std::vector<FoundCell>& cells, const Where& where, JobOrder order,
             std::optional<std::int64_t> cursor, std::size_t limit) {
    const bool newest = order == JobOrder::newest_first;
    auto sql = "SELECT seq FROM (" + gather_sql(cells, where) + ")";
    if (cursor) sql += newest ? " WHERE seq < ?1" : " WHERE seq > ?1";
    sql += newest ? " ORDER BY seq DESC LIMIT ?2" : " ORDER BY seq LIMIT ?2";
    auto statement = connection.prepare(sql);
    if (cursor) statement.bind(1, *cursor);
    statement.bind(2, static_cast<std::int64_t>(limit) + 1);
    Found found;
    Query row = statement.query();
    while (row.next()) found.seqs.push_back(row.number(0));
    if (found.seqs.size() <= limit) return found;
    found.seqs.pop_back();
    found.next = found.seqs.back();
    return found;
}

std::int64_t count_of(const std::vector<FoundCell>& cells) {
    std::int64_t count = 0;
    for (const auto& cell : cells) count += cell.count;
    return count;
}

}  // namespace

Found matching(Connection& connection, const JobFilter& filter, const Where& where, JobOrder order,
               std::optional<std::int64_t> cursor, int limit) {
    if (where.none) return {};
    const auto most = static_cast<std::size_t>(limit);
    const auto bound = bounds();
    const bool keyed = has_key(filter);
    const auto way = keyed ? by_key(filter) : by_table(filter);
    const auto last = way.together ? bound.rows : bound.scattered;
    if (!where.narrow) return walk(connection, way, where, order, cursor, most, last);
    const auto cells = cells_of(connection, filter, where);
    if (cells.empty()) return {};
    const auto count = count_of(cells);
    const bool gatherable = count <= (where.plain ? bound.entries : bound.scattered);
    const bool few = count <= (where.plain ? bound.few : keyed ? bound.scattered / 10 : bound.scattered);
    const auto gathered = [&] {
        if (where.plain) return gather(connection, cells, where, order, cursor, most);
        return walk(connection, by_gathering(cells, where), where, order, cursor, most, bound.scattered);
    };
    if (few) return gathered();
    if (!gatherable) return walk(connection, way, where, order, cursor, most, last);
    // Either may be the shorter way: where those that match lie close together, or are those that the key finds.
    auto found = walk(connection, way, where, order, cursor, most, keyed ? bound.scattered / 4 : bound.first);
    if (!found.next || found.seqs.size() == most) return found;
    return gathered();
}

std::optional<std::int64_t> each_match(Connection& connection, const JobFilter& filter, const Where& where, Effort effort,
                                       std::optional<std::int64_t> cursor,
                                       const std::function<void(std::int64_t, std::int64_t, JobState, Time)>& see) {
    if (where.none) return std::nullopt;
    const auto bound = bounds();
    const bool keyed = has_key(filter);
    auto way = keyed ? by_key(filter) : by_table(filter);
    if (where.narrow) {
        const auto cells = cells_of(connection, filter, where);
        if (cells.empty()) return std::nullopt;
        // Who comes back by a cursor has seen so many that the key finds.
        if ((!keyed || cursor) && count_of(cells) <= bound.scattered) way = by_gathering(cells, where);
    }
    const auto most = effort == Effort::all ? std::numeric_limits<std::int64_t>::max()
                      : way.together        ? bound.rows
                                            : bound.scattered;
    auto statement = prepare(connection, way, where, JobOrder::newest_first, cursor, ", queue, kind, state, run_at");
    Query row = statement.query();
    std::int64_t last = 0;
    for (std::int64_t looked = 0; row.next(); ++looked) {
        if (looked == most) return last;
        last = row.number(0);
        if (row.number(1) != 0)
            see(row.number(2), row.number(3), static_cast<JobState>(row.number(4)), from_ms(row.number(5)));
    }
    return std::nullopt;
}

}  // namespace jobruntime::sqlite
