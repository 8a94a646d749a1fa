// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "mongo/jobs.hpp"

namespace jobruntime::mongo {

/// One call of a writing verb, waiting for its turn.
struct Operation {
    std::vector<Arrival> arrivals{};
    std::vector<Mutation> mutations{};
    std::vector<Entry> loose{};  ///< Events about no attempt.
    std::size_t items = 1;
    std::size_t bytes = 0;
    std::optional<Error> error{};  ///< The answer.

    // The Combiner's own.
    bool done = false;
    std::condition_variable turn{};
};

/// Lets what waits travel together, without a thread of its own: callers line up, the first in line executes
/// all that wait and answers them; while one group is on its way the next one gathers. A lone caller pays no
/// hand-over.
class Combiner {
public:
    using Execute =
        std::function<void(std::vector<Operation*>& group)>;  ///< Sets each error; throws nothing.
    explicit Combiner(Execute execute) : execute_(std::move(execute)) {}

    /// Blocks until the operation is answered.
    void submit(Operation& operation);

private:
    const Execute execute_;
    std::mutex mutex_;
    std::deque<Operation*> line_;  // Guarded by mutex_. The first leads.
};

}  // namespace jobruntime::mongo
