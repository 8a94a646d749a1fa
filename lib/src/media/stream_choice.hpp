// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>

#include <jobruntime/net.hpp>
#include <jobruntime/result.hpp>

#include "media/hls_variables.hpp"
#include "media/piece_fetch.hpp"
#include "media/stream_media.hpp"

namespace jobruntime::media {

/// A track to be fetched.
struct TrackChoice {
    std::string url;  ///< Of its playlist, where it has one that may grow.
    StreamMedia media;
    std::uint64_t variant = 0;  ///< Tells files of different variants apart.
    /// Its duration where something else than its segments promises it.
    std::optional<double> promised = {};
    HlsVariables variables = {};  ///< Of its master playlist.
};

/// What was chosen from a playlist or a manifest.
struct StreamChoice {
    TrackChoice video;
    std::optional<TrackChoice> audio = {};  ///< Only where the sound has files of its own.
};

struct ChoiceOptions {
    int max_height = 0;
    std::size_t max_segments = 100'000;
};

/// Fetches what is at an address and chooses: a master or media playlist of HLS, or a DASH manifest. What it
/// is shows in its text: servers and extractors are wrong about types. Errors as parse_hls and parse_dash,
/// and those of fetching.
Result<StreamChoice> choose_stream(StreamSource& source, const std::string& url, const ChoiceOptions& options,
                                   const std::stop_token& stop);

/// The part of it that knows DASH.
Result<StreamChoice> choose_dash(StreamSource& source, std::string_view text, const net::Url& base,
                                 const ChoiceOptions& options, const std::stop_token& stop);

}  // namespace jobruntime::media
