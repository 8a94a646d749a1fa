// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <jobruntime/store.hpp>

#include "sqlite/sql.hpp"

namespace jobruntime::sqlite {

class Words;

/// A JobFilter as SQL with its values. `none`: it names something that no job ever had.
struct Where {
    std::string sql;  ///< "1" or terms joined by AND, over jobrt_job.
    std::vector<std::variant<std::int64_t, std::string>> values;
    std::vector<std::int64_t> kinds;   ///< Their numbers, for the tally.
    std::vector<std::int64_t> queues;
    bool none = false;
    bool plain = true;  ///< Only by state, kind, queue: the tally can answer.

    /// Binds the values from parameter `at` on; the next free one.
    int bind(Statement& statement, int at) const;
};
Where where_of(const JobFilter& filter, Words& words);

/// The numbers (seq) of the jobs that match, by creation from `cursor` on. Chooses the way by what the tally
/// says, so that it stays fast with a million jobs.
std::vector<std::int64_t> matching(Connection& connection, const JobFilter& filter, const Where& where, JobOrder order,
                                   std::optional<std::int64_t> cursor, int limit);

/// A query of the numbers (seq) of a trace's jobs; `parameter` is where the trace id is bound.
std::string jobs_of_trace(std::string_view parameter, std::string_view trace_id);

/// A position in a listing as text that only this store makes.
std::string write_cursor(char what, std::int64_t seq);
/// Errc::invalid_argument for any other text; empty is no cursor.
Result<std::optional<std::int64_t>> read_cursor(char what, std::string_view text);

}  // namespace jobruntime::sqlite
