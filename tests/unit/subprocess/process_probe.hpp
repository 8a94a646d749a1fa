// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>

#include <jobruntime/subprocess.hpp>

namespace jobruntime::test {

using namespace std::chrono_literals;

inline Deadline in(std::chrono::milliseconds time) { return std::chrono::steady_clock::now() + time; }

/// Whether the process has ended within the time; works for grandchildren as well.
inline bool ends_within(int pid, std::chrono::milliseconds time) {
    const Fd watch(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!watch) return true;
    pollfd polled{watch.get(), POLLIN, 0};
    return ::poll(&polled, 1, static_cast<int>(time.count())) == 1;
}

inline std::size_t open_descriptors() {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) ++count;
    return count;
}

inline SpawnOptions shell(const std::string& script) {
    return {.argv = {"/bin/sh", "-c", script}, .env = {"PATH=/usr/bin:/bin"}, .out = Stdio::pipe};
}

/// A pid that the child prints as its first line.
inline int read_pid(Subprocess& child) {
    LineReader lines(child.out().get());
    const auto line = lines.next(in(10s));
    return line && *line ? std::atoi((*line)->c_str()) : -1;
}

}  // namespace jobruntime::test
