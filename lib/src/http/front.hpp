// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include <jobruntime/api_router.hpp>
#include <jobruntime/http.hpp>

#include "http/clients.hpp"
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
    /// `prompt` runs what is answered soon whatever the store does, `pool` everything else.
    Front(ApiRouter& router, Hub& hub, Pool& pool, Pool& prompt, const Options& options);
    ~Front();

    bool ready() const { return loop_.ready(); }
    void start(std::vector<Listener> listeners);
    /// Closes idle connections at once and the others when their answer is written, or after `patience`. Does not wait;
    /// a second call can only shorten it.
    void begin_stop(Duration patience);
    void join();
    /// From any thread.
    void set_limits(const Limits& limits, PeerNets proxies);

private:
    enum class Phase : unsigned char { reading, routing, writing, lingering };
    /// A request that was given to a pool, for as long as somebody wants its answer.
    struct Asked {
        enum class Turn : unsigned char { waiting, begun, answered, given_up };
        Asked(Request what, Pool& by) : request(std::move(what)), pool(by) {}
        const Request request;
        Pool& pool;
        std::atomic<Turn> turn{Turn::waiting};
    };
    struct Connection {
        Fd socket;
        std::string remote;               ///< Address of the peer.
        std::string client;               ///< Who counts for it; empty = nobody.
        std::string sender;               ///< Of the request: the peer, or who it says it speaks for.
        std::list<std::uint64_t>::iterator idle_at{};  ///< In idle_, while it is idle.
        bool idle = false;
        std::shared_ptr<Asked> asked;     ///< Set while its answer has a deadline; shared with the pool's thread.
        std::list<std::uint64_t>::iterator asked_at{};  ///< In asked_, then.
        Phase phase = Phase::reading;
        RequestReader reader;
        std::string input;
        std::optional<Reply> reply;
        std::size_t sent = 0;             ///< Of head and text together.
        std::size_t taken = 0;            ///< By the peer, since the deadline was set.
        std::size_t body_held = 0;        ///< Bytes of its request's body, counted in body_memory_.
        bool begun = false;               ///< The first byte of the next request has come.
        bool answering_failure = false;   ///< The reply came from the front; the connection ends after it.
        bool peer_gone = false;
        bool refused = false;             ///< One too many: it gets its answer and goes.
        std::uint32_t interest = 0;
        RealTime deadline{};
    };
    struct Answer {
        std::uint64_t key = 0;
        Reply reply;
    };

    void run();
    void take_limits();
    void accept_all(Listener& listener);
    enum class Refused : unsigned char { no, by_all, by_client };
    Refused make_room(const std::string& client);
    bool evict_idle();
    void adopt(Fd socket, std::string remote, std::string client, Refused refused);
    void set_idle(std::uint64_t key, Connection& connection, bool idle);
    bool admit(std::uint64_t key, Connection& connection);
    void pause_listening(bool pause);
    void on_socket(std::uint64_t key, std::uint32_t events);
    void on_readable(std::uint64_t key, Connection& connection);
    void advance(std::uint64_t key, Connection& connection);
    bool keep_reading(std::uint64_t key, Connection& connection, bool body_begins);
    void hold(Connection& connection, std::size_t bytes);
    void route(std::uint64_t key, Connection& connection);
    void set_asked(std::uint64_t key, Connection& connection, std::shared_ptr<Asked> asked);
    void give_up_late();
    void give_up(std::uint64_t key, Connection& connection);
    Reply make_reply(const Request& request, bool keep_alive, bool http10);
    Places::Place stream_place(Response& response, const Request& request);
    void refuse(std::uint64_t key, Connection& connection, Response response);
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
    Pool& prompt_;
    const Options& options_;
    EventLoop loop_;
    std::atomic<bool> stop_{false};
    std::atomic<RealTime::rep> stop_by_{0};
    std::mutex mutex_;
    std::vector<Answer> answers_;   // Guarded by mutex_.
    bool gone_ = false;             // Guarded by mutex_. Nobody takes answers any more.
    std::optional<std::pair<Limits, PeerNets>> new_limits_;  // Guarded by mutex_.

    // The thread's own from here on.
    std::vector<Listener> listeners_;
    std::unordered_map<std::uint64_t, std::unique_ptr<Connection>> connections_;
    std::unordered_map<std::string, int> by_client_;  ///< Connections of each.
    std::list<std::uint64_t> idle_;                   ///< Connections without a request, the longest so first.
    std::list<std::uint64_t> asked_;                  ///< Connections whose answer has a deadline, by that.
    Limits limits_;
    PeerNets proxies_;
    RateLimit rate_;
    std::uint64_t next_key_ = 0;
    std::size_t refused_ = 0;       ///< Connections that are there only to be told that there are too many.
    std::size_t body_memory_ = 0;   ///< Bytes of all bodies held.
    bool paused_ = false;
    RealTime next_tick_{};
    std::thread thread_;
};

}  // namespace jobruntime::http
