// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/id.hpp>

namespace jobruntime::detail {
namespace {

constexpr bool dash_at(std::size_t position) {
    return position == 8 || position == 13 || position == 18 || position == 23;
}

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

}  // namespace

void format_uuid(const std::array<std::uint8_t, 16>& bytes, char* out36) {
    static constexpr char digits[] = "0123456789abcdef";
    char* out = out36;
    for (const auto byte : bytes) {
        if (dash_at(static_cast<std::size_t>(out - out36))) *out++ = '-';
        *out++ = digits[byte >> 4];
        *out++ = digits[byte & 15];
    }
}

bool parse_uuid(std::string_view text, std::array<std::uint8_t, 16>& bytes) {
    if (text.size() != 36) return false;
    std::size_t at = 0;
    for (auto& byte : bytes) {
        if (dash_at(at) && text[at++] != '-') return false;
        const int high = hex_value(text[at]);
        const int low = hex_value(text[at + 1]);
        if (high < 0 || low < 0) return false;
        byte = static_cast<std::uint8_t>(high * 16 + low);
        at += 2;
    }
    return true;
}

}  // namespace jobruntime::detail
