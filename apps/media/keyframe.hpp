// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include "open.hpp"

namespace jobruntime::helper {

/// Decodes the first whole key frame at or shortly before `seconds`.
/// MEDIA_DAMAGED when none can be decoded without an error, which is also how content looks
/// that is still encrypted without saying so; UNSUPPORTED_SOURCE when libav has no decoder.
Result<Frame> decode_key_frame(Media& media, double seconds);

}  // namespace jobruntime::helper
