// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "traceparent.hpp"

#include <cstdint>
#include <string_view>

namespace jobruntime::host {

std::string traceparent_of(const Job& job) {
    const auto& trace = job.trace_id;
    constexpr std::string_view digits = "0123456789abcdef";
    if (trace.size() != 32 || trace.find_first_not_of(digits) != std::string::npos ||
        trace.find_first_not_of('0') == std::string::npos)
        return {};
    // The second half of a UUIDv7 begins with its variant, so that it is never zero, and the rest is random.
    std::uint64_t span = 0;
    for (auto byte = job.id.bytes.begin() + 8; byte != job.id.bytes.end(); ++byte) span = span << 8 | *byte;
    span += static_cast<std::uint64_t>(job.attempt);
    std::string parent = "00-" + trace + "-";
    for (int shift = 60; shift >= 0; shift -= 4) parent += digits[(span >> shift) & 15];
    return parent + "-01";
}

}  // namespace jobruntime::host
