// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include "protocol.hpp"

namespace jobruntime::helper {

/// Takes from this process what parsing a file does not need, before the file is opened:
/// limits on CPU, memory, file size and descriptors, no core dump, no network and no view of
/// other files where the kernel allows. Weaker kernels give a weaker cage, not an error.
/// Must be called while there is one thread. Whoever starts this process ties its life to
/// its own (SpawnOptions::die_with_parent).
void enter(const Request& request);

}  // namespace jobruntime::helper
