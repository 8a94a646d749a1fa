// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Upkeep: due jobs are promoted, old ones and old events go.
#include <algorithm>

#include "core/memory_database.hpp"

namespace jobruntime::memory {
namespace {

/// `now` - `age`, without passing the beginning of time.
Time before(Time now, Duration age) { return now < Time::min() + age ? Time::min() : now - age; }

}  // namespace

Tended Database::tend(const Retention& retention, int budget, const Origin& origin, Time now) {
    Tended tended;
    while (!scheduled_.empty() && scheduled_.begin()->first <= now) {
        if (tended.promoted == static_cast<std::uint64_t>(budget)) {
            tended.more = true;
            break;
        }
        promote(*find(scheduled_.begin()->second), origin, now);
        ++tended.promoted;
    }
    prune_jobs(retention, budget, now, tended);
    prune_events(retention, budget, now, tended);
    prune_sessions(retention, now);
    tended.next_due = next_due(now);
    return tended;
}

void Database::prune_jobs(const Retention& retention, int budget, Time now, Tended& tended) {
    const std::pair<JobState, Duration> ages[] = {{JobState::completed, retention.completed},
                                                  {JobState::canceled, retention.canceled},
                                                  {JobState::failed, retention.failed}};
    for (const auto& [state, age] : ages) {
        const Time oldest_kept = before(now, age);
        auto& finished = finished_[static_cast<std::size_t>(state)];
        for (auto it = finished.begin(); it != finished.end() && it->first < oldest_kept;) {
            Row& row = *find((it++)->second);
            if (std::find(retention.keep.begin(), retention.keep.end(), row.job.kind) != retention.keep.end()) continue;
            if (tended.pruned.size() == static_cast<std::size_t>(budget)) {
                tended.more = true;
                return;
            }
            tended.pruned.push_back(row.job.id);
            ++tended.pruned_jobs;
            erase(row);
        }
    }
}

void Database::prune_events(const Retention& retention, int budget, Time now, Tended& tended) {
    const Time oldest_kept = before(now, retention.events);
    while (!log_.empty() && (log_.size() > retention.event_count || log_.front().at < oldest_kept)) {
        if (tended.pruned_events == static_cast<std::uint64_t>(budget)) {
            tended.more = true;
            return;
        }
        pruned_through_ = log_.front().id;
        log_.pop_front();
        ++tended.pruned_events;
    }
}

void Database::prune_sessions(const Retention& retention, Time now) {
    const Time oldest_kept = before(now, retention.sessions);
    std::erase_if(sessions_, [&](const auto& entry) {
        const SessionInfo& info = entry.second;
        return (info.facts.stopped || info.declared_dead) && info.beat_at < oldest_kept && !running_.contains(info.id);
    });
}

}  // namespace jobruntime::memory
