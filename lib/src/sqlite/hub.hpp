// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>

#include <jobruntime/store.hpp>

namespace jobruntime::sqlite {

/// Who wants to hear of changes. Outlives its store while a Subscription does.
class Hub : public std::enable_shared_from_this<Hub> {
public:
    Subscription add(std::function<void(unsigned)> callback) {
        const std::scoped_lock lock(mutex_);
        const auto key = ++last_;
        callbacks_.emplace(key, std::move(callback));
        return Subscription([hub = shared_from_this(), key] {
            const std::scoped_lock ending(hub->mutex_);
            hub->callbacks_.erase(key);
        });
    }
    void call(unsigned hints) {
        if (hints == 0) return;
        const std::scoped_lock lock(mutex_);
        for (const auto& [key, callback] : callbacks_) callback(hints);
    }
    bool empty() const {
        const std::scoped_lock lock(mutex_);
        return callbacks_.empty();
    }

private:
    mutable std::mutex mutex_;
    std::uint64_t last_ = 0;                                  // Guarded by mutex_.
    std::map<std::uint64_t, std::function<void(unsigned)>> callbacks_;  // Guarded by mutex_.
};

}  // namespace jobruntime::sqlite
