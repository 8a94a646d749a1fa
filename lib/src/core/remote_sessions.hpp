// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <optional>

#include <boost/json/object.hpp>

#include <jobruntime/id.hpp>

namespace jobruntime::core {

/// Sessions that were seen to have come by HTTP, which a session never ceases to have, so that not every claim and beat reads
/// all sessions there are; and what each says of who began it. Thread-safe.
class RemoteSessions {
public:
    /// Nothing of a session that is not known.
    std::optional<boost::json::object> find(SessionId session) const {
        const std::lock_guard lock(mutex_);
        const auto found = known_.find(session);
        return found == known_.end() ? std::nullopt : std::optional(found->second);
    }
    void add(SessionId session, boost::json::object begun_by) {
        const std::lock_guard lock(mutex_);
        if (known_.size() >= most) known_.clear();  // Those that live are read again.
        known_.insert_or_assign(session, std::move(begun_by));
    }

private:
    static constexpr std::size_t most = 10'000;
    mutable std::mutex mutex_;
    std::map<SessionId, boost::json::object> known_;  // Guarded by mutex_.
};

}  // namespace jobruntime::core
