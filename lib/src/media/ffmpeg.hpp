// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <stop_token>
#include <string>

#include <jobruntime/media.hpp>

namespace jobruntime::media {

struct FfmpegRequest {
    std::string input;   ///< Absolute path of a file that the helper has written.
    std::string output;  ///< Absolute path; must not exist.
    bool mp4 = true;     ///< Else Matroska.
    double seconds = 0;  ///< For the progress; 0 = unknown.
};

/// Copies the streams of a file by the operator's ffmpeg, within the helper's limits, reporting stage "remux".
/// FFMPEG_NOT_FOUND; FFMPEG_FAILED when it ends with an error; MEDIA_TIMEOUT; Errc::canceled within a second of
/// `stop`, with the program and its children gone.
Result<void> run_ffmpeg(const HelperOptions& options, const FfmpegRequest& request, const OnProgress& progress,
                        const std::stop_token& stop);

}  // namespace jobruntime::media
