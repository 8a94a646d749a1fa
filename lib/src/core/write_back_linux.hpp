// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <fcntl.h>

#include <cstdint>

namespace jobruntime::core {

/// Has the kernel begin to write a file that is being appended to, a few megabytes at a time, so that the sync
/// at its end finds little left to do. Promises nothing: only the sync does.
class WriteBack {
public:
    /// After `size` bytes are in the file.
    void grown(int fd, std::uint64_t size) {
        if (size < begun_) begun_ = size;  // It was shortened.
        if (size - begun_ < step) return;
        // Where the file system knows nothing of it, the sync has all the work, as ever.
        (void)::sync_file_range(fd, static_cast<off64_t>(begun_), static_cast<off64_t>(size - begun_),
                                SYNC_FILE_RANGE_WRITE);
        begun_ = size;
    }

private:
    static constexpr std::uint64_t step = std::uint64_t{4} << 20;
    std::uint64_t begun_ = 0;
};

}  // namespace jobruntime::core
