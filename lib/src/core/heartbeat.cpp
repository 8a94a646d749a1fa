// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/heartbeat.hpp>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>

#include "core/host_facts.hpp"
#include "core/ids.hpp"
#include "core/observer.hpp"

namespace jobruntime {
namespace {

constexpr int recover_slice = 500;
constexpr Duration first_retry{100};

HeartbeatOptions completed_options(HeartbeatOptions options) {
    core::add_host_facts(options.facts);
    // Whoever looks seldom takes his own pauses for those of the others, and never sees a silent one die.
    if (options.lease.count() >= 4) options.watch = std::min(options.watch, options.lease / 4);
    return options;
}

/// What the program handed us may throw; this thread must go on.
template <class Function, class... Args>
void call(const Function& function, const Args&... args) {
    if (!function) return;
    try {
        function(args...);
    } catch (...) {
        return;  // Nobody to tell: the callback is what would have told it.
    }
}

}  // namespace

struct Heartbeat::Impl {
    Store& store;
    const HeartbeatOptions options;
    const Callbacks callbacks;
    Clock& clock;
    core::IdSource ids;

    mutable std::mutex mutex;
    SessionId session;            // Guarded by mutex, as are the next six.
    SessionFacts facts;
    bool beaten = false;          // This session has had a successful beat.
    SteadyTime lease_from{};      // When the newest successful beat was sent.
    bool beats_fail = false;
    bool leads = false;
    bool stopped = false;

    std::mutex turn;              // One round at a time.
    core::Observer observer;      // Guarded by turn, as are the next two.
    SteadyTime next_beat{};
    Duration pause = first_retry;
    std::atomic<std::uint64_t> rounds{0};
    Wakeup wakeup;
    std::jthread thread;          // Last: joined before what it uses goes away.

    Impl(Store& where, HeartbeatOptions given, Callbacks calls)
        : store(where),
          options(completed_options(std::move(given))),
          callbacks(std::move(calls)),
          clock(options.clock ? *options.clock : system_clock()),
          ids(options.seed),
          session(ids.session(clock.wall())),
          facts(options.facts),
          observer(options.lease, options.facts) {}

    Duration safe_time() const { return options.lease * 2 / 3; }
    bool lease_over(SteadyTime now) const { return now - lease_from >= safe_time(); }  // With mutex held.

    Result<void> round_of_beats();
    Result<void> beat_once(bool& declared_dead);
    void lose();
    void lose_when_over();
    void look();
    void take_over(const core::Observer::Lost& lost);
    bool holds_jobs(SessionId which);
    void run(std::stop_token stop);
};

/// A beat; when others have declared this session dead, the first one of the next.
Result<void> Heartbeat::Impl::round_of_beats() {
    bool declared_dead = false;
    auto beaten_now = beat_once(declared_dead);
    if (declared_dead) {
        lose();
        beaten_now = beat_once(declared_dead);
    }
    if (beaten_now) {
        pause = first_retry;
        next_beat = clock.steady() + options.beat;
        return {};
    }
    lose_when_over();
    next_beat = clock.steady() + pause;
    pause = std::min({pause * 2, Duration{5'000}, options.beat});
    call(callbacks.on_error, beaten_now.error());
    return beaten_now;
}

Result<void> Heartbeat::Impl::beat_once(bool& declared_dead) {
    SessionId mine;
    SessionFacts said;
    {
        const std::lock_guard lock(mutex);
        mine = session;
        said = facts;
    }
    const SteadyTime sent = clock.steady();
    auto answer = store.beat(mine, said, clock.wall());
    {
        const std::lock_guard lock(mutex);
        if (!answer) {
            beats_fail = true;
            // A full disk refuses everybody's beats. The store is there and our jobs go on; whoever sees our
            // beat stand still cannot beat either and leaves us alone.
            if (answer.error().code == Errc::full && beaten) lease_from = sent;
            return std::move(answer).error();
        }
        declared_dead = answer->declared_dead;
        if (declared_dead) return {};
        beaten = true;
        lease_from = sent;
        beats_fail = false;
    }
    if (!answer->cancels.empty()) call(callbacks.on_cancel, answer->cancels);
    return {};
}

void Heartbeat::Impl::lose() {
    SessionId old;
    {
        const std::lock_guard lock(mutex);
        old = session;
        session = ids.session(clock.wall());
        beaten = false;
        leads = false;
    }
    observer.gave_up(old);
    call(callbacks.on_lost, old);
}

void Heartbeat::Impl::lose_when_over() {
    {
        const std::lock_guard lock(mutex);
        if (!beaten || !lease_over(clock.steady())) return;
    }
    lose();
}

void Heartbeat::Impl::look() {
    auto all = store.sessions();
    if (!all) return;  // The next beat says what is wrong.
    SessionId mine;
    bool failing = false;
    {
        const std::lock_guard lock(mutex);
        mine = session;
        failing = beats_fail;
    }
    for (const auto& lost : observer.look(*all, mine, clock.steady(), failing)) take_over(lost);
    const std::lock_guard lock(mutex);
    leads = beaten && observer.leader() == session;
}

bool Heartbeat::Impl::holds_jobs(SessionId which) {
    JobFilter filter;
    filter.states = {JobState::running};
    filter.session = which;
    const auto rows = store.count(filter, CountBy::nothing);
    return !rows || rows->empty() || rows->front().count > 0;
}

void Heartbeat::Impl::take_over(const core::Observer::Lost& lost) {
    const auto& info = lost.session;
    // Rows of sessions that ended long ago stay for a while; do not write for each of them.
    if ((info.declared_dead || info.facts.stopped) && !holds_jobs(info.id)) {
        observer.settled(info.id);
        return;
    }
    std::size_t jobs = 0;
    while (true) {
        auto taken = store.recover(info.id, info.beat, lost.loss, recover_slice, clock.wall());
        if (!taken || !taken->mine) return;  // Unavailable: the next look tries again. Not mine: it lives.
        jobs += taken->jobs.size();
        if (!taken->more) break;
        // Thousands of jobs take their time; our own lease must not run out meanwhile.
        if (clock.steady() >= next_beat) static_cast<void>(round_of_beats());
    }
    observer.settled(info.id);
    call(callbacks.on_recovered, info, jobs);
}

void Heartbeat::Impl::run(std::stop_token stop) {
    SteadyTime next_look = clock.steady();
    bool nudged = false;
    while (!stop.stop_requested()) {
        SteadyTime until;
        {
            const std::lock_guard lock(turn);
            if (nudged || clock.steady() >= next_beat) static_cast<void>(round_of_beats());
            lose_when_over();
            if (clock.steady() >= next_look) {
                look();
                next_look = clock.steady() + options.watch;
            }
            until = std::min(next_beat, next_look);
        }
        ++rounds;
        nudged = clock.wait_until(until, wakeup, stop) == Woken::rung;
    }
}

Heartbeat::Heartbeat(Store& store, HeartbeatOptions options, Callbacks callbacks)
    : impl_(std::make_unique<Impl>(store, std::move(options), std::move(callbacks))) {}

Heartbeat::~Heartbeat() { stop(); }

Result<void> Heartbeat::start() {
    const auto& options = impl_->options;
    if (options.beat.count() < 1 || options.watch.count() < 1 || options.lease < options.beat * 3)
        return Error{Errc::invalid_argument, "a lease of " + std::to_string(options.lease.count()) + " ms with a beat of " +
                                                 std::to_string(options.beat.count()) +
                                                 " ms; the lease must be at least three beats, and both above zero"};
    const std::lock_guard lock(impl_->turn);
    auto first = impl_->round_of_beats();
    if (!impl_->thread.joinable()) impl_->thread = std::jthread([impl = impl_.get()](std::stop_token stop) { impl->run(stop); });
    return first;
}

void Heartbeat::stop() {
    if (impl_->thread.joinable()) {
        impl_->thread.request_stop();
        impl_->thread.join();
    }
    const std::lock_guard lock(impl_->turn);
    {
        const std::lock_guard guard(impl_->mutex);
        if (impl_->stopped || !impl_->beaten) return;
        impl_->stopped = true;
        impl_->facts.stopped = true;
    }
    bool declared_dead = false;
    static_cast<void>(impl_->beat_once(declared_dead));
    const std::lock_guard guard(impl_->mutex);
    impl_->beaten = false;
}

Result<void> Heartbeat::run_once() {
    const std::lock_guard lock(impl_->turn);
    auto beaten = impl_->round_of_beats();
    impl_->look();
    return beaten;
}

void Heartbeat::nudge() { impl_->wakeup.ring(); }

SessionId Heartbeat::session() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->session;
}

bool Heartbeat::holds_lease() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->beaten && !impl_->lease_over(impl_->clock.steady());
}

bool Heartbeat::leads() const {
    const std::lock_guard lock(impl_->mutex);
    return impl_->leads;
}

std::uint64_t Heartbeat::rounds() const { return impl_->rounds; }

void Heartbeat::update(const std::function<void(SessionFacts&)>& edit) {
    const std::lock_guard lock(impl_->mutex);
    edit(impl_->facts);
}

}  // namespace jobruntime
