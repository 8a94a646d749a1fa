// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/blocking_api.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <new>
#include <utility>

#include "core/request_head.hpp"
#include "core/sse.hpp"

namespace jobruntime {
namespace {

using RealClock = std::chrono::steady_clock;
using RealTime = RealClock::time_point;

constexpr std::size_t most_headers = 100;
constexpr int page_events = 200;
constexpr int most_history = 2'000;
constexpr std::size_t page_bytes = 64 << 10;
/// Hints come in bursts: what arrives within this after a look is seen by one more look.
constexpr Duration debounce{15};
/// A request that waits is asked again not sooner than this after the last time,
constexpr Duration least_pause{50};
/// and not later, because hints may be missing.
constexpr Duration most_pause{1'000};

/// The length that the head promises, as far as it matters: a longer one counts as one more than `most`.
std::size_t promised(std::string_view length, std::size_t most) {
    std::size_t size = 0;
    for (const char c : length) {
        size = size * 10 + static_cast<std::size_t>(c - '0');
        if (size > most) return most + 1;
    }
    return size;
}

}  // namespace

namespace core {

struct BlockingState {
    BlockingState(ApiRouter& api, Store& its_store, BlockingOptions given)
        : router(api), store(its_store), options(given), clock(given.clock ? *given.clock : system_clock()) {}

    struct GiveBack {
        void operator()(BlockingState* state) const {
            const std::lock_guard lock(state->mutex);
            --state->taken;
        }
    };
    using Place = std::unique_ptr<BlockingState, GiveBack>;

    /// Empty when there is none, or we stop.
    Place take_place() {
        const std::lock_guard lock(mutex);
        if (stopping || taken >= options.waiting) return {};
        ++taken;
        return Place(this);
    }
    /// Until something has happened that `seen` has not, not before `earliest` and not after `latest`. False: we stop.
    bool wait(std::uint64_t& seen, RealTime earliest, RealTime latest) {
        std::unique_lock lock(mutex);
        changed.wait_until(lock, std::min(earliest, latest), [this] { return stopping; });
        changed.wait_until(lock, latest, [&] { return stopping || rings != seen; });
        seen = rings;
        return !stopping;
    }
    std::uint64_t rings_now() {
        const std::lock_guard lock(mutex);
        return rings;
    }
    bool stops() {
        const std::lock_guard lock(mutex);
        return stopping;
    }
    Response ask(const Request& request) const {
        if (auto response = router.answer_at_once(request)) return *std::move(response);
        return router.handle(request);
    }
    Response wait_for_answer(Request& request, Later later, std::uint64_t seen);
    Response no_place(const Request& request);

    ApiRouter& router;
    Store& store;
    const BlockingOptions options;
    Clock& clock;
    std::mutex mutex;
    std::condition_variable changed;
    std::uint64_t rings = 0;  // Guarded by mutex.
    int taken = 0;            // Guarded by mutex.
    int under_way = 0;        // Guarded by mutex.
    bool stopping = false;    // Guarded by mutex.
    Subscription subscription;
};

Response BlockingState::wait_for_answer(Request& request, Later later, std::uint64_t seen) {
    const auto place = take_place();
    const auto until = RealClock::now() + later.patience;
    request.patience = place ? Request::Patience::some : Request::Patience::none;
    while (true) {
        if (place) {
            const auto now = RealClock::now();
            const auto pause = std::min(later.again.value_or(most_pause), most_pause);
            const bool goes_on = wait(seen, now + least_pause, std::min<RealTime>(now + pause, until));
            if (!goes_on || RealClock::now() >= until) request.patience = Request::Patience::over;
        }
        auto response = ask(request);
        const auto* again = std::get_if<Later>(&response.body);
        if (!again) return response;
        later.again = again->again;
    }
}

Response BlockingState::no_place(const Request& request) {
    if (stops()) return router.refuse(request, 503, "STOPPING", "The server stops; try again");
    auto response = router.refuse(request, 503, "TOO_MANY_STREAMS", "All places of event streams and of requests that wait are taken; try again");
    for (auto& [name, value] : response.headers)
        if (name == "retry-after") value = "5";
    return response;
}

}  // namespace core

using core::BlockingState;

struct EventFeed::Impl {
    Impl(std::shared_ptr<BlockingState> its_api, BlockingState::Place its_place, EventStream its_stream)
        : api(std::move(its_api)), place(std::move(its_place)), stream(std::move(its_stream)), position(stream.after),
          beat_at(RealClock::now() + api->options.heartbeat) {}

    std::string look();

    const std::shared_ptr<BlockingState> api;
    const BlockingState::Place place;
    const EventStream stream;
    std::optional<EventId> position;
    std::string first;          ///< Of the look that was made before the head was sent.
    RealTime beat_at;
    RealTime looked_at{};
    std::uint64_t seen = 0;
    bool more = false;
    bool ended = false;
};

/// The events after the position, as text.
std::string EventFeed::Impl::look() {
    const bool begins = !position;
    const int limit = begins ? std::clamp(stream.history, 1, most_history) : page_events;
    const auto page = api->store.events(position, stream.filter, limit);
    looked_at = RealClock::now();
    more = page && static_cast<int>(page->events.size()) >= limit;
    if (!page) return {};
    std::string text;
    if (page->truncated && !begins) text = core::sse_truncated(page->oldest);
    position = page->next;
    for (const auto& event : page->events) {
        text += core::sse_telemetry(event);
        if (text.size() < page_bytes || event.id == page->events.back().id) continue;
        position = event.id;
        more = true;
        break;
    }
    return text;
}

EventFeed::EventFeed(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EventFeed::~EventFeed() = default;

bool EventFeed::ended() const { return impl_->ended; }

std::string EventFeed::next() {
    Impl& feed = *impl_;
    if (feed.ended) return {};
    if (!feed.first.empty()) return std::exchange(feed.first, {});
    const auto latest = feed.more ? RealTime{} : std::min(RealClock::now() + feed.api->options.poll, feed.beat_at);
    if (!feed.api->wait(feed.seen, feed.looked_at + debounce, latest)) {
        feed.ended = true;
        return core::sse_shutdown(feed.api->clock.wall());
    }
    const bool beats = RealClock::now() >= feed.beat_at;
    if (beats && feed.stream.still_allowed && !feed.stream.still_allowed()) {
        feed.ended = true;
        return core::sse_revoked(feed.api->clock.wall());
    }
    auto text = feed.look();
    if (!beats) return text;
    feed.beat_at = RealClock::now() + feed.api->options.heartbeat;
    return text + core::sse_heartbeat(feed.api->clock.wall(), feed.position);
}

BlockingApi::BlockingApi(ApiRouter& router, Store& store, BlockingOptions options)
    : state_(std::make_shared<BlockingState>(router, store, options)) {
    state_->subscription = store.on_change([state = state_.get()](unsigned hints) {
        if ((hints & hint_events) == 0) return;
        {
            const std::lock_guard lock(state->mutex);
            ++state->rings;
            if (state->taken == 0) return;
        }
        state->changed.notify_all();
    });
}

BlockingApi::~BlockingApi() {
    stop(Duration{0});
    state_->subscription = Subscription();  // The store may go before the last feed does.
}

void BlockingApi::stop(Duration grace) {
    std::unique_lock lock(state_->mutex);
    state_->stopping = true;
    state_->changed.notify_all();
    state_->changed.wait_for(lock, grace, [this] { return state_->under_way == 0; });
}

Response BlockingApi::refuse(const Request& request, int status, std::string_view code, std::string_view message) const {
    return state_->router.refuse(request, status, code, message);
}

bool BlockingApi::has_body(const Request& head) {
    return !head.header("transfer-encoding").empty() || promised(head.header("content-length"), 0) > 0;
}

std::optional<Response> BlockingApi::refuse_head(const Request& head) const {
    if (const auto fault = core::fault_of(head, state_->options.max_head, most_headers))
        return refuse(head, fault->status, fault->code, fault->message);
    if (promised(head.header("content-length"), state_->options.max_body) > state_->options.max_body)
        return refuse(head, 413, "PAYLOAD_TOO_LARGE", "The body is too large");
    return has_body(head) ? state_->router.refuse_early(head) : std::nullopt;
}

BlockingApi::Answer BlockingApi::handle(Request request) try {
    BlockingState& state = *state_;
    Answer answer;
    {
        const std::lock_guard lock(state.mutex);
        ++state.under_way;
    }
    answer.under_way = {nullptr, [held = state_](std::nullptr_t) {
                            const std::lock_guard lock(held->mutex);
                            if (--held->under_way == 0) held->changed.notify_all();
                        }};
    request.patience = state.stops() ? Request::Patience::none : Request::Patience::some;
    const auto seen = state.rings_now();
    answer.response = state.ask(request);
    if (auto* later = std::get_if<Later>(&answer.response.body)) {
        auto asked = std::move(*later);
        answer.response = state.wait_for_answer(request, std::move(asked), seen);
    }
    auto* stream = std::get_if<EventStream>(&answer.response.body);
    if (!stream || request.method == "HEAD") return answer;
    auto place = state.take_place();
    if (!place) {
        answer.response = state.no_place(request);
        return answer;
    }
    auto feed = std::make_unique<EventFeed::Impl>(state_, std::move(place), std::move(*stream));
    feed->seen = seen;
    // Before the head goes out: who has read that can rely on being told what happens from then on.
    feed->first = feed->look();
    answer.stream.reset(new EventFeed(std::move(feed)));
    return answer;
} catch (const std::bad_alloc&) {
    return {refuse(request, 503, "OVERLOADED", "The server is out of memory; try again"), nullptr, nullptr};
}

}  // namespace jobruntime
