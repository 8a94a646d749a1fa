// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>
#include <utility>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "core/api_impl.hpp"
#include "core/json.hpp"

namespace jobruntime {
namespace {

constexpr int usual_jobs = 50;
constexpr int most_jobs = 500;
/// Payloads and results can be large: a page is read in slices and ends early once this much is in it.
constexpr int slice_jobs = 50;
constexpr std::size_t most_page_bytes = 8u << 20;

std::vector<std::string_view> split_list(std::string_view text) {
    std::vector<std::string_view> items;
    while (true) {
        const auto comma = text.find(',');
        items.push_back(text.substr(0, comma));
        if (comma == std::string_view::npos) return items;
        text.remove_prefix(comma + 1);
    }
}

Result<std::vector<std::string>> names(const RouteMatch& match, std::string_view which) {
    std::vector<std::string> list;
    const auto text = match.query_value(which);
    if (!text) return list;
    for (const auto item : split_list(*text)) {
        if (!is_name(item)) return core::invalid(std::string(which) + " must match [a-z0-9._-]{1,64}, several with commas");
        list.emplace_back(item);
    }
    return list;
}

Result<JobFilter> job_filter(const RouteMatch& match) {
    JobFilter filter;
    if (const auto text = match.query_value("status")) {
        for (const auto item : split_list(*text)) {
            const auto state = parse_job_state(item);
            if (!state)
                return core::invalid("status must be scheduled, queued, running, completed, failed or canceled, several "
                                     "with commas");
            filter.states = filter.states | StateSet{*state};
        }
    }
    auto kinds = names(match, "kind");
    if (!kinds) return kinds.error();
    filter.kinds = std::move(*kinds);
    auto queues = names(match, "queue");
    if (!queues) return queues.error();
    filter.queues = std::move(*queues);
    filter.tag = match.query_value("tag").value_or("");
    filter.trace_id = match.query_value("traceId").value_or("");
    return filter;
}

Result<Response> list_jobs(ApiRouter& router, JobQueue& queue, const ApiOptions& options, const RouteMatch& match) {
    const auto filter = job_filter(match);
    if (!filter) return filter.error();
    const auto limit = core::parse_limit(match, usual_jobs, most_jobs);
    if (!limit) return limit.error();
    std::string cursor(match.query_value("cursor").value_or(""));
    // Written by hand, so that a large page is in memory once, as text.
    std::string text = R"({"ok":true,"jobs":[)";
    int jobs = 0;
    boost::json::array unreadable;
    do {
        const int slice = std::min(*limit - jobs, slice_jobs);
        auto page = queue.list(*filter, cursor, slice, JobOrder::newest_first, part_payload | part_result | part_errors);
        if (!page) {
            // The only thing of a caller's that can still be wrong here.
            // Without a name it is about the cursor; a name tells what is wrong with the store.
            if (page.error().code == Errc::invalid_argument && page.error().name.empty())
                return core::invalid("cursor must be the nextCursor of an earlier answer to the same question");
            return page.error();
        }
        const auto reasons = queue.waiting_for(page->jobs, options.lease);
        if (!reasons) return reasons.error();
        for (std::size_t i = 0; i < page->jobs.size(); ++i) {
            if (jobs++ > 0) text += ',';
            text += core::to_text(router.job_json(page->jobs[i], (*reasons)[i]));
        }
        for (const auto& id : page->unreadable) unreadable.emplace_back(id.str());
        cursor = std::move(page->next_cursor);
    } while (!cursor.empty() && jobs < *limit && text.size() < most_page_bytes);
    text += "]";
    if (!unreadable.empty()) text += R"(,"unreadable":)" + core::to_text(boost::json::value(std::move(unreadable)));
    text += R"(,"nextCursor":)";
    text += core::to_text(cursor.empty() ? boost::json::value(nullptr) : boost::json::value(cursor)) + "}";
    Response response = Response::json(200, {});
    response.body = std::move(text);
    return response;
}

Result<Response> create(ApiRouter& router, const Request& request, const RouteMatch& match) {
    auto body = ApiRouter::body_object(request);
    if (!body) return body.error();
    static constexpr std::array<std::string_view, 2> known{"kind", "payload"};
    auto options = router.job_options(*body, known);
    if (!options) return options.error();
    JobSpec spec;
    spec.options = std::move(*options);
    const auto* kind = body->if_contains("kind");
    if (!kind || !kind->is_string() || !is_name(std::string_view(kind->get_string())))
        return core::invalid("kind is missing or does not match [a-z0-9._-]{1,64}; it picks the handler");
    spec.kind = kind->get_string();
    if (auto* payload = body->if_contains("payload")) {
        if (!payload->is_object()) return core::invalid("payload must be a JSON object");
        spec.payload = std::move(payload->get_object());
    }
    return router.create_job(request, match, std::move(spec));
}

}  // namespace

void ApiRouter::Impl::add_job_routes() {
    self.add({"POST", "/api/jobs", Role::operate, "Puts a job in.", {},
              [this](const Request& request, const RouteMatch& match) {
                  auto response = create(self, request, match);
                  return response ? std::move(*response) : self.error_response(response.error());
              }});
    self.add({"GET", "/api/jobs", Role::read, "Jobs, newest first, in pages.",
              {"status", "kind", "queue", "tag", "traceId", "limit", "cursor"},
              [this](const Request&, const RouteMatch& match) {
                  auto response = list_jobs(self, queue, options, match);
                  return response ? std::move(*response) : self.error_response(response.error());
              }});
    add_action_routes();
}

}  // namespace jobruntime
