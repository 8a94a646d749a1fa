// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <condition_variable>
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
    /// Drops what has not begun and waits for what has.
    void stop();

private:
    void run();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> waiting_;  // Guarded by mutex_.
    bool stop_ = false;                          // Guarded by mutex_.
    std::size_t max_waiting_ = 0;
    std::vector<std::thread> threads_;
};

}  // namespace jobruntime::http
