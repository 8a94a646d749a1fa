// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "media/hls_playlist.hpp"
#include "media/piece_fetch.hpp"

namespace jobruntime::media {

/// Fetches and reads the playlist at an address, with the variables of its master playlist.
struct LoadedPlaylist {
    HlsPlaylist playlist;
    net::Url url;  ///< After redirects.
};
Result<LoadedPlaylist> load_playlist(const StreamSource& source, const std::string& url,
                                     const HlsLimits& limits, const HlsVariables& master,
                                     const std::stop_token& stop);

/// The pieces of one media playlist, which may grow while it is read. One thread.
class PlaylistFeed {
public:
    struct Options {
        HlsLimits limits;
        double max_seconds = 0;
        std::chrono::milliseconds stall_timeout{120'000};
        HlsVariables variables = {};  ///< Of its master playlist.
    };
    PlaylistFeed(std::string url, Options options) : url_(std::move(url)), options_(options) {}

    /// The pieces that are new in `media`, in order, an init section before each run that needs one.
    /// TOO_LONG beyond the limits; DOWNLOAD_INCOMPLETE when a sliding playlist has lost segments that were
    /// not read in time; DOWNLOAD_STALLED when it neither grows nor ends.
    Result<std::vector<Piece>> take(const StreamMedia& media);
    /// Asks again when it is time; nothing when it is not, or when it has ended.
    Result<std::optional<std::vector<Piece>>> poll(const StreamSource& source, const std::stop_token& stop);

    bool ended() const noexcept { return ended_; }
    /// Seconds that the playlist itself says are not there.
    double gap_seconds() const noexcept { return gap_seconds_; }
    /// What rounding of the durations may add up to: half a second each, but no more than two segments, or so
    /// many could be missing that nobody would notice.
    double tolerance() const noexcept {
        return whole_seconds_ ? std::min(0.5 * static_cast<double>(segments_), 2 * longest_) : 0;
    }

private:
    using Steady = std::chrono::steady_clock;
    std::string url_;
    Options options_;
    bool ended_ = false, whole_seconds_ = true;
    std::optional<std::uint64_t> last_;  // Sequence of the last segment taken.
    std::optional<InitSection> init_;
    bool after_gap_ = true;  // The next segment begins a run.
    std::size_t segments_ = 0;
    double seconds_ = 0, longest_ = 0, gap_seconds_ = 0;
    Steady::time_point next_poll_{}, grown_at_ = Steady::now();
    double target_seconds_ = 0;
};

}  // namespace jobruntime::media
