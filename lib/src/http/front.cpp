// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/front.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <utility>

namespace jobruntime::http {
namespace {

constexpr std::size_t read_size = 16 << 10;
/// A peer that takes less than this of its answer in this time is let go: one byte now and then does not hold it.
constexpr std::chrono::seconds write_stall{30};
constexpr std::size_t write_least = 64 << 10;
/// How long a closed connection may still deliver what it was sending: closing at once would reset it, and the
/// peer would lose the answer that says why.
constexpr std::chrono::seconds linger_time{2};
/// Refused connections that are told so at a time; more are closed without a word.
constexpr std::size_t most_refused = 64;
constexpr std::uint64_t first_connection_key = 1'000;
constexpr std::string_view go_on = "HTTP/1.1 100 Continue\r\n\r\n";

std::string name_of(const sockaddr_storage& peer) {
    char text[INET6_ADDRSTRLEN] = "";
    if (peer.ss_family == AF_INET6)
        inet_ntop(AF_INET6, &reinterpret_cast<const sockaddr_in6&>(peer).sin6_addr, text, sizeof text);
    else
        inet_ntop(AF_INET, &reinterpret_cast<const sockaddr_in&>(peer).sin_addr, text, sizeof text);
    return text;
}

}  // namespace

Front::Front(ApiRouter& router, Hub& hub, Pool& pool, Pool& prompt, const Options& options)
    : router_(router), hub_(hub), pool_(pool), prompt_(prompt), options_(options), next_key_(first_connection_key) {}

Front::~Front() { stop(Duration{0}); }

void Front::start(std::vector<Listener> listeners) {
    listeners_ = std::move(listeners);
    for (std::size_t i = 0; i < listeners_.size(); ++i)
        loop_.add(listeners_[i].socket.get(), EventLoop::bell_key + 1 + i, EPOLLIN);
    thread_ = std::thread([this] { run(); });
}

void Front::stop(Duration patience) {
    stop_by_ = (RealClock::now() + patience).time_since_epoch().count();
    stop_ = true;
    loop_.ring();
    if (thread_.joinable()) thread_.join();
}

void Front::run() {
    block_signals();
    std::array<epoll_event, 128> events;
    const auto tick = std::clamp(std::min(options_.head_timeout, options_.idle_timeout) / 4, Duration{10}, Duration{1'000});
    bool stopping = false;
    while (true) {
        if (stop_ && !std::exchange(stopping, true)) {
            for (auto& listener : listeners_) loop_.remove(listener.socket.get());
            listeners_.clear();
            close_quiet_ones();
        }
        const RealTime stop_by{RealTime::duration{stop_by_.load()}};
        if (stopping && (connections_.empty() || RealClock::now() >= stop_by)) break;
        std::optional<RealTime> until;
        if (!connections_.empty() || paused_) until = next_tick_;
        if (stopping) until = until ? std::min(*until, stop_by) : stop_by;
        const int count = loop_.wait(events.data(), static_cast<int>(events.size()), until);
        for (int i = 0; i < count; ++i) {
            const auto key = events[i].data.u64;
            if (key == EventLoop::bell_key) loop_.quiet();
            else if (key >= first_connection_key) on_socket(key, events[i].events);
            else if (key - 1 < listeners_.size()) accept_all(listeners_[key - 1]);
        }
        take_answers();
        const auto now = RealClock::now();
        if (now < next_tick_) continue;
        next_tick_ = now + tick;
        pause_listening(false);
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

void Front::accept_all(Listener& listener) {
    // A bound, so that a flood of connections does not starve those that are there.
    for (int i = 0; i < 64; ++i) {
        sockaddr_storage peer{};
        socklen_t size = sizeof peer;
        Fd socket(accept4(listener.socket.get(), reinterpret_cast<sockaddr*>(&peer), &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (!socket) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) pause_listening(true);
            return;
        }
        const bool refused = connections_.size() - refused_ >= static_cast<std::size_t>(options_.max_connections);
        if (!refused || refused_ < most_refused) adopt(std::move(socket), name_of(peer), refused);
    }
}

void Front::adopt(Fd socket, std::string remote, bool refused) {
    const int on = 1;
    setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const auto key = next_key_++;
    auto made = std::make_unique<Connection>(Connection{.socket = std::move(socket),
                                                        .remote = std::move(remote),
                                                        .reader = RequestReader({options_.max_head, options_.max_body, 100}),
                                                        .refused = refused,
                                                        .deadline = RealClock::now() + options_.head_timeout});
    if (!loop_.add(made->socket.get(), key, EPOLLIN)) return;
    made->interest = EPOLLIN;
    Connection& connection = *connections_.emplace(key, std::move(made)).first->second;
    if (!refused) return;
    ++refused_;
    refuse(key, connection, 503, "TOO_MANY_CONNECTIONS", "Too many connections are open; try again");
}

/// Out of descriptors, a listening socket would be readable for ever: it rests until the next tick.
void Front::pause_listening(bool pause) {
    if (paused_ == pause) return;
    paused_ = pause;
    if (pause && options_.log) options_.log("http: out of file descriptors; new connections wait");
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
    if (connection.phase == Phase::writing) return write(key, connection);
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) on_readable(key, connection);
}

void Front::on_readable(std::uint64_t key, Connection& connection) {
    std::array<char, read_size> bytes;
    const auto size = recv(connection.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (size <= 0) return close(key);
    if (connection.phase == Phase::lingering) return;  // Thrown away.
    connection.input.append(bytes.data(), static_cast<std::size_t>(size));
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
    if (state == RequestReader::State::done) return route(key, connection);
    const bool body_begins = !was_in_body && reader.in_body();
    if (!keep_reading(key, connection, body_begins)) return;
    // A head has its time from its first byte on, a body again.
    const bool first_byte = !std::exchange(connection.begun, true);
    if (first_byte || body_begins) connection.deadline = RealClock::now() + options_.head_timeout;
    if (reader.take_continue() &&
        send(connection.socket.get(), go_on.data(), go_on.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        return close(key);
    watch(key, connection, EPOLLIN);
}

/// Bodies cost memory: only those that may come are read, and not too many at once.
bool Front::keep_reading(std::uint64_t key, Connection& connection, bool body_begins) {
    Request& request = connection.reader.request();
    if (body_begins) {
        request.remote = connection.remote;
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

void Front::route(std::uint64_t key, Connection& connection) {
    connection.phase = Phase::routing;
    watch(key, connection, 0);
    auto request = std::make_shared<Request>(std::move(connection.reader.request()));
    request->remote = connection.remote;
    const bool keep_alive = connection.reader.keep_alive() && !stop_;
    const bool http10 = connection.reader.is_http10();
    hold(connection, request->body.size());
    Pool& pool = router_.is_prompt(*request) ? prompt_ : pool_;
    const bool taken = pool.submit([this, key, request, keep_alive, http10] {
        Answer answer{key, make_reply(*request, keep_alive, http10)};
        std::lock_guard lock(mutex_);
        if (gone_) return;
        answers_.push_back(std::move(answer));
        loop_.ring();
    });
    if (!taken) refuse(key, connection, 503, "OVERLOADED", "Too many requests wait for an answer; try again");
}

/// In a thread of the pool.
Reply Front::make_reply(const Request& request, bool keep_alive, bool http10) try {
    const Wire wire{request.method == "HEAD", keep_alive, http10};
    auto response = router_.handle(request);
    Places::Place place;
    if (std::holds_alternative<EventStream>(response.body) && !wire.head_only) {
        bool each = false;
        place = hub_.places().take("", each);
        if (!place) {
            response = router_.refuse(request, 503, "TOO_MANY_STREAMS", "All event streams are taken; try again");
            response.headers.emplace_back("retry-after", "5");
        }
    }
    if (auto reply = to_reply(std::move(response), wire)) {
        reply->place = std::move(place);
        return std::move(*reply);
    }
    return *to_reply(router_.refuse(request, 404, "NOT_FOUND", "The file is not there any more"), wire);
} catch (const std::bad_alloc&) {
    return *to_reply(router_.refuse(request, 503, "OVERLOADED", "The server is out of memory; try again"), {.keep_alive = false});
}

void Front::refuse(std::uint64_t key, Connection& connection, int status, std::string_view code, std::string_view message) {
    refuse(key, connection, router_.refuse(connection.reader.request(), status, code, message));
}

/// The connection ends with this answer: what comes after it is the rest of a request that nobody reads.
void Front::refuse(std::uint64_t key, Connection& connection, Response response) {
    const bool head_only = connection.reader.request().method == "HEAD";
    connection.answering_failure = true;
    connection.input = {};
    connection.reader.request().body = {};
    hold(connection, 0);
    auto reply = to_reply(std::move(response), {.head_only = head_only, .keep_alive = false});
    begin_writing(key, connection, std::move(*reply));
}

void Front::take_answers() {
    std::vector<Answer> answers;
    {
        std::lock_guard lock(mutex_);
        answers.swap(answers_);
    }
    for (auto& answer : answers) {
        const auto found = connections_.find(answer.key);
        if (found == connections_.end()) continue;
        if (found->second->peer_gone) {
            close(answer.key);
        } else if (answer.reply.stream) {
            loop_.remove(found->second->socket.get());
            hub_.add(std::move(found->second->socket), std::move(answer.reply.head), std::move(*answer.reply.stream),
                     std::move(answer.reply.place));
            close(answer.key);
        } else {
            begin_writing(answer.key, *found->second, std::move(answer.reply));
        }
    }
}

void Front::begin_writing(std::uint64_t key, Connection& connection, Reply reply) {
    connection.phase = Phase::writing;
    connection.reply = std::move(reply);
    connection.sent = 0;
    connection.taken = 0;
    hold(connection, 0);
    connection.deadline = RealClock::now() + write_stall;
    write(key, connection);
}

void Front::write(std::uint64_t key, Connection& connection) {
    Reply& reply = *connection.reply;
    const std::size_t text_size = reply.text ? reply.text->size() : 0;
    // A bound, so that one large file to a fast reader, or from a slow disk, leaves time for the others.
    for (int turns = 0; turns < 8; ++turns) {
        ssize_t sent = 0;
        if (connection.sent < reply.head.size() + text_size) {
            const std::size_t head_sent = std::min(connection.sent, reply.head.size());
            const std::size_t text_sent = connection.sent - head_sent;
            std::array<iovec, 2> parts{iovec{reply.head.data() + head_sent, reply.head.size() - head_sent},
                                       iovec{reply.text ? const_cast<char*>(reply.text->data()) + text_sent : nullptr,
                                             text_size - text_sent}};
            msghdr message{};
            message.msg_iov = parts.data();
            message.msg_iovlen = text_size > 0 ? 2 : 1;
            const int more = reply.file_left > 0 ? MSG_MORE : 0;
            sent = sendmsg(connection.socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT | more);
            if (sent > 0) connection.sent += static_cast<std::size_t>(sent);
        } else if (reply.file_left > 0) {
            off_t at = reply.file_at;
            sent = sendfile(connection.socket.get(), reply.file.get(), &at,
                            static_cast<std::size_t>(std::min<std::uint64_t>(reply.file_left, 256 << 10)));
            if (sent == 0) return close(key);  // The file was cut short: only a broken connection can say so.
            if (sent > 0) {
                reply.file_at = at;
                reply.file_left -= static_cast<std::uint64_t>(sent);
            }
        } else {
            return finish(key, connection);
        }
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0) return close(key);
        connection.taken += static_cast<std::size_t>(sent);
        if (connection.taken < write_least) continue;
        connection.taken = 0;
        connection.deadline = RealClock::now() + write_stall;
    }
    watch(key, connection, EPOLLOUT);
}

void Front::finish(std::uint64_t key, Connection& connection) {
    const bool keep_alive = connection.reply->keep_alive && !connection.answering_failure && !stop_;
    connection.reply.reset();
    if (!keep_alive) return linger(key, connection);
    connection.phase = Phase::reading;
    connection.reader = RequestReader({options_.max_head, options_.max_body, 100});
    connection.deadline = RealClock::now() + options_.idle_timeout;
    connection.begun = false;
    if (connection.input.empty()) return watch(key, connection, EPOLLIN);
    advance(key, connection);  // The next request came with the last one.
}

void Front::linger(std::uint64_t key, Connection& connection) {
    connection.phase = Phase::lingering;
    connection.input = {};
    connection.deadline = RealClock::now() + linger_time;
    shutdown(connection.socket.get(), SHUT_WR);
    if (stop_) return close(key);
    watch(key, connection, EPOLLIN);
}

void Front::watch(std::uint64_t key, Connection& connection, std::uint32_t events) {
    if (connection.interest == events) return;
    connection.interest = events;
    loop_.change(connection.socket.get(), key, events);
}

void Front::enforce_deadlines() {
    const auto now = RealClock::now();
    std::vector<std::uint64_t> late;
    for (const auto& [key, connection] : connections_)
        if (connection->phase != Phase::routing && now >= connection->deadline) late.push_back(key);
    for (const auto key : late) {
        Connection& connection = *connections_.find(key)->second;
        if (connection.phase == Phase::reading && connection.begun)
            refuse(key, connection, 408, "REQUEST_TIMEOUT", "The request did not arrive in time");
        else
            close(key);
    }
}

void Front::close(std::uint64_t key) {
    const auto found = connections_.find(key);
    if (found == connections_.end()) return;
    hold(*found->second, 0);
    if (found->second->refused) --refused_;
    connections_.erase(found);
}

void Front::close_quiet_ones() {
    std::vector<std::uint64_t> quiet;
    for (const auto& [key, connection] : connections_)
        if (connection->phase == Phase::reading || connection->phase == Phase::lingering) quiet.push_back(key);
    for (const auto key : quiet) close(key);
}

}  // namespace jobruntime::http
