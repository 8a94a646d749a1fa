// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/export.hpp>
#include <jobruntime/net.hpp>
#include <jobruntime/result.hpp>

#include "net/lookup.hpp"

namespace jobruntime::net {

struct ProxyOptions {
    std::vector<Network> allow_nets;                   ///< Special networks that may be reached all the same.
    bool closed = false;  ///< Nobody is dialled and no name looked up: NETWORK for all.
    std::chrono::milliseconds head_timeout{10'000};    ///< For a request's head, and to say good-bye.
    std::chrono::milliseconds connect_timeout{10'000}; ///< For the name and for each address.
    std::chrono::milliseconds idle_timeout{120'000};   ///< Of a connection on which nothing moves.
    std::size_t max_connections = 128;                 ///< Further ones wait in the kernel's queue.
    /// Asks for a name, as look_up() does; others are for tests.
    std::function<void(std::string host, std::function<void(Addresses)> done)> ask_name = look_up;
};

struct ProxyStats {
    std::uint64_t tunnels = 0;
    std::uint64_t requests = 0;      ///< Of plain HTTP.
    std::uint64_t checks = 0;        ///< Of check_url().
    std::uint64_t unauthorized = 0;  ///< Without the credential, or with another one.
    std::uint64_t denied = 0;        ///< Connections to addresses that the guard refuses.
    std::string last_denial;         ///< What was said of the latest of these.
};

/// The address guard for programs that dial themselves, a browser or yt-dlp: an HTTP proxy on a free port of
/// 127.0.0.1, which looks names up itself, vets each address as every Fetcher does, and dials exactly the
/// address that it vetted. It serves CONNECT, and http:// URLs with one request a connection. Whoever does
/// not know its random credential gets a 407 and nothing more.
///
/// One thread; buffers, connections, look-ups and times are bounded. Thread-safe.
class JOBRUNTIME_API Proxy {
public:
    /// Errc::unavailable: no port, descriptor, thread or randomness.
    static Result<std::unique_ptr<Proxy>> start(ProxyOptions options);
    /// Closes every connection at once.
    ~Proxy();
    Proxy(const Proxy&) = delete;
    Proxy& operator=(const Proxy&) = delete;

    int port() const;
    const std::string& user() const;
    const std::string& password() const;
    std::string address() const;  ///< http://127.0.0.1:PORT
    std::string url() const;      ///< The same with the credential. A secret.
    /// A URL that the proxy answers itself, with 204, but only when it is asked as a proxy: who has reached it
    /// goes through the proxy for loopback, too, and knows the credential. A secret.
    const std::string& check_url() const;

    /// Why the latest try to reach the host and port of this URL failed: SSRF_BLOCKED, or NETWORK. Nothing when
    /// it was reached, never asked for, or only before `since`; a few hundred are kept.
    std::optional<Error> trouble(std::string_view url, std::chrono::steady_clock::time_point since = {}) const;
    ProxyStats stats() const;

    class Loop;

private:
    explicit Proxy(std::unique_ptr<Loop> loop);
    std::unique_ptr<Loop> loop_;
};

}  // namespace jobruntime::net
