// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

/// A number that threads change and wait for, so that tests wait for what happens and never sleep.
class Counter {
public:
    int add(int by = 1) {
        const std::lock_guard lock(mutex_);
        value_ += by;
        highest_ = std::max(highest_, value_);
        changed_.notify_all();  // Under the lock: who is woken may destroy this.
        return value_;
    }
    /// False after 60 seconds, which is a failure of the test.
    bool reaches(int wanted) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return value_ >= wanted; });
    }
    bool falls_to(int wanted) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(60), [&] { return value_ <= wanted; });
    }
    int value() const {
        const std::lock_guard lock(mutex_);
        return value_;
    }
    int highest() const {
        const std::lock_guard lock(mutex_);
        return highest_;
    }

private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    int value_ = 0;    // Guarded by mutex_, as is highest_.
    int highest_ = 0;
};

/// Waits for something that a store or a worker can be asked for, at most 60 seconds.
template <class Condition>
bool eventually(Condition condition) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!condition()) {
        if (std::chrono::steady_clock::now() > end) return false;
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return true;
}
