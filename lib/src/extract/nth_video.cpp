// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/nth_video.hpp"

#include <algorithm>
#include <utility>

#include <boost/json.hpp>

#include "extract/json_access.hpp"
#include "extract/main_video.hpp"
#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

constexpr std::size_t max_videos_of_post = 1000;

/// A frame with nothing on it yet.
Probe frame_of(const Probe& page) {
    Probe one;
    one.url = page.url;
    one.title = page.title;
    return one;
}

std::vector<Probe> video_elements(const std::vector<Probe>& probes) {
    std::vector<Probe> all;
    for (const auto& probe : probes)
        for (const auto& video : probe.videos) all.emplace_back(frame_of(probe)).videos = {video};
    return all;
}

/// What an object says by itself: members with videos of their own, such as parts and trailers, are other ones.
json::object without_inner_videos(const json::object& object) {
    json::object one;
    for (const auto& [key, member] : object)
        if (!member.is_structured() || json::serialize(member).find("VideoObject") == std::string::npos) one[key] = member;
    return one;
}

void add_objects(std::vector<Probe>& all, std::vector<std::string>& known, const Probe& page, const json::value& value, int depth) {
    if (depth > 8 || all.size() >= max_videos_of_post) return;
    if (const auto* array = value.if_array()) {
        for (const auto& item : *array) add_objects(all, known, page, item, depth + 1);
    } else if (const auto* object = value.if_object()) {
        const auto address = is_video_object(*object) ? std::string(text_at(*object, "contentUrl")) : std::string();
        // Pages name one object in several places.
        if (!address.empty() && std::find(known.begin(), known.end(), address) == known.end()) {
            known.push_back(address);
            all.emplace_back(frame_of(page)).json_ld = {json::serialize(without_inner_videos(*object))};
        }
        for (const auto& [key, member] : *object)
            if (member.is_structured()) add_objects(all, known, page, member, depth + 1);
    }
}

std::vector<Probe> video_objects(const std::vector<Probe>& probes) {
    std::vector<Probe> all;
    std::vector<std::string> known;
    for (const auto& probe : probes)
        for (const auto& text : probe.json_ld) {
            json::error_code failed;
            const auto value = json::parse(text, failed);
            if (!failed) add_objects(all, known, probe, value, 0);
        }
    return all;
}

/// "https://host/film" of https://host/film.mp4?a=b: one video in several containers. Of another address, such as
/// /get.php?id=1, the query may be what names the video.
std::string stem_of(std::string_view url) {
    const auto ending = url_extension(url);
    if (container_of(url, "").empty() && ending != "m3u8" && ending != "mpd") return std::string(without_fragment(url));
    url = url.substr(0, url.find_first_of("?#"));
    return std::string(url.substr(0, url.rfind('.')));
}

/// An og:video begins another video, unless it is the last one's again: by https, or in another container. What
/// follows belongs to it (ogp.me, "Arrays").
std::vector<Probe> named_by_metas(const std::vector<Probe>& probes) {
    std::vector<Probe> all;
    for (const auto& probe : probes) {
        std::string last;
        for (const auto& [name, value] : probe.metas) {
            const bool address = name == "og:video" || name == "og:video:url" || name == "og:video:secure_url";
            if (address && all.size() < max_videos_of_post && (last.empty() || (stem_of(value) != last && name != "og:video:secure_url"))) {
                last = stem_of(value);
                all.push_back(frame_of(probe));
            }
            if (!last.empty() && name.starts_with("og:video")) all.back().metas.emplace_back(name, value);
        }
    }
    return all;
}

/// What the network showed, if this is the only <video> that a script feeds: without what belongs to others.
std::vector<Sighting> feed_of(const Probe& one, const Observation& seen) {
    if (one.videos.empty() || !is_fed_by_script(one.videos.front())) return {};
    std::vector<std::string_view> of_others;
    int fed = 0;
    for (const auto& probe : seen.probes)
        for (const auto& video : probe.videos) {
            fed += is_fed_by_script(video) ? 1 : 0;
            of_others.push_back(without_fragment(video.src));
            for (const auto& source : video.sources) of_others.push_back(without_fragment(source.url));
        }
    std::vector<Sighting> feed;
    for (const auto& sighting : seen.sightings)
        if (fed == 1 && std::find(of_others.begin(), of_others.end(), sighting.url) == of_others.end()) feed.push_back(sighting);
    return feed;
}

}  // namespace

Findings find_nth(const Observation& seen, int nth) {
    if (nth <= 0) return find_media(seen);
    const auto index = static_cast<std::size_t>(nth) - 1;
    Findings best;
    bool found = false;
    bool single = nth == 1;
    for (const auto list : {video_elements, video_objects, named_by_metas}) {
        const auto all = list(seen.probes);
        single = single && all.size() <= 1;
        if (all.size() <= index) continue;
        auto here = find_media({seen.requested_url, {all[index]}, feed_of(all[index], seen), seen.user_agent});
        here.provisional = false;  // It was asked for.
        if (!here.info.sources.empty()) return here;
        // An element that a script feeds says at least that.
        if (!std::exchange(found, true)) best = std::move(here);
    }
    return single ? find_media(seen) : best;
}

}  // namespace jobruntime::extract
