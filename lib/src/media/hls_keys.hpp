// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <jobruntime/result.hpp>

#include "media/stream_media.hpp"

namespace jobruntime::media {

/// Which keys apply at a place in a playlist (RFC 8216, 4.3.2.4). Each EXT-X-KEY applies until the next one of the same
/// KEYFORMAT; of several formats that apply at once each leads to the same key, so that one that we know is enough.
/// A foreign one of another METHOD cannot stand beside ours, as nothing is encrypted in two ways: it takes its place.
/// METHOD=NONE ends all of them, or with a foreign KEYFORMAT that one.
class HlsKeys {
public:
    using Resolve = std::function<Result<std::string>(std::string_view reference)>;

    /// Takes the attributes of an EXT-X-KEY. NOT_MEDIA, UNSUPPORTED_SOURCE, or what `resolve` says.
    Result<void> take(std::string_view value, const Resolve& resolve);

    /// DRM_PROTECTED when something is encrypted here and none of its keys is one that we know.
    Result<void> check() const;
    /// The key of the segment with this media sequence number; nothing when it is not encrypted. After check().
    std::optional<SegmentKey> for_segment(std::uint64_t sequence) const;

    /// What stands in an EXT-X-MAP here is encrypted with a key of a foreign format only. Such a key is the same as one
    /// of ours that the playlist names after it, if it does while that one applies: as long as endings() stays the same.
    /// Samples' encryption leaves initialization sections alone.
    bool map_waits() const;
    /// How many keys have ceased to apply so far.
    std::size_t endings() const noexcept { return endings_; }
    /// The key of an EXT-X-MAP that stands here. NOT_MEDIA without an IV: it has no number to take one from (4.3.2.5).
    Result<std::optional<SegmentKey>> for_map() const;

private:
    struct Plain {
        std::string url;
        std::optional<std::array<std::uint8_t, 16>> iv;
    };
    struct Refused {
        std::string method;
        bool replaces_ours = false;
    };
    /// Ours, where no other has taken its place.
    const Plain* applying() const;

    std::optional<Plain> plain_;                           // Of format "identity", by AES-128.
    std::map<std::string, Refused, std::less<>> refused_;  // By format: what we do not read.
    std::size_t endings_ = 0;
};

}  // namespace jobruntime::media
