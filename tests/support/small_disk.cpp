// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "support/small_disk.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <stdexcept>

#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

namespace jobruntime::tests {
namespace {

/// The folder that the shim watches, and how much may be in it.
struct Quota {
    std::mutex mutex;
    std::atomic<bool> on{false};
    std::string folder;       // Guarded by mutex.
    std::uint64_t bytes = 0;  // Guarded by mutex.
};

// Calls of the C library have nobody to hand it to them.
Quota& quota() {
    static Quota one;
    return one;
}

constexpr std::uint64_t in_pages(std::uint64_t size) { return (size + 4095) / 4096 * 4096; }

/// What the folder's files take. Files that are deleted but still open are free space here.
std::uint64_t used(const std::string& folder) {
    std::uint64_t sum = 0;
    std::error_code gone;
    for (std::filesystem::recursive_directory_iterator at(folder, gone), end; !gone && at != end;
         at.increment(gone)) {
        struct stat facts {};
        if (::lstat(at->path().c_str(), &facts) == 0 && S_ISREG(facts.st_mode))
            sum += in_pages(static_cast<std::uint64_t>(facts.st_size));
    }
    return sum;
}

bool inside(int fd, const std::string& folder) {
    std::array<char, PATH_MAX> path{};
    const auto link = "/proc/self/fd/" + std::to_string(fd);
    const auto length = ::readlink(link.c_str(), path.data(), path.size());
    return length > 0 &&
           std::string_view(path.data(), static_cast<std::size_t>(length)).starts_with(folder + "/");
}

/// Whether the file may become so large; the caller holds `held` until it has, so that two do not take the
/// same space.
bool fits(int fd, std::uint64_t size, std::unique_lock<std::mutex>& held) {
    auto& limit = quota();
    if (!limit.on) return true;
    held = std::unique_lock(limit.mutex);
    struct stat facts {};
    if (::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) return true;
    const auto now = in_pages(static_cast<std::uint64_t>(facts.st_size));
    if (in_pages(size) <= now || !inside(fd, limit.folder)) return true;
    return used(limit.folder) + in_pages(size) - now <= limit.bytes;
}

template <class Call>
auto unless_full(int fd, std::uint64_t size, Call&& call) -> decltype(call()) {
    std::unique_lock<std::mutex> held;
    if (fits(fd, size, held)) return call();
    errno = ENOSPC;
    return -1;
}

std::uint64_t end_of_write(int fd, std::size_t size) {
    if (!quota().on) return 0;
    const auto at = ::lseek(fd, 0, SEEK_CUR);
    struct stat facts {};
    const bool appends = (::fcntl(fd, F_GETFL) & O_APPEND) != 0 && ::fstat(fd, &facts) == 0;
    return static_cast<std::uint64_t>(appends ? facts.st_size : std::max<off_t>(at, 0)) + size;
}

}  // namespace

SmallDisk::SmallDisk(std::string path, std::uint64_t bytes, How how) : path_(std::move(path)) {
    std::filesystem::create_directories(path_);
    path_ = std::filesystem::canonical(path_);
    const auto size = "size=" + std::to_string(bytes);
    mounted_ = how == How::any && ::mount("tmpfs", path_.c_str(), "tmpfs", 0, size.c_str()) == 0;
    if (!mounted_) {
        const std::scoped_lock lock(quota().mutex);
        if (quota().on) throw std::logic_error("there is a small disk already");
        quota().folder = path_;
        quota().bytes = bytes;
        quota().on = true;
    }
    std::printf("counts: the small disk is %s\n", name());
    std::fflush(stdout);
}

SmallDisk::~SmallDisk() {
    if (mounted_)
        ::umount2(path_.c_str(), MNT_DETACH);
    else
        quota().on = false;
}

void SmallDisk::fill(const std::string& file) const {
    const int fd = ::open((path_ + "/" + file).c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const std::string block(4096, 'x');
    while (::write(fd, block.data(), block.size()) == static_cast<ssize_t>(block.size())) {}
    ::close(fd);
}

}  // namespace jobruntime::tests

// What stands before the C library's own. SQLite takes the names with 64, other code those without.
using jobruntime::tests::end_of_write;
using jobruntime::tests::unless_full;
#define JOBRT_SHIM extern "C" __attribute__((visibility("default")))

JOBRT_SHIM ssize_t pwrite64(int fd, const void* data, size_t size, off64_t at) {
    return unless_full(fd, static_cast<std::uint64_t>(at) + size,
                       [&] { return static_cast<ssize_t>(::syscall(SYS_pwrite64, fd, data, size, at)); });
}
JOBRT_SHIM ssize_t pwrite(int fd, const void* data, size_t size, off_t at) {
    return pwrite64(fd, data, size, at);
}
JOBRT_SHIM ssize_t write(int fd, const void* data, size_t size) {
    return unless_full(fd, end_of_write(fd, size),
                       [&] { return static_cast<ssize_t>(::syscall(SYS_write, fd, data, size)); });
}
JOBRT_SHIM ssize_t writev(int fd, const iovec* parts, int count) {
    std::size_t size = 0;
    for (int i = 0; i < count; ++i) size += parts[i].iov_len;
    return unless_full(fd, end_of_write(fd, size),
                       [&] { return static_cast<ssize_t>(::syscall(SYS_writev, fd, parts, count)); });
}
JOBRT_SHIM int ftruncate64(int fd, off64_t size) noexcept {
    return unless_full(fd, static_cast<std::uint64_t>(size),
                       [&] { return static_cast<int>(::syscall(SYS_ftruncate, fd, size)); });
}
JOBRT_SHIM int ftruncate(int fd, off_t size) noexcept { return ftruncate64(fd, size); }
JOBRT_SHIM int posix_fallocate64(int fd, off64_t from, off64_t size) {
    const int code = unless_full(fd, static_cast<std::uint64_t>(from + size), [&] {
        return static_cast<int>(::syscall(SYS_fallocate, fd, 0, from, size));
    });
    return code == 0 ? 0 : errno;
}
JOBRT_SHIM int posix_fallocate(int fd, off_t from, off_t size) { return posix_fallocate64(fd, from, size); }
JOBRT_SHIM int statvfs(const char* path, struct statvfs* facts) noexcept {
    using Real = int (*)(const char*, struct statvfs*);
    static const auto real = reinterpret_cast<Real>(::dlsym(RTLD_NEXT, "statvfs"));
    const int code = real(path, facts);
    auto& limit = jobruntime::tests::quota();
    if (code != 0 || !limit.on) return code;
    const std::scoped_lock lock(limit.mutex);
    if ((std::string(path) + "/").starts_with(limit.folder + "/")) {
        const auto taken = jobruntime::tests::used(limit.folder);
        facts->f_bavail = facts->f_bfree = limit.bytes > taken ? (limit.bytes - taken) / facts->f_frsize : 0;
    }
    return code;
}
