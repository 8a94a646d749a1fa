// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <utility>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

constexpr std::string_view key_header = "idempotency-key";

bool is_printable(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; });
}

/// The job as it was asked for, to show when the store cannot be asked once more after it took the job.
Job as_asked(JobId id, const JobSpec& spec, Time now) {
    Job job;
    job.id = id;
    job.kind = spec.kind;
    job.queue = spec.options.queue;
    job.payload = spec.payload;
    job.run_at = spec.options.delay ? now + *spec.options.delay : spec.options.run_at.value_or(now);
    job.state = job.run_at > now ? JobState::scheduled : JobState::queued;
    job.priority = spec.options.priority;
    job.max_attempts = spec.options.max_attempts;
    job.unique_key = spec.options.unique;
    job.trace_id = spec.options.trace_id;
    job.tags = spec.options.tags;
    job.created_at = now;
    return job;
}

/// A duplicate changes no job, but operators watch for it.
void note_duplicate(Store& store, const Job& other, const std::string& trace_id, Time now) {
    Note note;
    note.job = other.id;
    Event event;
    event.name = "jobs.create.duplicate";
    event.at = now;
    event.job = other.id;
    event.trace_id = trace_id;
    event.fields = {{"kind", other.kind}, {"queue", other.queue}, {"status", to_string(other.state)}};
    note.events.push_back(std::move(event));
    // Telling is best effort: the refusal itself does not depend on it.
    (void)store.note({&note, 1}, now).has_value();
}

}  // namespace

Response ApiRouter::Impl::created(const RouteMatch& match, const Job& job, bool requeued) const {
    std::string waiting;
    if (auto reason = queue.waiting_for(job, options.lease)) waiting = std::move(*reason);
    boost::json::object object{{"ok", true}, {"job", self.job_json(job, waiting)}, {"traceId", match.trace_id}};
    if (requeued) object["requeued"] = true;
    auto response = Response::json(201, std::move(object));
    core::set_header(response, "location", "/api/jobs/" + job.id.str());
    return response;
}

Response ApiRouter::Impl::taken(const RouteMatch& match, const Job& other, const CreateRules& rules) const {
    note_duplicate(queue.store(), other, match.trace_id, clock.wall());
    boost::json::object more{{"existingJobId", other.id.str()}, {"existingJobStatus", to_string(other.state)}};
    if (other.state == JobState::scheduled) more["retryAt"] = to_iso(other.run_at);
    more["traceId"] = match.trace_id;
    const bool active = !is_final(other.state);
    return Response::error(409, active ? rules.active_code : rules.finished_code,
                           active ? "Another job for the same thing is waiting or running"
                                  : "Another job has done the same thing already",
                           std::move(more));
}

Response ApiRouter::Impl::reused_key(const Enqueued& earlier, const std::string& hash, const RouteMatch& match) const {
    if (earlier.idempotency_hash == hash)
        return job_response(201, earlier.id, {{"traceId", match.trace_id}});
    return Response::error(409, "IDEMPOTENCY_KEY_REUSED",
                           "This Idempotency-Key came with another body before; use a new one for a new request",
                           {{"existingJobId", earlier.id.str()}, {"existingJobStatus", to_string(earlier.state)}});
}

Response ApiRouter::create_job(const Request& request, const RouteMatch& match, JobSpec spec, const CreateRules& rules) {
    const auto key = request.header(key_header);
    if (key.size() > limits::idempotency_key || !is_printable(key))
        return error_response(core::invalid("Idempotency-Key must have at most " +
                                            std::to_string(limits::idempotency_key) + " printable ASCII characters"));
    spec.options.trace_id = match.trace_id;
    spec.options.idempotency_key = key;
    if (!key.empty()) spec.options.idempotency_hash = core::fingerprint(request.body);
    // A second round when the job in the way was deleted between two looks.
    for (int round = 0; round < 3; ++round) {
        const Time now = impl_->clock.wall();
        const auto put = impl_->queue.enqueue(spec.kind, spec.payload, spec.options);
        if (!put) return error_response(put.error());
        if (put->how == InsertAnswer::How::repeated)
            return impl_->reused_key(*put, spec.options.idempotency_hash, match);
        auto job = impl_->queue.get(put->id, all_parts & ~static_cast<unsigned>(part_steps));
        if (put->how != InsertAnswer::How::existing) {
            const bool readable = job && *job;
            return impl_->created(match, readable ? **job : as_asked(put->id, spec, now), false);
        }
        if (!job) return error_response(job.error());
        if (!*job) continue;
        const Job& other = **job;
        if (is_final(other.state) && rules.requeue && rules.requeue(other)) {
            const auto again = impl_->queue.retry(other.id, true);
            if (again && again->how == ChangeAnswer::How::done) {
                const auto now_waiting = impl_->queue.get(other.id, all_parts & ~static_cast<unsigned>(part_steps));
                return impl_->created(match, now_waiting && *now_waiting ? **now_waiting : other, true);
            }
            if (!again && again.error().code != Errc::not_found) return error_response(again.error());
            continue;
        }
        return impl_->taken(match, other, rules);
    }
    return Response::error(409, "CONFLICT", "Other requests keep changing the same job; try again");
}

}  // namespace jobruntime
