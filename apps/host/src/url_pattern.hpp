// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include <jobruntime/net.hpp>

namespace jobruntime::host {

/// A platform's addresses, as the configuration file has them.
struct PostPatterns {
    std::string platform;
    std::vector<std::string> hosts;
    std::vector<std::string> posts;
    std::string canonical;      ///< Of a post; empty = the URL as it is.
    std::string nth_canonical;  ///< Of one video of a post with several.
    std::vector<std::string> short_links;
};

using PostRule = std::function<Result<net::Post>(const net::Url&)>;

/// The rule of a platform from patterns: "/talk/{id}" or "m.example.org/t/{id}/{*}". A name stands for one part
/// of the path: {id} for letters, digits, _ and -; {handle} for these and dots, kept in lower case; {*} for anything;
/// {nth} for the number of one of the post's videos, 1 to 999, which may also be in the query: "/talk/{id}?part={nth}",
/// where it may be missing. Patterns with {nth} are tried before the others.
///
/// `canonical` is made of the same names, "https://example.org/talk/{id}", and so is `nth_canonical`, with {nth}: the
/// address of a post's second video and of those behind it. The first one is the post. What fits none of the patterns is
/// asked of `otherwise`, where there is one.
///
/// Errc::invalid_argument has the member of the file as its name, and what that must be.
Result<PostRule> post_rule(PostPatterns patterns, PostRule otherwise);

}  // namespace jobruntime::host
