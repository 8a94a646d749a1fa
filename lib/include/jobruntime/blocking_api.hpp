// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include <jobruntime/api_router.hpp>
#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime {

namespace core {
struct BlockingState;
}

struct BlockingOptions {
    /// Event streams, and requests that wait for their answer (Later), at once. Each holds a thread of the server's, so this
    /// is to be well below the number of those. A further stream is answered 503 with Retry-After, a further request by what
    /// is so now.
    int waiting = 4;
    std::size_t max_head = 8 << 10;   ///< Bytes of the request line and headers; more is 431.
    std::size_t max_body = 1 << 20;   ///< Bytes; more is 413.
    Duration heartbeat{15'000};       ///< event: heartbeat.
    Duration poll{250};               ///< How often a stream looks for events when no hint came, and EventFeed::next() returns.
    Clock* clock = nullptr;           ///< For times that are shown; nullptr = system_clock().
};

/// One stream of server-sent events as text, made while it is sent. For one thread at a time.
class JOBRUNTIME_API EventFeed {
public:
    ~EventFeed();
    /// What is to be sent next, as soon as there is some, at most some 64 KiB; empty when nothing came within
    /// BlockingOptions::poll, so that the server can look whether its reader is still there. A heartbeat now and then;
    /// `event: shutdown` and `event: revoked` are last words. Reads on only when it is called, so that a slow reader costs
    /// one page. A store that does not answer is asked again the next time.
    std::string next();
    /// Nothing more will come.
    bool ended() const;

private:
    friend class BlockingApi;
    struct Impl;
    explicit EventFeed(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// An ApiRouter for a server that a program has already and that gives each request a thread (httplib.hpp: cpp-httplib).
/// Whoever has no such server takes http::Server, which bears more and holds no thread for those that wait.
///
/// The order: refuse_head() as soon as the head is there; then, when has_body(), the body, of at most max_body bytes; then
/// handle(). What refuse_head() answered ends the connection, or the rest of that request is taken for the next one.
/// Thread-safe. The router and the store outlive it, and it outlives handle() and EventFeed::next() in progress.
class JOBRUNTIME_API BlockingApi {
public:
    BlockingApi(ApiRouter& router, Store& store, BlockingOptions options = {});
    /// As stop(), without waiting; what feeds there are end at their next().
    ~BlockingApi();
    BlockingApi(const BlockingApi&) = delete;
    BlockingApi& operator=(const BlockingApi&) = delete;

    struct Answer {
        Response response;                  ///< Never a Later.
        std::shared_ptr<EventFeed> stream;  ///< Of an EventStream in `response`, unless the request is HEAD; holds its place.
        std::shared_ptr<void> under_way;    ///< To be kept until all of it is sent: stop() waits for that.
    };

    /// Checks the head as far as its parts still show what was sent: names, values, doubles, Host, sizes, the body's length;
    /// then, when a body follows, ApiRouter::refuse_early(). Nothing when the request is in order.
    std::optional<Response> refuse_head(const Request& head) const;
    /// By the head: a Content-Length above 0, or a Transfer-Encoding.
    static bool has_body(const Request& head);
    /// Blocks as ApiRouter::handle(), and for as long as the request asked to wait. `patience` is not looked at.
    Answer handle(Request request);
    /// The answer to a request that the server refuses by itself.
    Response refuse(const Request& request, int status, std::string_view code, std::string_view message) const;

    /// Ends streams with `event: shutdown`, has requests that wait answered by what is so now, and waits until all answers
    /// are sent, but no longer than `grace`. There are no streams and no waiting afterwards. From any thread; idempotent.
    void stop(Duration grace = Duration{5'000});

private:
    std::shared_ptr<core::BlockingState> state_;  // Shared with answers, which a server may keep a little longer.
};

}  // namespace jobruntime
