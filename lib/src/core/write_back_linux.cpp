// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/write_back_linux.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <system_error>
#include <thread>

#include <fcntl.h>

namespace jobruntime::core {
namespace {

constexpr std::uint64_t step = std::uint64_t{4} << 20;
constexpr std::uint64_t most_at_once = 4 * step;  // A stop waits for no more than that.

}  // namespace

struct WriteBack::Thread {
    explicit Thread(int file) : fd(file), worker([this](const std::stop_token& stop) { work(stop); }) {}

    void work(const std::stop_token& stop) {
        std::uint64_t begun = 0;
        std::unique_lock lock(mutex);
        while (changed.wait(lock, stop, [&] { return size != begun; }) && !stop.stop_requested()) {
            const auto from = begun;
            const auto to = begun = std::min(size, begun + most_at_once);
            if (to < from) continue;  // It was shortened.
            lock.unlock();
            // Where the file system knows nothing of it, the sync has all the work, as ever.
            (void)::sync_file_range(fd, static_cast<off64_t>(from), static_cast<off64_t>(to - from),
                                    SYNC_FILE_RANGE_WRITE);
            lock.lock();
        }
    }

    const int fd;
    std::mutex mutex;
    std::condition_variable_any changed;
    std::uint64_t size = 0;  // Guarded by mutex.
    std::jthread worker;     // Last: it ends before what it uses.
};

WriteBack::WriteBack() = default;
WriteBack::WriteBack(WriteBack&&) noexcept = default;
WriteBack& WriteBack::operator=(WriteBack&&) noexcept = default;
WriteBack::~WriteBack() = default;

void WriteBack::grown(int fd, std::uint64_t size) {
    if (size < told_) told_ = size;
    if (size - told_ < step) return;
    told_ = size;
    try {
        if (!thread_) thread_ = std::make_unique<Thread>(fd);
    } catch (const std::system_error&) {
        return;  // No thread left.
    }
    {
        const std::lock_guard lock(thread_->mutex);
        thread_->size = size;
    }
    thread_->changed.notify_all();
}

}  // namespace jobruntime::core
