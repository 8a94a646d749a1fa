// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/stream_choice.hpp"

#include <cmath>
#include <utility>

#include "media/dash_manifest.hpp"
#include "media/hls_playlist.hpp"
#include "media/playlist_feed.hpp"

namespace jobruntime::media {
namespace {

constexpr std::size_t most_index_bytes = std::size_t{4} << 20;
/// Sound and picture may begin so far apart on their clocks: less than anybody notices.
constexpr double clocks_apart = 0.1;

Result<StreamMedia> load_media(const StreamSource& source, const std::string& url, const HlsLimits& limits,
                               const HlsMaster& master, const std::stop_token& stop) {
    auto loaded = load_playlist(source, url, limits, master.variables, stop);
    if (!loaded) return std::move(loaded).error();
    if (auto* media = std::get_if<StreamMedia>(&loaded->playlist)) return std::move(*media);
    return Error{Errc::corrupt, "NOT_MEDIA", "a variant of the HLS stream is a master playlist again"};
}

Result<StreamChoice> choose_hls(const StreamSource& source, HlsPlaylist playlist, const std::string& url,
                                const ChoiceOptions& options, const std::stop_token& stop) {
    if (auto* media = std::get_if<StreamMedia>(&playlist))
        return StreamChoice{.video = {.url = url, .media = std::move(*media)}};
    const HlsLimits limits{.max_segments = options.max_segments};
    const auto& master = std::get<HlsMaster>(playlist);
    auto variants = rank_variants(master, options.max_height);
    if (!variants) return std::move(variants).error();
    std::optional<Error> first_error;
    for (const auto& variant : *variants) {
        auto media = load_media(source, variant.url, limits, master, stop);
        if (!media) {
            // A variant that is listed and not there must not hide the others; what is locked does.
            if (!first_error) first_error = media.error();
            if (media.error().code == Errc::not_found) continue;
            return *std::move(first_error);
        }
        StreamChoice choice{.video = {.url = variant.url,
                                      .media = *std::move(media),
                                      .variant = variant_id(variant),
                                      .variables = master.variables}};
        if (const auto* sound = audio_of(master, variant)) {
            auto audio = load_media(source, sound->url, limits, master, stop);
            if (!audio) return std::move(audio).error();
            choice.audio = TrackChoice{.url = sound->url,
                                       .media = *std::move(audio),
                                       .variant = hash_of(sound->group + "\n" + sound->name),
                                       .variables = master.variables};
        }
        return choice;
    }
    return *std::move(first_error);
}

/// The bytes of an index inside a file.
Result<std::string> load_index(StreamSource& source, const DashRepresentation& from,
                               const std::stop_token& stop) {
    Piece piece;
    piece.url = from.base.str();
    piece.range = from.addressing.index_range;
    std::string bytes;
    const StreamSource::Sink sink{.take = [&](std::string_view more) -> Result<void> {
                                      bytes += more;
                                      return {};
                                  },
                                  .restart = [&]() -> Result<void> {
                                      bytes.clear();
                                      return {};
                                  },
                                  .urgent = [] { return false; }};
    JR_TRY(source.fetch(piece, sink, stop));
    return bytes;
}

/// One period's segments of a representation.
Result<StreamMedia> load_segments(StreamSource& source, const DashRepresentation& from, double seconds,
                                  const DashLimits& limits, const std::stop_token& stop) {
    const auto& index = from.addressing.index_range;
    // WebM has an index of another kind; the whole file will do, though not in parallel.
    if (from.addressing.kind == DashAddressing::Kind::index && index && index->length <= most_index_bytes &&
        from.mime.ends_with("/mp4")) {
        auto bytes = load_index(source, from, stop);
        if (!bytes) return std::move(bytes).error();
        if (auto media = segments_by_index(from, *bytes)) return *std::move(media);
    }
    return segments_of(from, seconds, limits);
}

/// One period behind the other.
Result<StreamMedia> load_track(StreamSource& source, const DashManifest& manifest,
                               const std::vector<const DashRepresentation*>& chosen, const DashLimits& limits,
                               const std::stop_token& stop) {
    StreamMedia all;
    all.ended = true;
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        auto one = load_segments(source, *chosen[i], manifest.periods[i].seconds, limits, stop);
        if (!one) return one;
        if (all.segments.size() + one->segments.size() > limits.max_segments)
            return Error{Errc::full, "TOO_LONG",
                         "the stream has more than " + std::to_string(limits.max_segments) + " segments"};
        for (auto& segment : one->segments) {
            segment.discontinuity = i > 0 && segment.sequence == 0;
            segment.sequence = all.segments.size();
            if (segment.init) *segment.init += all.inits.size();
            all.segments.push_back(std::move(segment));
        }
        // Appended after the segments have counted those before them.
        for (auto& init : one->inits) all.inits.push_back(std::move(init));
    }
    return all;
}

double begin_of(const DashRepresentation& one) {
    return static_cast<double>(one.addressing.offset) / static_cast<double>(one.addressing.timescale);
}

}  // namespace

Result<StreamChoice> choose_dash(StreamSource& source, std::string_view text, const net::Url& base,
                                 const ChoiceOptions& options, const std::stop_token& stop) {
    const DashLimits limits{.max_segments = options.max_segments};
    auto manifest = parse_dash(text, base, limits);
    if (!manifest) return std::move(manifest).error();
    const auto video = choose_video(*manifest, options.max_height);
    if (!video) return video.error();
    const auto audio = choose_audio(*manifest, *video);
    if (!audio) return audio.error();
    for (std::size_t i = 0; i < audio->size(); ++i)
        if (std::abs(begin_of(*(*video)[i]) - begin_of(*(*audio)[i])) > clocks_apart)
            return Error{
                Errc::unsupported, "UNSUPPORTED_SOURCE",
                "the clocks of the DASH stream's sound and picture begin at different times, which this "
                "version cannot put together"};
    auto pictures = load_track(source, *manifest, *video, limits, stop);
    if (!pictures) return std::move(pictures).error();
    const auto id_of = [](const DashRepresentation& one) { return variant_id(one) ^ hash_of(one.id); };
    StreamChoice choice{.video = {.url = {},
                                  .media = *std::move(pictures),
                                  .variant = id_of(*video->front()),
                                  .promised = manifest->seconds}};
    if (audio->empty()) return choice;
    auto sound = load_track(source, *manifest, *audio, limits, stop);
    if (!sound) return std::move(sound).error();
    choice.audio = TrackChoice{.url = {}, .media = *std::move(sound), .variant = id_of(*audio->front())};
    return choice;
}

Result<StreamChoice> choose_stream(StreamSource& source, const std::string& url, const ChoiceOptions& options,
                                   const std::stop_token& stop) {
    const HlsLimits limits{.max_segments = options.max_segments};
    auto answer = source.get(url, limits.max_bytes, stop);
    if (!answer) return std::move(answer).error();
    auto base = net::parse_url(answer->final_url, net::max_fetch_url);
    if (!base) return std::move(base).error();
    if (looks_like_dash(answer->body)) return choose_dash(source, answer->body, *base, options, stop);
    if (answer->body.find("#EXTM3U") == std::string::npos)
        return Error{Errc::corrupt, "NOT_MEDIA",
                     base->host + " sent neither an HLS playlist nor a DASH manifest; it may be an error page"};
    auto playlist = parse_hls(answer->body, *base, limits);
    if (!playlist) return std::move(playlist).error();
    return choose_hls(source, *std::move(playlist), url, options, stop);
}

}  // namespace jobruntime::media
