// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/bounds.hpp"

#include <algorithm>

#include "core/json.hpp"

namespace jobruntime::core {
namespace {

constexpr std::size_t record_key = 255;
constexpr std::size_t record_value = 64 * 1024;

std::size_t bytes_of(const NewJob& job) {
    std::size_t bytes = job.kind.size() + job.queue.size() + job.payload.size() + job.unique_key.size() +
                        job.idempotency_key.size() + job.idempotency_hash.size() + job.trace_id.size();
    for (const auto& tag : job.tags) bytes += tag.size();
    return bytes;
}

std::size_t bytes_of(const Settlement& settlement) {
    return settlement.result.size() + settlement.code.size() + settlement.message.size();
}

std::size_t bytes_of(const Event& event) {
    std::size_t bytes = event.name.size() + event.trace_id.size();
    for (const auto& [name, value] : event.fields)
        bytes += name.size() + (value.is_string() ? value.get_string().size() : sizeof(double));
    return bytes;
}

std::size_t bytes_of(const Note& note) {
    std::size_t bytes = note.step_value.size() + note.step_name.value_or("").size() + note.forget_step.value_or("").size();
    if (note.progress) bytes += note.progress->stage.size() + note.progress->message.size();
    for (const auto& event : note.events) bytes += bytes_of(event);
    return bytes;
}

std::size_t bytes_of(const JobId& id) { return id.bytes.size(); }

std::size_t bytes_of(const Job& job) {
    std::size_t bytes = job.kind.size() + job.queue.size() + job.unique_key.size() + job.idempotency_key.size() +
                        job.idempotency_hash.size() + job.trace_id.size() + job.wait_reason.size() +
                        job.progress.stage.size() + job.progress.message.size() + to_text(job.payload).size() +
                        to_text(job.result).size();
    for (const auto& tag : job.tags) bytes += tag.size();
    for (const auto& error : job.errors) bytes += error.code.size() + error.message.size();
    for (const auto& step : job.steps) bytes += step.name.size() + to_text(step.value).size();
    return bytes;
}

Error wrong_job(const Job& job, std::string_view what) {
    return {Errc::invalid_argument, "job " + job.id.str() + " cannot be restored: " + std::string(what)};
}

template <class Item>
Result<void> check(std::span<const Item> items) {
    if (items.size() > limits::batch_items)
        return Error{Errc::invalid_argument, std::to_string(items.size()) + " items in one call; at most " +
                                                 std::to_string(limits::batch_items) + ", so split them"};
    std::size_t bytes = 0;
    for (const auto& item : items) bytes += bytes_of(item);
    // One item alone is bounded by its own limits, and must always fit.
    if (bytes > limits::batch_bytes && items.size() > 1)
        return Error{Errc::invalid_argument, std::to_string(bytes) + " bytes in one call; at most " +
                                                 std::to_string(limits::batch_bytes) + ", so split them"};
    return {};
}

}  // namespace

Result<void> check_batch(std::span<const NewJob> jobs) { return check(jobs); }
Result<void> check_batch(std::span<const Settlement> settlements) { return check(settlements); }
Result<void> check_batch(std::span<const Note> notes) { return check(notes); }
Result<void> check_batch(std::span<const JobId> ids) { return check(ids); }
Result<void> check_batch(std::span<const Job> jobs) { return check(jobs); }

Result<int> check_limit(int limit, std::string_view what) {
    if (limit < 1)
        return Error{Errc::invalid_argument,
                     std::string(what) + " is " + std::to_string(limit) + "; it must be at least 1"};
    return std::min(limit, static_cast<int>(limits::batch_items));
}

namespace {

std::optional<Error> wrong_basics(JobId id, std::string_view kind, std::string_view queue, std::size_t payload) {
    if (!id) return Error{Errc::invalid_argument, "a job without an id cannot be stored"};
    if (kind.empty() || queue.empty())
        return Error{Errc::invalid_argument, "job " + id.str() + " has no kind or no queue"};
    if (payload > limits::payload)
        return Error{Errc::invalid_argument, "PAYLOAD_TOO_LARGE",
                     "the payload of job " + id.str() + " has " + std::to_string(payload) + " bytes; at most " +
                         std::to_string(limits::payload) + ", so store large data elsewhere and name it here"};
    return std::nullopt;
}

}  // namespace

std::optional<Error> refusal(const NewJob& job) {
    if (auto refused = wrong_basics(job.id, job.kind, job.queue, job.payload.size())) return refused;
    // Looked at once, here, so that nothing is stored that cannot be read again.
    if (job.payload != "{}" && !is_json_object(job.payload))
        return Error{Errc::invalid_argument, "INVALID_PAYLOAD",
                     "the payload of job " + job.id.str() + " is no JSON object in UTF-8, nested at most " +
                         std::to_string(json_depth) + " levels deep"};
    for (const auto& tag : job.tags)
        if (!is_utf8(tag)) return Error{Errc::invalid_argument, "a tag of job " + job.id.str() + " is not UTF-8"};
    return std::nullopt;
}

std::optional<Error> refusal(const Job& job) {
    constexpr auto highest_fence = std::uint64_t{1} << 53;
    if (const auto wrong = flaw(job.payload)) return wrong_job(job, "in its payload, " + *wrong);
    if (const auto wrong = flaw(job.result)) return wrong_job(job, "in its result, " + *wrong);
    if (auto refused = wrong_basics(job.id, job.kind, job.queue, to_text(job.payload).size())) return refused;
    if (job.state == JobState::running) return wrong_job(job, "it is running; end its attempt first");
    if (is_final(job.state) != job.finished_at.has_value())
        return wrong_job(job, "an ended job has the time of its end, and no other job has one");
    if (job.attempt < 0 || job.max_attempts < 0 || job.crashes < 0) return wrong_job(job, "a counter is below zero");
    if (static_cast<std::uint64_t>(job.fence) > highest_fence) return wrong_job(job, "its fence is too high");
    if (job.errors.size() > limits::errors) return wrong_job(job, "it has more errors than a job keeps");
    if (job.steps.size() > limits::steps) return wrong_job(job, "it has more steps than a job may have");
    if (to_text(job.result).size() > limits::result) return wrong_job(job, "its result is too large");
    for (const auto& step : job.steps) {
        if (const auto wrong = flaw(step.value)) return wrong_job(job, "in the step " + step.name + ", " + *wrong);
        if (to_text(step.value).size() > limits::result) return wrong_job(job, "the step " + step.name + " is too large");
    }
    for (const auto& tag : job.tags)
        if (!is_utf8(tag)) return wrong_job(job, "a tag is not UTF-8");
    return std::nullopt;
}

Result<void> check_record(std::string_view key, std::optional<std::string_view> value) {
    if (key.empty() || key.size() > record_key)
        return Error{Errc::invalid_argument, "a record's key has 1 to " + std::to_string(record_key) + " bytes, not " +
                                                 std::to_string(key.size())};
    if (value && value->size() > record_value)
        return Error{Errc::invalid_argument, "the value of record " + std::string(key) + " has " +
                                                 std::to_string(value->size()) + " bytes; at most " +
                                                 std::to_string(record_value)};
    return {};
}

}  // namespace jobruntime::core
