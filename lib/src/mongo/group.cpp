// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/group.hpp"

namespace jobruntime::mongo {

void Combiner::submit(Operation& operation) {
    std::vector<Operation*> group;
    {
        std::unique_lock lock(mutex_);
        line_.push_back(&operation);
        operation.turn.wait(lock, [&] { return operation.done || line_.front() == &operation; });
        if (operation.done) return;
        std::size_t items = 0, bytes = 0;
        for (auto* waiting : line_) {
            items += waiting->items;
            bytes += waiting->bytes;
            if (!group.empty() && (items > limits::batch_items || bytes > limits::batch_bytes)) break;
            group.push_back(waiting);
        }
    }
    execute_(group);
    // All of it under the lock: an operation is gone as soon as its caller has seen that it is done.
    const std::scoped_lock lock(mutex_);
    line_.erase(line_.begin(), line_.begin() + static_cast<std::ptrdiff_t>(group.size()));
    if (!line_.empty()) line_.front()->turn.notify_one();
    for (auto* answered : group) {
        if (answered == &operation) continue;
        answered->done = true;
        answered->turn.notify_one();
    }
}

}  // namespace jobruntime::mongo
