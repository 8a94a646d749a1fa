// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string_view>

#include <jobruntime/media.hpp>

namespace jobruntime::host {

/// What an error code of media.save means for the job and for the operator: those of extraction and network, then
/// the media component's. Retryable ones get three attempts, after 5 s and 30 s; the rest fail at once. A code
/// that nobody knows is not retryable and has an empty remedy.
const media::CodeInfo& code_info(std::string_view code);

}  // namespace jobruntime::host
