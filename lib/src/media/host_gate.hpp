// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <utility>

namespace jobruntime::media {

/// How many requests go to one host at once, over all downloads that share the gate. Thread-safe.
class HostGate {
public:
    explicit HostGate(int limit) : limit_(limit) {}

    /// A place among a host's requests, given back at its end.
    class Pass {
    public:
        Pass() = default;
        Pass(HostGate& gate, std::string host) : gate_(&gate), host_(std::move(host)) {}
        Pass(Pass&& other) noexcept
            : gate_(std::exchange(other.gate_, nullptr)), host_(std::move(other.host_)) {}
        Pass& operator=(Pass&&) = delete;
        ~Pass() {
            if (gate_) gate_->leave(host_);
        }

    private:
        HostGate* gate_ = nullptr;
        std::string host_;
    };

    /// Waits for a place; an empty pass once `stop` is requested. `urgent` is asked now and then and lets
    /// through beyond the limit: the request that all others of its download wait for must never wait for
    /// them.
    Pass enter(const std::string& host, const std::function<bool()>& urgent, const std::stop_token& stop);

private:
    void leave(const std::string& host);

    const int limit_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, int> inside_;  // Guarded by mutex_.
};

}  // namespace jobruntime::media
