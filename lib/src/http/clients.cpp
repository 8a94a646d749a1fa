// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/clients.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <utility>

namespace jobruntime::http {
namespace {

using Bytes = std::array<std::uint8_t, 16>;
constexpr double burst_seconds = 2;

/// As sixteen bytes, IPv4 in its IPv6 form.
std::optional<Bytes> parse_address(std::string_view text) {
    const std::string given(text);
    Bytes bytes{};
    if (inet_pton(AF_INET6, given.c_str(), bytes.data()) == 1) return bytes;
    bytes = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (inet_pton(AF_INET, given.c_str(), bytes.data() + 12) == 1) return bytes;
    return std::nullopt;
}

bool is_v4(const Bytes& bytes) {
    constexpr std::array<std::uint8_t, 12> prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(bytes.data(), prefix.data(), prefix.size()) == 0;
}

bool is_loopback(const Bytes& bytes) {
    if (is_v4(bytes)) return bytes[12] == 127;
    return std::all_of(bytes.begin(), bytes.end() - 1, [](auto byte) { return byte == 0; }) && bytes[15] == 1;
}

std::string shown(const Bytes& bytes) {
    char text[INET6_ADDRSTRLEN] = "";
    if (is_v4(bytes)) inet_ntop(AF_INET, bytes.data() + 12, text, sizeof text);
    else inet_ntop(AF_INET6, bytes.data(), text, sizeof text);
    return text;
}

bool same_bits(const Bytes& left, const Bytes& right, int bits) {
    const auto whole = static_cast<std::size_t>(bits / 8);
    if (std::memcmp(left.data(), right.data(), whole) != 0) return false;
    const int rest = bits % 8;
    return rest == 0 || ((left[whole] ^ right[whole]) >> (8 - rest)) == 0;
}

/// An entry of X-Forwarded-For, which some proxies write with a port.
std::optional<Bytes> parse_hop(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
    if (text.starts_with('[')) return parse_address(text.substr(1, text.find(']') - 1));
    if (std::ranges::count(text, ':') == 1) text = text.substr(0, text.find(':'));
    return parse_address(text);
}

}  // namespace

Result<PeerNets> PeerNets::parse(const std::vector<std::string>& texts) {
    PeerNets nets;
    for (const auto& text : texts) {
        if (text == unix_peer) {
            nets.unix_ = true;
            continue;
        }
        const auto slash = std::min(text.find('/'), text.size());
        const auto address = parse_address(std::string_view(text).substr(0, slash));
        const int most = address && is_v4(*address) ? 32 : 128;
        int bits = most;
        bool good = address.has_value();
        if (slash < text.size()) {
            const auto [end, code] = std::from_chars(text.data() + slash + 1, text.data() + text.size(), bits);
            good = good && code == std::errc{} && end == text.data() + text.size() && bits >= 0 && bits <= most;
        }
        if (!good)
            return Error{Errc::invalid_argument, "INVALID_ARGUMENT",
                         "\"" + text + "\" is no trusted proxy; write an address, a network such as 10.0.0.0/8, or unix"};
        nets.nets_.push_back({*address, bits + (128 - most)});
    }
    return nets;
}

bool PeerNets::contains(std::string_view address) const {
    if (address == unix_peer) return unix_;
    const auto bytes = parse_address(address);
    return bytes && std::ranges::any_of(nets_, [&](const Net& net) { return same_bits(*bytes, net.bytes, net.bits); });
}

std::string sender_of(const Request& request, std::string_view peer, const PeerNets& proxies) {
    std::string sender(peer);
    if (proxies.empty() || !proxies.contains(peer)) return sender;
    // Each proxy adds the one before it at the end; what stands before the last stranger is only what he claims.
    for (auto header = request.headers.rbegin(); header != request.headers.rend(); ++header) {
        if (header->first != "x-forwarded-for") continue;
        std::string_view rest = header->second;
        while (!rest.empty()) {
            const auto comma = rest.rfind(',');
            const auto hop = parse_hop(comma == std::string_view::npos ? rest : rest.substr(comma + 1));
            if (!hop) return sender;
            sender = shown(*hop);
            if (!proxies.contains(sender)) return sender;
            rest = comma == std::string_view::npos ? std::string_view() : rest.substr(0, comma);
        }
    }
    return sender;
}

std::string client_of(std::string_view address, bool own) {
    auto bytes = parse_address(address);
    if (!bytes || (!own && is_loopback(*bytes))) return {};
    if (!is_v4(*bytes)) std::fill(bytes->begin() + 8, bytes->end(), std::uint8_t{0});
    return shown(*bytes);
}

int RateLimit::take(const std::string& client, RealTime now) {
    if (rate_ <= 0 || client.empty()) return 0;
    const auto known = buckets_.find(client);
    const auto full_at = known == buckets_.end() ? now : std::max(now, known->second->first);
    // The bucket holds so many seconds' worth: it can spare one request unless it would take longer than that to fill it again.
    const std::chrono::duration<double> refill(1.0 / rate_);
    const auto beyond = std::chrono::duration<double>(full_at - now) + refill - std::chrono::duration<double>(burst_seconds);
    if (beyond.count() > 1e-6) return std::max(1, static_cast<int>(std::ceil(beyond.count() - 1e-6)));
    const auto next_full = full_at + std::chrono::duration_cast<RealTime::duration>(refill);
    if (known != buckets_.end()) {
        auto node = by_full_.extract(known->second);
        node.key() = next_full;
        known->second = by_full_.insert(std::move(node));
        return 0;
    }
    // One that is full again says nothing any more. Of the others it is the one that has taken least: who sends under ever new
    // addresses pushes out those of his own, and nobody who has used up his share gets it anew.
    if (buckets_.size() >= most_buckets) {
        buckets_.erase(by_full_.begin()->second);
        by_full_.erase(by_full_.begin());
    }
    buckets_.emplace(client, by_full_.emplace(next_full, client));
    return 0;
}

void RateLimit::tidy(RealTime now) {
    while (!by_full_.empty() && by_full_.begin()->first <= now) {
        buckets_.erase(by_full_.begin()->second);
        by_full_.erase(by_full_.begin());
    }
}

}  // namespace jobruntime::http
