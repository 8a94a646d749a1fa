// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

// gcc has a macro for each sanitizer, clang a feature.
#if !defined(__has_feature)
#define JOBRUNTIME_HAS_FEATURE(name) 0
#else
#define JOBRUNTIME_HAS_FEATURE(name) __has_feature(name)
#endif

namespace jobruntime::core {

/// Whether this is compiled with one.
#if defined(__SANITIZE_ADDRESS__) || JOBRUNTIME_HAS_FEATURE(address_sanitizer)
inline constexpr bool in_address_sanitizer = true;
#else
inline constexpr bool in_address_sanitizer = false;
#endif
#if defined(__SANITIZE_THREAD__) || JOBRUNTIME_HAS_FEATURE(thread_sanitizer)
inline constexpr bool in_thread_sanitizer = true;
#else
inline constexpr bool in_thread_sanitizer = false;
#endif

}  // namespace jobruntime::core

#undef JOBRUNTIME_HAS_FEATURE
