// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/hls_keys.hpp"

#include <algorithm>
#include <utility>

#include "media/hls_attributes.hpp"

namespace jobruntime::media {
namespace {

constexpr std::string_view identity = "identity";
constexpr std::size_t most_formats = 100;

Error broken(std::string what) {
    return Error{Errc::corrupt, "NOT_MEDIA", "the HLS playlist is not valid: " + std::move(what)};
}

/// The media sequence number, in network order (RFC 8216, 5.2).
std::array<std::uint8_t, 16> iv_of(std::uint64_t sequence) {
    std::array<std::uint8_t, 16> iv{};
    for (int i = 0; i < 8; ++i) iv[15 - static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(sequence >> (8 * i));
    return iv;
}

}  // namespace

Result<void> HlsKeys::take(std::string_view value, const Resolve& resolve) {
    const auto attributes = HlsAttributes::parse(value);
    if (!attributes) return broken("EXT-X-KEY has no attribute list");
    const auto method = (*attributes)["METHOD"];
    const auto named = (*attributes)["KEYFORMAT"];
    const std::string format(named.empty() ? identity : named);
    const bool ours = format == identity;
    refused_.erase(format);
    if (ours) plain_.reset();
    if (method == "NONE") {
        if (ours) refused_.clear();
        return {};
    }
    if (method != "AES-128" || !ours) {
        if (refused_.size() == most_formats) return broken("it has keys of too many formats");
        refused_[format] = method.empty() ? "an unnamed method" : method;
        return {};
    }
    const auto reference = (*attributes)["URI"];
    if (reference.empty()) return broken("EXT-X-KEY has no URI");
    if (reference.starts_with("data:"))
        return Error{Errc::unsupported, "UNSUPPORTED_SOURCE",
                     "the HLS playlist carries its key in itself, which this version does not read"};
    auto url = resolve(reference);
    if (!url) return std::move(url).error();
    Plain fresh{*std::move(url), {}};
    if (attributes->has("IV")) {
        fresh.iv = hls_hex128((*attributes)["IV"]);
        if (!fresh.iv) return broken("EXT-X-KEY has an IV that is no 128-bit number");
    }
    plain_ = std::move(fresh);
    return {};
}

Result<void> HlsKeys::check() const {
    if (plain_ || refused_.empty()) return {};
    const auto& [format, method] = *refused_.begin();
    return protected_by(method == "AES-128" ? format : method);
}

std::optional<SegmentKey> HlsKeys::for_segment(std::uint64_t sequence) const {
    if (!plain_) return std::nullopt;
    return SegmentKey{plain_->url, plain_->iv.value_or(iv_of(sequence))};
}

bool HlsKeys::map_waits() const {
    const auto whole = [](const auto& one) { return !one.second.starts_with("SAMPLE-AES"); };
    return !plain_ && std::ranges::any_of(refused_, whole);
}

Result<std::optional<SegmentKey>> HlsKeys::for_map() const {
    if (!plain_) return std::optional<SegmentKey>();
    if (!plain_->iv) return broken("an encrypted EXT-X-MAP has no IV");
    return std::optional(SegmentKey{plain_->url, *plain_->iv});
}

}  // namespace jobruntime::media
