// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <span>

namespace jobruntime::sqlite {

/// Marks our files: "JBRT".
inline constexpr std::int32_t application_id = 0x4a425254;

/// One step of the schema: the statements that lead from version n-1 to version n, where n is
/// its place in the list, counted from 1. A step once released never changes.
struct Migration {
    const char* sql;
};

/// The steps of this version of the library.
std::span<const Migration> schema_migrations();

/// Which rows in side tables a job has (column `side`), so that most jobs cost no look there.
enum Side : std::int64_t {
    side_payload = 1,
    side_result = 2,
    side_errors = 4,
    side_steps = 8,
    side_tags = 16,
    side_progress = 32,
    side_own_trace = 64,  ///< No row beside, but none in the column: the trace id is the id's digits.
};

/// Texts up to this size lie in the job's own row; longer ones in a table of their own.
inline constexpr std::size_t inline_bytes = 1024;

}  // namespace jobruntime::sqlite
