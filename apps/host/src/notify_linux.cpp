// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "notify.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

namespace jobruntime::host {
namespace {

std::string variable(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

std::optional<std::uint64_t> number(const std::string& text) {
    std::uint64_t value = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (failed != std::errc{} || end != text.data() + text.size() || value == 0) return std::nullopt;
    return value;
}

}  // namespace

Notifier Notifier::from_environment() {
    std::optional<std::chrono::microseconds> watchdog;
    const auto patience = number(variable("WATCHDOG_USEC"));
    const auto whose = variable("WATCHDOG_PID");
    // Both are inherited by children; WATCHDOG_PID says for whom they were meant.
    if (patience && *patience <= 86'400'000'000u && (whose.empty() || number(whose) == static_cast<std::uint64_t>(getpid())))
        watchdog = std::chrono::microseconds(*patience);
    return Notifier(variable("NOTIFY_SOCKET"), watchdog);
}

bool Notifier::send(std::string_view lines) const {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (socket_.size() < 2 || socket_.size() >= sizeof address.sun_path || (socket_[0] != '/' && socket_[0] != '@'))
        return false;
    std::memcpy(address.sun_path, socket_.data(), socket_.size());
    if (address.sun_path[0] == '@') address.sun_path[0] = '\0';
    const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return false;
    const timeval limit{1, 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket_.size());
    const auto sent = sendto(fd, lines.data(), lines.size(), MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&address), length);
    close(fd);
    return sent == static_cast<ssize_t>(lines.size());
}

Watchdog::Watchdog(const Notifier& notifier, std::vector<std::function<std::uint64_t()>> pulses)
    : notifier_(notifier), pulses_(std::move(pulses)), seen_(pulses_.size(), 0) {}

std::optional<std::chrono::milliseconds> Watchdog::every() const {
    if (!notifier_.wanted() || !notifier_.watchdog()) return std::nullopt;
    const auto quarter = std::chrono::duration_cast<std::chrono::milliseconds>(*notifier_.watchdog() / 4);
    return std::max(quarter, std::chrono::milliseconds(1));
}

bool Watchdog::tick() {
    std::vector<std::uint64_t> now;
    for (const auto& pulse : pulses_) now.push_back(pulse());
    for (std::size_t i = 0; i < now.size(); ++i)
        if (now[i] == seen_[i]) return false;
    seen_ = std::move(now);
    return notifier_.send("WATCHDOG=1");
}

}  // namespace jobruntime::host
