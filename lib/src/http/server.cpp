// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/http.hpp>

#include <system_error>
#include <utility>

#include "http/front.hpp"
#include "http/hub.hpp"
#include "http/listen.hpp"
#include "http/pool.hpp"

namespace jobruntime::http {
namespace {

/// Leaves time for the streams' goodbye within the two seconds that stop() promises.
constexpr Duration request_patience{1'000};
/// How long the streams' last words may take.
constexpr Duration goodbye_time{1'000};
/// Health is asked of one thread in the router, so it takes two here only to wait side by side.
constexpr int prompt_threads = 2;

Error check(const Options& options) {
    const bool good = options.threads >= 1 && options.threads <= 1'024 && options.max_connections >= 1 &&
                      options.max_streams >= 0 && options.max_waiting >= 1 && options.max_head >= 256 && options.head_timeout > Duration{0} &&
                      options.idle_timeout > Duration{0} && options.stream_heartbeat > Duration{0} &&
                      options.stream_poll > Duration{0};
    if (good) return {};
    return {Errc::invalid_argument, "INVALID_ARGUMENT",
            "an option of the HTTP server is out of bounds: at least one thread, one connection, one waiting request, 256 "
            "bytes of head, and times above zero"};
}

}  // namespace

struct Server::Impl {
    Impl(ApiRouter& api, Store& its_store, Options given)
        : options(std::move(given)), router(api), store(its_store),
          hub(its_store, options, options.clock ? *options.clock : system_clock()), front(api, hub, pool, prompt, options) {}

    const Options options;
    ApiRouter& router;
    Store& store;
    std::vector<std::string> urls;
    bool started = false;
    // In this order: the front gives to the pool and to the hub, so it goes first.
    Hub hub;
    Pool pool;
    Pool prompt;
    Front front;
};

Server::Server(ApiRouter& router, Store& store, Options options)
    : impl_(std::make_unique<Impl>(router, store, std::move(options))) {}

Server::~Server() { stop(); }

Result<void> Server::start() {
    if (impl_->started) return Error{Errc::invalid_argument, "the HTTP server was started before; make a new one"};
    if (auto wrong = check(impl_->options); !wrong.message.empty()) return wrong;
    if (!impl_->hub.ready() || !impl_->front.ready())
        return Error{Errc::unavailable, "the system has no file descriptors left for the HTTP server"};
    auto listeners = listen_all(impl_->options.addresses, impl_->options.port, !impl_->router.is_guarded(),
                                impl_->options.log);
    if (!listeners) return std::move(listeners).error();
    for (const auto& listener : *listeners) impl_->urls.push_back(listener.url);
    impl_->started = true;
    impl_->hub.places().set_limits(impl_->options.max_streams, impl_->options.max_streams);
    try {
        impl_->hub.start();
        impl_->pool.start(impl_->options.threads, static_cast<std::size_t>(impl_->options.max_waiting));
        impl_->prompt.start(prompt_threads, static_cast<std::size_t>(impl_->options.max_waiting));
        impl_->front.start(std::move(*listeners));
    } catch (const std::system_error&) {
        stop();
        return Error{Errc::unavailable, "the system has no threads left for the HTTP server"};
    }
    return {};
}

void Server::stop() {
    impl_->front.stop(request_patience);
    impl_->hub.stop(goodbye_time);
    impl_->pool.stop();
    impl_->prompt.stop();
}

std::vector<std::string> Server::urls() const { return impl_->urls; }

}  // namespace jobruntime::http
