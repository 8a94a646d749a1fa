// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Files on their way: sendfile() waits for the disk, and the front's thread must not. So what is not in memory is read by
// another thread first, which leaves it in the system's cache.
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/failpoint.hpp"
#include "http/front.hpp"

namespace jobruntime::http {
namespace {

/// So much of a file is made ready at a time.
constexpr std::uint64_t part_size = 256 << 10;
/// The system reads ahead in pieces of at least this size.
constexpr std::int64_t probe_step = 32 << 10;

/// Whether these bytes can be had without waiting for the disk. Pages between the probes may be missing, rarely.
bool in_memory(int file, std::int64_t from, std::int64_t end) {
    if (JOBRT_FAILPOINT("http.cold_file")) return false;
    const auto is_there = [file](std::int64_t at) {
        char byte = 0;
        const iovec one{&byte, 1};
        // 0: the file was cut short, which sendfile() will say at once.
        return preadv2(file, &one, 1, at, RWF_NOWAIT) >= 0;
    };
    for (auto at = from; at < end; at += probe_step)
        if (!is_there(at)) return false;
    return is_there(end - 1);
}

/// An error is sendfile()'s to tell.
void read_through(int file, std::int64_t from, std::int64_t end) {
    if (JOBRT_FAILPOINT("http.read_file")) return;
    std::array<char, 64 << 10> bytes;
    while (from < end) {
        const auto size = pread(file, bytes.data(), static_cast<std::size_t>(std::min<std::int64_t>(end - from, bytes.size())), from);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) return;
        from += size;
    }
}

}  // namespace

/// True: the next part of the file is in memory, up to `file_ready`. Else it is on its way, or the connection is closed.
bool Front::bring_file(std::uint64_t key, Connection& connection) {
    const Reply& reply = *connection.reply;
    const auto from = reply.file_at;
    const auto end = from + static_cast<std::int64_t>(std::min(reply.file_left, part_size));
    if (in_memory(reply.file->get(), from, end)) {
        connection.file_ready = end;
        return true;
    }
    // A file that nobody waits for any more is not kept open by what has not begun.
    const bool taken = disk_.submit([this, key, from, end, file = std::weak_ptr<const Fd>(reply.file)] {
        const auto kept = file.lock();
        if (!kept) return;
        read_through(kept->get(), from, end);
        std::lock_guard lock(mutex_);
        if (gone_) return;
        brought_.push_back({key, end});
        loop_.ring();
    });
    if (!taken) {
        close(key);
        return false;
    }
    connection.bringing = true;
    watch(key, connection, 0);
    return false;
}

void Front::take_brought() {
    std::vector<Brought> brought;
    {
        std::lock_guard lock(mutex_);
        brought.swap(brought_);
    }
    for (const auto& part : brought) {
        const auto found = connections_.find(part.key);
        if (found == connections_.end()) continue;  // It has left meanwhile.
        found->second->bringing = false;
        found->second->file_ready = part.end;
        write(part.key, *found->second);
    }
}

}  // namespace jobruntime::http
