// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace jobruntime::core {

/// Threads for what may hang in a database, so that whoever wants its answer can stop waiting for it. There are as many
/// as were ever needed at the same time, and never more than `most`.
class SideThreads {
public:
    enum class End : unsigned char {
        done,  ///< The work has been done.
        late,  ///< It goes on, and nobody waits for it any more: it may use only what it holds itself.
        full,  ///< It has not been begun: all threads hang.
    };

    explicit SideThreads(std::size_t most) : most_(most) {}
    /// Waits for what has begun.
    ~SideThreads();
    SideThreads(const SideThreads&) = delete;
    SideThreads& operator=(const SideThreads&) = delete;

    /// Waits at most so long, in real time: what is waited for is a real thread in a real database. `work` throws
    /// nothing.
    End run(std::function<void()> work, std::chrono::milliseconds patience);

private:
    struct Piece {
        std::function<void()> work;
        std::condition_variable changed;
        bool done = false;  // Guarded by mutex_.
    };

    void serve();

    const std::size_t most_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::deque<std::shared_ptr<Piece>> waiting_;  // Guarded by mutex_, as are the next three.
    std::size_t idle_ = 0;
    bool stop_ = false;
    std::vector<std::thread> threads_;
};

}  // namespace jobruntime::core
