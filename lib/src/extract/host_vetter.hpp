// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/net.hpp>
#include <jobruntime/subprocess.hpp>

#include "net/lookup.hpp"

namespace jobruntime::extract {

class Recording;

/// Decides for one extraction whether an answer may name a host, by all the addresses its name has now: an
/// early word only, for whoever fetches from it later vets what he dials. Refused when none of them is allowed;
/// a name that does not resolve passes. One thread; remembers what it decided.
class HostVetter {
public:
    explicit HostVetter(const std::vector<net::Network>& allowed, Recording* recording = nullptr)
        : allowed_(allowed), recording_(recording) {}
    /// SSRF_BLOCKED; Errc::canceled; Errc::timed_out when the resolver does not answer.
    Result<void> check_url(std::string_view url, Deadline deadline, const std::stop_token& stop);

private:
    Result<void> check_host(const std::string& host, std::string_view url, Deadline deadline,
                            const std::stop_token& stop) const;
    Result<void> check_addresses(const net::Addresses& addresses, std::string_view url) const;

    const std::vector<net::Network>& allowed_;
    Recording* const recording_;
    std::map<std::string, bool> decided_;
};

}  // namespace jobruntime::extract
