// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/event.hpp>

namespace jobruntime {

std::string_view to_string(Level level) noexcept {
    switch (level) {
        case Level::info: return "info";
        case Level::warn: return "warn";
        case Level::error: return "error";
    }
    return "info";
}

std::optional<Level> parse_level(std::string_view text) noexcept {
    if (text == "info") return Level::info;
    if (text == "warn") return Level::warn;
    if (text == "error") return Level::error;
    return std::nullopt;
}

boost::json::object to_json(const Event& event) {
    boost::json::object json(event.fields.size() + 8, event.fields.storage());
    json["id"] = event.id;
    json["ts"] = to_iso(event.at);
    json["event"] = event.name;
    json["level"] = to_string(event.level);
    if (event.job) json["jobId"] = event.job.str();
    if (!event.trace_id.empty()) json["traceId"] = event.trace_id;
    json["sourceProcessId"] = event.source;
    json["processRole"] = event.role;
    // What the event is about never hides what it is.
    for (const auto& [name, value] : event.fields) json.emplace(name, value);
    return json;
}

}  // namespace jobruntime
