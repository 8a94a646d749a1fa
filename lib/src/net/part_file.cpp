// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "net/part_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace jobruntime::net {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view first_line = "jobruntime partial download 1";

fs::path part_of(const fs::path& target) { return target.string() + ".part"; }
fs::path info_of(const fs::path& target) { return target.string() + ".part.info"; }

Error file_error(const char* what, const fs::path& path, int error) {
    const bool full = error == ENOSPC || error == EDQUOT || error == EFBIG;
    return Error{full ? Errc::full : Errc::internal, full ? "DISK_FULL" : "",
                 std::string(what) + " " + path.string() + ": " + std::strerror(error)};
}

Result<void> write_fully(int fd, std::string_view bytes, const fs::path& path) {
    while (!bytes.empty()) {
        const auto written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return file_error("cannot write", path, errno);
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return {};
}

/// A link planted under our name must not lead the bytes elsewhere.
Fd open_own(const fs::path& path, int flags) {
    return Fd(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0644));
}

std::optional<PartInfo> read_info(const fs::path& path) {
    const Fd fd = open_own(path, O_RDONLY);
    char text[16 * 1024];
    const auto size = fd ? ::read(fd.get(), text, sizeof text) : 0;
    if (size <= 0) return std::nullopt;
    std::string_view rest(text, static_cast<std::size_t>(size));
    const auto line = [&rest]() -> std::optional<std::string_view> {
        const auto end = rest.find('\n');
        if (end == std::string_view::npos) return std::nullopt;
        const auto taken = rest.substr(0, end);
        rest.remove_prefix(end + 1);
        return taken;
    };
    if (line() != first_line) return std::nullopt;
    const auto source = line();
    const auto validator = line();
    const auto total = line();
    if (!source || !validator || !total || !rest.empty()) return std::nullopt;
    PartInfo info{.source = std::string(*source), .validator = std::string(*validator)};
    const auto [end, error] = std::from_chars(total->data(), total->data() + total->size(), info.total);
    if (error != std::errc{} || end != total->data() + total->size()) return std::nullopt;
    return info;
}

}  // namespace

Result<PartFile> PartFile::open(const fs::path& target, const std::string& source, bool keep) {
    PartFile file;
    file.target_ = target;
    file.fd_ = open_own(part_of(target), O_RDWR | O_CREAT | O_APPEND);
    if (!file.fd_) return file_error("cannot open", part_of(target), errno);
    struct stat facts {};
    if (::fstat(file.fd_.get(), &facts) != 0) return file_error("cannot read", part_of(target), errno);
    if (!S_ISREG(facts.st_mode))
        return Error{Errc::internal, "", part_of(target).string() + " is not a file; remove it"};
    const auto info = keep ? read_info(info_of(target)) : std::nullopt;
    const auto size = static_cast<std::uint64_t>(facts.st_size);
    if (info && info->source == source && !info->validator.empty() &&
        (info->total == 0 || size <= info->total)) {
        file.info_ = *info;
        file.size_ = size;
    } else if (::ftruncate(file.fd_.get(), 0) != 0) {
        return file_error("cannot shorten", part_of(target), errno);
    }
    return file;
}

Result<void> PartFile::begin(PartInfo info) {
    if (::ftruncate(fd_.get(), 0) != 0) return file_error("cannot shorten", part_of(target_), errno);
    size_ = 0;
    info_ = std::move(info);
    const Fd fd = open_own(info_of(target_), O_WRONLY | O_CREAT | O_TRUNC);
    if (!fd) return file_error("cannot open", info_of(target_), errno);
    return write_fully(fd.get(),
                       std::string(first_line) + "\n" + info_.source + "\n" + info_.validator + "\n" +
                           std::to_string(info_.total) + "\n",
                       info_of(target_));
}

Result<void> PartFile::append(std::string_view bytes) {
    JR_TRY(write_fully(fd_.get(), bytes, part_of(target_)));
    size_ += bytes.size();
    write_back_.grown(fd_.get(), size_);
    return {};
}

Result<bool> PartFile::holds(std::uint64_t at, std::string_view bytes) const {
    char block[16 * 1024];
    while (!bytes.empty()) {
        const auto got = ::pread(fd_.get(), block, std::min(bytes.size(), sizeof block), static_cast<off_t>(at));
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return file_error("cannot read", part_of(target_), errno);
        const auto size = static_cast<std::size_t>(got);
        if (size == 0 || bytes.substr(0, size) != std::string_view(block, size)) return false;
        bytes.remove_prefix(size);
        at += size;
    }
    return true;
}

Result<void> PartFile::publish() {
    if (::fsync(fd_.get()) != 0) return file_error("cannot flush", part_of(target_), errno);
    if (::rename(part_of(target_).c_str(), target_.c_str()) != 0)
        return file_error("cannot rename the finished download to", target_, errno);
    ::unlink(info_of(target_).c_str());
    const auto folder = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
    const Fd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || ::fsync(fd.get()) != 0) return file_error("cannot flush the folder", folder, errno);
    return {};
}

void discard_partial(const fs::path& target) {
    ::unlink(part_of(target).c_str());
    ::unlink(info_of(target).c_str());
}

}  // namespace jobruntime::net
