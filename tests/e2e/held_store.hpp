// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <string>

namespace jobruntime::e2e {

/// Holds locks of SQLite's write-ahead log from outside, which is how a database looks whose holder hangs.
/// https://sqlite.org/walformat.html: byte 120 of the -shm file is the writer's, 123 to 127 are the readers'.
class HeldStore {
public:
    HeldStore(const std::string& database, bool readers_too)
        : fd_(::open((database + "-shm").c_str(), O_RDWR | O_CLOEXEC)) {
        struct flock lock {};
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        lock.l_start = 120;
        lock.l_len = readers_too ? 8 : 1;
        held_ = fd_ >= 0 && ::fcntl(fd_, F_SETLKW, &lock) == 0;
    }
    ~HeldStore() { ::close(fd_); }
    HeldStore(const HeldStore&) = delete;
    HeldStore& operator=(const HeldStore&) = delete;
    bool held() const { return held_; }

private:
    int fd_;
    bool held_ = false;
};

}  // namespace jobruntime::e2e
