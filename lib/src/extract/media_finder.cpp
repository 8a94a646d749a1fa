// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/media_finder.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <tuple>

#include <boost/json.hpp>

#include "extract/json_access.hpp"
#include "extract/main_video.hpp"
#include "extract/page_scripts.hpp"
#include "extract/page_words.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

constexpr std::size_t max_sources = 16;
constexpr std::size_t max_candidates = 512;  // Each is compared with the others, and a page may name a million.

/// A source with what is known of it beyond the seam's fields.
struct Candidate {
    MediaSource source;
    std::string frame_url;
    bool named = false;       // The page names it: a tag, a meta, JSON-LD.
    bool told = false;        // And calls it its video: a meta, JSON-LD.
    bool delivered = false;   // The network delivered its first bytes.
    bool understood = false;  // A <video> knows its size.
    bool fetched = false;     // By a script, which may have made a <video>'s blob of it.
    bool played = false;      // By a media element, which need not be on the page.
    bool loud = false;        // A <video> has it that does not play by itself and muted.
    std::optional<Role> role;  // Of the <video>s that have it the most important one's.
    int standing = 0;
};

int evidence(std::string_view origin) {
    if (origin == "video") return 4;
    if (origin == "network") return 3;
    return origin == "json-ld" ? 2 : 1;
}

class Collector {
public:
    explicit Collector(const Observation& seen) : seen_(seen) {}

    Candidate* add(std::string_view url, std::string_view mime, std::string_view origin,
                   std::string_view frame_url) {
        if (!is_http_url(url) || url.size() > max_url) return nullptr;
        const auto* sighting = seen_by_network(url);
        auto kind = sighting != nullptr ? sighting->kind : classify_media(url, mime);
        // Its name alone makes nothing a piece of a stream that the page itself calls a video.
        if (sighting != nullptr && kind == MediaKind::segment && origin != "network")
            kind = classify_media(url, sighting->mime.empty() ? mime : std::string_view(sighting->mime));
        if (kind == MediaKind::none || kind == MediaKind::segment) return nullptr;
        const std::string key(without_fragment(url));
        auto found = std::find_if(all.begin(), all.end(), [&](const auto& c) { return c.source.url == key; });
        if (found == all.end()) {
            if (all.size() == max_candidates) return nullptr;
            Candidate fresh;
            fresh.source.url = key;
            fresh.source.protocol = kind == MediaKind::hls    ? MediaProtocol::hls
                                    : kind == MediaKind::dash ? MediaProtocol::dash
                                                              : MediaProtocol::https;
            fresh.source.origin = std::string(origin);
            fresh.frame_url = std::string(frame_url);
            all.push_back(std::move(fresh));
            found = std::prev(all.end());
        } else if (evidence(origin) > evidence(found->source.origin)) {
            found->source.origin = std::string(origin);
            if (!frame_url.empty()) found->frame_url = std::string(frame_url);
        }
        if (origin != "network") found->named = true;
        if (origin == "og" || origin == "twitter" || origin == "json-ld") found->told = true;
        if (found->source.ext.empty()) found->source.ext = container_of(key, mime);
        if (sighting != nullptr) {
            found->delivered = true;
            found->source.filesize = sighting->size;
            if (const auto ext = container_of(key, sighting->mime); !ext.empty()) found->source.ext = ext;
            if (!sighting->referer.empty()) found->source.http_headers["Referer"] = sighting->referer;
        }
        return &*found;
    }

    const Sighting* seen_by_network(std::string_view url) const {
        const auto key = without_fragment(url);
        for (const auto& sighting : seen_.sightings) {
            if (sighting.url == key) return &sighting;
        }
        return nullptr;
    }

    std::vector<Candidate> all;

private:
    const Observation& seen_;
};

void describe_video(const ProbedVideo& video, MediaInfo& info) {
    if (info.thumbnail.empty() && is_http_url(video.poster)) info.thumbnail = video.poster;
    if (!info.duration && video.duration > 0) info.duration = video.duration;
}

void add_video(Collector& found, const Probe& probe, const ProbedVideo& video, Role role) {
    const auto note = [&](Candidate& candidate) {
        candidate.role = std::max(candidate.role.value_or(role), role);
        candidate.loud = candidate.loud || !is_silent(video);
    };
    std::string type;
    for (const auto& source : video.sources) {
        if (source.url == video.src) type = source.type;
    }
    // An element that knows its picture's size proves that the address is media, whatever its name.
    if (video.ready >= 1 && type.empty() && !found.seen_by_network(video.src) &&
        classify_media(video.src, "") == MediaKind::none) {
        type = "video/unknown";
    }
    if (auto* playing = found.add(video.src, type, "video", probe.url); playing != nullptr) {
        note(*playing);
        playing->source.width = std::max(playing->source.width, video.width);
        playing->source.height = std::max(playing->source.height, video.height);
        playing->understood = playing->understood || video.ready >= 1;
    }
    for (const auto& source : video.sources) {
        auto* listed = found.add(source.url, source.type, "video", probe.url);
        if (listed == nullptr || source.url == video.src) continue;
        note(*listed);
        if (source.height > 0) {
            listed->source.height = source.height;
            if (video.height > 0) listed->source.width = video.width * source.height / video.height;
        } else if (listed->source.height == 0) {
            listed->source.width = video.width;
            listed->source.height = video.height;
        }
    }
}

/// The main ones first: of sources that are as good as each other the first counts.
void add_videos(Collector& found, const Observation& seen, const Roles& roles, Findings& out) {
    for (const auto role : {Role::main, Role::other, Role::preview}) {
        for (const auto& probe : seen.probes) {
            for (const auto& video : probe.videos) {
                if (roles.of(video) != role) continue;
                out.encrypted = out.encrypted || video.encrypted;
                if (role == Role::main) describe_video(video, out.info);
                add_video(found, probe, video, role);
            }
        }
    }
}

constexpr int of_preview = 1;
constexpr int of_page = 3;

/// How sure it is that this is the page's video: what it calls so and what its player has, or may be fed from; then
/// whatever else was seen; last what a preview alone plays.
int standing_of(const Candidate& candidate, const Roles& roles) {
    if (candidate.role == Role::main) return of_page;
    if (candidate.role == Role::preview) {
        if (!candidate.told) return of_preview;
        return roles.has_main() ? of_preview + 1 : of_page;
    }
    const bool playlist = candidate.source.protocol != MediaProtocol::https;
    const bool feed = !candidate.role && roles.is_fed() && (playlist || candidate.fetched);
    return candidate.told || feed ? of_page : of_page - 1;
}

int to_int(std::string_view text) {
    int value = 0;
    std::from_chars(text.data(), text.data() + text.size(), value);
    return value > 0 && value < (1 << 16) ? value : 0;
}

/// OpenGraph's properties follow the og:video they belong to (ogp.me, "structured properties").
void add_metas(Collector& found, const Probe& probe) {
    Candidate* current = nullptr;
    std::string type;
    for (const auto& [name, value] : probe.metas) {
        if (name == "og:video:type") type = value;
    }
    for (const auto& [name, value] : probe.metas) {
        if (name == "og:video" || name == "og:video:url" || name == "og:video:secure_url") {
            current = found.add(value, type, "og", probe.url);
        } else if (current != nullptr && name == "og:video:width" && current->source.width == 0) {
            current->source.width = to_int(value);
        } else if (current != nullptr && name == "og:video:height" && current->source.height == 0) {
            current->source.height = to_int(value);
        }
    }
    found.add(probe.meta("twitter:player:stream"), probe.meta("twitter:player:stream:content_type"),
              "twitter", probe.url);
}

std::string_view name_of(const json::value* value) {
    if (value == nullptr) return {};
    if (value->is_array() && !value->get_array().empty()) return name_of(&value->get_array().front());
    if (value->is_object()) return text_at(value->get_object(), "name");
    return text_of(*value);
}

void add_video_object(Collector& found, const json::object& object, const Probe& probe, MediaInfo& info) {
    auto* candidate =
        found.add(text_at(object, "contentUrl"), text_at(object, "encodingFormat"), "json-ld", probe.url);
    if (candidate != nullptr) {
        const auto side = [&](std::string_view key) {
            return std::max(static_cast<int>(std::clamp(number_at(object, key), 0.0, 65535.0)),
                            to_int(text_at(object, key)));
        };
        if (candidate->source.width == 0) candidate->source.width = side("width");
        if (candidate->source.height == 0) candidate->source.height = side("height");
    }
    if (info.title.empty()) info.title = std::string(text_at(object, "name").substr(0, 500));
    if (info.author.empty()) info.author = std::string(name_of(object.if_contains("author")).substr(0, 200));
    if (info.published.empty()) info.published = std::string(text_at(object, "uploadDate").substr(0, 40));
    if (info.thumbnail.empty()) {
        const auto* thumbnail = object.if_contains("thumbnailUrl");
        if (const auto url = name_of(thumbnail); is_http_url(url)) info.thumbnail = std::string(url);
    }
    if (!info.duration) {
        if (const double seconds = parse_duration(text_at(object, "duration")); seconds > 0)
            info.duration = seconds;
    }
}

void walk_json_ld(Collector& found, const json::value& value, const Probe& probe, MediaInfo& info,
                  int depth) {
    if (depth > 8) return;
    if (const auto* array = value.if_array(); array != nullptr) {
        for (const auto& item : *array) walk_json_ld(found, item, probe, info, depth + 1);
    } else if (const auto* object = value.if_object(); object != nullptr) {
        if (is_video_object(*object)) add_video_object(found, *object, probe, info);
        for (const auto& [key, member] : *object) {
            if (member.is_object() || member.is_array()) walk_json_ld(found, member, probe, info, depth + 1);
        }
    }
}

/// Files that the network delivered though no tag names them. A script that fetches many files of
/// one pattern, or files beside a playlist, fetches the pieces of a stream: the picture without its sound, say.
void add_sightings(Collector& found, const Observation& seen) {
    std::map<std::string, int> siblings;
    bool playlist = false;
    for (const auto& sighting : seen.sightings) {
        if (sighting.kind == MediaKind::direct) ++siblings[digit_pattern(sighting.url)];
        playlist = playlist || sighting.kind == MediaKind::hls || sighting.kind == MediaKind::dash;
    }
    for (const auto& sighting : seen.sightings) {
        const bool piece = sighting.kind == MediaKind::direct && sighting.type != "Media" &&
                           (playlist || siblings[digit_pattern(sighting.url)] >= 3);
        if (piece) continue;
        auto* candidate = found.add(sighting.url, sighting.mime, "network", "");
        if (candidate == nullptr) continue;
        candidate->fetched = sighting.type == "Fetch" || sighting.type == "XHR";
        candidate->played = sighting.type == "Media";
    }
}

/// A script may have made the <video>'s blob: from the one file it fetched.
void describe_blob(Collector& found, const Observation& seen, Findings& out) {
    const ProbedVideo* blob = nullptr;
    int blobs = 0;
    for (const auto& probe : seen.probes) {
        for (const auto& video : probe.videos) {
            if (!video.src.starts_with("blob:") && !video.src.starts_with("mediasource:")) continue;
            ++blobs;
            blob = &video;
        }
    }
    if (blobs == 0) return;
    out.script_stream = found.all.empty();
    if (blobs == 1 && found.all.size() == 1 && found.all.front().source.height == 0) {
        found.all.front().source.width = blob->width;
        found.all.front().source.height = blob->height;
    }
}

std::string origin_of(std::string_view url) {
    const auto scheme = url.find("://");
    return std::string(url.substr(0, scheme == std::string_view::npos ? 0 : url.find('/', scheme + 3))) + "/";
}

void finish(Candidate& candidate, const Observation& seen, std::string_view page) {
    auto& headers = candidate.source.http_headers;
    if (!seen.user_agent.empty()) headers["User-Agent"] = seen.user_agent;
    if (headers.contains("Referer")) return;
    const std::string_view from = candidate.frame_url.empty() ? page : std::string_view(candidate.frame_url);
    if (!is_http_url(from)) return;
    // strict-origin-when-cross-origin, the browsers' default (W3C Referrer Policy).
    const bool same = origin_of(from) == origin_of(candidate.source.url);
    const bool downgrade =
        lower(from.substr(0, 8)) == "https://" && lower(candidate.source.url.substr(0, 7)) == "http://";
    if (!downgrade) headers["Referer"] = same ? std::string(without_fragment(from)) : origin_of(from);
}

auto quality_of(const MediaSource& source) {
    const int protocol = source.protocol == MediaProtocol::hls    ? 1
                         : source.protocol == MediaProtocol::dash ? 0
                                                                  : 2;
    return std::tuple(protocol, static_cast<long>(source.width) * source.height, source.height, source.tbr,
                      source.ext == "mp4", source.filesize.value_or(0), evidence(source.origin));
}

/// Best first. A preview is no stand-in for the video that it is beside.
void sort_out(std::vector<Candidate>& all, const Roles& roles, const Observation& seen, Findings& out) {
    for (auto& candidate : all) candidate.standing = standing_of(candidate, roles);
    std::stable_sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
        return std::pair(a.standing, quality_of(a.source)) > std::pair(b.standing, quality_of(b.source));
    });
    const int best = all.empty() ? of_page : all.front().standing;
    const bool hidden = best < of_page && !all.front().role && all.front().played;
    out.provisional = best == of_preview || hidden || (best < of_page && roles.is_fed());
    if (best > of_preview || roles.plays_feed()) {
        std::erase_if(all, [](const auto& candidate) { return candidate.standing == of_preview; });
        return;
    }
    for (const auto& probe : seen.probes)
        for (const auto& video : probe.videos)
            if (roles.of(video) == Role::preview) describe_video(video, out.info);
}

}  // namespace

bool is_video_object(const json::object& object) {
    const auto* type = object.if_contains("@type");
    if (type == nullptr) return false;
    if (const auto* many = type->if_array(); many != nullptr) {
        return std::any_of(many->begin(), many->end(),
                           [](const auto& one) { return text_of(one) == "VideoObject"; });
    }
    return text_of(*type) == "VideoObject";
}

void rank(std::vector<MediaSource>& sources) {
    std::stable_sort(sources.begin(), sources.end(),
                     [](const auto& a, const auto& b) { return quality_of(a) > quality_of(b); });
}

Findings find_media(const Observation& seen) {
    Findings out;
    const Roles roles(seen.probes);
    Collector found(seen);
    add_videos(found, seen, roles, out);
    for (const auto& probe : seen.probes) {
        add_metas(found, probe);
        for (const auto& text : probe.json_ld) {
            json::error_code failed;
            const auto value = json::parse(text, failed);
            if (!failed) walk_json_ld(found, value, probe, out.info, 0);
        }
    }
    add_sightings(found, seen);
    // The weakest word of all: it counts where nobody else has one, and is never a reason to look no further.
    const bool by_data = !seen.probes.empty() && std::all_of(found.all.begin(), found.all.end(), [&](const auto& candidate) {
        return standing_of(candidate, roles) == of_preview;
    });
    if (by_data)
        for (const auto& url : media_in_scripts(seen.probes.front()))
            found.add(url, "", "page-json", seen.probes.front().url);
    sort_out(found.all, roles, seen, out);
    describe_blob(found, seen, out);
    if (!seen.probes.empty()) describe_page(seen.probes.front(), out.info);
    if (out.info.webpage_url.empty()) out.info.webpage_url = seen.requested_url;
    for (auto& candidate : found.all) {
        finish(candidate, seen, out.info.webpage_url);
        const bool direct = candidate.source.protocol == MediaProtocol::https;
        const bool sure = candidate.standing == of_page && (candidate.told || candidate.loud);
        out.has_direct = out.has_direct || (direct && candidate.source.origin != "page-json");
        out.certain = out.certain || (direct && sure &&
                                      (candidate.understood || (candidate.named && candidate.delivered)));
        out.info.sources.push_back(std::move(candidate.source));
    }
    if (out.info.sources.size() > max_sources) out.info.sources.resize(max_sources);
    return out;
}

}  // namespace jobruntime::extract
