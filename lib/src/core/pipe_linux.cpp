// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <ctime>

#include <jobruntime/subprocess.hpp>

#include "core/stop_event_linux.hpp"

namespace jobruntime {
namespace {

using std::chrono::steady_clock;

std::string errno_text(int error) { return std::strerror(error); }

int poll_timeout(Deadline deadline) {
    if (deadline == forever) return -1;
    const auto left = deadline - steady_clock::now();
    if (left <= left.zero()) return 0;
    const auto ms = std::chrono::ceil<std::chrono::milliseconds>(left).count();
    return static_cast<int>(std::min<long long>(ms, INT_MAX));
}

/// Holds SIGPIPE back from this thread and swallows the one that a write may have raised,
/// so that neither the host's handler nor the default action ever sees it.
class SigpipeGuard {
public:
    SigpipeGuard() noexcept {
        sigemptyset(&pipe_);
        sigaddset(&pipe_, SIGPIPE);
        sigset_t pending;
        sigpending(&pending);
        was_pending_ = sigismember(&pending, SIGPIPE) == 1;
        pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
    }
    ~SigpipeGuard() {
        if (!was_pending_) {
            const timespec now{};
            while (sigtimedwait(&pipe_, nullptr, &now) < 0 && errno == EINTR) {}
        }
        pthread_sigmask(SIG_SETMASK, &before_, nullptr);
    }
    SigpipeGuard(const SigpipeGuard&) = delete;
    SigpipeGuard& operator=(const SigpipeGuard&) = delete;

private:
    sigset_t pipe_{};
    sigset_t before_{};
    bool was_pending_ = false;
};

}  // namespace

namespace core {

Result<void> wait_ready(int fd, short events, Deadline deadline, const std::stop_token& stop) {
    if (stop.stop_requested()) return Error{Errc::canceled, "a stop was requested"};
    const StopEvent event(stop);
    if (stop.stop_possible() && event.fd() < 0)
        return Error{Errc::unavailable, "no file descriptor left; raise the limit (ulimit -n)"};
    while (true) {
        pollfd polled[2] = {{fd, events, 0}, {event.fd(), POLLIN, 0}};  // poll skips negative descriptors.
        const int ready = ::poll(polled, 2, poll_timeout(deadline));
        if (ready < 0 && errno != EINTR) return Error{Errc::internal, "poll failed: " + errno_text(errno)};
        if (stop.stop_requested()) return Error{Errc::canceled, "a stop was requested"};
        if (ready > 0 && polled[0].revents != 0) return {};
        if (deadline != forever && steady_clock::now() >= deadline)
            return Error{Errc::timed_out, "the time given for it ran out"};
    }
}

}  // namespace core

void Fd::reset() noexcept {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
}

Result<Pipe> make_pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0)
        return Error{Errc::unavailable,
                     "cannot make a pipe: " + errno_text(errno) + "; raise the limit (ulimit -n)"};
    return Pipe{Fd(ends[0]), Fd(ends[1])};
}

Result<void> write_all(int fd, std::string_view data, Deadline deadline, std::stop_token stop) {
    while (!data.empty()) {
        JR_TRY(core::wait_ready(fd, POLLOUT, deadline, stop));
        // A writable pipe takes PIPE_BUF bytes without blocking, and not one more for certain.
        const SigpipeGuard guard;
        const auto written = ::write(fd, data.data(), std::min<std::size_t>(data.size(), PIPE_BUF));
        if (written >= 0) {
            data.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno == EPIPE || errno == ECONNRESET) {
            return Error{Errc::unavailable, "PIPE_CLOSED",
                         "the process at the other end of the pipe is gone"};
        } else if (errno != EINTR && errno != EAGAIN) {
            return Error{Errc::unavailable, "cannot write to a pipe: " + errno_text(errno)};
        }
    }
    return {};
}

Result<void> LineReader::fill(Deadline deadline, const std::stop_token& stop) {
    if (limits_.max_total != 0 && total_ > limits_.max_total)
        return Error{Errc::full, "OUTPUT_TOO_LARGE",
                     "the output is larger than " + std::to_string(limits_.max_total) + " bytes"};
    if (buffer_.size() - begin_ > limits_.max_line)
        return Error{Errc::full, "OUTPUT_TOO_LARGE",
                     "a line of the output is longer than " + std::to_string(limits_.max_line) + " bytes"};
    while (true) {
        JR_TRY(core::wait_ready(fd_, POLLIN, deadline, stop));
        char chunk[16 * 1024];
        const auto got = ::read(fd_, chunk, sizeof chunk);
        if (got > 0) {
            if (begin_ > 0) {
                buffer_.erase(0, begin_);
                scanned_ -= begin_;
                begin_ = 0;
            }
            buffer_.append(chunk, static_cast<std::size_t>(got));
            total_ += static_cast<std::size_t>(got);
            return {};
        }
        if (got == 0) {
            at_end_ = true;
            return {};
        }
        if (errno != EINTR && errno != EAGAIN)
            return Error{Errc::unavailable, "cannot read from a pipe: " + errno_text(errno)};
    }
}

std::optional<std::string> LineReader::take_line() {
    const auto end = buffer_.find(limits_.delimiter, scanned_);
    if (end == std::string::npos) {
        scanned_ = buffer_.size();
        return std::nullopt;
    }
    std::string line = buffer_.substr(begin_, end - begin_);
    begin_ = scanned_ = end + 1;
    return line;
}

Result<std::optional<std::string>> LineReader::next(Deadline deadline, std::stop_token stop) {
    while (true) {
        auto line = take_line();
        if (!line && at_end_ && begin_ < buffer_.size()) {
            line = buffer_.substr(begin_);
            begin_ = scanned_ = buffer_.size();
        }
        if (line) {
            if (line->size() <= limits_.max_line) return line;
            return Error{
                Errc::full, "OUTPUT_TOO_LARGE",
                "a line of the output is longer than " + std::to_string(limits_.max_line) + " bytes"};
        }
        if (at_end_) return std::optional<std::string>{};
        JR_TRY(fill(deadline, stop));
    }
}

Result<std::string> read_all(int fd, std::size_t max_bytes, Deadline deadline, std::stop_token stop) {
    std::string all;
    while (true) {
        JR_TRY(core::wait_ready(fd, POLLIN, deadline, stop));
        char chunk[16 * 1024];
        const auto got = ::read(fd, chunk, sizeof chunk);
        if (got == 0) return all;
        if (got < 0 && errno != EINTR && errno != EAGAIN)
            return Error{Errc::unavailable, "cannot read from a pipe: " + errno_text(errno)};
        if (got > 0) all.append(chunk, static_cast<std::size_t>(got));
        if (all.size() > max_bytes)
            return Error{Errc::full, "OUTPUT_TOO_LARGE",
                         "the output is larger than " + std::to_string(max_bytes) + " bytes"};
    }
}

}  // namespace jobruntime
