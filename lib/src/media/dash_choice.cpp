// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "media/dash_manifest.hpp"

namespace jobruntime::media {
namespace {

using Chosen = std::vector<const DashRepresentation*>;

/// How many players know the sound's codec.
int known_sound(std::string_view codecs) {
    if (codecs.empty() || codecs.find("mp4a") != std::string_view::npos) return 2;
    const bool opus =
        codecs.find("opus") != std::string_view::npos || codecs.find("Opus") != std::string_view::npos;
    return opus ? 1 : 0;
}

/// Those of the best role.
Chosen foremost(const std::vector<DashRepresentation>& all) {
    Chosen found;
    for (const auto& one : all) {
        if (!found.empty() && one.rank < found.front()->rank) continue;
        if (!found.empty() && one.rank > found.front()->rank) found.clear();
        found.push_back(&one);
    }
    return found;
}

bool same_coding(const DashRepresentation& a, const DashRepresentation& b) {
    return a.codecs == b.codecs && a.mime == b.mime && a.width == b.width && a.height == b.height;
}

/// What goes on with `first`; null when nothing does.
const DashRepresentation* successor(const DashRepresentation& first,
                                    const std::vector<DashRepresentation>& among) {
    const DashRepresentation* best = nullptr;
    const auto worth = [&](const DashRepresentation& one) {
        return std::pair(one.id == first.id, one.bandwidth == first.bandwidth);
    };
    for (const auto& one : among)
        if (same_coding(one, first) && (!best || worth(one) > worth(*best))) best = &one;
    return best;
}

Error other_coding(const char* what) {
    return Error{Errc::unsupported, "UNSUPPORTED_SOURCE",
                 std::string("the DASH stream changes the coding of its ") + what +
                     " halfway (an inserted film, say); such a stream cannot be saved as one file"};
}

}  // namespace

Result<Chosen> choose_video(const DashManifest& manifest, int max_height) {
    auto candidates = foremost(manifest.periods.front().video);
    std::ranges::stable_sort(candidates, [max_height](const auto* a, const auto* b) {
        return better_variant(*a, *b, max_height);
    });
    Chosen chosen{candidates.front()};
    for (std::size_t i = 1; i < manifest.periods.size(); ++i) {
        const auto* next = successor(*chosen.front(), manifest.periods[i].video);
        if (!next) return other_coding("picture");
        chosen.push_back(next);
    }
    return chosen;
}

Result<Chosen> choose_audio(const DashManifest& manifest, const Chosen& video) {
    if (names_sound(video.front()->codecs)) return Chosen();
    const auto& first = manifest.periods.front();
    if (first.audio.empty()) {
        if (first.protected_audio) return protected_by("a-method-that-spares-the-picture");
        const bool later =
            std::ranges::any_of(manifest.periods, [](const auto& period) { return !period.audio.empty(); });
        return later ? Result<Chosen>(other_coding("sound")) : Chosen();
    }
    auto candidates = foremost(first.audio);
    // Of several languages the one that is named first, as a player takes it that knows nothing of its
    // listener.
    std::erase_if(candidates, [language = candidates.front()->language](const auto* one) {
        return one->language != language;
    });
    std::ranges::stable_sort(candidates, [](const auto* a, const auto* b) {
        const int known_a = known_sound(a->codecs);
        const int known_b = known_sound(b->codecs);
        return known_a != known_b ? known_a > known_b : a->bandwidth > b->bandwidth;
    });
    Chosen chosen{candidates.front()};
    for (std::size_t i = 1; i < manifest.periods.size(); ++i) {
        const auto* next = successor(*chosen.front(), manifest.periods[i].audio);
        if (!next) return other_coding("sound");
        chosen.push_back(next);
    }
    return chosen;
}

}  // namespace jobruntime::media
