// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>

#include "http/listen.hpp"

namespace jobruntime::http {
namespace {


Error refused(const std::string& path, const std::string& why) {
    return {Errc::invalid_argument, "ADDRESS_REFUSED", "cannot listen on unix:" + path + ": " + why};
}

Error failed(const std::string& path, int why) { return refused(path, std::generic_category().message(why)); }

/// Makes way: nothing is there, or what a dead server has left is taken away.
Result<void> clear(const std::string& path, const sockaddr_un& address) {
    struct stat facts {};
    if (lstat(path.c_str(), &facts) != 0) {
        if (errno == ENOENT) return {};
        return failed(path, errno);
    }
    if (!S_ISSOCK(facts.st_mode)) return refused(path, "a file that is no socket is there; move it away or choose another path");
    Fd probe(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!probe) return failed(path, errno);
    const bool answers = connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
    if (answers || errno != ECONNREFUSED)
        return Error{Errc::conflict, "PORT_IN_USE",
                     "another program listens on unix:" + path + "; stop it or choose another path"};
    if (unlink(path.c_str()) != 0 && errno != ENOENT) return failed(path, errno);
    return {};
}

}  // namespace

SocketFile::SocketFile(std::string path) {
    struct stat facts {};
    if (lstat(path.c_str(), &facts) != 0) return;
    path_ = std::move(path);
    device_ = facts.st_dev;
    inode_ = facts.st_ino;
}

SocketFile::~SocketFile() {
    struct stat facts {};
    if (path_.empty() || lstat(path_.c_str(), &facts) != 0) return;
    if (facts.st_dev == device_ && facts.st_ino == inode_) unlink(path_.c_str());
}

Result<Listener> listen_unix(const std::string& path, unsigned mode) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (!path.starts_with('/')) return refused(path, "the path must be absolute");
    if (path.size() >= sizeof address.sun_path) return refused(path, "the path is longer than the system's 107 bytes");
    std::memcpy(address.sun_path, path.data(), path.size());
    JR_TRY(clear(path, address));
    Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return failed(path, errno);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return failed(path, errno);
    SocketFile file(path);
    // Before anybody can connect, so that there is no moment with the wrong mode.
    if (chmod(path.c_str(), static_cast<mode_t>(mode)) != 0) return failed(path, errno);
    if (listen(fd.get(), pending_connections) != 0) return failed(path, errno);
    return Listener{std::move(fd), "unix:" + path, std::move(file)};
}

}  // namespace jobruntime::http
