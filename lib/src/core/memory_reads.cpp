// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What people and programs look at: jobs, counts, events, sessions, records.
#include <algorithm>
#include <charconv>

#include "core/memory_database.hpp"

namespace jobruntime::memory {
namespace {

bool among(const std::vector<std::string>& wanted, const std::string& value) {
    return wanted.empty() || std::find(wanted.begin(), wanted.end(), value) != wanted.end();
}

bool matches(const JobFilter& filter, const Row& row) {
    const Job& job = row.job;
    return (filter.states.empty() || filter.states.has(job.state)) && among(filter.kinds, job.kind) &&
           among(filter.queues, job.queue) &&
           (filter.tag.empty() || std::find(job.tags.begin(), job.tags.end(), filter.tag) != job.tags.end()) &&
           (filter.trace_id.empty() || job.trace_id == filter.trace_id) &&
           (filter.unique_key.empty() || job.unique_key == filter.unique_key) &&
           (filter.idempotency_key.empty() || job.idempotency_key == filter.idempotency_key) &&
           (filter.error_code.empty() || (!row.errors.empty() && row.errors.back().code == filter.error_code)) &&
           (!filter.session || job.session == filter.session) &&
           (!filter.created_before || job.created_at < *filter.created_before) &&
           (!filter.created_after || job.created_at >= *filter.created_after);
}

bool matches(const EventFilter& filter, const Event& event) {
    return (!filter.job || event.job == filter.job) &&
           (filter.trace_id.empty() || event.trace_id == filter.trace_id) &&
           (!filter.level || event.level == *filter.level) && event.name.starts_with(filter.name_prefix);
}

/// A cursor is the number of the last row looked at, behind a letter that says whose it is.
constexpr char cursor_mark = 'm';

std::string to_cursor(std::uint64_t sequence) { return cursor_mark + std::to_string(sequence); }

/// 0 for the empty cursor.
Result<std::uint64_t> from_cursor(std::string_view cursor) {
    if (cursor.empty()) return std::uint64_t{0};
    std::uint64_t sequence = 0;
    const char* end = cursor.data() + cursor.size();
    if (cursor.front() == cursor_mark) {
        const auto read = std::from_chars(cursor.data() + 1, end, sequence);
        if (read.ec == std::errc{} && read.ptr == end && sequence > 0) return sequence;
    }
    return Error{Errc::invalid_argument, "this is no cursor of this store; begin again without one"};
}

bool waits(JobState state) { return state == JobState::scheduled || state == JobState::queued; }

}  // namespace

std::optional<Job> Database::get(JobId id, unsigned parts) const {
    const Row* row = find(id);
    if (!row) return std::nullopt;
    return view(*row, parts);
}

Result<JobPage> Database::list(const JobFilter& filter, JobOrder order, std::string_view cursor, int limit,
                               unsigned parts) const {
    const auto from = from_cursor(cursor);
    if (!from) return from.error();
    JobPage page;
    std::uint64_t last = 0;
    // False once there is one more than the page holds.
    const auto look = [&](const Row& row) {
        if (!matches(filter, row)) return true;
        if (page.jobs.size() == static_cast<std::size_t>(limit)) {
            page.next_cursor = to_cursor(last);
            return false;
        }
        page.jobs.push_back(view(row, parts));
        last = row.sequence;
        return true;
    };
    if (order == JobOrder::oldest_first) {
        for (auto it = by_creation_.upper_bound(*from); it != by_creation_.end() && look(*it->second); ++it) {}
    } else {
        auto it = *from == 0 ? by_creation_.end() : by_creation_.lower_bound(*from);
        while (it != by_creation_.begin() && look(*(--it)->second)) {}
    }
    return page;
}

Result<Changed> Database::change(const JobFilter& filter, const Change& wanted, int limit, std::string_view cursor,
                                 const Origin& origin, Time now) {
    const auto from = from_cursor(cursor);
    if (!from) return from.error();
    std::vector<JobId> ids;
    Changed changed;
    std::uint64_t last = 0;
    for (auto it = by_creation_.upper_bound(*from); it != by_creation_.end(); ++it) {
        if (!matches(filter, *it->second)) continue;
        if (ids.size() == static_cast<std::size_t>(limit)) {
            changed.next_cursor = to_cursor(last);
            break;
        }
        ids.push_back(it->second->job.id);
        last = it->first;
    }
    for (const auto id : ids) changed.answers.push_back(change(id, wanted, origin, now));
    return changed;
}

std::vector<CountRow> Database::count(const JobFilter& filter, CountBy by) const {
    std::map<std::pair<std::string, std::optional<JobState>>, CountRow> rows;
    if (by == CountBy::nothing) rows[{}];
    for (const auto& [sequence, row] : by_creation_) {
        if (!matches(filter, *row)) continue;
        const Job& job = row->job;
        std::pair<std::string, std::optional<JobState>> key;
        if (by == CountBy::kind) key.first = job.kind;
        if (by == CountBy::queue || by == CountBy::queue_and_state) key.first = job.queue;
        if (by == CountBy::state || by == CountBy::queue_and_state) key.second = job.state;
        auto& counted = rows[key];
        ++counted.count;
        if (waits(job.state) && (!counted.oldest || job.run_at < *counted.oldest)) counted.oldest = job.run_at;
    }
    std::vector<CountRow> answer;
    for (auto& [key, counted] : rows) {
        counted.key = key.first;
        counted.state = key.second;
        answer.push_back(std::move(counted));
    }
    return answer;
}

EventPage Database::events(std::optional<EventId> after, const EventFilter& filter, int limit) const {
    EventPage page;
    page.oldest = log_.empty() ? 0 : log_.front().id;
    page.next = last_event_;
    const auto most = static_cast<std::size_t>(limit);
    if (!after) {
        for (auto it = log_.rbegin(); it != log_.rend() && page.events.size() < most; ++it)
            if (matches(filter, *it)) page.events.push_back(*it);
        std::reverse(page.events.begin(), page.events.end());
        return page;
    }
    page.truncated = *after < pruned_through_ || *after > last_event_;
    auto it = log_.begin();
    if (!page.truncated)
        it = std::upper_bound(log_.begin(), log_.end(), *after,
                              [](EventId id, const Event& event) { return id < event.id; });
    for (; it != log_.end(); ++it) {
        if (!matches(filter, *it)) continue;
        page.events.push_back(*it);
        if (page.events.size() == most) {
            page.next = it->id;
            break;
        }
    }
    return page;
}

BeatAnswer Database::beat(SessionId session, const SessionFacts& facts, Time now) {
    const auto [entry, first] = sessions_.try_emplace(session);
    SessionInfo& info = entry->second;
    BeatAnswer given;
    if (!info.declared_dead) {
        if (first) info.started_at = now;
        info.id = session;
        info.facts = facts;
        info.beat_at = now;
        ++info.beat;
    }
    given.declared_dead = info.declared_dead;
    given.beat = info.beat;
    const auto running = running_.find(session);
    if (running == running_.end()) return given;
    for (const auto id : running->second) {
        const Job& job = find(id)->job;
        if (job.cancel_requested_at) given.cancels.push_back({job.id, job.fence});
    }
    return given;
}

std::vector<SessionInfo> Database::sessions() const {
    std::vector<SessionInfo> all;
    for (const auto& [id, info] : sessions_) all.push_back(info);
    return all;
}

std::vector<Record> Database::records(std::string_view prefix) const {
    std::vector<Record> found;
    for (auto it = records_.lower_bound(prefix); it != records_.end() && it->first.starts_with(prefix); ++it)
        found.push_back(it->second);
    return found;
}

Result<std::uint64_t> Database::put(std::string_view key, std::optional<std::string_view> value,
                                    std::uint64_t expected) {
    const auto known = records_.find(key);
    const std::uint64_t version = known == records_.end() ? 0 : known->second.version;
    if (version != expected)
        return Error{Errc::conflict, "record " + std::string(key) + " is at version " + std::to_string(version) +
                                         ", not " + std::to_string(expected) + "; read it again before changing it"};
    pending_hints_ |= hint_records;
    if (!value) {
        if (known != records_.end()) records_.erase(known);
        return std::uint64_t{0};
    }
    Record record{std::string(key), std::string(*value), ++last_version_};
    records_.insert_or_assign(std::string(key), std::move(record));
    return last_version_;
}

}  // namespace jobruntime::memory
