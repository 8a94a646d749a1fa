// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "logins.hpp"

#include <ctime>
#include <fstream>
#include <sstream>

#include <jobruntime/extract.hpp>

#include "extractors.hpp"

namespace jobruntime::host {

std::optional<std::int64_t> logged_in(const PlatformConfig& platform, const std::vector<KnownCookie>& cookies) {
    const auto now = static_cast<std::int64_t>(std::time(nullptr));
    for (const auto& wanted : platform.login_cookies) {
        const auto at = wanted.find('@');
        const auto name = wanted.substr(0, at);
        const auto domain = at == std::string::npos ? std::string() : wanted.substr(at + 1);
        for (const auto& cookie : cookies)
            if (cookie.name == name && (domain.empty() || net::host_matches(cookie.domain, domain)) &&
                (cookie.expires == 0 || cookie.expires > now))
                return cookie.expires;
    }
    return std::nullopt;
}

std::vector<KnownCookie> known_cookies(const std::string& profile) {
    auto cookies = profile_cookies(profile);
    std::ostringstream text;
    text << std::ifstream(cookies_path(profile), std::ios::binary).rdbuf();
    if (const auto imported = extract::parse_cookie_file(text.view()))
        for (const auto& cookie : *imported) cookies.push_back({cookie.domain, cookie.name, cookie.expires});
    return cookies;
}

boost::json::object login_facts(const MediaConfig& sites, const std::string& profile) {
    const auto cookies = known_cookies(profile);
    boost::json::object facts;
    for (const auto& platform : sites.platforms) {
        if (platform.login_cookies.empty()) continue;
        const auto until = logged_in(platform, cookies);
        facts[platform.id] = {{"loggedIn", until.has_value()},
                              {"expires", until && *until > 0 ? boost::json::value(*until) : boost::json::value(nullptr)}};
    }
    return facts;
}

}  // namespace jobruntime::host
