// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include <jobruntime/result.hpp>

#include "protocol.hpp"

namespace jobruntime::helper {

struct Stitched {
    double seconds = 0;     ///< That the pictures and their sound really cover.
    std::string container;  ///< Of the pieces.
    std::string ext;        ///< Of the file at `output`: "mp4", or "mkv" when the codecs do not fit.
};

/// Makes one file of the runs of a stream, each with a clock of its own, one behind the other without a hole,
/// and of the sound that has a file of its own. Errors as copy_streams; UNSUPPORTED_SOURCE when a later
/// run is coded in another way. WRONG_DURATION for each of the two files. After an error there is no output.
Result<Stitched> stitch(const Request& request);

}  // namespace jobruntime::helper
