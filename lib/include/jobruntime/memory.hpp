// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>

#include <jobruntime/store.hpp>

namespace jobruntime::memory {

/// A store in this process's memory, for tests and trials: it keeps the whole store contract
/// but loses everything with the process.
JOBRUNTIME_API std::unique_ptr<Store> open(Origin origin = {});

}  // namespace jobruntime::memory
