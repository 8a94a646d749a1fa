// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <vector>

#include <boost/json/object.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime::jobrt {

/// Every document of the collection `jobs` in the database that the URI names ("test" when it names none, as
/// the old application's driver has it), as mongoexport would write it. Only reads. Messages show no secret.
/// Errc::unsupported: built without MongoDB. Errc::unavailable: no server answers.
Result<std::vector<boost::json::object>> read_old_database(const std::string& uri);

}  // namespace jobruntime::jobrt
