// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <jobruntime/api_router.hpp>
#include <jobruntime/result.hpp>

#include "http/event_loop.hpp"

namespace jobruntime::http {

/// What stands for the address of whoever came through a Unix socket.
constexpr std::string_view unix_peer = "unix";

/// Addresses and networks, as JOBRT_TRUSTED_PROXIES lists them.
class PeerNets {
public:
    /// "10.0.0.1", "10.0.0.0/8", "2001:db8::/32", or "unix". Errc::invalid_argument names the one that is none of these.
    static Result<PeerNets> parse(const std::vector<std::string>& texts);
    bool contains(std::string_view address) const;
    bool empty() const { return nets_.empty() && !unix_; }

private:
    struct Net {
        std::array<std::uint8_t, 16> bytes{};
        int bits = 0;
    };
    std::vector<Net> nets_;
    bool unix_ = false;
};

/// Who sent the request: its peer or, when that is a trusted proxy, the last address in X-Forwarded-For that is none.
std::string sender_of(const Request& request, std::string_view peer, const PeerNets& proxies);

/// What counts as one client for the limits: an IPv4 address, an IPv6 network of 64 bits. Empty for this machine itself,
/// unless `own` says otherwise, which the limits do not bind: whoever is on it can do worse.
std::string client_of(std::string_view address, bool own = false);

/// Requests per second and client: a bucket that holds two seconds' worth. Of so many clients; beyond that the bucket which
/// is full, or will be soonest, is forgotten, so that senders under ever new addresses free nobody who has used up his.
class RateLimit {
public:
    static constexpr std::size_t most_buckets = 20'000;

    void set_rate(int per_second) { rate_ = per_second; }
    /// Seconds to wait, or 0: it may go on. An empty client always may.
    int take(const std::string& client, RealTime now);
    /// Forgets whoever has not asked for a while.
    void tidy(RealTime now);
    std::size_t size() const { return buckets_.size(); }

private:
    using ByFull = std::multimap<RealTime, std::string>;
    int rate_ = 0;    ///< 0 = no limit.
    ByFull by_full_;  ///< When each client's bucket is full again, which says what is left in it.
    std::unordered_map<std::string, ByFull::iterator> buckets_;
};

}  // namespace jobruntime::http
