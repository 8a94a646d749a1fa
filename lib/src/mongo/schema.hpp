// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include "mongo/driver.hpp"

namespace jobruntime::mongo {

/// The version of the documents that this program writes and understands.
inline constexpr std::int64_t schema_version = 1;

/// Looks whether the server and the database can be used, and makes what is missing. May be done again at any
/// time.
Result<void> prepare(Server& server);

}  // namespace jobruntime::mongo
