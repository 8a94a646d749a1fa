// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

bool is_printable(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return c >= ' ' && c < 0x7f; });
}

/// A job keeps the Idempotency-Key it was made with. That of a request which had a finished job run again is in a
/// record of its own, this long at least.
constexpr std::string_view requeued_prefix = "requeued/";
constexpr Duration requeued_kept{48LL * 3600 * 1000};

std::string requeued_record(std::string_view key) { return std::string(requeued_prefix) + core::fingerprint(key); }

std::string member(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

/// What a record says, or an empty object when it is none of ours.
boost::json::object requeued_facts(const Record& record) {
    boost::system::error_code code;
    auto value = boost::json::parse(record.value, code);
    return !code && value.is_object() ? std::move(value.get_object()) : boost::json::object();
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
    queue.tell_duplicate(other, match.trace_id);
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
    if (earlier.idempotency_hash == hash) {
        auto response = job_response(201, earlier.id, {{"traceId", match.trace_id}});
        if (response.status == 201) core::set_header(response, "location", "/api/jobs/" + earlier.id.str());
        return response;
    }
    return Response::error(409, "IDEMPOTENCY_KEY_REUSED",
                           "This Idempotency-Key came with another body before; use a new one for a new request",
                           {{"existingJobId", earlier.id.str()}, {"existingJobStatus", to_string(earlier.state)}});
}

/// The answer that this key has got before for running a finished job again, or nothing when it has not, or when
/// whoever began that died before the job ran again.
std::optional<Response> ApiRouter::Impl::repeated_requeue(const std::string& key, const std::string& hash,
                                                          const RouteMatch& match, const CreateRules& rules) const {
    if (key.empty()) return std::nullopt;
    const auto records = queue.store().records(requeued_record(key));
    if (!records) return self.error_response(records.error());
    for (const auto& record : *records) {
        const auto facts = requeued_facts(record);
        const auto id = JobId::parse(member(facts, "job"));
        if (!id || member(facts, "key") != key) continue;
        const auto job = queue.get(*id, all_parts & ~static_cast<unsigned>(part_steps));
        if (!job) return self.error_response(job.error());
        if (!*job) continue;
        if (const auto before = member(facts, "hash"); before != hash)
            return reused_key({*id, InsertAnswer::How::repeated, (*job)->state, before}, hash, match);
        if (is_final((*job)->state) && rules.requeue && rules.requeue(**job)) continue;
        return created(match, **job, true);
    }
    return std::nullopt;
}

/// Before the job is touched: so that no repeat, not even at the same time, is refused for what its twin did.
Result<void> ApiRouter::Impl::remember_requeue(const std::string& key, const std::string& hash, JobId job,
                                               Time now) const {
    if (key.empty()) return {};
    auto& store = queue.store();
    const auto records = store.records(requeued_prefix);
    if (!records) return records.error();
    std::uint64_t version = 0;
    for (const auto& record : *records) {
        const auto at = parse_iso(member(requeued_facts(record), "at"));
        if (record.key == requeued_record(key)) version = record.version;
        // Another request may tidy at the same time: what it has removed is gone either way.
        else if (!at || now - *at > requeued_kept) (void)store.put(record.key, std::nullopt, record.version).has_value();
    }
    const boost::json::object facts{{"key", key}, {"hash", hash}, {"job", job.str()}, {"at", to_iso(now)}};
    const auto put = store.put(requeued_record(key), boost::json::serialize(facts), version);
    if (!put) return put.error();
    return {};
}

Response ApiRouter::create_job(const Request& request, const RouteMatch& match, JobSpec spec, const CreateRules& rules) {
    const std::string key(request.header(core::key_header));
    if (key.size() > limits::idempotency_key || !is_printable(key))
        return error_response(core::invalid("Idempotency-Key must have at most " +
                                            std::to_string(limits::idempotency_key) + " printable ASCII characters"));
    spec.options.trace_id = match.trace_id;
    spec.options.by = match.by;
    spec.options.idempotency_key = key;
    if (!key.empty()) spec.options.idempotency_hash = core::fingerprint(request.body);
    return impl_->create_now(match, spec, rules);
}

Response ApiRouter::Impl::create_now(const RouteMatch& match, const JobSpec& spec, const CreateRules& rules) const {
    const auto& key = spec.options.idempotency_key;
    // A second round when the job in the way was deleted between two looks.
    for (int round = 0; round < 3; ++round) {
        const Time now = clock.wall();
        if (auto again = repeated_requeue(key, spec.options.idempotency_hash, match, rules)) return *std::move(again);
        const auto put = queue.enqueue(spec.kind, spec.payload, spec.options);
        if (!put) return put.error().code == Errc::unavailable ? unsure(true, key) : self.error_response(put.error());
        if (put->how == InsertAnswer::How::repeated)
            return reused_key(*put, spec.options.idempotency_hash, match);
        auto job = queue.get(put->id, all_parts & ~static_cast<unsigned>(part_steps));
        if (put->how != InsertAnswer::How::existing) {
            const bool readable = job && *job;
            return created(match, readable ? **job : as_asked(put->id, spec, now), false);
        }
        if (!job) return self.error_response(job.error());
        if (!*job) continue;
        const Job& other = **job;
        if (is_final(other.state) && rules.requeue && rules.requeue(other)) {
            const auto known = remember_requeue(key, spec.options.idempotency_hash, other.id, now);
            if (!known && known.error().code == Errc::conflict) continue;
            if (!known) return self.error_response(known.error());
            const auto again = queue.retry(other.id, true, match.by);
            if (again && again->how == ChangeAnswer::How::done) {
                const auto now_waiting = queue.get(other.id, all_parts & ~static_cast<unsigned>(part_steps));
                return created(match, now_waiting && *now_waiting ? **now_waiting : other, true);
            }
            if (!again && again.error().code == Errc::unavailable) return unsure(true, key);
            if (!again && again.error().code != Errc::not_found) return self.error_response(again.error());
            continue;
        }
        return taken(match, other, rules);
    }
    return Response::error(409, "CONFLICT", "Other requests keep changing the same job; try again");
}

}  // namespace jobruntime
