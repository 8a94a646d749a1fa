// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <memory>

#include <jobruntime/export.hpp>

namespace jobruntime::core {

/// Has the kernel begin to write a file that is being appended to, a few megabytes at a time, so that the sync
/// at its end finds little left to do. On a thread of its own, for a busy disk makes that wait; small files start
/// none. Promises nothing: only the sync does. Move-only; ends before its file is closed.
class JOBRUNTIME_API WriteBack {
public:
    WriteBack();
    WriteBack(WriteBack&&) noexcept;
    WriteBack& operator=(WriteBack&&) noexcept;
    ~WriteBack();

    /// After `size` bytes are in the file.
    void grown(int fd, std::uint64_t size);

private:
    struct Thread;
    std::unique_ptr<Thread> thread_;
    std::uint64_t told_ = 0;
};

}  // namespace jobruntime::core
