// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
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
#include "http/waiters.hpp"
#include "http/wire.hpp"

namespace jobruntime::http {

/// Owns the listening sockets and every connection that is not an event stream, in one thread: reads requests,
/// gives whole ones to the pool, writes what comes back. Nothing a peer does or leaves undone can block it.
class Front {
public:
    /// `prompt` runs what is answered soon whatever the store does, `pool` everything else.
    /// `disk` reads files.
    Front(ApiRouter& router, Store& store, Hub& hub, Pool& pool, Pool& prompt, Pool& disk, const Options& options);
    ~Front();

    bool ready() const { return loop_.ready(); }
    void start(std::vector<Listener> listeners);
    /// Closes idle connections at once and the others when their answer is written, or after `patience`; whoever has begun
    /// to send a request has a second for the rest. Does not wait;
    /// a second call can only shorten it.
    void begin_stop(Duration patience);
    void join();
    /// From any thread.
    void set_limits(const Limits& limits, PeerNets proxies);

private:
    enum class Phase : unsigned char { reading, routing, waiting, writing, lingering };
    /// A whole request on its way through the router.
    struct Routed {
        std::shared_ptr<Request> request;
        bool keep_alive = true;
        bool http10 = false;
        bool again = false;               ///< It has been asked for before.
        bool followed = false;            ///< What came behind it has been read, and is not thrown away when we stop.
    };
    /// One that was given to a pool, for as long as somebody wants its answer.
    struct Asked {
        enum class Turn : unsigned char { waiting, begun, answered, given_up };
        Asked(Routed what, Pool& in, RealTime until) : routed(std::move(what)), pool(in), by(until) {}
        const Routed routed;
        Pool& pool;
        RealTime by;                      ///< Then it is given up, when the store keeps it.
        int forgiven = 0;                 ///< How often that was put off, because nobody looked.
        std::atomic<Turn> turn{Turn::waiting};
    };
    /// A request that waits for its answer, and is asked for again now and then.
    struct Parked {
        Routed routed;
        Places::Place place;
        std::uint64_t turn = 0;           ///< Of its wait: a call may come too late.
        bool asked = false;               ///< Now; or it is about to be.
        bool last = false;                ///< Its patience is over.
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
        std::unique_ptr<Parked> parked;   ///< While it is waiting.
        std::size_t sent = 0;             ///< Of head and text together.
        std::int64_t file_ready = 0;      ///< What comes before it in the reply's file lies in memory.
        bool bringing = false;            ///< A thread reads the next part of that file.
        std::size_t taken = 0;            ///< By the peer, since the deadline was set.
        std::size_t answer_held = 0;      ///< Bytes of its reply, counted in answer_memory_.
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
        Routed routed;
        Reply reply;
        std::optional<Later> later;       ///< Instead of the reply.
        bool good = false;                ///< Its status is 200.
    };

    /// A part of a file was read, up to there.
    struct Brought {
        std::uint64_t key = 0;
        std::int64_t end = 0;
    };

    void run();
    void take_limits();
    bool accept_some(Listener& listener);
    enum class Refused : unsigned char { no, by_all, by_client };
    Refused make_room(const std::string& client);
    bool evict_idle();
    void adopt(Fd socket, std::string remote, std::string client, Refused refused);
    void set_idle(std::uint64_t key, Connection& connection, bool idle);
    bool admit(std::uint64_t key, Connection& connection);
    void pause_listening(int error);  ///< 0: no more.
    void on_socket(std::uint64_t key, std::uint32_t events);
    void on_readable(std::uint64_t key, Connection& connection);
    void advance(std::uint64_t key, Connection& connection);
    bool keep_reading(std::uint64_t key, Connection& connection, bool body_begins);
    void hold(Connection& connection, std::size_t bytes);
    void hold_answer(Connection& connection, std::size_t bytes);
    Reply within_memory(const Request& request, const Wire& wire, Reply reply);
    void route(std::uint64_t key, Connection& connection);
    bool submit(std::uint64_t key, Routed routed);
    void set_asked(std::uint64_t key, Connection& connection, std::shared_ptr<Asked> asked);
    void give_up_late();
    void give_up(std::uint64_t key, Connection& connection);
    Response no_file(const Request& request, int error) const;
    Answer make_answer(std::uint64_t key, const Routed& routed);
    Places::Place stream_place(Response& response, const Request& request);
    void refuse(std::uint64_t key, Connection& connection, Response response);
    void refuse(std::uint64_t key, Connection& connection, int status, std::string_view code, std::string_view message);
    void take_answers();
    void begin_writing(std::uint64_t key, Connection& connection, Reply reply);
    void write(std::uint64_t key, Connection& connection);
    void finish(std::uint64_t key, Connection& connection);
    void linger(std::uint64_t key, Connection& connection);
    void watch(std::uint64_t key, Connection& connection, std::uint32_t events);
    void forgive(Duration at_least);
    void enforce_deadlines();
    void close(std::uint64_t key);
    void count_client(const Connection& connection, int by);

    // front_file.cpp
    bool bring_file(std::uint64_t key, Connection& connection);
    void take_brought();

    // front_stop.cpp
    void part();
    void close_quiet_ones();
    static bool has_come(const Connection& connection);
    RealTime read_by(Duration usual) const;

    // front_wait.cpp
    void park(std::uint64_t key, Connection& connection, Answer answer);
    void unpark(std::uint64_t key, Connection& connection, bool served);
    void left_waiting(std::uint64_t key, Connection& connection);
    void take_calls();
    void ask_again(std::uint64_t key, Parked& parked, bool last);
    void ask_all_parked();
    void submit_parked();

    ApiRouter& router_;
    Hub& hub_;
    Pool& pool_;
    Pool& prompt_;
    Pool& disk_;
    const Options& options_;
    EventLoop loop_;
    std::atomic<bool> stop_{false};
    std::atomic<RealTime::rep> stop_by_{0};
    std::mutex mutex_;
    std::vector<Answer> answers_;   // Guarded by mutex_.
    std::vector<Waiters::Call> calls_;  // Guarded by mutex_.
    std::vector<Brought> brought_;  // Guarded by mutex_.
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
    RateLimit rate_;                ///< Of each client.
    RateLimit whole_rate_;          ///< Of all.
    std::uint64_t next_key_ = 0;
    std::size_t refused_ = 0;       ///< Connections that are there only to be told that there are too many.
    std::size_t parked_ = 0;        ///< Requests that wait; their connections count as streams do.
    std::deque<std::uint64_t> to_ask_;  ///< Of those that wait: to be asked for again.
    int asking_ = 0;                ///< Of those: in the pool.
    std::size_t body_memory_ = 0;   ///< Bytes of all bodies held.
    std::size_t answer_memory_ = 0; ///< Bytes of all answers held.
    bool paused_ = false;
    bool starved_ = false;          ///< It has paused between any two ticks since that was said.
    bool stopping_ = false;         ///< part() has been called.
    RealTime next_tick_{};
    Waiters waiters_;
    std::thread thread_;
};

}  // namespace jobruntime::http
