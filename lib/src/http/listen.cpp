// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/listen.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace jobruntime::http {
namespace {

/// How often a free port of one family may turn out to be taken in the other.
constexpr int port_tries = 50;

struct Address {
    sockaddr_storage bytes{};
    socklen_t size = 0;
    std::string shown;  ///< With brackets for IPv6.

    bool is_v6() const { return bytes.ss_family == AF_INET6; }
    sockaddr* get() { return reinterpret_cast<sockaddr*>(&bytes); }
    void set_port(int port) {
        const auto number = htons(static_cast<std::uint16_t>(port));
        if (is_v6()) reinterpret_cast<sockaddr_in6*>(&bytes)->sin6_port = number;
        else reinterpret_cast<sockaddr_in*>(&bytes)->sin_port = number;
    }
};

Error refused(const std::string& text) {
    return {Errc::invalid_argument, "ADDRESS_REFUSED",
            "the address " + text + " is not a loopback address, and there are no access tokens to guard it: make one with "
            "jobrt token create and name its file in JOBRT_TOKEN_FILE, or serve 127.0.0.1 and ::1 only"};
}

Error no_address(const std::string& text) {
    return {Errc::invalid_argument, "ADDRESS_REFUSED",
            "\"" + text + "\" is not an address to listen on; write an IPv4 or IPv6 address such as 127.0.0.1, 0.0.0.0 or ::, or "
            "unix: and the path of a socket"};
}

Result<Address> parse_address(const std::string& text, bool loopback_only) {
    Address address;
    auto* v4 = reinterpret_cast<sockaddr_in*>(&address.bytes);
    auto* v6 = reinterpret_cast<sockaddr_in6*>(&address.bytes);
    if (inet_pton(AF_INET, text.c_str(), &v4->sin_addr) == 1) {
        if (loopback_only && (ntohl(v4->sin_addr.s_addr) >> 24) != 127) return refused(text);
        v4->sin_family = AF_INET;
        address.size = sizeof *v4;
        address.shown = text;
        return address;
    }
    if (inet_pton(AF_INET6, text.c_str(), &v6->sin6_addr) == 1) {
        if (loopback_only && !IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr)) return refused(text);
        v6->sin6_family = AF_INET6;
        address.size = sizeof *v6;
        address.shown = "[" + text + "]";
        return address;
    }
    return no_address(text);
}

Result<std::vector<Address>> parse_addresses(const std::vector<std::string>& texts, bool loopback_only) {
    std::vector<Address> addresses;
    for (const auto& text : texts) {
        const auto names = text == "localhost" ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector{text};
        for (const auto& name : names) {
            auto address = parse_address(name, loopback_only);
            if (!address) return address.error();
            addresses.push_back(std::move(*address));
        }
    }
    return addresses;
}

/// The listening socket, or errno.
std::pair<Fd, int> bind_one(Address& address, int port) {
    Fd fd(socket(address.bytes.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return {Fd(), errno};
    const int on = 1;
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (address.is_v6()) setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    address.set_port(port);
    if (bind(fd.get(), address.get(), address.size) != 0) return {Fd(), errno};
    if (listen(fd.get(), pending_connections) != 0) return {Fd(), errno};
    return {std::move(fd), 0};
}

int port_of(int fd) {
    sockaddr_storage bytes{};
    socklen_t size = sizeof bytes;
    if (getsockname(fd, reinterpret_cast<sockaddr*>(&bytes), &size) != 0) return 0;
    return ntohs(bytes.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6*>(&bytes)->sin6_port
                                             : reinterpret_cast<sockaddr_in*>(&bytes)->sin_port);
}

Error bind_error(const Address& address, int port, int why) {
    const std::string where = address.shown + ":" + std::to_string(port);
    if (why == EADDRINUSE)
        return {Errc::conflict, "PORT_IN_USE", "another program listens on " + where + "; stop it or choose another port"};
    if (why == EACCES)
        return {Errc::invalid_argument, "PORT_REFUSED",
                "this user may not listen on " + where + "; choose a port above 1023"};
    return {Errc::unavailable, "LISTEN_FAILED", "cannot listen on " + where + ": " + std::generic_category().message(why)};
}

bool is_missing_family(int why) { return why == EADDRNOTAVAIL || why == EAFNOSUPPORT || why == EPROTONOSUPPORT; }

/// All on one port; with port 0 the first one chooses it. `taken` says that only another try can help.
Result<std::vector<Listener>> bind_all(std::vector<Address>& addresses, int port, bool& taken,
                                       std::vector<std::string>& left_out) {
    std::vector<Listener> listeners;
    int chosen = port;
    for (auto& address : addresses) {
        auto [fd, why] = bind_one(address, chosen);
        if (!fd && address.is_v6() && is_missing_family(why)) {
            left_out.push_back(address.shown);
            continue;
        }
        if (!fd) {
            taken = port == 0 && chosen != 0 && why == EADDRINUSE;
            return bind_error(address, chosen, why);
        }
        if (chosen == 0) chosen = port_of(fd.get());
        listeners.push_back({std::move(fd), "http://" + address.shown + ":" + std::to_string(chosen), {}});
    }
    if (listeners.empty())
        return Error{Errc::unavailable, "LISTEN_FAILED", "this machine has none of the addresses to listen on"};
    return listeners;
}

}  // namespace

Result<std::vector<Listener>> listen_all(const std::vector<std::string>& addresses, int port, unsigned socket_mode,
                                         bool loopback_only, const std::function<void(std::string_view)>& log) {
    if (port < 0 || port > 65'535)
        return Error{Errc::invalid_argument, "PORT_REFUSED", "the port must be a number from 0 to 65535"};
    if (addresses.empty()) return Error{Errc::invalid_argument, "ADDRESS_REFUSED", "no address to listen on was given"};
    std::vector<std::string> with_port, paths;
    for (const auto& address : addresses) {
        if (address.starts_with("unix:")) paths.push_back(address.substr(5));
        else with_port.push_back(address);
    }
    auto parsed = parse_addresses(with_port, loopback_only);
    if (!parsed) return std::move(parsed).error();
    std::vector<Listener> all;
    for (int attempt = 1; !parsed->empty(); ++attempt) {
        bool taken = false;
        std::vector<std::string> left_out;
        auto listeners = bind_all(*parsed, port, taken, left_out);
        if (!listeners && taken && attempt < port_tries) continue;
        if (!listeners) return std::move(listeners).error();
        if (log)
            for (const auto& address : left_out) log("http: this machine has no " + address + "; it is left out");
        all = std::move(*listeners);
        break;
    }
    for (const auto& path : paths) {
        auto listener = listen_unix(path, socket_mode);
        if (!listener) return std::move(listener).error();
        all.push_back(std::move(*listener));
    }
    return all;
}

}  // namespace jobruntime::http
