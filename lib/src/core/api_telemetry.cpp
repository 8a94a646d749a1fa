// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <utility>

#include <boost/json/array.hpp>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

constexpr int usual_events = 200;
constexpr int most_events = 2000;
constexpr EventId most_event_id = (EventId{1} << 53) - 1;

Result<EventFilter> event_filter(const RouteMatch& match) {
    EventFilter filter;
    if (const auto text = match.query_value("jobId")) {
        const auto id = JobId::parse(*text);
        if (!id) return core::invalid("jobId must be a job's id, 36 characters long");
        filter.job = *id;
    }
    if (const auto text = match.query_value("traceId")) filter.trace_id = *text;
    if (const auto text = match.query_value("level")) {
        filter.level = parse_level(*text);
        if (!filter.level) return core::invalid("level must be info, warn or error");
    }
    return filter;
}

Result<std::optional<EventId>> position(std::optional<std::string_view> text, std::string_view name) {
    if (!text) return std::optional<EventId>{};
    const auto id = core::parse_number(*text, most_event_id);
    if (!id) return core::invalid(std::string(name) + " must be the id of an event, a whole number");
    return std::optional<EventId>(*id);
}

/// A browser that reconnects sends the id of the last event beside the URL it began with, so the header goes first.
Result<std::optional<EventId>> resume_position(const Request& request, const RouteMatch& match) {
    const auto last = request.header("last-event-id");
    if (!last.empty()) return position(last, "Last-Event-ID");
    return position(match.query_value("after"), "after");
}

Result<Response> list_events(Store& store, const RouteMatch& match) {
    auto filter = event_filter(match);
    if (!filter) return filter.error();
    const auto after = position(match.query_value("after"), "after");
    if (!after) return after.error();
    const auto limit = core::parse_limit(match, usual_events, most_events);
    if (!limit) return limit.error();
    const auto page = store.events(*after, *filter, *limit);
    if (!page) return page.error();
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

Result<Response> open_stream(const Request& request, const RouteMatch& match) {
    auto filter = event_filter(match);
    if (!filter) return filter.error();
    const auto after = resume_position(request, match);
    if (!after) return after.error();
    const auto limit = core::parse_limit(match, usual_events, most_events);
    if (!limit) return limit.error();
    Response response;
    core::set_header(response, "content-type", "text/event-stream; charset=utf-8");
    core::set_header(response, "cache-control", "no-store, no-transform");
    core::set_header(response, "x-accel-buffering", "no");  // For nginx, which otherwise holds events back.
    response.body = EventStream{std::move(*filter), *after, *limit, {}};
    return response;
}

}  // namespace

void ApiRouter::Impl::add_telemetry_routes() {
    self.add({"GET", "/api/telemetry", Role::read, "Events, oldest first: the last ones, or those after an id.",
              {"jobId", "traceId", "level", "limit", "after"},
              [this](const Request&, const RouteMatch& match) {
                  auto response = list_events(queue.store(), match);
                  return response ? std::move(*response) : self.error_response(response.error());
              }});
    self.add({"GET", "/api/telemetry/stream", Role::read, "Events as they happen (server-sent events), resumable.",
              {"jobId", "traceId", "level", "limit", "after"},
              [this](const Request& request, const RouteMatch& match) {
                  auto response = open_stream(request, match);
                  if (!response) return self.error_response(response.error());
                  if (options.authenticate)
                      std::get<EventStream>(response->body).still_allowed =
                          [this, token = std::string(core::token_of(request))] {
                              const auto caller = options.authenticate(token);
                              return caller && caller->role >= Role::read;
                          };
                  return std::move(*response);
              }});
}

}  // namespace jobruntime
