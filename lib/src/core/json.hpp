// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <jobruntime/export.hpp>
#include <jobruntime/job.hpp>
#include <jobruntime/result.hpp>

#include "core/utf8.hpp"

namespace jobruntime::core {

/// How deep a JSON text may be nested.
inline constexpr std::size_t json_depth = 32;

/// One JSON value and nothing after it. Errc::invalid_argument says what is wrong and where.
JOBRUNTIME_API Result<boost::json::value> parse_json(std::string_view text);
/// The same, for an object. Errc::invalid_argument for any other value.
JOBRUNTIME_API Result<boost::json::object> parse_json_object(std::string_view text);
JOBRUNTIME_API std::string to_text(const boost::json::value& value);
JOBRUNTIME_API std::string to_text(const boost::json::object& object);

/// Whether parse_json reads `text`, or parse_json_object, as a value without a flaw (below); makes no value.
JOBRUNTIME_API bool is_json(std::string_view text);
JOBRUNTIME_API bool is_json_object(std::string_view text);

/// Why the value cannot be kept as JSON, in words that begin with where in it, e.g. "user.name is not UTF-8";
/// nothing when it can. Not UTF-8, a number that is none, or nested deeper than json_depth: Boost writes such a
/// value, and parse_json does not read it again.
JOBRUNTIME_API std::optional<std::string> flaw(const boost::json::value& value);
JOBRUNTIME_API std::optional<std::string> flaw(const boost::json::object& object);
/// The flat fields of an event so that they can be kept: bytes that are not UTF-8 become U+FFFD, numbers that are
/// none become null.
JOBRUNTIME_API void mend(boost::json::object& fields);

/// How stores keep the small lists of a job as text. Reading answers Errc::corrupt.
JOBRUNTIME_API std::string errors_to_text(const std::vector<JobError>& errors);
JOBRUNTIME_API Result<std::vector<JobError>> errors_from_text(std::string_view text);
JOBRUNTIME_API std::string tags_to_text(const std::vector<std::string>& tags);
JOBRUNTIME_API Result<std::vector<std::string>> tags_from_text(std::string_view text);

}  // namespace jobruntime::core
