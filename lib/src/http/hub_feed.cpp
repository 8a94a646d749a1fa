// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// How events come from the store to the hub's subscribers.
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "http/hub.hpp"
#include "core/sse.hpp"

namespace jobruntime::http {
namespace {

constexpr int tail_events = 200;
constexpr std::size_t tail_bytes = 64 << 10;
constexpr int page_events = 200;
/// A page that one reader alone may want. It lies in memory until that one takes it, so that it is small, however fast he reads.
constexpr std::size_t page_bytes = 32 << 10;
/// Hints come in bursts: what arrives within this after a look is seen by one more look.
constexpr std::chrono::milliseconds debounce{15};
/// With very many subscribers a round takes long; at least twice as long is rested, so that others get the processor and
/// the next round carries more at once.
constexpr std::chrono::milliseconds most_pause{250};
constexpr Duration most_store_pause{2'000};
constexpr std::size_t most_parts = 64;

}  // namespace

RealTime Hub::tail_due() const {
    if (more_) return looked_at_;
    return looked_at_ + (hinted_ ? pause_ : std::max<RealClock::duration>(pause_, options_.stream_poll));
}

void Hub::ask_store() {
    if (at_tail_ == 0) release_those_ahead();
    if (subscribers_.empty() || RealClock::now() < store_back_at_) return;
    if (at_tail_ > 0 && !tail_asked_ && RealClock::now() >= tail_due()) {
        // Cleared before the look, so that what happens during it rings again.
        hinted_ = false;
        more_ = false;
        tail_asked_ = true;
        reader_.ask({"", tail_, {}, tail_events, tail_bytes}, true);
    }
    if (!starved_.empty() && has_room()) {
        hungry_.insert(hungry_.end(), starved_.begin(), starved_.end());
        starved_.clear();
    }
    for (const auto key : std::exchange(hungry_, {})) {
        const auto found = subscribers_.find(key);
        if (found == subscribers_.end() || !found->second->hungry) continue;
        const Subscriber& subscriber = *found->second;
        const int limit = subscriber.position ? page_events : subscriber.history;
        // Those who want the same page share it.
        auto name = std::to_string(limit) + (subscriber.position ? "/" + std::to_string(*subscriber.position) : "") + "/" +
                    subscriber.channel->key;
        if (!has_room() && !waiting_.contains(name)) {
            starved_.push_back(key);
            continue;
        }
        auto& sharers = waiting_[name];
        sharers.push_back(key);
        if (sharers.size() == 1) reader_.ask({name, subscriber.position, subscriber.channel->filter, limit, most_of_page()}, false);
    }
}

std::size_t Hub::most_of_page() const { return std::min(page_bytes, options_.stream_backlog / 2); }

/// Whether one more page may be read. Those that are being read count with what they may become.
bool Hub::has_room() const {
    return pages_held_ + waiting_.size() * most_of_page() < options_.max_stream_memory;
}

/// Counted for as long as anybody has a part of it.
Text Hub::count_page(Text text) {
    if (!text || text->empty()) return text;
    pages_held_ += text->size();
    const auto* const at = text.get();
    return Text(at, [this, held = std::move(text)](const std::string*) { pages_held_ -= held->size(); });
}

void Hub::take_answers() {
    for (auto& answer : reader_.take()) {
        const bool failed = !answer.error.message.empty();
        if (failed) on_store_error(answer.error);
        else store_pause_ = Duration{0};
        if (answer.key.empty()) {
            tail_asked_ = false;
            if (failed) more_ = true;
            // It may be about a tail that everybody has left meanwhile.
            else if (at_tail_ > 0 && answer.after == tail_) take_tail(answer);
            release_those_ahead();
            continue;
        }
        const auto sharers = waiting_.extract(answer.key);
        if (sharers.empty()) continue;
        answer.text = count_page(std::move(answer.text));
        for (const auto key : sharers.mapped()) {
            const auto found = subscribers_.find(key);
            if (found == subscribers_.end() || found->second->closing) continue;
            if (!failed) {
                take_page(*found->second, answer);
                continue;
            }
            hungry_.push_back(key);
            flush(*found->second);
        }
    }
}

void Hub::on_store_error(const Error& error) {
    const auto now = RealClock::now();
    if (now < store_back_at_) return;  // One outage is many answers.
    if (store_pause_ == Duration{0}) log("http: the event streams wait for the store: " + error.message);
    store_pause_ = std::clamp(store_pause_ * 2, Duration{100}, most_store_pause);
    store_back_at_ = now + store_pause_;
}

void Hub::take_tail(const EventReader::Answer& answer) {
    const auto begun = RealClock::now();
    tail_ = answer.page.next;
    if (!answer.page.events.empty() || answer.page.truncated) {
        std::vector<std::string> keys;  // Delivering may close the last subscriber of a channel.
        for (const auto& [key, channel] : channels_)
            if (!channel->members.empty()) keys.push_back(key);
        for (const auto& key : keys)
            if (const auto found = channels_.find(key); found != channels_.end()) deliver(*found->second, answer);
    }
    more_ = more_ || answer.full;
    looked_at_ = RealClock::now();
    pause_ = std::clamp<RealClock::duration>(2 * (looked_at_ - begun), debounce, most_pause);
}

/// Puts into the channel's log what it takes of the page, once for all, and sends it to whoever can take it now.
void Hub::deliver(Channel& channel, const EventReader::Answer& answer) {
    const auto& events = answer.page.events;
    std::string text;
    if (answer.page.truncated) text = core::sse_truncated(answer.page.oldest);
    const bool as_it_is = text.empty() && channel.takes_all();
    for (std::size_t i = 0; i < events.size() && !as_it_is; ++i) {
        if (!channel.takes(events[i])) continue;
        const std::size_t begin = i == 0 ? 0 : answer.ends[i - 1];
        text.append(*answer.text, begin, answer.ends[i] - begin);
    }
    auto shared = as_it_is ? answer.text : std::make_shared<const std::string>(std::move(text));
    if (shared->empty()) return;
    channel.push({std::move(shared), events.empty() ? *answer.after : events.back().id}, options_.stream_backlog);
    for (auto* member : channel.members) {
        if (std::exchange(member->behind, true)) continue;
        ++channel.behind;
        if (member->own.empty()) member->progress.restart(RealClock::now());
    }
    // The last one to leave takes the channel with it, so that nothing of it may be touched any more then.
    ++channel.users;
    for (std::size_t i = 0; i < channel.members.size();) {
        Subscriber* const member = channel.members[i];
        if (!member->wants_out) flush(*member);
        if (i < channel.members.size() && channel.members[i] == member) ++i;
    }
    channel.forget_taken();
    if (--channel.users == 0) channels_.erase(std::string(channel.key));
}

void Hub::take_page(Subscriber& subscriber, const EventReader::Answer& answer) {
    const auto& page = answer.page;
    const bool begins = !subscriber.position;
    bool joins = !answer.full;
    if (joins && at_tail_ == 0) tail_ = page.next;
    if (page.next < tail_) joins = false;
    // It has been told elsewhere of more than was looked at here: at the tail it would be told again.
    const bool ahead = joins && subscriber.position && *subscriber.position > tail_;
    if (ahead) joins = false;
    // What is after the tail comes to everybody there, also to this one.
    std::size_t count = page.events.size();
    while (joins && count > 0 && page.events[count - 1].id > tail_) --count;
    subscriber.hungry = ahead;
    if (ahead) {
        ahead_.push_back(subscriber.key);
        hinted_ = true;
    }
    if (page.truncated && !begins) append(subscriber, core::sse_truncated(page.oldest));
    if (count > 0) append(subscriber, {answer.text, 0, answer.ends[count - 1]});
    subscriber.position = joins ? tail_ : page.next;
    if (joins) join_tail(subscriber);
    flush(subscriber);
}

void Hub::release_those_ahead() {
    hungry_.insert(hungry_.end(), ahead_.begin(), ahead_.end());
    ahead_.clear();
}

Channel& Hub::channel_for(EventFilter filter) {
    std::string key = filter.job ? filter.job.str() : "";
    key += filter.level ? "/" + std::string(to_string(*filter.level)) + "/" : "//";
    key += std::to_string(filter.trace_id.size()) + "/" + filter.trace_id + filter.name_prefix;
    auto& channel = channels_[key];
    if (!channel) channel = std::make_unique<Channel>(Channel{.key = key, .filter = std::move(filter)});
    return *channel;
}

void Hub::join_tail(Subscriber& subscriber) {
    Channel& channel = *subscriber.channel;
    subscriber.at_tail = true;
    subscriber.next_chunk = channel.end();
    subscriber.seat = channel.members.size();
    channel.members.push_back(&subscriber);
    ++at_tail_;
}

void Hub::leave_tail(Subscriber& subscriber) {
    Channel& channel = *subscriber.channel;
    channel.members[subscriber.seat] = channel.members.back();
    channel.members[subscriber.seat]->seat = subscriber.seat;
    channel.members.pop_back();
    if (std::exchange(subscriber.behind, false)) --channel.behind;
    subscriber.at_tail = false;
    --at_tail_;
}

void Hub::append(Subscriber& subscriber, Piece piece) {
    if (subscriber.own.empty() && !subscriber.behind) subscriber.progress.restart(RealClock::now());
    subscriber.own_bytes += piece.size();
    subscriber.own.push_back(std::move(piece));
}

void Hub::append(Subscriber& subscriber, std::string text) {
    const auto shared = std::make_shared<const std::string>(std::move(text));
    append(subscriber, {shared, 0, shared->size()});
}

void Hub::make_hungry(Subscriber& subscriber) {
    if (std::exchange(subscriber.hungry, true)) return;
    hungry_.push_back(subscriber.key);
}

/// It has so much before it that it gets no more until it takes some.
bool Hub::is_held_up(const Subscriber& subscriber) const {
    if (subscriber.at_tail && subscriber.next_chunk < subscriber.channel->first) return true;
    // Without room, whoever does not take what he has keeps others from theirs.
    if (!has_room() && subscriber.own_bytes > 0) return true;
    return subscriber.own_bytes > (subscriber.at_tail ? options_.stream_backlog : most_of_page() / 4);
}

void Hub::flush(Subscriber& subscriber) {
    const auto sent = send(subscriber);
    if (sent == Sent::broken || (subscriber.closing && subscriber.own.empty())) return close(subscriber.key);
    Channel& channel = *subscriber.channel;
    if (subscriber.behind && subscriber.next_chunk == channel.end()) {
        subscriber.behind = false;
        if (--channel.behind == 0) channel.forget_taken();
    }
    if (!subscriber.at_tail && !subscriber.closing && subscriber.own_bytes <= most_of_page() / 4)
        make_hungry(subscriber);
    const bool wants_out = sent == Sent::full;
    if (wants_out && !subscriber.watched) {
        subscriber.watched = true;
        timers_.push({subscriber.progress.at() + options_.stream_stall, subscriber.key, Timed::stall});
    }
    if (wants_out == subscriber.wants_out) return;
    subscriber.wants_out = wants_out;
    loop_.change(subscriber.socket.get(), subscriber.key,
                 EPOLLIN | EPOLLRDHUP | (wants_out ? static_cast<std::uint32_t>(EPOLLOUT) : 0u));
}

Hub::Sent Hub::send(Subscriber& subscriber) {
    while (true) {
        const Channel& channel = *subscriber.channel;
        if (subscriber.at_tail && subscriber.next_chunk < channel.first) leave_tail(subscriber);  // Too slow for the others.
        std::array<iovec, most_parts> parts;
        std::size_t count = 0, size = 0;
        const auto add = [&](const Text& text, std::size_t begin, std::size_t end) {
            parts[count++] = {const_cast<char*>(text->data()) + begin, end - begin};
            size += end - begin;
        };
        for (const auto& piece : subscriber.own)
            if (count < most_parts) add(piece.text, piece.begin, piece.end);
        if (subscriber.at_tail)
            for (auto at = subscriber.next_chunk; at < channel.end() && count < most_parts; ++at) {
                const auto& text = channel.chunks[at - channel.first].text;
                add(text, 0, text->size());
            }
        if (count == 0) {
            subscriber.progress.restart(RealClock::now());
            return Sent::all;
        }
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = count;
        const auto sent = sendmsg(subscriber.socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) return Sent::full;
        if (sent < 0) return Sent::broken;
        consume(subscriber, static_cast<std::size_t>(sent));
        subscriber.progress.took(static_cast<std::size_t>(sent), RealClock::now());
        if (static_cast<std::size_t>(sent) < size) return Sent::full;
    }
}

void Hub::consume(Subscriber& subscriber, std::size_t sent) {
    auto& own = subscriber.own;
    std::size_t done = 0;
    for (; done < own.size() && sent >= own[done].size(); ++done) {
        sent -= own[done].size();
        subscriber.own_bytes -= own[done].size();
    }
    own.erase(own.begin(), own.begin() + static_cast<std::ptrdiff_t>(done));
    if (!own.empty()) {
        own.front().begin += sent;
        subscriber.own_bytes -= sent;
        return;
    }
    if (!subscriber.at_tail) return;
    const Channel& channel = *subscriber.channel;
    while (sent > 0) {
        const auto& chunk = channel.chunks[subscriber.next_chunk - channel.first];
        ++subscriber.next_chunk;
        subscriber.position = chunk.last;
        const std::size_t size = chunk.text->size();
        if (sent < size) append(subscriber, {chunk.text, sent, size});  // The log may forget it; the rest must be said.
        sent -= std::min(sent, size);
    }
}

}  // namespace jobruntime::http
