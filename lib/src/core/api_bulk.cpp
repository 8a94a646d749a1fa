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
/// A call does so much at most, and says where the next goes on.
constexpr std::size_t most_a_call = 2000;
/// With words, which few jobs may have, it looks at no more slices than these.
constexpr int most_slices = 40;
constexpr std::uint64_t most_with_words = 200;
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

/// How many jobs one question to the store is about. Nobody knows beforehand how long a store takes for each, a call is to
/// end in time, and what a question does is only told when it has ended: it begins with few.
class Slice {
public:
    int size() const { return size_; }
    /// After one that took so long.
    void took(SteadyTime::duration time) {
        const auto fits = time > time.zero() ? size_ * (aim / time) : most;
        size_ = std::clamp(static_cast<int>(std::min<double>(fits, most)), least, std::min(size_ * 4, most));
    }

private:
    static constexpr int least = 5, most = 200;
    static constexpr std::chrono::duration<double> aim{0.2};
    int size_ = least;
};

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
    boost::json::object json(const boost::json::value& action) const {
        return {{"ok", true}, {"action", action}, {"done", done}, {"requested", requested}, {"refused", refused}};
    }
};

Change change_of(const RouteMatch& match) {
    const auto& body = match.body;
    Change change;
    change.by = match.by;
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
    Change change{.action = Action::remove, .by = match.by};
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
    auto changed = idle.empty() ? Result<Changed>(Changed{}) : queue.store().change(idle, change, static_cast<int>(idle.size()), {}, clock.wall());
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
    const auto changed_count = [&](std::uint64_t count) {
        return Response::error(409, "COUNT_CHANGED",
                               std::to_string(count) + " jobs match, more than " + std::to_string(expected_count->as_int64()) +
                                   "; nothing was done: look again and repeat with the new count",
                               {{"count", count}});
    };
    const auto expected = expected_count ? static_cast<std::uint64_t>(expected_count->as_int64()) : UINT64_MAX;
    if (named) {
        std::vector<JobId> list;
        for (const auto& id : named->as_array()) list.push_back(*JobId::parse(id.as_string()));
        return list.size() > expected ? changed_count(list.size()) : change_named(list, begun, match);
    }
    auto wanted = core::job_filter(filter->as_object());
    std::string words, cursor;
    if (const auto* text = filter->as_object().if_contains("text")) words = core::words_of(text->as_string());
    BulkBound bound;
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
    std::uint64_t count = 0;
    if (expected_count) {
        const auto rows = words.empty() ? queue.count(wanted, CountBy::nothing) : count_words(wanted, words);
        if (!rows) return self.error_response(rows.error());
        for (const auto& row : *rows) count += row.count;
    }
    if (!from) bound.left = count;
    wanted.created_before = std::min(wanted.created_before.value_or(bound.created_before), bound.created_before);
    // Fewer are no surprise: while workers drain a queue, each look finds fewer than the one before.
    if (count > expected) return changed_count(count);
    // Whoever asked may have been told by now that nobody knows what became of it, and is not to be made wrong.
    if (clock.steady() - begun >= core::long_enough)
        return self.error_response(core::invalid("counting the jobs that match took too long, and nothing was done; narrow the filter with "
                                                 "status, kind, queue or times",
                                                 "FILTER_TOO_WIDE"));
    return change_matching(wanted, words, std::move(cursor), bound, begun, match);
}

/// One slice of the change.
Result<Changed> ApiRouter::Impl::change_some(const Selection& which, const std::string& words, const Change& change,
                                             std::string_view cursor, int most, std::size_t& bytes,
                                             const RouteMatch& match) const {
    if (most == 0) return Changed{};
    if (!words.empty()) return change_words(std::get<JobFilter>(which), words, change, cursor, most, bytes, match);
    if (change.action == Action::remove) return remove_many(which, cursor, most, match);
    return queue.store().change(which, change, most, cursor, clock.wall());
}

Response ApiRouter::Impl::change_named(std::span<const JobId> named, SteadyTime begun, const RouteMatch& match) const {
    const auto change = change_of(match);
    Tally tally;
    Slice slice;
    boost::json::array results;
    std::size_t bytes = 0;
    while (results.size() < named.size()) {
        const auto since = clock.steady();
        const auto left = named.subspan(results.size());
        // Who waits longer is told that nobody knows what became of it. Here it is known, of each.
        if (tally.all() > 0 && since - begun >= core::long_enough) {
            for (const auto id : left) results.push_back({{"id", id.str()}, {"result", "not_tried"}});
            break;
        }
        const auto now = left.first(std::min(left.size(), static_cast<std::size_t>(slice.size())));
        auto changed = change_some(std::vector<JobId>(now.begin(), now.end()), {}, change, {}, static_cast<int>(now.size()), bytes, match);
        if (!changed && tally.all() == 0) return self.error_response(changed.error());
        if (!changed) {
            for (std::size_t i = 0; i < left.size(); ++i)
                results.push_back({{"id", left[i].str()}, {"result", i < now.size() ? "unknown" : "not_tried"}});
            break;
        }
        tally.add(changed->answers);
        for (const auto& answer : changed->answers) results.push_back(result_json(answer));
        slice.took(clock.steady() - since);
    }
    auto object = tally.json(match.body.at("action"));
    object["results"] = std::move(results);
    object["nextCursor"] = nullptr;
    return Response::json(200, std::move(object));
}

Response ApiRouter::Impl::change_matching(const JobFilter& filter, const std::string& words, std::string cursor,
                                          BulkBound bound, SteadyTime begun, const RouteMatch& match) const {
    const auto change = change_of(match);
    Tally tally;
    Slice slice;
    int slices = 0;
    std::size_t bytes = 0;
    do {
        const auto since = clock.steady();
        // Others may have come to match since they were counted: it ends where so many were done.
        const auto fits = words.empty() ? std::min<std::uint64_t>(static_cast<std::uint64_t>(slice.size()), most_a_call - tally.all()) : most_with_words;
        const auto most = static_cast<int>(std::min(fits, bound.left));
        auto changed = change_some(filter, words, change, cursor, most, bytes, match);
        // What was done before stays done and is told, with the cursor that goes on where the store failed.
        if (!changed && tally.all() > 0) break;
        if (!changed && changed.error().code == Errc::invalid_argument && changed.error().name.empty())
            return self.error_response(needs(wrong_cursor));
        if (!changed) return self.error_response(changed.error());
        tally.add(changed->answers);
        cursor = std::move(changed->next_cursor);
        bound.left -= std::min<std::uint64_t>(bound.left, changed->answers.size());
        if (bound.left == 0) cursor.clear();
        slice.took(clock.steady() - since);
    } while (!cursor.empty() && tally.all() < most_a_call && (words.empty() || (++slices < most_slices && bytes < core::most_bytes_looked_at)) &&
             clock.steady() - begun < core::long_enough);
    auto object = tally.json(match.body.at("action"));
    object["nextCursor"] = cursor.empty() ? boost::json::value(nullptr) : boost::json::value(bound.cursor(cursor));
    return Response::json(200, std::move(object));
}

}  // namespace jobruntime
