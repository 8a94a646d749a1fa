// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <shared_mutex>

#include <jobruntime/export.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::core {

/// Those who asked to be told of a store's changes. Thread-safe; held by shared_ptr, because a
/// subscription may outlive its store.
class JOBRUNTIME_API HintHub : public std::enable_shared_from_this<HintHub> {
public:
    [[nodiscard]] Subscription subscribe(std::function<void(unsigned)> callback);
    /// Calls everybody, on this thread. Nothing to do for no hints.
    void tell(unsigned hints);

private:
    std::shared_mutex mutex_;  // Held shared while calling back: ending a subscription waits for that.
    std::map<std::uint64_t, std::function<void(unsigned)>> callbacks_;  // Guarded by mutex_, as is next_.
    std::uint64_t next_ = 0;
};

}  // namespace jobruntime::core
