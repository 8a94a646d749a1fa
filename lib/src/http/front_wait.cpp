// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Requests that wait for their answer (Later): they keep their connection and a place of the streams, and no thread.
#include <algorithm>
#include <utility>

#include "http/front.hpp"

namespace jobruntime::http {
namespace {

/// So late the front itself asks for those whose patience is over: who calls them may be held up by the store.
constexpr std::chrono::milliseconds overdue{500};

}  // namespace

void Front::park(std::uint64_t key, Connection& connection, Answer answer) {
    if (connection.parked) {
        connection.parked->asked = false;
        // Nobody may have told so while it was asked.
        if (stop_ || connection.parked->last) return ask_again(key, *connection.parked, true);
        return waiters_.go_on(key, std::move(*answer.later));
    }
    auto refused = Response{};
    auto place = stream_place(refused, *answer.routed.request);
    if (!place && (stop_ || !answer.later->job)) {
        // Its answer says when to ask again, or whoever asked will not find us any more.
        answer.routed.request->patience = Request::Patience::none;
        if (submit(key, answer.routed)) return;
        refused = router_.refuse(*answer.routed.request, 503, "OVERLOADED", "Too many requests wait for an answer; try again");
    }
    if (!place) {
        const Wire wire{answer.routed.request->method == "HEAD", answer.routed.keep_alive, answer.routed.http10};
        return begin_writing(key, connection, *to_reply(std::move(refused), wire));
    }
    connection.phase = Phase::waiting;
    connection.parked = std::make_unique<Parked>(Parked{std::move(answer.routed), std::move(place)});
    connection.parked->routed.again = true;
    ++parked_;
    count_client(connection, -1);
    connection.deadline = RealClock::now() + answer.later->patience + overdue;
    watch(key, connection, EPOLLRDHUP);
    connection.parked->turn = waiters_.add(key, std::move(*answer.later));
}

void Front::unpark(std::uint64_t key, Connection& connection, bool served) {
    waiters_.remove(key, served);
    connection.parked.reset();
    --parked_;
    count_client(connection, 1);
}

/// The client of a request that waits has left. One that no thread has begun with is not asked for any more; of another, the
/// answer or the end of its time lets us know that it does not keep a thread.
void Front::left_waiting(std::uint64_t key, Connection& connection) {
    if (connection.asked) {
        auto turn = Asked::Turn::waiting;
        if (!connection.asked->turn.compare_exchange_strong(turn, Asked::Turn::given_up)) {
            connection.peer_gone = true;
            loop_.remove(connection.socket.get());
            return;
        }
        --asking_;
    }
    close(key);
}

void Front::take_calls() {
    std::vector<Waiters::Call> calls;
    {
        std::lock_guard lock(mutex_);
        calls.swap(calls_);
    }
    for (const auto& call : calls) {
        const auto found = connections_.find(call.key);
        if (found == connections_.end() || !found->second->parked) continue;  // It has left meanwhile.
        if (found->second->parked->turn == call.turn) ask_again(call.key, *found->second->parked, call.last);
    }
}

void Front::ask_again(std::uint64_t key, Parked& parked, bool last) {
    parked.last = parked.last || last;
    if (!std::exchange(parked.asked, true)) to_ask_.push_back(key);
}

/// We stop: everybody is told how things stand.
void Front::ask_all_parked() {
    for (const auto& [key, connection] : connections_)
        if (connection->parked) ask_again(key, *connection->parked, true);
}

/// Not more at a time than there are threads, so that a crowd that is called at once leaves room for others.
void Front::submit_parked() {
    while (!to_ask_.empty() && asking_ < options_.threads) {
        const auto key = to_ask_.front();
        const auto found = connections_.find(key);
        if (found != connections_.end() && found->second->parked) {
            const Parked& parked = *found->second->parked;
            parked.routed.request->patience = parked.last ? Request::Patience::over : Request::Patience::some;
            if (!submit(key, parked.routed)) return;  // Again when an answer or the next tick comes.
            ++asking_;
        }
        to_ask_.pop_front();
    }
}

}  // namespace jobruntime::http
