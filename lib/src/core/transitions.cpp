// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/transitions.hpp"

#include <algorithm>
#include <array>

namespace jobruntime::core {
namespace {

struct Named {
    std::string_view name;
    Level level;
};

constexpr std::array<Named, static_cast<std::size_t>(last_event_code) + 1> table{{
    {"", Level::info},
    {"jobs.create.queued", Level::info},
    {"jobs.create.replaced", Level::info},
    {"jobs.promoted", Level::info},
    {"worker.job.claimed", Level::info},
    {"worker.job.completed", Level::info},
    {"worker.job.failed", Level::error},
    {"worker.job.canceled", Level::warn},
    {"worker.job.retry_scheduled", Level::warn},
    {"worker.job.snoozed", Level::info},
    {"worker.job.released", Level::info},
    {"worker.job.recovered", Level::warn},
    {"jobs.cancel.requested", Level::warn},
    {"jobs.retried", Level::info},
    {"jobs.moved", Level::info},
    {"jobs.reprioritised", Level::info},
    {"jobs.deleted", Level::info},
    {"jobs.restored", Level::info},
}};

}  // namespace

std::string_view event_name(EventCode code) noexcept { return table[static_cast<std::size_t>(code)].name; }

Level event_level(EventCode code) noexcept { return table[static_cast<std::size_t>(code)].level; }

EventCode event_code(std::string_view name) noexcept {
    for (std::size_t i = 1; i < table.size(); ++i)
        if (table[i].name == name) return static_cast<EventCode>(i);
    return EventCode::other;
}

AfterSettle after_settle(Verdict verdict, bool cancel_requested) noexcept {
    switch (verdict) {
        case Verdict::completed: return {JobState::completed, false, true, false, EventCode::completed};
        case Verdict::canceled: return {JobState::canceled, false, true, false, EventCode::canceled};
        case Verdict::failed:
            if (cancel_requested) return {JobState::canceled, false, true, true, EventCode::canceled};
            return {JobState::failed, false, true, true, EventCode::failed};
        case Verdict::retry:
            if (cancel_requested) return {JobState::canceled, false, true, true, EventCode::canceled};
            return {JobState::scheduled, false, true, true, EventCode::retry_scheduled};
        case Verdict::snooze:
            if (cancel_requested) return {JobState::canceled, true, true, false, EventCode::canceled};
            return {JobState::scheduled, true, true, false, EventCode::snoozed};
        case Verdict::released:
            if (cancel_requested) return {JobState::canceled, true, false, false, EventCode::canceled};
            return {JobState::queued, true, false, false, EventCode::released};
    }
    return {JobState::failed, false, true, true, EventCode::failed};
}

AfterLoss after_loss(int crashes_before, bool cancel_requested, Loss loss) noexcept {
    const bool counts = loss == Loss::crash;
    const int crashes = crashes_before + (counts ? 1 : 0);
    const std::string_view code = counts ? "PROCESS_CRASHED" : "";
    if (cancel_requested) return {JobState::canceled, crashes, Duration{0}, true, code, EventCode::canceled};
    if (!counts) return {JobState::queued, crashes, Duration{0}, true, code, EventCode::recovered};
    if (crashes >= crash_limit) return {JobState::failed, crashes, Duration{0}, true, "CRASH_LIMIT", EventCode::failed};
    if (crashes < solitary_crashes) return {JobState::queued, crashes, Duration{0}, true, code, EventCode::recovered};
    const auto delay = std::min(Duration{5'000} * (1 << crashes), Duration{6 * 3600 * 1000});
    return {JobState::scheduled, crashes, delay, true, code, EventCode::recovered};
}

AfterChange after_change(Action action, JobState state) noexcept {
    using How = ChangeAnswer::How;
    const AfterChange refused{How::invalid_state, state, EventCode::other};
    const bool waits = state == JobState::scheduled || state == JobState::queued;
    switch (action) {
        case Action::cancel:
            if (waits) return {How::done, JobState::canceled, EventCode::canceled};
            if (state == JobState::running) return {How::requested, state, EventCode::cancel_requested};
            return refused;
        case Action::retry:
            if (is_final(state)) return {How::done, JobState::queued, EventCode::retried};
            if (state == JobState::scheduled) return {How::done, JobState::queued, EventCode::promoted};
            return refused;
        case Action::promote:
            if (state == JobState::scheduled) return {How::done, JobState::queued, EventCode::promoted};
            return refused;
        case Action::move:
            if (waits) return {How::done, state, EventCode::moved};
            return refused;
        case Action::reprioritise:
            if (waits) return {How::done, state, EventCode::reprioritised};
            return refused;
        case Action::remove:
            if (state != JobState::running) return {How::done, state, EventCode::removed};
            return refused;
    }
    return refused;
}

Result<void> check_change(const Change& change, const Selection& which) {
    if (change.action == Action::move && change.queue.empty())
        return Error{Errc::invalid_argument, "a job cannot be moved to a queue without a name; give the queue to move to"};
    const auto* ids = std::get_if<std::vector<JobId>>(&which);
    if (!change.seen.empty() && (!ids || ids->size() != change.seen.size()))
        return Error{Errc::invalid_argument, "a change that says what its jobs were like needs one such look for each id"};
    return {};
}

const Seen* seen_of(const Change& change, std::size_t i) noexcept {
    return i < change.seen.size() && change.seen[i] ? &*change.seen[i] : nullptr;
}

bool is_as_seen(const Seen* seen, Fence fence, JobState state) noexcept {
    return !seen || (seen->fence == fence && seen->state.value_or(state) == state);
}

}  // namespace jobruntime::core
