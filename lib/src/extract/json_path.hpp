// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

// Ways through a JSON document, written as "data/tweet/media/*/url": members, indices, and * for every
// element or member. Segments are taken literally, so that names with dots need no quoting.
namespace jobruntime::extract {

using JsonPaths = std::vector<std::string>;

/// Calls `found` for every value at the path, in order; at most 256 of them. "" is the value itself.
void each_at(const boost::json::value& root, std::string_view path,
             const std::function<void(const boost::json::value&)>& found);

/// The first value that any of the paths leads to and that is not null, or nullptr.
const boost::json::value* first_at(const boost::json::value& root, const JsonPaths& paths);

/// A string, or a number or boolean as text; empty for anything else.
std::string scalar_text(const boost::json::value& value);
/// A number, or one that is written as a string; 0 for anything else.
double scalar_number(const boost::json::value& value);

}  // namespace jobruntime::extract
