// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/job.hpp>

#include "sqlite/sql.hpp"

namespace jobruntime::sqlite {

class Words;

/// A job as read, with its JSON still text: parsing waits until the database is let go.
struct RawJob {
    Job job;
    std::int64_t seq = 0;
    std::int64_t side = 0;
    std::string tags;
    std::string payload;
    std::string result;
    std::vector<std::pair<std::string, std::string>> steps;
};

/// The columns that read_raw expects, in order.
#define JOBRT_JOB_COLUMNS                                                                                   \
    "seq, id, state, queue, kind, priority, run_at, attempt, max_attempts, crashes, fence, session, side, " \
    "unique_states, created_at, started_at, finished_at, cancel_at, wait_reason, trace, unique_key, "       \
    "idem_key, tags, payload, result, idem_hash"

/// Reads the current row, and from side tables what `parts` asks for.
RawJob read_raw(Connection& connection, Words& words, Query& row, unsigned parts);
/// Errc::corrupt when stored JSON cannot be read; raw.job then is the job without it.
Result<Job> finish_raw(RawJob& raw);

}  // namespace jobruntime::sqlite
