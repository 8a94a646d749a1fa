// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/stream_media.hpp"

#include <algorithm>

#include "media/track_file.hpp"

namespace jobruntime::media {
namespace {

bool is_sound(std::string_view codec) {
    return std::ranges::any_of(
        std::array<std::string_view, 12>{"mp4a", "ac-3", "ec-3", "ac-4", "opus", "Opus", "fLaC", "flac",
                                         "mp3", "vorbis", "dts", "mha1"},
        [&](auto prefix) { return codec.starts_with(prefix); });
}

/// The next of a list with commas, without blanks.
std::string_view take_codec(std::string_view& codecs) {
    auto one = codecs.substr(0, codecs.find(','));
    codecs.remove_prefix(std::min(one.size() + 1, codecs.size()));
    while (one.starts_with(' ')) one.remove_prefix(1);
    return one;
}

/// How many players know the picture's codec.
int familiarity(std::string_view codecs) {
    const auto has = [&](std::string_view name) { return codecs.find(name) != std::string_view::npos; };
    if (has("dvh1") || has("dvhe")) return 0;
    if (has("hvc1") || has("hev1")) return 1;
    return has("avc1") || has("avc3") || codecs.empty() ? 3 : 2;
}

}  // namespace

double StreamMedia::seconds() const {
    double sum = 0;
    for (const auto& segment : segments)
        if (!segment.gap) sum += segment.seconds;
    return sum;
}

bool better_variant(const StreamVariant& a, const StreamVariant& b, int max_height) {
    const bool a_fits = max_height == 0 || a.height <= max_height;
    const bool b_fits = max_height == 0 || b.height <= max_height;
    if (a_fits != b_fits) return a_fits;
    if (a.height != b.height) return a_fits ? a.height > b.height : a.height < b.height;
    const int known_a = familiarity(a.codecs);
    const int known_b = familiarity(b.codecs);
    return known_a != known_b ? known_a > known_b : a.bandwidth > b.bandwidth;
}

std::uint64_t variant_id(const StreamVariant& variant) {
    return hash_of(std::to_string(variant.bandwidth) + "\n" + std::to_string(variant.width) + "x" +
                   std::to_string(variant.height) + "\n" + variant.codecs);
}

bool sound_only(std::string_view codecs) {
    if (codecs.empty()) return false;
    while (!codecs.empty())
        if (!is_sound(take_codec(codecs))) return false;
    return true;
}

bool names_sound(std::string_view codecs) {
    while (!codecs.empty())
        if (is_sound(take_codec(codecs))) return true;
    return false;
}

Error protected_by(std::string_view method) {
    std::string shown;
    for (const char c : method.substr(0, 60)) {
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           std::string_view(" -.:").find(c) != std::string_view::npos;
        shown += plain ? c : '?';
    }
    return Error{Errc::unsupported, "DRM_PROTECTED",
                 "the stream is encrypted with " + shown + "; jobrt does not circumvent protection"};
}

}  // namespace jobruntime::media
