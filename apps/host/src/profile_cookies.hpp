// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace jobruntime::host {

/// That a cookie is there, without its value.
struct KnownCookie {
    std::string domain;        ///< Without a leading dot.
    std::string name;
    std::int64_t expires = 0;  ///< Seconds since 1970; 0 = with the browser.
};

/// The cookies that a Chromium profile has written. Reads only, also while a browser uses the profile, which writes
/// some seconds late. Empty when there is no profile or its file is of another kind.
std::vector<KnownCookie> profile_cookies(const std::string& profile);

}  // namespace jobruntime::host
