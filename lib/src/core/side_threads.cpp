// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/side_threads.hpp"

#include <utility>

namespace jobruntime::core {

SideThreads::~SideThreads() {
    {
        const std::lock_guard lock(mutex_);
        stop_ = true;
    }
    changed_.notify_all();
    for (auto& thread : threads_) thread.join();
}

SideThreads::End SideThreads::run(std::function<void()> work, std::chrono::milliseconds patience) {
    const auto piece = std::make_shared<Piece>();
    piece->work = std::move(work);
    std::unique_lock lock(mutex_);
    if (waiting_.size() >= idle_) {
        if (threads_.size() >= most_) return End::full;
        threads_.emplace_back([this] { serve(); });
        ++idle_;  // It is on its way.
    }
    waiting_.push_back(piece);
    changed_.notify_one();
    return piece->changed.wait_for(lock, patience, [&] { return piece->done; }) ? End::done : End::late;
}

void SideThreads::serve() {
    std::unique_lock lock(mutex_);
    while (true) {
        changed_.wait(lock, [this] { return stop_ || !waiting_.empty(); });
        if (waiting_.empty()) return;
        const auto piece = std::move(waiting_.front());
        waiting_.pop_front();
        --idle_;
        lock.unlock();
        piece->work();
        piece->work = nullptr;  // What it holds goes before somebody hears that it is done, and with no lock held.
        lock.lock();
        piece->done = true;
        piece->changed.notify_one();
        ++idle_;
    }
}

}  // namespace jobruntime::core
