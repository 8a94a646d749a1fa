// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/api_router.hpp>
#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::http {

/// What clients may take at most. A client is an address (of IPv6, a network of 64 bits). Those of this machine, on loopback
/// or a Unix socket, count in the sums only.
struct Limits {
    int connections = 1'024;          ///< Besides streams and requests that wait. A further one takes the place of the one that has been idle for
                                      ///< longest; when none is idle, it is refused with 503.
    int streams = 1'000;              ///< And requests that wait (Later). Further ones are answered 503 with Retry-After.
    int client_connections = 256;     ///< Of one client, and not of a trusted proxy; further ones are refused with 429.
    int client_streams = 100;         ///< Of one client; further ones are answered 429.
    int client_rate = 200;            ///< Requests per second of one client, but for those that ApiRouter::is_prompt() names;
                                      ///< two seconds' worth may come at once, further ones are answered 429. 0 = no limit.
    int rate = 0;                     ///< Requests per second of all together, this machine's too, but for those that ApiRouter::is_prompt()
                                      ///< names; two seconds' worth may come at once, further ones are answered 503. 0 = no limit.
    std::vector<std::string> trusted_proxies{};  ///< Addresses, networks ("10.0.0.0/8") or "unix". Theirs is the only
                                      ///< X-Forwarded-For that is believed; it then says who the client is.
};

struct Options {
    std::vector<std::string> addresses = {"127.0.0.1", "::1"};  ///< Others than loopback only when the router asks for
                                      ///< tokens. "unix:/path" is a Unix socket, guarded by its mode.
    int port = 4000;                  ///< 0 = a free one, the same for all addresses.
    unsigned socket_mode = 0600;      ///< Of Unix sockets.
    bool limit_own_machine = false;   ///< Loopback is a client like others, too; what comes through a Unix socket is nobody's.
    int threads = 8;                  ///< Requests routed at once.
    Limits limits{};
    int max_waiting = 256;            ///< Requests that wait for a thread; further ones are answered 503 (OVERLOADED).
    std::size_t max_body_memory = 64 << 20;  ///< Bytes of all bodies held at once; further ones are answered 503.
    std::size_t max_answer_memory = 256 << 20;  ///< Bytes of all answers on their way at once, files apart; further ones above 64 KiB to a GET
                                      ///< become 503 (OVERLOADED). What tells of a change is always sent.
    std::size_t max_body = 1 << 20;   ///< Bytes; more is 413.
    std::size_t max_head = 8 << 10;   ///< Bytes of request line and headers; more is 431 (414 for the line).
    Duration head_timeout{10'000};    ///< For a whole head, and again for a whole body.
    Duration idle_timeout{60'000};    ///< Between two requests of a connection.
    Duration answer_patience{2'500};  ///< For the router's answer; then ApiRouter::refuse_late() says that the store hangs.
    Duration write_stall{30'000};     ///< A reader that takes less than 64 KiB of its answer in so long is let go.
    Duration grace{30'000};           ///< How long stop() lets requests finish.
    Duration stream_heartbeat{15'000};///< event: heartbeat.
    Duration stream_poll{250};        ///< How often to look for events when no hint came; for requests that wait, too.
    std::size_t stream_backlog = 256 << 10;  ///< Bytes waiting for one stream's reader; then it is fed no more until it reads.
    std::size_t max_stream_memory = 32 << 20;  ///< Bytes of pages for readers that are behind (new, resumed or slow), of all together; without
                                      ///< room for a further one it is read later, and who takes too little is dropped whatever it has.
    Duration stream_stall{10'000};    ///< A reader with a full backlog that takes less than 64 KiB in so long is dropped.
    Clock* clock = nullptr;           ///< For times that are shown; nullptr = system_clock(). Time-outs are the kernel's.
    std::function<void(std::string_view line)> log{};  ///< What an operator may want to know; empty = nowhere.
};

/// Serves an ApiRouter on sockets: HTTP/1.1 with keep-alive, one request of a connection at a time.
///
/// One thread owns every socket, reads each request whole under the limits above, refuses what RFC 9112 forbids or
/// lets two readers understand differently, and writes the answers; `threads` threads only run the router; four read what of
/// files that are sent is not in memory, so that a disk which hangs holds up its own readers only; one
/// more thread sends the event streams, and another reads events for it, so that a store which hangs holds up no stream.
/// Whoever has to wait for the store longer than `answer_patience` is told so; the thread that hangs in it is replaced, up to
/// 64 times, and what it still brings goes nowhere.
/// A request that waits for its answer (Later) keeps its connection and no thread: one thread hears new events for all of them,
/// so that the router is asked again for those that they concern. A client that closes its side has left.
/// A slow or silent peer costs a file descriptor and its buffer, never a thread. What a head alone forbids is refused before its body is read. Requests that ApiRouter::is_prompt() names have threads of their
/// own, so that health is answered while all others wait for the store.
class JOBRUNTIME_API Server {
public:
    Server(ApiRouter& router, Store& store, Options options = {});
    ~Server();
    /// Errc::conflict (PORT_IN_USE) names the address; Errc::invalid_argument (ADDRESS_REFUSED) for one that is not
    /// loopback while the router asks for no tokens, or is no address, and for limits that make no
    /// sense. An IPv6 loopback that this machine does not have is left out with a line in the log.
    /// Errc::unavailable: the system refuses a thread, a descriptor or the event queue.
    Result<void> start();
    /// Takes no more connections, ends streams with `event: shutdown` and waits with what is so now at once, and lets requests that are being routed or
    /// answered finish within the grace time; one of which only a part has come has a second for the rest. Returns
    /// as soon as they have, or when the store verb in progress returns.
    /// Idempotent; the destructor calls it.
    void stop();
    /// Beside a stop() that takes too long: the grace time is over. From any thread.
    void stop_now();
    /// What set_limits() would say to these.
    static Result<void> check_limits(const Limits& limits);
    /// New limits for whoever comes from now on; what is open stays. From any thread. Errors as start().
    Result<void> set_limits(Limits limits);
    /// "http://127.0.0.1:4000", "unix:/run/jobrt.sock", … once started.
    std::vector<std::string> urls() const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace jobruntime::http
