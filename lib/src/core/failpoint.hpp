// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

/// Places where a test may stop, kill or fail the program. They exist only in builds with
/// JOBRUNTIME_FAILPOINTS; elsewhere JOBRT_FAILPOINT(name) is the constant false.
#ifdef JOBRUNTIME_FAILPOINTS

#include <functional>
#include <string>
#include <string_view>

#include <jobruntime/export.hpp>

namespace jobruntime::core {

/// What happens at a failpoint. True: the code there behaves as if the operation it guards had failed.
using FailpointAction = std::function<bool()>;

/// Sets (or with an empty action removes) what happens at the place of that name.
JOBRUNTIME_API void set_failpoint(const std::string& name, FailpointAction action);
JOBRUNTIME_API void clear_failpoints();
/// Reads "name=abort;name=exit:3;name=sleep:250;name=error;name=kill", as test programs take it from
/// JOBRT_FAILPOINTS. "name=2*kill" waits for the second time, and is over then;
/// "name=2%error" does it every second time. False: not understood, nothing was set.
JOBRUNTIME_API bool arm_failpoints(std::string_view spec);
JOBRUNTIME_API bool failpoint_reached(const char* name);

}  // namespace jobruntime::core

#define JOBRT_FAILPOINT(name) (::jobruntime::core::failpoint_reached(name))

#else
#define JOBRT_FAILPOINT(name) false
#endif
