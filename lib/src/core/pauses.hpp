// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <jobruntime/clock.hpp>

namespace jobruntime::core {

/// Between tries of what a store has not answered: the first, then twice as long each time, up to the longest.
inline constexpr Duration first_pause{100};
inline constexpr Duration longest_pause{5'000};

}  // namespace jobruntime::core
