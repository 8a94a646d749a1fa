// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/http.hpp>

#include <algorithm>
#include <system_error>
#include <utility>

#include "http/front.hpp"
#include "http/hub.hpp"
#include "http/listen.hpp"
#include "http/pool.hpp"

namespace jobruntime::http {
namespace {

/// How long the streams' last words may take.
constexpr Duration most_goodbye{1'000};
/// Health is asked of one thread in the router, so it takes two here only to wait side by side.
constexpr int prompt_threads = 2;
/// Which read what is not in memory of files that are sent.
constexpr int disk_threads = 4;
/// Parts of files that wait for them: small things, at most one a connection that is still there.
constexpr std::size_t most_parts_waiting = 16'384;

Error check(const Options& options) {
    const bool good = options.threads >= 1 && options.threads <= 1'024 && options.max_waiting >= 1 &&
                      options.max_head >= 256 && options.head_timeout > Duration{0} &&
                      options.idle_timeout > Duration{0} && options.answer_patience > Duration{0} && options.write_stall > Duration{0} && options.stream_heartbeat > Duration{0} &&
                      options.stream_poll > Duration{0};
    if (good) return {};
    return {Errc::invalid_argument, "INVALID_ARGUMENT",
            "an option of the HTTP server is out of bounds: at least one thread, one waiting request, 256 bytes of head, and "
            "times above zero"};
}

Error check(const Limits& limits) {
    const bool good = limits.connections >= 1 && limits.streams >= 0 && limits.client_connections >= 1 &&
                      limits.client_streams >= 0 && limits.client_rate >= 0 && limits.rate >= 0;
    if (good) return {};
    return {Errc::invalid_argument, "INVALID_ARGUMENT",
            "a limit of the HTTP server is out of bounds: at least one connection, and nothing below zero"};
}

}  // namespace

struct Server::Impl {
    Impl(ApiRouter& api, Store& its_store, Options given)
        : options(std::move(given)), router(api), store(its_store),
          hub(its_store, options, options.clock ? *options.clock : system_clock()), front(api, its_store, hub, pool, prompt, disk, options) {}

    const Options options;
    ApiRouter& router;
    Store& store;
    std::vector<std::string> urls;
    bool started = false;
    // In this order: the front gives to the pool and to the hub, so it goes first.
    Hub hub;
    Pool pool;
    Pool prompt;
    Pool disk;
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
    JR_TRY(set_limits(impl_->options.limits));
    auto listeners = listen_all(impl_->options.addresses, impl_->options.port, impl_->options.socket_mode,
                                !impl_->router.is_guarded(),
                                impl_->options.log);
    if (!listeners) return std::move(listeners).error();
    for (const auto& listener : *listeners) impl_->urls.push_back(listener.url);
    impl_->started = true;
    try {
        impl_->hub.start();
        impl_->pool.start(impl_->options.threads, static_cast<std::size_t>(impl_->options.max_waiting));
        impl_->prompt.start(prompt_threads, static_cast<std::size_t>(impl_->options.max_waiting));
        impl_->disk.start(disk_threads, most_parts_waiting);
        impl_->front.start(std::move(*listeners));
    } catch (const std::system_error&) {
        stop();
        return Error{Errc::unavailable, "the system has no threads left for the HTTP server"};
    }
    return {};
}

void Server::stop() {
    impl_->front.begin_stop(impl_->options.grace);
    impl_->hub.stop(std::min(impl_->options.grace, most_goodbye));
    impl_->front.join();
    impl_->pool.stop();
    impl_->prompt.stop();
    impl_->disk.stop();
}

void Server::stop_now() { impl_->front.begin_stop(Duration{0}); }

Result<void> Server::check_limits(const Limits& limits) {
    if (auto wrong = check(limits); !wrong.message.empty()) return wrong;
    auto proxies = PeerNets::parse(limits.trusted_proxies);
    if (!proxies) return std::move(proxies).error();
    return {};
}

Result<void> Server::set_limits(Limits limits) {
    if (auto wrong = check(limits); !wrong.message.empty()) return wrong;
    auto proxies = PeerNets::parse(limits.trusted_proxies);
    if (!proxies) return std::move(proxies).error();
    impl_->front.set_limits(limits, *std::move(proxies));
    return {};
}

std::vector<std::string> Server::urls() const { return impl_->urls; }

}  // namespace jobruntime::http
