// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "media/stream_media.hpp"

// The small grammars inside the values of a DASH manifest.
namespace jobruntime::media {

/// NOT_MEDIA.
Error dash_broken(std::string what);

/// Digits only; below 2⁶², so that sums of two stay far from the edge of the type.
std::optional<std::uint64_t> dash_integer(std::string_view text);
/// "5-9": both ends belong to it.
std::optional<ByteRange> dash_range(std::string_view text);
/// An xs:duration, "PT1H2M3.5S": not negative, at most a year.
std::optional<double> dash_seconds(std::string_view text);

/// What a pattern is filled with.
struct DashFilling {
    std::string_view id;
    std::uint64_t bandwidth = 0;
    std::optional<std::uint64_t> number, time;  ///< Not in the address of an init section.
};
/// $RepresentationID$, $Bandwidth$, $Number$, $Time$, each number with a width as in %05d, and $$. Nothing
/// when the pattern has anything else between dollar signs.
std::optional<std::string> fill_pattern(std::string_view pattern, const DashFilling& with);

}  // namespace jobruntime::media
