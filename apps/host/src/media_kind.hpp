// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string_view>

namespace jobruntime::host {

/// The kind that saves a post's video, its queue, and how often it is tried.
inline constexpr std::string_view media_kind = "media.save";
inline constexpr std::string_view media_queue = "media";
inline constexpr int media_attempts = 3;

}  // namespace jobruntime::host
