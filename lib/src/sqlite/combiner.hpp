// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include <jobruntime/result.hpp>

namespace jobruntime::sqlite {

/// One call of a writing verb, waiting for its turn.
struct Operation {
    std::function<void()> run;  ///< Inside the transaction, by whichever thread leads; may run again.
    bool durable = true;        ///< To be on disk before it is answered.
    bool grows = false;         ///< Brings new data that a full disk refuses.
    std::size_t items = 1;
    std::size_t bytes = 0;
    std::optional<Error> error; ///< The answer; set by the group's execution.

    // The Combiner's own.
    bool done = false;
    std::condition_variable turn;
};

/// Group commit without a thread of its own (docs/adr/001): callers line up, the first in line executes all
/// that wait as one transaction and answers them. While one group is on its way to the disk the next one
/// gathers, so nobody waits for a timer, and a lone caller pays no hand-over.
class Combiner {
public:
    /// Executes a group: sets each operation's error, or leaves it unset; answers with hints of what happened.
    /// Called by one thread at a time; throws nothing.
    using Execute = std::function<unsigned(std::vector<Operation*>& group)>;
    explicit Combiner(Execute execute) : execute_(std::move(execute)) {}

    /// Blocks until the operation is answered. Answers with the hints of the group when this thread led it, which
    /// is then the one to pass them on, after the next leader has gone to work; else 0.
    unsigned submit(Operation& operation);

private:
    void let_others_come(std::unique_lock<std::mutex>& lock);

    Execute execute_;
    std::mutex mutex_;
    std::deque<Operation*> line_;  // Guarded by mutex_. The first leads.
    std::size_t last_group_ = 0;   // Guarded by mutex_.
};

}  // namespace jobruntime::sqlite
