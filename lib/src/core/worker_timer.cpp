// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "core/worker_impl.hpp"

namespace jobruntime {
namespace {

/// A claimed job that found no thread for so long is given back.
constexpr Duration stale{1'000};

}  // namespace

/// Calls nothing of the store, so that a store that hangs delays no deadline.
void WorkerImpl::timer_thread(std::stop_token stop) {
    SteadyTime next_poll = clock_.steady() + options_.poll;
    while (!stop.stop_requested()) {
        std::vector<std::shared_ptr<Attempt>> late;
        std::vector<std::shared_ptr<Slot>> stuck;
        SteadyTime next;
        {
            const std::lock_guard lock(mutex_);
            const SteadyTime now = clock_.steady();
            bool look = claim_pause_.count() > 0 && now >= claim_not_before_;
            if (now >= next_poll) {
                next_poll = now + options_.poll;
                ignore_solitary_ = false;
                release_stale(now);
                look = true;
            }
            if (next_due_ && now >= *next_due_) {
                next_due_.reset();
                look = true;
            }
            if (look) want_claim();
            next = std::min(next_poll, look_at_slots(now, late, stuck));
            if (next_due_) next = std::min(next, *next_due_);
            if (claim_pause_.count() > 0 && claim_not_before_ > now) next = std::min(next, claim_not_before_);
            timer_next_ = next;
        }
        for (const auto& attempt : late) attempt->fire(StopReason::deadline);
        for (const auto& slot : stuck) give_up(slot);
        if (late.empty() && stuck.empty()) clock_.wait_until(next, timer_wakeup_, stop);
    }
}

/// Whose time is up, who ignored a stop for too long, and when to look again. With mutex_ held.
SteadyTime WorkerImpl::look_at_slots(SteadyTime now, std::vector<std::shared_ptr<Attempt>>& late,
                                     std::vector<std::shared_ptr<Slot>>& stuck) {
    SteadyTime next = SteadyTime::max();
    for (const auto& slot : slots_) {
        if (!slot->attempt) continue;
        const auto fired = slot->attempt->fired_at();
        const auto deadline = slot->attempt->deadline();
        if (fired) {
            if (now >= *fired + options_.stuck) stuck.push_back(slot);
            else next = std::min<SteadyTime>(next, *fired + options_.stuck);
        } else if (deadline) {
            if (now >= *deadline) late.push_back(slot->attempt);
            else next = std::min(next, *deadline);
        }
    }
    return next;
}

/// The handler ignores its stop: its job is ended without it, and another thread takes its place.
void WorkerImpl::give_up(const std::shared_ptr<Slot>& slot) {
    int lost = 0;
    std::shared_ptr<Attempt> attempt;
    {
        const std::lock_guard lock(mutex_);
        attempt = slot->attempt;
        if (!attempt || !attempt->close()) return;  // It came back just now.
        std::vector<core::Ending> endings;
        endings.push_back(interrupted(attempt, attempt->reason()));
        scribe_->push(std::move(endings));
        slot->thread.detach();
        std::erase(slots_, slot);
        --queues_[attempt->queue].running;
        lost = ++lost_threads_;
        ++epoch_;
        if (may_claim() || !draining_) wake_one();
    }
    say("the handler of " + attempt->job.kind + " ignores its stop; job " + attempt->job.id.str() +
        " is ended without it and its thread counts as lost, " + std::to_string(lost) + " so far");
    tell("worker.thread.lost",
         {{"workerId", attempt->session.str()}, {"kind", attempt->job.kind}, {"lost", lost}}, Level::error, attempt->job.id);
    if (!options_.on_thread_lost) return;
    try {
        options_.on_thread_lost(lost);
    } catch (...) {
        say("on_thread_lost threw an exception, which was ignored");
    }
}

/// All threads of a queue are busy with jobs that take longer than their kind used to: what was claimed ahead
/// goes back, for others to take. With mutex_ held.
void WorkerImpl::release_stale(SteadyTime now) {
    std::vector<core::Ending> endings;
    for (std::size_t i = 0; i < queues_.size(); ++i) {
        auto& queue = queues_[i];
        if (queue.ready.empty() || now - queue.ready.front()->claimed_at < stale) continue;
        for (const auto& attempt : queue.ready)
            if (attempt->close()) endings.push_back(released(attempt, false));
        queue.ready.clear();
        for (const auto& slot : slots_) {
            if (!slot->attempt || slot->attempt->queue != i) continue;
            auto& mean = slot->attempt->kind->mean_ns;
            mean = std::max(mean, static_cast<double>((now - slot->attempt->started_at()).count()));
        }
    }
    scribe_->push(std::move(endings));
}

}  // namespace jobruntime
