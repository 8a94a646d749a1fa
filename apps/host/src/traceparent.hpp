// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include <jobruntime/job.hpp>

namespace jobruntime::host {

/// The W3C trace context that a job's attempt hands to the programs it starts: the job's trace, and as the parent span one
/// id for each attempt. Empty where the caller's trace id is not of W3C's form (32 lower-case hexadecimal digits).
std::string traceparent_of(const Job& job);

}  // namespace jobruntime::host
