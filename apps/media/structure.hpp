// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include <jobruntime/result.hpp>

#include "open.hpp"

namespace jobruntime::helper {

/// What the outermost boxes of a file say, read by ourselves: libav takes a cut-off file for
/// a short one.
/// ISO/IEC 14496-12 (MP4) 4.2: every box begins with its length. RFC 8794 (Matroska, WebM):
/// the segment begins with its length, or with "unknown".
struct Structure {
    bool mp4 = false;
    bool cut_off = false;     ///< A box, or an index of segments, promises more bytes than the file has.
    bool fragmented = false;  ///< MP4 with moof boxes.
    bool faststart = false;   ///< MP4 whose index stands before its data.
};
Structure read_structure(const std::string& path);

/// Whether an index of segments (sidx, ISO/IEC 14496-12, 8.16.3) in a part of a fragmented file speaks of bytes behind it.
bool ends_before_its_index(const std::string& path, Slice part);

bool looks_like_mp4(const std::string& path);
/// True when a Matroska file calls itself WebM.
bool is_webm(const std::string& path);

}  // namespace jobruntime::helper
