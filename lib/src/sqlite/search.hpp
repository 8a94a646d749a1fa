// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <jobruntime/store.hpp>

#include "sqlite/filter.hpp"
#include "sqlite/sql.hpp"

namespace jobruntime::sqlite {

/// The numbers (seq) of jobs that match, by creation.
struct Found {
    std::vector<std::int64_t> seqs;
    std::optional<std::int64_t> next;  ///< Go on behind this one, there may be more; nullopt = that was all.
};

/// Up to `limit` jobs from `cursor` on, and where to go on. Whatever the filter is and however the jobs lie, it looks at
/// some ten thousands of them at most, or at as many entries of an index as match; where that is not enough it ends
/// short, even empty, with `next`. So no answer takes longer the more jobs there are.
Found matching(Connection& connection, const JobFilter& filter, const Where& where, JobOrder order,
               std::optional<std::int64_t> cursor, int limit);

/// How far a count goes that looks at jobs one by one.
enum class Effort {
    all,       ///< To the end.
    bounded,   ///< As far as `matching` looks.
};

/// Shows the matching jobs one by one, newest first, from `cursor` on: queue, kind, state, run_at. Where to go on
/// when it ended before all were seen.
std::optional<std::int64_t> each_match(
    Connection& connection, const JobFilter& filter, const Where& where, Effort effort, std::optional<std::int64_t> cursor,
    const std::function<void(std::int64_t queue, std::int64_t kind, JobState state, Time run_at)>& see);

}  // namespace jobruntime::sqlite
