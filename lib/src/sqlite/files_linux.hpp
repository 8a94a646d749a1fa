// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include <jobruntime/clock.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime::sqlite {

/// Owns a file descriptor. All are opened with O_CLOEXEC.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept;
    ~Fd() { reset(); }
    void reset() noexcept;
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

/// An open file used as a lock. The lock belongs to this opening of it ("open file description"), so
/// two stores in one process exclude each other too, and it ends with the process.
class LockFile {
public:
    static Result<LockFile> open(const std::string& path);
    /// False: somebody else holds it.
    bool try_exclusive() const { return try_lock(true); }
    bool try_shared() const { return try_lock(false); }
    void unlock() const;
    /// Waits by looking again, often at first: a holder that is frozen can never hang the caller.
    bool wait_exclusive(SteadyTime deadline) const { return wait(true, deadline); }
    bool wait_shared(SteadyTime deadline) const { return wait(false, deadline); }
    void close_in_child() { fd_.reset(); }
    int fd() const { return fd_.get(); }

private:
    explicit LockFile(Fd fd) : fd_(std::move(fd)) {}
    bool try_lock(bool exclusive) const;
    bool wait(bool exclusive, SteadyTime deadline) const;
    Fd fd_;
};

/// Does anybody hold a lock on this file? Looking changes nothing.
enum class LockSeen { no_file, free, held };
LockSeen look_at_lock(const std::string& path);

/// The path made absolute, links in it followed; the file itself need not be there.
/// Errc::invalid_argument says what is wrong with it.
Result<std::string> absolute_path(std::string_view path);
/// The name of the file system that the folder lies on, as mount(8) writes it where it matters here
/// ("nfs", "fuse.sshfs"); empty = none that we need to know.
std::string filesystem_of(const std::string& folder);
/// A file system between machines, where locks and shared memory cannot be trusted.
bool is_network_filesystem(std::string_view name);
/// Free bytes for us on the file system of this path; the largest number = unknown.
std::uint64_t free_bytes(const std::string& path);
Result<void> make_folder(const std::string& path);
bool same_file(const std::string& one, const std::string& other);

/// Space kept in reserve on the disk, given up when the disk is full so that jobs can still end. While the file
/// is missing, the disk counts as full for all processes.
class Ballast {
public:
    Ballast(std::string path, std::uint64_t bytes) : path_(std::move(path)), bytes_(bytes) {}
    /// Makes the file if there is room for it and as much again. False: still missing.
    bool build() const;
    bool there() const;
    /// True: there was one to give up.
    bool release() const;
    bool used() const { return bytes_ > 0; }

private:
    std::string path_;
    std::uint64_t bytes_;
};

std::string host_name();
/// Changes with every boot; empty = unknown.
std::string boot_id();

}  // namespace jobruntime::sqlite
