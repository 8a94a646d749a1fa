// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "copy_verify.hpp"

#include <functional>
#include <string>
#include <unordered_map>

#include "copy_walk.hpp"

namespace jobruntime::host {
namespace {

/// Events of one log, looked for in another, where they have other ids and stand among others. An event is known by
/// when and where it happened, its name and its job; two alike are two.
class EventTally {
public:
    void expect(const Event& event) {
        ++open_[mark_of(event)];
        ++expected_;
        ++missing_;
    }
    void meet(const Event& event) {
        const auto found = open_.find(mark_of(event));
        if (found == open_.end()) return;
        if (--found->second == 0) open_.erase(found);
        --missing_;
    }
    std::uint64_t expected() const { return expected_; }
    std::uint64_t missing() const { return missing_; }

private:
    static std::uint64_t mark_of(const Event& event) {
        const auto at = std::to_string(event.at.time_since_epoch().count());
        return std::hash<std::string>{}(at + '\n' + event.name + '\n' + event.job.str() + '\n' + event.source);
    }
    std::unordered_map<std::uint64_t, std::uint32_t> open_;  ///< How many of each are still to be met.
    std::uint64_t expected_ = 0, missing_ = 0;
};

Result<std::uint64_t> lost_jobs(Store& from, Store& to, const std::unordered_set<JobId>& done, CopyReport& report) {
    std::unordered_set<JobId> there;
    JR_TRY(each_job(to, [&](const Job& job) { there.insert(job.id); }));
    std::uint64_t lost = 0;
    JR_TRY(each_job(from, [&](const Job& job) {
        if (there.contains(job.id)) {
            if (!done.contains(job.id)) ++report.jobs_known;
            return;
        }
        done.contains(job.id) ? ++lost : ++report.jobs_gone;
    }));
    return lost;
}

/// Also of those that earlier runs carried: where the target's log is whole, none may be missing.
Result<std::uint64_t> lost_events(Store& from, Store& to, CopyReport& report) {
    EventTally tally;
    auto read = each_event(from, [&](const Event& event) { tally.expect(event); });
    if (!read) return std::move(read).error();
    auto pruned = each_event(to, [&](const Event& event) { tally.meet(event); });
    if (!pruned) return std::move(pruned).error();
    report.events = tally.expected();
    if (!*pruned) return tally.missing();
    report.events_gone = tally.missing();
    return std::uint64_t{0};
}

Result<std::uint64_t> lost_records(Store& from, Store& to, CopyReport& report) {
    auto mine = from.records("");
    if (!mine) return of(from, std::move(mine).error());
    auto theirs = to.records("");
    if (!theirs) return of(to, std::move(theirs).error());
    std::unordered_set<std::string> there;
    for (auto& record : *theirs) there.insert(std::move(record.key));
    std::uint64_t lost = 0;
    for (const auto& record : *mine) {
        if (is_copys_own(record)) continue;
        ++report.records;
        lost += !there.contains(record.key);
    }
    return lost;
}

std::string part(std::uint64_t lost, std::uint64_t all, std::string_view what) {
    return std::to_string(lost) + " of " + std::to_string(all) + " " + std::string(what);
}

}  // namespace

Result<void> verify_copy(Store& from, Store& to, const std::unordered_set<JobId>& done, CopyReport& report) {
    auto jobs = lost_jobs(from, to, done, report);
    if (!jobs) return std::move(jobs).error();
    auto events = lost_events(from, to, report);
    if (!events) return std::move(events).error();
    auto records = lost_records(from, to, report);
    if (!records) return std::move(records).error();
    if (*jobs + *events + *records == 0) return {};
    return Error{Errc::corrupt, "STORE_COPY_INCOMPLETE",
                 part(*jobs, report.jobs, "jobs, ") + part(*events, report.events, "events and ") +
                     part(*records, report.records, "records") + " are not in " + to.describe() +
                     " after they were copied; keep the source, and look whether another program deletes there"};
}

}  // namespace jobruntime::host
