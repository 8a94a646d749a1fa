// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <jobruntime/media.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::host {

/// What the store says of a file or work folder of one attempt; see media::Judge.
media::Verdict judge_attempt(Store& store, JobId job, Fence fence, bool work_folder);

}  // namespace jobruntime::host
