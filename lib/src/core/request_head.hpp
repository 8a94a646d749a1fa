// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include <jobruntime/api_router.hpp>
#include <jobruntime/export.hpp>

namespace jobruntime::core {

// What the parts of a request's head are made of (RFC 9110 and 9112), for whoever reads bytes and for whoever gets them read.

JOBRUNTIME_API bool is_token(std::string_view text);
/// Tab, printable ASCII, and bytes above it (which nobody here interprets).
JOBRUNTIME_API bool is_field_value(std::string_view text);
JOBRUNTIME_API bool is_target(std::string_view text);
/// A name or an address with its port, if any, as a Host header or an absolute target has it.
JOBRUNTIME_API bool is_host(std::string_view text);
/// Two of that (lower-case) name would let two readers disagree about who asks for what.
JOBRUNTIME_API bool is_single_header(std::string_view name);

struct HeadFault {
    int status = 400;
    std::string_view code;
    std::string_view message;
};

/// Why a head that somebody else has parsed is refused; nothing when it is in order as far as can still be seen.
std::optional<HeadFault> fault_of(const Request& head, std::size_t most_bytes, std::size_t most_headers);

}  // namespace jobruntime::core
