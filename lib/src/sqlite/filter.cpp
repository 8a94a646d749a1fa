// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/filter.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "sqlite/writer.hpp"

namespace jobruntime::sqlite {
namespace {

/// Up to so many jobs are gathered from the partial indexes and sorted; more are common enough to be found
/// by walking in order of creation.
constexpr std::int64_t gather_limit = 50'000;

std::string list_of(const std::vector<std::int64_t>& numbers) {
    std::string text;
    for (const auto number : numbers) text.append(text.empty() ? "" : ",").append(std::to_string(number));
    return text;
}

std::string states_of(StateSet states) {
    std::string text;
    for (unsigned i = 0; i < job_state_count; ++i)
        if (states.has(static_cast<JobState>(i))) text.append(text.empty() ? "" : ",").append(std::to_string(i));
    return text;
}

void add(Where& where, std::string_view term) {
    if (!where.sql.empty()) where.sql.append(" AND ");
    where.sql.append(term);
}

template <class Value>
void add(Where& where, std::string_view term, Value value) {
    add(where, term);
    where.values.emplace_back(std::move(value));
    where.plain = false;
}

bool add_names(Where& where, Words& words, std::string_view column, const std::vector<std::string>& names,
               std::vector<std::int64_t>& numbers) {
    if (names.empty()) return true;
    for (const auto& name : names)
        if (const auto number = words.find(name)) numbers.push_back(*number);
    if (numbers.empty()) return false;
    // The plus keeps the planner from taking an index because of this term; matching() chooses the way.
    add(where, "+" + std::string(column) + " IN (" + list_of(numbers) + ")");
    return true;
}

struct TallyRow {
    std::int64_t queue, kind;
    JobState state;
    std::int64_t count;
};

std::vector<TallyRow> tally_of(Connection& connection, const JobFilter& filter, const Where& where,
                               std::int64_t& all) {
    std::vector<TallyRow> rows;
    Query row = connection.cached("SELECT queue, kind, state, n FROM jobrt_tally WHERE n > 0").query();
    const auto wanted = [](const std::vector<std::int64_t>& numbers, std::int64_t number) {
        return numbers.empty() || std::find(numbers.begin(), numbers.end(), number) != numbers.end();
    };
    while (row.next()) {
        all += row.number(3);
        const auto state = static_cast<JobState>(row.number(2));
        if (!filter.states.empty() && !filter.states.has(state)) continue;
        if (!wanted(where.queues, row.number(0)) || !wanted(where.kinds, row.number(1))) continue;
        rows.push_back({row.number(0), row.number(1), state, row.number(3)});
    }
    return rows;
}

/// The seqs of these cells by the partial indexes.
std::string gather_sql(const std::vector<TallyRow>& rows) {
    std::array<std::vector<std::int64_t>, job_state_count> queues, kinds;
    for (const auto& row : rows) {
        queues[static_cast<std::size_t>(row.state)].push_back(row.queue);
        kinds[static_cast<std::size_t>(row.state)].push_back(row.kind);
    }
    std::string sql;
    for (std::size_t state = 0; state < job_state_count; ++state) {
        if (queues[state].empty()) continue;
        const auto cell = " AND queue IN (" + list_of(queues[state]) + ") AND kind IN (" + list_of(kinds[state]) + ")";
        const auto from = [&](std::string_view index, std::string_view term) {
            if (!sql.empty()) sql.append(" UNION ALL ");
            sql.append("SELECT seq FROM jobrt_job INDEXED BY ").append(index).append(" WHERE ").append(term).append(cell);
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

bool by_key(const JobFilter& filter) {
    return !filter.tag.empty() || !filter.trace_id.empty() || !filter.unique_key.empty() ||
           !filter.idempotency_key.empty() || !filter.error_code.empty();
}

/// FROM and the first terms: the way to the rows.
std::string way_to(Connection& connection, const JobFilter& filter, const Where& where) {
    if (by_key(filter)) return "FROM jobrt_job WHERE 1";
    if (filter.states.empty() && where.kinds.empty() && where.queues.empty()) return "FROM jobrt_job NOT INDEXED WHERE 1";
    std::int64_t all = 0;
    const auto rows = tally_of(connection, filter, where, all);
    std::int64_t matches = 0;
    for (const auto& row : rows) matches += row.count;
    if (rows.empty()) return "FROM jobrt_job WHERE 0";
    if (matches <= gather_limit && matches * 20 < all && rows.size() <= 1'000)
        return "FROM jobrt_job WHERE seq IN (" + gather_sql(rows) + ")";
    for (const auto state : {JobState::completed, JobState::failed, JobState::canceled})
        if (filter.states == StateSet{state})
            return "FROM jobrt_job INDEXED BY jobrt_job_final WHERE state >= 3 AND state = " +
                   std::to_string(static_cast<int>(state));
    return "FROM jobrt_job NOT INDEXED WHERE 1";
}

constexpr std::uint32_t fingerprint(std::string_view text) {
    std::uint32_t hash = 2166136261u;  // FNV-1a.
    for (const char letter : text) hash = (hash ^ static_cast<unsigned char>(letter)) * 16777619u;
    return hash;
}

std::string hex(std::uint64_t value, int digits) {
    std::string text(static_cast<std::size_t>(digits), '0');
    for (int i = digits - 1; i >= 0; --i, value >>= 4) text[static_cast<std::size_t>(i)] = "0123456789abcdef"[value & 15];
    return text;
}

}  // namespace

int Where::bind(Statement& statement, int at) const {
    for (const auto& value : values) {
        if (const auto* number = std::get_if<std::int64_t>(&value))
            statement.bind(at++, *number);
        else
            statement.bind(at++, std::string_view(std::get<std::string>(value)));
    }
    return at;
}

Where where_of(const JobFilter& filter, Words& words) {
    Where where;
    if (!filter.states.empty()) add(where, "+state IN (" + states_of(filter.states) + ")");
    if (!add_names(where, words, "kind", filter.kinds, where.kinds)) where.none = true;
    if (!add_names(where, words, "queue", filter.queues, where.queues)) where.none = true;
    if (!filter.tag.empty()) add(where, "seq IN (SELECT job FROM jobrt_tag WHERE tag = ?)", filter.tag);
    if (!filter.trace_id.empty()) add(where, "seq IN (" + jobs_of_trace("?", filter.trace_id) + ")", filter.trace_id);
    if (!filter.unique_key.empty()) add(where, "unique_key = ?", filter.unique_key);
    if (!filter.idempotency_key.empty()) add(where, "idem_key = ?", filter.idempotency_key);
    if (!filter.error_code.empty()) add(where, "error_code = ?", filter.error_code);
    if (filter.session) {
        const std::string_view raw(reinterpret_cast<const char*>(filter.session.bytes.data()), 16);
        const auto number = words.find(raw, true);
        if (!number) where.none = true;
        add(where, "+session = ?", number.value_or(0));
    }
    if (filter.created_before) add(where, "created_at < ?", static_cast<std::int64_t>(ms(*filter.created_before)));
    if (filter.created_after) add(where, "created_at >= ?", static_cast<std::int64_t>(ms(*filter.created_after)));
    if (where.sql.empty()) where.sql = "1";
    return where;
}

std::string jobs_of_trace(std::string_view parameter, std::string_view trace_id) {
    auto sql = "SELECT seq FROM jobrt_job WHERE trace = " + std::string(parameter);
    const bool digits = trace_id.size() == 32 && trace_id.find_first_not_of("0123456789abcdef") == trace_id.npos;
    if (digits)
        sql.append(" UNION ALL SELECT seq FROM jobrt_job WHERE id = x'").append(trace_id).append("' AND side & ").append(
            std::to_string(side_own_trace));
    return sql;
}

std::vector<std::int64_t> matching(Connection& connection, const JobFilter& filter, const Where& where, JobOrder order,
                                   std::optional<std::int64_t> cursor, int limit) {
    std::vector<std::int64_t> found;
    if (where.none) return found;
    std::string sql = "SELECT seq " + way_to(connection, filter, where) + " AND " + where.sql;
    const bool newest = order == JobOrder::newest_first;
    if (cursor) sql += newest ? " AND seq < ?" : " AND seq > ?";
    sql += newest ? " ORDER BY seq DESC LIMIT ?" : " ORDER BY seq LIMIT ?";
    auto statement = connection.prepare(sql);
    int at = where.bind(statement, 1);
    if (cursor) statement.bind(at++, *cursor);
    statement.bind(at, limit);
    Query row = statement.query();
    while (row.next()) found.push_back(row.number(0));
    return found;
}

std::string write_cursor(char what, std::int64_t seq) {
    std::string text = what + hex(static_cast<std::uint64_t>(seq), 16);
    return text + hex(fingerprint("jobruntime " + text), 8);
}

Result<std::optional<std::int64_t>> read_cursor(char what, std::string_view text) {
    if (text.empty()) return std::optional<std::int64_t>{};
    std::uint64_t seq = 0;
    const bool right_size = text.size() == 25;
    if (right_size) std::from_chars(text.data() + 1, text.data() + 17, seq, 16);
    if (!right_size || write_cursor(what, static_cast<std::int64_t>(seq)) != text)
        return Error{Errc::invalid_argument, "the cursor is not one of this listing; begin again without one"};
    return std::optional<std::int64_t>{static_cast<std::int64_t>(seq)};
}

}  // namespace jobruntime::sqlite
