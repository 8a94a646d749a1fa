// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>

namespace jobruntime::tests {

/// Whether most of nine tries take less than `bound`; each gives the time that it took. One busy moment of the machine
/// says nothing, but who waits for a time-out, or for the next look of his own, is late more often than not.
template <class Try>
bool mostly_within(std::chrono::milliseconds bound, Try&& once) {
    constexpr int most = 5;
    int early = 0, late = 0;
    while (early < most && late < most) (once() < bound ? early : late) += 1;
    return early == most;
}

}  // namespace jobruntime::tests
