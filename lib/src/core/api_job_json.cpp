// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <utility>

#include <boost/json/array.hpp>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

boost::json::value text_or_null(std::string_view text) {
    if (text.empty()) return nullptr;
    return boost::json::string(text);
}

boost::json::value time_or_null(const std::optional<Time>& time) {
    if (!time) return nullptr;
    return boost::json::string(to_iso(*time));
}

boost::json::array errors_json(const std::vector<JobError>& errors) {
    boost::json::array list;
    list.reserve(errors.size());
    for (const auto& error : errors)
        list.push_back(boost::json::object{
            {"at", to_iso(error.at)}, {"attempt", error.attempt}, {"code", error.code}, {"message", error.message}});
    return list;
}

boost::json::object progress_json(const Progress& progress) {
    boost::json::object object;
    object["percent"] = progress.percent ? boost::json::value(*progress.percent) : boost::json::value(nullptr);
    object["stage"] = text_or_null(progress.stage);
    object["message"] = text_or_null(progress.message);
    return object;
}

}  // namespace

boost::json::object ApiRouter::job_json(const Job& job, std::string_view waiting_for) const {
    boost::json::object tail;
    tail["attempt"] = job.attempt;
    tail["maxAttempts"] = job.max_attempts;
    tail["crashes"] = job.crashes;
    tail["cancelRequestedAt"] = time_or_null(job.cancel_requested_at);
    tail["progress"] = progress_json(job.progress);
    tail["result"] = job.result;
    tail["outputPath"] = nullptr;
    tail["thumbnailPath"] = nullptr;
    const bool show_error = job.state != JobState::completed && !job.errors.empty();
    tail["error"] = show_error ? text_or_null(job.errors.back().message) : nullptr;
    tail["errorCode"] = show_error ? text_or_null(job.errors.back().code) : nullptr;
    tail["errors"] = errors_json(job.errors);
    tail["waitingFor"] = text_or_null(waiting_for);
    tail["tags"] = boost::json::array(job.tags.begin(), job.tags.end());
    tail["uniqueKey"] = text_or_null(job.unique_key);
    tail["traceId"] = text_or_null(job.trace_id);
    tail["workerId"] = job.session ? boost::json::value(job.session.str()) : boost::json::value(nullptr);
    tail["createdAt"] = to_iso(job.created_at);
    tail["runAt"] = to_iso(job.run_at);
    tail["startedAt"] = time_or_null(job.started_at);
    tail["finishedAt"] = time_or_null(job.finished_at);

    boost::json::object object;
    object.reserve(tail.size() + 10);
    object["id"] = job.id.str();
    object["kind"] = job.kind;
    object["queue"] = job.queue;
    object["status"] = to_string(job.state);
    object["priority"] = job.priority;
    object["payload"] = job.payload;
    boost::json::object added;
    if (impl_->options.decorate) impl_->options.decorate(job, added);
    // What a program adds stands after the payload; what it knows better keeps its place.
    for (auto& [name, value] : added) {
        if (auto* known = tail.if_contains(name)) *known = std::move(value);
        else object[name] = std::move(value);
    }
    for (auto& [name, value] : tail) object[name] = std::move(value);
    return object;
}

}  // namespace jobruntime
