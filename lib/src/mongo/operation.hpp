// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <optional>
#include <vector>

#include "core/combiner.hpp"
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
    /// Called when it has that, by whoever executed it, before anything else is written.
    std::function<void()> ended{};

    core::Turn turn{};
};

using Combiner = core::Combiner<Operation>;

}  // namespace jobruntime::mongo
