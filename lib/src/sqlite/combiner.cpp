// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "sqlite/combiner.hpp"

#include <chrono>
#include <thread>

#include <jobruntime/job.hpp>

namespace jobruntime::sqlite {

/// Those answered a moment ago are mostly about to ask again. When the next group would go without them, half of
/// all callers would always wait for the other half; a fraction of a fsync is well spent on waiting for them.
void Combiner::let_others_come(std::unique_lock<std::mutex>& lock) {
    constexpr auto patience = std::chrono::microseconds(60);
    const auto end = std::chrono::steady_clock::now() + patience;
    while (line_.size() < last_group_ && std::chrono::steady_clock::now() < end) {
        lock.unlock();
        std::this_thread::yield();
        lock.lock();
    }
}

unsigned Combiner::submit(Operation& operation) {
    std::vector<Operation*> group;
    {
        std::unique_lock lock(mutex_);
        line_.push_back(&operation);
        operation.turn.wait(lock, [&] { return operation.done || line_.front() == &operation; });
        if (operation.done) return 0;
        if (line_.size() < last_group_) let_others_come(lock);
        std::size_t items = 0, bytes = 0;
        for (auto* waiting : line_) {
            items += waiting->items;
            bytes += waiting->bytes;
            if (!group.empty() && (items > limits::batch_items || bytes > limits::batch_bytes)) break;
            group.push_back(waiting);
        }
        last_group_ = group.size();
    }
    const unsigned hints = execute_(group);
    {
        const std::scoped_lock lock(mutex_);
        line_.erase(line_.begin(), line_.begin() + static_cast<std::ptrdiff_t>(group.size()));
        // The next leader first: the disk should not wait while the others are told. All of it under the lock,
        // since an operation is gone as soon as its caller has seen that it is done.
        if (!line_.empty()) line_.front()->turn.notify_one();
        for (auto* answered : group) {
            if (answered == &operation) continue;
            answered->done = true;
            answered->turn.notify_one();
        }
    }
    return hints;
}

}  // namespace jobruntime::sqlite
