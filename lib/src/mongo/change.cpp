// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What people do to jobs from outside.
#include <algorithm>
#include <utility>

#include "core/bounds.hpp"
#include "mongo/filter.hpp"
#include "mongo/store.hpp"

namespace jobruntime::mongo {

using core::EventCode;

namespace {

void begin_anew(Row& row, bool fresh, Time now) {
    Job& job = row.job;
    job.run_at = now;
    job.max_attempts = std::max(job.max_attempts, job.attempt + 1);
    job.crashes = 0;
    job.finished_at.reset();
    job.cancel_requested_at.reset();
    row.forget_result = true;
    if (fresh) {
        row.job.steps.clear();
        row.rewrite_steps = true;
    }
}

/// Who holds a unique key, besides this row.
std::optional<JobId> holder(Server& server, const Row& row) {
    if (row.job.unique_key.empty()) return std::nullopt;
    const auto found =
        server.find(Where::jobs, {.filter = std::move(Doc().text("uniqueHeld", row.job.unique_key)),
                                  .fields = std::move(Doc().integer("_id", 1)),
                                  .limit = 1});
    // When it cannot be asked, the unique index still says no.
    if (!found || found->empty()) return std::nullopt;
    const auto id = JobId::parse(View(found->front()).text_or("_id"));
    return id && *id != row.job.id ? id : std::nullopt;
}

}  // namespace

Mutation MongoStore::change_one(JobId id, const Change& change, const Seen* seen, Time now, ChangeAnswer& answer) {
    // The unique index says no to those whose key another job holds, and few do: nobody is asked beforehand, but which one it
    // is when the change was not taken. Many jobs would cost a question each.
    auto apply = [this, id, &change, seen, &answer, now, tried = false](Row* row) mutable {
        answer = {};
        answer.job = id;
        if (!row) {
            answer.how = ChangeAnswer::How::not_found;
            return;
        }
        Job& job = row->job;
        const auto next = core::after_change(change.action, job.state);
        answer.how = core::is_as_seen(seen, job.fence, job.state) ? next.how : ChangeAnswer::How::invalid_state;
        answer.state = job.state;
        if (answer.how == ChangeAnswer::How::invalid_state) return;
        if (next.how == ChangeAnswer::How::requested) {
            if (job.cancel_requested_at) return;
            job.cancel_requested_at = now;
            mongo::tell(*row, {.code = next.event, .ran = true, .by = &change.by}, origin_, now);
            return;
        }
        if (next.event == EventCode::removed) {
            mongo::tell(*row, {.code = next.event, .by = &change.by}, origin_, now);
            row->gone = true;
            return;
        }
        if (next.event == EventCode::retried && std::exchange(tried, true)) {
            if (const auto other = holder(parts_->server, *row)) {
                answer.how = ChangeAnswer::How::conflict;
                answer.other = *other;
                return;
            }
        }
        job.state = next.state;
        switch (next.event) {
            case EventCode::retried: begin_anew(*row, change.fresh, now); break;
            case EventCode::promoted: job.run_at = now; break;
            case EventCode::moved: job.queue = change.queue; break;
            case EventCode::reprioritised: job.priority = change.priority; break;
            default: break;
        }
        if (next.event == EventCode::promoted && change.action == Action::retry && change.fresh) {
            row->job.steps.clear();
            row->rewrite_steps = true;
        }
        if (job.state != JobState::scheduled) job.wait_reason.clear();
        if (is_final(job.state)) job.finished_at = now;
        mongo::tell(*row, {.code = next.event, .by = &change.by}, origin_, now);
        answer.state = job.state;
    };
    // As of any document that makes no sense.
    auto refuse = [id, &answer] {
        answer = {};
        answer.job = id;
        answer.how = ChangeAnswer::How::not_found;
    };
    return {.id = id, .apply = std::move(apply), .refuse = std::move(refuse)};
}

Result<Changed> MongoStore::change_ids(std::span<const JobId> ids, const Change& change, Time now) {
    Changed changed;
    changed.answers.resize(ids.size());
    if (ids.empty()) return changed;
    Operation operation;
    operation.items = ids.size();
    for (std::size_t i = 0; i < ids.size(); ++i)
        operation.mutations.push_back(change_one(ids[i], change, core::seen_of(change, i), now, changed.answers[i]));
    JR_TRY(write(operation));
    return changed;
}

Result<std::pair<std::vector<JobId>, std::string>> MongoStore::matching(const JobFilter& filter,
                                                                        std::string_view cursor, int limit) {
    const auto page = list(filter, JobOrder::oldest_first, cursor, limit, 0);
    if (!page) return page.error();
    std::vector<JobId> ids;
    for (const auto& job : page->jobs) ids.push_back(job.id);
    return std::pair{std::move(ids), page->next_cursor};
}

Result<Changed> MongoStore::change(const Selection& which, const Change& change, int limit,
                                   std::string_view cursor, Time now) {
    JR_TRY(core::check_change(change, which));
    if (const auto* ids = std::get_if<std::vector<JobId>>(&which)) {
        JR_TRY(core::check_batch(std::span(*ids)));
        return change_ids(*ids, change, now);
    }
    const auto most = core::check_limit(limit, "the limit of a change");
    if (!most) return most.error();
    const auto found = matching(std::get<JobFilter>(which), cursor, *most);
    if (!found) return found.error();
    auto changed = change_ids(found->first, change, now);
    if (!changed) return changed;
    // Deleted by somebody since it was found: no answer is due to it.
    std::erase_if(changed->answers,
                  [](const ChangeAnswer& answer) { return answer.how == ChangeAnswer::How::not_found; });
    changed->next_cursor = found->second;
    return changed;
}

}  // namespace jobruntime::mongo
