// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include <boost/json/array.hpp>

#include "core/api_impl.hpp"
#include "core/api_table.hpp"

namespace jobruntime {
namespace {

constexpr unsigned shown_parts = all_parts & ~static_cast<unsigned>(part_steps);
/// A filter may match everything: a call does so much, and says where the next goes on.
constexpr int slice = 200;
constexpr std::size_t most_a_call = 2000;
/// With words, which few jobs may have, it looks at no more slices and bytes than these.
constexpr int most_slices = 40;
constexpr std::size_t most_bytes_looked_at = 64u << 20;
constexpr const char* wrong_cursor = "cursor must be the nextCursor of an earlier answer to the same question";

std::string_view word(ChangeAnswer::How how) {
    switch (how) {
        case ChangeAnswer::How::done: return "done";
        case ChangeAnswer::How::requested: return "requested";
        case ChangeAnswer::How::not_found: return "not_found";
        case ChangeAnswer::How::invalid_state: return "invalid_state";
        case ChangeAnswer::How::conflict: return "conflict";
    }
    return {};
}

boost::json::object result_json(const ChangeAnswer& answer) {
    boost::json::object object{{"id", answer.job.str()}, {"result", word(answer.how)}};
    if (answer.how != ChangeAnswer::How::not_found) object["status"] = to_string(answer.state);
    if (answer.how == ChangeAnswer::How::conflict) object["existingJobId"] = answer.other.str();
    return object;
}

struct Tally {
    std::uint64_t done = 0, requested = 0, refused = 0;
    void add(const std::vector<ChangeAnswer>& answers) {
        for (const auto& answer : answers) {
            if (answer.how == ChangeAnswer::How::done) ++done;
            else if (answer.how == ChangeAnswer::How::requested) ++requested;
            else ++refused;
        }
    }
    std::uint64_t all() const { return done + requested + refused; }
};

Change change_of(const boost::json::object& body) {
    Change change;
    const auto& action = body.at("action").as_string();
    change.action = action == "retry" ? Action::retry : action == "cancel" ? Action::cancel : Action::remove;
    const auto* fresh = body.if_contains("fresh");
    change.fresh = fresh && fresh->as_bool();
    return change;
}

Error needs(const char* what) { return core::invalid(what); }

}  // namespace

/// Of a change by filter, over all calls that a cursor joins: "<left>.<createdBefore in ms>.<the store's cursor>".
std::string ApiRouter::Impl::BulkBound::cursor(std::string_view store_cursor) const {
    return std::to_string(left) + '.' + std::to_string(created_before.time_since_epoch().count()) + '.' + std::string(store_cursor);
}

std::optional<ApiRouter::Impl::BulkBound> ApiRouter::Impl::BulkBound::parse(std::string_view& cursor) {
    const auto number = [&]() -> std::optional<std::uint64_t> {
        const auto dot = cursor.find('.');
        if (dot == std::string_view::npos) return std::nullopt;
        const auto value = core::parse_number(cursor.substr(0, dot), INT64_MAX);
        cursor.remove_prefix(dot + 1);
        return value;
    };
    const auto left = number();
    const auto before = left ? number() : std::nullopt;
    // A cursor is only given while there is something left, and where the store goes on.
    if (!before || *left == 0 || cursor.empty()) return std::nullopt;
    return BulkBound{*left, Time(std::chrono::milliseconds(static_cast<std::int64_t>(*before)))};
}

/// Removes, and tells who wants to know what was there. Only jobs that were read before go, and none that ran then: it
/// may have ended since, with a result that nobody was told of. It counts as what it was, one that runs.
Result<Changed> ApiRouter::Impl::remove_many(const Selection& which, std::string_view cursor, int most,
                                             const RouteMatch& match) const {
    Change change;
    change.action = Action::remove;
    if (!options.deleted) return queue.store().change(which, change, most, cursor, clock.wall());
    Changed removed;
    std::map<JobId, Job> before;
    std::vector<JobId> listed;
    const auto* filter = std::get_if<JobFilter>(&which);
    if (filter) {
        auto page = queue.list(*filter, cursor, most, JobOrder::oldest_first, shown_parts);
        if (!page) return page.error();
        for (auto& job : page->jobs) {
            listed.push_back(job.id);
            before.emplace(job.id, std::move(job));
        }
        listed.insert(listed.end(), page->unreadable.begin(), page->unreadable.end());
        removed.next_cursor = std::move(page->next_cursor);
    } else {
        listed = std::get<std::vector<JobId>>(which);
        for (const auto id : listed) {
            auto job = queue.get(id, shown_parts);
            if (!job) return job.error();
            if (*job) before.emplace(id, *std::move(*job));
        }
    }
    const auto ran = [&](JobId id) {
        const auto job = before.find(id);
        return job != before.end() && job->second.state == JobState::running;
    };
    std::vector<JobId> idle;
    std::ranges::remove_copy_if(listed, std::back_inserter(idle), ran);
    // One that is claimed from now on may end with another result: it is refused, as if it still ran. So is one that has
    // left the states that were asked for.
    for (const auto id : idle) {
        auto& seen = change.seen.emplace_back();
        const auto job = before.find(id);
        if (job == before.end()) continue;
        seen = Seen{job->second.fence};
        if (filter && !filter->states.empty()) seen->state = job->second.state;
    }
    auto changed = idle.empty() ? Result<Changed>(Changed{}) : queue.store().change(idle, change, slice, {}, clock.wall());
    if (!changed) return changed;
    auto next = changed->answers.begin();
    for (const auto id : listed) {
        if (ran(id)) removed.answers.push_back({id, ChangeAnswer::How::invalid_state, JobState::running, {}});
        else removed.answers.push_back(*next++);
        const auto job = before.find(id);
        if (removed.answers.back().how == ChangeAnswer::How::done && job != before.end()) options.deleted(job->second, match);
    }
    return removed;
}

Response ApiRouter::Impl::bulk(const RouteMatch& match) const {
    const auto begun = clock.steady();
    const auto* named = match.body.if_contains("ids");
    const auto* filter = match.body.if_contains("filter");
    const auto* expected_count = match.body.if_contains("expectedCount");
    const auto* from = match.body.if_contains("cursor");
    if (!named == !filter) return self.error_response(needs("the body must have either ids or filter"));
    if (named && from) return self.error_response(needs("cursor goes with filter, not with ids"));
    if (filter && !expected_count && !from)
        return self.error_response(needs("expectedCount is missing; with a filter, say how many jobs it is to match"));
    Selection which;
    std::string words, cursor;
    BulkBound bound;
    std::uint64_t count = 0;
    if (named) {
        std::vector<JobId> list;
        for (const auto& id : named->as_array()) list.push_back(*JobId::parse(id.as_string()));
        count = list.size();
        which = std::move(list);
    } else {
        auto wanted = core::job_filter(filter->as_object());
        if (const auto* text = filter->as_object().if_contains("text")) words = core::words_of(text->as_string());
        if (from) {
            std::string_view rest = from->as_string();
            const auto told = BulkBound::parse(rest);
            if (!told) return self.error_response(needs(wrong_cursor));
            bound = *told;
            cursor = rest;
        } else {
            // What is made from now on was not counted. Whole milliseconds are all that a job's time has.
            bound.created_before = clock.wall() + Duration{1};
        }
        if (expected_count) {
            const auto rows = words.empty() ? queue.count(wanted, CountBy::nothing) : count_words(wanted, words);
            if (!rows) return self.error_response(rows.error());
            for (const auto& row : *rows) count += row.count;
        }
        if (!from) bound.left = count;
        wanted.created_before = std::min(wanted.created_before.value_or(bound.created_before), bound.created_before);
        which = std::move(wanted);
    }
    // Fewer are no surprise: while workers drain a queue, each look finds fewer than the one before.
    if (expected_count && count > static_cast<std::uint64_t>(expected_count->as_int64()))
        return Response::error(409, "COUNT_CHANGED",
                               std::to_string(count) + " jobs match, more than " + std::to_string(expected_count->as_int64()) +
                                   "; nothing was done: look again and repeat with the new count",
                               {{"count", count}});
    // Whoever asked may have been told by now that nobody knows what became of it, and is not to be made wrong.
    if (clock.steady() - begun >= core::long_enough)
        return self.error_response(core::invalid("counting the jobs that match took too long, and nothing was done; narrow the filter with "
                                                 "status, kind, queue or times",
                                                 "FILTER_TOO_WIDE"));
    return change_many(which, words, std::move(cursor), bound, begun, match);
}

Response ApiRouter::Impl::change_many(const Selection& which, const std::string& words, std::string cursor,
                                      BulkBound bound, SteadyTime begun, const RouteMatch& match) const {
    const auto change = change_of(match.body);
    const auto* named = std::get_if<std::vector<JobId>>(&which);
    Tally tally;
    int slices = 0;
    std::size_t bytes = 0;
    boost::json::array results;
    do {
        // Others may have come to match since they were counted: by filter, it ends where so many were done.
        const int most = named ? slice : static_cast<int>(std::min<std::uint64_t>(slice, bound.left));
        auto changed = most == 0 || (named && named->empty()) ? Result<Changed>(Changed{})
                       : !words.empty() ? change_words(std::get<JobFilter>(which), words, change, cursor, most, bytes, match)
                       : change.action == Action::remove
                           ? remove_many(which, cursor, most, match)
                           : queue.store().change(which, change, most, cursor, clock.wall());
        // What was done before stays done and is told, with the cursor that goes on where the store failed.
        if (!changed && tally.all() > 0) break;
        if (!changed && changed.error().code == Errc::invalid_argument && changed.error().name.empty())
            return self.error_response(needs(wrong_cursor));
        if (!changed) return self.error_response(changed.error());
        tally.add(changed->answers);
        if (named)
            for (const auto& answer : changed->answers) results.push_back(result_json(answer));
        cursor = std::move(changed->next_cursor);
        if (named) continue;
        bound.left -= std::min<std::uint64_t>(bound.left, changed->answers.size());
        if (bound.left == 0) cursor.clear();
    } while (!cursor.empty() && tally.all() < most_a_call && (words.empty() || (++slices < most_slices && bytes < most_bytes_looked_at)) &&
             clock.steady() - begun < core::long_enough);
    boost::json::object object{{"ok", true}, {"action", match.body.at("action")}, {"done", tally.done},
                               {"requested", tally.requested}, {"refused", tally.refused}};
    if (named) object["results"] = std::move(results);
    object["nextCursor"] = cursor.empty() ? boost::json::value(nullptr) : boost::json::value(bound.cursor(cursor));
    return Response::json(200, std::move(object));
}

}  // namespace jobruntime
