// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>

#include <jobruntime/api_router.hpp>

namespace jobruntime::core {

/// Whether a list of entity tags (or "*") names this one; weak comparison.
bool names_tag(std::string_view list, std::string_view tag);

/// A weak entity tag of a text: 128 bits that differ for different texts but by an accident nobody will see. Not against
/// forgers, who could only show themselves something old.
std::string tag_of(std::string_view text);

/// Whether the request names the tag of this answer already.
bool is_known(const Request& request, const Response& response);

/// Gives an answer with a text of its own the text's ETag.
void set_tag(Response& response);

/// Gives an answer about jobs, events or queues its ETag and, when the request names that tag already, makes it 304 without a body.
void add_tag(const Request& request, Response& response);

}  // namespace jobruntime::core
