// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What becomes of a whole request: it is routed, and its answer is written.
#include <sys/sendfile.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <utility>

#include "http/front.hpp"
#include "http/gzip.hpp"

namespace jobruntime::http {
namespace {

/// A peer that takes less than this of its answer in Options::write_stall is let go: one byte now and then does not hold it.
constexpr std::size_t write_least = 64 << 10;
/// How long a closed connection may still deliver what it was sending: closing at once would reset it, and the
/// peer would lose the answer that says why.
constexpr std::chrono::seconds linger_time{2};
/// An answer of this size is sent however much is on its way.
constexpr std::size_t small_answer = 64 << 10;

std::size_t size_of(const Reply& reply) { return reply.head.size() + (reply.text ? reply.text->size() : 0); }

}  // namespace

void Front::route(std::uint64_t key, Connection& connection) {
    connection.phase = Phase::routing;
    auto request = std::make_shared<Request>(std::move(connection.reader.request()));
    request->remote = connection.sender;
    request->patience = stop_ ? Request::Patience::none : Request::Patience::some;
    const bool keep_alive = connection.reader.keep_alive() && !stop_;
    const bool http10 = connection.reader.is_http10();
    const bool followed = !connection.input.empty();
    hold(connection, request->body.size());
    // Without a thread's wake-up when nothing has to be waited for. What came behind it would make this a recursion.
    if (!followed)
        if (auto response = router_.answer_at_once(*request)) {
            const Wire wire{request->method == "HEAD", keep_alive, http10};
            if (auto reply = to_reply(std::move(*response), wire))
                return begin_writing(key, connection, within_memory(*request, wire, std::move(*reply)));
        }
    watch(key, connection, 0);
    if (submit(key, {.request = request, .keep_alive = keep_alive, .http10 = http10, .followed = followed})) return;
    auto refused = router_.refuse(*request, 503, "OVERLOADED", "Too many requests wait for an answer; try again");
    connection.reader.request().method = request->method;  // All of it has moved; this says whether a body may be sent.
    refuse(key, connection, std::move(refused));
}

/// False when no thread takes it.
bool Front::submit(std::uint64_t key, Routed routed) {
    Pool& pool = router_.is_prompt(*routed.request) ? prompt_ : pool_;
    const auto asked = std::make_shared<Asked>(std::move(routed), pool, RealClock::now() + options_.answer_patience);
    const bool taken = pool.submit([this, key, asked] {
        using Turn = Asked::Turn;
        auto turn = Turn::waiting;
        if (!asked->turn.compare_exchange_strong(turn, Turn::begun)) return;
        auto answer = make_answer(key, asked->routed);
        if (asked->turn.exchange(Turn::answered) == Turn::given_up) return asked->pool.one_came_back();
        std::lock_guard lock(mutex_);
        if (gone_) return;
        answers_.push_back(std::move(answer));
        loop_.ring();
    });
    if (taken) set_asked(key, *connections_.find(key)->second, asked);
    return taken;
}

/// Null: nothing of it is with a pool, or its answer has no deadline.
void Front::set_asked(std::uint64_t key, Connection& connection, std::shared_ptr<Asked> asked) {
    if (connection.asked) asked_.erase(connection.asked_at);
    connection.asked = std::move(asked);
    if (connection.asked) connection.asked_at = asked_.insert(asked_.end(), key);
}

void Front::give_up_late() {
    if (asked_.empty()) return;
    const auto now = RealClock::now();
    while (!asked_.empty()) {
        const auto key = asked_.front();
        Connection& connection = *connections_.find(key)->second;
        if (connection.asked->by > now) return;
        give_up(key, connection);
    }
}

/// The store keeps this one waiting: it is told so, and whatever comes of it goes nowhere.
void Front::give_up(std::uint64_t key, Connection& connection) {
    using Turn = Asked::Turn;
    const auto asked = connection.asked;
    const Routed& routed = asked->routed;
    set_asked(key, connection, nullptr);
    auto turn = Turn::waiting;
    const bool begun = !asked->turn.compare_exchange_strong(turn, Turn::given_up);
    if (turn == Turn::answered) return;
    // What nobody has begun with may have waited for others that are slow, not for the store.
    auto response = begun || asked->pool.hangs() ? router_.refuse_late(*routed.request, begun) : router_.answer_at_once(*routed.request);
    if (begun) {
        if (!response) return;  // It has other things to do than to wait for the store.
        if (asked->turn.exchange(Turn::given_up) == Turn::answered) return;
        asked->pool.one_hangs();
    } else if (!response) {
        response = router_.refuse(*routed.request, 503, "OVERLOADED", "Too many requests wait for an answer; try again");
    }
    if (routed.again) --asking_;  // Its answer would have said so.
    if (connection.peer_gone) return close(key);
    if (connection.parked) unpark(key, connection, false);
    begin_writing(key, connection,
                  *to_reply(std::move(*response), {routed.request->method == "HEAD", routed.keep_alive && !stop_, routed.http10}));
}

Response Front::no_file(const Request& request, int error) const {
    if (is_of_descriptors(error)) return router_.refuse(request, 503, "OVERLOADED", "Too many files are open; try again");
    return router_.refuse(request, 404, "NOT_FOUND", "The file is not there any more");
}

/// In a thread of the pool.
Front::Answer Front::make_answer(std::uint64_t key, const Routed& routed) try {
    const Request& request = *routed.request;
    auto response = router_.handle(request);
    const Wire wire{request.method == "HEAD", routed.keep_alive && (!stop_ || routed.followed), routed.http10};
    if (auto* later = std::get_if<Later>(&response.body)) return {key, routed, {}, std::move(*later)};
    compress(request, response);
    Answer answer{key, routed, {}, {}, response.status == 200};
    Places::Place place;
    if (std::holds_alternative<EventStream>(response.body) && !wire.head_only) place = stream_place(response, request);
    auto reply = to_reply(std::move(response), wire);
    if (!reply) reply = to_reply(no_file(request, errno), wire);
    answer.reply = std::move(*reply);
    answer.reply.place = std::move(place);
    return answer;
} catch (const std::bad_alloc&) {
    auto refused = router_.refuse(*routed.request, 503, "OVERLOADED", "The server is out of memory; try again");
    return {key, routed, *to_reply(std::move(refused), {.keep_alive = false}), {}};
}

/// A place for that stream, or for a request that waits; else `response` becomes the refusal.
Places::Place Front::stream_place(Response& response, const Request& request) {
    bool each = false;
    Places::Place place;
    if (!stop_) place = hub_.places().take(client_of(request.remote, options_.limit_own_machine), each);
    if (place) return place;
    if (stop_) response = router_.refuse(request, 503, "STOPPING", "The server stops; try again");
    else if (each)
        response = router_.refuse(request, 429, "CLIENT_LIMIT", "Too many event streams are open from your address, or requests wait");
    else response = router_.refuse(request, 503, "TOO_MANY_STREAMS", "All places of event streams and of requests that wait are taken; try again");
    for (auto& [name, value] : response.headers)
        if (name == "retry-after") value = "5";
    return place;
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
        if (answer.routed.again) --asking_;
        if (found == connections_.end()) continue;
        set_asked(answer.key, *found->second, nullptr);
        if (found->second->peer_gone) {
            close(answer.key);
            continue;
        }
        if (answer.later) {
            park(answer.key, *found->second, std::move(answer));
            continue;
        }
        if (found->second->parked) unpark(answer.key, *found->second, answer.good);
        if (answer.reply.stream) {
            loop_.remove(found->second->socket.get());
            hub_.add(std::move(found->second->socket), std::move(answer.reply.head), std::move(*answer.reply.stream),
                     std::move(answer.reply.place));
            close(answer.key);
        } else {
            const Wire wire{answer.routed.request->method == "HEAD", answer.reply.keep_alive, answer.routed.http10};
            begin_writing(answer.key, *found->second, within_memory(*answer.routed.request, wire, std::move(answer.reply)));
        }
    }
}

/// The reply, or, when too much is on its way already, a refusal. Not of a change: it is done, and has to be told.
Reply Front::within_memory(const Request& request, const Wire& wire, Reply reply) {
    const auto size = size_of(reply);
    if (size <= small_answer || answer_memory_ + size <= options_.max_answer_memory) return reply;
    if (request.method != "GET" && request.method != "HEAD") return reply;
    return *to_reply(router_.refuse(request, 503, "OVERLOADED", "Too many large answers are on their way; try again"), wire);
}

/// Keeps the sum of all answers. A text that several get counts for each.
void Front::hold_answer(Connection& connection, std::size_t bytes) {
    answer_memory_ = answer_memory_ - connection.answer_held + bytes;
    connection.answer_held = bytes;
}

void Front::begin_writing(std::uint64_t key, Connection& connection, Reply reply) {
    connection.phase = Phase::writing;
    set_asked(key, connection, nullptr);
    connection.reply = std::move(reply);
    connection.sent = 0;
    connection.file_ready = 0;
    connection.taken = 0;
    hold(connection, 0);
    hold_answer(connection, size_of(*connection.reply));
    connection.deadline = RealClock::now() + options_.write_stall;
    write(key, connection);
}

void Front::write(std::uint64_t key, Connection& connection) {
    Reply& reply = *connection.reply;
    const std::size_t text_size = reply.text ? reply.text->size() : 0;
    // A bound, so that one large file to a fast reader leaves time for the others.
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
            if (reply.file_at >= connection.file_ready && !bring_file(key, connection)) return;
            off_t at = reply.file_at;
            sent = sendfile(connection.socket.get(), reply.file->get(), &at, static_cast<std::size_t>(connection.file_ready - at));
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
        connection.deadline = RealClock::now() + options_.write_stall;
    }
    watch(key, connection, EPOLLOUT);
}

void Front::finish(std::uint64_t key, Connection& connection) {
    connection.begun = false;
    // When we stop, only the request that followed one whose answer did not say that it is the last.
    const bool keep_alive = connection.reply->keep_alive && !connection.answering_failure && (!stop_ || has_come(connection));
    connection.reply.reset();
    hold_answer(connection, 0);
    if (!keep_alive) return linger(key, connection);
    connection.phase = Phase::reading;
    connection.reader = RequestReader({options_.max_head, options_.max_body, 100});
    connection.deadline = read_by(options_.idle_timeout);
    if (connection.input.empty()) {
        set_idle(key, connection, true);
        return watch(key, connection, EPOLLIN);
    }
    advance(key, connection);  // The next request came with the last one.
}

void Front::linger(std::uint64_t key, Connection& connection) {
    connection.phase = Phase::lingering;
    connection.input = {};
    connection.deadline = RealClock::now() + linger_time;
    shutdown(connection.socket.get(), SHUT_WR);
    if (stop_) {
        drain(connection.socket);
        return close(key);
    }
    watch(key, connection, EPOLLIN);
}

}  // namespace jobruntime::http
