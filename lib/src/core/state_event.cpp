// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/state_event.hpp"

#include "core/utf8.hpp"

namespace jobruntime::core {

boost::json::object event_fields(const StateEvent& event) {
    boost::json::object fields;
    fields.reserve(9);
    fields["kind"] = event.kind;
    fields["queue"] = event.queue;
    fields["status"] = to_string(event.state);
    fields["attempt"] = event.attempt;
    if (event.state == JobState::scheduled) fields["runAt"] = to_iso(event.run_at);
    switch (event.code) {
        case EventCode::claimed:
        case EventCode::completed:
        case EventCode::released:
        case EventCode::retry_scheduled:
        case EventCode::snoozed:
        case EventCode::failed:
        case EventCode::canceled:
        case EventCode::recovered:
        case EventCode::cancel_requested:
            if (event.session) fields["workerId"] = event.session.str();
            break;
        default: break;
    }
    switch (event.code) {
        case EventCode::retry_scheduled:
        case EventCode::failed:
            fields["code"] = event.error_code;
            fields["error"] = event.message;
            break;
        case EventCode::canceled:
        case EventCode::recovered:
            if (!event.error_code.empty()) {
                fields["code"] = event.error_code;
                fields["error"] = event.message;
            }
            break;
        case EventCode::snoozed: fields["reason"] = event.message; break;
        case EventCode::reprioritised: fields["priority"] = event.priority; break;
        default: break;
    }
    if (event.code == EventCode::recovered) fields["crashes"] = event.crashes;
    if (event.by)
        for (auto& member : actor_fields(*event.by)) fields[member.key()] = std::move(member.value());
    return fields;
}

boost::json::object actor_fields(const Actor& by) {
    boost::json::object fields;
    const std::pair<std::string_view, std::string_view> texts[] = {
        {"caller", by.caller}, {"tokenId", by.token_id}, {"from", by.from}};
    for (const auto& [name, text] : texts)
        if (!text.empty()) fields[name] = clean_text(text, limits::actor);
    return fields;
}

std::string_view loss_message(std::string_view code) noexcept {
    if (code == "CRASH_LIMIT")
        return "its process vanished again while it ran alone; mend its handler before retrying it";
    if (code == "PROCESS_CRASHED") return "the process that ran it vanished";
    return "";
}

}  // namespace jobruntime::core
