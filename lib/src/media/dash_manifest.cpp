// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/dash_manifest.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "media/dash_values.hpp"
#include "media/xml_reader.hpp"

namespace jobruntime::media {
namespace {

Error unsupported_manifest(std::string what) {
    return Error{Errc::unsupported, "UNSUPPORTED_SOURCE", "the DASH manifest " + std::move(what)};
}

/// What a representation inherits from the elements round it.
struct Inherited {
    net::Url base;
    DashAddressing addressing;
    std::string mime, content, codecs, language;
    int width = 0, height = 0;
    int rank = 1;
    std::string protection;  ///< Its name; empty = none.
    bool foreign = false;    ///< Of a use that is not ours: pictures for seeking, tiles, …
};

/// The systems that publish their numbers (https://dashif.org/identifiers/content_protection/), and others as
/// given.
std::string protection_of(const XmlElement& element) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 5> known{
        {{"edef8ba9-79d6-4ace-a3c8-27dcd51d21ed", "Widevine"},
         {"9a04f079-9840-4286-ab92-e65be0885f95", "PlayReady"},
         {"94ce86fb-07ff-4f43-adb8-93d2fa968ca2", "FairPlay"},
         {"5e629af5-38da-4063-8977-97ffbd9902d4", "Marlin"},
         {"e2719d58-a985-b3c9-781a-b030af78d30e", "ClearKey"}}};
    std::string found;
    for (const auto& child : element.children) {
        if (child.name != "ContentProtection") continue;
        auto scheme = child.get("schemeIdUri").value_or("");
        std::ranges::transform(scheme, scheme.begin(),
                               [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        for (const auto& [number, name] : known)
            if (scheme.ends_with(number)) return std::string(name);
        if (found.empty()) found = child.get("value").value_or("");
        if (found.empty()) found = scheme.empty() ? "an-unnamed-method" : scheme;
    }
    return found;
}

class ManifestParser {
public:
    explicit ManifestParser(const DashLimits& limits) : limits_(limits) {}

    Result<DashManifest> run(std::string_view text, const net::Url& base) {
        if (text.size() > limits_.max_bytes)
            return Error{Errc::full, "TOO_LARGE",
                         "the DASH manifest is larger than " + std::to_string(limits_.max_bytes) + " bytes"};
        const auto root = parse_xml(text);
        if (!root) return root.error();
        if (root->name != "MPD")
            return dash_broken("its root is no MPD; the server may have sent something else instead");
        const auto type = root->get("type").value_or("static");
        if (type == "dynamic")
            return unsupported_manifest("is of a live stream (type=\"dynamic\"), which this version does not record");
        if (type != "static") return dash_broken("it is of an unknown type");
        Inherited all;
        all.base = base;
        JR_TRY(inherit(*root, all));
        JR_TRY(read_periods(*root, all));
        for (const auto& period : manifest_.periods) manifest_.seconds += period.seconds;
        return std::move(manifest_);
    }

private:
    /// What every level may say for those below it.
    Result<void> inherit(const XmlElement& element, Inherited& into) {
        for (const auto& [key, value] : element.attributes)
            if (key == "xlink:href")
                return unsupported_manifest("refers to parts of itself elsewhere (xlink), which is not followed");
        if (const auto* base = element.child("BaseURL")) {
            auto url = net::resolve(into.base, base->text);
            if (!url) return std::move(url).error();
            url->fragment.reset();
            into.base = *std::move(url);
        }
        if (auto name = protection_of(element); !name.empty()) into.protection = std::move(name);
        for (const auto& child : element.children) {
            // "…shall be ignored if the scheme is not known": but the colours of a picture change nothing
            // here.
            if (child.name == "EssentialProperty" &&
                !child.get("schemeIdUri").value_or("").starts_with("urn:mpeg:mpegB:cicp:"))
                into.foreign = true;
            const bool role = child.get("schemeIdUri").value_or("") == "urn:mpeg:dash:role:2011";
            if (child.name == "Role" && role && child.get("value").value_or("") == "main") into.rank = 2;
            // A commentary, a dub, a description for those who do not see: not before what is for everybody.
            const bool aside = (child.name == "Role" && role) ||
                               (child.name == "Accessibility" &&
                                (role || child.get("schemeIdUri").value_or("").starts_with("urn:tva:")));
            if (aside && into.rank != 2) into.rank = 0;
        }
        const auto take = [&](const char* name, std::string& to) {
            if (auto value = element.get(name)) to = *std::move(value);
        };
        take("mimeType", into.mime);
        take("contentType", into.content);
        take("codecs", into.codecs);
        take("lang", into.language);
        for (const auto& [name, to] : {std::pair{"width", &into.width}, std::pair{"height", &into.height}}) {
            std::uint64_t pixels = static_cast<std::uint64_t>(*to);
            JR_TRY(take_integer(element, name, pixels));
            if (pixels > 65'535) return dash_broken("a picture is larger than any");
            *to = static_cast<int>(pixels);
        }
        return read_addressing(element, into.addressing);
    }

    static Result<void> take_integer(const XmlElement& element, std::string_view name, std::uint64_t& into) {
        const auto text = element.get(name);
        if (!text) return {};
        const auto number = dash_integer(*text);
        if (!number) return dash_broken(std::string(name) + " is no number");
        into = *number;
        return {};
    }

    static Result<void> take_range(const XmlElement& element, std::string_view name,
                                   std::optional<ByteRange>& into) {
        const auto text = element.get(name);
        if (!text) return {};
        into = dash_range(*text);
        return into ? Result<void>() : Result<void>(dash_broken(std::string(name) + " is no byte range"));
    }

    Result<void> read_addressing(const XmlElement& holder, DashAddressing& into) {
        using Kind = DashAddressing::Kind;
        for (const auto& [name, kind] :
             {std::pair{"SegmentBase", Kind::index}, std::pair{"SegmentList", Kind::list},
              std::pair{"SegmentTemplate", Kind::pattern}}) {
            const auto* element = holder.child(name);
            if (!element) continue;
            if (element->get("xlink:href"))
                return unsupported_manifest("refers to parts of itself elsewhere (xlink), which is not followed");
            if (into.kind != kind) into = {};
            into.kind = kind;
            JR_TRY(take_integer(*element, "timescale", into.timescale));
            JR_TRY(take_integer(*element, "duration", into.duration));
            JR_TRY(take_integer(*element, "startNumber", into.start_number));
            JR_TRY(take_integer(*element, "presentationTimeOffset", into.offset));
            if (element->get("endNumber"))
                JR_TRY(take_integer(*element, "endNumber", into.end_number.emplace()));
            if (into.timescale == 0) return dash_broken("a time scale is 0");
            JR_TRY(take_range(*element, "indexRange", into.index_range));
            if (auto media = element->get("media")) into.media = *std::move(media);
            if (auto init = element->get("initialization")) into.init = *std::move(init);
            if (const auto* init = element->child("Initialization")) {
                into.init = init->get("sourceURL").value_or("");
                JR_TRY(take_range(*init, "range", into.init_range));
            }
            JR_TRY(read_timeline(*element, into));
            JR_TRY(read_urls(*element, into));
        }
        return {};
    }

    static Result<void> read_timeline(const XmlElement& holder, DashAddressing& into) {
        const auto* element = holder.child("SegmentTimeline");
        if (!element) return {};
        std::vector<DashRun> runs;
        for (const auto& child : element->children) {
            if (child.name == "Pattern")
                return unsupported_manifest("has patterns in its timeline, which this version does not read");
            if (child.name != "S") continue;
            if (child.get("k").value_or("1") != "1")
                return unsupported_manifest("divides its segments further, which this version does not read");
            DashRun run;
            if (child.get("t")) JR_TRY(take_integer(child, "t", run.time.emplace()));
            JR_TRY(take_integer(child, "d", run.duration));
            if (run.duration == 0) return dash_broken("a segment of its timeline has no duration");
            const auto repeat = child.get("r").value_or("0");
            const auto [end, wrong] =
                std::from_chars(repeat.data(), repeat.data() + repeat.size(), run.repeat);
            if (wrong != std::errc{} || end != repeat.data() + repeat.size() || run.repeat < -1)
                return dash_broken("a repetition in its timeline is no number");
            runs.push_back(run);
        }
        into.timeline = std::make_shared<const std::vector<DashRun>>(std::move(runs));
        return {};
    }

    static Result<void> read_urls(const XmlElement& holder, DashAddressing& into) {
        std::vector<DashUrl> urls;
        for (const auto& child : holder.children) {
            if (child.name != "SegmentURL") continue;
            DashUrl url{.media = child.get("media").value_or(""), .range = {}};
            JR_TRY(take_range(child, "mediaRange", url.range));
            urls.push_back(std::move(url));
        }
        if (!urls.empty()) into.urls = std::make_shared<const std::vector<DashUrl>>(std::move(urls));
        return {};
    }

    Result<void> read_periods(const XmlElement& root, const Inherited& all) {
        std::vector<const XmlElement*> elements;
        for (const auto& child : root.children)
            if (child.name == "Period") elements.push_back(&child);
        if (elements.empty()) return dash_broken("it has no Period");
        const auto total = seconds_of(root, "mediaPresentationDuration");
        if (!total) return total.error();
        double begin = 0;
        for (std::size_t i = 0; i < elements.size(); ++i) {
            const auto given = seconds_of(*elements[i], "start");
            const auto own = seconds_of(*elements[i], "duration");
            const auto next = i + 1 < elements.size() ? seconds_of(*elements[i + 1], "start") : *total;
            if (!given || !own || !next) return !given ? given.error() : !own ? own.error() : next.error();
            begin = given->value_or(begin);
            const double seconds = *own ? **own : *next ? **next - begin : -1;
            if (seconds < 0) return dash_broken("it does not say how long a Period is");
            JR_TRY(read_period(*elements[i], all, seconds));
            begin += seconds;
        }
        // What it says of itself must fit: a manifest that lists the beginning of a film only is no film.
        if (*total && begin < **total * 0.98 - 0.5)
            return dash_broken("its periods end before the presentation does");
        return manifest_.periods.empty() ? Result<void>(no_video()) : Result<void>();
    }

    static Result<std::optional<double>> seconds_of(const XmlElement& element, std::string_view name) {
        const auto text = element.get(name);
        if (!text) return std::optional<double>();
        const auto seconds = dash_seconds(*text);
        if (!seconds) return dash_broken(std::string(name) + " is no duration");
        return seconds;
    }

    static Error no_video() {
        return Error{Errc::corrupt, "NO_VIDEO", "the DASH manifest lists no picture, only other tracks"};
    }

    Result<void> read_period(const XmlElement& element, Inherited outer, double seconds) {
        JR_TRY(inherit(element, outer));
        DashPeriod period{.seconds = seconds, .video = {}, .audio = {}};
        std::string protection;
        bool any = false;
        for (const auto& set : element.children) {
            if (set.name != "AdaptationSet") continue;
            any = true;
            Inherited in_set = outer;
            JR_TRY(inherit(set, in_set));
            for (const auto& child : set.children)
                if (child.name == "Representation")
                    JR_TRY(read_representation(child, in_set, period, protection));
        }
        if (seconds <= 0) return {};  // Left over from a film that was to be inserted.
        if (!any) return dash_broken("a Period has nothing in it");
        if (period.video.empty()) return protection.empty() ? no_video() : protected_by(protection);
        manifest_.periods.push_back(std::move(period));
        return {};
    }

    Result<void> read_representation(const XmlElement& element, Inherited own, DashPeriod& period,
                                     std::string& protection) {
        if (++representations_ > limits_.max_representations)
            return Error{Errc::full, "TOO_LARGE", "the DASH manifest has too many representations"};
        JR_TRY(inherit(element, own));
        if (own.foreign) return {};
        const bool video = is_video(own);
        if (!video && !is_audio(own)) return {};
        if (!own.protection.empty()) {
            if (video) protection = own.protection;
            period.protected_audio = period.protected_audio || !video;
            return {};
        }
        DashRepresentation found;
        std::uint64_t bandwidth = 0;
        JR_TRY(take_integer(element, "bandwidth", bandwidth));
        found.bandwidth = static_cast<std::int64_t>(bandwidth);
        found.width = own.width;
        found.height = own.height;
        found.codecs = std::move(own.codecs);
        found.id = element.get("id").value_or("");
        found.mime = std::move(own.mime);
        found.language = std::move(own.language);
        found.rank = own.rank;
        found.base = std::move(own.base);
        found.addressing = std::move(own.addressing);
        (video ? period.video : period.audio).push_back(std::move(found));
        return {};
    }

    static bool is_video(const Inherited& own) {
        if (sound_only(own.codecs)) return false;
        if (own.mime.starts_with("video/")) return true;
        if (!own.mime.empty() && own.mime != "application/mp4") return false;
        return own.content.empty()
                   ? own.width > 0 || own.codecs.starts_with("avc") || own.codecs.starts_with("hev")
                   : own.content == "video";
    }
    static bool is_audio(const Inherited& own) {
        return own.mime.starts_with("audio/") || own.content == "audio" || sound_only(own.codecs);
    }

    const DashLimits& limits_;
    DashManifest manifest_;
    std::size_t representations_ = 0;
};

}  // namespace

bool looks_like_dash(std::string_view text) {
    const auto head = text.substr(0, 4'096);
    const auto at = head.find("MPD");
    return at != std::string_view::npos && at > 0 && (head[at - 1] == '<' || head[at - 1] == ':');
}

Result<DashManifest> parse_dash(std::string_view text, const net::Url& base, const DashLimits& limits) {
    return ManifestParser(limits).run(text, base);
}

}  // namespace jobruntime::media
