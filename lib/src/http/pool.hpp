// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace jobruntime::http {

/// A few threads that run what may block on the store. The front never gives it more than one piece of work for each
/// connection, which bounds the queue.
class Pool {
public:
    Pool() = default;
    ~Pool() { stop(); }

    void start(int threads);
    void submit(std::function<void()> work);
    /// Drops what has not begun and waits for what has.
    void stop();

private:
    void run();

    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::function<void()>> waiting_;  // Guarded by mutex_.
    bool stop_ = false;                          // Guarded by mutex_.
    std::vector<std::thread> threads_;
};

}  // namespace jobruntime::http
