// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "mongo/bson.hpp"

namespace jobruntime::tests {

/// A server that says in its first sentence that it is of long ago.
class OldServer {
public:
    OldServer() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (listener_ < 0 || ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
            ::listen(listener_, 8) != 0 ||
            ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
            throw std::runtime_error("no port for the old server");
        port = ntohs(address.sin_port);
        thread_ = std::jthread([this](std::stop_token stop) { serve(stop); });
    }
    ~OldServer() {
        thread_.request_stop();
        ::shutdown(listener_, SHUT_RDWR);
        thread_.join();
        ::close(listener_);
    }
    int port = 0;

private:
    void serve(std::stop_token stop) {
        std::vector<std::jthread> talks;
        while (!stop.stop_requested()) {
            const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) return;
            timeval patience{1, 0};
            ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
            talks.emplace_back([fd] {
                while (answer(fd)) {}
                ::close(fd);
            });
        }
    }

    static bool receive(int fd, void* into, std::size_t size) {
        auto* at = static_cast<char*>(into);
        while (size > 0) {
            const auto got = ::recv(fd, at, size, 0);
            if (got <= 0) return false;
            at += got;
            size -= static_cast<std::size_t>(got);
        }
        return true;
    }

    /// One message, whatever it asks: answered as hello in the form (OP_REPLY) of the oldest servers.
    static bool answer(int fd) {
        std::int32_t header[4];
        if (!receive(fd, header, sizeof header) || header[0] < 16 || header[0] > 1 << 20) return false;
        std::vector<char> body(static_cast<std::size_t>(header[0] - 16));
        if (!receive(fd, body.data(), body.size())) return false;
        mongo::Doc hello;
        hello.flag("ismaster", true).integer("maxBsonObjectSize", 16 << 20).integer("minWireVersion", 0);
        hello.integer("maxWireVersion", 2).integer("ok", 1);
        struct {
            std::int32_t length, id, to, code, flags;
            std::int32_t cursor[2], from, count;
        } reply{static_cast<std::int32_t>(36 + hello.size()), 1, header[1], 1, 8, {0, 0}, 0, 1};
        std::vector<char> out(36 + hello.size());
        std::memcpy(out.data(), &reply, 36);
        std::memcpy(out.data() + 36, bson_get_data(hello.raw()), hello.size());
        return ::send(fd, out.data(), out.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(out.size());
    }

    int listener_;
    std::jthread thread_;
};

}  // namespace jobruntime::tests
