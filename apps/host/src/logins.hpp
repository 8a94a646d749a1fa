// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <boost/json/object.hpp>

#include "platform_config.hpp"
#include "profile_cookies.hpp"

namespace jobruntime::host {

/// Whether one of the cookies that a log-in leaves is among these, and until when (0 = with the browser).
std::optional<std::int64_t> logged_in(const PlatformConfig& platform, const std::vector<KnownCookie>& cookies);

/// All that is known without a browser: what the profile has written, and the imported file.
std::vector<KnownCookie> known_cookies(const std::string& profile);

/// `{"x":{"loggedIn":true,"expires":1767225600},…}` of each platform that one can log in to; seconds since 1970, or null.
boost::json::object login_facts(const MediaConfig& sites, const std::string& profile);

}  // namespace jobruntime::host
