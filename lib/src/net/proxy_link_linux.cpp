// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "net/proxy_loop_linux.hpp"

// What one link does: a head, a name, an address, then bytes both ways.
namespace jobruntime::net {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t max_head = std::size_t{64} << 10;
constexpr std::size_t buffer_size = std::size_t{64} << 10;
/// How long the other half of a tunnel may go on when one has ended.
constexpr std::chrono::seconds half_open{10};
/// An address that does not answer must leave time for the next one.
constexpr std::chrono::milliseconds next_address{3000};

socklen_t size_of(const sockaddr_storage& address) {
    return address.ss_family == AF_INET6 ? sizeof(sockaddr_in6) : sizeof(sockaddr_in);
}

void set_port(sockaddr_storage& address, std::uint16_t port) {
    if (address.ss_family == AF_INET6)
        reinterpret_cast<sockaddr_in6&>(address).sin6_port = htons(port);
    else
        reinterpret_cast<sockaddr_in&>(address).sin_port = htons(port);
}

/// Bytes that came; 0 at the end of file; nothing when there is nothing now; an error counts as the end.
std::optional<std::size_t> receive(int fd, std::string& into, std::size_t most) {
    char chunk[16 * 1024];
    const auto got = ::recv(fd, chunk, std::min(most, sizeof chunk), MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    if (got <= 0) return 0;
    into.append(chunk, static_cast<std::size_t>(got));
    return static_cast<std::size_t>(got);
}

}  // namespace

/// Keys are the link's id and its side: ids begin at 1, so that 0 and 1 are others'.
void Proxy::Loop::set_interest(Link& link, bool client, std::uint32_t events) {
    auto& fd = client ? link.client : link.server;
    auto& known = client ? link.client_wants : link.server_wants;
    if (!fd || events == known) return;
    epoll_event event{};
    event.events = events;
    event.data.u64 = link.id << 1 | (client ? 0u : 1u);
    // A descriptor that nothing is wanted of is taken out: a hang-up is reported whether wanted or not.
    const int what = known == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    if (::epoll_ctl(epoll_.get(), what, fd.get(), &event) != 0) link.dead = true;
    known = events;
}

void Proxy::Loop::want(Link& link) {
    if (link.dead) return;
    std::uint32_t client = 0;
    std::uint32_t server = 0;
    switch (link.state) {
        case Link::State::head: client = EPOLLIN; break;
        case Link::State::name: client = EPOLLRDHUP; break;
        case Link::State::dial:
            client = EPOLLRDHUP;
            server = EPOLLOUT;
            break;
        case Link::State::relay: {
            const bool more = link.request.tunnel || link.body_left > 0;
            if (!link.client_ended && more && link.to_server.size() < buffer_size) client |= EPOLLIN;
            if (!more) client |= EPOLLRDHUP;
            if (!link.to_client.empty()) client |= EPOLLOUT;
            if (!link.server_ended && link.to_client.size() < buffer_size) server |= EPOLLIN;
            if (!link.to_server.empty()) server |= EPOLLOUT;
            break;
        }
        case Link::State::farewell: client = link.to_client.empty() ? EPOLLIN : EPOLLOUT; break;
    }
    set_interest(link, true, client);
    set_interest(link, false, server);
}

void Proxy::Loop::serve(std::uint64_t key, std::uint32_t events) {
    const auto found = links_.find(key >> 1);
    if (found == links_.end() || found->second.dead) return;
    auto& link = found->second;
    const bool client = (key & 1) == 0;
    switch (link.state) {
        case Link::State::head: read_head(link); break;
        case Link::State::name: link.dead = true; break;  // Only a client that left is heard here.
        case Link::State::dial:
            if (client)
                link.dead = true;
            else
                on_dialled(link);
            break;
        case Link::State::relay:
            if (client && !link.request.tunnel && link.body_left == 0 && (events & (EPOLLRDHUP | EPOLLHUP)) != 0)
                link.dead = true;  // The answer is of no use any more.
            else if (client && (events & (EPOLLIN | EPOLLRDHUP)) != 0)
                read_client(link);
            else if (!client && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
                read_server(link);
            relay(link);
            break;
        case Link::State::farewell: farewell(link); break;
    }
    want(link);
}

void Proxy::Loop::touch(Link& link) {
    const auto time = link.client_ended || link.server_ended
                          ? std::min<std::chrono::milliseconds>(half_open, options_.idle_timeout)
                          : options_.idle_timeout;
    link.deadline = steady_clock::now() + time;
}

void Proxy::Loop::read_head(Link& link) {
    const auto got = receive(link.client.get(), link.input, max_head);
    if (!got) return;
    if (*got == 0) {
        link.dead = true;
        return;
    }
    const auto size = head_size(link.input);
    if (size != 0 && size <= max_head) return on_head(link, size);
    if (link.input.size() > max_head) answer(link, 431, "Request Header Fields Too Large");
}

bool Proxy::Loop::authorized(std::string_view credential) const {
    if (credential.size() != expected_.size()) return false;
    unsigned differ = 0;  // In constant time: it is a secret that anybody on this machine may guess at.
    for (std::size_t i = 0; i < credential.size(); ++i)
        differ |= static_cast<unsigned char>(credential[i]) ^ static_cast<unsigned char>(expected_[i]);
    return differ == 0;
}

void Proxy::Loop::on_head(Link& link, std::size_t size) {
    auto& request = link.request;
    request = read_request(std::string_view(link.input).substr(0, size));
    link.input.erase(0, size);
    if (!authorized(request.credential)) {
        {
            const std::lock_guard lock(mutex_);
            ++stats_.unauthorized;
        }
        return answer(link, 407, "Proxy Authentication Required",
                      "Proxy-Authenticate: Basic realm=\"jobruntime\"\r\n");
    }
    if (request.refusal != 0) return answer(link, request.refusal, "Not a request for this proxy");
    const bool check = !request.tunnel && "http://" + request.to.str() + request.target == check_url;
    {
        const std::lock_guard lock(mutex_);
        ++(check ? stats_.checks : request.tunnel ? stats_.tunnels : stats_.requests);
    }
    if (check) return answer(link, 204, "No Content");
    if (options_.closed)
        return refuse(link, 502, "Bad Gateway", {Errc::unavailable, "NETWORK", "there is no network here"});
    ask_name(link);
}

void Proxy::Loop::on_addresses(Link& link, const Addresses& addresses) {
    const auto& to = link.request.to;
    std::optional<Error> denial;
    link.addresses.clear();
    for (auto address : addresses) {
        set_port(address, to.port);
        auto allowed = vet(reinterpret_cast<const sockaddr&>(address), options_.allow_nets);
        if (allowed && to.port == port && address.ss_family == AF_INET &&
            reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr == htonl(INADDR_LOOPBACK))
            allowed = Error{Errc::invalid_argument, "SSRF_BLOCKED", "the address guard does not ask itself"};
        if (allowed)
            link.addresses.push_back(address);
        else
            denial = std::move(allowed).error();
    }
    if (!link.addresses.empty()) return dial_next(link);
    if (denial) {
        denial->message = to.host + " is not asked: " + denial->message;
        return refuse(link, 403, "Forbidden", *std::move(denial));
    }
    refuse(link, 502, "Bad Gateway",
           {Errc::unavailable, "NETWORK",
            "the host name " + to.host + " is not known; check the URL and the machine's DNS"});
}

void Proxy::Loop::dial_next(Link& link) {
    link.state = Link::State::dial;
    int failed = 0;
    while (!link.addresses.empty()) {
        set_interest(link, false, 0);
        const auto address = link.addresses.front();
        link.addresses.erase(link.addresses.begin());
        link.server = Fd(::socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        if (!link.server) {
            failed = errno;
            continue;
        }
        const int on = 1;
        ::setsockopt(link.server.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const auto time = link.addresses.empty() ? options_.connect_timeout
                                                 : std::min(options_.connect_timeout, next_address);
        link.deadline = steady_clock::now() + time;
        if (::connect(link.server.get(), reinterpret_cast<const sockaddr*>(&address), size_of(address)) == 0)
            return on_connected(link);
        if (errno == EINPROGRESS) return want(link);
        failed = errno;
    }
    const bool late = failed == 0;
    const auto& to = link.request.to;
    refuse(link, late ? 504 : 502, late ? "Gateway Timeout" : "Bad Gateway",
           {late ? Errc::timed_out : Errc::unavailable, "NETWORK",
            "the server " + to.str() + " does not answer" +
                (late ? std::string() : std::string(" (") + std::strerror(failed) + ")") + "; try again later"});
}

void Proxy::Loop::on_dialled(Link& link) {
    int failed = 0;
    socklen_t size = sizeof failed;
    if (::getsockopt(link.server.get(), SOL_SOCKET, SO_ERROR, &failed, &size) != 0) failed = errno;
    if (failed == 0) return on_connected(link);
    if (!link.addresses.empty()) return dial_next(link);
    refuse(link, 502, "Bad Gateway",
           {Errc::unavailable, "NETWORK",
            "the server " + link.request.to.str() + " does not answer (" + std::strerror(failed) +
                "); try again later"});
}

void Proxy::Loop::on_connected(Link& link) {
    note_reached(link.request.to);
    link.state = Link::State::relay;
    if (link.request.tunnel) {
        link.to_client = "HTTP/1.1 200 Connection established\r\n\r\n";
        link.to_server = std::move(link.input);
    } else {
        link.body_left = link.request.body;
        const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(link.body_left, link.input.size()));
        link.to_server = std::move(link.request.head) + link.input.substr(0, size);
        link.body_left -= size;
    }
    link.input.clear();
    touch(link);
    relay(link);
    want(link);
}

void Proxy::Loop::read_client(Link& link) {
    auto most = buffer_size - std::min(buffer_size, link.to_server.size());
    if (!link.request.tunnel) most = static_cast<std::size_t>(std::min<std::uint64_t>(most, link.body_left));
    if (most == 0 || link.client_ended) return;
    const auto got = receive(link.client.get(), link.to_server, most);
    if (!got) return;
    link.client_ended = *got == 0;
    if (!link.request.tunnel) {
        link.body_left -= *got;
        if (link.client_ended) link.dead = true;  // Half a request.
    }
    touch(link);
}

void Proxy::Loop::read_server(Link& link) {
    const auto most = buffer_size - std::min(buffer_size, link.to_client.size());
    if (most == 0 || link.server_ended) return;
    std::string bytes;
    const auto got = receive(link.server.get(), bytes, most);
    if (!got) return;
    link.server_ended = *got == 0;
    if (link.request.tunnel || link.answer_begun)
        link.to_client += bytes;
    else if (!take_answer(link, bytes) || (link.server_ended && !link.answer_begun))
        return refuse(link, 502, "Bad Gateway",
                      {Errc::unavailable, "NETWORK",
                       "the server " + link.request.to.str() + " gave no answer of HTTP; try again later"});
    touch(link);
}

bool Proxy::Loop::take_answer(Link& link, std::string_view bytes) {
    link.answer_head += bytes;
    while (!link.answer_begun) {
        const auto size = head_size(link.answer_head);
        if (size == 0) return link.answer_head.size() <= max_head;
        const auto head = rewrite_response(std::string_view(link.answer_head).substr(0, size));
        if (!head) return false;
        link.answer_head.erase(0, size);
        link.answer_begun = !head->empty();
        link.to_client += *head;
    }
    link.to_client += std::exchange(link.answer_head, {});
    return true;
}

void Proxy::Loop::flush(Link& link, Fd& fd, std::string& bytes) {
    while (!bytes.empty()) {
        const auto sent = ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) return;
        if (sent <= 0) {
            link.dead = true;
            return;
        }
        bytes.erase(0, static_cast<std::size_t>(sent));
        touch(link);
    }
}

void Proxy::Loop::relay(Link& link) {
    if (link.dead || link.state != Link::State::relay) return;
    flush(link, link.client, link.to_client);
    if (!link.dead) flush(link, link.server, link.to_server);
    if (link.dead) return;
    if (link.server_ended && link.to_client.empty() && !link.request.tunnel) {
        set_interest(link, false, 0);
        link.server.reset();
        link.state = Link::State::farewell;
        return farewell(link);
    }
    if (link.server_ended && link.to_client.empty() && !std::exchange(link.told_client, true))
        ::shutdown(link.client.get(), SHUT_WR);
    if (link.client_ended && link.to_server.empty() && !std::exchange(link.told_server, true))
        ::shutdown(link.server.get(), SHUT_WR);
    if (link.told_client && link.told_server) link.dead = true;
}

void Proxy::Loop::answer(Link& link, int status, std::string_view reason, std::string_view headers) {
    set_interest(link, false, 0);
    link.server.reset();
    link.to_client = "HTTP/1.1 " + std::to_string(status) + " " + std::string(reason) + "\r\n" +
                     std::string(headers) + (status == 204 ? "" : "Content-Length: 0\r\n") +
                     "Connection: close\r\n\r\n";
    link.state = Link::State::farewell;
    link.deadline = steady_clock::now() + options_.head_timeout;
    farewell(link);
    want(link);
}

void Proxy::Loop::refuse(Link& link, int status, std::string_view reason, Error why) {
    note_trouble(link.request.to, std::move(why));
    answer(link, status, reason);
}

/// Sends what is left and then waits, shortly, for the client to close first: what it still sends would
/// otherwise make the kernel take the answer back.
void Proxy::Loop::farewell(Link& link) {
    if (!link.to_client.empty()) {
        flush(link, link.client, link.to_client);
        if (link.dead || !link.to_client.empty()) return;
    }
    if (!std::exchange(link.said_goodbye, true)) {
        ::shutdown(link.client.get(), SHUT_WR);
        link.deadline = steady_clock::now() + std::chrono::seconds(1);
    }
    const auto got = receive(link.client.get(), link.input, buffer_size);
    link.input.clear();
    if (got && *got == 0) link.dead = true;
}

}  // namespace jobruntime::net
