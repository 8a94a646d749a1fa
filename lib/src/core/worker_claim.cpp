// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "core/pauses.hpp"
#include "core/worker_impl.hpp"

namespace jobruntime {
namespace {

/// No claimed job should wait longer than this for a thread.
constexpr double longest_wait_ns = 50e6;
/// Ends that wait to be written; beyond it nothing is claimed, so that a slow disk slows the worker down.
constexpr std::size_t most_unsettled = 8'000;

}  // namespace

/// How many jobs of a queue to hold beyond those that run, and the kinds that are quick enough for it.
/// With mutex_ held.
void WorkerImpl::plan_ahead(Queue& queue) const {
    double slowest = 0;
    int most = 0;
    queue.quick.clear();
    for (const auto& name : kind_names_) {
        const auto& kind = *kinds_.at(name);
        if (kind.mean_ns < 0 || kind.mean_ns > longest_wait_ns || kind.options.max_prefetch < 1) continue;
        most = queue.quick.empty() ? kind.options.max_prefetch : std::min(most, kind.options.max_prefetch);
        queue.quick.push_back(name);
        slowest = std::max(slowest, kind.mean_ns);
    }
    const double fit = queue.options.concurrency * longest_wait_ns / std::max(slowest, 1.0);
    queue.ahead = queue.quick.empty() ? 0 : std::min(most, static_cast<int>(std::min(fit, 1e6)));
}

/// Whether it is worth asking: a free place, or the jobs held ahead have run low.
bool WorkerImpl::room_in(const Queue& queue) {
    if (queue.paused) return false;
    const int ready = static_cast<int>(queue.ready.size());
    if (queue.running + ready < queue.options.concurrency) return true;
    return queue.ahead > 0 && ready <= queue.ahead / 2;
}

/// With mutex_ held.
bool WorkerImpl::may_claim() const {
    if (claiming_ || draining_ || quit_ || !queues_known_ || unsettled_ > most_unsettled) return false;
    if (solitary_ == Solitary::running || (solitary_ == Solitary::wanted && unsettled_ > 0)) return false;
    if (solitary_ == Solitary::none && epoch_ == claimed_epoch_) return false;
    if (claim_pause_.count() > 0 && clock_.steady() < claim_not_before_) return false;
    return solitary_ == Solitary::wanted || std::any_of(queues_.begin(), queues_.end(), room_in);
}

WorkerImpl::ClaimPlan WorkerImpl::plan() {
    ClaimPlan plan;
    if (solitary_ == Solitary::wanted) plan.mode = ClaimMode::solitary;
    for (auto& queue : queues_) {
        if (queue.paused) continue;
        const auto& name = queue.options.name;
        if (plan.mode == ClaimMode::solitary) {
            plan.wants.push_back({name, kind_names_, 1, options_.only});
            continue;
        }
        plan_ahead(queue);
        if (!room_in(queue)) continue;
        const int ready = static_cast<int>(queue.ready.size());
        const int places = queue.options.concurrency - queue.running;
        const int free = std::max(0, places - ready);
        const int more = std::max(0, queue.ahead - std::max(0, ready - places));
        if (queue.quick.size() == kind_names_.size()) {
            plan.wants.push_back({name, kind_names_, free + more, options_.only});
        } else {
            // Slow kinds only for places that are free now; quick ones also for later.
            if (free > 0) plan.wants.push_back({name, kind_names_, free, options_.only});
            if (more > 0) plan.wants.push_back({name, queue.quick, more, options_.only});
        }
        plan.limits[name] = free + more;
    }
    return plan;
}

/// Asks the store once, with mutex_ released meanwhile.
void WorkerImpl::claim(Lock& lock) {
    claiming_ = true;
    const std::uint64_t epoch = epoch_;
    auto wanted = plan();
    lock.unlock();
    Result<Claimed> claimed = Error{Errc::conflict, "no beat has come through"};
    SessionId session;
    if (wanted.wants.empty()) {
        claimed = Claimed{};
    } else if (heartbeat_->holds_lease()) {
        session = heartbeat_->session();
        claimed = store_.claim(wanted.wants, session, wanted.mode, clock_.wall());
    }
    std::vector<std::shared_ptr<Attempt>> attempts;
    if (claimed) attempts = adopt(std::move(claimed->jobs), session);
    lock.lock();
    claiming_ = false;
    if (draining_) settled_wakeup_.ring();  // stop() waits for the answer, also for an empty one.
    if (!claimed) return claim_failed(lock, claimed.error());
    const bool any = !attempts.empty();
    take_in(wanted, *claimed, std::move(attempts), epoch);
    // Stopping began while the store answered, or the lease went: nothing of this may start here.
    if (any && (draining_ || heartbeat_->session() != session)) release_ready();
}

/// With mutex_ held.
void WorkerImpl::take_in(ClaimPlan& plan, const Claimed& claimed, std::vector<std::shared_ptr<Attempt>> attempts,
                         std::uint64_t epoch) {
    claim_pause_ = Duration{0};
    stats_.claimed += attempts.size();
    unsettled_ += attempts.size();
    bool full = false;
    std::map<std::string, int> got;
    for (auto& attempt : attempts) {
        auto& queue = queues_[attempt->queue];
        full = ++got[queue.options.name] >= plan.limits[queue.options.name] || full;
        queue.ready.push_back(std::move(attempt));
    }
    if (plan.mode == ClaimMode::solitary) {
        solitary_ = attempts.empty() ? Solitary::none : Solitary::running;
        ignore_solitary_ = attempts.empty();
        ++epoch_;
    } else {
        if (!full && epoch_ == epoch) claimed_epoch_ = epoch;
        if (claimed.solitary_waiting && !ignore_solitary_) solitary_ = Solitary::wanted;
    }
    if (claimed.next_due) {
        const Duration until = std::max(Duration{0}, *claimed.next_due - clock_.wall());
        next_due_ = clock_.steady() + std::min<Duration>(until, std::chrono::hours(1));
        if (*next_due_ < timer_next_) timer_wakeup_.ring();
    }
}

void WorkerImpl::claim_failed(Lock& lock, const Error& why) {
    const bool first = claim_pause_.count() == 0;
    claim_pause_ = first ? core::first_pause : std::min(claim_pause_ * 2, core::longest_pause);
    claim_not_before_ = clock_.steady() + claim_pause_;
    if (claim_not_before_ < timer_next_) timer_wakeup_.ring();
    if (why.code == Errc::conflict) {
        // The session is not there (yet, or any more): a beat makes it or begins another.
        heartbeat_->nudge();
        return;
    }
    // It may have been done all the same, and only the answer lost.
    lost_sight_ = true;
    scribe_->ring();
    if (first) {
        lock.unlock();
        say("cannot claim jobs, trying again: " + why.message);
        lock.lock();
    }
}

std::vector<std::shared_ptr<Attempt>> WorkerImpl::adopt(std::vector<Job> jobs, SessionId session) {
    std::vector<std::shared_ptr<Attempt>> attempts;
    attempts.reserve(jobs.size());
    const SteadyTime now = clock_.steady();
    for (auto& job : jobs) {
        const auto& kind = kinds_.at(job.kind);  // A store hands out wanted kinds only.
        if (options_.sink) mirror_claimed(job);
        std::size_t queue = 0;
        while (queue + 1 < queues_.size() && queues_[queue].options.name != job.queue) ++queue;
        auto attempt = std::make_shared<Attempt>(std::move(job), session, kind, port_, *scribe_, clock_);
        attempt->queue = queue;
        attempt->claimed_at = now;
        attempts.push_back(std::move(attempt));
    }
    return attempts;
}

/// There may be work: called by hints, polls and timers. With mutex_ held.
void WorkerImpl::want_claim() {
    ++epoch_;
    if (may_claim()) wake_one();
}

/// Gives back what has not started. With mutex_ held.
void WorkerImpl::release_ready() {
    std::vector<core::Ending> endings;
    for (auto& queue : queues_) {
        for (const auto& attempt : queue.ready)
            if (attempt->close()) endings.push_back(released(attempt, false));
        queue.ready.clear();
    }
    scribe_->push(std::move(endings));
}

}  // namespace jobruntime
