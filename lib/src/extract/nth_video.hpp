// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include "extract/media_finder.hpp"

namespace jobruntime::extract {

/// find_media of one video of a page that has several: 0 = the page's video, as find_media has it; else, in the page's
/// own order, the nth <video>, or else the nth VideoObject of its JSON-LD, or else the nth og:video. Only what belongs to
/// that one counts: what the page says of itself belongs to any of them, and so does what went over the network, but for
/// the only <video> that a script feeds: that one has what no other <video> names. Nothing is found where none of the
/// lists is that long. A page that has but one video by each of the lists has it as number 1, however it was found.
Findings find_nth(const Observation& seen, int nth);

}  // namespace jobruntime::extract
