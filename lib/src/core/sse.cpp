// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/sse.hpp"

#include <boost/json/serialize.hpp>

namespace jobruntime::core {
namespace {

std::string frame(std::string_view name, const boost::json::object& data, std::optional<EventId> id) {
    std::string text;
    if (id) text = "id: " + std::to_string(*id) + "\n";
    text += "event: ";
    text += name;
    // JSON text has no line breaks of its own, so one data line holds it.
    text += "\ndata: " + boost::json::serialize(data) + "\n\n";
    return text;
}

}  // namespace

std::string sse_telemetry(const Event& event) { return frame("telemetry", to_json(event), event.id); }

std::string sse_heartbeat(Time now, std::optional<EventId> at) { return frame("heartbeat", {{"ts", to_iso(now)}}, at); }

std::string sse_truncated(EventId oldest) { return frame("truncated", {{"oldestId", oldest}}, std::nullopt); }

std::string sse_shutdown(Time now) {
    return frame("shutdown", {{"ts", to_iso(now)}, {"reason", "the server stops; reconnect with Last-Event-ID"}}, std::nullopt);
}

std::string sse_dropped(Time now) {
    return frame("dropped", {{"ts", to_iso(now)}, {"reason", "reading too slowly; reconnect with Last-Event-ID"}}, std::nullopt);
}

std::string sse_revoked(Time now) {
    return frame("revoked", {{"ts", to_iso(now)}, {"reason", "the access token was revoked; log in again"}}, std::nullopt);
}

}  // namespace jobruntime::core
