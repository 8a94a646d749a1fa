// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <string>
#include <unordered_set>

#include <jobruntime/store.hpp>

namespace jobruntime::host {

/// How far a copy of a store came; kept as a record of the target.
struct Bookmark {
    /// In the source's list of jobs; what is before it was copied.
    std::string cursor;
    /// Copied jobs behind the cursor: the last page has no cursor after it.
    std::unordered_set<std::string> tail;
    EventId events_after = 0;  ///< In the source's log.
    EventId target_after = 0;  ///< Newest event of the target when that was written.
    std::uint64_t version = 0;
};

std::string to_text(const Bookmark& mark);
/// A record that nobody can read is as good as none: copying begins again, and jobs that are there are seen
/// by their id.
Bookmark from_text(const Record& record);

}  // namespace jobruntime::host
