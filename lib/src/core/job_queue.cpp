// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/job_queue.hpp>

#include <algorithm>

#include "core/ids.hpp"
#include "core/job_queue_impl.hpp"
#include "core/json.hpp"
#include "core/state_event.hpp"

namespace jobruntime {
namespace {

Error invalid(std::string message) { return {Errc::invalid_argument, "INVALID_ARGUMENT", std::move(message)}; }

Error too_long(std::string_view what, std::size_t size, std::size_t most) {
    return invalid(std::string(what) + " has " + std::to_string(size) + " bytes; at most " + std::to_string(most) +
                   " are kept");
}

Result<void> check_names(std::string_view kind, const EnqueueOptions& options) {
    if (!is_name(kind))
        return invalid("the kind \"" + std::string(core::cut(kind, limits::name)) +
                       "\" is not a name: use 1 to 64 of a-z, 0-9, dot, underscore, hyphen");
    if (!is_name(options.queue))
        return invalid("the queue \"" + std::string(core::cut(options.queue, limits::name)) +
                       "\" is not a name: use 1 to 64 of a-z, 0-9, dot, underscore, hyphen");
    return {};
}

Result<void> check_texts(const EnqueueOptions& options) {
    const std::pair<std::string_view, std::string_view> texts[] = {{"the unique key", options.unique},
                                                                   {"the idempotency key", options.idempotency_key},
                                                                   {"the idempotency hash", options.idempotency_hash},
                                                                   {"the trace id", options.trace_id}};
    for (const auto& [name, text] : texts)
        if (!core::is_utf8(text)) return invalid(std::string(name) + " is not UTF-8");
    for (const auto& tag : options.tags)
        if (!core::is_utf8(tag)) return invalid("a tag is not UTF-8");
    return {};
}

Result<void> check_bounds(const EnqueueOptions& options) {
    if (options.delay && options.run_at) return invalid("give either a delay or a time to run at, not both");
    if (options.delay && options.delay->count() < 0) return invalid("the delay is negative; leave it out to run at once");
    if (options.max_attempts < 1 || options.max_attempts > 1000)
        return invalid("max attempts is " + std::to_string(options.max_attempts) + "; it must be 1 to 1000");
    if (options.unique.size() > limits::unique_key)
        return too_long("the unique key", options.unique.size(), limits::unique_key);
    if (options.idempotency_key.size() > limits::idempotency_key)
        return too_long("the idempotency key", options.idempotency_key.size(), limits::idempotency_key);
    if (options.idempotency_hash.size() > limits::idempotency_key)
        return too_long("the idempotency hash", options.idempotency_hash.size(), limits::idempotency_key);
    if (options.trace_id.size() > limits::trace_id)
        return too_long("the trace id", options.trace_id.size(), limits::trace_id);
    if (options.tags.size() > limits::tags)
        return invalid(std::to_string(options.tags.size()) + " tags; at most " + std::to_string(limits::tags));
    for (const auto& tag : options.tags)
        if (tag.empty() || tag.size() > limits::tag)
            return invalid("a tag has " + std::to_string(tag.size()) + " bytes; it must have 1 to " +
                           std::to_string(limits::tag));
    return {};
}

Enqueued to_enqueued(InsertAnswer answer) {
    return {answer.id, answer.how, answer.state, std::move(answer.hash)};
}

/// The bytes of a job as the stores count a batch; see limits::batch_bytes.
std::size_t bytes_of(const NewJob& job) {
    return job.payload.size() + 2 * limits::name + limits::unique_key + limits::idempotency_key * 2 + limits::trace_id +
           limits::tag * job.tags.size();
}

}  // namespace

JobQueue::JobQueue(Store& store, JobQueueOptions options)
    : impl_(new Impl{store, store, options.clock ? *options.clock : system_clock(), options.sink,
                     std::make_shared<core::IdSource>(options.seed)}) {}

JobQueue::JobQueue(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
JobQueue::~JobQueue() = default;
JobQueue::JobQueue(JobQueue&&) noexcept = default;

Store& JobQueue::store() const { return impl_->store; }

JobQueue JobQueue::within(Inserter& inserter) const {
    return JobQueue(std::unique_ptr<Impl>(new Impl{impl_->store, inserter, impl_->clock, impl_->sink, impl_->ids}));
}

Result<NewJob> JobQueue::Impl::prepare(std::string_view kind, const boost::json::object& payload, EnqueueOptions options,
                                       Time now) {
    JR_TRY(check_names(kind, options));
    JR_TRY(check_bounds(options));
    JR_TRY(check_texts(options));
    if (const auto wrong = core::flaw(payload))
        return Error{Errc::invalid_argument, "INVALID_PAYLOAD",
                     "the payload cannot be kept as JSON: " + *wrong + "; give other bytes as text, e.g. in Base64"};
    NewJob job;
    job.payload = core::to_text(payload);
    if (job.payload.size() > limits::payload)
        return Error{Errc::invalid_argument, "PAYLOAD_TOO_LARGE",
                     "the payload has " + std::to_string(job.payload.size()) + " bytes as text; at most " +
                         std::to_string(limits::payload) + ", so put what is large elsewhere and name it in the payload"};
    job.id = ids->job(now);
    job.kind = kind;
    job.queue = std::move(options.queue);
    job.priority = options.priority;
    // A delay that would pass the end of time is the end of time.
    const Duration room = Time::max() - now;
    job.run_at = options.run_at ? std::max(*options.run_at, now) : now + std::min(options.delay.value_or(Duration{0}), room);
    job.max_attempts = options.max_attempts;
    job.unique_key = std::move(options.unique);
    if (!job.unique_key.empty()) job.unique_states = options.unique_states | live_states;
    job.on_conflict = options.on_conflict;
    job.idempotency_key = std::move(options.idempotency_key);
    job.idempotency_hash = std::move(options.idempotency_hash);
    job.trace_id = options.trace_id.empty() ? core::own_trace_id(job.id) : std::move(options.trace_id);
    job.tags = std::move(options.tags);
    job.by = std::move(options.by);
    return job;
}

Result<std::vector<InsertAnswer>> JobQueue::Impl::insert(std::span<const NewJob> jobs, Time now) {
    auto answers = inserter.insert(jobs, now);
    if (!answers && answers.error().code == Errc::unavailable) {
        auto lost = std::move(answers).error();
        answers = inserter.insert(jobs, now);
        if (!answers && answers.error().code != Errc::unavailable) {
            // Whatever refuses this round, the first one may have stored the jobs.
            lost.message += "; tried once more: " + answers.error().message;
            return lost;
        }
    }
    if (!answers) return answers;
    if (sink)
        for (std::size_t i = 0; i < jobs.size(); ++i) tell(jobs[i], (*answers)[i], now);
    return answers;
}

void JobQueue::Impl::tell(const NewJob& job, const InsertAnswer& answer, Time now) {
    const bool inserted = answer.how == InsertAnswer::How::inserted;
    if (answer.refused || (!inserted && answer.how != InsertAnswer::How::replaced)) return;
    core::StateEvent facts;
    facts.code = inserted ? core::EventCode::created : core::EventCode::replaced;
    facts.kind = job.kind;
    facts.queue = job.queue;
    facts.state = job.run_at > now ? JobState::scheduled : JobState::queued;
    facts.run_at = job.run_at;
    facts.priority = job.priority;
    facts.by = &job.by;
    Event event;
    event.at = now;
    event.name = core::event_name(facts.code);
    event.level = core::event_level(facts.code);
    event.job = answer.id;
    event.trace_id = job.trace_id;
    event.fields = core::event_fields(facts);
    sink->emit(event, true);
}

void JobQueue::tell_duplicate(const Job& other, std::string_view trace_id) {
    const Time now = impl_->clock.wall();
    Event event;
    event.name = "jobs.create.duplicate";
    event.at = now;
    event.job = other.id;
    event.trace_id = trace_id;
    event.fields = {{"kind", other.kind}, {"queue", other.queue}, {"status", to_string(other.state)}};
    if (impl_->sink) impl_->sink->emit(event, true);
    Note note;
    note.job = other.id;
    note.events.push_back(std::move(event));
    (void)impl_->store.note({&note, 1}, now).has_value();
}

Result<Enqueued> JobQueue::enqueue(std::string_view kind, boost::json::object payload, EnqueueOptions options) {
    const Time now = impl_->clock.wall();
    auto job = impl_->prepare(kind, payload, std::move(options), now);
    if (!job) return std::move(job).error();
    auto answers = impl_->insert({&*job, 1}, now);
    if (!answers) return std::move(answers).error();
    auto& answer = answers->front();
    if (answer.refused) return std::move(*answer.refused);
    return to_enqueued(std::move(answer));
}

Result<std::vector<Result<Enqueued>>> JobQueue::enqueue_many(std::span<const JobSpec> jobs) {
    const Time now = impl_->clock.wall();
    std::vector<Result<Enqueued>> answers(jobs.size(), Result<Enqueued>(Enqueued{}));
    std::vector<NewJob> batch;
    std::vector<std::size_t> places;  // Where in `answers` each job of the batch belongs.
    std::size_t bytes = 0;
    bool accepted = false;
    std::optional<Error> failed;      // Of the trip after which nothing more is sent.
    const auto send = [&] {
        if (batch.empty()) return;
        auto got = failed ? Result<std::vector<InsertAnswer>>(*failed) : impl_->insert(batch, now);
        if (!got) failed = got.error();
        for (std::size_t i = 0; i < places.size(); ++i) {
            auto& answer = answers[places[i]];
            if (failed) {
                answer = *failed;
                continue;
            }
            auto& one = (*got)[i];
            if (one.refused) answer = std::move(*one.refused);
            else answer = to_enqueued(std::move(one));
            accepted = accepted || answer.has_value();
        }
        batch.clear();
        places.clear();
        bytes = 0;
    };
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        auto job = impl_->prepare(jobs[i].kind, jobs[i].payload, jobs[i].options, now);
        if (!job) {
            answers[i] = std::move(job).error();
            continue;
        }
        const std::size_t size = bytes_of(*job);
        if (batch.size() == limits::batch_items || bytes + size > limits::batch_bytes) send();
        batch.push_back(std::move(*job));
        places.push_back(i);
        bytes += size;
    }
    send();
    if (failed && !accepted) return *std::move(failed);
    return answers;
}

}  // namespace jobruntime
