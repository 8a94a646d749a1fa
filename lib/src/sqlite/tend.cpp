// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>

#include "sqlite/verbs.hpp"

namespace jobruntime::sqlite {
namespace {

struct PastCell {
    std::int64_t queue;
    std::int64_t kind;
    JobState state;
    Time before;  ///< Those finished earlier are past their time.
};

Time cutoff(const Retention& retention, JobState state, Time now) {
    switch (state) {
        case JobState::completed: return now - retention.completed;
        case JobState::canceled: return now - retention.canceled;
        default: return now - retention.failed;
    }
}

/// Queues and kinds that hold ended jobs, without the kinds that are kept.
std::vector<PastCell> prunable_cells(Connection& connection, Words& words, const Retention& retention, Time now) {
    std::vector<std::int64_t> keep;
    for (const auto& kind : retention.keep)
        if (const auto number = words.find(kind)) keep.push_back(*number);
    std::vector<PastCell> cells;
    Query row = connection.cached("SELECT queue, kind, state FROM jobrt_tally WHERE state >= 3 AND n > 0").query();
    while (row.next()) {
        if (std::find(keep.begin(), keep.end(), row.number(1)) != keep.end()) continue;
        const auto state = static_cast<JobState>(row.number(2));
        cells.push_back({row.number(0), row.number(1), state, cutoff(retention, state, now)});
    }
    return cells;
}

std::vector<std::int64_t> past_jobs(Connection& connection, const PastCell& cell, int limit) {
    // The literal lets the planner use the partial index.
    static constexpr std::array<const char*, 3> by_state{
        "SELECT seq FROM jobrt_job INDEXED BY jobrt_job_finished WHERE state >= 3 AND state = 3 AND queue = ? AND kind = ? "
        "AND finished_at < ? ORDER BY finished_at LIMIT ?",
        "SELECT seq FROM jobrt_job INDEXED BY jobrt_job_finished WHERE state >= 3 AND state = 4 AND queue = ? AND kind = ? "
        "AND finished_at < ? ORDER BY finished_at LIMIT ?",
        "SELECT seq FROM jobrt_job INDEXED BY jobrt_job_finished WHERE state >= 3 AND state = 5 AND queue = ? AND kind = ? "
        "AND finished_at < ? ORDER BY finished_at LIMIT ?"};
    const auto index = static_cast<std::size_t>(cell.state) - static_cast<std::size_t>(JobState::completed);
    std::vector<std::int64_t> seqs;
    Query row = connection.cached(by_state.at(index)).query(cell.queue, cell.kind, cell.before, limit);
    while (row.next()) seqs.push_back(row.number(0));
    return seqs;
}

struct LogState {
    std::int64_t events;
    std::uint64_t pruned_through;
};

LogState log_state(Connection& connection) {
    Query row = connection.cached("SELECT events, pruned_through FROM jobrt_state").query();
    row.next();
    return {row.number(0), static_cast<std::uint64_t>(row.number(1))};
}

bool has_row(Query row) { return row.next(); }

void prune_jobs(Writer& writer, const Retention& retention, int& budget, Time now, Tended& tended) {
    for (const auto& cell : prunable_cells(writer.connection(), writer.words(), retention, now)) {
        if (budget <= 0) return;
        for (const auto seq : past_jobs(writer.connection(), cell, budget)) {
            const auto job = writer.job(seq);
            tended.pruned.push_back(job->id);
            writer.erase(*job);
            --budget;
        }
    }
    tended.pruned_jobs = tended.pruned.size();
}

void prune_events(Writer& writer, const Retention& retention, int& budget, Time now, Tended& tended) {
    const auto state = log_state(writer.connection());
    // Those written in this very transaction are not counted yet, which makes no difference to the oldest.
    std::int64_t surplus = state.events - static_cast<std::int64_t>(retention.event_count);
    std::uint64_t count = 0, through = 0;
    {
        Query row = writer.sql("SELECT id, at FROM jobrt_event ORDER BY id LIMIT ?").query(std::max(budget, 0));
        while (row.next() && (surplus > 0 || from_ms(row.number(1)) < now - retention.events)) {
            through = static_cast<std::uint64_t>(row.number(0));
            ++count;
            --surplus;
        }
    }
    if (count > 0) {
        writer.sql("DELETE FROM jobrt_event WHERE id <= ?").run(through);
        writer.removed_events(count, through);
        budget -= static_cast<int>(count);
        tended.pruned_events = count;
    }
    const auto pruned_through = count > 0 ? through : state.pruned_through;
    writer.sql("DELETE FROM jobrt_gone WHERE job IN (SELECT job FROM jobrt_gone WHERE last <= ? ORDER BY last LIMIT 2000)")
        .run(pruned_through);
}

}  // namespace

bool needs_tending(Connection& connection, Words& words, const Retention& retention, Time now) {
    if (has_row(connection.cached("SELECT 1 FROM jobrt_job INDEXED BY jobrt_job_scheduled "
                                  "WHERE state = 0 AND run_at <= ? LIMIT 1")
                    .query(now)))
        return true;
    for (const auto& cell : prunable_cells(connection, words, retention, now))
        if (!past_jobs(connection, cell, 1).empty()) return true;
    const auto state = log_state(connection);
    if (state.events > static_cast<std::int64_t>(retention.event_count)) return true;
    {
        Query oldest = connection.cached("SELECT at FROM jobrt_event ORDER BY id LIMIT 1").query();
        if (oldest.next() && from_ms(oldest.number(0)) < now - retention.events) return true;
    }
    if (has_row(connection.cached("SELECT 1 FROM jobrt_gone WHERE last <= ? LIMIT 1").query(state.pruned_through)))
        return true;
    return has_row(connection.cached("SELECT 1 FROM jobrt_session WHERE ended_at < ? LIMIT 1")
                       .query(now - retention.sessions));
}

void tend_store(Writer& writer, const Retention& retention, int budget, Time now, TendWork& work) {
    work = {};
    auto& tended = work.tended;
    tended.promoted = static_cast<std::uint64_t>(promote_due(writer, budget, now));
    int left = budget;
    prune_jobs(writer, retention, left, now, tended);
    prune_events(writer, retention, left, now, tended);
    {
        Query row = writer.sql("SELECT id FROM jobrt_session WHERE ended_at < ? LIMIT 100").query(now - retention.sessions);
        while (row.next()) work.sessions.push_back(row.id<SessionId>(0));
    }
    for (const auto& session : work.sessions) {
        // A dead session whose jobs were not all taken yet is still needed.
        writer.sql("DELETE FROM jobrt_session WHERE id = ?1 AND NOT EXISTS(SELECT 1 FROM jobrt_job "
                   "WHERE state = 2 AND session = (SELECT n FROM jobrt_word WHERE text = ?1))")
            .run(bytes(session));
    }
    tended.more = left <= 0 || tended.promoted == static_cast<std::uint64_t>(budget);
    tended.next_due = next_due(writer.connection(), now);
}

Result<std::uint64_t> put_record(Writer& writer, std::string_view key, std::optional<std::string_view> value,
                                 std::uint64_t expected) {
    std::uint64_t stored = 0;
    {
        Query row = writer.sql("SELECT version FROM jobrt_record WHERE key = ?").query(key);
        if (row.next()) stored = static_cast<std::uint64_t>(row.number(0));
    }
    if (stored != expected) {
        return Error{Errc::conflict, "the record " + std::string(key) + " is at version " + std::to_string(stored) +
                                         ", not " + std::to_string(expected) + "; read it again"};
    }
    if (!value) {
        if (stored != 0) writer.sql("DELETE FROM jobrt_record WHERE key = ?").run(key);
        if (stored != 0) writer.hint(hint_records);
        return std::uint64_t{0};
    }
    const auto version = writer.next_number();
    writer.sql("INSERT INTO jobrt_record(key, value, version) VALUES(?, ?, ?) "
               "ON CONFLICT(key) DO UPDATE SET value = excluded.value, version = excluded.version")
        .run(key, *value, version);
    writer.hint(hint_records);
    return version;
}

}  // namespace jobruntime::sqlite
