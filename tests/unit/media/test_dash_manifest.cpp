// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <string>

#include <doctest/doctest.h>

#include "media/dash_manifest.hpp"

using namespace jobruntime;
using namespace jobruntime::media;

namespace {

const net::Url base = *net::parse_url("https://cdn.example.org/v/index.mpd?t=1");

std::string manifest(const std::string& periods,
                     const std::string& attributes = "mediaPresentationDuration=\"PT10S\"") {
    return "<?xml version=\"1.0\"?>\n<MPD xmlns=\"urn:mpeg:dash:schema:mpd:2011\" " + attributes + ">" +
           periods + "</MPD>";
}
std::string set(const std::string& inside, const std::string& attributes = "mimeType=\"video/mp4\"") {
    return "<AdaptationSet " + attributes + ">" + inside + "</AdaptationSet>";
}
std::string one(const std::string& inside, const std::string& attributes = "id=\"v\" bandwidth=\"9\"") {
    return "<Representation " + attributes + ">" + inside + "</Representation>";
}
std::string period(const std::string& inside, const std::string& attributes = "") {
    return "<Period " + attributes + ">" + inside + "</Period>";
}

DashManifest read(const std::string& text) {
    auto found = parse_dash(text, base);
    REQUIRE_MESSAGE(found, found.error().message);
    return *std::move(found);
}
/// The segments of the only picture of the only period, addressed so.
Result<StreamMedia> segments(const std::string& addressing, const DashLimits& limits = {},
                             const std::string& duration = "PT10S") {
    auto found = parse_dash(
        manifest(period(set(one(addressing))), "mediaPresentationDuration=\"" + duration + "\""), base);
    if (!found) return found.error();
    return segments_of(found->periods.at(0).video.at(0), found->periods.at(0).seconds, limits);
}
/// Their addresses below the manifest's, with the seconds and the range of each.
std::string told(const Result<StreamMedia>& media) {
    if (!media) return media.error().name;
    std::string text;
    const auto add = [&](const std::string& url, const std::optional<ByteRange>& range) {
        const std::string folder = "https://cdn.example.org/v/";
        text += (text.empty() ? "" : " ") + (url.starts_with(folder) ? url.substr(folder.size()) : url);
        if (range) text += "[" + std::to_string(range->offset) + "+" + std::to_string(range->length) + "]";
    };
    for (const auto& init : media->inits) add(init.url, init.range);
    for (const auto& segment : media->segments) {
        CHECK(segment.init.has_value() == !media->inits.empty());
        add(segment.url, segment.range);
        text += ":" + std::to_string(static_cast<int>(segment.seconds * 1000 + 0.5)) +
                (segment.may_be_missing ? "?" : "");
    }
    return text;
}
std::string code_of(const std::string& text) {
    const auto found = parse_dash(text, base);
    return found ? "ok" : found.error().name;
}

}  // namespace

TEST_CASE("every way to name segments") {
    struct Row {
        const char* addressing;
        const char* segments;
    };
    const Row table[] = {
        // By number, reckoned from a duration: the last is what is left, and may not be there.
        {"<SegmentTemplate duration=\"4\" initialization=\"$RepresentationID$/i.mp4\" "
         "media=\"$RepresentationID$-$Number$.m4s\"/>",
         "v/i.mp4 v-1.m4s:4000 v-2.m4s:4000 v-3.m4s:2000"},
        {"<SegmentTemplate duration=\"5000\" timescale=\"1000\" startNumber=\"0\" "
         "media=\"$Bandwidth%03d$_$Number%05d$$$.ts\"/>",
         "009_00000$.ts:5000 009_00001$.ts:5000"},
        // Only a small rest at the end may be missing.
        {"<SegmentTemplate duration=\"99\" timescale=\"10\" media=\"$Number$\"/>", "1:9900 2:100?"},
        {"<SegmentTemplate duration=\"4\" endNumber=\"2\" media=\"$Number$\"/>", "1:4000 2:4000"},
        {"<SegmentTemplate duration=\"100\" media=\"$Number$\"/>", "1:10000"},
        {"<SegmentTemplate media=\"only.mp4\"/>", "only.mp4:10000"},
        // By time.
        {"<SegmentTemplate timescale=\"10\" media=\"t$Time$\"><SegmentTimeline><S t=\"50\" d=\"40\" "
         "r=\"1\"/><S d=\"20\"/></SegmentTimeline></SegmentTemplate>",
         "t50:4000 t90:4000 t130:2000"},
        {"<SegmentTemplate timescale=\"10\" presentationTimeOffset=\"50\" "
         "media=\"t$Time$n$Number$\"><SegmentTimeline><S t=\"50\" d=\"40\" "
         "r=\"-1\"/></SegmentTimeline></SegmentTemplate>",
         "t50n1:4000 t90n2:4000 t130n3:4000"},
        {"<SegmentTemplate media=\"$Time$\"><SegmentTimeline><S t=\"0\" d=\"3\" r=\"-1\"/><S t=\"6\" "
         "d=\"4\"/></SegmentTimeline></SegmentTemplate>",
         "0:3000 3:3000 6:4000"},
        // A pause belongs to what comes after it.
        {"<SegmentTemplate media=\"$Time$\"><SegmentTimeline><S t=\"0\" d=\"4\"/><S t=\"6\" "
         "d=\"4\"/></SegmentTimeline></SegmentTemplate>",
         "0:4000 6:6000"},
        // Lists.
        {"<SegmentList duration=\"4\"><Initialization sourceURL=\"i\"/><SegmentURL "
         "media=\"a?x=1&amp;y=2\"/><SegmentURL media=\"/b\"/><SegmentURL media=\"c\"/></SegmentList>",
         "i a?x=1&y=2:4000 https://cdn.example.org/b:4000 c:2000"},
        {"<BaseURL>one.mp4</BaseURL><SegmentList duration=\"5\"><Initialization range=\"0-99\"/><SegmentURL "
         "mediaRange=\"100-149\"/><SegmentURL mediaRange=\"150-150\"/></SegmentList>",
         "one.mp4[0+100] one.mp4[100+50]:5000 one.mp4[150+1]:5000"},
        {"<SegmentList><SegmentURL media=\"a\"/><SegmentURL media=\"b\"/></SegmentList>", "a:5000 b:5000"},
        {"<SegmentList><SegmentTimeline><S d=\"7\"/><S d=\"3\"/></SegmentTimeline><SegmentURL "
         "media=\"a\"/><SegmentURL media=\"b\"/></SegmentList>",
         "a:7000 b:3000"},
        // One file.
        {"<BaseURL>one.mp4#t=3</BaseURL>", "one.mp4:10000"},
        {"<BaseURL>one.mp4</BaseURL><SegmentBase indexRange=\"5-9\"><Initialization "
         "range=\"0-4\"/></SegmentBase>",
         "one.mp4:10000"},
        // What does not work out.
        {"<SegmentTemplate media=\"$Number$\"/>", "NOT_MEDIA"},
        {"<SegmentTemplate duration=\"4\"/>", "NOT_MEDIA"},
        {"<SegmentTemplate duration=\"4\" media=\"$Nummer$\"/>", "NOT_MEDIA"},
        {"<SegmentTemplate duration=\"4\" media=\"$Number\"/>", "NOT_MEDIA"},
        {"<SegmentTemplate duration=\"4\" media=\"$Number%s$\"/>", "NOT_MEDIA"},
        {"<SegmentTemplate duration=\"4\" media=\"$Number%0999d$\"/>", "NOT_MEDIA"},
        {"<SegmentTemplate duration=\"4\" media=\"$Number$\" initialization=\"$Number$\"/>", "NOT_MEDIA"},
        {"<SegmentTemplate duration=\"4\" timescale=\"0\" media=\"$Number$\"/>", "NOT_MEDIA"},
        {"<SegmentTemplate duration=\"-4\" media=\"$Number$\"/>", "NOT_MEDIA"},
        {"<SegmentTemplate media=\"$Time$\"><SegmentTimeline><S "
         "d=\"0\"/></SegmentTimeline></SegmentTemplate>",
         "NOT_MEDIA"},
        {"<SegmentTemplate media=\"$Time$\"><SegmentTimeline/></SegmentTemplate>", "NOT_MEDIA"},
        {"<SegmentTemplate media=\"$Time$\"><SegmentTimeline><S d=\"1\" "
         "r=\"-2\"/></SegmentTimeline></SegmentTemplate>",
         "NOT_MEDIA"},
        {"<SegmentTemplate media=\"$Time$\"><SegmentTimeline><S t=\"4611686018427387903\" "
         "d=\"4611686018427387903\"/></SegmentTimeline></SegmentTemplate>",
         "NOT_MEDIA"},
        {"<SegmentList duration=\"4\"/>", "NOT_MEDIA"},
        {"<SegmentList duration=\"4\"><SegmentURL mediaRange=\"9-5\"/></SegmentList>", "NOT_MEDIA"},
        {"<SegmentList><SegmentTimeline><S d=\"7\"/></SegmentTimeline><SegmentURL media=\"a\"/><SegmentURL "
         "media=\"b\"/></SegmentList>",
         "NOT_MEDIA"},
        {"<SegmentTemplate duration=\"4\" media=\"file:///etc/passwd?$Number$\"/>", "INVALID_URL"},
        {"<SegmentTemplate duration=\"4\" media=\"http://[::1]/$Number$\"/>", "INVALID_URL"},
        {"<BaseURL>ftp://example.org/</BaseURL>", "INVALID_URL"},
        // More than there may be, however few letters say so.
        {"<SegmentTemplate media=\"$Time$\"><SegmentTimeline><S d=\"1\" "
         "r=\"4000000000000000000\"/></SegmentTimeline></SegmentTemplate>",
         "TOO_LONG"},
        {"<SegmentTemplate media=\"$Time$\"><SegmentTimeline><S d=\"1\" r=\"-1\"/><S "
         "t=\"4000000000000000000\" d=\"1\"/></SegmentTimeline></SegmentTemplate>",
         "TOO_LONG"},
        {"<SegmentTemplate duration=\"1\" timescale=\"4000000000\" media=\"$Number$\"/>", "TOO_LONG"},
        {"<SegmentTemplate media=\"$SubNumber$\"><SegmentTimeline><S d=\"9\" "
         "k=\"3\"/></SegmentTimeline></SegmentTemplate>",
         "UNSUPPORTED_SOURCE"},
    };
    for (const Row& row : table) {
        CAPTURE(row.addressing);
        CHECK(told(segments(row.addressing)) == row.segments);
    }
    CHECK(told(segments("<SegmentTemplate duration=\"1\" media=\"$Number$\"/>", {.max_segments = 9})) ==
          "TOO_LONG");
    // A duration that is rounded up by a millisecond is not one segment more.
    CHECK(told(segments("<SegmentTemplate duration=\"5\" media=\"$Number$\"/>", {}, "PT10.001S")) ==
          "1:5000 2:5000");
    const std::string far(8'000, 'x');
    CHECK(told(segments(
              "<BaseURL>" + far +
              "/</BaseURL><SegmentTemplate duration=\"1\" timescale=\"5000\" media=\"$Number$\"/>")) ==
          "TOO_LARGE");
}

TEST_CASE("how long the last segment of a timeline is, is known where the timeline ends with the period") {
    struct Row {
        const char* runs;
        bool known;
    };
    const Row table[] = {{"<S d=\"5\" r=\"1\"/>", true},
                         {"<S d=\"4\" r=\"1\"/>", true},
                         // It goes on to the end or beyond it, as long as there is something.
                         {"<S d=\"5\" r=\"-1\"/>", false},
                         {"<S d=\"4\" r=\"2\"/>", false}};
    for (const auto& row : table) {
        CAPTURE(row.runs);
        const auto media = segments("<SegmentTemplate media=\"$Time$\"><SegmentTimeline>" + std::string(row.runs) +
                                    "</SegmentTimeline></SegmentTemplate>");
        REQUIRE(media);
        REQUIRE(media->segments.size() >= 2);
        CHECK(media->segments.front().exact);
        CHECK(media->segments.back().exact == row.known);
    }
}

TEST_CASE("what stands above a representation counts for it, the nearest first") {
    const auto found = read(manifest(
        "<BaseURL>https://a.example/m/</BaseURL><BaseURL>https://other.example/</BaseURL>" +
        period("<BaseURL>p/</BaseURL><SegmentTemplate timescale=\"10\" duration=\"50\" "
               "media=\"$RepresentationID$/$Number$\"/>" +
               set("<BaseURL>s/</BaseURL><SegmentTemplate startNumber=\"7\"/>" +
                       one("<BaseURL>r/</BaseURL>", "id=\"x\" bandwidth=\"1\" width=\"640\" height=\"360\"") +
                       one("<SegmentTemplate startNumber=\"8\" media=\"$Number$\"/>",
                           "id=\"y\" codecs=\"avc1.42\" width=\"2\""),
                   "mimeType=\"video/mp4\" codecs=\"vp09\" width=\"1\" height=\"2\""))));
    const auto& video = found.periods.at(0).video;
    REQUIRE(video.size() == 2);
    CHECK(told(segments_of(video[0], 10)) ==
          "https://a.example/m/p/s/r/x/7:5000 https://a.example/m/p/s/r/x/8:5000");
    CHECK(told(segments_of(video[1], 10)) ==
          "https://a.example/m/p/s/8:5000 https://a.example/m/p/s/9:5000");
    CHECK(video[0].width == 640);
    CHECK(video[0].codecs == "vp09");
    CHECK(video[1].codecs == "avc1.42");
    CHECK(video[1].width == 2);
    CHECK(video[1].height == 2);
}

TEST_CASE("the picture and the sound that are taken") {
    const auto audio = [](const std::string& language, const std::string& inside = "") {
        return set(inside + one(""), "mimeType=\"audio/mp4\" lang=\"" + language + "\"");
    };
    const std::string role = "<Role schemeIdUri=\"urn:mpeg:dash:role:2011\" value=\"";
    const auto text = manifest(period(
        set(one("", "id=\"low\" bandwidth=\"10\" height=\"240\"") +
            one("", "id=\"high\" bandwidth=\"30\" height=\"720\"") +
            one("", "id=\"hevc\" bandwidth=\"60\" height=\"720\" codecs=\"hvc1.1\"") +
            one("", "id=\"rich\" bandwidth=\"40\" height=\"720\"")) +
        set("<EssentialProperty schemeIdUri=\"http://dashif.org/guidelines/trickmode\" value=\"1\"/>" +
            one("", "id=\"trick\" bandwidth=\"90\" height=\"1080\"")) +
        set(role + "alternate\"/>" + one("", "id=\"other-angle\" bandwidth=\"90\" height=\"2160\"")) +
        set(one("", "id=\"thumbnails\" height=\"4000\""), "mimeType=\"image/jpeg\"") +
        set(one("", "id=\"words\""), "mimeType=\"application/mp4\" contentType=\"text\" codecs=\"stpp\"") +
        audio("de", role + "commentary\"/>") + audio("en", role + "main\"/>") +
        set(role + "main\"/>" + one("", "id=\"dolby\" bandwidth=\"900\" codecs=\"ec-3\"") +
                one("", "id=\"best\" bandwidth=\"128\" codecs=\"mp4a.40.2\"") +
                one("", "id=\"thin\" bandwidth=\"64\" codecs=\"mp4a.40.2\""),
            "mimeType=\"audio/mp4\" lang=\"fr\"")));
    const std::string begin = "<AdaptationSet mimeType=\"audio/mp4\" lang=\"";
    std::string in_french = text;
    in_french.erase(text.find(begin + "en"), text.find(begin + "fr") - text.find(begin + "en"));
    const auto found = read(text);
    const auto video = [&](int height) { return choose_video(found, height).value().at(0)->id; };
    CHECK(video(0) == "rich");
    CHECK(video(719) == "low");
    CHECK(video(100) == "low");
    const auto sound = choose_audio(found, choose_video(found, 0).value()).value();
    REQUIRE(sound.size() == 1);
    CHECK(sound[0]->language == "en");
    const auto french = read(in_french);
    CHECK(choose_audio(french, choose_video(french, 0).value()).value().at(0)->id == "best");
    // Sound that is in the picture's files is not fetched twice.
    const auto muxed =
        read(manifest(period(set(one("", "id=\"v\" codecs=\"avc1.42, mp4a.40.2\"")) + audio("en"))));
    CHECK(choose_audio(muxed, choose_video(muxed, 0).value()).value().empty());
    const auto silent = read(manifest(period(set(one("")))));
    CHECK(choose_audio(silent, choose_video(silent, 0).value()).value().empty());
}

TEST_CASE("periods follow each other when they are coded alike") {
    const auto film = [](const char* id, const char* codecs) {
        return set(one(
            "", std::string("id=\"") + id + "\" bandwidth=\"1\" height=\"720\" codecs=\"" + codecs + "\""));
    };
    const auto sound = set(one("", "id=\"s\""), "mimeType=\"audio/mp4\"");
    const auto taken = [](const std::string& text) -> std::string {
        const auto found = parse_dash(text, base);
        if (!found) return found.error().name;
        const auto video = choose_video(*found, 0);
        if (!video) return video.error().name;
        const auto audio = choose_audio(*found, *video);
        if (!audio) return audio.error().name;
        std::string all = std::to_string(static_cast<int>(found->seconds)) + ":";
        for (const auto* each : *video) all += " " + each->id;
        for (const auto* each : *audio) all += " " + each->id;
        return all;
    };
    CHECK(taken(manifest(
              period(film("a", "avc1") + sound, "duration=\"PT4S\"") + period("", "duration=\"PT0S\"") +
              period(film("x", "avc3") + film("b", "avc1") + sound, "start=\"PT4S\""))) == "10: a b s s");
    CHECK(taken(manifest(period(film("a", "avc1"), "start=\"PT0S\"") +
                         period(film("b", "avc1"), "start=\"PT7S\""))) == "10: a b");
    CHECK(taken(manifest(period(film("a", "avc1"), "duration=\"PT4S\"") + period(film("b", "vp09")))) ==
          "UNSUPPORTED_SOURCE");
    CHECK(taken(manifest(period(film("a", "avc1") + sound, "duration=\"PT4S\"") +
                         period(film("b", "avc1")))) == "UNSUPPORTED_SOURCE");
    CHECK(taken(manifest(period(film("a", "avc1"), "duration=\"PT4S\"") +
                         period(film("b", "avc1") + sound))) == "UNSUPPORTED_SOURCE");
    // The beginning of a film is no film.
    CHECK(taken(manifest(period(film("a", "avc1"), "duration=\"PT4S\""))) == "NOT_MEDIA");
    CHECK(taken(manifest(period(film("a", "avc1"), "start=\"PT11S\""))) == "NOT_MEDIA");
    CHECK(taken(manifest(period(film("a", "avc1")), "")) == "NOT_MEDIA");
}

TEST_CASE("what is no manifest of a film that can be had") {
    const std::string drm =
        "<ContentProtection schemeIdUri=\"urn:mpeg:dash:mp4protection:2011\" value=\"cenc\"/>";
    const std::string widevine =
        "<ContentProtection schemeIdUri=\"urn:uuid:EDEF8BA9-79D6-4ACE-A3C8-27DCD51D21ED\"/>";
    const std::string good = period(set(one("")));
    struct Row {
        std::string text;
        const char* code;
    };
    const Row table[] = {
        {manifest(good), "ok"},
        {"\xef\xbb\xbf" + manifest(good) + "\n<!-- end -->\n", "ok"},
        {"<m:MPD xmlns:m='u' type='static' "
         "mediaPresentationDuration='P0Y0M0DT0H0M10.5S'><m:Period><m:AdaptationSet "
         "contentType='video'><m:Representation/></m:AdaptationSet></m:Period></m:MPD>",
         "ok"},
        {manifest(good, "type=\"dynamic\""), "UNSUPPORTED_SOURCE"},
        {manifest(good, "type=\"odd\" mediaPresentationDuration=\"PT1S\""), "NOT_MEDIA"},
        {manifest("<Period xlink:href=\"https://x.example/p.xml\"/>"), "UNSUPPORTED_SOURCE"},
        {manifest(period(set(drm + one("")))), "DRM_PROTECTED"},
        {manifest(period(set(one(drm)))), "DRM_PROTECTED"},
        {manifest(period(set(drm + widevine + one("")))), "DRM_PROTECTED"},
        {manifest(drm + good), "DRM_PROTECTED"},
        {manifest(period(set(drm + one("")) + set(one("")))), "ok"},
        {manifest(period(set(one(""), "mimeType=\"audio/mp4\""))), "NO_VIDEO"},
        {manifest(period(set(one("", "codecs=\"mp4a.40.2\"")))), "NO_VIDEO"},
        {manifest(period(set(""))), "NO_VIDEO"},
        {manifest(period("")), "NOT_MEDIA"},
        {manifest(""), "NOT_MEDIA"},
        {manifest(good, "mediaPresentationDuration=\"10\""), "NOT_MEDIA"},
        {manifest(good, "mediaPresentationDuration=\"-PT10S\""), "NOT_MEDIA"},
        {manifest(period(set(one("", "width=\"9999999\"")))), "NOT_MEDIA"},
        {"", "NOT_MEDIA"},
        {"<html><body>log in</body></html>", "NOT_MEDIA"},
        {"<!doctype html><title>MPD</title>", "NOT_MEDIA"},
    };
    for (const Row& row : table) {
        CAPTURE(row.text);
        CHECK(code_of(row.text) == row.code);
    }
    CHECK(
        parse_dash(manifest(period(set(drm + widevine + one("")))), base).error().message.find("Widevine") !=
        std::string::npos);
    const auto silent = read(manifest(period(set(one("")) + set(drm + one(""), "mimeType=\"audio/mp4\""))));
    CHECK(choose_audio(silent, choose_video(silent, 0).value()).error().name == "DRM_PROTECTED");
    std::string many;
    for (int i = 0; i < 1'001; ++i) many += "<Representation/>";
    CHECK(code_of(manifest(period(set(many)))) == "TOO_LARGE");
    CHECK(parse_dash(std::string(100, ' '), base, {.max_bytes = 99}).error().name == "TOO_LARGE");
}

TEST_CASE("an index inside a file") {
    const auto found = read(
        manifest(period(set(one("<BaseURL>f.mp4</BaseURL><SegmentBase indexRange=\"100-151\"><Initialization "
                                "range=\"0-89\"/></SegmentBase>")))));
    const auto& from = found.periods.at(0).video.at(0);
    const auto number = [](std::uint64_t value, int bytes) {
        std::string text;
        for (int i = bytes - 1; i >= 0; --i) text += static_cast<char>(value >> (8 * i) & 0xff);
        return text;
    };
    const auto entry = [&](std::uint64_t reference, std::uint64_t ticks) {
        return number(reference, 4) + number(ticks, 4) + number(0, 4);
    };
    const auto box = [&](int version, const std::string& entries, std::uint64_t count,
                         std::uint64_t scale = 10) {
        const int wide = version == 0 ? 4 : 8;
        const auto rest = "sidx" + number(static_cast<std::uint64_t>(version), 1) + number(0, 3) +
                          number(1, 4) + number(scale, 4) + number(0, wide) + number(3, wide) + number(0, 2) +
                          number(count, 2) + entries;
        return number(rest.size() + 4, 4) + rest;
    };
    const auto two = entry(50, 40) + entry(60, 60);
    CHECK(told(*segments_by_index(from, box(0, two, 2))) ==
          "f.mp4[0+90] f.mp4[159+50]:4000 f.mp4[209+60]:6000");
    CHECK(told(*segments_by_index(from, box(1, two, 2))) ==
          "f.mp4[0+90] f.mp4[167+50]:4000 f.mp4[217+60]:6000");
    const std::string wrong[] = {"",
                                 "sidx",
                                 box(2, two, 2),
                                 box(0, two, 3),
                                 box(0, two, 0),
                                 box(0, two, 2, 0),
                                 box(0, entry(0x80000005, 1), 1),
                                 box(0, entry(0, 1), 1),
                                 "\0\0\0\1" + box(0, two, 2).substr(4),
                                 box(0, two, 2).substr(0, 50)};
    for (const auto& bytes : wrong) {
        CAPTURE(bytes.size());
        CHECK_FALSE(segments_by_index(from, bytes));
    }
}

TEST_CASE("no manifest that is damaged somewhere is more than an error") {
    const std::string good = manifest(
        period("<SegmentTemplate timescale=\"10\" media=\"$Number%05d$\"><SegmentTimeline><S t=\"0\" "
               "d=\"50\" r=\"1\"/></SegmentTimeline></SegmentTemplate>" +
               set(one("<BaseURL>a&amp;b/</BaseURL>") +
                   one("<SegmentList duration=\"5\"><SegmentURL mediaRange=\"0-9\"/></SegmentList>"))));
    std::uint32_t state = 7;
    const auto next = [&state] { return state = state * 1664525 + 1013904223; };
    int read_well = 0;
    for (int round = 0; round < 4'000; ++round) {
        std::string text = good;
        for (std::uint32_t i = next() % 3; i < 3; ++i) {
            const auto at = next() % text.size();
            if (next() % 3 == 0)
                text.erase(at, next() % 20);
            else
                text[at] = static_cast<char>(next() >> 24 & 0x7f);
        }
        const auto found = parse_dash(text, base);
        if (!found) continue;
        ++read_well;
        for (const auto& each : found->periods)
            for (const auto& video : each.video)
                if (const auto media = segments_of(video, each.seconds); media)
                    for (const auto& segment : media->segments)
                        CHECK(net::parse_url(segment.url, net::max_fetch_url));
    }
    CHECK(read_well > 20);
}
