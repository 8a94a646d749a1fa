// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/rows.hpp"

#include <jobruntime/store.hpp>

#include "core/ids.hpp"
#include "core/json.hpp"
#include "sqlite/schema.hpp"
#include "sqlite/writer.hpp"

namespace jobruntime::sqlite {
namespace {

std::string one_text(Connection& connection, const char* sql, std::int64_t seq) {
    Query row = connection.cached(sql).query(seq);
    return row.next() ? std::string(row.text(0)) : std::string();
}

void read_errors(Connection& connection, RawJob& raw) {
    Query row = connection.cached("SELECT at, attempt, code, message FROM jobrt_error WHERE job = ? ORDER BY n")
                    .query(raw.seq);
    while (row.next()) {
        raw.job.errors.push_back({from_ms(row.number(0)), static_cast<int>(row.number(1)), std::string(row.text(2)),
                                  std::string(row.text(3))});
    }
}

void read_steps(Connection& connection, RawJob& raw) {
    Query row = connection.cached("SELECT name, value FROM jobrt_step WHERE job = ? ORDER BY n").query(raw.seq);
    while (row.next()) raw.steps.emplace_back(row.text(0), row.text(1));
}

void read_progress(Connection& connection, RawJob& raw) {
    Query row = connection.cached("SELECT percent, stage, message FROM jobrt_progress WHERE job = ?").query(raw.seq);
    if (!row.next()) return;
    if (!row.null(0)) raw.job.progress.percent = row.real(0);
    raw.job.progress.stage = row.text(1);
    raw.job.progress.message = row.text(2);
}

}  // namespace

RawJob read_raw(Connection& connection, Words& words, Query& row, unsigned parts) {
    RawJob raw;
    Job& job = raw.job;
    raw.seq = row.number(0);
    job.id = row.id<JobId>(1);
    job.state = static_cast<JobState>(row.number(2));
    job.queue = words.text(row.number(3));
    job.kind = words.text(row.number(4));
    job.priority = static_cast<std::int16_t>(row.number(5));
    job.run_at = from_ms(row.number(6));
    job.attempt = static_cast<int>(row.number(7));
    job.max_attempts = static_cast<int>(row.number(8));
    job.crashes = static_cast<int>(row.number(9));
    job.fence = static_cast<Fence>(row.number(10));
    if (!row.null(11)) {
        const auto& session = words.text(row.number(11));
        if (session.size() == job.session.bytes.size())
            std::memcpy(job.session.bytes.data(), session.data(), session.size());
    }
    raw.side = row.number(12);
    job.unique_states.bits = static_cast<std::uint8_t>(row.number(13));
    job.created_at = from_ms(row.number(14));
    job.started_at = row.time(15);
    job.finished_at = row.time(16);
    job.cancel_requested_at = row.time(17);
    job.wait_reason = row.text(18);
    if (raw.side & side_own_trace)
        job.trace_id = core::own_trace_id(job.id);
    else
        job.trace_id = row.text(19);
    job.unique_key = row.text(20);
    job.idempotency_key = row.text(21);
    job.idempotency_hash = row.text(25);
    raw.tags = row.text(22);
    if (parts & part_payload) {
        if (raw.side & side_payload)
            raw.payload = one_text(connection, "SELECT text FROM jobrt_payload WHERE job = ?", raw.seq);
        else
            raw.payload = row.text(23);
    }
    if (parts & part_result) {
        if (raw.side & side_result)
            raw.result = one_text(connection, "SELECT text FROM jobrt_result WHERE job = ?", raw.seq);
        else
            raw.result = row.text(24);
    }
    if ((parts & part_errors) && (raw.side & side_errors)) read_errors(connection, raw);
    if ((parts & part_steps) && (raw.side & side_steps)) read_steps(connection, raw);
    if (raw.side & side_progress) read_progress(connection, raw);
    return raw;
}

Result<Job> finish_raw(RawJob& raw) {
    const auto corrupt = [&](std::string_view what) {
        return Error{Errc::corrupt, "the stored " + std::string(what) + " of job " + raw.job.id.str() +
                                        " cannot be read; delete the job, or restore the file from a backup"};
    };
    if (!raw.payload.empty() && raw.payload != "{}") {
        auto payload = core::parse_json_object(raw.payload);
        if (!payload) return corrupt("payload");
        raw.job.payload = std::move(*payload);
    }
    if (!raw.result.empty()) {
        auto result = core::parse_json(raw.result);
        if (!result) return corrupt("result");
        raw.job.result = std::move(*result);
    }
    if (!raw.tags.empty()) {
        auto tags = core::tags_from_text(raw.tags);
        if (!tags) return corrupt("tags");
        raw.job.tags = std::move(*tags);
    }
    raw.job.steps.reserve(raw.steps.size());
    for (auto& [name, text] : raw.steps) {
        auto value = core::parse_json(text);
        if (!value) return corrupt("step");
        raw.job.steps.push_back({std::move(name), std::move(*value)});
    }
    return std::move(raw.job);
}

}  // namespace jobruntime::sqlite
