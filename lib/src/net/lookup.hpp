// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <sys/socket.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/export.hpp>

// From the host of a URL to the addresses that stand behind it, without ever holding up its caller.
namespace jobruntime::net {

using Addresses = std::vector<sockaddr_storage>;

/// The addresses of a host that nobody need be asked for: numbers in every notation that the C library
/// reads ("127.1", "0x7f000001", "::1", brackets or not), and localhost and the names below it, which are
/// loopback by RFC 6761. Nothing when it is a name.
JOBRUNTIME_API std::optional<Addresses> known_addresses(std::string_view host);

/// Looks a name up and calls `done` once, on a thread that is left behind: getaddrinfo() cannot be
/// interrupted. So `done` must own all that it touches. No addresses when the name is not known.
JOBRUNTIME_API void look_up(std::string host, std::function<void(Addresses)> done);

}  // namespace jobruntime::net
