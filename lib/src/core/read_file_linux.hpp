// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>

#include <jobruntime/export.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime::core {

/// All of a file. What the standard library opens is inherited by every program that another thread of the host
/// starts meanwhile; this is not (O_CLOEXEC). Also for files of /proc, which have no size.
/// Errc::not_found; Errc::full when it has more than `most` bytes; Errc::unavailable.
JOBRUNTIME_API Result<std::string> read_file(const std::string& path, std::size_t most = std::size_t{64} << 20);

}  // namespace jobruntime::core
