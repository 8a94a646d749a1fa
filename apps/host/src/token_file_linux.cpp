// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "token_file.hpp"

namespace jobruntime::host::token_file {
namespace {

constexpr std::size_t most_bytes = 1u << 20;

Error refused(std::string text) { return {Errc::invalid_argument, "TOKEN_FILE_REFUSED", std::move(text)}; }

std::string why() { return std::generic_category().message(errno); }

struct Closing {
    int fd;
    ~Closing() {
        if (fd >= 0) ::close(fd);
    }
};

Stamp stamp_from(const struct stat& facts) {
    const auto nanoseconds = [](const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; };
    return {facts.st_dev, facts.st_ino, static_cast<std::uint64_t>(facts.st_size), nanoseconds(facts.st_mtim),
            nanoseconds(facts.st_ctim)};
}

std::string folder_of(const std::string& path) {
    const auto folder = std::filesystem::path(path).parent_path().string();
    return folder.empty() ? "." : folder;
}

bool write_all(int fd, const std::string& text) {
    for (std::size_t at = 0; at < text.size();) {
        const auto written = ::write(fd, text.data() + at, text.size() - at);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) return false;
        at += static_cast<std::size_t>(written);
    }
    return true;
}

/// For root: whom the file is to belong to.
void keep_owner(int fd, const std::string& path) {
    if (geteuid() != 0) return;
    struct stat facts {};
    if (::stat(path.c_str(), &facts) != 0 && ::stat(folder_of(path).c_str(), &facts) != 0) return;
    // Root may always; where it may not (a mount of its own rules), the file stays root's.
    if (fchown(fd, facts.st_uid, facts.st_gid) != 0) errno = 0;
}

}  // namespace

std::optional<Stamp> stamp_of(const std::string& path) {
    struct stat facts {};
    if (::stat(path.c_str(), &facts) != 0) return std::nullopt;
    return stamp_from(facts);
}

Result<Contents> read(const std::string& path) {
    const Closing file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)};
    if (file.fd < 0 && errno == ENOENT)
        return Error{Errc::not_found, "TOKEN_FILE_REFUSED", path + " is not there; make it with: jobrt token create NAME --role admin"};
    if (file.fd < 0) return refused("cannot read " + path + ": " + why() + "; it must belong to the user that runs jobrt");
    struct stat facts {};
    if (fstat(file.fd, &facts) != 0 || !S_ISREG(facts.st_mode)) return refused(path + " is no plain file; name another in JOBRT_TOKEN_FILE");
    if ((facts.st_mode & 077) != 0)
        return refused("others than its owner may use " + path + "; close it with: chmod 600 " + path);
    if (facts.st_size > static_cast<off_t>(most_bytes)) return refused(path + " is larger than 1 MiB; that is no file of tokens");
    Contents contents;
    contents.stamp = stamp_from(facts);
    std::array<char, 16'384> part;
    while (true) {
        const auto size = ::read(file.fd, part.data(), part.size());
        if (size < 0 && errno == EINTR) continue;
        if (size < 0) return refused("cannot read " + path + ": " + why());
        if (size == 0) return contents;
        if (contents.text.size() >= most_bytes) return refused(path + " grows while it is read; that is no file of tokens");
        contents.text.append(part.data(), static_cast<std::size_t>(size));
    }
}

Result<void> replace(const std::string& path, const std::string& text) {
    const std::string beside = path + ".new";
    // What a killed writer left behind; the lock says that nobody writes it now.
    ::unlink(beside.c_str());
    const Closing file{::open(beside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600)};
    if (file.fd < 0) return refused("cannot write " + beside + ": " + why());
    keep_owner(file.fd, path);
    if (fchmod(file.fd, 0600) != 0 || !write_all(file.fd, text) || fsync(file.fd) != 0 ||
        ::rename(beside.c_str(), path.c_str()) != 0) {
        const auto reason = why();
        ::unlink(beside.c_str());
        return refused("cannot write " + path + ": " + reason);
    }
    const Closing folder{::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (folder.fd < 0 || fsync(folder.fd) != 0) return refused("cannot write the folder of " + path + ": " + why());
    return {};
}

Result<Lock> Lock::take(const std::string& path) {
    // The folder, because the file itself is replaced.
    const int folder = ::open(folder_of(path).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) return refused("cannot open the folder of " + path + ": " + why() + "; make it first");
    Lock lock(folder);
    while (flock(folder, LOCK_EX) != 0)
        if (errno != EINTR) return refused("cannot lock the folder of " + path + ": " + why());
    return lock;
}

Lock::~Lock() {
    if (folder_ >= 0) ::close(folder_);
}

Result<std::string> random_digits(std::size_t bytes) {
    std::string raw(bytes, '\0');
    for (std::size_t at = 0; at < bytes;) {
        const auto got = getrandom(raw.data() + at, bytes - at, 0);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return Error{Errc::unavailable, "NO_RANDOMNESS", "the system gives no random numbers: " + why()};
        at += static_cast<std::size_t>(got);
    }
    std::string digits;
    for (const char c : raw) {
        const auto byte = static_cast<unsigned char>(c);
        digits += "0123456789abcdef"[byte >> 4];
        digits += "0123456789abcdef"[byte & 0xf];
    }
    return digits;
}

}  // namespace jobruntime::host::token_file
