// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/host_vetter.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>

#include <netdb.h>

#include "extract/classify.hpp"
#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace {

/// One name resolution. getaddrinfo() cannot be interrupted, so it runs on a thread that is left behind
/// when nobody wants its answer any more; the state is shared for that reason.
struct Resolution {
    std::mutex mutex;
    std::condition_variable_any done;
    addrinfo* list = nullptr;  // Guarded by mutex, as below.
    bool finished = false;
    ~Resolution() {
        if (list != nullptr) ::freeaddrinfo(list);
    }
};

std::shared_ptr<Resolution> resolve(const std::string& host) {
    auto state = std::make_shared<Resolution>();
    std::thread([state, host] {
        addrinfo hints{};
        hints.ai_socktype = SOCK_STREAM;
        addrinfo* list = nullptr;
        if (::getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) list = nullptr;
        {
            const std::lock_guard lock(state->mutex);
            state->list = list;
            state->finished = true;
        }
        state->done.notify_all();
    }).detach();
    return state;
}

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
    auto checked = check_host(host, url, deadline, stop);
    if (checked || checked.error().name == "SSRF_BLOCKED") decided_[host] = checked.has_value();
    return checked;
}

Result<void> HostVetter::check_host(const std::string& host, std::string_view url, Deadline deadline,
                                    const std::stop_token& stop) const {
    // Chromium takes these names to loopback without asking anybody.
    if (host == "localhost" || host.ends_with(".localhost")) return check_address("127.0.0.1", url);
    const bool numeric = host.starts_with('[') || host.find_first_not_of("0123456789.") == std::string::npos;
    if (numeric) return check_address(host, url);
    const auto state = resolve(host);
    std::unique_lock lock(state->mutex);
    const auto limit = std::min(deadline, std::chrono::steady_clock::now() + std::chrono::seconds(20));
    if (!state->done.wait_until(lock, stop, limit, [&] { return state->finished; })) {
        if (stop.stop_requested()) return Error{Errc::canceled, "stopped while looking up " + host};
        return Error{Errc::timed_out, "NETWORK",
                     "the name " + host + " could not be looked up in time; check the machine's DNS"};
    }
    for (const auto* entry = state->list; entry != nullptr; entry = entry->ai_next) {
        if (!net::vet(*entry->ai_addr, allowed_)) return blocked(url);
    }
    return {};
}

Result<void> HostVetter::check_address(std::string_view address, std::string_view url) const {
    if (address.starts_with('[') && address.ends_with(']')) address = address.substr(1, address.size() - 2);
    if (address.empty() || net::vet(address, allowed_)) return {};
    return blocked(url);
}

}  // namespace jobruntime::extract
