// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/extract.hpp>
#include <jobruntime/net.hpp>

namespace jobruntime::extract {

/// The Cookie header that a browser with these cookies would send to `url`; empty when none is for it
/// (RFC 6265, 5.4: domain, path, secure, expiry).
std::string cookie_header_for(const std::vector<Cookie>& cookies, const net::Url& url);

}  // namespace jobruntime::extract
