// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <iterator>
#include <unordered_set>

#include "core/job_queue_impl.hpp"
#include "core/pauses.hpp"
#include "core/words.hpp"
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
    if (!lost_sight_) return std::min(next_queues_, next_tend_);
    if (now >= next_search_) find_lost(now);
    return std::min({next_queues_, next_tend_, lost_sight_ ? next_search_ : SteadyTime::max()});
}

/// Jobs that run by the store's account and are in none of our hands. No other process takes them, because this
/// session lives; so they are given back here.
void WorkerImpl::find_lost(SteadyTime now) {
    // First, so that what gets lost from here on is looked for once more.
    lost_sight_ = false;
    const auto again = [&] {
        lost_sight_ = true;
        search_pause_ = search_pause_.count() == 0 ? core::first_pause : std::min(search_pause_ * 2, core::longest_pause);
        next_search_ = now + search_pause_;
    };
    const auto lost = unknown_jobs(heartbeat_->session());
    if (!lost) return again();
    // What was refused before goes alone, or it would take its neighbours along once more.
    const std::size_t most = refused_.empty() ? limits::batch_items : 1;
    bool all = true;
    for (std::size_t done = 0; done < lost->size();) {
        std::vector<Settlement> settlements;
        while (done < lost->size() && settlements.size() < most) settlements.push_back(give_back((*lost)[done++]));
        all = store_.settle(settlements, clock_.wall()).has_value() && all;
    }
    if (!all) return again();
    search_pause_ = Duration{0};
    refused_.clear();
    if (lost->empty()) return;
    say("gave back " + core::counted(lost->size(), "job") + " that the store held for this session and that nothing here ran");
    const std::lock_guard lock(mutex_);
    if (started_) want_claim();
}

/// Errc::unavailable also while a claim is on its way, whose jobs are not in our hands yet.
Result<std::vector<Job>> WorkerImpl::unknown_jobs(SessionId session) {
    std::vector<Job> running;
    std::string cursor;
    do {
        auto page = store_.list({.states = {JobState::running}, .session = session}, JobOrder::oldest_first, cursor,
                                static_cast<int>(limits::batch_items), 0);
        if (!page) return std::move(page).error();
        std::move(page->jobs.begin(), page->jobs.end(), std::back_inserter(running));
        cursor = std::move(page->next_cursor);
    } while (!cursor.empty());

    std::unordered_set<JobId> known;
    {
        const std::lock_guard lock(mutex_);
        if (claiming_) return Error{Errc::unavailable, "a claim is on its way"};
        for (const auto& slot : slots_)
            if (slot->attempt) known.insert(slot->attempt->job.id);
        for (const auto& queue : queues_)
            for (const auto& attempt : queue.ready) known.insert(attempt->job.id);
        // Within the lock, because what leaves a slot is pushed before it does.
        scribe_->add_pending(known);
    }
    std::erase_if(running, [&](const Job& job) { return known.contains(job.id); });
    return running;
}

/// Nobody saw it run: no attempt spent. One whose end was refused did run, and would do so over and over.
Settlement WorkerImpl::give_back(const Job& job) {
    Settlement settlement;
    settlement.job = job.id;
    settlement.fence = job.fence;
    settlement.verdict = Verdict::released;
    settlement.started = false;
    const auto refused = refused_.find(job.id);
    if (refused == refused_.end() || refused->second != job.fence) return settlement;
    settlement.verdict = job.attempt >= job.max_attempts ? Verdict::failed : Verdict::retry;
    settlement.code = "OUTCOME_REFUSED";
    settlement.message = "the store refused how this attempt ended";
    settlement.run_at = clock_.wall() + Backoff{}.after(job.attempt, random_.random01());
    return settlement;
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
        scribe_->push(std::move(endings));
    }
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
    const auto stopped = lost.empty() ? std::string()
                                      : core::counted(lost.size(), "running job") +
                                            (lost.size() == 1 ? " is asked to stop; " : " are asked to stop; ");
    say("session " + session.str() + " lost its lease: " + stopped + "going on as a new session");
    for (const auto& attempt : lost) attempt->lose();
    timer_wakeup_.ring();
}

}  // namespace jobruntime
