// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <jobruntime/net.hpp>
#include <jobruntime/result.hpp>

#include "media/hls_variables.hpp"
#include "media/stream_media.hpp"

// HLS playlists (RFC 8216 and its successor draft-pantos-hls-rfc8216bis), read strictly. Pure functions over
// hostile text: nothing is fetched here, and every address has passed the URL grammar.
namespace jobruntime::media {

struct HlsVariant : StreamVariant {
    std::string url;
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
    HlsVariables variables;  ///< What its media playlists may import.
};

struct HlsLimits {
    std::size_t max_bytes = std::size_t{8} << 20;  ///< Of the text.
    std::size_t max_segments = 100'000;
    std::size_t max_variants = 500;
};

using HlsPlaylist = std::variant<HlsMaster, StreamMedia>;

/// Reads a playlist that was found at `base`. NOT_MEDIA: it is no playlist (a web page, say), or contradicts
/// itself; DRM_PROTECTED: a key that is not AES-128 with a plain key (SAMPLE-AES, FairPlay, Widevine, …);
/// UNSUPPORTED_SOURCE: I-frames only, a delta update; TOO_LONG, TOO_LARGE: beyond the limits;
/// INVALID_URL for an address that the grammar refuses.
/// `master` has the variables of the master playlist that led here.
Result<HlsPlaylist> parse_hls(std::string_view text, const net::Url& base, const HlsLimits& limits = {},
                              const HlsVariables& master = {});

/// The variants with a picture, best first. NO_VIDEO when every variant says that it is sound only.
Result<std::vector<HlsVariant>> rank_variants(const HlsMaster& master, int max_height);

/// The sound that belongs to a variant; null when it is in the variant itself.
const HlsRendition* audio_of(const HlsMaster& master, const HlsVariant& variant);

}  // namespace jobruntime::media
