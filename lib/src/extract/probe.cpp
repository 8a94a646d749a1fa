// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/probe.hpp"

#include <algorithm>

#include <boost/json.hpp>

#include "extract/json_access.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

constexpr int max_pixels = 1 << 16;

int bounded(double value, int limit) { return value >= 1 && value <= limit ? static_cast<int>(value) : 0; }

ProbedVideo read_video(const json::object& object) {
    ProbedVideo video;
    video.src = std::string(text_at(object, "src"));
    video.poster = std::string(text_at(object, "poster"));
    video.width = bounded(number_at(object, "width"), max_pixels);
    video.height = bounded(number_at(object, "height"), max_pixels);
    const double duration = number_at(object, "duration");
    video.duration = duration > 0 && duration < 1e7 ? duration : 0;
    video.ready = bounded(number_at(object, "ready"), 4);
    video.encrypted = flag_at(object, "encrypted");
    video.controls = flag_at(object, "controls");
    video.muted = flag_at(object, "muted");
    video.loop = flag_at(object, "loop");
    video.autoplay = flag_at(object, "autoplay");
    video.area = std::clamp(number_at(object, "area"), 0.0, 1e9);
    if (const auto* sources = array_at(object, "sources"); sources != nullptr) {
        for (const auto& source : *sources) {
            if (const auto* fields = source.if_object(); fields != nullptr && video.sources.size() < 16) {
                video.sources.push_back({std::string(text_at(*fields, "url")),
                                         std::string(text_at(*fields, "type")),
                                         bounded(number_at(*fields, "height"), max_pixels)});
            }
        }
    }
    return video;
}

}  // namespace

std::string_view Probe::meta(std::string_view name) const {
    for (const auto& [key, value] : metas) {
        if (key == name && !value.empty()) return value;
    }
    return {};
}

std::optional<Probe> parse_probe(std::string_view text) {
    if (text.size() > max_probe_text) return std::nullopt;
    json::error_code failed;
    const auto value = json::parse({text.data(), text.size()}, failed);
    if (failed || !value.is_object()) return std::nullopt;
    const auto& object = value.get_object();
    Probe probe;
    probe.url = std::string(text_at(object, "url"));
    probe.title = std::string(text_at(object, "title"));
    probe.text = std::string(text_at(object, "text"));
    probe.password_field = flag_at(object, "passwordField");
    probe.challenge_widget = flag_at(object, "challengeWidget");
    if (const auto* videos = array_at(object, "videos"); videos != nullptr) {
        for (const auto& video : *videos) {
            if (const auto* fields = video.if_object(); fields != nullptr)
                probe.videos.push_back(read_video(*fields));
        }
    }
    if (const auto* metas = array_at(object, "metas"); metas != nullptr) {
        for (const auto& meta : *metas) {
            const auto* pair = meta.if_array();
            if (pair != nullptr && pair->size() == 2) {
                probe.metas.emplace_back(text_of((*pair)[0]), text_of((*pair)[1]));
            }
        }
    }
    if (const auto* scripts = array_at(object, "jsonLd"); scripts != nullptr) {
        for (const auto& script : *scripts) probe.json_ld.emplace_back(text_of(script));
    }
    if (const auto* scripts = array_at(object, "scripts"); scripts != nullptr) {
        for (const auto& script : *scripts) {
            const auto* pair = script.if_array();
            if (pair != nullptr && pair->size() == 2) probe.scripts.emplace_back(text_of((*pair)[0]), text_of((*pair)[1]));
        }
    }
    return probe;
}

}  // namespace jobruntime::extract
