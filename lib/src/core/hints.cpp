// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/hints.hpp"

namespace jobruntime::core {

Subscription HintHub::subscribe(std::function<void(unsigned)> callback) {
    const std::lock_guard lock(mutex_);
    const auto number = next_++;
    callbacks_.emplace(number, std::move(callback));
    return Subscription([self = shared_from_this(), number] {
        const std::lock_guard ending(self->mutex_);
        self->callbacks_.erase(number);
    });
}

void HintHub::tell(unsigned hints) {
    if (hints == 0) return;
    const std::shared_lock lock(mutex_);
    for (const auto& [number, callback] : callbacks_) callback(hints);
}

}  // namespace jobruntime::core
