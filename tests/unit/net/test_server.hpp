// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

// A small HTTP server on loopback that misbehaves by script: for tests of what fetches.
namespace jobruntime::test {

struct ServedRequest {
    std::string method;
    std::string target;                          // As the request line has it.
    std::map<std::string, std::string> headers;  // Names in lower case.
    std::string body;                            // As long as content-length says.
    std::string header(const std::string& name) const {
        const auto found = headers.find(name);
        return found == headers.end() ? "" : found->second;
    }
};

/// One connection while a behaviour answers its request. It is closed afterwards.
class ServedConnection {
public:
    ServedConnection(int fd, const std::atomic<bool>& closing) : fd_(fd), closing_(closing) {}

    /// False when the client is gone or the server closes.
    bool send(std::string_view bytes) const {
        while (!bytes.empty() && !closing_) {
            pollfd polled{fd_, POLLOUT, 0};
            if (::poll(&polled, 1, 20) == 0) continue;
            const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent < 0 && errno == EAGAIN) continue;
            if (sent <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return bytes.empty();
    }
    /// Says nothing until the client goes away or the server closes.
    void hold() const {
        char byte;
        while (!closing_) {
            pollfd polled{fd_, POLLIN, 0};
            if (::poll(&polled, 1, 20) > 0 && ::recv(fd_, &byte, 1, MSG_DONTWAIT) <= 0) return;
        }
    }

private:
    int fd_;
    const std::atomic<bool>& closing_;
};

using Behaviour = std::function<void(const ServedConnection&, const ServedRequest&)>;

class TestServer {
public:
    /// `host`: one of this machine's loopback addresses.
    explicit TestServer(const char* host = "127.0.0.1")
        : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)), host_(host) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = ::inet_addr(host);
        socklen_t size = sizeof address;
        if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
            ::listen(listener_, 64) != 0 ||
            ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
            throw std::runtime_error("the test server cannot listen on loopback");
        port_ = ntohs(address.sin_port);
        acceptor_ = std::thread([this] { accept_all(); });
    }
    ~TestServer() {
        closing_ = true;
        acceptor_.join();
        for (auto& connection : connections_) connection.join();
        ::close(listener_);
    }
    TestServer(const TestServer&) = delete;
    TestServer& operator=(const TestServer&) = delete;

    int port() const { return port_; }
    std::string url(const std::string& path) const {
        return "http://" + host_ + ":" + std::to_string(port_) + path;
    }

    /// Answers requests for `path`, whatever its query; anything else is a 404.
    void on(const std::string& path, Behaviour behaviour) {
        const std::lock_guard lock(mutex_);
        routes_[path] = std::move(behaviour);
    }
    std::vector<ServedRequest> requests() const {
        const std::lock_guard lock(mutex_);
        return requests_;
    }
    int connections() const { return accepted_; }

private:
    void accept_all() {
        while (!closing_) {
            pollfd polled{listener_, POLLIN, 0};
            if (::poll(&polled, 1, 20) <= 0) continue;
            const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd < 0) continue;
            ++accepted_;
            connections_.emplace_back([this, fd] {
                serve(fd);
                ::shutdown(fd, SHUT_WR);
                ::close(fd);
            });
        }
    }

    /// More bytes; false when the client is gone or the server closes.
    bool receive(int fd, std::string& text) const {
        while (!closing_) {
            pollfd polled{fd, POLLIN, 0};
            if (::poll(&polled, 1, 20) == 0) continue;
            char chunk[4096];
            const auto got = ::recv(fd, chunk, sizeof chunk, 0);
            if (got > 0) text.append(chunk, static_cast<std::size_t>(got));
            return got > 0;
        }
        return false;
    }

    void serve(int fd) {
        std::string text;
        while (text.find("\r\n\r\n") == std::string::npos)
            if (text.size() > 64 * 1024 || !receive(fd, text)) return;
        auto request = parse(text);
        request.body = text.substr(text.find("\r\n\r\n") + 4);
        const auto length = std::strtoull(request.header("content-length").c_str(), nullptr, 10);
        while (request.body.size() < length)
            if (!receive(fd, request.body)) return;
        Behaviour behaviour;
        {
            const std::lock_guard lock(mutex_);
            requests_.push_back(request);
            const auto found = routes_.find(request.target.substr(0, request.target.find('?')));
            if (found != routes_.end()) behaviour = found->second;
        }
        const ServedConnection connection(fd, closing_);
        if (behaviour)
            behaviour(connection, request);
        else
            connection.send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }

    static ServedRequest parse(const std::string& text) {
        ServedRequest request;
        const auto line_end = text.find("\r\n");
        const auto first = text.find(' ');
        const auto second = text.find(' ', first + 1);
        request.method = text.substr(0, first);
        request.target = text.substr(first + 1, second - first - 1);
        for (auto at = line_end + 2; at < text.size();) {
            const auto end = text.find("\r\n", at);
            const auto colon = text.find(':', at);
            if (end == at || colon == std::string::npos || colon > end) break;
            std::string name = text.substr(at, colon - at);
            std::transform(name.begin(), name.end(), name.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
            const auto value = text.find_first_not_of(' ', colon + 1);
            request.headers[name] = text.substr(value, end - value);
            at = end + 2;
        }
        return request;
    }

    int listener_;
    const std::string host_;
    int port_ = 0;
    std::atomic<bool> closing_ = false;
    std::atomic<int> accepted_ = 0;
    mutable std::mutex mutex_;
    std::map<std::string, Behaviour> routes_;  // Guarded by mutex_.
    std::vector<ServedRequest> requests_;      // Guarded by mutex_.
    std::thread acceptor_;
    std::vector<std::thread> connections_;  // Only acceptor_ adds; joined after it.
};

/// A file to serve.
struct ServedFile {
    std::string bytes;
    std::string type = "video/mp4";
    std::string etag = "\"v1\"";  // Empty = none.
    std::string more = "";        // Further header lines, each with its line end.
    bool ranges = true;
};

/// Bytes that tell each position apart.
inline std::string pattern(std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 31 + i / 251) & 0xff);
    return bytes;
}

/// Where an answer to `request` begins in the file: Range and If-Range as RFC 9110 has them.
inline std::size_t range_start(const ServedFile& file, const ServedRequest& request) {
    const auto range = request.header("range");
    const auto condition = request.header("if-range");
    if (!file.ranges || !range.starts_with("bytes=") || (!condition.empty() && condition != file.etag))
        return 0;
    return static_cast<std::size_t>(std::strtoull(range.c_str() + 6, nullptr, 10));
}

/// Head of the answer, as for the whole rest of the file from `start`.
inline std::string file_head(const ServedFile& file, std::size_t start) {
    const auto size = std::to_string(file.bytes.size());
    std::string head = start == 0 ? "HTTP/1.1 200 OK\r\n" : "HTTP/1.1 206 Partial Content\r\n";
    if (start != 0)
        head += "Content-Range: bytes " + std::to_string(start) + "-" +
                std::to_string(file.bytes.size() - 1) + "/" + size + "\r\n";
    if (!file.etag.empty()) head += "ETag: " + file.etag + "\r\n";
    return head + "Content-Type: " + file.type +
           "\r\nContent-Length: " + std::to_string(file.bytes.size() - start) + "\r\nConnection: close\r\n" +
           file.more + "\r\n";
}

/// Well-behaved: whole or ranged.
inline Behaviour serve(ServedFile file) {
    return [file](const ServedConnection& connection, const ServedRequest& request) {
        const auto start = range_start(file, request);
        if (start > 0 && start >= file.bytes.size()) {
            connection.send("HTTP/1.1 416 Range Not Satisfiable\r\nContent-Range: bytes */" +
                            std::to_string(file.bytes.size()) +
                            "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            return;
        }
        if (connection.send(file_head(file, start)) && request.method != "HEAD")
            connection.send(std::string_view(file.bytes).substr(start));
    };
}

/// Sends up to `count` bytes of what was asked for and then closes.
inline Behaviour drop_after(ServedFile file, std::size_t count) {
    return [file, count](const ServedConnection& connection, const ServedRequest& request) {
        const auto start = range_start(file, request);
        connection.send(file_head(file, start));
        connection.send(std::string_view(file.bytes).substr(start, count));
    };
}

/// Sends `count` bytes and then nothing more, connected.
inline Behaviour stall_after(ServedFile file, std::size_t count) {
    return [file, count](const ServedConnection& connection, const ServedRequest& request) {
        const auto start = range_start(file, request);
        connection.send(file_head(file, start));
        connection.send(std::string_view(file.bytes).substr(start, count));
        connection.hold();
    };
}

/// Sends `chunk` bytes at a time with a pause between.
inline Behaviour slowly(ServedFile file, std::size_t chunk, std::chrono::milliseconds pause) {
    return [=](const ServedConnection& connection, const ServedRequest& request) {
        const auto start = range_start(file, request);
        bool there = connection.send(file_head(file, start));
        for (auto at = start; there && at < file.bytes.size(); at += chunk) {
            there = connection.send(std::string_view(file.bytes).substr(at, chunk));
            std::this_thread::sleep_for(pause);
        }
    };
}

/// Any answer, literally.
inline Behaviour say(std::string answer) {
    return [answer](const ServedConnection& connection, const ServedRequest&) { connection.send(answer); };
}

inline Behaviour status(int code, const std::string& headers = "", const std::string& body = "") {
    return say("HTTP/1.1 " + std::to_string(code) + " Scripted\r\n" + headers +
               "Content-Length: " + std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body);
}

inline Behaviour redirect(const std::string& location, int code = 302) {
    return status(code, "Location: " + location + "\r\n", "<a>moved</a>");
}

/// Never ends, in chunks, without a length.
inline Behaviour endless(const std::string& type = "video/mp4") {
    return [type](const ServedConnection& connection, const ServedRequest&) {
        bool there =
            connection.send("HTTP/1.1 200 OK\r\nContent-Type: " + type + "\r\nConnection: close\r\n\r\n");
        const std::string block(16 * 1024, 'x');
        while (there) there = connection.send(block);
    };
}

/// Accepts and says nothing.
inline Behaviour silence() {
    return [](const ServedConnection& connection, const ServedRequest&) { connection.hold(); };
}

}  // namespace jobruntime::test
