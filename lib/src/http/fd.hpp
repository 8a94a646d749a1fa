// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>

namespace jobruntime::http {

/// Owns a file descriptor.
class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~Fd() {
        if (fd_ >= 0) ::close(fd_);
    }
    int get() const { return fd_; }
    explicit operator bool() const { return fd_ >= 0; }

private:
    int fd_ = -1;
};

/// Errors that pass as soon as others close what they have open.
inline bool is_of_descriptors(int error) { return error == EMFILE || error == ENFILE; }

/// Throws away what a socket has received, up to a bound. To be called before it is closed: with something unread, that would
/// reset the connection, and the peer would lose what it has not read yet of its answer.
inline void drain(const Fd& socket) {
    std::array<char, 16 << 10> bytes;
    for (int i = 0; i < 64 && recv(socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT) > 0; ++i) {
    }
}

}  // namespace jobruntime::http
