// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <boost/json/serialize.hpp>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

constexpr int usual_events = 200;
constexpr int most_events = 2000;
/// Of a page. Events may be large, and a page of them lies in memory until whoever asked has taken it.
constexpr std::size_t most_page_bytes = 4u << 20;
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
    std::vector<std::string> texts;
    std::size_t bytes = 0;
    const auto& events = page->events;
    // The last ones are wanted when no place is named where to begin: what is too much is left out at the other end.
    const bool last = !after_of(match);
    while (texts.size() < events.size() && bytes < most_page_bytes) {
        const auto at = last ? events.size() - 1 - texts.size() : texts.size();
        bytes += texts.emplace_back(boost::json::serialize(to_json(events[at]))).size();
    }
    if (last) std::ranges::reverse(texts);
    const auto next = last || texts.size() == events.size() ? page->next : events[texts.size() - 1].id;
    std::string text = R"({"ok":true,"count":)" + std::to_string(texts.size()) + R"(,"events":[)";
    text.reserve(text.size() + bytes + texts.size() + 100);
    for (const auto& event : texts) (text += &event == &texts.front() ? "" : ",") += event;
    text += R"(],"next":)" + std::to_string(next);
    if (page->truncated) text += R"(,"truncated":true,"oldestId":)" + std::to_string(page->oldest);
    auto response = Response::json(200, {});
    response.body = text + '}';
    return response;
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
            try {
                const auto caller = options.authenticate(token);
                return caller && caller->role >= Role::read;
            } catch (...) {
                return false;  // Whose token it is cannot be told; whoever asks anew hears so.
            }
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
