// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <jobruntime/api_router.hpp>
#include <jobruntime/http.hpp>

#include "http/event_loop.hpp"
#include "http/hub.hpp"
#include "http/listen.hpp"
#include "http/pool.hpp"
#include "http/request_reader.hpp"
#include "http/wire.hpp"

namespace jobruntime::http {

/// Owns the listening sockets and every connection that is not an event stream, in one thread: reads requests,
/// gives whole ones to the pool, writes what comes back. Nothing a peer does or leaves undone can block it.
class Front {
public:
    Front(ApiRouter& router, Hub& hub, Pool& pool, const Options& options);
    ~Front();

    bool ready() const { return loop_.ready(); }
    void start(std::vector<Listener> listeners);
    /// Closes idle connections at once and the others when their answer is written, or after `patience`.
    void stop(Duration patience);

private:
    enum class Phase : unsigned char { reading, routing, writing, lingering };
    struct Connection {
        Fd socket;
        std::string remote;
        Phase phase = Phase::reading;
        RequestReader reader;
        std::string input;
        std::optional<Reply> reply;
        std::size_t sent = 0;             ///< Of head and text together.
        bool begun = false;               ///< The first byte of the next request has come.
        bool answering_failure = false;   ///< The reply came from the front; the connection ends after it.
        bool peer_gone = false;
        std::uint32_t interest = 0;
        RealTime deadline{};
    };
    struct Answer {
        std::uint64_t key = 0;
        Reply reply;
    };

    void run();
    void accept_all(Listener& listener);
    void pause_listening(bool pause);
    void refuse_connection(Fd socket);
    void on_socket(std::uint64_t key, std::uint32_t events);
    void on_readable(std::uint64_t key, Connection& connection);
    void advance(std::uint64_t key, Connection& connection);
    void route(std::uint64_t key, Connection& connection);
    Reply make_reply(const Request& request, bool keep_alive, bool http10);
    void refuse(std::uint64_t key, Connection& connection, int status, std::string_view code, std::string_view message);
    void take_answers();
    void begin_writing(std::uint64_t key, Connection& connection, Reply reply);
    void write(std::uint64_t key, Connection& connection);
    void finish(std::uint64_t key, Connection& connection);
    void linger(std::uint64_t key, Connection& connection);
    void watch(std::uint64_t key, Connection& connection, std::uint32_t events);
    void enforce_deadlines();
    void close(std::uint64_t key);
    void close_quiet_ones();

    ApiRouter& router_;
    Hub& hub_;
    Pool& pool_;
    const Options& options_;
    EventLoop loop_;
    std::atomic<bool> stop_{false};
    std::atomic<RealTime::rep> stop_by_{0};
    std::mutex mutex_;
    std::vector<Answer> answers_;   // Guarded by mutex_.
    bool gone_ = false;             // Guarded by mutex_. Nobody takes answers any more.

    // The thread's own from here on.
    std::vector<Listener> listeners_;
    std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
    std::uint64_t next_key_ = 0;
    bool paused_ = false;
    RealTime next_tick_{};
    std::thread thread_;
};

}  // namespace jobruntime::http
