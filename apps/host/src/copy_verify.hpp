// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <unordered_set>

#include <jobruntime/id.hpp>

#include "store_copy.hpp"

namespace jobruntime::host {

/// Looks for every job, event and record of the source in the target, and counts them into the report. `done`: the
/// jobs of this run; one of an earlier run may have been deleted in the target since. An event may be missing where
/// the target has pruned its log. Errc::corrupt, STORE_COPY_INCOMPLETE: something else is missing.
Result<void> verify_copy(Store& from, Store& to, const std::unordered_set<JobId>& done, CopyReport& report);

}  // namespace jobruntime::host
