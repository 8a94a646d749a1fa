// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include "extract/media_finder.hpp"

namespace jobruntime::extract {

/// find_media of one video of a page that has several: 1 = the page's video, as find_media has it; beyond that the nth
/// <video>, or else the nth VideoObject of its JSON-LD, or else the nth og:video. Only what belongs to that one counts:
/// what went over the network, and what the page says of itself, belongs to any of them. Nothing is found where none of
/// the lists is that long.
Findings find_nth(const Observation& seen, int nth);

}  // namespace jobruntime::extract
