// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <cstring>
#include <string>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <doctest/doctest.h>

namespace jobruntime::test {

/// A supervisor's end of the sd_notify protocol, in the abstract name space: no file to clean up.
class Supervisor {
public:
    Supervisor() : name_("@jobrt-test-notify-" + std::to_string(getpid())) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::memcpy(address.sun_path, name_.data(), name_.size());
        address.sun_path[0] = '\0';
        fd_ = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        const timeval limit{0, 100'000};
        setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
        REQUIRE(bind(fd_, reinterpret_cast<const sockaddr*>(&address), length) == 0);
    }
    ~Supervisor() { close(fd_); }
    Supervisor(const Supervisor&) = delete;
    Supervisor& operator=(const Supervisor&) = delete;

    const std::string& name() const { return name_; }
    /// The next datagram; "" when none came within a tenth of a second.
    std::string next() const {
        char text[512];
        const auto got = recv(fd_, text, sizeof text, 0);
        return got > 0 ? std::string(text, static_cast<std::size_t>(got)) : "";
    }

private:
    std::string name_;
    int fd_ = -1;
};

}  // namespace jobruntime::test
