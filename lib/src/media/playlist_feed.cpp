// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/playlist_feed.hpp"

#include <algorithm>

namespace jobruntime::media {
namespace {

using std::chrono::milliseconds;

/// A live stream that has not grown for so long, and for three of its target durations, is over.
constexpr milliseconds patience{30'000};
constexpr milliseconds shortest_wait{250}, longest_wait{10'000};

milliseconds of_seconds(double seconds) {
    return milliseconds(static_cast<long>(std::clamp(seconds, 0.0, 3600.0) * 1000));
}

}  // namespace

Result<LoadedPlaylist> load_playlist(const StreamSource& source, const std::string& url,
                                     const HlsLimits& limits, const HlsVariables& master,
                                     const std::stop_token& stop) {
    auto answer = source.get(url, limits.max_bytes, stop);
    if (!answer) return std::move(answer).error();
    auto base = net::parse_url(answer->final_url, net::max_fetch_url);
    if (!base) return std::move(base).error();
    auto playlist = parse_hls(answer->body, *base, limits, master);
    if (!playlist) return std::move(playlist).error();
    return LoadedPlaylist{*std::move(playlist), *std::move(base)};
}

Result<std::vector<Piece>> PlaylistFeed::take(const StreamMedia& media) {
    const auto now = Steady::now();
    std::vector<Piece> fresh;
    if (last_ && !media.segments.empty() && media.segments.front().sequence > *last_ + 1)
        return Error{Errc::unavailable, "DOWNLOAD_INCOMPLETE",
                     "the live playlist moved on before all of its segments were read"};
    // An older copy of a playlist is no end of it; one that has ended and counts from anew has lost what came between.
    if (last_ && media.ended && !media.segments.empty() && media.segments.back().sequence < *last_)
        return Error{Errc::unavailable, "DOWNLOAD_INCOMPLETE",
                     "the live playlist has ended with other segments than those it had before"};
    for (const auto& segment : media.segments) {
        if (last_ && segment.sequence <= *last_) continue;
        last_ = segment.sequence;
        const bool begins_run = std::exchange(after_gap_, segment.gap) || segment.discontinuity;
        if (segment.gap) {
            gap_seconds_ += segment.seconds;
            continue;
        }
        const auto init = segment.init ? std::optional(media.inits[*segment.init]) : std::nullopt;
        const bool new_run = begins_run || init != init_;
        init_ = init;
        if (new_run && init)
            fresh.push_back({.url = init->url,
                             .range = init->range,
                             .key = init->key,
                             .seconds = 0,
                             .sequence = segment.sequence,
                             .init = true,
                             .begins_run = true});
        fresh.push_back({.url = segment.url,
                         .range = segment.range,
                         .key = segment.key,
                         .seconds = segment.seconds,
                         .pause = segment.pause,
                         .sequence = segment.sequence,
                         .init = false,
                         .begins_run = new_run && !init,
                         .may_be_missing = segment.may_be_missing,
                         .exact = segment.exact});
        ++segments_;
        seconds_ += segment.seconds;
        longest_ = std::max(longest_, segment.seconds);
    }
    if (seconds_ > options_.max_seconds)
        return Error{Errc::full, "TOO_LONG",
                     "the stream is longer than the limit of " +
                         std::to_string(static_cast<long>(options_.max_seconds)) + " s" +
                         (media.ended ? "" : ", and a live one that has not ended")};
    if (segments_ > options_.limits.max_segments)
        return Error{
            Errc::full, "TOO_LONG",
            "the stream has more than " + std::to_string(options_.limits.max_segments) + " segments"};
    ended_ = media.ended;
    whole_seconds_ = whole_seconds_ && media.whole_seconds;
    target_seconds_ = media.target_seconds;
    if (!fresh.empty()) grown_at_ = now;
    const auto allowed =
        std::min(options_.stall_timeout, std::max(patience, of_seconds(3 * target_seconds_)));
    if (!ended_ && now - grown_at_ >= allowed)
        return Error{
            Errc::timed_out, "DOWNLOAD_STALLED",
            "the playlist has neither grown nor ended for " + std::to_string(allowed.count()) + " ms"};
    // RFC 8216, 6.3.4: a target duration after a change, half of one after none.
    const auto wait = of_seconds(fresh.empty() ? target_seconds_ / 2 : target_seconds_);
    next_poll_ = now + std::clamp(wait, shortest_wait, longest_wait);
    return fresh;
}

Result<std::optional<std::vector<Piece>>> PlaylistFeed::poll(const StreamSource& source,
                                                             const std::stop_token& stop) {
    if (ended_ || Steady::now() < next_poll_) return std::optional<std::vector<Piece>>();
    auto loaded = load_playlist(source, url_, options_.limits, options_.variables, stop);
    if (!loaded) return std::move(loaded).error();
    const auto* media = std::get_if<StreamMedia>(&loaded->playlist);
    if (!media)
        return Error{Errc::corrupt, "NOT_MEDIA", "the media playlist has turned into a master playlist"};
    auto fresh = take(*media);
    if (!fresh) return std::move(fresh).error();
    return std::optional(*std::move(fresh));
}

}  // namespace jobruntime::media
