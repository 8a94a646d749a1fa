// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <jobruntime/net.hpp>

namespace jobruntime::host {

/// The rule of a platform from patterns: "/talk/{id}" or "m.example.org/t/{id}/{*}". A name stands for one part
/// of the path: {id} for letters, digits, _ and -; {handle} for these and dots, kept in lower case; {*} for anything.
/// `canonical` is made of the same names, "https://example.org/talk/{id}"; empty = the URL as it is. What fits none of
/// them is asked of `otherwise`, where there is one. Errc::invalid_argument says what is wrong with a pattern.
Result<std::function<Result<net::Post>(const net::Url&)>> post_rule(
    const std::string& platform, const std::vector<std::string>& posts, const std::string& canonical,
    const std::vector<std::string>& short_links, std::function<Result<net::Post>(const net::Url&)> otherwise);

}  // namespace jobruntime::host
