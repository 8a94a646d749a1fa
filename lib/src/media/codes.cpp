// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/media.hpp>

namespace jobruntime::media {

std::span<const CodeInfo> codes() noexcept {
    static constexpr CodeInfo all[] = {
        {"NO_VIDEO", false, "The post has no moving picture; there is nothing to save"},
        {"DRM_PROTECTED", false, "The video is encrypted; protected videos cannot be saved"},
        {"UNSUPPORTED_SOURCE", false, "The post offers no source that this version can fetch"},
        {"NOT_MEDIA", true,
         "The server sent something else than a video; retry, and log in if the page asks for it"},
        {"TRUNCATED", true, "The download ended early; it is fetched again"},
        {"WRONG_DURATION", true, "The download is not as long as its source says, or has a hole; it is fetched again"},
        {"MEDIA_DAMAGED", false, "The video cannot be decoded; check whether the page itself plays it"},
        {"TOO_LARGE", false, "Raise JOBRT_MAX_FILE_MB, or set JOBRT_MAX_HEIGHT, for a smaller variant"},
        {"TOO_LONG", false, "Raise JOBRT_MAX_DURATION_MS, or record a live stream by other means"},
        {"DOWNLOAD_TIMEOUT", true, "The server is slow; it is tried again by itself and resumes"},
        {"DISK_FULL", true, "Free space on the disk of the download folder"},
        {"MEDIA_IO", true, "Check the disk and the permissions of the download folder"},
        {"MEDIA_MEMORY", false,
         "The file wants more memory than jobrt-media may have; set JOBRT_MAX_HEIGHT, for a smaller variant"},
        {"MEDIA_TIMEOUT", false,
         "The file keeps jobrt-media busy for too long; retry when the machine has less to do, or set "
         "JOBRT_MAX_HEIGHT, for a smaller variant"},
        {"MEDIA_HELPER_CRASHED", false,
         "The file crashes the media libraries; update libav, and report the file"},
        {"MEDIA_HELPER_NOT_FOUND", false, "Install jobrt-media beside jobrt, or name its path"},
        {"FFMPEG_NOT_FOUND", false, "Correct FFMPEG_PATH, or unset it: the built-in libav then rewrites files"},
        {"FFMPEG_FAILED", false,
         "Try the program that FFMPEG_PATH names by hand, or unset it: the built-in libav then rewrites files"},
        {"PATH_REFUSED", false, "Remove the symbolic link or foreign file from the download folder"},
        {"DOWNLOAD_DIR_UNUSABLE", false,
         "Make the download folder writable for the worker, or set JOBRT_DOWNLOAD_DIR"},
    };
    return all;
}

}  // namespace jobruntime::media
