// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <sys/time.h>

#include <utility>

#include "e2e/support.hpp"

// A client over bare sockets: the tests must be able to send what no good client would.
namespace jobruntime::e2e {
namespace {

int connect_to(int port, std::chrono::seconds limit) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    const timeval time{limit.count(), 0};
    ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
    ::setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0) return fd;
    ::close(fd);
    return -1;
}

void send_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const auto sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
}

std::string lower(std::string text) {
    for (auto& c : text)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    return text;
}

std::string joined_chunks(std::string_view body) {
    std::string whole;
    while (!body.empty()) {
        const auto size = std::strtoull(std::string(body.substr(0, 16)).c_str(), nullptr, 16);
        const auto line = body.find("\r\n");
        if (size == 0 || line == std::string_view::npos || body.size() < line + 2 + size) break;
        whole += body.substr(line + 2, size);
        body.remove_prefix(std::min<std::size_t>(body.size(), line + 4 + size));
    }
    return whole;
}

Answer parsed(const std::string& raw) {
    Answer answer;
    const auto head_end = raw.find("\r\n\r\n");
    if (!raw.starts_with("HTTP/1.1 ") || head_end == std::string::npos) return answer;
    answer.status = std::atoi(raw.c_str() + 9);
    for (auto at = raw.find("\r\n") + 2; at < head_end;) {
        const auto end = raw.find("\r\n", at);
        const auto colon = raw.find(':', at);
        if (colon < end) {
            const auto value = raw.find_first_not_of(' ', colon + 1);
            answer.headers[lower(raw.substr(at, colon - at))] = raw.substr(value, end - value);
        }
        at = end + 2;
    }
    answer.body = raw.substr(head_end + 4);
    if (answer.headers["transfer-encoding"] == "chunked") answer.body = joined_chunks(answer.body);
    return answer;
}

}  // namespace

boost::json::object Answer::json() const {
    boost::system::error_code code;
    auto value = boost::json::parse(body, code);
    return !code && value.is_object() ? value.get_object() : boost::json::object();
}

Answer http(int port, std::string_view method, std::string_view path, std::string_view body, const HeaderList& headers) {
    const int fd = connect_to(port, std::chrono::seconds(10));
    if (fd < 0) return {};
    std::string request = std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nConnection: close\r\n";
    bool typed = false, hosted = false;
    for (const auto& [name, value] : headers) {
        request += name + ": " + value + "\r\n";
        typed = typed || lower(name) == "content-type";
        hosted = hosted || lower(name) == "host";
    }
    if (!hosted) request += "Host: 127.0.0.1:" + std::to_string(port) + "\r\n";
    if (!body.empty() && !typed) request += "Content-Type: application/json\r\n";
    if (!body.empty() || method != "GET") request += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    send_all(fd, request + "\r\n" + std::string(body));
    std::string raw;
    char chunk[16 * 1024];
    for (;;) {
        const auto got = ::recv(fd, chunk, sizeof chunk, 0);
        if (got <= 0) break;
        raw.append(chunk, static_cast<std::size_t>(got));
    }
    ::close(fd);
    return parsed(raw);
}

Stream::Stream(int port, std::string_view path, const HeaderList& headers)
    : fd_(connect_to(port, std::chrono::seconds(120))) {
    std::string request = "GET " + std::string(path) + " HTTP/1.1\r\nAccept: text/event-stream\r\n";
    bool hosted = false;
    for (const auto& [name, value] : headers) {
        request += name + ": " + value + "\r\n";
        hosted = hosted || lower(name) == "host";
    }
    if (!hosted) request += "Host: 127.0.0.1:" + std::to_string(port) + "\r\n";
    send_all(fd_, request + "\r\n");
    reader_ = std::thread([this] {
        char chunk[16 * 1024];
        for (;;) {
            const auto got = ::recv(fd_, chunk, sizeof chunk, 0);
            if (got <= 0) break;
            const std::lock_guard lock(mutex_);
            text_.append(chunk, static_cast<std::size_t>(got));
        }
        over_ = true;
    });
}

Stream::~Stream() {
    ::shutdown(fd_, SHUT_RDWR);
    reader_.join();
    ::close(fd_);
}

std::string Stream::text() const {
    const std::lock_guard lock(mutex_);
    return text_;
}

std::string Stream::take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(text_, {});
}

std::vector<std::string> Stream::names(std::string_view job) const {
    std::vector<std::string> names;
    const auto all = text();
    for (std::size_t at = 0; (at = all.find("data: {", at)) != std::string::npos;) {
        const auto end = all.find('\n', at);
        if (end == std::string::npos) break;
        boost::system::error_code code;
        const auto value = boost::json::parse(all.substr(at + 6, end - at - 6), code);
        if (!code && value.is_object() && e2e::text(value.get_object(), "jobId") == job)
            names.push_back(e2e::text(value.get_object(), "event"));
        at = end;
    }
    return names;
}

}  // namespace jobruntime::e2e
