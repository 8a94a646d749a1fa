// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/worker_impl.hpp"

namespace jobruntime {

/// Everything a started worker does on its threads, once, on the caller's: the same steps in a fixed order.
Result<bool> WorkerImpl::run_one() {
    JR_TRY(prepare_crank());
    scribe_->work(true);
    queues_changed_ = true;
    chores(clock_.steady());
    auto attempt = claim_one();
    if (!attempt) return std::move(attempt).error();
    if (!*attempt) return false;
    run_here(std::move(*attempt));
    return true;
}

/// Ready to work under a lease.
Result<void> WorkerImpl::prepare_crank() {
    if (!cranked_) {
        const std::lock_guard lock(mutex_);
        if (started_ || draining_)
            return Error{Errc::invalid_argument, "run_one() is for a worker that was neither started nor stopped"};
        JR_TRY(check_before_start());
        port_->patient = false;
        publish_facts(0);
        cranked_ = true;
    }
    if (clock_.steady() < next_beat_ && heartbeat_->holds_lease()) return {};
    auto beaten = heartbeat_->run_once();
    if (beaten) next_beat_ = clock_.steady() + options_.heartbeat.beat;
    if (!heartbeat_->holds_lease()) return beaten;
    return {};
}

/// One job of one queue; the queues take turns. Empty = nothing is due.
Result<std::shared_ptr<Attempt>> WorkerImpl::claim_one() {
    bool solitary_waits = false;
    {
        const std::lock_guard lock(mutex_);
        if (draining_) return std::shared_ptr<Attempt>();
        if (!queues_known_) return Error{Errc::unavailable, "the store does not say which queues are paused; try again"};
        solitary_waits = solitary_ == Solitary::wanted;
    }
    ++turn_;
    // A job that must run alone goes first once it is known of: nothing else runs here between two cranks.
    if (solitary_waits) {
        auto alone = ask_queues(ClaimMode::solitary, solitary_waits);
        if (!alone || *alone) return alone;
    }
    solitary_waits = false;
    auto attempt = ask_queues(ClaimMode::ordinary, solitary_waits);
    if (attempt && !*attempt && solitary_waits) attempt = ask_queues(ClaimMode::solitary, solitary_waits);
    return attempt;
}

Result<std::shared_ptr<Attempt>> WorkerImpl::ask_queues(ClaimMode mode, bool& solitary_waits) {
    const SessionId session = heartbeat_->session();
    for (std::size_t i = 0; i < queues_.size(); ++i) {
        const auto& queue = queues_[(turn_ + i) % queues_.size()];
        if (queue.paused) continue;
        const Want want{queue.options.name, kind_names_, 1, options_.only};
        auto claimed = store_.claim({&want, 1}, session, mode, clock_.wall());
        if (!claimed) {
            // A session that others have declared dead: the next beat begins another.
            if (claimed.error().code == Errc::conflict) next_beat_ = SteadyTime{};
            else lost_sight_ = true;
            return std::move(claimed).error();
        }
        solitary_waits = solitary_waits || (mode == ClaimMode::ordinary && claimed->solitary_waiting);
        if (claimed->jobs.empty()) continue;
        auto attempts = adopt(std::move(claimed->jobs), session);
        const std::lock_guard lock(mutex_);
        stats_.claimed += attempts.size();
        unsettled_ += attempts.size();
        solitary_ = solitary_waits && mode == ClaimMode::ordinary ? Solitary::wanted : Solitary::none;
        return std::move(attempts.front());
    }
    const std::lock_guard lock(mutex_);
    solitary_ = Solitary::none;
    return std::shared_ptr<Attempt>();
}

void WorkerImpl::run_here(std::shared_ptr<Attempt> attempt) {
    const auto slot = std::make_shared<Slot>();
    {
        const std::lock_guard lock(mutex_);
        slot->attempt = attempt;
        slots_.push_back(slot);
        ++queues_[attempt->queue].running;
    }
    attempt->begin();
    auto outcome = run_handler(*attempt);
    attempt->check_deadline();
    attempt->close();
    std::vector<core::Ending> endings;
    endings.push_back(end_of(attempt, std::move(outcome)));
    scribe_->push(std::move(endings));
    {
        const std::lock_guard lock(mutex_);
        std::erase(slots_, slot);
        --queues_[attempt->queue].running;
    }
    scribe_->work(true);
}

}  // namespace jobruntime
