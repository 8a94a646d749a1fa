// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/utf8.hpp"

#include <algorithm>

#include <jobruntime/telemetry_sink.hpp>

namespace jobruntime::core {

std::size_t utf8_character(std::string_view text) noexcept {
    if (text.empty()) return 0;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const auto follows = [&](std::size_t i) { return i < text.size() && (byte(i) & 0xC0) == 0x80; };
    if (byte(0) < 0x80) return 1;
    if (byte(0) >= 0xC2 && byte(0) <= 0xDF) return follows(1) ? 2 : 0;
    if (byte(0) >= 0xE0 && byte(0) <= 0xEF) {
        if (!follows(1) || !follows(2)) return 0;
        if (byte(0) == 0xE0 && byte(1) < 0xA0) return 0;  // Overlong.
        if (byte(0) == 0xED && byte(1) > 0x9F) return 0;  // Surrogates.
        return 3;
    }
    if (byte(0) >= 0xF0 && byte(0) <= 0xF4) {
        if (!follows(1) || !follows(2) || !follows(3)) return 0;
        if (byte(0) == 0xF0 && byte(1) < 0x90) return 0;
        if (byte(0) == 0xF4 && byte(1) > 0x8F) return 0;
        return 4;
    }
    return 0;
}

bool is_utf8(std::string_view text) noexcept {
    while (!text.empty()) {
        // Most of what is looked at is ASCII.
        const auto rest = std::find_if(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; });
        text.remove_prefix(static_cast<std::size_t>(rest - text.begin()));
        if (text.empty()) return true;
        const auto size = utf8_character(text);
        if (size == 0) return false;
        text.remove_prefix(size);
    }
    return true;
}

std::string valid_utf8(std::string_view text) {
    std::string valid;
    valid.reserve(text.size());
    while (!text.empty()) {
        const auto size = utf8_character(text);
        if (size == 0)
            valid += "\xEF\xBF\xBD";
        else
            valid += text.substr(0, size);
        text.remove_prefix(std::max<std::size_t>(size, 1));
    }
    return valid;
}

std::string_view cut(std::string_view text, std::size_t size) noexcept {
    if (text.size() <= size) return text;
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
    return text.substr(0, size);
}

std::string clean_text(std::string_view text, std::size_t size) {
    auto clean = redact(text);
    if (!is_utf8(clean)) clean = valid_utf8(clean);
    return std::string(cut(clean, size));
}

}  // namespace jobruntime::core
