// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <jobruntime/net.hpp>
#include <jobruntime/result.hpp>

// HLS playlists (RFC 8216 and its successor draft-pantos-hls-rfc8216bis), read strictly. Pure functions over
// hostile text: nothing is fetched here, and every address has passed the URL grammar.
namespace jobruntime::media {

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

/// What stands before the segments of fragmented MP4 (EXT-X-MAP).
struct InitSection {
    std::string url;
    std::optional<ByteRange> range;
    std::optional<SegmentKey> key;
    bool operator==(const InitSection&) const = default;
};

struct HlsSegment {
    std::string url;
    std::optional<ByteRange> range;
    std::optional<SegmentKey> key;
    std::optional<std::size_t> init;  ///< Index into HlsMedia::inits.
    std::uint64_t sequence = 0;
    double seconds = 0;
    bool discontinuity = false;  ///< Its clock or its coding is not that of the segment before it.
    bool gap = false;            ///< Announced, but not there.
};

/// A media playlist.
struct HlsMedia {
    std::vector<HlsSegment> segments;
    std::vector<InitSection> inits;
    double target_seconds = 0;
    bool ended = false;          ///< EXT-X-ENDLIST: nothing will be added.
    bool whole_seconds = false;  ///< Its durations are rounded to seconds.
    double seconds() const;      ///< Of all segments but gaps.
};

struct HlsVariant {
    std::string url;
    std::int64_t bandwidth = 0;  ///< Bits a second.
    int width = 0, height = 0;   ///< 0 = unknown.
    std::string codecs;          ///< As given; may be empty.
    std::string audio_group;
};
struct HlsRendition {
    std::string group, name;
    std::string url;  ///< Empty = the sound is in the variant itself.
    bool is_default = false, autoselect = false;
};
/// A master ("multivariant") playlist.
struct HlsMaster {
    std::vector<HlsVariant> variants;
    std::vector<HlsRendition> audio;
};

struct HlsLimits {
    std::size_t max_bytes = std::size_t{8} << 20;  ///< Of the text.
    std::size_t max_segments = 100'000;
    std::size_t max_variants = 500;
};

using HlsPlaylist = std::variant<HlsMaster, HlsMedia>;

/// Reads a playlist that was found at `base`. NOT_MEDIA: it is no playlist (a web page, say), or contradicts
/// itself; DRM_PROTECTED: a key that is not AES-128 with a plain key (SAMPLE-AES, FairPlay, Widevine, …);
/// UNSUPPORTED_SOURCE: variables, I-frames only, a delta update; TOO_LONG, TOO_LARGE: beyond the limits;
/// INVALID_URL for an address that the grammar refuses.
Result<HlsPlaylist> parse_hls(std::string_view text, const net::Url& base, const HlsLimits& limits = {});

/// The variants with a picture, best first: within `max_height` (0 = any) the tallest, of those the codec
/// that most players know, of those the highest bit rate; when all are taller, the lowest first. NO_VIDEO
/// when every variant says that it is sound only.
Result<std::vector<HlsVariant>> rank_variants(const HlsMaster& master, int max_height);

/// The sound that belongs to a variant; null when it is in the variant itself.
const HlsRendition* audio_of(const HlsMaster& master, const HlsVariant& variant);

}  // namespace jobruntime::media
