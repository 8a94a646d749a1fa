// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// The heads of HTTP/1.1 messages, as a proxy reads and rewrites them. Pure.
namespace jobruntime::net {

/// A host as it was written, in lower case and without brackets, and its port.
struct Authority {
    std::string host;
    std::uint16_t port = 0;
    /// host:port, an IPv6 address in brackets.
    std::string str() const;
    bool operator==(const Authority&) const = default;
};

/// The authority of an absolute URL (http, https, ws, wss) as browsers write it.
std::optional<Authority> authority_of(std::string_view url);

/// What a client wants of the proxy.
struct ProxyRequest {
    int refusal = 0;  ///< The HTTP status it deserves when it cannot be read: 400, 411 or 501; else 0.
    bool tunnel = false;     ///< CONNECT.
    Authority to;
    std::string target;      ///< Path and query; empty for a tunnel.
    std::string credential;  ///< The value of Proxy-Authorization.
    std::string head;        ///< What the server gets, to be closed after its answer; empty for a tunnel.
    std::uint64_t body = 0;  ///< Bytes that follow the head.
};

/// Bytes up to and with the empty line that ends a head; 0 = it has not come yet.
std::size_t head_size(std::string_view bytes);

/// `head` is what head_size() measured.
ProxyRequest read_request(std::string_view head);

/// The server's head as the client gets it: written anew from its lines, so that both see the same message,
/// and closing. A 407 would be taken for the proxy's own and becomes 403. Empty for an interim answer, which
/// is left out; nothing when this is no answer of HTTP/1.
std::optional<std::string> rewrite_response(std::string_view head);

}  // namespace jobruntime::net
