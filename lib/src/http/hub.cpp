// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/hub.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "core/sse.hpp"

namespace jobruntime::http {
namespace {

/// A store that says nothing holds up the head of a stream no longer.
constexpr std::chrono::seconds head_time{1};
/// How long the last words to a dropped reader may take.
constexpr std::chrono::seconds dropped_time{5};
/// What the kernel may hold for a stream's reader. Without it, readers that never read would pin megabytes each.
constexpr int kernel_buffer = 64 << 10;

/// The rest of the frame in whose middle the sending stands; nothing when it stands between two.
void cut_to_frame(Piece& piece) {
    if (piece.begin == 0) {
        piece.end = 0;
        return;
    }
    const auto end = piece.text->find("\n\n", piece.begin - 1);
    if (piece.begin >= 2 && piece.text->compare(piece.begin - 2, 2, "\n\n") == 0) piece.end = piece.begin;
    else if (end != std::string::npos) piece.end = std::min(piece.end, end + 2);
}

}  // namespace

Hub::Hub(Store& store, const Options& options, Clock& clock)
    : options_(options), clock_(clock), reader_(store, [this] { loop_.ring(); }), store_(store) {}

Hub::~Hub() { stop(Duration{0}); }

void Hub::start() {
    reader_.start();
    subscription_ = store_.on_change([this](unsigned hints) {
        if ((hints & hint_events) == 0 || !any_) return;
        if (!hinted_.exchange(true)) loop_.ring();
    });
    thread_ = std::thread([this] { run(); });
}

void Hub::stop(Duration patience) {
    subscription_ = Subscription();
    if (!stop_) goodbye_time_ = patience;
    stop_ = true;
    loop_.ring();
    if (thread_.joinable()) thread_.join();
    reader_.stop();
}

void Hub::add(Fd socket, std::string head, EventStream stream, Places::Place place) {
    {
        std::lock_guard lock(mutex_);
        if (!gone_) {
            newcomers_.push_back({std::move(socket), std::move(head), std::move(stream), std::move(place)});
            loop_.ring();
            return;
        }
    }
    turn_away(socket, std::move(head));
}

void Hub::log(const std::string& line) const {
    if (options_.log) options_.log(line);
}

void Hub::run() {
    block_signals();
    std::array<epoll_event, 256> events;
    while (!stop_) {
        const int count = loop_.wait(events.data(), static_cast<int>(events.size()), next_wake());
        for (int i = 0; i < count; ++i) {
            if (events[i].data.u64 == EventLoop::bell_key) loop_.quiet();
            else on_socket(events[i].data.u64, events[i].events);
        }
        adopt();
        take_answers();
        fire_timers();
        ask_store();
    }
    {
        std::lock_guard lock(mutex_);
        gone_ = true;
    }
    adopt();
    say_goodbye();
}

std::optional<RealTime> Hub::next_wake() const {
    if (subscribers_.empty()) return std::nullopt;
    RealTime wake = timers_.top().due;  // Every subscriber has its heartbeat in there.
    if (at_tail_ > 0 && !tail_asked_) wake = std::min(wake, std::max(tail_due(), store_back_at_));
    if (!hungry_.empty()) wake = std::min(wake, store_back_at_);
    return wake;
}

void Hub::adopt() {
    std::vector<Newcomer> newcomers;
    {
        std::lock_guard lock(mutex_);
        newcomers.swap(newcomers_);
    }
    const auto now = RealClock::now();
    for (auto& newcomer : newcomers) {
        auto made = std::make_unique<Subscriber>();
        Subscriber& subscriber = *made;
        subscriber.key = next_key_++;
        subscriber.socket = std::move(newcomer.socket);
        subscriber.place = std::move(newcomer.place);
        subscriber.still_allowed = std::move(newcomer.stream.still_allowed);
        subscriber.position = newcomer.stream.after;
        subscriber.history = std::clamp(newcomer.stream.history, 1, 2'000);
        subscriber.progress.restart(now);
        if (!loop_.add(subscriber.socket.get(), subscriber.key, EPOLLIN | EPOLLRDHUP)) continue;
        setsockopt(subscriber.socket.get(), SOL_SOCKET, SO_SNDBUF, &kernel_buffer, sizeof kernel_buffer);
        subscriber.channel = &channel_for(std::move(newcomer.stream.filter));
        ++subscriber.channel->users;
        subscribers_.emplace(subscriber.key, std::move(made));
        any_ = true;
        timers_.push({now + options_.stream_heartbeat, subscriber.key, Timed::heartbeat});
        append(subscriber, std::move(newcomer.head));
        // The head waits for the first look: who has read it can rely on being told what happens from then on.
        make_hungry(subscriber);
        timers_.push({now < store_back_at_ ? now : now + head_time, subscriber.key, Timed::head});
    }
}

void Hub::on_socket(std::uint64_t key, std::uint32_t events) {
    const auto found = subscribers_.find(key);
    if (found == subscribers_.end()) return;
    Subscriber& subscriber = *found->second;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        // A subscriber has nothing more to say; what comes is thrown away, and an end is an end.
        char bytes[4096];
        const auto size = recv(subscriber.socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) return close(key);
    }
    if (events & EPOLLOUT) flush(subscriber);
}

void Hub::fire_timers() {
    const auto now = RealClock::now();
    while (!timers_.empty() && timers_.top().due <= now) {
        const Timer timer = timers_.top();
        timers_.pop();
        const auto found = subscribers_.find(timer.key);
        if (found == subscribers_.end()) continue;  // It has left meanwhile.
        switch (timer.what) {
            case Timed::heartbeat: beat(*found->second, now); break;
            case Timed::stall: look_for_stall(*found->second, now); break;
            case Timed::head: flush(*found->second); break;
            case Timed::close: close(timer.key); break;
        }
    }
}

void Hub::beat(Subscriber& subscriber, RealTime now) {
    timers_.push({now + options_.stream_heartbeat, subscriber.key, Timed::heartbeat});
    if (subscriber.closing) return;
    if (subscriber.still_allowed && !subscriber.still_allowed()) {
        if (subscriber.at_tail) leave_tail(subscriber);
        append(subscriber, core::sse_revoked(clock_.wall()));
        subscriber.closing = true;
        timers_.push({now + dropped_time, subscriber.key, Timed::close});
        return flush(subscriber);
    }
    if (!subscriber.own.empty() || subscriber.behind) return;  // What waits for it shows as well that we live.
    if (!subscriber.at_tail) {
        append(subscriber, core::sse_heartbeat(clock_.wall(), subscriber.position));
    } else {
        const auto wall = clock_.wall();
        if (!beat_text_ || beat_at_ != tail_ || beat_time_ != wall)
            beat_text_ = std::make_shared<const std::string>(core::sse_heartbeat(wall, tail_));
        beat_at_ = tail_;
        beat_time_ = wall;
        append(subscriber, {beat_text_, 0, beat_text_->size()});
    }
    flush(subscriber);
}

void Hub::look_for_stall(Subscriber& subscriber, RealTime now) {
    subscriber.watched = subscriber.wants_out && !subscriber.closing;
    if (!subscriber.watched) return;
    const auto limit = subscriber.progress.at() + options_.stream_stall;
    if (now >= limit && is_held_up(subscriber)) {
        log("http: an event stream is dropped because its reader takes nothing, or too little");
        return part_with(subscriber, core::sse_dropped(clock_.wall()));
    }
    const auto soon = now + std::max<RealClock::duration>(options_.stream_stall / 4, std::chrono::milliseconds(10));
    timers_.push({std::max<RealTime>(limit, soon), subscriber.key, Timed::stall});
}

/// Nothing but the rest of the frame that was begun, or the last words would stand in the middle of it.
void Hub::part_with(Subscriber& subscriber, const std::string& last_words) {
    if (subscriber.at_tail) leave_tail(subscriber);
    if (!subscriber.own.empty()) {
        Piece rest = std::exchange(subscriber.own, {}).front();
        cut_to_frame(rest);
        // Of its own, so that it holds no page, which would keep others from theirs until it is gone.
        if (rest.size() > 0) {
            auto own = std::make_shared<const std::string>(*rest.text, rest.begin, rest.size());
            subscriber.own.push_back({own, 0, own->size()});
        }
    }
    subscriber.own_bytes = subscriber.own.empty() ? 0 : subscriber.own.front().size();
    append(subscriber, last_words);
    subscriber.closing = true;
    timers_.push({RealClock::now() + dropped_time, subscriber.key, Timed::close});
    flush(subscriber);
}

void Hub::close(std::uint64_t key) {
    const auto found = subscribers_.find(key);
    if (found == subscribers_.end()) return;
    Subscriber& subscriber = *found->second;
    if (subscriber.at_tail) leave_tail(subscriber);
    if (--subscriber.channel->users == 0) channels_.erase(subscriber.channel->key);
    loop_.remove(subscriber.socket.get());
    subscribers_.erase(found);
    any_ = !subscribers_.empty();
    if (subscribers_.empty()) timers_ = {};
}

void Hub::say_goodbye() {
    const auto until = RealClock::now() + goodbye_time_;
    const std::string text = core::sse_shutdown(clock_.wall());
    const auto shared = std::make_shared<const std::string>(text);
    std::vector<std::uint64_t> keys;
    for (const auto& [key, subscriber] : subscribers_) keys.push_back(key);
    for (const auto key : keys) {
        Subscriber& subscriber = *subscribers_.find(key)->second;
        if (subscriber.closing) continue;
        // What its channel still has for it goes before the last words.
        if (subscriber.at_tail && subscriber.next_chunk >= subscriber.channel->first)
            for (auto at = subscriber.next_chunk; at < subscriber.channel->end(); ++at) {
                const auto& chunk = subscriber.channel->chunks[at - subscriber.channel->first].text;
                append(subscriber, {chunk, 0, chunk->size()});
            }
        if (subscriber.at_tail) leave_tail(subscriber);
        append(subscriber, {shared, 0, shared->size()});
        subscriber.closing = true;
        flush(subscriber);
    }
    std::array<epoll_event, 256> events;
    while (!subscribers_.empty() && RealClock::now() < until) {
        const int count = loop_.wait(events.data(), static_cast<int>(events.size()), until);
        for (int i = 0; i < count; ++i) {
            if (events[i].data.u64 == EventLoop::bell_key) loop_.quiet();
            else on_socket(events[i].data.u64, events[i].events);
        }
    }
    while (!subscribers_.empty()) close(subscribers_.begin()->first);
}

/// A stream that was granted just before we stopped: it begins and ends at once, by whichever thread brings it.
void Hub::turn_away(const Fd& socket, std::string text) const {
    text += core::sse_shutdown(clock_.wall());
    drain(socket);
    ::send(socket.get(), text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
}

}  // namespace jobruntime::http
