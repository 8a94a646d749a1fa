// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "core/job_queue_impl.hpp"
#include "core/worker_impl.hpp"

namespace jobruntime {
namespace {

/// Small, so that ends of jobs do not wait behind upkeep.
constexpr int tend_budget = 200;

}  // namespace

/// What the scribe's thread does besides writing; when it wants to be called again.
SteadyTime WorkerImpl::chores(SteadyTime now) {
    if (queues_changed_.exchange(false) || now >= next_queues_) {
        read_queues();
        next_queues_ = now + options_.poll;
    }
    if (now >= next_tend_) tend();
    return std::min(next_queues_, next_tend_);
}

/// Which queues are paused. Nothing is claimed before this is known.
void WorkerImpl::read_queues() {
    const auto paused = core::read_paused(store_);
    if (!paused) return;  // The next poll asks again; until then it is as it was.
    const std::lock_guard lock(mutex_);
    bool opened = !std::exchange(queues_known_, true);
    for (auto& queue : queues_) {
        const bool now_paused = std::find(paused->begin(), paused->end(), queue.options.name) != paused->end();
        opened = opened || (queue.paused && !now_paused);
        queue.paused = now_paused;
    }
    int running = 0;
    for (const auto& queue : queues_) running += queue.running;
    publish_facts(running);
    if (opened && started_) want_claim();
}

/// Upkeep, by the process that leads: one slice, and soon another while there is more.
void WorkerImpl::tend() {
    const SteadyTime now = clock_.steady();
    next_tend_ = now + options_.upkeep;
    if (!heartbeat_->leads()) {
        // Somebody else may stop leading at any time, and nobody tells.
        next_tend_ = now + std::min(options_.upkeep, options_.heartbeat.beat);
        return;
    }
    const auto tended = store_.tend(options_.retention, tend_budget, clock_.wall());
    if (!tended) return;
    if (tended->more) next_tend_ = now;
    if (!tended->pruned.empty() && options_.on_pruned) {
        try {
            options_.on_pruned(tended->pruned);
        } catch (...) {
            say("on_pruned threw an exception, which was ignored");
        }
    }
    if (!tended->next_due) return;
    const std::lock_guard lock(mutex_);
    const Duration until = std::clamp<Duration>(*tended->next_due - clock_.wall(), Duration{0}, std::chrono::hours(1));
    const SteadyTime due = clock_.steady() + until;
    if (!next_due_ || due < *next_due_) next_due_ = due;
    if (*next_due_ < timer_next_) timer_wakeup_.ring();
}

/// From the heartbeat: somebody asked running jobs of ours to stop.
void WorkerImpl::on_cancel(const std::vector<CancelRequest>& requests) {
    std::vector<std::shared_ptr<Attempt>> asked;
    std::vector<core::Ending> endings;
    {
        const std::lock_guard lock(mutex_);
        const auto wanted = [&](const std::shared_ptr<Attempt>& attempt) {
            return attempt && std::any_of(requests.begin(), requests.end(), [&](const CancelRequest& request) {
                       return request.job == attempt->job.id && request.fence == attempt->job.fence;
                   });
        };
        for (const auto& slot : slots_)
            if (wanted(slot->attempt)) asked.push_back(slot->attempt);
        for (auto& queue : queues_)
            std::erase_if(queue.ready, [&](const std::shared_ptr<Attempt>& attempt) {
                if (!wanted(attempt)) return false;
                // Given back, it ends canceled, because that was asked of it.
                if (attempt->close()) endings.push_back(released(attempt, false));
                return true;
            });
    }
    scribe_->push(std::move(endings));
    for (const auto& attempt : asked) attempt->fire(StopReason::cancel);
    timer_wakeup_.ring();
}

/// From the heartbeat: others may take what this session holds.
void WorkerImpl::on_lost(SessionId session) {
    std::vector<std::shared_ptr<Attempt>> lost;
    {
        const std::lock_guard lock(mutex_);
        for (const auto& slot : slots_)
            if (slot->attempt && slot->attempt->session == session) lost.push_back(slot->attempt);
        release_ready();
        want_claim();
    }
    say("session " + session.str() + " lost its lease: " + std::to_string(lost.size()) +
        " running jobs are asked to stop; going on as a new session");
    for (const auto& attempt : lost) attempt->lose();
    timer_wakeup_.ring();
}

}  // namespace jobruntime
