// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <utility>

#include <boost/json/array.hpp>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

constexpr int usual_events = 200;
constexpr int most_events = 2000;
constexpr EventId most_event_id = (EventId{1} << 53) - 1;

EventFilter event_filter(const RouteMatch& match) {
    EventFilter filter;
    if (const auto text = match.query_value("jobId")) filter.job = JobId::parse(*text).value_or(JobId{});
    filter.trace_id = match.query_value("traceId").value_or("");
    if (const auto text = match.query_value("level")) filter.level = parse_level(*text);
    return filter;
}

std::optional<EventId> after_of(const RouteMatch& match) {
    const auto text = match.query_value("after");
    return text ? core::parse_number(*text, most_event_id) : std::nullopt;
}

}  // namespace

Response ApiRouter::Impl::list_events(const RouteMatch& match) const {
    const auto page = queue.store().events(after_of(match), event_filter(match), core::limit_of(match, usual_events, most_events));
    if (!page) return self.error_response(page.error());
    boost::json::array events;
    events.reserve(page->events.size());
    for (const auto& event : page->events) events.push_back(to_json(event));
    boost::json::object object{{"ok", true}, {"count", events.size()}, {"events", std::move(events)}, {"next", page->next}};
    if (page->truncated) {
        object["truncated"] = true;
        object["oldestId"] = page->oldest;
    }
    return Response::json(200, std::move(object));
}

Response ApiRouter::Impl::open_stream(const Request& request, const RouteMatch& match) const {
    EventStream stream{event_filter(match), after_of(match), core::limit_of(match, usual_events, most_events), {}};
    // A browser that reconnects sends the id of the last event beside the URL it began with, so the header goes first.
    if (const auto last = request.header("last-event-id"); !last.empty()) {
        stream.after = core::parse_number(last, most_event_id);
        if (!stream.after)
            return self.error_response(core::invalid("Last-Event-ID must be the id of an event, a whole number"));
    }
    if (options.authenticate)
        stream.still_allowed = [this, token = std::string(core::token_of(request, *allowed()))] {
            const auto caller = options.authenticate(token);
            return caller && caller->role >= Role::read;
        };
    Response response;
    core::set_header(response, "content-type", "text/event-stream; charset=utf-8");
    core::set_header(response, "cache-control", "no-store, no-transform");
    core::set_header(response, "x-accel-buffering", "no");  // For nginx, which otherwise holds events back.
    response.body = std::move(stream);
    return response;
}

void ApiRouter::Impl::add_telemetry_routes() {
    on("GET", "/api/telemetry", [this](const Request&, const RouteMatch& match) { return list_events(match); });
    on("GET", "/api/telemetry/stream",
       [this](const Request& request, const RouteMatch& match) { return open_stream(request, match); });
}

}  // namespace jobruntime
