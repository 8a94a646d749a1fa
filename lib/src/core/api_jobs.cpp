// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <utility>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "core/api_impl.hpp"
#include "core/api_table.hpp"
#include "core/json.hpp"

namespace jobruntime {
namespace {

constexpr int usual_jobs = 50;
constexpr int most_jobs = 500;
/// Payloads and results can be large: a page is read in slices and ends early once this much is in it.
constexpr int slice_jobs = 50;
constexpr std::size_t most_page_bytes = 8u << 20;
/// And once it has looked at so many for words that no index knows, or for one that can be read.
constexpr std::size_t most_looked_at = 2000;
/// Or for so long, because somebody waits for the page.
constexpr Duration longest_look{60};

Result<Response> create(ApiRouter& router, const Request& request, const RouteMatch& match) {
    auto options = router.job_options(match.body);
    if (!options) return options.error();
    JobSpec spec;
    spec.options = std::move(*options);
    // A program that makes jobs in other ways too does not ask for the kind in its row.
    const auto* kind = match.body.if_contains("kind");
    if (!kind) return core::invalid("kind is missing; it picks the handler");
    spec.kind = kind->as_string();
    if (const auto* payload = match.body.if_contains("payload")) spec.payload = payload->as_object();
    return router.create_job(request, match, std::move(spec));
}

/// What the store refused. The only thing of a caller's that can still be wrong there is the cursor: an error without a
/// name is about it; a name tells what is wrong with the store.
Error of_store(const Error& error) {
    if (error.code != Errc::invalid_argument || !error.name.empty()) return error;
    return core::invalid("cursor must be the nextCursor of an earlier answer to the same question");
}

boost::json::value cursor_json(const std::string& cursor) {
    return cursor.empty() ? boost::json::value(nullptr) : boost::json::value(cursor);
}

}  // namespace

Response ApiRouter::Impl::list_jobs(const RouteMatch& match) const {
    const auto filter = core::job_filter(match);
    const auto words = core::words_of(match.query_value("text"));
    const int limit = core::limit_of(match, usual_jobs, most_jobs);
    std::string cursor(match.query_value("cursor").value_or(""));
    // Written by hand, so that a large page is in memory once, as text.
    std::string text = R"({"ok":true,"jobs":[)";
    int jobs = 0;
    std::size_t looked_at = 0, bytes = 0;
    const auto until = clock.steady() + longest_look;
    bool more = true;
    boost::json::array unreadable;
    const auto begun = clock.steady();
    do {
        const int slice = std::min(limit - jobs, slice_jobs);
        auto page = queue.list(filter, cursor, slice, JobOrder::newest_first, part_payload | part_result | part_errors);
        if (!page) return self.error_response(of_store(page.error()));
        const auto read = page->jobs.size() + page->unreadable.size();
        looked_at += read;
        // A store that answers with less than was asked for has looked as far as it does for one caller.
        more = read == static_cast<std::size_t>(slice) && (words.empty() || clock.steady() < until);
        if (!words.empty()) std::erase_if(page->jobs, [&](const Job& job) { return !core::has_words(job, words, bytes); });
        const auto reasons = queue.waiting_for(page->jobs, options.lease);
        if (!reasons) return self.error_response(reasons.error());
        for (std::size_t i = 0; i < page->jobs.size(); ++i) {
            if (jobs++ > 0) text += ',';
            append_job(text, page->jobs[i], (*reasons)[i]);
        }
        for (const auto& id : page->unreadable) unreadable.emplace_back(id.str());
        cursor = std::move(page->next_cursor);
    } while (more && !cursor.empty() && jobs < limit && looked_at < most_looked_at && bytes < core::most_bytes_looked_at &&
             text.size() < most_page_bytes && clock.steady() - begun < core::long_enough);
    text += "]";
    if (!unreadable.empty()) text += R"(,"unreadable":)" + core::to_text(boost::json::value(std::move(unreadable)));
    text += R"(,"nextCursor":)";
    text += core::to_text(cursor_json(cursor)) + "}";
    Response response = Response::json(200, {});
    response.body = std::move(text);
    return response;
}

Response ApiRouter::Impl::count_jobs(const RouteMatch& match) const {
    const auto words = core::words_of(match.query_value("text"));
    const auto filter = core::job_filter(match);
    const auto cursor = match.query_value("cursor").value_or("");
    Counts counts;
    if (words.empty()) {
        auto slice = queue.store().rough_count(filter, CountBy::state, cursor);
        if (!slice) return self.error_response(of_store(slice.error()));
        counts = std::move(*slice);
    } else {
        // All at once, or not at all.
        if (!cursor.empty()) return self.error_response(core::invalid("cursor goes with a count that ended early, and with text none does"));
        auto rows = count_words(filter, words);
        if (!rows) return self.error_response(rows.error());
        counts.rows = std::move(*rows);
    }
    std::uint64_t total = 0;
    for (const auto& row : counts.rows) total += row.count;
    return Response::json(200, {{"ok", true}, {"total", total}, {"counts", core::counts_json(counts.rows)},
                                {"nextCursor", cursor_json(counts.next_cursor)}});
}

void ApiRouter::Impl::add_job_routes() {
    on("POST", "/api/jobs", [this](const Request& request, const RouteMatch& match) {
        return or_error(create(self, request, match));
    });
    on("GET", "/api/jobs", [this](const Request&, const RouteMatch& match) { return list_jobs(match); });
    on("GET", "/api/jobs/counts", [this](const Request&, const RouteMatch& match) { return count_jobs(match); });
    add_action_routes();
}

}  // namespace jobruntime
