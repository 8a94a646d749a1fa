// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>

namespace jobruntime::host {

/// SHA-256 (FIPS 180-4, 6.2) as 64 hexadecimal digits. For random secrets, which need no slow hash.
std::string sha256(std::string_view text);

}  // namespace jobruntime::host
