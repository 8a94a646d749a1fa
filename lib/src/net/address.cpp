// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include <jobruntime/net.hpp>

namespace jobruntime::net {
namespace {

using Bytes = std::array<std::uint8_t, 16>;

struct Address {
    Bytes bytes{};
    bool v6 = false;
};

/// A sockaddr may stand at any alignment inside somebody's buffer: copied, never cast.
std::optional<Address> address_of(const sockaddr& given) {
    Address address;
    if (given.sa_family == AF_INET) {
        sockaddr_in v4;
        std::memcpy(&v4, &given, sizeof v4);
        std::memcpy(address.bytes.data(), &v4.sin_addr, 4);
        return address;
    }
    if (given.sa_family == AF_INET6) {
        sockaddr_in6 v6;
        std::memcpy(&v6, &given, sizeof v6);
        std::memcpy(address.bytes.data(), &v6.sin6_addr, 16);
        address.v6 = true;
        return address;
    }
    return std::nullopt;
}

std::optional<Address> address_of(std::string_view given) {
    const std::string text(given);
    if (text.find('\0') != std::string::npos) return std::nullopt;  // The C library would read up to it only.
    Address address;
    if (::inet_pton(AF_INET, text.c_str(), address.bytes.data()) == 1) return address;
    address.v6 = true;
    if (::inet_pton(AF_INET6, text.c_str(), address.bytes.data()) == 1) return address;
    return std::nullopt;
}

std::string text_of(const Address& address) {
    char text[INET6_ADDRSTRLEN] = "";
    ::inet_ntop(address.v6 ? AF_INET6 : AF_INET, address.bytes.data(), text, sizeof text);
    return text;
}

bool same_prefix(const Bytes& a, const Bytes& b, int bits) {
    const auto whole = static_cast<std::size_t>(bits / 8);
    if (std::memcmp(a.data(), b.data(), whole) != 0) return false;
    const int rest = bits % 8;
    return rest == 0 || ((a[whole] ^ b[whole]) >> (8 - rest)) == 0;
}

struct Special {
    const char* text;  // CIDR.
    const char* name;
};

// IANA's special-purpose address registries (iana-ipv4-special-registry, iana-ipv6-special-registry), and
// multicast. Anycast services inside them are refused with the rest: nobody serves videos there.
constexpr Special special_v4[] = {
    {"0.0.0.0/8", "this network"},
    {"10.0.0.0/8", "private"},
    {"100.64.0.0/10", "shared (CGNAT)"},
    {"127.0.0.0/8", "loopback"},
    {"169.254.0.0/16", "link-local"},
    {"172.16.0.0/12", "private"},
    {"192.0.0.0/24", "reserved"},
    {"192.0.2.0/24", "documentation"},
    {"192.88.99.0/24", "6to4 relay"},
    {"192.168.0.0/16", "private"},
    {"198.18.0.0/15", "benchmarking"},
    {"198.51.100.0/24", "documentation"},
    {"203.0.113.0/24", "documentation"},
    {"224.0.0.0/4", "multicast"},
    {"240.0.0.0/4", "reserved or broadcast"},
};
constexpr Special special_v6[] = {
    {"::/128", "unspecified"},          {"::1/128", "loopback"},      {"::ffff:0:0/96", "IPv4-mapped"},
    {"::/96", "IPv4-compatible"},       {"64:ff9b::/96", "NAT64"},    {"64:ff9b:1::/48", "local NAT64"},
    {"100::/64", "discard-only"},       {"2001::/32", "Teredo"},      {"2001::/23", "reserved"},
    {"2001:db8::/32", "documentation"}, {"2002::/16", "6to4"},        {"3fff::/20", "documentation"},
    {"5f00::/16", "segment routing"},   {"fc00::/7", "unique local"}, {"fe80::/10", "link-local"},
    {"fec0::/10", "site-local"},        {"ff00::/8", "multicast"},
};

struct Range {
    Address base;
    int prefix;
    const char* name;
};

template <std::size_t n>
std::vector<Range> ranges(const Special (&specials)[n]) {
    std::vector<Range> result;
    for (const auto& special : specials) {
        const std::string_view text = special.text;
        const auto slash = text.find('/');
        int prefix = 0;
        std::from_chars(text.data() + slash + 1, text.data() + text.size(), prefix);
        result.push_back({*address_of(text.substr(0, slash)), prefix, special.name});
    }
    return result;
}

/// Why the address is refused, or null.
const char* special_name(const Address& address) {
    static const auto v4 = ranges(special_v4);
    static const auto v6 = ranges(special_v6);
    for (const auto& range : address.v6 ? v6 : v4)
        if (same_prefix(address.bytes, range.base.bytes, range.prefix)) return range.name;
    const bool global_unicast = !address.v6 || (address.bytes[0] >> 5) == 1;  // 2000::/3
    return global_unicast ? nullptr : "unassigned";
}

Result<void> judge(const Address& address, bool allowed) {
    const char* name = allowed ? nullptr : special_name(address);
    if (!name) return {};
    return Error{Errc::invalid_argument, "SSRF_BLOCKED",
                 "connections to " + text_of(address) + " (" + name +
                     ") are refused; an operator can allow a network with JOBRT_ALLOW_NETS"};
}

}  // namespace

Result<Network> Network::parse(std::string_view text) {
    const auto wrong = [&](const char* what) {
        return Error{Errc::invalid_argument,
                     "'" + std::string(text.substr(0, 64)) + "' is not a network: " + what};
    };
    const auto slash = text.find('/');
    const auto address = address_of(text.substr(0, slash));
    if (!address) return wrong("write an address such as 10.0.0.0/8 or fd00::/8");
    Network network;
    network.v6_ = address->v6;
    network.bytes_ = address->bytes;
    const int bits = address->v6 ? 128 : 32;
    network.prefix_ = bits;
    if (slash != std::string_view::npos) {
        const auto digits = text.substr(slash + 1);
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), network.prefix_);
        if (error != std::errc{} || end != digits.data() + digits.size() || network.prefix_ < 0 ||
            network.prefix_ > bits)
            return wrong("the number behind the slash must lie between 0 and 32, or 128 for IPv6");
    }
    for (int bit = network.prefix_; bit < bits; ++bit)
        if (network.bytes_[static_cast<std::size_t>(bit / 8)] & (0x80 >> (bit % 8)))
            return wrong("it has bits set behind its prefix");
    return network;
}

Result<std::vector<Network>> Network::parse_list(std::string_view text) {
    std::vector<Network> networks;
    while (!text.empty()) {
        const auto end = std::min(text.find_first_of(", \t"), text.size());
        if (end > 0) {
            auto network = parse(text.substr(0, end));
            if (!network) return std::move(network).error();
            networks.push_back(*network);
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return networks;
}

bool Network::contains(const sockaddr& given) const noexcept {
    const auto address = address_of(given);
    return address && address->v6 == v6_ && same_prefix(address->bytes, bytes_, prefix_);
}

Result<void> vet(const sockaddr& given, std::span<const Network> allowed) {
    const auto address = address_of(given);
    if (!address)
        return Error{Errc::invalid_argument, "SSRF_BLOCKED", "only IPv4 and IPv6 connections are allowed"};
    return judge(*address, std::any_of(allowed.begin(), allowed.end(),
                                       [&](const Network& network) { return network.contains(given); }));
}

Result<void> vet(std::string_view given, std::span<const Network> allowed) {
    const auto address = address_of(given);
    if (!address)
        return Error{Errc::invalid_argument, "INVALID_URL",
                     "'" + std::string(given.substr(0, 64)) + "' is not a numeric IP address"};
    sockaddr_storage storage{};
    if (address->v6) {
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        std::memcpy(&v6.sin6_addr, address->bytes.data(), 16);
        std::memcpy(&storage, &v6, sizeof v6);
    } else {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        std::memcpy(&v4.sin_addr, address->bytes.data(), 4);
        std::memcpy(&storage, &v4, sizeof v4);
    }
    return vet(reinterpret_cast<const sockaddr&>(storage), allowed);
}

}  // namespace jobruntime::net
