// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

namespace jobruntime::http {

/// Counts places that are taken, in all and by each client. Thread-safe.
class Places {
public:
    /// One taken place; it is given back when this goes.
    class Place {
    public:
        Place() = default;
        Place(Place&& other) noexcept : places_(std::exchange(other.places_, nullptr)), client_(std::move(other.client_)) {}
        Place& operator=(Place&& other) noexcept {
            std::swap(places_, other.places_);
            std::swap(client_, other.client_);
            return *this;
        }
        ~Place() {
            if (places_) places_->give_back(client_);
        }
        explicit operator bool() const { return places_ != nullptr; }

    private:
        friend class Places;
        Place(Places& places, std::string client) : places_(&places), client_(std::move(client)) {}
        Places* places_ = nullptr;
        std::string client_;  ///< Empty: only the sum counts.
    };

    void set_limits(int in_all, int each) {
        std::lock_guard lock(mutex_);
        in_all_ = in_all;
        each_ = each;
    }
    /// An empty client counts in the sum only. False when there is none left; `each` then says whether it is this client's
    /// own limit.
    Place take(const std::string& client, bool& each) {
        std::lock_guard lock(mutex_);
        each = false;
        if (taken_ >= in_all_) return {};
        if (!client.empty()) {
            int& its = by_client_[client];
            if (its >= each_) {
                each = true;
                if (its == 0) by_client_.erase(client);
                return {};
            }
            ++its;
        }
        ++taken_;
        return {*this, client};
    }
    int taken() const {
        std::lock_guard lock(mutex_);
        return taken_;
    }

private:
    void give_back(const std::string& client) {
        std::lock_guard lock(mutex_);
        --taken_;
        if (client.empty()) return;
        const auto found = by_client_.find(client);
        if (--found->second == 0) by_client_.erase(found);
    }

    mutable std::mutex mutex_;
    int in_all_ = 0;   // Guarded by mutex_, as all that follows.
    int each_ = 0;
    int taken_ = 0;
    std::unordered_map<std::string, int> by_client_;
};

}  // namespace jobruntime::http
