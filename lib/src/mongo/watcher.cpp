// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/watcher.hpp"

#include <algorithm>

#include "mongo/records.hpp"

namespace jobruntime::mongo {

using namespace std::chrono_literals;

namespace {

constexpr Duration quickest{5};

}  // namespace

Watcher::Watcher(Server& server, Journal& journal, const Options& options, std::function<void(unsigned)> tell)
    : server_(server),
      journal_(journal),
      slowest_(std::max(options.poll, quickest)),
      streams_(options.change_streams),
      tell_(std::move(tell)) {}

Watcher::~Watcher() {
    if (!thread_.joinable()) return;
    thread_.request_stop();
    thread_.join();
}

void Watcher::start() {
    const std::scoped_lock lock(mutex_);
    if (!thread_.joinable()) thread_ = std::jthread([this](std::stop_token stop) { run(stop); });
}

/// The pause grows while nothing happens and is short again once something did.
void Watcher::look() {
    unsigned hints = 0;
    if (!begun_) {
        const auto tail = journal_.tail();
        const auto counter = record_counter(server_);
        if (!tail || !counter) {
            pause_ = slowest_;
            return;
        }
        batch_ = tail->batch;
        records_ = *counter;
        begun_ = true;
        // Something may have happened between the subscription and this look.
        tell_(hint_jobs | hint_cancel | hint_events | hint_records | hint_settled);
        return;
    }
    const auto counter = record_counter(server_);
    if (!counter) {
        pause_ = slowest_;
        return;
    }
    if (*counter != records_) {
        records_ = *counter;
        hints |= hint_records;
    }
    if (const auto news = journal_.hints_since(batch_)) hints |= *news;
    pause_ = hints != 0 ? quickest : std::min(pause_ * 2, slowest_);
    if (hints != 0) tell_(hints);
}

void Watcher::poll_until(std::stop_token stop, std::chrono::steady_clock::time_point end) {
    while (!stop.stop_requested() && std::chrono::steady_clock::now() < end) {
        look();
        std::unique_lock lock(mutex_);
        wake_.wait_for(lock, stop, pause_, [] { return false; });
    }
}

void Watcher::run(std::stop_token stop) {
    while (!stop.stop_requested()) {
        // From before the stream's beginning on nothing is missed: it begins with a look.
        if (streams_) server_.watch([this] { look(); }, [&] { return !stop.stop_requested(); });
        // None, or it has ended: poll for a while before asking for one again.
        poll_until(stop, std::chrono::steady_clock::now() + 10s);
    }
}

}  // namespace jobruntime::mongo
