// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// How the front ends: who is idle goes, and whoever has asked something is answered.
#include <sys/socket.h>

#include <algorithm>

#include "http/front.hpp"

namespace jobruntime::http {
namespace {

/// How long somebody who has begun to send a request may take for the rest when we stop.
constexpr Duration last_read_time{1'000};
/// How often we look for more of those who wait at the door: as many as the system lets wait there, and no flood of new ones.
constexpr int most_turns = 20;

}  // namespace

void Front::begin_stop(Duration patience) {
    const auto by = (RealClock::now() + patience).time_since_epoch().count();
    auto before = stop_by_.load();
    while ((before == 0 || by < before) && !stop_by_.compare_exchange_weak(before, by)) {
    }
    stop_ = true;
    loop_.ring();
}

void Front::join() {
    if (thread_.joinable()) thread_.join();
    waiters_.stop();
}

/// In the thread, once.
void Front::part() {
    stopping_ = true;
    next_tick_ = RealClock::now();
    for (auto& listener : listeners_) {
        // Whoever is at the door may have said already what he wants.
        for (int turns = 0; turns < most_turns && accept_some(listener); ++turns) {
        }
        loop_.remove(listener.socket.get());
    }
    listeners_.clear();
    close_quiet_ones();
    ask_all_parked();
}

void Front::close_quiet_ones() {
    std::vector<std::uint64_t> quiet;
    for (const auto& [key, connection] : connections_) {
        if (connection->phase == Phase::lingering) {
            drain(connection->socket);
            quiet.push_back(key);
        } else if (connection->phase == Phase::reading) {
            if (has_come(*connection)) connection->deadline = std::min(connection->deadline, read_by(last_read_time));
            else quiet.push_back(key);
        }
    }
    for (const auto key : quiet) close(key);
}

/// Something of a next request has come, though we may not have read it yet.
bool Front::has_come(const Connection& connection) {
    if (connection.begun || !connection.input.empty()) return true;
    char byte = 0;
    return recv(connection.socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/// When something has to be here that usually has so long.
RealTime Front::read_by(Duration usual) const {
    return RealClock::now() + (stopping_ ? std::min(usual, last_read_time) : usual);
}

}  // namespace jobruntime::http
