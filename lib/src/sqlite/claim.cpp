// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <compare>

#include "core/failpoint.hpp"
#include "sqlite/verbs.hpp"

namespace jobruntime::sqlite {
namespace {

struct Candidate {
    std::int64_t seq;
    std::int64_t priority;
    std::int64_t run_at;
    JobId id;
    auto order() const { return std::tie(priority, run_at, id); }
};

/// One queue's wish with the numbers of its names; kinds that no job ever had are left out.
struct Cell {
    std::int64_t queue = 0;
    std::vector<std::int64_t> kinds;
    int limit = 0;
    JobId only;
};

std::vector<Cell> cells_of(Writer& writer, std::span<const Want> wants) {
    std::vector<Cell> cells;
    for (const auto& want : wants) {
        const auto queue = writer.words().find(want.queue);
        if (!queue) continue;
        Cell cell{*queue, {}, want.limit, want.only};
        for (const auto& kind : want.kinds)
            if (const auto number = writer.words().find(kind)) cell.kinds.push_back(*number);
        std::sort(cell.kinds.begin(), cell.kinds.end());
        cell.kinds.erase(std::unique(cell.kinds.begin(), cell.kinds.end()), cell.kinds.end());
        if (!cell.kinds.empty()) cells.push_back(std::move(cell));
    }
    return cells;
}

/// The one job that is asked for, where it fits the cell.
std::vector<Candidate> only_of(Writer& writer, const Cell& cell, int limit, bool solitary) {
    Query row = writer
                    .sql("SELECT seq, priority, run_at, id, kind FROM jobrt_job "
                         "WHERE id = ? AND state = 1 AND (crashes >= 2) = ? AND queue = ?")
                    .query(bytes(cell.only), solitary ? 1 : 0, cell.queue);
    if (limit < 1 || !row.next() || !std::binary_search(cell.kinds.begin(), cell.kinds.end(), row.number(4))) return {};
    return {{row.number(0), row.number(1), row.number(2), row.id<JobId>(3)}};
}

const char* sql_of_first(bool solitary) {
    if (JOBRT_FAILPOINT("control.ignore_solitary"))
        return "SELECT seq, priority, run_at, id FROM jobrt_job WHERE state = 1 AND queue = ? AND kind = ? "
               "ORDER BY priority, run_at, id LIMIT ?";
    return solitary ? "SELECT seq, priority, run_at, id FROM jobrt_job INDEXED BY jobrt_job_solitary "
                      "WHERE state = 1 AND crashes >= 2 AND queue = ? AND kind = ? "
                      "ORDER BY priority, run_at, id LIMIT ?"
                    : "SELECT seq, priority, run_at, id FROM jobrt_job INDEXED BY jobrt_job_queued "
                      "WHERE state = 1 AND crashes < 2 AND queue = ? AND kind = ? "
                      "ORDER BY priority, run_at, id LIMIT ?";
}

/// The first `limit` of a queue over all wanted kinds: the index holds each kind in order already.
std::vector<Candidate> first_of(Writer& writer, const Cell& cell, int limit, bool solitary) {
    if (cell.only) return only_of(writer, cell, limit, solitary);
    auto& statement = writer.sql(sql_of_first(solitary));
    std::vector<Candidate> found;
    for (const auto kind : cell.kinds) {
        Query row = statement.query(cell.queue, kind, limit);
        while (row.next()) found.push_back({row.number(0), row.number(1), row.number(2), row.id<JobId>(3)});
    }
    if (cell.kinds.size() > 1) {
        std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.order() < b.order(); });
        if (found.size() > static_cast<std::size_t>(limit)) found.resize(static_cast<std::size_t>(limit));
    }
    return found;
}

RawJob claim_one(Writer& writer, std::int64_t seq, SessionId session, std::int64_t session_word, Time now) {
    const auto fence = writer.next_number();
    auto raw = [&] {
        Query row = writer.sql("SELECT " JOBRT_JOB_COLUMNS " FROM jobrt_job WHERE seq = ?").query(seq);
        row.next();
        return read_raw(writer.connection(), writer.words(), row, part_payload | part_steps);
    }();
    Job& job = raw.job;
    const auto queue = *writer.words().find(job.queue);
    const auto kind = *writer.words().find(job.kind);
    writer.tally(queue, kind, job.state, -1);
    writer.tally(queue, kind, JobState::running, +1);
    job.state = JobState::running;
    job.attempt += 1;
    job.fence = static_cast<Fence>(fence);
    job.session = session;
    job.started_at = now;
    job.wait_reason.clear();
    writer
        .sql("UPDATE jobrt_job SET state = 2, attempt = ?, fence = ?, session = ?, started_at = ?, "
             "wait_reason = NULL WHERE seq = ?")
        .run(job.attempt, fence, session_word, now, seq);
    writer.event({.code = core::EventCode::claimed, .job = seq, .state = JobState::running, .attempt = job.attempt,
                  .queue = queue, .session = session_word},
                 now, fence);
    return raw;
}

bool any_solitary(Writer& writer, const std::vector<Cell>& cells) {
    if (JOBRT_FAILPOINT("control.ignore_solitary")) return false;
    {
        Query row = writer.sql("SELECT 1 FROM jobrt_job INDEXED BY jobrt_job_solitary "
                               "WHERE state = 1 AND crashes >= 2 LIMIT 1")
                        .query();
        if (!row.next()) return false;
    }
    return std::any_of(cells.begin(), cells.end(),
                       [&](const Cell& cell) { return !first_of(writer, cell, 1, true).empty(); });
}

bool session_may_claim(Writer& writer, SessionId session) {
    Query row = writer.sql("SELECT dead FROM jobrt_session WHERE id = ?").query(bytes(session));
    return row.next() && row.number(0) == 0;
}

std::string_view raw_bytes(const SessionId& session) {
    return {reinterpret_cast<const char*>(session.bytes.data()), session.bytes.size()};
}

}  // namespace

int promote_due(Writer& writer, int limit, Time now) {
    std::vector<std::int64_t> due;
    {
        Query row = writer.sql("SELECT seq FROM jobrt_job INDEXED BY jobrt_job_scheduled "
                               "WHERE state = 0 AND run_at <= ? ORDER BY run_at LIMIT ?")
                        .query(now, limit);
        while (row.next()) due.push_back(row.number(0));
    }
    for (const auto seq : due) {
        const auto job = writer.job(seq);
        writer.sql("UPDATE jobrt_job SET state = 1, wait_reason = NULL WHERE seq = ?").run(seq);
        writer.move_tally(*job, JobState::queued);
        writer.event({.code = core::EventCode::promoted, .job = seq, .state = JobState::queued, .attempt = job->attempt,
                      .queue = job->queue},
                     now);
        writer.hint(hint_jobs);
    }
    return static_cast<int>(due.size());
}

std::optional<Time> next_due(Connection& connection, Time now) {
    Query row = connection
                    .cached("SELECT run_at FROM jobrt_job INDEXED BY jobrt_job_scheduled "
                            "WHERE state = 0 AND run_at > ? ORDER BY run_at LIMIT 1")
                    .query(now);
    if (!row.next()) return std::nullopt;
    return from_ms(row.number(0));
}

void claim_jobs(Writer& writer, std::span<const Want> wants, SessionId session, ClaimMode mode, Time now,
                RawClaim& answer) {
    answer = {};
    if (!session_may_claim(writer, session)) {
        answer.session_gone = true;
        return;
    }
    // All that is due goes into the queues first, so that order within a queue holds.
    constexpr int slice = 2'000;
    while (promote_due(writer, slice, now) == slice) {}

    const auto cells = cells_of(writer, wants);
    std::int64_t session_word = 0;
    int left = mode == ClaimMode::solitary ? 1 : static_cast<int>(limits::batch_items);
    for (const auto& cell : cells) {
        if (left == 0) break;
        const auto found = first_of(writer, cell, std::min(cell.limit, left), mode == ClaimMode::solitary);
        for (const auto& candidate : found) {
            if (session_word == 0) session_word = writer.words().intern(raw_bytes(session), true);
            answer.jobs.push_back(claim_one(writer, candidate.seq, session, session_word, now));
        }
        left -= static_cast<int>(found.size());
    }
    answer.solitary_waiting = any_solitary(writer, cells);
    answer.next_due = next_due(writer.connection(), now);
}

}  // namespace jobruntime::sqlite
