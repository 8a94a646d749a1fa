// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include "open.hpp"
#include "structure.hpp"

namespace jobruntime::helper {

/// What is to be done with a download.
struct Plan {
    bool remux = false;  ///< Copy the streams into a new MP4; else the file stays as it is.
    std::string ext;     ///< Of the finished file, without a dot.
};

/// MP4 with its index first where the codecs allow it, else the container it came in.
Plan plan_for(const Media& media, const Structure& structure);

/// True when what would be kept of it can stand in an MP4 that players and browsers read.
bool fits_mp4(const Media& media);

/// True when the file is shorter than its boxes, its index of segments or its table of samples say.
bool is_cut_off(const Media& media, const Structure& structure);

/// TOO_LONG; `most` 0 = any length will do.
Result<void> refuse_too_long(double seconds, double most);

/// Reads the file to its last packet and, unless `output` is empty, copies the best video and
/// all audio streams into a faststart MP4 there, its time beginning at zero.
/// TRUNCATED when the packets end before the declared duration; WRONG_DURATION when they miss `expected_seconds`
/// (0 = unknown); both by more than 2 %, and than a picture and a packet of sound, which short films are allowed, and
/// the latter than these and the second that a number of whole seconds was rounded by; DRM_PROTECTED;
/// NO_VIDEO; MEDIA_DAMAGED; DISK_FULL. After an error the output is removed.
/// Answers the seconds from the first to the end of the last packet.
Result<double> copy_streams(Media& media, const std::string& output, double expected_seconds);

}  // namespace jobruntime::helper
