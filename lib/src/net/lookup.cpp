// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "net/lookup.hpp"

#include <netdb.h>

#include <cstring>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

namespace jobruntime::net {
namespace {

struct ListCloser {
    void operator()(addrinfo* list) const noexcept { ::freeaddrinfo(list); }
};

Addresses ask(const std::string& host, int flags) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = flags;
    addrinfo* list = nullptr;
    if (::getaddrinfo(host.c_str(), nullptr, &hints, &list) != 0) return {};
    const std::unique_ptr<addrinfo, ListCloser> owner(list);
    Addresses addresses;
    for (const auto* entry = list; entry != nullptr; entry = entry->ai_next) {
        sockaddr_storage address{};
        if (entry->ai_addrlen > sizeof address) continue;
        std::memcpy(&address, entry->ai_addr, entry->ai_addrlen);
        addresses.push_back(address);
    }
    return addresses;
}

}  // namespace

std::optional<Addresses> known_addresses(std::string_view host) {
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    std::string name(host);
    if (name.ends_with('.')) name.pop_back();
    for (char& c : name)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (name == "localhost" || name.ends_with(".localhost")) {
        auto both = ask("127.0.0.1", AI_NUMERICHOST);
        for (const auto& address : ask("::1", AI_NUMERICHOST)) both.push_back(address);
        return both;
    }
    auto numeric = ask(name, AI_NUMERICHOST);
    if (numeric.empty()) return std::nullopt;
    return numeric;
}

void look_up(std::string host, std::function<void(Addresses)> done) {
    try {
        std::thread([host = std::move(host), done] { done(ask(host, 0)); }).detach();
    } catch (const std::system_error&) {
        done({});  // No thread left: as good as a name server that does not answer.
    }
}

}  // namespace jobruntime::net
