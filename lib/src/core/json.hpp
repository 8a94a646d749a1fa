// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <jobruntime/export.hpp>
#include <jobruntime/job.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime::core {

/// How deep a JSON text may be nested.
inline constexpr std::size_t json_depth = 32;

/// One JSON value and nothing after it. Errc::invalid_argument says what is wrong and where.
JOBRUNTIME_API Result<boost::json::value> parse_json(std::string_view text);
/// The same, for an object. Errc::invalid_argument for any other value.
JOBRUNTIME_API Result<boost::json::object> parse_json_object(std::string_view text);
JOBRUNTIME_API std::string to_text(const boost::json::value& value);
JOBRUNTIME_API std::string to_text(const boost::json::object& object);

/// How stores keep the small lists of a job as text. Reading answers Errc::corrupt.
JOBRUNTIME_API std::string errors_to_text(const std::vector<JobError>& errors);
JOBRUNTIME_API Result<std::vector<JobError>> errors_from_text(std::string_view text);
JOBRUNTIME_API std::string tags_to_text(const std::vector<std::string>& tags);
JOBRUNTIME_API Result<std::vector<std::string>> tags_from_text(std::string_view text);

/// `text` without what is over `size` bytes, never cut inside a UTF-8 character.
JOBRUNTIME_API std::string_view cut(std::string_view text, std::size_t size) noexcept;

}  // namespace jobruntime::core
