// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include <jobruntime/http.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>

#include "http/fd.hpp"

namespace http_test {

using namespace jobruntime;
using namespace std::chrono_literals;

/// Nothing here waits for longer than this; a healthy run never gets near it.
constexpr auto patience = std::chrono::seconds(60);

struct Reply {
    int status = 0;
    std::map<std::string, std::string> headers;
    std::string body;
};

/// A connection that says exactly what it is told, byte for byte.
class Client {
public:
    explicit Client(int port, int receive_buffer = 0) : socket_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        if (receive_buffer > 0) setsockopt(socket_.get(), SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        REQUIRE(connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }

    /// Through a Unix socket.
    explicit Client(const std::string& path) : socket_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }

    /// False when the server has closed already.
    bool send(std::string_view text) {
        while (!text.empty()) {
            const auto sent = ::send(socket_.get(), text.data(), text.size(), MSG_NOSIGNAL);
            if (sent <= 0) return false;
            text.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }
    /// Up to and including `end`; unset when the connection ends before.
    std::optional<std::string> read_to(std::string_view end) {
        while (true) {
            if (const auto at = input_.find(end); at != std::string::npos) return take(at + end.size());
            if (!receive()) return std::nullopt;
        }
    }
    std::optional<std::string> read_bytes(std::size_t size) {
        while (input_.size() < size)
            if (!receive()) return std::nullopt;
        return take(size);
    }
    /// All until the end of the connection.
    std::string read_all() {
        while (receive()) {
        }
        return take(input_.size());
    }
    bool is_closed() { return input_.empty() && !receive(); }

    std::optional<Reply> read_reply(bool head_only = false) {
        auto head = read_to("\r\n\r\n");
        if (!head) return std::nullopt;
        Reply reply;
        reply.status = std::stoi(head->substr(9, 3));
        std::size_t at = head->find("\r\n") + 2;
        while (at + 2 < head->size()) {
            const auto end = head->find("\r\n", at);
            const auto colon = head->find(": ", at);
            reply.headers[head->substr(at, colon - at)] = head->substr(colon + 2, end - colon - 2);
            at = end + 2;
        }
        if (head_only || !reply.headers.contains("content-length")) return reply;
        auto body = read_bytes(std::stoul(reply.headers["content-length"]));
        if (!body) return std::nullopt;
        reply.body = std::move(*body);
        return reply;
    }
    std::optional<Reply> ask(std::string_view text) {
        send(text);
        return read_reply();
    }
    std::optional<Reply> get(const std::string& target, const std::string& more = "") {
        return ask("GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n");
    }
    int fd() const { return socket_.get(); }

private:
    std::string take(std::size_t size) {
        auto part = input_.substr(0, size);
        input_.erase(0, size);
        return part;
    }
    bool receive() {
        pollfd waiting{socket_.get(), POLLIN, 0};
        const int ready = poll(&waiting, 1, static_cast<int>(std::chrono::milliseconds(patience).count()));
        REQUIRE_MESSAGE(ready == 1, "the server said nothing for a minute");
        char bytes[65536];
        const auto size = recv(socket_.get(), bytes, sizeof bytes, 0);
        if (size <= 0) return false;
        input_.append(bytes, static_cast<std::size_t>(size));
        return true;
    }

    http::Fd socket_;
    std::string input_;
};

/// A server over a memory store on a free port.
struct Host {
    explicit Host(http::Options options = {}, Store* other = nullptr, ApiOptions api = {})
        : memory(memory::open({"test", "api"})), store(other ? *other : *memory), queue(store), router(queue, std::move(api)),
          server(router, store, prepare(std::move(options))) {}

private:
    // Before the server, whose threads write to it to the end.
    std::mutex mutex_;
    std::vector<std::string> lines_;  // Guarded by mutex_.

public:
    std::unique_ptr<Store> memory;
    Store& store;
    JobQueue queue;
    ApiRouter router;
    http::Server server;

    /// Begins; the port.
    int start() {
        const auto started = server.start();
        REQUIRE_MESSAGE(started, started.error().message);
        return port();
    }
    int port() const {
        const auto url = server.urls().front();
        return std::stoi(url.substr(url.rfind(':') + 1));
    }
    std::vector<std::string> lines() {
        std::lock_guard lock(mutex_);
        return lines_;
    }

private:
    http::Options prepare(http::Options options) {
        if (options.port == 4000) options.port = 0;
        options.log = [this](std::string_view line) {
            std::lock_guard lock(mutex_);
            lines_.emplace_back(line);
        };
        return options;
    }
};

/// Keeps the thread that reads requests, for one with the token "hold" and a body: it asks who sends it before it reads that.
struct Hold {
    ApiOptions options() {
        ApiOptions api;
        api.authenticate = [this](std::string_view token) {
            if (token == "hold") {
                inside = true;
                inside.notify_all();
                let_go.wait(false);
            }
            return Caller{"t", "test", Role::operate};
        };
        return api;
    }
    void finish() {
        let_go = true;
        let_go.notify_all();
    }
    std::atomic<bool> inside{false}, let_go{false};
};

}  // namespace http_test
