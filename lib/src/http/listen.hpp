// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <jobruntime/result.hpp>

#include "http/fd.hpp"

namespace jobruntime::http {

/// The file of a Unix socket; it goes with its owner, unless another has taken its place.
class SocketFile {
public:
    SocketFile() = default;
    explicit SocketFile(std::string path);
    SocketFile(SocketFile&& other) noexcept
        : path_(std::exchange(other.path_, {})), device_(other.device_), inode_(other.inode_) {}
    SocketFile& operator=(SocketFile&& other) noexcept {
        std::swap(path_, other.path_);
        std::swap(device_, other.device_);
        std::swap(inode_, other.inode_);
        return *this;
    }
    ~SocketFile();

private:
    std::string path_;
    std::uint64_t device_ = 0, inode_ = 0;
};

/// Of connections that nobody has accepted yet, for each socket.
inline constexpr int pending_connections = 1024;

struct Listener {
    Fd socket;        ///< Listening, non-blocking.
    std::string url;  ///< "http://[::1]:4000", "unix:/run/jobrt.sock".
    SocketFile file;
};

/// Binds all addresses to one port, and the Unix sockets. Errors as Server::start says.
Result<std::vector<Listener>> listen_all(const std::vector<std::string>& addresses, int port, unsigned socket_mode,
                                         bool loopback_only, const std::function<void(std::string_view)>& log);

/// A Unix socket at that path. What a server that is no more has left there is replaced; what one that lives, or no
/// server, has put there is not.
Result<Listener> listen_unix(const std::string& path, unsigned mode);

}  // namespace jobruntime::http
