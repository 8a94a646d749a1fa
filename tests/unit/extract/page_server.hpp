// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace extract_test {

/// A folder that is removed again.
class TempFolder {
public:
    TempFolder() {
        std::string name = (std::filesystem::temp_directory_path() / "jobrt-extract-XXXXXX").string();
        if (::mkdtemp(name.data()) == nullptr) std::abort();
        path_ = name;
    }
    ~TempFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    std::string operator/(std::string_view name) const { return (path_ / name).string(); }

private:
    std::filesystem::path path_;
};

struct Reply {
    int status = 200;
    std::string type = "text/html; charset=utf-8";
    std::string body;
    std::vector<std::string> headers = {};
    bool hang = false;    ///< Send what there is, then nothing more, with the connection open.
    bool silent = false;  ///< Answer nothing at all.
};

/// A web server on loopback for pages of a test, one thread a connection, Range understood.
class PageServer {
public:
    using Route = std::function<Reply(const std::string& target, const std::string& request)>;

    PageServer() {
        listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address;
        if (::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
            ::listen(listener_, 64) != 0)
            std::abort();
        ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
        port_ = ntohs(address.sin_port);
        acceptor_ = std::thread([this] { accept_all(); });
    }
    ~PageServer() {
        stopping_ = true;
        acceptor_.join();
        for (auto& thread : connections_) thread.join();
        ::close(listener_);
    }

    int port() const { return port_; }
    std::string url(const std::string& target, const std::string& host = "127.0.0.1") const {
        return "http://" + host + ":" + std::to_string(port_) + target;
    }
    void page(const std::string& path, std::string html) {
        add(path, [html = std::move(html)](auto&, auto&) { return Reply{.body = html}; });
    }
    void file(const std::string& path, std::string type, std::string bytes) {
        add(path, [=](auto&, auto&) { return Reply{.type = type, .body = bytes}; });
    }
    void add(const std::string& path, Route route) {
        const std::lock_guard lock(mutex_);
        routes_[path] = std::move(route);
    }
    int hits(const std::string& path) const {
        const std::lock_guard lock(mutex_);
        const auto found = hits_.find(path);
        return found == hits_.end() ? 0 : found->second;
    }

private:
    void accept_all() {
        while (!stopping_) {
            pollfd wait{listener_, POLLIN, 0};
            if (::poll(&wait, 1, 20) <= 0) continue;
            const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
            if (fd >= 0) connections_.emplace_back([this, fd] { serve(fd); });
        }
    }
    void serve(int fd) {
        std::string input;
        while (!stopping_) {
            const auto end = input.find("\r\n\r\n");
            if (end == std::string::npos) {
                pollfd wait{fd, POLLIN, 0};
                if (::poll(&wait, 1, 20) <= 0) continue;
                char buffer[8192];
                const auto got = ::recv(fd, buffer, sizeof buffer, 0);
                if (got <= 0) break;
                input.append(buffer, static_cast<std::size_t>(got));
                continue;
            }
            const auto request = input.substr(0, end + 2);
            input.erase(0, end + 4);
            if (!answer(fd, request)) break;
        }
        ::close(fd);
    }
    bool answer(int fd, const std::string& request) {
        std::istringstream words(request);
        std::string method;
        std::string target;
        words >> method >> target;
        const auto path = target.substr(0, target.find('?'));
        Route route;
        {
            const std::lock_guard lock(mutex_);
            ++hits_[path];
            if (const auto found = routes_.find(path); found != routes_.end()) route = found->second;
        }
        Reply reply = route ? route(target, request)
                            : Reply{.status = 404, .body = "<title>Not Found</title>nothing here"};
        if (reply.silent) return wait_for_end(fd);
        std::string head_extra;
        const auto total = reply.body.size();
        if (const auto range = request.find("\r\nRange: bytes=");
            range != std::string::npos && reply.status == 200) {
            const auto begin = std::strtoul(request.c_str() + range + 15, nullptr, 10);
            if (begin < total) {
                reply.status = 206;
                reply.body.erase(0, begin);
                head_extra = "Content-Range: bytes " + std::to_string(begin) + "-" +
                             std::to_string(total - 1) + "/" + std::to_string(total) + "\r\n";
            }
        }
        std::string out = "HTTP/1.1 " + std::to_string(reply.status) + " X\r\nContent-Type: " + reply.type +
                          "\r\nAccept-Ranges: bytes\r\n" + head_extra;
        for (const auto& header : reply.headers) out += header + "\r\n";
        out += "Content-Length: " + std::to_string(reply.body.size() + (reply.hang ? 1'000'000 : 0)) +
               "\r\n\r\n";
        if (method != "HEAD") out += reply.body;
        for (std::size_t sent = 0; sent < out.size();) {
            const auto n = ::send(fd, out.data() + sent, out.size() - sent, MSG_NOSIGNAL);
            if (n <= 0) return false;
            sent += static_cast<std::size_t>(n);
        }
        return reply.hang ? wait_for_end(fd) : true;
    }
    /// Until the client or the test is done.
    bool wait_for_end(int fd) const {
        while (!stopping_) {
            pollfd wait{fd, POLLIN, 0};
            char byte = 0;
            if (::poll(&wait, 1, 20) > 0 && ::recv(fd, &byte, 1, 0) <= 0) break;
        }
        return false;
    }

    int listener_ = -1;
    int port_ = 0;
    std::atomic<bool> stopping_ = false;
    mutable std::mutex mutex_;
    std::map<std::string, Route> routes_;  // Guarded by mutex_, as below.
    std::map<std::string, int> hits_;
    std::list<std::thread> connections_;  // The acceptor's alone until it has ended.
    std::thread acceptor_;
};

/// What could be read: a file of /proc may go with its process meanwhile.
inline std::string read_file(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path, std::ios::binary).rdbuf();
    return out.str();
}

/// A clip made on the spot; empty when there is no ffmpeg.
inline std::string make_clip(const TempFolder& folder, const std::string& name, int width, int height,
                             const std::string& codec) {
    const auto path = folder / name;
    const auto command = "ffmpeg -nostdin -v error -y -f lavfi -i testsrc2=size=" + std::to_string(width) +
                         "x" + std::to_string(height) + ":rate=10:duration=2 -pix_fmt yuv420p " + codec +
                         " " + path + " >/dev/null 2>&1";
    if (std::system(command.c_str()) != 0) return {};
    return read_file(path);
}

}  // namespace extract_test
