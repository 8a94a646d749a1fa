// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <exception>

#include "core/settlement.hpp"
#include "core/state_event.hpp"
#include "core/utf8.hpp"
#include "core/worker_impl.hpp"

namespace jobruntime {
namespace {

constexpr Duration longest_delay{10LL * 366 * 24 * 3600 * 1000};

Settlement settlement_of(const Attempt& attempt, Verdict verdict) {
    Settlement settlement;
    settlement.job = attempt.job.id;
    settlement.fence = attempt.job.fence;
    settlement.verdict = verdict;
    return settlement;
}

Outcome from_exception(const Attempt& attempt, std::string_view text) {
    if (attempt.kind->options.retry_exceptions) return retry("EXCEPTION", std::string(text));
    return failed("EXCEPTION", std::string(text));
}

}  // namespace

Outcome WorkerImpl::run_handler(Attempt& attempt) {
    JobContext context(attempt);
    try {
        return attempt.kind->handler(context);
    } catch (const std::exception& error) {
        return from_exception(attempt, error.what());
    } catch (...) {
        return from_exception(attempt, "an exception that is no std::exception");
    }
}

core::Ending WorkerImpl::released(const std::shared_ptr<Attempt>& attempt, bool started) {
    auto settlement = settlement_of(*attempt, Verdict::released);
    settlement.started = started;
    return {std::move(settlement), attempt};
}

/// Another attempt later, or the end when none is left.
void WorkerImpl::as_retry(const Attempt& attempt, Settlement& settlement, std::optional<Duration> after) {
    if (attempt.job.attempt >= attempt.job.max_attempts) {
        settlement.verdict = Verdict::failed;
        return;
    }
    settlement.verdict = Verdict::retry;
    const auto delay = after ? *after : attempt.kind->options.backoff.after(attempt.job.attempt, random_.random01());
    settlement.run_at = clock_.wall() + std::clamp(delay, Duration{0}, longest_delay);
}

/// What becomes of an attempt that was asked to stop and did not complete.
core::Ending WorkerImpl::interrupted(const std::shared_ptr<Attempt>& attempt, StopReason why) {
    if (why == StopReason::cancel) return {settlement_of(*attempt, Verdict::canceled), attempt};
    if (why != StopReason::deadline) return released(attempt, true);
    auto settlement = settlement_of(*attempt, Verdict::retry);
    const auto allowed = attempt->kind->options.deadline.value_or(Duration{0});
    core::set_error(settlement, "DEADLINE", "the attempt took longer than its " + std::to_string(allowed.count()) + " ms");
    as_retry(*attempt, settlement, std::nullopt);
    return {std::move(settlement), attempt};
}

core::Ending WorkerImpl::end_of(const std::shared_ptr<Attempt>& attempt, Outcome outcome) {
    try {
        return ending(attempt, std::move(outcome));
    } catch (const std::exception& error) {
        // A result too large even to be written as text.
        return ending(attempt, from_exception(*attempt, error.what()));
    }
}

core::Ending WorkerImpl::ending(const std::shared_ptr<Attempt>& attempt, Outcome outcome) {
    const StopReason why = attempt->reason();
    const bool keeps = outcome.kind == Outcome::Kind::completed ||
                       (outcome.kind == Outcome::Kind::snooze && why == StopReason::drain);
    if (why != StopReason::none && !keeps) {
        auto stopped = interrupted(attempt, why);
        if (why == StopReason::cancel && outcome.kind == Outcome::Kind::failed)
            core::set_error(stopped.settlement, core::clean_code(outcome.code, "FAILED"), outcome.message);
        return stopped;
    }
    auto settlement = settlement_of(*attempt, Verdict::completed);
    switch (outcome.kind) {
        case Outcome::Kind::completed:
            core::set_result(settlement, outcome.result);
            settlement.forget_steps = outcome.forget_steps;
            break;
        case Outcome::Kind::retry:
            core::set_error(settlement, core::clean_code(outcome.code, "RETRY"), outcome.message);
            as_retry(*attempt, settlement, outcome.after);
            break;
        case Outcome::Kind::snooze:
            settlement.verdict = Verdict::snooze;
            settlement.run_at = clock_.wall() + std::clamp(outcome.after.value_or(Duration{0}), Duration{0}, longest_delay);
            settlement.message = core::clean_text(outcome.message, limits::message);
            break;
        case Outcome::Kind::failed:
            settlement.verdict = Verdict::failed;
            core::set_error(settlement, core::clean_code(outcome.code, "FAILED"), outcome.message);
            break;
        case Outcome::Kind::canceled: settlement.verdict = Verdict::canceled; break;
        default:
            settlement.verdict = Verdict::failed;
            core::set_error(settlement, "INVALID_OUTCOME", "the handler returned an outcome of no known kind; use the functions of outcome.hpp");
    }
    return {std::move(settlement), attempt};
}

/// From the scribe: what the store said to a batch of ends.
void WorkerImpl::on_ended(std::span<core::Ended> ended) {
    for (const auto& one : ended) {
        if (one.conflict)
            say("job " + one.ending.settlement.job.str() + " was taken over by others; what this attempt did is void");
        if (options_.sink && one.done) mirror(one);
        if (one.done || one.conflict) continue;
        if (one.ending.replaced) refused_[one.ending.settlement.job] = one.ending.settlement.fence;
        lost_sight_ = true;
    }
    {
        const std::lock_guard lock(mutex_);
        for (const auto& one : ended) {
            if (one.conflict) ++stats_.conflicts;
            if (!one.done) continue;
            if (one.ending.settlement.verdict == Verdict::released && one.state == JobState::queued) ++stats_.released;
            else if (one.state == JobState::completed) ++stats_.completed;
            else if (one.state == JobState::failed) ++stats_.failed;
            else if (one.state == JobState::canceled) ++stats_.canceled;
            else if (one.ending.settlement.verdict == Verdict::snooze) ++stats_.snoozed;
            else ++stats_.retried;
        }
        unsettled_ -= std::min(unsettled_, ended.size());
        if (unsettled_ == 0 && solitary_ == Solitary::running) {
            solitary_ = Solitary::none;
            ++epoch_;
        }
        if (started_ && may_claim()) wake_one();
    }
    settled_wakeup_.ring();
}

/// A copy, for the program's own sink, of the event that the store wrote with the change.
void WorkerImpl::mirror(const core::Ended& ended) {
    const auto& settlement = ended.ending.settlement;
    const auto& job = ended.ending.attempt->job;
    const auto after = core::after_settle(settlement.verdict, ended.state == JobState::canceled);
    core::StateEvent facts;
    facts.code = after.event;
    // The store itself fails a job whose result is too large.
    if (ended.state == JobState::failed) facts.code = core::EventCode::failed;
    facts.kind = job.kind;
    facts.queue = job.queue;
    facts.state = ended.state;
    facts.attempt = job.attempt - (after.give_attempt_back ? 1 : 0);
    facts.session = ended.ending.attempt->session;
    facts.error_code = settlement.code;
    facts.message = settlement.message;
    facts.run_at = settlement.run_at;
    facts.crashes = after.reset_crashes ? 0 : job.crashes;
    facts.priority = job.priority;
    Event event;
    event.at = clock_.wall();
    event.name = core::event_name(facts.code);
    event.level = core::event_level(facts.code);
    event.job = job.id;
    event.trace_id = job.trace_id;
    event.fields = core::event_fields(facts);
    options_.sink->emit(event, true);
}

void WorkerImpl::mirror_claimed(const Job& job) {
    core::StateEvent facts;
    facts.code = core::EventCode::claimed;
    facts.kind = job.kind;
    facts.queue = job.queue;
    facts.state = JobState::running;
    facts.attempt = job.attempt;
    facts.session = job.session;
    facts.crashes = job.crashes;
    facts.priority = job.priority;
    Event event;
    event.at = clock_.wall();
    event.name = core::event_name(facts.code);
    event.level = core::event_level(facts.code);
    event.job = job.id;
    event.trace_id = job.trace_id;
    event.fields = core::event_fields(facts);
    options_.sink->emit(event, true);
}

}  // namespace jobruntime
