// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <utility>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include "core/api_impl.hpp"
#include "core/etag.hpp"

namespace jobruntime {
namespace {

/// Looks at a job that others claim and end meanwhile.
constexpr int most_tries = 5;
constexpr unsigned shown_parts = all_parts & ~static_cast<unsigned>(part_steps);

Error no_such_job() { return {Errc::not_found, "no such job"}; }

/// A text that is no id is a job that is not there.
Result<JobId> job_id(const RouteMatch& match) {
    const auto id = JobId::parse(match.path.find("id")->second);
    if (!id || !*id) return no_such_job();
    return *id;
}

Response invalid_state(const ChangeAnswer& answer, std::string_view what) {
    return Response::error(409, "INVALID_STATE",
                           "The job is " + std::string(to_string(answer.state)) + ", so it cannot be " + std::string(what),
                           {{"jobId", answer.job.str()}, {"status", to_string(answer.state)}});
}

}  // namespace

Response ApiRouter::Impl::job_response(int status, JobId id, boost::json::object more) const {
    const auto job = queue.get(id, shown_parts);
    if (!job) return self.error_response(job.error());
    if (!*job) return self.error_response(no_such_job());
    const auto reason = queue.waiting_for(**job, options.lease);
    if (!reason) return self.error_response(reason.error());
    boost::json::object object{{"ok", true}};
    object["job"] = self.job_json(**job, *reason);
    for (auto& [name, value] : more) object[name] = std::move(value);
    return Response::json(status, std::move(object));
}

/// The job as it is or, when the request may wait, as soon as that is news: once it has ended or, to whoever names the tag
/// of what he knows, once it is something else.
Response ApiRouter::Impl::show_job(const Request& request, const RouteMatch& match) const {
    const auto id = job_id(match);
    if (!id) return self.error_response(id.error());
    const auto wait = core::parse_duration(match.query_value("wait").value_or("")).value_or(Duration{0});
    const bool waits = wait > Duration{0} && request.patience == Request::Patience::some;
    const bool for_end = request.header("if-none-match").empty();
    bool news = !waits;
    if (waits && for_end) {
        const auto job = queue.get(*id, 0);  // Small, while it has not ended.
        if (!job) return self.error_response(job.error());
        news = !*job || is_final((*job)->state);
    }
    Response response;
    if (news || !for_end) response = job_response(200, *id);
    if (waits && !for_end) news = !core::is_known(request, response);
    if (!news) response.body = Later{.patience = wait, .again = {}, .job = *id, .ended = for_end, .queue = {}, .kinds = {}};
    return response;
}

Result<Response> ApiRouter::Impl::cancel(const RouteMatch& match) const {
    const auto id = job_id(match);
    if (!id) return id.error();
    const auto answer = queue.cancel(*id, match.by);
    if (!answer) return answer.error();
    switch (answer->how) {
        case ChangeAnswer::How::requested: return job_response(202, *id, {{"cancelRequested", true}});
        case ChangeAnswer::How::done: return job_response(200, *id);
        case ChangeAnswer::How::not_found: return no_such_job();
        default: return invalid_state(*answer, "canceled");
    }
}

Result<Response> ApiRouter::Impl::retry(const RouteMatch& match) const {
    const auto id = job_id(match);
    if (!id) return id.error();
    const auto* fresh = match.body.if_contains("fresh");
    const auto answer = queue.retry(*id, fresh && fresh->as_bool(), match.by);
    if (!answer) return answer.error();
    switch (answer->how) {
        case ChangeAnswer::How::done: return job_response(200, *id);
        case ChangeAnswer::How::not_found: return no_such_job();
        case ChangeAnswer::How::conflict: {
            const auto other = queue.get(answer->other, 0);
            boost::json::object more{{"existingJobId", answer->other.str()}};
            if (other && *other) more["existingJobStatus"] = to_string((*other)->state);
            return Response::error(409, "CONFLICT", "Another job holds this one's unique key now", std::move(more));
        }
        default: return invalid_state(*answer, "retried");
    }
}

/// What comes of its files is decided by what it was: one that was claimed between the look and the removal, and may have
/// ended with another result, is looked at again.
Result<Response> ApiRouter::Impl::remove(const RouteMatch& match) const {
    const auto id = job_id(match);
    if (!id) return id.error();
    Change change{.action = Action::remove, .by = match.by};
    for (int tries = 0; tries < most_tries; ++tries) {
        std::optional<Job> before;
        if (options.deleted) {
            auto job = queue.get(*id, shown_parts);
            if (!job) return job.error();
            before = std::move(*job);
            if (!before) return no_such_job();
            // It may have ended before it is removed, with a result that nobody would be told of.
            if (before->state == JobState::running)
                return invalid_state({*id, ChangeAnswer::How::invalid_state, JobState::running, {}}, "deleted");
            change.seen = {Seen{before->fence}};
        }
        const auto answer = queue.change(*id, change);
        if (!answer) return answer.error();
        if (answer->how == ChangeAnswer::How::done) {
            if (before) options.deleted(*before, match);
            return Response::json(200, {{"ok", true}, {"id", id->str()}, {"deleted", true}});
        }
        if (answer->how == ChangeAnswer::How::not_found) return no_such_job();
        if (answer->state == JobState::running) return invalid_state(*answer, "deleted");
    }
    return Response::error(409, "CONFLICT", "The job changes all the time; try again");
}

void ApiRouter::Impl::add_action_routes() {
    using Method = Result<Response> (Impl::*)(const RouteMatch&) const;
    const auto action = [this](Method run) {
        return [this, run](const Request&, const RouteMatch& match) {
            return or_error((this->*run)(match));
        };
    };
    on("GET", "/api/jobs/:id", [this](const Request& request, const RouteMatch& match) { return show_job(request, match); });
    on("POST", "/api/jobs/bulk", [this](const Request&, const RouteMatch& match) { return bulk(match); });
    on("POST", "/api/jobs/:id/cancel", action(&Impl::cancel));
    on("POST", "/api/jobs/:id/retry", action(&Impl::retry));
    on("DELETE", "/api/jobs/:id", action(&Impl::remove));
}

}  // namespace jobruntime
