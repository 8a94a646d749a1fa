// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include <jobruntime/export.hpp>

namespace jobruntime {

/// Sixteen bytes that name one thing: a UUIDv7 (RFC 9562), so that ids sort by the time they
/// were made. `Tag` keeps job and session ids apart. The zero id names nothing.
template <class Tag>
struct Id {
    std::array<std::uint8_t, 16> bytes{};

    bool operator==(const Id&) const = default;
    auto operator<=>(const Id&) const = default;
    /// False for the zero id.
    explicit operator bool() const { return *this != Id{}; }
    /// 36 lower-case characters: "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f".
    std::string str() const;
    /// Reads what str() writes, in either case; nothing else.
    static std::optional<Id> parse(std::string_view text);
};

struct JobTag;
struct SessionTag;
using JobId = Id<JobTag>;
using SessionId = Id<SessionTag>;

namespace detail {
JOBRUNTIME_API void format_uuid(const std::array<std::uint8_t, 16>& bytes, char* out36);
JOBRUNTIME_API bool parse_uuid(std::string_view text, std::array<std::uint8_t, 16>& bytes);
}  // namespace detail

template <class Tag>
std::string Id<Tag>::str() const {
    std::string text(36, '\0');
    detail::format_uuid(bytes, text.data());
    return text;
}

template <class Tag>
std::optional<Id<Tag>> Id<Tag>::parse(std::string_view text) {
    Id id;
    if (!detail::parse_uuid(text, id.bytes)) return std::nullopt;
    return id;
}

/// Proof of holding a job's current attempt; rises with every claim of the job, otherwise
/// opaque. Every write of an attempt carries it, and a stale one changes nothing. Hand it
/// to outside systems (in a file name, an object key) to fence writes there too.
enum class Fence : std::uint64_t { none = 0 };

/// Position in a store's event log: ascending, not consecutive, below 2^53. 0 = before all.
using EventId = std::uint64_t;

}  // namespace jobruntime

template <class Tag>
struct std::hash<jobruntime::Id<Tag>> {
    std::size_t operator()(const jobruntime::Id<Tag>& id) const noexcept {
        std::uint64_t low;  // The last eight bytes of a UUIDv7 are random.
        std::memcpy(&low, id.bytes.data() + 8, sizeof low);
        return static_cast<std::size_t>(low);
    }
};
