// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cmath>

#include "media/hls_playlist.hpp"
#include "stream_check.hpp"

namespace jobruntime::fuzz {
namespace {

constexpr std::uint64_t beyond_any_file = std::uint64_t{1} << 63;

void expect_good(const std::optional<media::ByteRange>& range) {
    if (!range) return;
    expect(range->length > 0 && range->offset < beyond_any_file && range->length < beyond_any_file - range->offset,
           "a byte range has no end");
}

void expect_good(const media::HlsMaster& master, const media::HlsLimits& limits) {
    expect(!master.variants.empty() && master.variants.size() <= limits.max_variants, "no variants, or too many");
    expect(master.audio.size() <= limits.max_variants, "too many renditions");
    for (const auto& variant : master.variants) {
        expect_canonical(variant.url);
        expect(variant.bandwidth >= 0 && variant.width >= 0 && variant.height >= 0, "a variant smaller than nothing");
        if (const auto* sound = media::audio_of(master, variant))
            expect(!sound->url.empty() && sound->group == variant.audio_group, "the sound of another group");
    }
    for (const auto& rendition : master.audio)
        if (!rendition.url.empty()) expect_canonical(rendition.url);
    for (const int height : {0, 720}) {
        const auto ranked = media::rank_variants(master, height);
        if (!ranked) continue;
        expect(!ranked->empty() && ranked->size() <= master.variants.size(), "ranking makes variants");
        const bool one_fits = std::ranges::any_of(*ranked, [&](const auto& one) { return one.height <= height; });
        expect(height == 0 || !one_fits || ranked->front().height <= height, "the best is taller than asked for");
    }
}

std::string with_crlf(std::string_view text) {
    std::string lines;
    for (const char c : text) lines += c == '\n' ? "\r\n" : std::string(1, c);
    return lines;
}

}  // namespace

void expect_sound(const media::StreamMedia& list, std::size_t max_segments) {
    expect(list.segments.size() <= max_segments, "too many segments");
    expect(std::isfinite(list.seconds()) && list.seconds() >= 0, "no duration");
    for (std::size_t i = 0; i < list.segments.size(); ++i) {
        const auto& segment = list.segments[i];
        expect_canonical(segment.url);
        expect_good(segment.range);
        expect(!segment.init || *segment.init < list.inits.size(), "an init section that there is not");
        expect(std::isfinite(segment.seconds) && segment.seconds >= 0, "a segment before its beginning");
        if (segment.key) expect_canonical(segment.key->url);
        if (i > 0) expect(segment.sequence == list.segments[i - 1].sequence + 1, "the numbers of the segments have a gap");
    }
    expect(list.segments.empty() || list.segments.back().sequence >= list.segments.front().sequence,
           "the numbers of the segments begin again");
    for (const auto& init : list.inits) {
        expect_canonical(init.url);
        expect_good(init.range);
        if (init.key) expect_canonical(init.key->url);
    }
}

/// A playlist, found at an address of its own.
void playlist(std::string_view input) {
    const auto base = *net::parse_url("https://cdn.example/live/list.m3u8?token=1");
    const media::HlsLimits limits{.max_bytes = std::size_t{1} << 20, .max_segments = 64, .max_variants = 16};
    const auto read = media::parse_hls(input, base, limits);
    expect(read || !read.error().name.empty(), "an error without a name");
    if (!read) return;
    if (const auto* list = std::get_if<media::StreamMedia>(&*read)) expect_sound(*list, limits.max_segments);
    else expect_good(std::get<media::HlsMaster>(*read), limits);
    if (input.size() > limits.max_bytes / 4) return;
    const auto other = media::parse_hls(with_crlf(input), base, limits);
    expect(other.has_value() && other->index() == read->index(), "the ends of lines change what is read");
    if (const auto* list = std::get_if<media::StreamMedia>(&*read)) {
        const auto& same = std::get<media::StreamMedia>(*other);
        expect(std::ranges::equal(list->segments, same.segments,
                                  [](const auto& a, const auto& b) {
                                      return a.url == b.url && a.range == b.range && a.key == b.key;
                                  }),
               "the ends of lines change a segment");
    }
}

}  // namespace jobruntime::fuzz
