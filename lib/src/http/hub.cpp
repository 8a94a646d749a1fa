// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/hub.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "http/sse.hpp"

namespace jobruntime::http {
namespace {

constexpr int page_events = 500;
/// Hints come in bursts: what arrives within this after a look is seen by one more look.
constexpr std::chrono::milliseconds debounce{15};
/// How long the last words may take.
constexpr std::chrono::milliseconds goodbye_time{1'000};
constexpr std::chrono::seconds dropped_time{5};
constexpr Duration most_store_pause{2'000};

bool matches(const EventFilter& filter, const Event& event) {
    return (!filter.job || filter.job == event.job) && (filter.trace_id.empty() || filter.trace_id == event.trace_id) &&
           (!filter.level || *filter.level == event.level) && event.name.starts_with(filter.name_prefix);
}

}  // namespace

Hub::Hub(Store& store, const Options& options, Clock& clock) : store_(store), options_(options), clock_(clock) {}

Hub::~Hub() { stop(); }

void Hub::start() {
    subscription_ = store_.on_change([this](unsigned hints) {
        if ((hints & hint_events) == 0 || streams_.load() == 0) return;
        if (!hinted_.exchange(true)) loop_.ring();
    });
    thread_ = std::thread([this] { run(); });
}

void Hub::stop() {
    subscription_ = Subscription();
    stop_ = true;
    loop_.ring();
    if (thread_.joinable()) thread_.join();
}

bool Hub::reserve() {
    if (streams_.fetch_add(1) < options_.max_streams) return true;
    streams_.fetch_sub(1);
    return false;
}

void Hub::add(Fd socket, std::string head, EventStream stream) {
    {
        std::lock_guard lock(mutex_);
        newcomers_.push_back({std::move(socket), std::move(head), std::move(stream)});
    }
    loop_.ring();
}

void Hub::log(const std::string& line) const {
    if (options_.log) options_.log(line);
}

void Hub::run() {
    block_signals();
    std::array<epoll_event, 64> events;
    while (!stop_) {
        const int count = loop_.wait(events.data(), static_cast<int>(events.size()), next_wake());
        for (int i = 0; i < count; ++i) {
            if (events[i].data.u64 == EventLoop::bell_key) loop_.quiet();
            else on_socket(events[i].data.u64, events[i].events);
        }
        adopt();
        if (!subscribers_.empty()) read_store();
        const auto now = RealClock::now();
        beat(now);
        flush_all();
        drop_stalled(now);
    }
    adopt();
    say_goodbye();
}

std::optional<RealTime> Hub::next_wake() const {
    if (subscribers_.empty()) return std::nullopt;
    auto wake = read_at_ + options_.stream_poll;
    if (more_) wake = read_at_;
    else if (hinted_) wake = std::min(wake, read_at_ + debounce);
    wake = std::max(wake, store_back_at_);
    for (const auto& [key, subscriber] : subscribers_) {
        wake = std::min(wake, subscriber.heartbeat_at);
        if (subscriber.closing) wake = std::min(wake, subscriber.close_by);
        else if (subscriber.backlog_bytes >= options_.stream_backlog)
            wake = std::min(wake, subscriber.progress_at + options_.stream_stall);
    }
    return wake;
}

void Hub::adopt() {
    std::vector<Newcomer> newcomers;
    {
        std::lock_guard lock(mutex_);
        newcomers.swap(newcomers_);
    }
    for (auto& newcomer : newcomers) {
        const auto key = next_key_++;
        Subscriber subscriber;
        subscriber.stream = std::move(newcomer.stream);
        subscriber.progress_at = RealClock::now();
        subscriber.heartbeat_at = subscriber.progress_at + options_.stream_heartbeat;
        subscriber.socket = std::move(newcomer.socket);
        append(subscriber, std::make_shared<const std::string>(std::move(newcomer.head)));
        const int fd = subscriber.socket.get();
        subscribers_.emplace(key, std::move(subscriber));
        if (!loop_.add(fd, key, EPOLLIN | EPOLLRDHUP)) close(key);
        else more_ = true;  // It is behind by definition.
    }
}

void Hub::on_socket(std::uint64_t key, std::uint32_t events) {
    const auto found = subscribers_.find(key);
    if (found == subscribers_.end()) return;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
        // A subscriber has nothing more to say; what comes is thrown away, and an end is an end.
        char bytes[4096];
        const auto size = recv(found->second.socket.get(), bytes, sizeof bytes, MSG_DONTWAIT);
        if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) return close(key);
    }
    if (events & EPOLLOUT) flush(key, found->second);
}

void Hub::read_store() {
    const auto now = RealClock::now();
    if (now < store_back_at_) return;
    const bool due = more_ || now >= read_at_ + options_.stream_poll || (hinted_ && now >= read_at_ + debounce);
    if (!due) return;
    // Cleared before the look, so that what happens during it rings again.
    hinted_ = false;
    more_ = false;
    bool more = false;
    bool answered = read_tail(more);
    for (auto it = subscribers_.begin(); answered && it != subscribers_.end(); ++it) {
        Subscriber& subscriber = it->second;
        if (subscriber.at_tail || subscriber.closing || subscriber.backlog_bytes > options_.stream_backlog / 4) continue;
        answered = read_alone(subscriber, more);
    }
    read_at_ = RealClock::now();
    if (answered) {
        store_pause_ = Duration{0};
        more_ = more;
    }
}

/// False when the store did not answer; every position then stays where it is.
bool Hub::read_tail(bool& more) {
    const auto anybody = std::ranges::any_of(subscribers_, [](const auto& entry) { return entry.second.at_tail; });
    if (!anybody) return true;
    const auto page = store_.events(tail_, {}, page_events);
    if (!page) {
        on_store_error(page.error());
        return false;
    }
    std::vector<Text> texts;
    texts.reserve(page->events.size());
    for (const auto& event : page->events) texts.push_back(std::make_shared<const std::string>(sse_telemetry(event)));
    for (auto& [key, subscriber] : subscribers_) {
        if (!subscriber.at_tail) continue;
        if (page->truncated) append(subscriber, std::make_shared<const std::string>(sse_truncated(page->oldest)));
        feed(subscriber, page->events, texts, page->next);
    }
    tail_ = page->next;
    if (static_cast<int>(page->events.size()) == page_events) more = true;
    return true;
}

bool Hub::read_alone(Subscriber& subscriber, bool& more) {
    const auto& wanted = subscriber.stream;
    const bool history = !subscriber.position && !wanted.after;
    const auto after = subscriber.position ? subscriber.position : wanted.after;
    const int limit = history ? std::clamp(wanted.history, 1, 2000) : page_events;
    const auto page = store_.events(after, wanted.filter, limit);
    if (!page) {
        on_store_error(page.error());
        return false;
    }
    if (page->truncated && !history) append(subscriber, std::make_shared<const std::string>(sse_truncated(page->oldest)));
    for (const auto& event : page->events) append(subscriber, std::make_shared<const std::string>(sse_telemetry(event)));
    subscriber.position = page->next;
    if (static_cast<int>(page->events.size()) >= limit) {
        more = true;
        return true;
    }
    const auto anybody = std::ranges::any_of(subscribers_, [](const auto& entry) { return entry.second.at_tail; });
    if (!anybody) tail_ = page->next;
    // It may be ahead of the shared look: feed() leaves out what it has already.
    if (page->next >= tail_) subscriber.at_tail = true;
    else more = true;
    return true;
}

void Hub::feed(Subscriber& subscriber, const std::vector<Event>& events, const std::vector<Text>& texts, EventId upto) {
    for (std::size_t i = 0; i < events.size(); ++i) {
        if (events[i].id <= *subscriber.position) continue;
        if (subscriber.backlog_bytes >= options_.stream_backlog) {
            // Too slow for the others: it goes on alone from where it stands, once it has read what it has.
            subscriber.at_tail = false;
            return;
        }
        if (matches(subscriber.stream.filter, events[i])) append(subscriber, texts[i]);
        subscriber.position = events[i].id;
    }
    subscriber.position = std::max(*subscriber.position, upto);
}

void Hub::on_store_error(const Error& error) {
    if (store_pause_ == Duration{0}) log("http: the event streams wait for the store: " + error.message);
    store_pause_ = std::clamp(store_pause_ * 2, Duration{100}, most_store_pause);
    store_back_at_ = RealClock::now() + store_pause_;
    more_ = true;
}

void Hub::beat(RealTime now) {
    for (auto& [key, subscriber] : subscribers_) {
        if (now < subscriber.heartbeat_at) continue;
        subscriber.heartbeat_at = now + options_.stream_heartbeat;
        if (!subscriber.closing && subscriber.stream.still_allowed && !subscriber.stream.still_allowed()) {
            append(subscriber, std::make_shared<const std::string>(sse_revoked(clock_.wall())));
            subscriber.at_tail = false;
            subscriber.closing = true;
            subscriber.close_by = now + dropped_time;
        }
        if (subscriber.closing || subscriber.backlog_bytes >= options_.stream_backlog) continue;
        append(subscriber, std::make_shared<const std::string>(sse_heartbeat(clock_.wall(), subscriber.position)));
    }
}

void Hub::drop_stalled(RealTime now) {
    std::vector<std::uint64_t> late;
    for (auto& [key, subscriber] : subscribers_) {
        if (subscriber.closing) {
            if (now >= subscriber.close_by) late.push_back(key);
        } else if (subscriber.backlog_bytes >= options_.stream_backlog &&
                   now >= subscriber.progress_at + options_.stream_stall) {
            log("http: an event stream is dropped because its reader takes nothing");
            // What was begun must be finished, or the last words would stand in the middle of an event.
            while (subscriber.backlog.size() > 1) subscriber.backlog.pop_back();
            if (subscriber.sent_of_first == 0) subscriber.backlog.clear();
            subscriber.backlog_bytes = subscriber.backlog.empty() ? 0 : subscriber.backlog.front()->size() - subscriber.sent_of_first;
            append(subscriber, std::make_shared<const std::string>(sse_dropped(clock_.wall())));
            subscriber.at_tail = false;
            subscriber.closing = true;
            subscriber.close_by = now + dropped_time;
        }
    }
    for (const auto key : late) close(key);
}

void Hub::append(Subscriber& subscriber, Text text) {
    if (subscriber.backlog.empty()) subscriber.progress_at = RealClock::now();
    subscriber.backlog_bytes += text->size();
    subscriber.backlog.push_back(std::move(text));
}

bool Hub::flush(std::uint64_t key, Subscriber& subscriber) {
    while (!subscriber.backlog.empty()) {
        std::array<iovec, 64> parts;
        std::size_t count = 0;
        for (const auto& text : subscriber.backlog) {
            if (count == parts.size()) break;
            const std::size_t skip = count == 0 ? subscriber.sent_of_first : 0;
            parts[count++] = {const_cast<char*>(text->data()) + skip, text->size() - skip};
        }
        msghdr message{};
        message.msg_iov = parts.data();
        message.msg_iovlen = count;
        const auto sent = sendmsg(subscriber.socket.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0 && errno == EAGAIN) break;
        if (sent < 0) {
            close(key);
            return false;
        }
        subscriber.progress_at = RealClock::now();
        subscriber.backlog_bytes -= static_cast<std::size_t>(sent);
        std::size_t left = static_cast<std::size_t>(sent) + subscriber.sent_of_first;
        while (!subscriber.backlog.empty() && left >= subscriber.backlog.front()->size()) {
            left -= subscriber.backlog.front()->size();
            subscriber.backlog.pop_front();
        }
        subscriber.sent_of_first = left;
    }
    if (subscriber.closing && subscriber.backlog.empty()) {
        close(key);
        return false;
    }
    // It can take the next page: nothing else would wake it.
    if (!subscriber.at_tail && !subscriber.closing && subscriber.backlog_bytes <= options_.stream_backlog / 4) more_ = true;
    const bool wants_out = !subscriber.backlog.empty();
    if (wants_out != subscriber.wants_out) {
        subscriber.wants_out = wants_out;
        const std::uint32_t events = EPOLLIN | EPOLLRDHUP | (wants_out ? static_cast<std::uint32_t>(EPOLLOUT) : 0u);
        loop_.change(subscriber.socket.get(), key, events);
    }
    return true;
}

void Hub::flush_all() {
    for (auto it = subscribers_.begin(); it != subscribers_.end();) {
        const auto here = it++;  // flush() may remove it.
        if (!here->second.backlog.empty() || here->second.closing) flush(here->first, here->second);
    }
}

void Hub::close(std::uint64_t key) {
    const auto found = subscribers_.find(key);
    if (found == subscribers_.end()) return;
    loop_.remove(found->second.socket.get());
    subscribers_.erase(found);
    release();
}

void Hub::say_goodbye() {
    const auto until = RealClock::now() + goodbye_time;
    const auto text = std::make_shared<const std::string>(sse_shutdown(clock_.wall()));
    for (auto& [key, subscriber] : subscribers_) {
        if (!subscriber.closing) append(subscriber, text);
        subscriber.closing = true;
        subscriber.close_by = until;
    }
    flush_all();
    std::array<epoll_event, 64> events;
    while (!subscribers_.empty() && RealClock::now() < until) {
        const int count = loop_.wait(events.data(), static_cast<int>(events.size()), until);
        for (int i = 0; i < count; ++i) {
            if (events[i].data.u64 == EventLoop::bell_key) loop_.quiet();
            else on_socket(events[i].data.u64, events[i].events);
        }
    }
    while (!subscribers_.empty()) close(subscribers_.begin()->first);
}

}  // namespace jobruntime::http
