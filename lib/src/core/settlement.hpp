// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>

#include <boost/json/value.hpp>

#include <jobruntime/store.hpp>

namespace jobruntime::core {

/// UPPER_SNAKE without secrets, at most limits::name; what was written otherwise is made so.
std::string clean_code(std::string_view code, std::string_view fallback);
void set_error(Settlement& settlement, std::string_view code, std::string_view message);
/// The result of an attempt that completed. One that cannot be kept fails the job, and says why.
void set_result(Settlement& settlement, const boost::json::value& result);

}  // namespace jobruntime::core
