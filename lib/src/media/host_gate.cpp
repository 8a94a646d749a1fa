// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/host_gate.hpp"

#include <chrono>

namespace jobruntime::media {

HostGate::Pass HostGate::enter(const std::string& host, const std::function<bool()>& urgent,
                               const std::stop_token& stop) {
    using namespace std::chrono_literals;
    std::unique_lock lock(mutex_);
    while (inside_[host] >= limit_ && !urgent()) {
        if (stop.stop_requested()) {
            if (inside_[host] == 0) inside_.erase(host);
            return {};
        }
        changed_.wait_for(lock, 20ms);  // Neither a stop nor urgency rings.
    }
    ++inside_[host];
    return Pass(*this, host);
}

void HostGate::leave(const std::string& host) {
    {
        const std::lock_guard lock(mutex_);
        const auto found = inside_.find(host);
        if (found != inside_.end() && --found->second <= 0) inside_.erase(found);
    }
    changed_.notify_all();
}

}  // namespace jobruntime::media
