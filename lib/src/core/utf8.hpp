// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <string>
#include <string_view>

#include <jobruntime/export.hpp>

namespace jobruntime::core {

/// The length of the UTF-8 character that `text` begins with (RFC 3629); 0 when it begins with none.
JOBRUNTIME_API std::size_t utf8_character(std::string_view text) noexcept;
JOBRUNTIME_API bool is_utf8(std::string_view text) noexcept;
/// `text` with U+FFFD in place of every byte that is part of no UTF-8 character.
JOBRUNTIME_API std::string valid_utf8(std::string_view text);

/// `text` without what is over `size` bytes, never cut inside a UTF-8 character.
JOBRUNTIME_API std::string_view cut(std::string_view text, std::size_t size) noexcept;
/// Words for people, from wherever they come, as they may be kept: without secrets, valid, at most `size` bytes.
JOBRUNTIME_API std::string clean_text(std::string_view text, std::size_t size);

}  // namespace jobruntime::core
