// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>

#include "fuzz.hpp"
#include "media/stream_media.hpp"

namespace jobruntime::fuzz {

/// What may be said of a track's segments, whichever kind of playlist they come from (playlist.cpp).
void expect_sound(const media::StreamMedia& track, std::size_t max_segments);

}  // namespace jobruntime::fuzz
