// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/files_linux.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "core/read_file_linux.hpp"

namespace jobruntime::sqlite {
namespace {

struct flock whole_file(short type) {
    struct flock lock {};
    lock.l_type = type;
    lock.l_whence = SEEK_SET;
    return lock;
}

std::string reason(int error) { return std::strerror(error); }

}  // namespace

Fd& Fd::operator=(Fd&& other) noexcept {
    if (this == &other) return *this;
    reset();
    fd_ = std::exchange(other.fd_, -1);
    return *this;
}

void Fd::reset() noexcept {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

Result<LockFile> LockFile::open(const std::string& path) {
    Fd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666));
    if (!fd) return Error{Errc::unavailable, "the lock file " + path + " could not be opened: " + reason(errno)};
    return LockFile(std::move(fd));
}

bool LockFile::try_lock(bool exclusive) const {
    auto lock = whole_file(exclusive ? F_WRLCK : F_RDLCK);
    return ::fcntl(fd_.get(), F_OFD_SETLK, &lock) == 0;
}

void LockFile::unlock() const {
    auto lock = whole_file(F_UNLCK);
    ::fcntl(fd_.get(), F_OFD_SETLK, &lock);
}

bool LockFile::wait(bool exclusive, SteadyTime deadline) const {
    constexpr int spins = 20;
    for (int tries = 0;; ++tries) {
        if (try_lock(exclusive)) return true;
        if (std::chrono::steady_clock::now() >= deadline) return false;
        if (tries < spins)
            std::this_thread::yield();
        else
            std::this_thread::sleep_for(std::min(std::chrono::microseconds(30 * (tries - spins + 1)),
                                                 std::chrono::microseconds(1'000)));
    }
}

LockSeen look_at_lock(const std::string& path) {
    const Fd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd) return LockSeen::no_file;
    auto lock = whole_file(F_WRLCK);
    if (::fcntl(fd.get(), F_OFD_GETLK, &lock) != 0) return LockSeen::held;
    return lock.l_type == F_UNLCK ? LockSeen::free : LockSeen::held;
}

Result<std::string> absolute_path(std::string_view path) {
    const auto refuse = [&](const std::string& why) {
        return Error{Errc::invalid_argument, "the store's path \"" + std::string(path) + "\" " + why};
    };
    if (path.empty()) return refuse("is empty; name a file");
    if (path.find('\0') != path.npos) return refuse("has a zero byte in it; name a file");
    const std::string text(path);
    const auto resolve = [](const std::string& name) {
        const std::unique_ptr<char, decltype(&std::free)> real(::realpath(name.c_str(), nullptr), &std::free);
        return real ? std::string(real.get()) : std::string();
    };
    if (auto real = resolve(text); !real.empty()) {
        struct stat facts {};
        if (::stat(real.c_str(), &facts) != 0) return refuse("cannot be looked at: " + reason(errno));
        if (S_ISDIR(facts.st_mode)) return refuse("is a folder; name a file in it");
        if (!S_ISREG(facts.st_mode)) return refuse("is no ordinary file; name another");
        if (::access(real.c_str(), R_OK | W_OK) != 0) return refuse("cannot be written: " + reason(errno));
        return real;
    }
    if (errno != ENOENT) return refuse("cannot be reached: " + reason(errno));
    const auto slash = text.rfind('/');
    const auto name = slash == text.npos ? text : text.substr(slash + 1);
    if (name.empty() || name == "." || name == "..") return refuse("names no file");
    const auto folder = resolve(slash == text.npos ? "." : slash == 0 ? "/" : text.substr(0, slash));
    if (folder.empty()) return refuse("lies in a folder that is not there: " + reason(errno));
    if (::access(folder.c_str(), W_OK | X_OK) != 0) return refuse("lies in a folder that cannot be written: " + reason(errno));
    struct stat facts {};
    const auto full = folder + (folder == "/" ? "" : "/") + name;
    if (::lstat(full.c_str(), &facts) == 0 && S_ISLNK(facts.st_mode)) return refuse("is a link to a file that is not there");
    return full;
}

namespace {

/// "fuse.sshfs" and its like: statfs says only FUSE, the list of mounts says what is behind it.
std::string mount_type(const std::string& folder) {
    struct stat facts {};
    if (::stat(folder.c_str(), &facts) != 0) return {};
    const auto device = std::to_string(gnu_dev_major(facts.st_dev)) + ":" + std::to_string(gnu_dev_minor(facts.st_dev));
    std::istringstream mounts(core::read_file("/proc/self/mountinfo").value_or(std::string()));
    for (std::string line; std::getline(mounts, line);) {
        std::istringstream words(line);
        std::string id, parent, number;
        words >> id >> parent >> number;
        const auto dash = line.find(" - ");
        if (number != device || dash == line.npos) continue;
        return line.substr(dash + 3, line.find(' ', dash + 3) - dash - 3);
    }
    return {};
}

}  // namespace

std::string filesystem_of(const std::string& folder) {
    struct Known {
        unsigned long type;
        const char* name;
    };
    // The numbers are from the kernel's magic.h and the file systems' own sources.
    static constexpr std::array<Known, 13> known{{{0x6969, "nfs"},
                                                  {0xff534d42, "cifs"},
                                                  {0xfe534d42, "smb2"},
                                                  {0x517b, "smb"},
                                                  {0x5346414f, "afs"},
                                                  {0x6b414653, "afs"},
                                                  {0x73757245, "coda"},
                                                  {0x00c36400, "ceph"},
                                                  {0x01021997, "9p"},
                                                  {0x0bd00bd0, "lustre"},
                                                  {0x47504653, "gpfs"},
                                                  {0x7461636f, "ocfs2"},
                                                  {0x01161970, "gfs2"}}};
    constexpr unsigned long fuse = 0x65735546;
    struct statfs facts {};
    if (::statfs(folder.c_str(), &facts) != 0) return {};
    const auto type = static_cast<unsigned long>(facts.f_type) & 0xffffffffu;
    if (type == fuse) return mount_type(folder);
    for (const auto& one : known)
        if (one.type == type) return one.name;
    return {};
}

bool is_network_filesystem(std::string_view name) {
    // What FUSE serves from this machine (overlays of containers, for one) is as good as any other.
    static constexpr std::array<std::string_view, 24> network{
        "nfs",         "nfs4",        "cifs",       "smb",         "smb2",       "smb3",         "afs",          "coda",
        "ceph",        "9p",          "lustre",     "gpfs",        "ocfs2",      "gfs2",         "fuse.sshfs",   "fuse.rclone",
        "fuse.s3fs",   "fuse.gcsfuse", "fuse.davfs", "fuse.glusterfs", "fuse.ceph", "fuse.cephfs", "fuse.smbnetfs", "fuse.curlftpfs"};
    return std::find(network.begin(), network.end(), name) != network.end();
}

std::uint64_t free_bytes(const std::string& path) {
    struct statvfs facts {};
    if (::statvfs(path.c_str(), &facts) != 0) return UINT64_MAX;
    return static_cast<std::uint64_t>(facts.f_bavail) * facts.f_frsize;
}

Result<void> make_folder(const std::string& path) {
    if (::mkdir(path.c_str(), 0777) == 0 || errno == EEXIST) return {};
    const bool full = errno == ENOSPC || errno == EDQUOT;
    return Error{full ? Errc::full : Errc::invalid_argument, full ? "STORE_FULL" : "",
                 "the folder " + path + " could not be made: " + reason(errno)};
}

bool same_file(const std::string& one, const std::string& other) {
    struct stat first {}, second {};
    return ::stat(one.c_str(), &first) == 0 && ::stat(other.c_str(), &second) == 0 && first.st_dev == second.st_dev &&
           first.st_ino == second.st_ino;
}

bool Ballast::there() const { return !used() || ::access(path_.c_str(), F_OK) == 0; }

bool Ballast::build() const {
    if (there()) return true;
    if (free_bytes(path_.substr(0, path_.rfind('/'))) < 2 * bytes_) return false;
    const auto part = path_ + ".part";
    const Fd fd(::open(part.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
    if (!fd) return false;
    if (::posix_fallocate(fd.get(), 0, static_cast<off_t>(bytes_)) != 0 || ::rename(part.c_str(), path_.c_str()) != 0) {
        ::unlink(part.c_str());
        return false;
    }
    return true;
}

bool Ballast::release() const { return used() && ::unlink(path_.c_str()) == 0; }

std::string host_name() {
    std::array<char, HOST_NAME_MAX + 1> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0) return {};
    return name.data();
}

std::string boot_id() {
    const auto text = core::read_file("/proc/sys/kernel/random/boot_id").value_or(std::string());
    return text.substr(0, text.find('\n'));
}

}  // namespace jobruntime::sqlite
