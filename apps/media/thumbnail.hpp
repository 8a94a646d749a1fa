// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include "open.hpp"

namespace jobruntime::helper {

/// Writes a frame as a JPEG that fits into a square of `size` pixels, upright and with square
/// pixels, synced to disk. The file must not exist yet; after an error it does not.
/// JPEG and not WebP: everything shows it, and libav's own encoder needs no further library.
Result<void> write_thumbnail(const Media& media, const AVFrame& frame, int size, const std::string& path);

}  // namespace jobruntime::helper
