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

/// A JobFilter as terms of SQL with their values. `none`: it names something that no job ever had.
struct Where {
    /// Terms that an index answers by itself, so that whoever walks that index can leave the term out.
    enum class Key { none, tag, trace, unique, idempotency, error };
    using Value = std::variant<std::int64_t, std::string>;
    struct Term {
        Key key = Key::none;
        std::string sql;  ///< Over jobrt_job; written so that the planner takes no index because of it.
        std::optional<Value> value;
    };
    std::vector<Term> terms;
    std::vector<std::int64_t> kinds;   ///< Their numbers, for the tally.
    std::vector<std::int64_t> queues;
    bool none = false;
    bool narrow = false;  ///< By state, kind or queue, maybe among others: the tally knows how many there are at most.
    bool plain = true;    ///< Only by state, kind, queue: the tally can answer.

    /// The terms joined by AND, "1" without any.
    std::string sql(Key except = Key::none) const;
    /// Binds their values from parameter `at` on; the next free one.
    int bind(Statement& statement, int at, Key except = Key::none) const;
};
Where where_of(const JobFilter& filter, Words& words);

/// "1,2,3".
std::string list_of(const std::vector<std::int64_t>& numbers);

/// The term for the one job that has this trace id because it is made of the job's own id; empty when none can.
std::string own_trace_term(std::string_view trace_id);

/// A position in a listing as text that only this store makes.
std::string write_cursor(char what, std::int64_t seq);
/// Errc::invalid_argument for any other text; empty is no cursor.
Result<std::optional<std::int64_t>> read_cursor(char what, std::string_view text);

}  // namespace jobruntime::sqlite
