// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <chrono>
#include <cstdint>
#include <optional>

#include "http/fd.hpp"

namespace jobruntime::http {

using RealClock = std::chrono::steady_clock;
using RealTime = RealClock::time_point;

/// The host program's signals are not for this library's threads; and sendfile would raise SIGPIPE.
inline void block_signals() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
}

/// An epoll set and a bell that any thread may ring.
class EventLoop {
public:
    static constexpr std::uint64_t bell_key = 0;

    EventLoop() : epoll_(epoll_create1(EPOLL_CLOEXEC)), bell_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (ready()) add(bell_.get(), bell_key, EPOLLIN);
    }
    bool ready() const { return epoll_ && bell_; }

    bool add(int fd, std::uint64_t key, std::uint32_t events) { return control(EPOLL_CTL_ADD, fd, key, events); }
    bool change(int fd, std::uint64_t key, std::uint32_t events) { return control(EPOLL_CTL_MOD, fd, key, events); }
    void remove(int fd) { epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr); }

    void ring() {
        const std::uint64_t one = 1;
        // A full counter means that the bell is ringing already.
        if (::write(bell_.get(), &one, sizeof one) < 0) return;
    }
    void quiet() {
        std::uint64_t count = 0;
        if (::read(bell_.get(), &count, sizeof count) < 0) return;
    }
    /// Number of events; 0 at `until` (unset = never).
    int wait(epoll_event* events, int size, std::optional<RealTime> until) {
        int timeout = -1;
        if (until) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(*until - RealClock::now()).count();
            timeout = left <= 0 ? 0 : left > 60'000 ? 60'000 : static_cast<int>(left);
        }
        const int count = epoll_wait(epoll_.get(), events, size, timeout);
        return count < 0 ? 0 : count;
    }

private:
    bool control(int what, int fd, std::uint64_t key, std::uint32_t events) {
        epoll_event event{};
        event.events = events;
        event.data.u64 = key;
        return epoll_ctl(epoll_.get(), what, fd, &event) == 0;
    }

    Fd epoll_;
    Fd bell_;
};

}  // namespace jobruntime::http
