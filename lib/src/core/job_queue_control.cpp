// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "core/job_queue_impl.hpp"
#include "core/json.hpp"
#include "core/state_event.hpp"

namespace jobruntime {
namespace {

/// Between two looks at a job that is waited for, when no hint comes.
constexpr Duration wait_poll{500};
constexpr int bulk_slice = 500;
constexpr int record_tries = 20;

Error no_such_job(JobId id) {
    return {Errc::not_found, "JOB_NOT_FOUND", "there is no job " + id.str() + "; it may have been deleted"};
}

}  // namespace

Result<std::optional<Job>> JobQueue::get(JobId id, unsigned parts) { return impl_->store.get(id, parts); }

Result<JobPage> JobQueue::list(const JobFilter& filter, std::string_view cursor, int limit, JobOrder order, unsigned parts) {
    return impl_->store.list(filter, order, cursor, limit, parts);
}

Result<std::vector<CountRow>> JobQueue::count(const JobFilter& filter, CountBy by) { return impl_->store.count(filter, by); }

Result<Job> JobQueue::wait(JobId id, Duration timeout, std::stop_token stop) {
    Wakeup wakeup;
    const auto subscription = impl_->store.on_change([&wakeup](unsigned hints) {
        if (hints & (hint_settled | hint_jobs)) wakeup.ring();
    });
    const SteadyTime start = impl_->clock.steady();
    const Duration room = std::chrono::floor<Duration>(SteadyTime::max() - start);
    const SteadyTime end = start + std::clamp(timeout, Duration{0}, room);
    while (true) {
        // Small reads while it runs; what is large is read once, at the end.
        auto seen = impl_->store.get(id, 0);
        if (!seen && seen.error().code != Errc::unavailable) return std::move(seen).error();
        if (seen && !*seen) return no_such_job(id);
        if (seen && is_final((*seen)->state)) {
            auto whole = impl_->store.get(id, all_parts);
            if (whole && !*whole) return no_such_job(id);
            // An operator may have put it back between the two reads; then go on waiting.
            if (whole && is_final((*whole)->state)) return std::move(**whole);
        }
        const SteadyTime now = impl_->clock.steady();
        if (now >= end)
            return Error{Errc::timed_out, "job " + id.str() + " was not finished after " +
                                              std::to_string(timeout.count()) + " ms; it goes on without you"};
        if (impl_->clock.wait_until(std::min<SteadyTime>(end, now + wait_poll), wakeup, stop) == Woken::stopped)
            return Error{Errc::canceled, "stopped waiting for job " + id.str() + ", as asked; it goes on without you"};
    }
}

Result<ChangeAnswer> JobQueue::cancel(JobId id, const Actor& by) {
    return change(id, Change{.action = Action::cancel, .by = by});
}
Result<ChangeAnswer> JobQueue::retry(JobId id, bool fresh, const Actor& by) {
    return change(id, Change{.action = Action::retry, .fresh = fresh, .by = by});
}
Result<ChangeAnswer> JobQueue::remove(JobId id, const Actor& by) {
    return change(id, Change{.action = Action::remove, .by = by});
}

Result<ChangeAnswer> JobQueue::change(JobId id, const Change& change) {
    if (change.action == Action::move && !is_name(change.queue))
        return Error{Errc::invalid_argument, "INVALID_ARGUMENT",
                     "a queue's name has 1 to 64 of a-z, 0-9, dot, underscore, hyphen"};
    auto changed = impl_->store.change(Selection{std::vector<JobId>{id}}, change, 1, {}, impl_->clock.wall());
    if (!changed) return std::move(changed).error();
    auto& answer = changed->answers.front();
    if (answer.how == ChangeAnswer::How::not_found) return no_such_job(id);
    return std::move(answer);
}

Result<JobQueue::BulkAnswer> JobQueue::change_all(const JobFilter& filter, const Change& change, std::uint64_t limit) {
    if (change.action == Action::move && !is_name(change.queue))
        return Error{Errc::invalid_argument, "INVALID_ARGUMENT",
                     "a queue's name has 1 to 64 of a-z, 0-9, dot, underscore, hyphen"};
    BulkAnswer sum;
    std::string cursor;
    std::uint64_t left = limit;
    while (left > 0) {
        const int slice = static_cast<int>(std::min<std::uint64_t>(left, bulk_slice));
        auto changed = impl_->store.change(Selection{filter}, change, slice, cursor, impl_->clock.wall());
        if (!changed) return std::move(changed).error();
        for (const auto& answer : changed->answers) {
            if (answer.how == ChangeAnswer::How::done) ++sum.done;
            else if (answer.how == ChangeAnswer::How::requested) ++sum.requested;
            else ++sum.refused;
        }
        left -= std::min<std::uint64_t>(left, changed->answers.size());
        if (changed->next_cursor.empty()) break;
        cursor = std::move(changed->next_cursor);
    }
    return sum;
}

namespace core {

Result<std::vector<std::string>> read_paused(Store& store) {
    auto records = store.records(queue_record_prefix);
    if (!records) return std::move(records).error();
    std::vector<std::string> names;
    for (const auto& record : *records) {
        const auto settings = parse_json_object(record.value);
        if (!settings) continue;  // Not ours to judge; a queue with settings that cannot be read is not paused.
        const auto* paused = settings->if_contains("paused");
        if (paused && paused->is_bool() && paused->get_bool()) names.push_back(record.key.substr(queue_record_prefix.size()));
    }
    return names;
}

namespace {

/// Sets one member of a queue's settings and leaves the others as they are, but for `changed`, which says who set it, when,
/// and to what: an older program leaves it there when it sets it to something else.
Result<void> set_paused(Store& store, std::string_view queue, bool paused, const Actor& by, Time now) {
    if (!is_name(queue))
        return Error{Errc::invalid_argument, "INVALID_ARGUMENT",
                     "a queue's name has 1 to 64 of a-z, 0-9, dot, underscore, hyphen"};
    const std::string key = std::string(queue_record_prefix) + std::string(queue);
    for (int tries = 0; tries < record_tries; ++tries) {
        auto records = store.records(key);
        if (!records) return std::move(records).error();
        boost::json::object settings;
        std::uint64_t version = 0;
        for (const auto& record : *records) {
            if (record.key != key) continue;  // Another queue, whose name begins the same way.
            version = record.version;
            if (auto read = parse_json_object(record.value)) settings = std::move(*read);
        }
        settings["paused"] = paused;
        settings.erase("changed");
        if (by.known()) {
            auto changed = actor_fields(by);
            changed["paused"] = paused;
            changed["at"] = to_iso(now);
            settings["changed"] = std::move(changed);
        }
        const std::string text = to_text(settings);
        auto put = store.put(key, text, version);
        if (put) return {};
        if (put.error().code != Errc::conflict) return std::move(put).error();
    }
    return Error{Errc::conflict, "the settings of queue " + std::string(queue) + " are being changed by others; try again"};
}

}  // namespace
}  // namespace core

Result<void> JobQueue::pause(std::string_view queue, const Actor& by) {
    return core::set_paused(impl_->store, queue, true, by, impl_->clock.wall());
}
Result<void> JobQueue::resume(std::string_view queue, const Actor& by) {
    return core::set_paused(impl_->store, queue, false, by, impl_->clock.wall());
}
Result<std::vector<std::string>> JobQueue::paused() { return core::read_paused(impl_->store); }

}  // namespace jobruntime
