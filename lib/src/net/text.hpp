// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>

/// What the readers of headers and addresses do to text: ASCII only, whatever the locale.
namespace jobruntime::net {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }
inline bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

inline std::string lowered(std::string_view text) {
    std::string result(text);
    for (char& c : result)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return result;
}

/// Without what is among `gone` at both ends.
inline std::string_view trimmed(std::string_view text, std::string_view gone = " \t") {
    const auto begin = text.find_first_not_of(gone);
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(gone) + 1 - begin);
}

}  // namespace jobruntime::net
