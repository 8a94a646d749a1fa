// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "core/worker_impl.hpp"

namespace jobruntime {
namespace {

/// How much the newest run counts in a kind's mean run time.
constexpr double learning = 0.2;
/// A claim this old may have outlived its lease, when the process was frozen.
constexpr Duration old_claim{5'000};

}  // namespace

void WorkerImpl::on_hint(unsigned hints) {
    if (hints & hint_records) {
        queues_changed_ = true;
        scribe_->ring();
    }
    if (!(hints & (hint_jobs | hint_cancel))) return;
    const std::lock_guard lock(mutex_);
    if ((hints & hint_cancel) && unsettled_ > 0) heartbeat_->nudge();
    if (hints & hint_jobs) want_claim();
}

/// Calls an idle thread, or starts one. One at a time: the one that comes calls the next if there is
/// more to do. With mutex_ held.
void WorkerImpl::wake_one() {
    if (called_ + starting_ > 0 || quit_ || !started_) return;
    if (idle_ > 0) {
        --idle_;
        ++called_;
        work_.notify_one();
        return;
    }
    if (slots_.size() >= most_threads_) return;
    auto slot = std::make_shared<Slot>();
    try {
        slot->thread = std::thread([this, slot] { handler_thread(slot); });
    } catch (const std::system_error&) {
        return;  // The system has no thread to give now. Those that are there go on; the next call tries again.
    }
    ++starting_;
    slots_.push_back(std::move(slot));
}

/// A job that may start now, taken out of its queue. With mutex_ held.
std::shared_ptr<Attempt> WorkerImpl::next_ready() {
    if (draining_ || quit_) return nullptr;
    for (std::size_t i = 0; i < queues_.size(); ++i) {
        auto& queue = queues_[(turn_ + i) % queues_.size()];
        if (queue.ready.empty() || queue.running >= queue.options.concurrency) continue;
        auto attempt = std::move(queue.ready.front());
        queue.ready.pop_front();
        ++queue.running;
        ++turn_;
        return attempt;
    }
    return nullptr;
}

void WorkerImpl::handler_thread(std::shared_ptr<Slot> slot) {
    Lock lock(mutex_);
    --starting_;
    while (!quit_) {
        if (auto attempt = next_ready()) {
            run_in_slot(lock, slot, std::move(attempt));
            // Given up while it ran: the worker may be gone, and nothing of it is touched any more.
            if (!lock.owns_lock()) return;
        } else if (may_claim()) {
            claim(lock);
        } else {
            ++idle_;
            work_.wait(lock, [this] { return called_ > 0 || quit_; });
            if (quit_) return;
            --called_;
        }
    }
}

/// Runs one job with mutex_ released; returns without the lock when the thread was given up meanwhile.
void WorkerImpl::run_in_slot(Lock& lock, const std::shared_ptr<Slot>& slot, std::shared_ptr<Attempt> attempt) {
    attempt->begin();
    if (attempt->started_at() - attempt->claimed_at > old_claim && !heartbeat_->holds_lease()) {
        --queues_[attempt->queue].running;
        attempt->close();
        std::vector<core::Ending> endings;
        endings.push_back(released(attempt, false));
        scribe_->push(std::move(endings));
        return;
    }
    slot->attempt = attempt;
    if (attempt->deadline() && *attempt->deadline() < timer_next_) timer_wakeup_.ring();
    // Before the handler: it may take long, and others should not wait for it.
    const bool more = std::any_of(queues_.begin(), queues_.end(), [](const Queue& queue) {
        return !queue.ready.empty() && queue.running < queue.options.concurrency;
    });
    if (more || may_claim()) wake_one();
    lock.unlock();

    auto outcome = run_handler(*attempt);
    attempt->check_deadline();
    if (!attempt->close()) return;
    const SteadyTime ended = clock_.steady();
    std::vector<core::Ending> endings;
    endings.push_back(end_of(attempt, std::move(outcome)));
    scribe_->push(std::move(endings));

    lock.lock();
    slot->attempt.reset();
    learn(*attempt->kind, attempt->started_at(), ended);
    --queues_[attempt->queue].running;
}

/// With mutex_ held.
void WorkerImpl::learn(core::KindEntry& kind, SteadyTime started, SteadyTime ended) {
    const double took = static_cast<double>((ended - started).count());
    kind.mean_ns = kind.mean_ns < 0 ? took : kind.mean_ns + learning * (took - kind.mean_ns);
}

}  // namespace jobruntime
