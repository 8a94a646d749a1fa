// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <jobruntime/api_router.hpp>
#include <jobruntime/http.hpp>
#include <jobruntime/store.hpp>

#include "http/event_loop.hpp"

namespace jobruntime::http {

/// Sends the event streams, all from one thread. Subscribers that are up to date share one look at the store and one
/// text of each event; one that is behind (new, resumed, or slow) reads for itself, a page at a time and only while
/// its backlog is small, so a reader that never reads costs a bounded backlog and in the end is dropped.
class Hub {
public:
    Hub(Store& store, const Options& options, Clock& clock);
    ~Hub();

    bool ready() const { return loop_.ready(); }
    void start();
    /// Says goodbye on every stream and ends the thread.
    void stop();

    /// Keeps a place for one stream; false when all are taken. Then add() or release().
    bool reserve();
    void release() { streams_.fetch_sub(1); }
    /// Takes over a connection whose answer begins with `head`.
    void add(Fd socket, std::string head, EventStream stream);

private:
    using Text = std::shared_ptr<const std::string>;
    struct Subscriber {
        Fd socket;
        EventStream stream;
        std::optional<EventId> position;  ///< Everything up to it is in the backlog or sent.
        bool at_tail = false;             ///< Fed by the shared look.
        bool closing = false;             ///< Gets no more; closed once the backlog is sent, or at close_by.
        bool wants_out = false;
        std::deque<Text> backlog;
        std::size_t backlog_bytes = 0;
        std::size_t sent_of_first = 0;
        RealTime progress_at{};           ///< When it last took a byte, or had nothing to take.
        RealTime heartbeat_at{};
        RealTime close_by{};
    };
    struct Newcomer {
        Fd socket;
        std::string head;
        EventStream stream;
    };

    void run();
    std::optional<RealTime> next_wake() const;
    void adopt();
    void on_socket(std::uint64_t key, std::uint32_t events);
    void read_store();
    bool read_tail(bool& more);
    bool read_alone(Subscriber& subscriber, bool& more);
    void feed(Subscriber& subscriber, const std::vector<Event>& events, const std::vector<Text>& texts, EventId upto);
    void on_store_error(const Error& error);
    void beat(RealTime now);
    void drop_stalled(RealTime now);
    void append(Subscriber& subscriber, Text text);
    /// False when the connection is gone.
    bool flush(std::uint64_t key, Subscriber& subscriber);
    void flush_all();
    void close(std::uint64_t key);
    void say_goodbye();
    void log(const std::string& line) const;

    Store& store_;
    const Options& options_;
    Clock& clock_;
    EventLoop loop_;
    std::atomic<int> streams_{0};
    std::atomic<bool> hinted_{false};
    std::atomic<bool> stop_{false};
    std::mutex mutex_;
    std::vector<Newcomer> newcomers_;  // Guarded by mutex_.

    // The thread's own from here on.
    std::map<std::uint64_t, Subscriber> subscribers_;
    std::uint64_t next_key_ = EventLoop::bell_key + 1;
    EventId tail_ = 0;                 ///< Where the shared look stands; means nothing when nobody is at the tail.
    bool more_ = false;                ///< A page was full: read on at once.
    RealTime read_at_{};
    RealTime store_back_at_{};         ///< After an error: not before this.
    Duration store_pause_{0};
    Subscription subscription_;
    std::thread thread_;
};

}  // namespace jobruntime::http
