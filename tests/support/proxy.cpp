// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "support/proxy.hpp"

#include <array>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace jobruntime::tests {

using namespace std::chrono_literals;

namespace {

constexpr int look_for_stop_ms = 50;

sockaddr_in loopback(int port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return address;
}

class Socket {
public:
    explicit Socket(int fd) : fd_(fd) {}
    Socket(const Socket&) = delete;
    Socket& operator=(const Socket&) = delete;
    ~Socket() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const { return fd_; }
    /// The other end sees a reset, not an orderly end.
    void reset_on_close() const {
        const linger at_once{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    void prompt() const {
        const int yes = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }

private:
    const int fd_;
};

bool send_all(int fd, const char* data, std::size_t size) {
    while (size > 0) {
        const auto sent = ::send(fd, data, size, MSG_NOSIGNAL);
        if (sent <= 0) return false;
        data += sent;
        size -= static_cast<std::size_t>(sent);
    }
    return true;
}

void pause(std::chrono::milliseconds time, const std::stop_token& stop) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (!stop.stop_requested() && std::chrono::steady_clock::now() < until)
        std::this_thread::sleep_for(5ms);
}

}  // namespace

Proxy::Proxy(int target) : target_(target) {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    auto address = loopback(0);
    socklen_t size = sizeof address;
    if (listener_ < 0 || ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        ::listen(listener_, 128) != 0 ||
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
        throw std::runtime_error("no port for the proxy");
    port_ = ntohs(address.sin_port);
    acceptor_ = std::jthread([this](const std::stop_token& stop) { accept_all(stop); });
}

Proxy::~Proxy() {
    acceptor_ = {};
    connections_.clear();
    ::close(listener_);
}

void Proxy::set(const Faults& faults) {
    const std::scoped_lock lock(mutex_);
    faults_ = faults;
    random_.seed(faults.seed);
}

Proxy::Counts Proxy::counts() const {
    const std::scoped_lock lock(mutex_);
    return counts_;
}

void Proxy::accept_all(const std::stop_token& stop) {
    while (!stop.stop_requested()) {
        pollfd waiting{listener_, POLLIN, 0};
        if (::poll(&waiting, 1, look_for_stop_ms) <= 0 || stays_frozen()) continue;
        const int client = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
        if (client < 0) continue;
        connections_.remove_if([](const Connection& one) { return one.over.load(); });
        auto& connection = connections_.emplace_back();
        connection.thread = std::jthread([this, client, &connection](const std::stop_token& ended) {
            carry(client, ended);
            connection.over = true;
        });
    }
}

Fault Proxy::choose(std::chrono::milliseconds& delay, std::size_t size, std::size_t& part) {
    const std::scoped_lock lock(mutex_);
    if (faults_.every <= 0 || random_() % static_cast<std::uint64_t>(faults_.every) != 0) return Fault::none;
    part = random_() % size;
    switch (random_() % 3) {
        case 0: ++counts_.drops; return Fault::drop;
        case 1: ++counts_.half_closes; return Fault::half_close;
        default:
            delay = std::chrono::milliseconds(random_() %
                                              static_cast<std::uint64_t>(faults_.longest_delay.count() + 1));
            ++counts_.delays;
            return Fault::delay;
    }
}

bool Proxy::stays_frozen() const {
    if (!frozen_) return false;
    std::this_thread::sleep_for(5ms);
    return true;
}

void Proxy::carry(int fd, const std::stop_token& stop) {
    const Socket client(fd), server(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto address = loopback(target_);
    if (::connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return client.reset_on_close();
    client.prompt();
    server.prompt();
    std::array<char, 16'384> bytes;
    bool told_end = false;
    while (!stop.stop_requested()) {
        std::array<pollfd, 2> ends{pollfd{client.get(), POLLIN, 0}, pollfd{server.get(), POLLIN, 0}};
        if (::poll(ends.data(), ends.size(), look_for_stop_ms) <= 0 || stays_frozen()) continue;
        if (ends[0].revents != 0) {
            const auto got = ::recv(client.get(), bytes.data(), bytes.size(), 0);
            if (got <= 0 || !send_all(server.get(), bytes.data(), static_cast<std::size_t>(got))) return;
        }
        if (ends[1].revents == 0) continue;
        const auto got = ::recv(server.get(), bytes.data(), bytes.size(), 0);
        if (got <= 0) return client.reset_on_close();
        if (told_end) continue;  // Whoever has been told that nothing comes gets nothing.
        const auto size = static_cast<std::size_t>(got);
        std::chrono::milliseconds delay{};
        std::size_t part = size;
        const auto fault = choose(delay, size, part);
        if (!send_all(client.get(), bytes.data(), part)) return;
        if (fault == Fault::drop) {
            client.reset_on_close();
            return server.reset_on_close();
        }
        if (fault == Fault::half_close) {
            ::shutdown(client.get(), SHUT_WR);
            told_end = true;
            continue;
        }
        if (fault == Fault::delay) {
            pause(delay, stop);
            if (!send_all(client.get(), bytes.data() + part, size - part)) return;
        }
    }
}

}  // namespace jobruntime::tests
