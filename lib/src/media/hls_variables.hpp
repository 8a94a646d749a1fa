// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>

#include <jobruntime/net.hpp>
#include <jobruntime/result.hpp>

#include "media/hls_attributes.hpp"

namespace jobruntime::media {

/// The variables of a playlist (EXT-X-DEFINE, draft-pantos-hls-rfc8216bis, 4.3 and 4.4.2.3): {$name} stands for a value
/// that was defined above it. A value is not looked through for further variables.
class HlsVariables {
public:
    /// Takes NAME and VALUE, QUERYPARAM (from the query of `base`, as it stands there) or IMPORT (from `master`).
    /// NOT_MEDIA: none of these, a name twice, or a value that is not there.
    Result<void> define(const HlsAttributes& attributes, const net::Url& base, const HlsVariables& master);
    /// A line with its variables' values. NOT_MEDIA: a variable that is not defined; TOO_LARGE: all lines together
    /// have become more than 64 MiB.
    Result<std::string> fill_in(std::string_view line);

private:
    std::map<std::string, std::string, std::less<>> values_;
    std::size_t filled_ = 0;  // Bytes of all filled lines.
};

}  // namespace jobruntime::media
