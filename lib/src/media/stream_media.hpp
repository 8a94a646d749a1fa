// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/result.hpp>

// What the playlists of HLS and the manifests of DASH say in common: variants to choose from, and what to
// fetch of one.
namespace jobruntime::media {

/// What the addresses of one playlist or manifest may come to: a long base makes much of little text.
inline constexpr std::size_t most_address_bytes = std::size_t{64} << 20;

struct ByteRange {
    std::uint64_t offset = 0;
    std::uint64_t length = 0;  ///< Never 0.
    bool operator==(const ByteRange&) const = default;
};

/// How a segment is encrypted: AES-128 in CBC mode, the key behind a URL.
struct SegmentKey {
    std::string url;
    std::array<std::uint8_t, 16> iv{};
    bool operator==(const SegmentKey&) const = default;
};

/// What stands before the segments of fragmented MP4.
struct InitSection {
    std::string url;
    std::optional<ByteRange> range;
    std::optional<SegmentKey> key;
    bool operator==(const InitSection&) const = default;
};

struct StreamSegment {
    std::string url;
    std::optional<ByteRange> range;
    std::optional<SegmentKey> key;
    std::optional<std::size_t> init;  ///< Index into StreamMedia::inits.
    std::uint64_t sequence = 0;
    double seconds = 0;
    double pause = 0;            ///< Of these, before it: nothing plays then, and its manifest says so.
    bool exact = false;          ///< The seconds were said of this segment, not rounded to whole ones and not reckoned.
    bool discontinuity = false;  ///< Its clock or its coding is not that of the segment before it.
    bool gap = false;            ///< Announced, but not there.
    bool may_be_missing =
        false;  ///< Nobody has named it, it was reckoned: a server that lacks it is not at fault.
};

/// The segments of one track.
struct StreamMedia {
    std::vector<StreamSegment> segments;
    std::vector<InitSection> inits;
    double target_seconds = 0;
    bool ended = false;          ///< Nothing will be added.
    bool whole_seconds = false;  ///< Its durations are rounded to seconds.
    double seconds() const;      ///< Of all segments but gaps.
};

/// One quality of a stream.
struct StreamVariant {
    std::int64_t bandwidth = 0;  ///< Bits a second.
    int width = 0, height = 0;   ///< 0 = unknown.
    std::string codecs;          ///< As given (RFC 6381); may be empty.
};

/// Which of two variants is to be taken: within `max_height` (0 = any) the taller one, of those the codec
/// that most players know, of those the higher bit rate; when both are taller, the lower one.
bool better_variant(const StreamVariant& a, const StreamVariant& b, int max_height);
/// Tells files of different variants apart. Without the address, whose signature changes.
std::uint64_t variant_id(const StreamVariant& variant);

/// True when every codec named is one of sound; "" names none.
bool sound_only(std::string_view codecs);
/// True when some codec named is one of sound.
bool names_sound(std::string_view codecs);

/// DRM_PROTECTED, with the method's name made fit to be shown.
Error protected_by(std::string_view method);

}  // namespace jobruntime::media
