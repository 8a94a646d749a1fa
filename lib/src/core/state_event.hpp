// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <string_view>

#include <boost/json/object.hpp>

#include "core/transitions.hpp"

namespace jobruntime::core {

/// The facts of a state change; a store may keep these in columns and make the fields on reading.
/// What does not belong to the event of `code` is ignored.
struct StateEvent {
    EventCode code = EventCode::other;
    std::string_view kind;
    std::string_view queue;
    JobState state = JobState::queued;  ///< After the change.
    int attempt = 0;                    ///< After the change.
    SessionId session;                  ///< Zero: it did not run.
    std::string_view error_code;
    std::string_view message;           ///< Of the error, or the reason of a snooze.
    Time run_at{};
    int crashes = 0;
    int priority = 0;
    const Actor* by = nullptr;          ///< Null: nobody asked for it, or it is not known who.
};

/// Event::fields by the table of store.hpp, so that every store writes the same.
JOBRUNTIME_API boost::json::object event_fields(const StateEvent& event);

/// The members that say who asked, as they are kept: cut, in UTF-8 and without secrets.
JOBRUNTIME_API boost::json::object actor_fields(const Actor& by);

/// What people read about a job that was taken from a lost session, by AfterLoss::code.
JOBRUNTIME_API std::string_view loss_message(std::string_view code) noexcept;

}  // namespace jobruntime::core
