// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

namespace jobruntime::host {

/// Lets this process open as many files as the system allows it; returns how many that are. Every connection is one.
unsigned long raise_descriptor_limit();

}  // namespace jobruntime::host
