// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>

#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/id.hpp>

namespace jobruntime {

enum class Level : std::uint8_t { info = 0, warn = 1, error = 2 };
JOBRUNTIME_API std::string_view to_string(Level level) noexcept;
JOBRUNTIME_API std::optional<Level> parse_level(std::string_view text) noexcept;

/// Something that happened, as told to people and programs. Events of a state change are
/// written by the store in the same atomic step as the change.
struct Event {
    EventId id = 0;              ///< Position in the store's log; 0 = not in it (yet).
    Time at{};
    std::string name;            ///< `<part>.<thing>.<what happened>`, e.g. "worker.job.claimed".
    Level level = Level::info;
    JobId job;                   ///< Zero when it is about no job.
    std::string trace_id;        ///< The job's, or empty.
    std::string source;          ///< The process that wrote it: Origin::process.
    std::string role;            ///< That process's role: Origin::role.
    boost::json::object fields;  ///< Flat: values are strings, numbers, booleans or null.
    bool operator==(const Event&) const = default;
};

/// The flat object of the API: id, ts, event, level, jobId?, traceId?, sourceProcessId,
/// processRole, then the fields (which never replace one of these).
JOBRUNTIME_API boost::json::object to_json(const Event& event);

/// Who writes: given to a store when it is opened, kept with each event.
struct Origin {
    std::string process{};         ///< Unique a process; empty = the store makes one.
    std::string role = "library";  ///< "combined", "api", "worker", or a word of the program's own; at most 32 bytes.
};

}  // namespace jobruntime
