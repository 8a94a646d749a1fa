// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace extract_test {

/// Who must not be reached: listens on 127.0.0.2 and [::1], TCP and UDP, on one port, and remembers all that
/// comes. It answers like a web server, so that whoever may reach it goes on.
class Canary {
public:
    Canary() {
        for (int attempt = 0; attempt < 20 && !open(); ++attempt)
            for (auto& fd : sockets_) {
                if (fd >= 0) ::close(fd);
                fd = -1;
            }
        thread_ = std::thread([this] { watch(); });
    }
    ~Canary() {
        stopping_ = true;
        thread_.join();
        for (const int fd : sockets_)
            if (fd >= 0) ::close(fd);
    }
    Canary(const Canary&) = delete;
    Canary& operator=(const Canary&) = delete;

    int port() const { return port_; }
    bool has_v6() const { return sockets_[2] >= 0; }
    std::string v4(const std::string& path = "/") const { return "127.0.0.2:" + std::to_string(port_) + path; }
    std::string v6(const std::string& path = "/") const { return "[::1]:" + std::to_string(port_) + path; }
    int connections() const { return connections_; }
    int datagrams() const { return datagrams_; }
    /// The paths that were asked for; "binary" for what is no HTTP.
    std::set<std::string> seen() const {
        const std::lock_guard lock(mutex_);
        return seen_;
    }
    std::string seen_text() const {
        std::string text;
        for (const auto& one : seen()) text += one + " ";
        return text;
    }

private:
    static int bound(int type, bool v6, int port) {
        const int fd = ::socket(v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
        sockaddr_storage address{};
        socklen_t size = 0;
        if (v6) {
            sockaddr_in6 six{};
            six.sin6_family = AF_INET6;
            six.sin6_addr = in6addr_loopback;
            six.sin6_port = htons(static_cast<std::uint16_t>(port));
            std::memcpy(&address, &six, size = sizeof six);
        } else {
            sockaddr_in four{};
            four.sin_family = AF_INET;
            four.sin_addr.s_addr = htonl(0x7f000002);
            four.sin_port = htons(static_cast<std::uint16_t>(port));
            std::memcpy(&address, &four, size = sizeof four);
        }
        if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
            (type == SOCK_STREAM && ::listen(fd, 64) != 0)) {
            if (fd >= 0) ::close(fd);
            return -1;
        }
        return fd;
    }
    /// False when the port is taken on one of the addresses that there are.
    bool open() {
        sockets_[0] = bound(SOCK_STREAM, false, 0);
        sockaddr_in address{};
        socklen_t size = sizeof address;
        ::getsockname(sockets_[0], reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
        sockets_[1] = bound(SOCK_DGRAM, false, port_);
        const int probe = bound(SOCK_STREAM, true, 0);  // A machine without IPv6 is tested without it.
        if (probe < 0) return sockets_[1] >= 0;
        ::close(probe);
        sockets_[2] = bound(SOCK_STREAM, true, port_);
        sockets_[3] = bound(SOCK_DGRAM, true, port_);
        return sockets_[1] >= 0 && sockets_[2] >= 0 && sockets_[3] >= 0;
    }
    void note(const std::string& what) {
        const std::lock_guard lock(mutex_);
        seen_.insert(what);
    }
    void watch() {
        while (!stopping_) {
            std::array<pollfd, 4> polled{};
            for (std::size_t i = 0; i < 4; ++i) polled[i] = {sockets_[i], POLLIN, 0};
            if (::poll(polled.data(), 4, 20) <= 0) continue;
            for (std::size_t i = 0; i < 4; ++i) {
                if ((polled[i].revents & POLLIN) == 0) continue;
                char bytes[2048];
                if (i % 2 == 1) {
                    if (::recv(sockets_[i], bytes, sizeof bytes, MSG_DONTWAIT) >= 0) ++datagrams_;
                } else if (const int fd = ::accept4(sockets_[i], nullptr, nullptr, SOCK_CLOEXEC); fd >= 0) {
                    ++connections_;
                    answer(fd);
                }
            }
        }
    }
    /// One at a time: whoever connects and says nothing holds the others up for half a second only.
    void answer(int fd) {
        std::string head;
        char bytes[4096];
        pollfd polled{fd, POLLIN, 0};
        while (head.find("\r\n\r\n") == std::string::npos && ::poll(&polled, 1, 500) > 0) {
            const auto got = ::recv(fd, bytes, sizeof bytes, 0);
            if (got <= 0) break;
            head.append(bytes, static_cast<std::size_t>(got));
            if (head[0] < 'A' || head[0] > 'Z') break;
        }
        const auto first = head.find(' ');
        const auto second = head.find_first_of(" ?", first + 1);
        const bool http = !head.empty() && head[0] >= 'A' && head[0] <= 'Z' && second != std::string::npos;
        if (!head.empty()) note(http ? head.substr(first + 1, second - first - 1) : "binary");
        const std::string reply = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\n"
                                  "Access-Control-Allow-Private-Network: true\r\nContent-Type: text/plain\r\n"
                                  "Content-Length: 0\r\nConnection: close\r\n\r\n";
        if (http) (void)::send(fd, reply.data(), reply.size(), MSG_NOSIGNAL);
        ::shutdown(fd, SHUT_WR);
        ::close(fd);
    }

    std::array<int, 4> sockets_{-1, -1, -1, -1};  // TCP and UDP of 127.0.0.2, TCP and UDP of [::1].
    int port_ = 0;
    std::atomic<bool> stopping_ = false;
    std::atomic<int> connections_ = 0;
    std::atomic<int> datagrams_ = 0;
    mutable std::mutex mutex_;
    std::set<std::string> seen_;  // Guarded by mutex_.
    std::thread thread_;
};

}  // namespace extract_test
