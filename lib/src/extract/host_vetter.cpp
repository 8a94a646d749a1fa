// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/host_vetter.hpp"

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "extract/classify.hpp"
#include "extract/media_url.hpp"
#include "extract/recording.hpp"

namespace jobruntime::extract {

namespace {

/// What a look-up leaves for whoever waits for it; shared, for nobody may be waiting any more.
struct Resolution {
    std::mutex mutex;
    std::condition_variable_any done;
    std::optional<net::Addresses> addresses;  // Guarded by mutex.
};

Error blocked(std::string_view url) {
    return {
        Errc::invalid_argument, "SSRF_BLOCKED",
        shown_url(url) + " leads to a private address: JOBRT_ALLOW_NETS names the networks that are allowed"};
}

}  // namespace

Result<void> HostVetter::check_url(std::string_view url, Deadline deadline, const std::stop_token& stop) {
    if (!is_http_url(url)) return {};
    const auto host = url_host(url);
    if (const auto known = decided_.find(host); known != decided_.end()) {
        if (known->second) return {};
        return blocked(url);
    }
    const bool replays = recording_ != nullptr && recording_->replays();
    if (replays)
        if (const auto recorded = recording_->impl().allowed(host))
            return *recorded ? Result<void>() : blocked(url);
    // A replay asks no name server; one that resolves nothing lets a name pass, too.
    if (replays && !net::known_addresses(host)) return {};
    auto checked = check_host(host, url, deadline, stop);
    if (checked || checked.error().name == "SSRF_BLOCKED") {
        decided_[host] = checked.has_value();
        if (recording_ != nullptr) recording_->impl().note_host(host, checked.has_value());
    }
    return checked;
}

Result<void> HostVetter::check_host(const std::string& host, std::string_view url, Deadline deadline,
                                    const std::stop_token& stop) const {
    if (const auto known = net::known_addresses(host)) return check_addresses(*known, url);
    const auto state = std::make_shared<Resolution>();
    net::look_up(host, [state](net::Addresses addresses) {
        {
            const std::lock_guard lock(state->mutex);
            state->addresses = std::move(addresses);
        }
        state->done.notify_all();
    });
    std::unique_lock lock(state->mutex);
    const auto limit = std::min(deadline, std::chrono::steady_clock::now() + std::chrono::seconds(20));
    if (!state->done.wait_until(lock, stop, limit, [&] { return state->addresses.has_value(); })) {
        if (stop.stop_requested()) return Error{Errc::canceled, "stopped while looking up " + host};
        return Error{Errc::timed_out, "NETWORK",
                     "the name " + host + " could not be looked up in time; check the machine's DNS"};
    }
    return check_addresses(*state->addresses, url);
}

Result<void> HostVetter::check_addresses(const net::Addresses& addresses, std::string_view url) const {
    const bool one_allowed = std::any_of(addresses.begin(), addresses.end(), [&](const auto& address) {
        return net::vet(reinterpret_cast<const sockaddr&>(address), allowed_).has_value();
    });
    if (addresses.empty() || one_allowed) return {};
    return blocked(url);
}

}  // namespace jobruntime::extract
