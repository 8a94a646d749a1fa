// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/net.hpp>
#include <jobruntime/subprocess.hpp>

namespace jobruntime::extract {

/// Decides for one extraction whether the browser may ask a host, by all the addresses its name has now.
/// One thread; remembers what it decided. A name that does not resolve passes: the browser will say so
/// itself.
class HostVetter {
public:
    explicit HostVetter(const std::vector<net::Network>& allowed) : allowed_(allowed) {}
    /// SSRF_BLOCKED; Errc::canceled; Errc::timed_out when the resolver does not answer.
    Result<void> check_url(std::string_view url, Deadline deadline, const std::stop_token& stop);
    /// An address the browser says it talked to; empty (cache) passes.
    Result<void> check_address(std::string_view address, std::string_view url) const;

private:
    Result<void> check_host(const std::string& host, std::string_view url, Deadline deadline,
                            const std::stop_token& stop) const;

    const std::vector<net::Network>& allowed_;
    std::map<std::string, bool> decided_;
};

}  // namespace jobruntime::extract
