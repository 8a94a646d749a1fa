// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <jobruntime/store.hpp>

#include "http/event_loop.hpp"
#include "http/places.hpp"

namespace jobruntime::http {

using Text = std::shared_ptr<const std::string>;

/// Part of a text that others may hold, too.
struct Piece {
    Text text;
    std::size_t begin = 0;
    std::size_t end = 0;
    std::size_t size() const { return end - begin; }
};

struct Channel;

/// How long a reader has taken too little. A byte now and then is none: by it, a reader could hold its backlog for ever.
class Progress {
public:
    /// Whoever takes less than this in the time of Options::stream_stall, though there is more for it, stalls.
    static constexpr std::size_t least = 64 << 10;

    void took(std::size_t bytes, RealTime now) {
        taken_ += bytes;
        if (taken_ >= least) restart(now);
    }
    /// It has taken all that there was; or there is something for it again.
    void restart(RealTime now) {
        at_ = now;
        taken_ = 0;
    }
    RealTime at() const { return at_; }

private:
    RealTime at_{};
    std::size_t taken_ = 0;  ///< Since then.
};

/// One event stream's reader.
struct Subscriber {
    std::uint64_t key = 0;
    Fd socket;
    Places::Place place;
    Channel* channel = nullptr;
    std::function<bool()> still_allowed;
    std::optional<EventId> position;  ///< Everything up to it was sent or is in `own`. At the tail: of the last chunk taken.
    int history = 0;                  ///< Events to begin with, while there is no position.
    std::vector<Piece> own;           ///< To be sent before what its channel has.
    std::size_t own_bytes = 0;
    std::uint64_t next_chunk = 0;     ///< Of its channel; at the tail only.
    std::size_t seat = 0;             ///< Where it is in channel->members; at the tail only.
    bool at_tail = false;             ///< Fed by its channel.
    bool behind = false;              ///< Has not taken all chunks; counted in channel->behind.
    bool hungry = false;              ///< Waits for a page of its own.
    bool closing = false;             ///< Gets no more; closed once `own` is sent, or by a timer.
    bool wants_out = false;           ///< The socket is full.
    bool watched = false;             ///< A timer looks whether it takes anything.
    Progress progress;
};

/// All subscribers with the same filter share one: what is new goes as one text into its log, and each subscriber at the
/// tail only keeps how far it has come in there. The log is bounded; whoever has not taken what falls out of it goes on
/// alone, with pages from the store.
struct Channel {
    struct Chunk {
        Text text;
        EventId last = 0;
    };

    std::string key;
    EventFilter filter;
    std::size_t users = 0;            ///< Subscribers, at the tail or not.
    std::vector<Subscriber*> members; ///< Those at the tail.
    std::size_t behind = 0;           ///< Members that have not taken all.
    std::deque<Chunk> chunks;
    std::uint64_t first = 0;          ///< Number of chunks.front().
    std::size_t bytes = 0;

    std::uint64_t end() const { return first + chunks.size(); }
    bool takes_all() const { return !filter.job && filter.trace_id.empty() && !filter.level && filter.name_prefix.empty(); }
    bool takes(const Event& event) const {
        return (!filter.job || filter.job == event.job) && (filter.trace_id.empty() || filter.trace_id == event.trace_id) &&
               (!filter.level || *filter.level == event.level) && event.name.starts_with(filter.name_prefix);
    }
    void push(Chunk chunk, std::size_t most_bytes) {
        bytes += chunk.text->size();
        chunks.push_back(std::move(chunk));
        while (bytes > most_bytes && chunks.size() > 1) pop();
    }
    void pop() {
        bytes -= chunks.front().text->size();
        chunks.pop_front();
        ++first;
    }
    /// Nobody needs what is in the log.
    void forget_taken() {
        if (behind > 0) return;
        first = end();
        chunks.clear();
        bytes = 0;
    }
};

}  // namespace jobruntime::http
