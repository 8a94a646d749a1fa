// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

/// Marks what the shared libraries export; everything else is compiled with hidden
/// visibility. Nothing to set when the library is linked statically.
#if defined(_WIN32) || defined(JOBRUNTIME_STATIC)
#define JOBRUNTIME_API
#else
#define JOBRUNTIME_API __attribute__((visibility("default")))
#endif
