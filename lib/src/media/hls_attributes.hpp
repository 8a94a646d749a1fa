// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include <jobruntime/result.hpp>

// The small grammars inside a playlist's lines (RFC 8216, 4.2 and 4.3).
namespace jobruntime::media {

/// NAME=value,NAME="value",… Values without their quotes; they live as long as the line.
class HlsAttributes {
public:
    /// Nothing when the list does not keep the grammar.
    static std::optional<HlsAttributes> parse(std::string_view line);
    /// Empty when it is not there.
    std::string_view operator[](std::string_view name) const;
    bool has(std::string_view name) const;

private:
    std::vector<std::pair<std::string_view, std::string_view>> all_;
};

std::optional<std::uint64_t> hls_integer(std::string_view text);
/// Seconds: finite, not negative, below a year.
std::optional<double> hls_seconds(std::string_view text);
/// "0x" and 1 to 32 hexadecimal digits, as 128 bits in network order.
std::optional<std::array<std::uint8_t, 16>> hls_hex128(std::string_view text);
/// "1280x720".
std::optional<std::pair<int, int>> hls_resolution(std::string_view text);

/// NOT_MEDIA, with what is wrong.
Error bad_playlist(std::string_view what);

}  // namespace jobruntime::media
