// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include "mongo/driver.hpp"

namespace jobruntime::mongo {

/// A filter in the server's words. Documents without one of our states are never meant.
Doc filter_of(const JobFilter& filter);

/// Only documents that may be jobs: those of other programs have another kind of _id.
Doc named_by_text();

/// A place in the order of creation, as a cursor says it. Its document may make no sense otherwise, so the id
/// is any text.
struct Position {
    Time created_at{};
    std::string id;
};
/// Nothing for the empty cursor. Errc::invalid_argument for one this store did not make.
Result<std::optional<Position>> read_cursor(std::string_view cursor);
std::string write_cursor(const Position& last);
/// Adds "after this place", in the order asked for.
void continue_after(Doc& filter, const Position& place, JobOrder order);
Doc creation_order(JobOrder order);

}  // namespace jobruntime::mongo
