// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/front.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "core/failpoint.hpp"

namespace jobruntime::http {
namespace {

constexpr std::size_t read_size = 16 << 10;
/// Refused connections that are told so at a time; more are closed without a word.
constexpr std::size_t most_refused = 64;
constexpr std::uint64_t first_connection_key = 1'000;
/// How often deadlines are looked at when we stop: nobody's may hold that up for long.
constexpr Duration stopping_tick{50};
/// Whoever is held up again and again is told so in the end.
constexpr int most_forgiven = 3;
/// Who all together are to the bucket that they share.
const std::string everybody = "all";
constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";

std::string name_of(const sockaddr_storage& peer) {
    if (peer.ss_family == AF_UNIX) return std::string(unix_peer);
    char text[INET6_ADDRSTRLEN] = "";
    if (peer.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr, text, sizeof text);
    else
        inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(peer).sin_addr, text, sizeof text);
    return text;
}

/// Whoever comes next; without him, errno says why.
Fd accept_next(const Fd& listener, sockaddr_storage& peer) {
    if (JOBRT_FAILPOINT("http.accept")) return {};  // Which sets errno.
    socklen_t size = sizeof peer;
    return Fd(accept4(listener.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
}

bool somebody_waits(const Fd& listener) {
    pollfd door{listener.get(), POLLIN, 0};
    return poll(&door, 1, 0) > 0;
}

/// Errors of accept() that are about one who has left, or about nobody; accept(2) has those of the network among them.
bool is_of_one(int error) {
    constexpr std::array of_one{EINTR,     ECONNABORTED, EPROTO,     ENETDOWN,    ENETUNREACH,
                                EHOSTDOWN, EHOSTUNREACH, EOPNOTSUPP, ENOPROTOOPT, ENONET};
    return std::ranges::find(of_one, error) != of_one.end();
}

}  // namespace

Front::Front(ApiRouter& router, Store& store, Hub& hub, Pool& pool, Pool& prompt, Pool& disk, const Options& options)
    : router_(router), hub_(hub), pool_(pool), prompt_(prompt), disk_(disk), options_(options), next_key_(first_connection_key),
      waiters_(store, options, [this](std::vector<Waiters::Call> calls) {
          {
              std::lock_guard lock(mutex_);
              calls_.insert(calls_.end(), calls.begin(), calls.end());
          }
          loop_.ring();
      }) {}

Front::~Front() {
    begin_stop(Duration{0});
    join();
}

void Front::start(std::vector<Listener> listeners) {
    listeners_ = std::move(listeners);
    for (std::size_t i = 0; i < listeners_.size(); ++i)
        loop_.add(listeners_[i].socket.get(), EventLoop::bell_key + 1 + i, EPOLLIN);
    waiters_.start();
    thread_ = std::thread([this] { run(); });
}

void Front::set_limits(const Limits& limits, PeerNets proxies) {
    hub_.places().set_limits(limits.streams, limits.client_streams);
    {
        std::lock_guard lock(mutex_);
        new_limits_ = {limits, std::move(proxies)};
    }
    loop_.ring();
}

void Front::take_limits() {
    std::lock_guard lock(mutex_);
    if (!new_limits_) return;
    limits_ = std::move(new_limits_->first);
    proxies_ = std::move(new_limits_->second);
    rate_.set_rate(limits_.client_rate);
    whole_rate_.set_rate(limits_.rate);
    new_limits_.reset();
}

void Front::run() {
    block_signals();
    std::array<epoll_event, 128> events;
    const auto tick = std::clamp(std::min({options_.head_timeout, options_.idle_timeout, options_.write_stall}) / 4, Duration{10}, Duration{1'000});
    take_limits();
    auto looked = RealClock::now();
    const auto look = [&](bool ticks) {
        const auto now = RealClock::now();
        if (ticks && now - looked > 2 * tick) forgive(4 * tick);
        return looked = now;
    };
    while (true) {
        if (stop_ && !stopping_) part();
        submit_parked();
        const RealTime stop_by{RealTime::duration{stop_by_.load()}};
        if (stopping_ && (connections_.empty() || RealClock::now() >= stop_by)) break;
        std::optional<RealTime> until;
        const bool ticks = !connections_.empty() || paused_ || starved_;
        if (ticks) until = next_tick_;
        if (!asked_.empty()) until = std::min(*until, connections_.find(asked_.front())->second->asked->by);
        if (stopping_) until = until ? std::min(*until, stop_by) : stop_by;
        const int count = loop_.wait(events.data(), static_cast<int>(events.size()), until);
        look(ticks);
        for (int i = 0; i < count; ++i) {
            const auto key = events[i].data.u64;
            if (key == EventLoop::bell_key) loop_.quiet();
            else if (key >= first_connection_key) on_socket(key, events[i].events);
            else if (key - 1 < listeners_.size()) accept_some(listeners_[key - 1]);
        }
        take_limits();
        take_answers();
        take_calls();
        take_brought();
        const auto now = look(true);
        give_up_late();
        if (now < next_tick_) continue;
        next_tick_ = now + (stopping_ ? std::min(tick, stopping_tick) : tick);
        rate_.tidy(now);
        starved_ = starved_ && paused_;
        pause_listening(0);
        enforce_deadlines();
    }
    std::vector<Answer> late;
    {
        std::lock_guard lock(mutex_);
        gone_ = true;
        late.swap(answers_);
    }
    connections_.clear();
}

/// False when nobody waits any more.
bool Front::accept_some(Listener& listener) {
    // A bound, so that a flood of connections does not starve those that are there.
    bool evicted = false;
    for (int i = 0; i < 64; ++i) {
        sockaddr_storage peer{};
        Fd socket = accept_next(listener.socket, peer);
        if (!socket) {
            const int error = errno;
            if (is_of_one(error)) continue;  // Somebody may wait behind it.
            // Where there are no descriptors the system says so before it looks whether anybody is there.
            if (error == EAGAIN || !somebody_waits(listener.socket)) return false;
            // The longest idle one goes for him; only one, as others may be quicker to take what that frees.
            if (is_of_descriptors(error) && !evicted && (evicted = evict_idle())) continue;
            pause_listening(error);
            return false;
        }
        evicted = false;
        auto remote = name_of(peer);
        auto client = client_of(remote, options_.limit_own_machine);
        if (!client.empty() && proxies_.contains(remote)) client.clear();  // It speaks for many.
        const auto refused = make_room(client);
        if (refused == Refused::no || refused_ < most_refused)
            adopt(std::move(socket), std::move(remote), std::move(client), refused);
    }
    return true;
}

/// Whether one more may come; when all places are taken, the longest idle one goes for it.
Front::Refused Front::make_room(const std::string& client) {
    if (!client.empty()) {
        const auto its = by_client_.find(client);
        if (its != by_client_.end() && its->second >= limits_.client_connections) return Refused::by_client;
    }
    if (connections_.size() - refused_ - parked_ < static_cast<std::size_t>(limits_.connections)) return Refused::no;
    return evict_idle() ? Refused::no : Refused::by_all;
}

bool Front::evict_idle() {
    int tries = 0;
    for (const auto key : idle_) {
        if (++tries > 16) return false;
        Connection& connection = *connections_.find(key)->second;
        if (has_come(connection)) continue;
        close(key);
        return true;
    }
    return false;
}

void Front::adopt(Fd socket, std::string remote, std::string client, Refused refused) {
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // Fails on a Unix socket, which needs none.
    const auto key = next_key_++;
    auto made = std::make_unique<Connection>(Connection{.socket = std::move(socket),
                                                        .remote = std::move(remote),
                                                        .client = std::move(client),
                                                        .reader = RequestReader({options_.max_head, options_.max_body, 100}),
                                                        .refused = refused != Refused::no,
                                                        .deadline = RealClock::now() + options_.head_timeout});
    if (!loop_.add(made->socket.get(), key, EPOLLIN)) return;
    made->interest = EPOLLIN;
    Connection& connection = *connections_.emplace(key, std::move(made)).first->second;
    count_client(connection, 1);
    if (refused == Refused::no) return set_idle(key, connection, true);
    ++refused_;
    if (refused == Refused::by_client)
        refuse(key, connection, 429, "CLIENT_LIMIT", "Too many connections are open from your address; use them again");
    else
        refuse(key, connection, 503, "TOO_MANY_CONNECTIONS", "Too many connections are open; try again");
}

void Front::set_idle(std::uint64_t key, Connection& connection, bool idle) {
    if (connection.idle == idle) return;
    connection.idle = idle;
    if (idle) connection.idle_at = idle_.insert(idle_.end(), key);
    else idle_.erase(connection.idle_at);
}

/// What nobody can be taken for, such as no descriptors, leaves a listening socket readable for ever: it rests until the next tick.
void Front::pause_listening(int error) {
    const bool pause = error != 0;
    if (paused_ == pause) return;
    paused_ = pause;
    // Once, however long that lasts.
    if (pause && !std::exchange(starved_, true) && options_.log)
        options_.log("http: " + (is_of_descriptors(error) ? "out of file descriptors" : std::generic_category().message(error)) +
                     "; new connections wait");
    for (std::size_t i = 0; i < listeners_.size(); ++i)
        loop_.change(listeners_[i].socket.get(), EventLoop::bell_key + 1 + i, pause ? 0u : static_cast<std::uint32_t>(EPOLLIN));
}

void Front::on_socket(std::uint64_t key, std::uint32_t events) {
    const auto found = connections_.find(key);
    if (found == connections_.end()) return;
    Connection& connection = *found->second;
    if (connection.phase == Phase::routing) {
        // Only an error or a full close is reported now; the answer has nobody to go to.
        connection.peer_gone = true;
        loop_.remove(connection.socket.get());
        return;
    }
    // Nothing is asked for while a part of a file is brought, so that this says that the peer is gone.
    if (connection.bringing) return close(key);
    if (connection.phase == Phase::writing) return write(key, connection);
    if (connection.phase == Phase::waiting) return left_waiting(key, connection);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(key, connection);
}

void Front::on_readable(std::uint64_t key, Connection& connection) {
    std::array<char, read_size> bytes;
    const auto size = recv(connection.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) return close(key);
    if (connection.phase == Phase::lingering) return;  // Thrown away.
    connection.input.append(bytes.data(), static_cast<std::size_t>(size));
    set_idle(key, connection, false);
    advance(key, connection);
}

/// Reads on in what has come.
void Front::advance(std::uint64_t key, Connection& connection) {
    RequestReader& reader = connection.reader;
    const bool was_in_body = reader.in_body();
    const auto state = reader.read(connection.input);
    if (state == RequestReader::State::failed) {
        const auto& failure = reader.failure();
        return refuse(key, connection, failure.status, failure.code, failure.message);
    }
    if (state == RequestReader::State::done) {
        if (was_in_body || admit(key, connection)) route(key, connection);
        return;
    }
    const bool body_begins = !was_in_body && reader.in_body();
    if (!keep_reading(key, connection, body_begins)) return;
    // A head has its time from its first byte on, a body again.
    const bool first_byte = !std::exchange(connection.begun, true);
    if (first_byte || body_begins) connection.deadline = read_by(options_.head_timeout);
    if (reader.take_continue() &&
        send(connection.socket.get(), go_on.data(), go_on.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return close(key);
    watch(key, connection, EPOLLIN);
}

/// Finds out who sends this request, and whether he, or all, have sent too many. Health is for everybody, always: whoever watches us
/// must not lose us in another's flood.
bool Front::admit(std::uint64_t key, Connection& connection) {
    Request& request = connection.reader.request();
    connection.sender = sender_of(request, connection.remote, proxies_);
    if (router_.is_prompt(request)) return true;
    const auto now = RealClock::now();
    int wait = rate_.take(client_of(connection.sender, options_.limit_own_machine), now);
    const bool of_client = wait > 0;
    // Asked last: whoever sends too many takes no share of what is there for all.
    if (!of_client) wait = whole_rate_.take(everybody, now);
    if (wait == 0) return true;
    auto response = of_client ? router_.refuse(request, 429, "RATE_LIMITED", "Too many requests came from your address; slow down")
                              : router_.refuse(request, 503, "OVERLOADED", "Too many requests come from all together; try again");
    for (auto& [name, value] : response.headers)
        if (name == "retry-after") value = std::to_string(wait);
    refuse(key, connection, std::move(response));
    return false;
}

/// Bodies cost memory: only those that may come are read, and not too many at once.
bool Front::keep_reading(std::uint64_t key, Connection& connection, bool body_begins) {
    Request& request = connection.reader.request();
    if (body_begins) {
        if (!admit(key, connection)) return false;
        request.remote = connection.sender;
        if (auto refused = router_.refuse_early(request)) {
            refuse(key, connection, std::move(*refused));
            return false;
        }
    }
    hold(connection, request.body.size());
    if (body_memory_ <= options_.max_body_memory) return true;
    refuse(key, connection, 503, "OVERLOADED", "Too many requests with a body are on their way; try again");
    return false;
}

/// Keeps the sum of all bodies.
void Front::hold(Connection& connection, std::size_t bytes) {
    body_memory_ = body_memory_ - connection.body_held + bytes;
    connection.body_held = bytes;
}

void Front::watch(std::uint64_t key, Connection& connection, std::uint32_t events) {
    if (connection.interest == events) return;
    connection.interest = events;
    loop_.change(connection.socket.get(), key, events);
}

/// For long nobody has looked, because something held up this thread or froze the process. What came meanwhile may not have been read
/// yet, nor has what others of this process do had its time, and nobody is late by that.
void Front::forgive(Duration at_least) {
    const auto now = RealClock::now();
    for (const auto& [key, connection] : connections_) {
        const bool reading = connection->phase == Phase::reading;
        connection->deadline = std::max(connection->deadline, reading ? read_by(at_least) : now + at_least);
        if (const auto& asked = connection->asked; asked && asked->forgiven < most_forgiven) {
            ++asked->forgiven;
            asked->by = std::max(asked->by, now + options_.answer_patience);
        }
    }
}

void Front::enforce_deadlines() {
    const auto now = RealClock::now();
    std::vector<std::uint64_t> late;
    for (const auto& [key, connection] : connections_)
        if (connection->phase != Phase::routing && now >= connection->deadline) late.push_back(key);
    for (const auto key : late) {
        Connection& connection = *connections_.find(key)->second;
        if (connection.parked) ask_again(key, *connection.parked, true);
        else if (connection.phase == Phase::reading && connection.begun)
            refuse(key, connection, 408, "REQUEST_TIMEOUT", "The request did not arrive in time");
        else
            close(key);
    }
}

void Front::close(std::uint64_t key) {
    const auto found = connections_.find(key);
    if (found == connections_.end()) return;
    Connection& connection = *found->second;
    hold(connection, 0);
    hold_answer(connection, 0);
    set_idle(key, connection, false);
    set_asked(key, connection, nullptr);
    if (connection.refused) --refused_;
    if (connection.parked) unpark(key, connection, false);
    count_client(connection, -1);
    connections_.erase(found);
}

void Front::count_client(const Connection& connection, int by) {
    if (connection.client.empty()) return;
    const auto its = by_client_.try_emplace(connection.client, 0).first;
    its->second += by;
    if (its->second == 0) by_client_.erase(its);
}

}  // namespace jobruntime::http
