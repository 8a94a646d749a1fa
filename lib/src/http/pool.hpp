// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace jobruntime::http {

/// A few threads that run what may block on the store, and a bounded queue before them.
class Pool {
public:
    Pool() = default;
    ~Pool() { stop(); }

    /// `max_waiting`: pieces that may wait for a thread.
    void start(int threads, std::size_t max_waiting);
    /// False when too many wait already, or after stop(); the work is then dropped. What it throws is nobody's.
    bool submit(std::function<void()> work);
    /// One of the threads hangs in its piece, and nobody waits for that any more: another takes its place, up to a bound.
    void one_hangs();
    /// By the piece itself, at its end.
    void one_came_back();
    /// Whether any of them does.
    bool hangs();
    /// Drops what has not begun and waits for what has.
    void stop();

private:
    void run();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> waiting_;  // Guarded by mutex_.
    bool stop_ = false;                          // Guarded by mutex_.
    std::size_t max_waiting_ = 0;
    std::size_t usual_ = 0;    // Threads, while none hangs.
    std::ptrdiff_t hanging_ = 0;  // Guarded by mutex_. Below zero for a moment when one comes back that was just given up.
    std::vector<std::thread> threads_;
};

}  // namespace jobruntime::http
