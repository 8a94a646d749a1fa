// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/main_video.hpp"

#include <algorithm>

namespace jobruntime::extract {

namespace {

using Videos = std::vector<const ProbedVideo*>;

bool is_loop(const ProbedVideo& video) { return video.muted && video.loop && !video.controls; }
bool is_empty(const ProbedVideo& video) { return video.src.empty() && video.sources.empty(); }

/// Takes away those that fall short, unless all do.
template <class Good>
void prefer(Videos& videos, Good good) {
    if (std::any_of(videos.begin(), videos.end(), good))
        std::erase_if(videos, [&](const auto* video) { return !good(video); });
}

/// Those of whom this is not known, or is at least half of the most.
template <class Number>
void prefer_most(Videos& videos, Number number) {
    double most = 0;
    for (const auto* video : videos) most = std::max(most, number(video));
    prefer(videos, [&](const auto* video) { return number(video) <= 0 || number(video) * 2 >= most; });
}

}  // namespace

bool is_silent(const ProbedVideo& video) { return video.muted && (video.autoplay || video.loop) && !video.controls; }

bool is_fed_by_script(const ProbedVideo& video) {
    return video.src.starts_with("blob:") || video.src.starts_with("mediasource:");
}

Roles::Roles(const std::vector<Probe>& probes) {
    Videos rest;
    for (const auto& probe : probes)
        for (const auto& video : probe.videos) {
            roles_[&video] = is_loop(video) ? Role::preview : Role::other;
            if (!is_loop(video)) rest.push_back(&video);
        }
    const auto beside = [](const auto* video) { return !is_silent(*video); };
    if (std::any_of(rest.begin(), rest.end(), beside))
        for (const auto* video : rest)
            if (is_silent(*video)) roles_[video] = Role::preview;
    prefer(rest, beside);
    prefer(rest, [](const auto* video) { return !is_empty(*video); });
    prefer_most(rest, [](const auto* video) { return video->area; });
    prefer(rest, [](const auto* video) { return video->controls; });
    prefer_most(rest, [](const auto* video) { return video->duration; });
    for (const auto* video : rest) {
        roles_[video] = Role::main;
        has_main_ = true;
        plays_feed_ = plays_feed_ || is_fed_by_script(*video);
        is_fed_ = plays_feed_ || is_fed_ || is_empty(*video);
    }
}

Role Roles::of(const ProbedVideo& video) const {
    const auto found = roles_.find(&video);
    return found == roles_.end() ? Role::other : found->second;
}

}  // namespace jobruntime::extract
