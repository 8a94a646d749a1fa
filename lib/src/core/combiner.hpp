// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include <jobruntime/job.hpp>

namespace jobruntime::core {

/// Where one caller of a Combiner waits until it is called, with a lock of its own: callers that are answered together
/// would otherwise wake only to wait for the lock of the line, one after the other.
class Turn {
public:
    enum class Call : unsigned char { none, lead, answered };

    /// The caller, and this with it, may be gone as soon as this has returned, but not earlier.
    void call(Call what) {
        const std::scoped_lock lock(mutex_);
        call_ = what;
        called_.notify_one();
    }
    Call wait() {
        std::unique_lock lock(mutex_);
        called_.wait(lock, [this] { return call_ != Call::none; });
        return call_;
    }

private:
    std::mutex mutex_;
    std::condition_variable called_;
    Call call_ = Call::none;  // Guarded by mutex_.
};

/// Group commit without a thread of its own (docs/adr/001): callers line up, the first in line executes all
/// that wait as one group, at most limits::batch_items and batch_bytes, and answers them. While one group is on its way
/// to the disk or over the network the next one gathers, so nobody waits for a timer, and a lone caller pays no hand-over.
/// `Operation` is one call: it has `items`, `bytes` and a Turn named `turn`.
template <class Operation>
class Combiner {
public:
    /// Executes a group, leaving in each operation how it went; answers with hints of what happened.
    /// Called by one thread at a time; throws nothing.
    using Execute = std::function<unsigned(std::vector<Operation*>& group)>;
    /// `patience`: how long the first in line waits for those who were answered a moment ago and are mostly about to
    /// ask again. When the next group would go without them, half of all callers would always wait for the other
    /// half; a fraction of what a group costs is well spent on waiting for them.
    Combiner(Execute execute, std::chrono::microseconds patience)
        : execute_(std::move(execute)), patience_(patience) {}

    /// Blocks until the operation is answered. Answers with the hints of the group when this thread led it, which
    /// is then the one to pass them on, after the next leader has gone to work; else 0.
    unsigned submit(Operation& operation) {
        bool leads = false;
        {
            const std::scoped_lock lock(mutex_);
            leads = line_.empty();
            line_.push_back(&operation);
        }
        if (!leads && operation.turn.wait() == Turn::Call::answered) return 0;
        auto group = gather();
        const unsigned hints = execute_(group);
        Operation* next = nullptr;
        {
            const std::scoped_lock lock(mutex_);
            line_.erase(line_.begin(), line_.begin() + static_cast<std::ptrdiff_t>(group.size()));
            if (!line_.empty()) next = line_.front();
        }
        // The next leader first: the disk should not wait while the others are told.
        if (next) next->turn.call(Turn::Call::lead);
        for (auto* answered : group)
            if (answered != &operation) answered->turn.call(Turn::Call::answered);
        return hints;
    }

private:
    std::vector<Operation*> gather() {
        std::unique_lock lock(mutex_);
        if (line_.size() < last_group_) let_others_come(lock);
        std::vector<Operation*> group;
        std::size_t items = 0, bytes = 0;
        for (auto* waiting : line_) {
            items += waiting->items;
            bytes += waiting->bytes;
            if (!group.empty() && (items > limits::batch_items || bytes > limits::batch_bytes)) break;
            group.push_back(waiting);
        }
        last_group_ = group.size();
        return group;
    }

    void let_others_come(std::unique_lock<std::mutex>& lock) {
        const auto end = std::chrono::steady_clock::now() + patience_;
        while (line_.size() < last_group_ && std::chrono::steady_clock::now() < end) {
            lock.unlock();
            std::this_thread::yield();
            lock.lock();
        }
    }

    const Execute execute_;
    const std::chrono::microseconds patience_;
    std::mutex mutex_;
    std::deque<Operation*> line_;  // Guarded by mutex_. The first leads, or is about to be called to.
    std::size_t last_group_ = 0;   // Guarded by mutex_.
};

}  // namespace jobruntime::core
