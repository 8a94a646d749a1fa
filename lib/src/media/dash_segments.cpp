// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cmath>
#include <utility>

#include "media/dash_manifest.hpp"
#include "media/dash_values.hpp"

namespace jobruntime::media {
namespace {

using Kind = DashAddressing::Kind;

/// When one segment plays, in ticks.
struct Span {
    std::uint64_t begin = 0;
    std::uint64_t duration = 0;
};

/// Names every segment of one representation.
class Builder {
public:
    Builder(const DashRepresentation& representation, double seconds, const DashLimits& limits)
        : from_(representation), how_(representation.addressing), seconds_(seconds), limits_(limits) {}

    Result<StreamMedia> run() {
        media_.ended = true;
        JR_TRY(how_.kind == Kind::pattern ? patterns() : how_.kind == Kind::list ? list() : whole());
        if (media_.segments.empty()) return dash_broken("a representation has no segments");
        return std::move(media_);
    }

private:
    Result<std::string> resolve(std::string_view reference) {
        auto url = reference.empty() ? Result<net::Url>(from_.base) : net::resolve(from_.base, reference);
        if (!url) return std::move(url).error();
        url->fragment.reset();
        auto text = url->str();
        if ((address_bytes_ += text.size()) > most_address_bytes)
            return Error{Errc::full, "TOO_LARGE",
                         "the addresses of the DASH manifest come to more than 64 MiB"};
        return text;
    }

    Error too_long() const {
        return Error{Errc::full, "TOO_LONG",
                     "the stream has more than " + std::to_string(limits_.max_segments) + " segments"};
    }

    double ticks(std::uint64_t count) const {
        return static_cast<double>(count) / static_cast<double>(how_.timescale);
    }

    Result<void> init(const std::string& reference) {
        auto url = resolve(reference);
        if (!url) return std::move(url).error();
        media_.inits.push_back({.url = *std::move(url), .range = how_.init_range, .key = {}});
        return {};
    }

    Result<void> add(std::string_view reference, std::optional<ByteRange> range, double seconds, double pause = 0) {
        if (media_.segments.size() == limits_.max_segments) return too_long();
        auto url = resolve(reference);
        if (!url) return std::move(url).error();
        StreamSegment fresh;
        fresh.url = *std::move(url);
        fresh.range = range;
        if (!media_.inits.empty()) fresh.init = 0;
        fresh.sequence = media_.segments.size();
        fresh.seconds = seconds;
        fresh.pause = pause;
        fresh.exact = how_.timeline != nullptr;
        media_.segments.push_back(std::move(fresh));
        return {};
    }

    Result<void> whole() {
        if (!how_.init.empty()) JR_TRY(init(how_.init));
        return add("", std::nullopt, seconds_);
    }

    Result<void> list() {
        if (!how_.urls) return dash_broken("a SegmentList lists nothing");
        auto spans = how_.timeline ? timeline() : Result<std::vector<Span>>(std::vector<Span>());
        if (!spans) return std::move(spans).error();
        if (how_.timeline && spans->size() < how_.urls->size())
            return dash_broken("a SegmentList has more segments than its timeline");
        if (!how_.init.empty() || how_.init_range) JR_TRY(init(how_.init));
        const auto count = how_.urls->size();
        const double share = how_.duration > 0 ? ticks(how_.duration) : seconds_ / static_cast<double>(count);
        for (std::size_t i = 0; i < count; ++i) {
            const auto& url = (*how_.urls)[i];
            const double left = std::max(0.0, seconds_ - share * static_cast<double>(i));
            const double length = how_.timeline   ? length_of(*spans, i)
                                  : i + 1 < count ? share
                                                  : std::min(share, left);
            JR_TRY(add(url.media, url.range, length, how_.timeline ? pause_before(*spans, i) : 0));
        }
        return {};
    }

    Result<void> patterns() {
        auto spans = how_.timeline ? timeline() : regular();
        if (!spans) return std::move(spans).error();
        if (!how_.init.empty()) {
            const auto address =
                fill_pattern(how_.init, {.id = from_.id, .bandwidth = bandwidth(), .number = {}, .time = {}});
            if (!address) return dash_broken("its pattern for init sections has an unknown name in it");
            JR_TRY(init(*address));
        }
        if (how_.media.empty()) return dash_broken("a SegmentTemplate has no pattern for segments");
        for (std::size_t i = 0; i < spans->size(); ++i) {
            const auto number = how_.start_number + i;
            if (how_.end_number && number > *how_.end_number) break;
            const auto address = fill_pattern(
                how_.media,
                {.id = from_.id, .bandwidth = bandwidth(), .number = number, .time = (*spans)[i].begin});
            if (!address) return dash_broken("its pattern for segments has an unknown name in it");
            JR_TRY(add(*address, std::nullopt, length_of(*spans, i), pause_before(*spans, i)));
        }
        // It goes on to the period's end, or beyond: as long as there is something, which the manifest does not say.
        if (how_.timeline && !spans->empty() && !media_.segments.empty()) {
            const auto& last = spans->back();
            const bool beyond = ticks(last.begin + last.duration) - ticks(how_.offset) > seconds_ + 0.01;
            if (beyond || how_.timeline->back().repeat < 0) media_.segments.back().exact = false;
        }
        // Reckoned from a duration that tracks share; this one may end a moment earlier. Not so where much is left.
        if (!how_.timeline && !how_.end_number && media_.segments.size() > 1) {
            const double step = ticks(how_.duration);
            const double last = seconds_ - step * static_cast<double>(media_.segments.size() - 1);
            media_.segments.back().may_be_missing = last < std::min(0.5, 0.25 * step);
        }
        return {};
    }

    std::uint64_t bandwidth() const {
        return static_cast<std::uint64_t>(std::max<std::int64_t>(0, from_.bandwidth));
    }

    /// With the pause before it, for that is part of what plays.
    double length_of(const std::vector<Span>& spans, std::size_t at) const {
        const auto end = spans[at].begin + spans[at].duration;
        const auto begin = at == 0 ? spans[at].begin : spans[at - 1].begin + spans[at - 1].duration;
        return end > begin ? ticks(end - begin) : 0;
    }

    double pause_before(const std::vector<Span>& spans, std::size_t at) const {
        const auto before = at == 0 ? spans[at].begin : spans[at - 1].begin + spans[at - 1].duration;
        return spans[at].begin > before ? ticks(spans[at].begin - before) : 0;
    }

    /// Segments of one length until the period ends. The last is as long as what is left.
    Result<std::vector<Span>> regular() const {
        const double all = seconds_ * static_cast<double>(how_.timescale);
        if (how_.duration == 0) {
            if (how_.media.find("$Number") != std::string::npos ||
                how_.media.find("$Time") != std::string::npos)
                return dash_broken("a SegmentTemplate does not say how long its segments are");
            return std::vector{Span{how_.offset, static_cast<std::uint64_t>(std::min(all, 4e18))}};
        }
        const double step = static_cast<double>(how_.duration);
        // A thousandth of a segment is the rounding of a duration, not one segment more.
        const double count = std::max(1.0, std::ceil(all / step - 0.001));
        if (count > static_cast<double>(limits_.max_segments)) return too_long();
        std::vector<Span> spans;
        std::uint64_t at = how_.offset;
        for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i, at += how_.duration)
            spans.push_back({at, how_.duration});
        const double left = all - step * (count - 1);
        if (left > 0 && left < step) spans.back().duration = static_cast<std::uint64_t>(left);
        return spans;
    }

    Result<std::vector<Span>> timeline() const {
        std::vector<Span> spans;
        std::uint64_t now = 0;
        const auto& runs = *how_.timeline;
        for (std::size_t i = 0; i < runs.size(); ++i) {
            const auto& run = runs[i];
            now = run.time.value_or(now);
            auto count = static_cast<std::uint64_t>(run.repeat) + 1;
            if (run.repeat < 0) {
                const double end =
                    i + 1 < runs.size() && runs[i + 1].time
                        ? static_cast<double>(*runs[i + 1].time)
                        : static_cast<double>(how_.offset) + seconds_ * static_cast<double>(how_.timescale);
                const double many =
                    std::ceil((end - static_cast<double>(now)) / static_cast<double>(run.duration) - 0.001);
                if (many > static_cast<double>(limits_.max_segments)) return too_long();
                count = static_cast<std::uint64_t>(std::max(0.0, many));
            }
            if (count > limits_.max_segments - spans.size()) return too_long();
            for (; count > 0; --count, now += run.duration) {
                if ((now + run.duration) >> 62) return dash_broken("its timeline goes beyond all time");
                spans.push_back({now, run.duration});
            }
        }
        return spans;
    }

    const DashRepresentation& from_;
    const DashAddressing& how_;
    const double seconds_;
    const DashLimits& limits_;
    StreamMedia media_;
    std::size_t address_bytes_ = 0;
};

/// Reads big-endian numbers, and says when there are none left.
class Numbers {
public:
    explicit Numbers(std::string_view bytes) : rest_(bytes) {}
    std::uint64_t take(std::size_t bytes) {
        good_ = good_ && rest_.size() >= bytes;
        if (!good_) return 0;
        std::uint64_t value = 0;
        for (std::size_t i = 0; i < bytes; ++i) value = value << 8 | static_cast<unsigned char>(rest_[i]);
        rest_.remove_prefix(bytes);
        return value;
    }
    std::string_view take_text(std::size_t bytes) {
        const auto text = rest_.substr(0, bytes);
        take(bytes);
        return text;
    }
    bool good() const { return good_; }

private:
    std::string_view rest_;
    bool good_ = true;
};

}  // namespace

Result<StreamMedia> segments_of(const DashRepresentation& representation, double seconds,
                                const DashLimits& limits) {
    return Builder(representation, seconds, limits).run();
}

std::optional<StreamMedia> segments_by_index(const DashRepresentation& representation,
                                             std::string_view index) {
    const auto& how = representation.addressing;
    if (!how.index_range) return std::nullopt;
    Numbers in(index);
    const auto size = in.take(4);
    if (in.take_text(4) != "sidx" || size > index.size()) return std::nullopt;
    const auto version = in.take(1);
    in.take(3 + 4);  // Flags, and the track that it is about.
    const auto timescale = in.take(4);
    in.take(version == 0 ? 4 : 8);  // Where its clock begins.
    // Counted from its own end (ISO/IEC 14496-12, 8.16.3.3).
    auto at = how.index_range->offset + size + in.take(version == 0 ? 4 : 8);
    in.take(2);
    const auto count = in.take(2);
    if (!in.good() || version > 1 || timescale == 0 || count == 0 || at >> 62) return std::nullopt;

    auto url = representation.base;
    url.fragment.reset();
    StreamMedia media;
    media.ended = true;
    const auto init = how.init_range.value_or(ByteRange{0, how.index_range->offset});
    if (init.length == 0 || !how.init.empty()) return std::nullopt;
    media.inits.push_back({.url = url.str(), .range = init, .key = {}});
    for (std::uint64_t i = 0; i < count; ++i) {
        const auto reference = in.take(4);
        const auto duration = in.take(4);
        in.take(4);
        const bool to_an_index = reference >> 31 != 0;
        if (!in.good() || to_an_index || reference == 0) return std::nullopt;
        StreamSegment segment;
        segment.url = media.inits.front().url;
        segment.range = ByteRange{at, reference};
        segment.init = 0;
        segment.sequence = i;
        segment.seconds = static_cast<double>(duration) / static_cast<double>(timescale);
        segment.exact = true;
        media.segments.push_back(std::move(segment));
        at += reference;
    }
    return media;
}

}  // namespace jobruntime::media
