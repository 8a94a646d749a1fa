// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/net.hpp>
#include <jobruntime/result.hpp>

#include "media/stream_media.hpp"

// DASH manifests (ISO/IEC 23009-1) of what is complete, read strictly. Pure functions over hostile text:
// nothing is fetched here, and every address that is handed out has passed the URL grammar.
namespace jobruntime::media {

/// One S of a SegmentTimeline, in ticks of the time scale.
struct DashRun {
    std::optional<std::uint64_t> time;  ///< Where it begins; where the one before ended when not given.
    std::uint64_t duration = 0;         ///< Of each of its segments; never 0.
    std::int64_t repeat = 0;            ///< Further segments; -1 = to the next run, or to the end.
};

/// One SegmentURL of a SegmentList.
struct DashUrl {
    std::string media;  ///< Empty = the representation's own address.
    std::optional<ByteRange> range;
};

/// How the segments of a representation are found: what stands at it and above it, put together.
struct DashAddressing {
    enum class Kind {
        whole,    ///< One file.
        index,    ///< One file with an index of its segments in it (SegmentBase).
        list,     ///< SegmentList.
        pattern,  ///< SegmentTemplate.
    };
    Kind kind = Kind::whole;
    std::uint64_t timescale = 1;  ///< Ticks a second.
    std::uint64_t duration = 0;   ///< Of every segment; 0 = not said.
    std::uint64_t start_number = 1;
    std::optional<std::uint64_t> end_number;
    std::uint64_t offset = 0;  ///< Ticks on the media's clock where the period begins.
    std::string media, init;   ///< Patterns; `init` is the plain address of a list.
    std::optional<ByteRange> init_range, index_range;
    std::shared_ptr<const std::vector<DashRun>> timeline;  // Shared: representations inherit it.
    std::shared_ptr<const std::vector<DashUrl>> urls;
};

struct DashRepresentation : StreamVariant {
    std::string id, mime, language;
    int rank = 1;  ///< By its role: 2 = main, 0 = something else than main.
    net::Url base;
    DashAddressing addressing;
};

/// Stretches of time, one after the other; each has its representations.
struct DashPeriod {
    double seconds = 0;
    std::vector<DashRepresentation> video, audio;  ///< What can be had, in the manifest's order.
    bool protected_audio = false;                  ///< There is sound that cannot be had.
};

struct DashManifest {
    std::vector<DashPeriod> periods;  ///< Never empty, and each has a picture.
    double seconds = 0;               ///< Of all periods.
};

struct DashLimits {
    std::size_t max_bytes = std::size_t{8} << 20;  ///< Of the text.
    std::size_t max_segments = 100'000;            ///< Of one track.
    std::size_t max_representations = 1'000;       ///< Of all periods.
};

/// True when a text may be a manifest, whatever its server calls it.
bool looks_like_dash(std::string_view text);

/// Reads a manifest that was found at `base`. NOT_MEDIA: it is none (a web page, say), or contradicts itself,
/// or does not say how long it is; UNSUPPORTED_SOURCE: it is live (type="dynamic"), or refers to parts
/// elsewhere (xlink); NO_VIDEO: a period without a picture; DRM_PROTECTED: each picture of a period is
/// encrypted; TOO_LARGE: beyond the limits; INVALID_URL for a base address that the grammar refuses.
Result<DashManifest> parse_dash(std::string_view text, const net::Url& base, const DashLimits& limits = {});

/// The picture to take in each period: the best one of the first, and in those after it what is coded alike,
/// for it becomes one file. UNSUPPORTED_SOURCE when a later period has nothing that fits.
Result<std::vector<const DashRepresentation*>> choose_video(const DashManifest& manifest, int max_height);
/// The sound that belongs to it; none when the picture's files have it in them, or when there is none.
/// UNSUPPORTED_SOURCE when only some periods have one; DRM_PROTECTED when it is encrypted.
Result<std::vector<const DashRepresentation*>> choose_audio(
    const DashManifest& manifest, const std::vector<const DashRepresentation*>& video);

/// What to fetch of a representation in a period of `seconds`. One that has an index in its file is one
/// segment here. NOT_MEDIA when its addresses contradict themselves; TOO_LONG, TOO_LARGE; INVALID_URL.
Result<StreamMedia> segments_of(const DashRepresentation& representation, double seconds,
                                const DashLimits& limits = {});
/// The same by `index`, the bytes of its index_range (ISO/IEC 14496-12, 8.16.3: a sidx box). Nothing when
/// they are no such index or one of indexes: the whole file will do.
std::optional<StreamMedia> segments_by_index(const DashRepresentation& representation,
                                             std::string_view index);

}  // namespace jobruntime::media
