// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/dash_values.hpp"

#include <charconv>
#include <utility>

namespace jobruntime::media {
namespace {

constexpr double year = 366.0 * 86'400;
constexpr std::size_t widest = 20;

/// "%05d" → 5.
std::optional<std::size_t> width_of(std::string_view format) {
    if (format.empty()) return 0;
    if (!format.starts_with("%0") || !format.ends_with('d') || format.size() < 4) return std::nullopt;
    const auto width = dash_integer(format.substr(2, format.size() - 3));
    return width && *width <= widest ? std::optional(static_cast<std::size_t>(*width)) : std::nullopt;
}

}  // namespace

Error dash_broken(std::string what) {
    return Error{Errc::corrupt, "NOT_MEDIA", "the DASH manifest is not valid: " + std::move(what)};
}

std::optional<std::uint64_t> dash_integer(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (wrong != std::errc{} || text.empty() || end != text.data() + text.size() || value >> 62)
        return std::nullopt;
    return value;
}

std::optional<ByteRange> dash_range(std::string_view text) {
    const auto dash = text.find('-');
    if (dash == std::string_view::npos) return std::nullopt;
    const auto first = dash_integer(text.substr(0, dash));
    const auto last = dash_integer(text.substr(dash + 1));
    if (!first || !last || *last < *first) return std::nullopt;
    return ByteRange{*first, *last - *first + 1};
}

std::optional<double> dash_seconds(std::string_view text) {
    if (!text.starts_with('P')) return std::nullopt;
    text.remove_prefix(1);
    double total = 0;
    bool in_time = false, any = false;
    while (!text.empty()) {
        if (text.starts_with('T') && !in_time) {
            in_time = true;
            text.remove_prefix(1);
            continue;
        }
        double value = 0;
        if (text[0] < '0' || text[0] > '9') return std::nullopt;
        const auto [end, wrong] =
            std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
        if (wrong != std::errc{} || end == text.data() + text.size()) return std::nullopt;
        double unit = 0;
        switch (*end) {
            case 'Y': unit = in_time ? 0 : year; break;
            case 'M': unit = in_time ? 60 : 30 * 86'400.0; break;
            case 'D': unit = in_time ? 0 : 86'400; break;
            case 'H': unit = in_time ? 3'600 : 0; break;
            case 'S': unit = in_time ? 1 : 0; break;
            default: break;
        }
        total += value * unit;
        if (unit == 0 || !(total <= year)) return std::nullopt;
        text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
        any = true;
    }
    return any ? std::optional(total) : std::nullopt;
}

std::optional<std::string> fill_pattern(std::string_view pattern, const DashFilling& with) {
    std::string out;
    while (true) {
        const auto begin = pattern.find('$');
        out += pattern.substr(0, begin);
        if (begin == std::string_view::npos) return out;
        const auto end = pattern.find('$', begin + 1);
        if (end == std::string_view::npos) return std::nullopt;
        const auto name = pattern.substr(begin + 1, end - begin - 1);
        pattern.remove_prefix(end + 1);
        if (name.empty()) {
            out += '$';
            continue;
        }
        if (name == "RepresentationID") {
            out += with.id;
            continue;
        }
        const auto word = name.substr(0, name.find('%'));
        const auto width = width_of(name.substr(word.size()));
        const auto value = word == "Bandwidth" ? std::optional(with.bandwidth)
                           : word == "Number"  ? with.number
                           : word == "Time"    ? with.time
                                               : std::nullopt;
        if (!width || !value) return std::nullopt;
        const auto digits = std::to_string(*value);
        if (digits.size() < *width) out.append(*width - digits.size(), '0');
        out += digits;
    }
}

}  // namespace jobruntime::media
