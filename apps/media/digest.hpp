// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include <jobruntime/result.hpp>

namespace jobruntime::helper {

struct Digest {
    std::string sha256;  ///< 64 lower-case hexadecimal digits.
    std::int64_t bytes = 0;
};

/// Has OpenSSL read its configuration and find its SHA-256.
void load_digest();

/// Syncs a file to disk and reads it once for its SHA-256. MEDIA_IO when that fails; Errc::canceled soon after
/// `abandoned` has become true.
Result<Digest> sync_and_digest(const std::string& path, const std::atomic<bool>& abandoned);

}  // namespace jobruntime::helper
