// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/pool.hpp"

#include <utility>

#include "http/event_loop.hpp"

namespace jobruntime::http {

void Pool::start(int threads, std::size_t max_waiting) {
    max_waiting_ = max_waiting;
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
