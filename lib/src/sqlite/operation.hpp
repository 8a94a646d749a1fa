// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>

#include <jobruntime/result.hpp>

#include "core/combiner.hpp"

namespace jobruntime::sqlite {

/// One call of a writing verb, waiting for its turn.
struct Operation {
    std::function<void()> run;  ///< Inside the transaction, by whichever thread leads; may run again.
    bool durable = true;        ///< To be on disk before it is answered.
    bool grows = false;         ///< Brings new data that a full disk refuses.
    std::size_t items = 1;
    std::size_t bytes = 0;
    std::optional<Error> error; ///< The answer; set by the group's execution.

    core::Turn turn;
};

using Combiner = core::Combiner<Operation>;

}  // namespace jobruntime::sqlite
