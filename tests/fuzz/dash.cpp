// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cmath>

#include "media/dash_manifest.hpp"
#include "stream_check.hpp"

namespace jobruntime::fuzz {
namespace {

constexpr media::DashLimits dash_limits{.max_bytes = std::size_t{1} << 20, .max_segments = 64, .max_representations = 16};
constexpr std::string_view between = "\n===\n";

void expect_good(const media::DashRepresentation& one, double seconds, std::string_view index) {
    expect_canonical(one.base.str());
    expect(one.bandwidth >= 0 && one.width >= 0 && one.height >= 0, "a representation smaller than nothing");
    const auto found = media::segments_of(one, seconds, dash_limits);
    expect(found || !found.error().name.empty(), "an error without a name");
    if (found) expect_sound(*found, dash_limits.max_segments);
    if (!index.empty() && one.addressing.index_range)
        if (const auto by_index = media::segments_by_index(one, index)) expect_sound(*by_index, 100'000);
}

/// A choice for each period, out of that period.
void expect_choice(const media::DashManifest& manifest, const std::vector<const media::DashRepresentation*>& chosen,
                   std::vector<media::DashRepresentation> media::DashPeriod::* list) {
    expect(chosen.size() == manifest.periods.size(), "a period without a choice");
    for (std::size_t i = 0; i < chosen.size(); ++i) {
        const auto& all = manifest.periods[i].*list;
        expect(!all.empty() && chosen[i] >= all.data() && chosen[i] < all.data() + all.size(), "a choice of another period");
    }
}

}  // namespace

/// A manifest, and behind a line "===" the bytes of an index.
void dash(std::string_view input) {
    const auto base = *net::parse_url("https://cdn.example/v/index.mpd?token=1");
    const auto end = input.find(between);
    const auto index = end == std::string_view::npos ? std::string_view() : input.substr(end + between.size());
    const auto manifest = media::parse_dash(input.substr(0, end), base, dash_limits);
    expect(manifest || !manifest.error().name.empty(), "an error without a name");
    if (!manifest) return;
    expect(!manifest->periods.empty() && std::isfinite(manifest->seconds) && manifest->seconds >= 0, "a manifest of no time");
    std::size_t representations = 0;
    for (const auto& period : manifest->periods) {
        expect(!period.video.empty() && std::isfinite(period.seconds) && period.seconds >= 0, "a period without a picture");
        representations += period.video.size() + period.audio.size();
        for (const auto* list : {&period.video, &period.audio})
            for (const auto& one : *list) expect_good(one, period.seconds, index);
    }
    expect(representations <= dash_limits.max_representations, "too many representations");
    for (const int height : {0, 720}) {
        const auto video = media::choose_video(*manifest, height);
        if (!video) continue;
        expect_choice(*manifest, *video, &media::DashPeriod::video);
        const auto audio = media::choose_audio(*manifest, *video);
        if (audio && !audio->empty()) expect_choice(*manifest, *audio, &media::DashPeriod::audio);
    }
}

}  // namespace jobruntime::fuzz
