// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "net/folders.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

namespace jobruntime::net {
namespace {

constexpr int folder_flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

struct CloseDir {
    void operator()(DIR* dir) const noexcept { ::closedir(dir); }
};

bool no_space(int code) { return code == ENOSPC || code == EDQUOT; }

}  // namespace

Error path_refused(const std::string& what) {
    return Error{Errc::conflict, "PATH_REFUSED",
                 what + " would lead out of the download folder; remove the link or the foreign file there"};
}

Error folder_error(int code, const std::string& what) {
    const std::string text = "cannot " + what + ": " + std::strerror(code);
    if (no_space(code)) return Error{Errc::full, "DISK_FULL", text + "; free space and retry the job"};
    if (code == EACCES || code == EPERM || code == EROFS)
        return Error{Errc::unsupported, "DOWNLOAD_DIR_UNUSABLE",
                     text + "; make the download folder writable for this user"};
    return Error{Errc::unavailable, "MEDIA_IO", text};
}

Result<Fd> open_root(const std::string& path) {
    std::error_code wrong;
    std::filesystem::create_directories(path, wrong);  // Its own error says less than opening does.
    Fd root(::open(path.c_str(), folder_flags));
    if (root) return root;
    const int code = wrong ? wrong.value() : errno;
    return Error{no_space(code) ? Errc::full : Errc::unsupported,
                 no_space(code) ? "DISK_FULL" : "DOWNLOAD_DIR_UNUSABLE",
                 "cannot use the download folder " + path + ": " + std::strerror(code) +
                     "; make it a folder that this user can write, or name another"};
}

Result<Fd> open_folder(const Fd& parent, const std::string& name) {
    Fd folder(::openat(parent.get(), name.c_str(), folder_flags | O_NOFOLLOW));
    if (folder) return folder;
    if (errno == ELOOP || errno == ENOTDIR) return path_refused(name);
    if (errno == ENOENT) return Error{Errc::not_found, "the folder " + name + " is not there"};
    return folder_error(errno, "open the folder " + name);
}

Result<Fd> make_folder(const Fd& parent, const std::string& name, mode_t mode) {
    if (::mkdirat(parent.get(), name.c_str(), mode) != 0 && errno != EEXIST)
        return folder_error(errno, "make the folder " + name);
    return open_folder(parent, name);
}

Result<void> each_name(const Fd& folder, const std::function<void(const std::string&)>& visit) {
    // fdopendir takes its descriptor over and moves its position: a fresh one is opened for it.
    Fd own(::openat(folder.get(), ".", folder_flags));
    if (!own) return folder_error(errno, "read a folder");
    const std::unique_ptr<DIR, CloseDir> dir(::fdopendir(own.get()));
    if (!dir) return folder_error(errno, "read a folder");
    (void)own.release();
    while (const dirent* entry = ::readdir(dir.get())) {
        const std::string name = entry->d_name;
        if (name != "." && name != "..") visit(name);
    }
    return {};
}

Result<bool> remove_name(const Fd& folder, const std::string& name) {
    if (::unlinkat(folder.get(), name.c_str(), 0) == 0) return true;
    if (errno == ENOENT) return false;
    return folder_error(errno, "remove " + name);
}

Result<void> sync_folder(const Fd& folder) {
    return ::fsync(folder.get()) == 0 ? Result<void>() : Result<void>(folder_error(errno, "sync the folder"));
}

}  // namespace jobruntime::net
