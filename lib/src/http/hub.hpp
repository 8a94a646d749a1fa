// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <queue>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <jobruntime/api_router.hpp>
#include <jobruntime/http.hpp>
#include <jobruntime/store.hpp>

#include "http/event_loop.hpp"
#include "http/event_reader.hpp"
#include "http/places.hpp"
#include "http/subscriber.hpp"

namespace jobruntime::http {

/// Sends the event streams, all from one thread, which never asks the store itself: a reader thread does. Subscribers
/// that are up to date share one look at the store and one text of what is new (Channel); one that is behind (new,
/// resumed, or slow) gets pages of its own, shared with those who want the same, and only once it has taken most of
/// the last: a reader that never reads costs one small page and in the end is dropped. All pages together have a bound, too.
class Hub {
public:
    Hub(Store& store, const Options& options, Clock& clock);
    ~Hub();

    bool ready() const { return loop_.ready(); }
    void start();
    /// Says goodbye on every stream, for at most `patience`, and ends the threads. add() then says its head and goodbye at once.
    void stop(Duration patience);

    /// Places of streams. What add() is given holds one.
    Places& places() { return places_; }
    /// Takes over a connection whose answer begins with `head`.
    void add(Fd socket, std::string head, EventStream stream, Places::Place place);

private:
    struct Newcomer {
        Fd socket;
        std::string head;
        EventStream stream;
        Places::Place place;
    };
    enum class Timed : unsigned char { heartbeat, head, stall, close };
    struct Timer {
        RealTime due{};
        std::uint64_t key = 0;
        Timed what = Timed::heartbeat;
        bool operator>(const Timer& other) const { return due > other.due; }
    };

    void run();
    std::optional<RealTime> next_wake() const;
    void adopt();
    void on_socket(std::uint64_t key, std::uint32_t events);
    void fire_timers();
    void beat(Subscriber& subscriber, RealTime now);
    void look_for_stall(Subscriber& subscriber, RealTime now);
    void part_with(Subscriber& subscriber, const std::string& last_words);
    void close(std::uint64_t key);
    void say_goodbye();
    void turn_away(const Fd& socket, std::string text) const;
    void log(const std::string& line) const;

    // hub_feed.cpp
    RealTime tail_due() const;
    void ask_store();
    void take_answers();
    void on_store_error(const Error& error);
    void take_tail(const EventReader::Answer& answer);
    void deliver(Channel& channel, const EventReader::Answer& answer);
    void take_page(Subscriber& subscriber, const EventReader::Answer& answer);
    Channel& channel_for(EventFilter filter);
    void join_tail(Subscriber& subscriber);
    void leave_tail(Subscriber& subscriber);
    void append(Subscriber& subscriber, Piece piece);
    void append(Subscriber& subscriber, std::string text);
    void make_hungry(Subscriber& subscriber);
    std::size_t most_of_page() const;
    bool has_room() const;
    Text count_page(Text text);
    void release_those_ahead();
    bool is_held_up(const Subscriber& subscriber) const;
    /// May close and destroy it.
    void flush(Subscriber& subscriber);
    enum class Sent : unsigned char { all, full, broken };
    Sent send(Subscriber& subscriber);
    void consume(Subscriber& subscriber, std::size_t sent);

    const Options& options_;
    Clock& clock_;
    EventLoop loop_;
    EventReader reader_;
    Places places_;
    Store& store_;
    std::atomic<bool> hinted_{false};
    std::atomic<bool> stop_{false};
    std::atomic<bool> any_{false};     ///< There is somebody for whom to look.
    Duration goodbye_time_{0};         ///< Set before stop_.
    std::mutex mutex_;
    std::vector<Newcomer> newcomers_;  // Guarded by mutex_.
    bool gone_ = false;                // Guarded by mutex_. Nobody takes newcomers any more.

    // The thread's own from here on.
    std::size_t pages_held_ = 0;       ///< Bytes of pages of those who are behind. Outlives the subscribers, who hold them.
    std::unordered_map<std::uint64_t, std::unique_ptr<Subscriber>> subscribers_;
    std::map<std::string, std::unique_ptr<Channel>> channels_;
    std::uint64_t next_key_ = EventLoop::bell_key + 1;
    std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;
    std::vector<std::uint64_t> hungry_;                           ///< Those who want a page.
    std::vector<std::uint64_t> starved_;                          ///< Of those: they wait until there is room for a page.
    std::vector<std::uint64_t> ahead_;                            ///< Those who wait for a look at the tail; they are hungry.
    std::map<std::string, std::vector<std::uint64_t>> waiting_;   ///< Those who wait for one that was asked for.
    std::size_t at_tail_ = 0;          ///< How many are.
    EventId tail_ = 0;                 ///< Where the shared look stands; means nothing when nobody is at the tail.
    bool tail_asked_ = false;
    bool more_ = false;                ///< A page was full: read on at once.
    RealTime looked_at_{};
    RealClock::duration pause_{};      ///< Between two looks, hints or not.
    RealTime store_back_at_{};         ///< After an error: not before this.
    Duration store_pause_{0};
    Text beat_text_;                   ///< The newest heartbeat, and its position and time: many get the same.
    EventId beat_at_ = 0;
    Time beat_time_{};
    Subscription subscription_;
    std::thread thread_;
};

}  // namespace jobruntime::http
