// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/hls_playlist.hpp"

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "media/hls_attributes.hpp"
#include "media/hls_keys.hpp"

namespace jobruntime::media {
namespace {

constexpr std::size_t longest_line = 32'768;
constexpr std::size_t most_inits = 1'000;  // Each is compared with the others.

Error unsupported_playlist(std::string what) {
    return Error{Errc::unsupported, "UNSUPPORTED_SOURCE", "the HLS playlist " + std::move(what)};
}

/// The lines of a text, without their ends and without blank ones.
class Lines {
public:
    explicit Lines(std::string_view text) : rest_(text) {}
    std::optional<std::string_view> next() {
        while (!rest_.empty()) {
            const auto end = std::min(rest_.find('\n'), rest_.size());
            auto line = rest_.substr(0, end);
            rest_.remove_prefix(std::min(end + 1, rest_.size()));
            while (!line.empty() && (line.back() == '\r' || line.back() == ' ' || line.back() == '\t'))
                line.remove_suffix(1);
            if (!line.empty()) return line;
        }
        return std::nullopt;
    }

private:
    std::string_view rest_;
};

/// One pass over a playlist's lines. Which of the two kinds it is shows in its tags.
class PlaylistParser {
public:
    PlaylistParser(const net::Url& base, const HlsLimits& limits, const HlsVariables& imported)
        : base_(base), limits_(limits), imported_(imported) {}

    Result<HlsPlaylist> run(std::string_view text) {
        if (text.size() > limits_.max_bytes)
            return Error{Errc::full, "TOO_LARGE",
                         "the HLS playlist is larger than " + std::to_string(limits_.max_bytes) + " bytes"};
        if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);
        Lines lines(text);
        const auto first = lines.next();
        if (!first || *first != "#EXTM3U")
            return bad_playlist("it does not begin with #EXTM3U; the server may have sent an error page instead");
        while (const auto line = lines.next()) {
            if (line->size() > longest_line) return bad_playlist("a line has more than 32,768 bytes");
            if (line->find("{$") == std::string_view::npos || !has_variables(*line)) {
                JR_TRY(line->front() == '#' ? tag(*line) : address(*line));
                continue;
            }
            const auto filled = variables_.fill_in(*line);
            if (!filled) return filled.error();
            if (filled->size() > longest_line) return bad_playlist("a line has more than 32,768 bytes");
            JR_TRY(line->front() == '#' ? tag(*filled) : address(*filled));
        }
        return conclude();
    }

private:
    Result<std::string> resolve(std::string_view reference) {
        auto url = net::resolve(base_, reference);
        if (!url) return std::move(url).error();
        url->fragment.reset();
        auto text = url->str();
        JR_TRY(count(text.size()));
        return text;
    }

    Result<void> count(std::size_t address_bytes) {
        if ((address_bytes_ += address_bytes) > most_address_bytes)
            return Error{Errc::full, "TOO_LARGE",
                         "the addresses of the HLS playlist come to more than 64 MiB"};
        return {};
    }

    /// So does a long key for many segments, and an initialization section that is fetched anew for each.
    Result<void> count_shared(const StreamSegment& segment) {
        if (segment.key) JR_TRY(count(segment.key->url.size()));
        if (!segment.init || !(segment.discontinuity || segment.gap)) return {};
        const auto& init = media_.inits[*segment.init];
        return count(init.url.size() + (init.key ? init.key->url.size() : 0));
    }

    /// Addresses, and the tags whose attributes are read; elsewhere "{$" is no more than text.
    static bool has_variables(std::string_view line) {
        if (line.front() != '#') return true;
        const auto name = line.substr(0, line.find(':'));
        return name == "#EXT-X-KEY" || name == "#EXT-X-MAP" || name == "#EXT-X-STREAM-INF" || name == "#EXT-X-MEDIA";
    }

    Result<void> tag(std::string_view line) {
        const auto colon = std::min(line.find(':'), line.size());
        const auto name = line.substr(0, colon);
        const auto value = line.substr(std::min(colon + 1, line.size()));
        if (name == "#EXTINF") return extinf(value);
        if (name == "#EXT-X-KEY") return key(value);
        if (name == "#EXT-X-BYTERANGE") return byte_range(value);
        if (name == "#EXT-X-MAP") return map(value);
        if (name == "#EXT-X-STREAM-INF") return stream_inf(value);
        if (name == "#EXT-X-MEDIA") return rendition(value);
        if (name == "#EXT-X-DISCONTINUITY") discontinuity_ = media_tags_ = true;
        if (name == "#EXT-X-GAP") gap_ = media_tags_ = true;
        if (name == "#EXT-X-ENDLIST") media_.ended = media_tags_ = true;
        if (name == "#EXT-X-MEDIA-SEQUENCE") return take_integer(name, value, sequence_);
        if (name == "#EXT-X-TARGETDURATION") return target_duration(value);
        if (name == "#EXT-X-DEFINE") return define(value);
        if (name == "#EXT-X-I-FRAMES-ONLY") return unsupported_playlist("lists only key frames, for seeking");
        if (name == "#EXT-X-SKIP") return unsupported_playlist("is a delta update, which nobody asked for");
        return {};  // Unknown tags are to be ignored (RFC 8216, 6.3.1).
    }

    Result<void> define(std::string_view value) {
        const auto attributes = HlsAttributes::parse(value);
        if (!attributes) return bad_playlist("EXT-X-DEFINE has no attribute list");
        return variables_.define(*attributes, base_, imported_);
    }

    Result<void> take_integer(std::string_view name, std::string_view value, std::uint64_t& into) {
        media_tags_ = true;
        const auto number = hls_integer(value);
        if (!number) return bad_playlist(std::string(name) + " has no number");
        if (!media_.segments.empty()) return bad_playlist(std::string(name) + " comes after the first segment");
        into = *number;
        return {};
    }

    Result<void> target_duration(std::string_view value) {
        media_tags_ = true;
        const auto seconds = hls_seconds(value);
        if (!seconds) return bad_playlist("EXT-X-TARGETDURATION has no number");
        media_.target_seconds = *seconds;
        return {};
    }

    Result<void> extinf(std::string_view value) {
        media_tags_ = true;
        auto text = value.substr(0, value.find(','));
        while (text.starts_with(' ')) text.remove_prefix(1);
        while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
        seconds_ = hls_seconds(text);
        if (!seconds_) return bad_playlist("EXTINF has no duration");
        fractions_ = fractions_ || text.find('.') != std::string_view::npos;
        return {};
    }

    Result<void> byte_range(std::string_view value) {
        media_tags_ = true;
        JR_TRY(read_range(value, range_, range_has_offset_));
        return {};
    }

    Result<void> read_range(std::string_view value, std::optional<ByteRange>& into, bool& has_offset) {
        const auto at = value.find('@');
        const auto length = hls_integer(value.substr(0, at));
        has_offset = at != std::string_view::npos;
        const auto offset = has_offset ? hls_integer(value.substr(at + 1)) : std::uint64_t{0};
        if (!length || *length == 0 || !offset) return bad_playlist("a byte range is not length@offset");
        into = ByteRange{*offset, *length};
        return {};
    }

    Result<void> key(std::string_view value) {
        media_tags_ = true;
        return keys_.take(value, [this](std::string_view reference) { return resolve(reference); });
    }

    Result<void> map(std::string_view value) {
        media_tags_ = true;
        const auto attributes = HlsAttributes::parse(value);
        if (!attributes || (*attributes)["URI"].empty()) return bad_playlist("EXT-X-MAP has no URI");
        auto url = resolve((*attributes)["URI"]);
        if (!url) return std::move(url).error();
        InitSection section{.url = *std::move(url), .range = {}, .key = {}};
        bool has_offset = false;
        if (attributes->has("BYTERANGE"))
            JR_TRY(read_range((*attributes)["BYTERANGE"], section.range, has_offset));
        waiting_init_.reset();
        if (!keys_.map_waits()) return add_init(std::move(section));
        waiting_init_ = std::move(section);
        waiting_refusal_ = keys_.check().error();
        endings_before_ = keys_.endings();
        return {};
    }

    /// With the key that applies here.
    Result<void> add_init(InitSection section) {
        auto key = keys_.for_map();
        if (!key) return std::move(key).error();
        section.key = *std::move(key);
        const auto word = std::hash<std::string>{}(section.url);
        for (std::size_t i = 0; i < media_.inits.size(); ++i) {
            if (init_words_[i] != word || media_.inits[i] != section) continue;
            init_ = i;
            return {};
        }
        if (media_.inits.size() == most_inits) return bad_playlist("it has too many EXT-X-MAP");
        init_ = media_.inits.size();
        media_.inits.push_back(std::move(section));
        init_words_.push_back(word);
        return {};
    }

    Result<void> stream_inf(std::string_view value) {
        const auto attributes = HlsAttributes::parse(value);
        if (!attributes) return bad_playlist("EXT-X-STREAM-INF has no attribute list");
        if (master_.variants.size() == limits_.max_variants) return bad_playlist("it has too many variants");
        HlsVariant fresh;
        fresh.bandwidth = static_cast<std::int64_t>(hls_integer((*attributes)["BANDWIDTH"]).value_or(0));
        if (const auto size = hls_resolution((*attributes)["RESOLUTION"]))
            std::tie(fresh.width, fresh.height) = *size;
        fresh.codecs = (*attributes)["CODECS"];
        fresh.audio_group = (*attributes)["AUDIO"];
        variant_ = std::move(fresh);
        master_tags_ = true;
        return {};
    }

    Result<void> rendition(std::string_view value) {
        const auto attributes = HlsAttributes::parse(value);
        if (!attributes) return bad_playlist("EXT-X-MEDIA has no attribute list");
        master_tags_ = true;
        if ((*attributes)["TYPE"] != "AUDIO") return {};
        if (master_.audio.size() == limits_.max_variants) return bad_playlist("it has too many renditions");
        HlsRendition fresh;
        fresh.group = (*attributes)["GROUP-ID"];
        fresh.name = (*attributes)["NAME"];
        fresh.is_default = (*attributes)["DEFAULT"] == "YES";
        fresh.autoselect = (*attributes)["AUTOSELECT"] == "YES";
        if (attributes->has("URI")) {
            auto url = resolve((*attributes)["URI"]);
            if (!url) return std::move(url).error();
            fresh.url = *std::move(url);
        }
        master_.audio.push_back(std::move(fresh));
        return {};
    }

    Result<void> address(std::string_view line) {
        auto url = resolve(line);
        if (!url) return std::move(url).error();
        if (variant_) {
            variant_->url = *std::move(url);
            master_.variants.push_back(*std::exchange(variant_, std::nullopt));
            return {};
        }
        if (master_tags_) return bad_playlist("an address without EXT-X-STREAM-INF");
        if (!seconds_) return bad_playlist("a segment without EXTINF");
        JR_TRY(keys_.check());
        JR_TRY(add_waiting_init());
        if (media_.segments.size() == limits_.max_segments)
            return Error{Errc::full, "TOO_LONG",
                         "the stream has more than " + std::to_string(limits_.max_segments) + " segments"};
        StreamSegment fresh;
        fresh.url = *std::move(url);
        fresh.sequence = sequence_ + media_.segments.size();
        fresh.seconds = *std::exchange(seconds_, std::nullopt);
        fresh.discontinuity = std::exchange(discontinuity_, false);
        fresh.gap = std::exchange(gap_, false);
        fresh.init = init_;
        JR_TRY(place_range(fresh));
        fresh.key = keys_.for_segment(fresh.sequence);
        JR_TRY(count_shared(fresh));
        media_.segments.push_back(std::move(fresh));
        return {};
    }

    /// Before the first segment that is to be played with it.
    Result<void> add_waiting_init() {
        if (!waiting_init_) return {};
        // A key that has ended was for what stands before; the section stays encrypted with it, and ours is another.
        if (!keys_.for_segment(0) || keys_.endings() != endings_before_) return *waiting_refusal_;
        return add_init(*std::exchange(waiting_init_, std::nullopt));
    }

    /// Without an offset a range begins where the segment's before ended, in the same file.
    Result<void> place_range(StreamSegment& segment) {
        if (!range_) return {};
        segment.range = std::exchange(range_, std::nullopt);
        if (range_has_offset_) return {};
        const auto* before = media_.segments.empty() ? nullptr : &media_.segments.back();
        if (!before || !before->range || before->url != segment.url)
            return bad_playlist("a byte range without an offset follows no range of the same file");
        segment.range->offset = before->range->offset + before->range->length;
        if (segment.range->offset >> 62) return bad_playlist("byte ranges beyond any file");
        return {};
    }

    Result<HlsPlaylist> conclude() {
        if (master_tags_ && media_tags_ && !media_.segments.empty())
            return bad_playlist("it is a master and a media playlist at once");
        if (master_tags_) {
            if (master_.variants.empty()) return bad_playlist("it lists no variant");
            master_.variables = std::move(variables_);
            return HlsPlaylist(std::move(master_));
        }
        media_.whole_seconds = !fractions_;
        for (auto& segment : media_.segments) segment.exact = fractions_;
        return HlsPlaylist(std::move(media_));
    }

    const net::Url& base_;
    const HlsLimits& limits_;
    const HlsVariables& imported_;
    HlsVariables variables_;
    HlsMaster master_;
    StreamMedia media_;
    bool master_tags_ = false, media_tags_ = false;
    std::size_t address_bytes_ = 0;
    std::uint64_t sequence_ = 0;
    bool fractions_ = false;
    HlsKeys keys_;
    std::optional<InitSection> waiting_init_;
    std::optional<Error> waiting_refusal_;  // Why, if no key of ours follows.
    std::size_t endings_before_ = 0;        // Of keys, where it stands.
    std::optional<std::size_t> init_;
    std::vector<std::size_t> init_words_;  // Of their addresses: long ones, alike for most of their length, are slow to compare.
    // What was said of the next address.
    std::optional<HlsVariant> variant_;
    std::optional<double> seconds_;
    std::optional<ByteRange> range_;
    bool range_has_offset_ = false, discontinuity_ = false, gap_ = false;
};

}  // namespace

Result<HlsPlaylist> parse_hls(std::string_view text, const net::Url& base, const HlsLimits& limits,
                              const HlsVariables& master) {
    return PlaylistParser(base, limits, master).run(text);
}

Result<std::vector<HlsVariant>> rank_variants(const HlsMaster& master, int max_height) {
    std::vector<HlsVariant> found;
    for (const auto& variant : master.variants)
        if (variant.height > 0 || !sound_only(variant.codecs)) found.push_back(variant);
    if (found.empty()) return Error{Errc::corrupt, "NO_VIDEO", "every variant of the stream is sound only"};
    std::ranges::stable_sort(found, [max_height](const HlsVariant& one, const HlsVariant& other) {
        return better_variant(one, other, max_height);
    });
    return found;
}

const HlsRendition* audio_of(const HlsMaster& master, const HlsVariant& variant) {
    const HlsRendition* best = nullptr;
    const auto worth = [](const HlsRendition& one) { return one.is_default ? 2 : one.autoselect ? 1 : 0; };
    for (const auto& rendition : master.audio)
        if (!variant.audio_group.empty() && rendition.group == variant.audio_group &&
            (!best || worth(rendition) > worth(*best)))
            best = &rendition;
    return best && !best->url.empty() ? best : nullptr;
}

}  // namespace jobruntime::media
