// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/bounds.hpp"

#include <algorithm>

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

Result<int> check_limit(int limit, std::string_view what) {
    if (limit < 1)
        return Error{Errc::invalid_argument,
                     std::string(what) + " is " + std::to_string(limit) + "; it must be at least 1"};
    return std::min(limit, static_cast<int>(limits::batch_items));
}

std::optional<Error> refusal(const NewJob& job) {
    if (!job.id) return Error{Errc::invalid_argument, "a job without an id cannot be stored"};
    if (job.kind.empty() || job.queue.empty())
        return Error{Errc::invalid_argument, "job " + job.id.str() + " has no kind or no queue"};
    if (job.payload.size() > limits::payload)
        return Error{Errc::invalid_argument, "PAYLOAD_TOO_LARGE",
                     "the payload of job " + job.id.str() + " has " + std::to_string(job.payload.size()) +
                         " bytes; at most " + std::to_string(limits::payload) +
                         ", so store large data elsewhere and name it here"};
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
