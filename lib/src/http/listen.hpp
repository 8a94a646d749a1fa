// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/result.hpp>

#include "http/fd.hpp"

namespace jobruntime::http {

struct Listener {
    Fd socket;        ///< Listening, non-blocking.
    std::string url;  ///< "http://[::1]:4000".
};

/// Binds all addresses to one port. Errors as Server::start says.
Result<std::vector<Listener>> listen_all(const std::vector<std::string>& addresses, int port, bool loopback_only,
                                         const std::function<void(std::string_view)>& log);

}  // namespace jobruntime::http
