// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include <jobruntime/event.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::core {

/// The state table of docs/states.md as pure functions, so that every store has the same one.

/// Crashes from which on a job is claimed in solitary mode only, and at which it is given up.
inline constexpr int solitary_crashes = 2;
inline constexpr int crash_limit = 4;

/// How an event of a state change is stored: by number. The numbers never change.
enum class EventCode : std::uint8_t {
    other = 0,  ///< The name is stored as text.
    created = 1,
    replaced = 2,
    promoted = 3,
    claimed = 4,
    completed = 5,
    failed = 6,
    canceled = 7,
    retry_scheduled = 8,
    snoozed = 9,
    released = 10,
    recovered = 11,
    cancel_requested = 12,
    retried = 13,
    moved = 14,
    reprioritised = 15,
    removed = 16,
    restored = 17,
};
/// The highest of them.
inline constexpr EventCode last_event_code = EventCode::restored;
JOBRUNTIME_API std::string_view event_name(EventCode code) noexcept;
JOBRUNTIME_API Level event_level(EventCode code) noexcept;
/// EventCode::other for a name that is not in the list.
JOBRUNTIME_API EventCode event_code(std::string_view name) noexcept;

struct AfterSettle {
    JobState state;
    bool give_attempt_back;
    bool reset_crashes;
    bool keep_error;   ///< Append {code, message} to the job's errors.
    EventCode event;
};
JOBRUNTIME_API AfterSettle after_settle(Verdict verdict, bool cancel_requested) noexcept;

struct AfterLoss {
    JobState state;
    int crashes;
    Duration delay;        ///< Scheduled that much later.
    bool give_attempt_back;
    std::string_view code; ///< Kept as an error of the job when not empty.
    EventCode event;
};
JOBRUNTIME_API AfterLoss after_loss(int crashes_before, bool cancel_requested, Loss loss) noexcept;

struct AfterChange {
    ChangeAnswer::How how;
    JobState state;
    EventCode event;
};
/// Without the unique key's say: a retry may still end in conflict. A conflict is only possible when
/// the job leaves a state in which its key was not counted.
JOBRUNTIME_API AfterChange after_change(Action action, JobState state) noexcept;

/// INVALID_ARGUMENT for a change that says too little, or has not one look for each of its ids.
JOBRUNTIME_API Result<void> check_change(const Change& change, const Selection& which);

/// What the i-th of the ids must still be like; null when it does not matter.
JOBRUNTIME_API const Seen* seen_of(const Change& change, std::size_t i) noexcept;
JOBRUNTIME_API bool is_as_seen(const Seen* seen, Fence fence, JobState state) noexcept;

}  // namespace jobruntime::core
