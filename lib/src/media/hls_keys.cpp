// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/hls_keys.hpp"

#include <algorithm>
#include <utility>

#include "media/hls_attributes.hpp"

namespace jobruntime::media {
namespace {

constexpr std::string_view identity = "identity";
constexpr std::size_t most_formats = 100;

/// The media sequence number, in network order (RFC 8216, 5.2).
std::array<std::uint8_t, 16> iv_of(std::uint64_t sequence) {
    std::array<std::uint8_t, 16> iv{};
    for (int i = 0; i < 8; ++i) iv[15 - static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(sequence >> (8 * i));
    return iv;
}

}  // namespace

Result<void> HlsKeys::take(std::string_view value, const Resolve& resolve) {
    const auto attributes = HlsAttributes::parse(value);
    if (!attributes) return bad_playlist("EXT-X-KEY has no attribute list");
    const auto method = (*attributes)["METHOD"];
    const auto named = (*attributes)["KEYFORMAT"];
    const std::string format(named.empty() ? identity : named);
    const bool ours = format == identity;
    endings_ += refused_.erase(format);
    if (ours && std::exchange(plain_, std::nullopt)) ++endings_;
    if (method == "NONE") {
        if (!ours) return {};
        endings_ += refused_.size();
        refused_.clear();
        return {};
    }
    if (method != "AES-128" || !ours) {
        if (refused_.size() == most_formats) return bad_playlist("it has keys of too many formats");
        refused_[format] = {.method = method.empty() ? "an unnamed method" : std::string(method),
                            .replaces_ours = plain_ && method != "AES-128"};
        return {};
    }
    const auto reference = (*attributes)["URI"];
    if (reference.empty()) return bad_playlist("EXT-X-KEY has no URI");
    if (reference.starts_with("data:"))
        return Error{Errc::unsupported, "UNSUPPORTED_SOURCE",
                     "the HLS playlist carries its key in itself, which this version does not read"};
    auto url = resolve(reference);
    if (!url) return std::move(url).error();
    Plain fresh{*std::move(url), {}};
    if (attributes->has("IV")) {
        fresh.iv = hls_hex128((*attributes)["IV"]);
        if (!fresh.iv) return bad_playlist("EXT-X-KEY has an IV that is no 128-bit number");
    }
    plain_ = std::move(fresh);
    for (auto& [other, refused] : refused_) refused.replaces_ours = false;
    return {};
}

const HlsKeys::Plain* HlsKeys::applying() const {
    const auto replaces = [](const auto& one) { return one.second.replaces_ours; };
    return plain_ && std::ranges::none_of(refused_, replaces) ? &*plain_ : nullptr;
}

Result<void> HlsKeys::check() const {
    if (refused_.empty() || applying()) return {};
    const auto& [format, refused] = *refused_.begin();
    return protected_by(refused.method == "AES-128" ? format : refused.method);
}

std::optional<SegmentKey> HlsKeys::for_segment(std::uint64_t sequence) const {
    const auto* ours = applying();
    if (!ours) return std::nullopt;
    return SegmentKey{ours->url, ours->iv.value_or(iv_of(sequence))};
}

bool HlsKeys::map_waits() const {
    const auto whole = [](const auto& one) { return !one.second.method.starts_with("SAMPLE-AES"); };
    return !applying() && std::ranges::any_of(refused_, whole);
}

Result<std::optional<SegmentKey>> HlsKeys::for_map() const {
    const auto* ours = applying();
    if (!ours) return std::optional<SegmentKey>();
    if (!ours->iv) return bad_playlist("an encrypted EXT-X-MAP has no IV");
    return std::optional(SegmentKey{ours->url, *ours->iv});
}

}  // namespace jobruntime::media
