// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/hls_attributes.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace jobruntime::media {
namespace {

constexpr std::size_t most_attributes = 64;

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

std::optional<HlsAttributes> HlsAttributes::parse(std::string_view line) {
    HlsAttributes found;
    while (!line.empty()) {
        // Blanks after the comma are against the grammar and common.
        while (line.starts_with(' ')) line.remove_prefix(1);
        const auto equals = line.find('=');
        if (equals == 0 || equals == std::string_view::npos || found.all_.size() == most_attributes)
            return std::nullopt;
        const auto name = line.substr(0, equals);
        const bool good_name = std::ranges::all_of(
            name, [](char c) { return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-'; });
        if (!good_name) return std::nullopt;
        line.remove_prefix(equals + 1);
        std::string_view value;
        if (line.starts_with('"')) {
            const auto end = line.find('"', 1);
            if (end == std::string_view::npos) return std::nullopt;
            value = line.substr(1, end - 1);
            line.remove_prefix(end + 1);
        } else {
            value = line.substr(0, line.find(','));
            line.remove_prefix(value.size());
            while (value.ends_with(' ')) value.remove_suffix(1);
        }
        found.all_.emplace_back(name, value);
        if (line.empty()) break;
        if (line.front() != ',') return std::nullopt;
        line.remove_prefix(1);
    }
    return found;
}

bool HlsAttributes::has(std::string_view name) const {
    return std::ranges::any_of(all_, [&](const auto& one) { return one.first == name; });
}

std::string_view HlsAttributes::operator[](std::string_view name) const {
    for (const auto& [key, value] : all_)
        if (key == name) return value;
    return {};
}

std::optional<std::uint64_t> hls_integer(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
    // Sums of two stay far from the edge of the type.
    if (wrong != std::errc{} || text.empty() || end != text.data() + text.size() || value >> 62)
        return std::nullopt;
    return value;
}

std::optional<double> hls_seconds(std::string_view text) {
    double value = 0;
    const auto [end, wrong] =
        std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
    if (wrong != std::errc{} || text.empty() || end != text.data() + text.size()) return std::nullopt;
    if (!std::isfinite(value) || value < 0 || value > 366.0 * 86'400) return std::nullopt;
    return value;
}

std::optional<std::array<std::uint8_t, 16>> hls_hex128(std::string_view text) {
    if (!text.starts_with("0x") && !text.starts_with("0X")) return std::nullopt;
    text.remove_prefix(2);
    if (text.empty() || text.size() > 32) return std::nullopt;
    std::array<std::uint8_t, 16> bytes{};
    std::size_t nibble = 32 - text.size();
    for (const char c : text) {
        const int digit = hex_digit(c);
        if (digit < 0) return std::nullopt;
        bytes[nibble / 2] |= static_cast<std::uint8_t>(nibble % 2 == 0 ? digit << 4 : digit);
        ++nibble;
    }
    return bytes;
}

std::optional<std::pair<int, int>> hls_resolution(std::string_view text) {
    const auto by = text.find('x');
    if (by == std::string_view::npos) return std::nullopt;
    const auto width = hls_integer(text.substr(0, by));
    const auto height = hls_integer(text.substr(by + 1));
    if (!width || !height || *width > 65'535 || *height > 65'535) return std::nullopt;
    return std::pair(static_cast<int>(*width), static_cast<int>(*height));
}

Error bad_playlist(std::string_view what) {
    return Error{Errc::corrupt, "NOT_MEDIA", "the HLS playlist is not valid: " + std::string(what)};
}

}  // namespace jobruntime::media
