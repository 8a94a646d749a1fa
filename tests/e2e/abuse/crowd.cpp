// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "e2e/abuse/crowd.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <charconv>

namespace jobruntime::abuse {
namespace {

constexpr std::size_t buffer_size = 256 << 10;
constexpr std::size_t most_answer = 200;

}  // namespace

void FrameCounter::read(std::string_view bytes) {
    while (!bytes.empty()) {
        const auto end = bytes.find('\n');
        if (end == std::string_view::npos) {
            rest_ += bytes;
            return;
        }
        if (rest_.empty()) {
            line(bytes.substr(0, end));
        } else {
            rest_ += bytes.substr(0, end);
            line(rest_);
            rest_ = {};
        }
        bytes.remove_prefix(end + 1);
    }
}

void FrameCounter::line(std::string_view text) {
    if (text.starts_with("id: ")) {
        id_ = 0;
        std::from_chars(text.data() + 4, text.data() + text.size(), id_);
    } else if (text == "event: telemetry") {
        ordered = ordered && id_ > last;
        last = id_;
        sum += id_;
        ++count;
    } else if (text.starts_with("event: ")) {
        if (text == "event: heartbeat") ++beats;
        else last_word = text.substr(7);
    } else if (text.starts_with("HTTP/1.1 ")) {
        began = text.starts_with("HTTP/1.1 200");
    }
}

Crowd::Crowd(int port) : port_(port), epoll_(epoll_create1(EPOLL_CLOEXEC)), buffer_(buffer_size) {}

Member* Crowd::open(std::string_view text, bool counts, bool reads, int buffer) {
    auto member = std::make_unique<Member>();
    member->counts = counts;
    member->reads = reads;
    member->begun_at = Clock::now();
    member->socket = Fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int fd = member->socket.get();
    if (buffer > 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) return nullptr;
    say(*member, text);
    if (reads) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = member.get();
        epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event);
    }
    members.push_back(std::move(member));
    return members.back().get();
}

bool Crowd::say(Member& member, std::string_view text) {
    return send(member.socket.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(text.size());
}

int Crowd::status(const Member& member) {
    constexpr std::string_view begin = "HTTP/1.1 ";
    char bytes[begin.size() + 3];
    const auto size = recv(member.socket.get(), bytes, sizeof bytes, MSG_PEEK | MSG_DONTWAIT);
    int status = 0;
    if (size == sizeof bytes) std::from_chars(bytes + begin.size(), bytes + size, status);
    return status;
}

bool Crowd::turn_until(std::chrono::seconds limit, const std::function<bool()>& is) {
    const auto end = Clock::now() + limit;
    while (!is()) {
        if (Clock::now() >= end) return false;
        turn(std::chrono::milliseconds(20));
    }
    return true;
}

void Crowd::turn(std::chrono::milliseconds limit) {
    std::array<epoll_event, 512> events;
    const int count = epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), static_cast<int>(limit.count()));
    for (int i = 0; i < count; ++i) {
        auto& member = *static_cast<Member*>(events[i].data.ptr);
        const auto size = recv(member.socket.get(), buffer_.data(), buffer_.size(), MSG_DONTWAIT);
        if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
        if (size <= 0) {
            member.ended = true;
            member.ended_at = Clock::now();
            member.socket = Fd();
            continue;
        }
        const std::string_view bytes(buffer_.data(), static_cast<std::size_t>(size));
        if (member.counts) member.frames.read(bytes);
        else if (member.answer.size() < most_answer) member.answer += bytes.substr(0, most_answer);
    }
}

}  // namespace jobruntime::abuse
