// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace jobruntime::tests {

/// A port of the loopback for a program that has to be told one, or that comes back on the same. It is below those that
/// the system hands out, so that nobody gets it by chance while nobody listens there, and no other test gets it as
/// long as this process lives.
inline int own_port() {
    constexpr int first = 10'000, count = 10'000;
    for (int i = 0; i < count; ++i) {
        const int port = first + (static_cast<int>(::getpid()) * 7 + i) % count;
        // The name is the reservation; whoever has it keeps it to his end.
        sockaddr_un name{};
        name.sun_family = AF_UNIX;
        const std::string text = "jobrt-test-port-" + std::to_string(port);
        std::memcpy(name.sun_path + 1, text.data(), text.size());
        const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
        const int kept = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        const int tried = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<in_port_t>(port));
        const bool mine = ::bind(kept, reinterpret_cast<sockaddr*>(&name), size) == 0 &&
                          ::bind(tried, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
        ::close(tried);
        if (mine) return port;
        ::close(kept);
    }
    throw std::runtime_error("no free port");
}

}  // namespace jobruntime::tests
