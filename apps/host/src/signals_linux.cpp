// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "signals.hpp"

#include <cstdint>
#include <thread>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace jobruntime::host {
namespace {

sigset_t termination_signals() {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

sigset_t blocked_signals() {
    sigset_t set = termination_signals();
    sigaddset(&set, SIGHUP);
    return set;
}

enum class Readable { first, second, neither };

/// Which of the two can be read; neither after `limit` milliseconds (-1 = no limit).
Readable wait_for_either(int first, int second, int limit = -1) {
    pollfd fds[2] = {{first, POLLIN, 0}, {second, POLLIN, 0}};
    int ready = 0;
    while ((ready = poll(fds, 2, limit)) < 0) {
    }
    if (ready == 0) return Readable::neither;
    return (fds[0].revents & POLLIN) != 0 ? Readable::first : Readable::second;
}

}  // namespace

void block_signals() {
    const sigset_t set = blocked_signals();
    pthread_sigmask(SIG_BLOCK, &set, nullptr);
    std::signal(SIGPIPE, SIG_IGN);
}

void unblock_signals() {
    const sigset_t set = blocked_signals();
    pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

SignalWaiter::SignalWaiter(bool hangup) {
    const sigset_t set = hangup ? blocked_signals() : termination_signals();
    signal_fd_ = signalfd(-1, &set, SFD_CLOEXEC);
    wake_fd_ = eventfd(0, EFD_CLOEXEC);
}

SignalWaiter::SignalWaiter(std::function<void()> on_hangup) : SignalWaiter(true) { on_hangup_ = std::move(on_hangup); }

SignalWaiter::~SignalWaiter() {
    close(signal_fd_);
    close(wake_fd_);
}

Ended SignalWaiter::wait(std::optional<std::chrono::milliseconds> every, const std::function<void()>& tick) {
    const int limit = every ? static_cast<int>(every->count()) : -1;
    while (true) {
        switch (wait_for_either(signal_fd_, wake_fd_, limit)) {
            case Readable::neither: tick(); break;
            case Readable::second: return Ended::woken;
            case Readable::first:
                if (take_signal()) return Ended::first_signal;
                if (on_hangup_) on_hangup_();
                break;
        }
    }
}

bool SignalWaiter::take_signal() {
    signalfd_siginfo info{};
    const auto got = read(signal_fd_, &info, sizeof info);
    return !(got == sizeof info && info.ssi_signo == SIGHUP && on_hangup_);
}

Ended SignalWaiter::run(const std::function<void()>& work, const std::function<void()>& hurry) {
    const int done_fd = eventfd(0, EFD_CLOEXEC);
    std::thread worker([&] {
        work();
        const std::uint64_t one = 1;
        [[maybe_unused]] auto sent = write(done_fd, &one, sizeof one);
    });
    auto ended = Ended::woken;
    while (ended == Ended::woken && wait_for_either(signal_fd_, done_fd) == Readable::first) {
        if (!take_signal()) continue;
        ended = Ended::second_signal;
        hurry();
    }
    worker.join();
    close(done_fd);
    return ended;
}

void SignalWaiter::wake() {
    const std::uint64_t one = 1;
    [[maybe_unused]] auto sent = write(wake_fd_, &one, sizeof one);
}

}  // namespace jobruntime::host
