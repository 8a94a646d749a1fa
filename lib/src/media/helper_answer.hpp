// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <boost/json/object.hpp>

#include <jobruntime/media.hpp>

namespace jobruntime::media {

// The helper's answers are input like any other: a file may have taken it over.

Result<MediaFacts> facts_of(const boost::json::object& answer);
Result<Finished> finished_of(const boost::json::object& answer);
/// An answer of type "error" as an Error; one with an unknown code is MEDIA_HELPER_CRASHED.
Error error_of(const boost::json::object& answer);
Error helper_nonsense(std::string_view what);

}  // namespace jobruntime::media
