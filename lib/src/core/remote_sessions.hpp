// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <mutex>
#include <set>

#include <jobruntime/id.hpp>

namespace jobruntime::core {

/// Sessions that were seen to have come by HTTP, which a session never ceases to have, so that not every claim and beat reads
/// all sessions there are. Thread-safe.
class RemoteSessions {
public:
    bool knows(SessionId session) const {
        const std::lock_guard lock(mutex_);
        return known_.contains(session);
    }
    void add(SessionId session) {
        const std::lock_guard lock(mutex_);
        if (known_.size() >= most) known_.clear();  // Those that live are read again.
        known_.insert(session);
    }

private:
    static constexpr std::size_t most = 10'000;
    mutable std::mutex mutex_;
    std::set<SessionId> known_;  // Guarded by mutex_.
};

}  // namespace jobruntime::core
