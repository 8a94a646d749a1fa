// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/pool.hpp"

#include <system_error>
#include <utility>

#include "http/event_loop.hpp"

namespace jobruntime::http {
namespace {

/// Threads beyond the usual ones; what comes when all of them hang, too, waits in line and is refused there.
constexpr std::size_t most_more = 64;

}  // namespace

void Pool::start(int threads, std::size_t max_waiting) {
    max_waiting_ = max_waiting;
    usual_ = static_cast<std::size_t>(threads);
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { run(); });
}

bool Pool::submit(std::function<void()> work) {
    {
        std::lock_guard lock(mutex_);
        if (stop_ || waiting_.size() >= max_waiting_) return false;
        waiting_.push_back(std::move(work));
    }
    changed_.notify_one();
    return true;
}

void Pool::one_hangs() {
    std::lock_guard lock(mutex_);
    ++hanging_;
    // Those that come back stay, so that it takes no new ones the next time.
    const auto at_work = static_cast<std::ptrdiff_t>(threads_.size()) - hanging_;
    if (stop_ || at_work >= static_cast<std::ptrdiff_t>(usual_) || threads_.size() >= usual_ + most_more) return;
    try {
        threads_.emplace_back([this] { run(); });
    } catch (const std::system_error&) {
        // The system has no more; what waits for a thread is refused in time all the same.
    }
}

void Pool::one_came_back() {
    std::lock_guard lock(mutex_);
    --hanging_;
}

bool Pool::hangs() {
    std::lock_guard lock(mutex_);
    return hanging_ > 0;
}

void Pool::stop() {
    std::deque<std::function<void()>> dropped;
    {
        std::lock_guard lock(mutex_);
        stop_ = true;
        dropped.swap(waiting_);
    }
    changed_.notify_all();
    for (auto& thread : threads_)
        if (thread.joinable()) thread.join();
    threads_.clear();
}

void Pool::run() {
    block_signals();
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
        if (stop_) return;
        auto work = std::move(waiting_.front());
        waiting_.pop_front();
        lock.unlock();
        work();
        work = nullptr;  // Its captures go before the lock is taken again.
        lock.lock();
    }
}

}  // namespace jobruntime::http
