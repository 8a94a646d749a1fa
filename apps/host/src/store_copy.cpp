// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "store_copy.hpp"

#include <algorithm>
#include <random>
#include <unordered_map>
#include <unordered_set>

#include <boost/json/serialize.hpp>

#include "copy_bookmark.hpp"
#include "copy_verify.hpp"
#include "copy_walk.hpp"
#include "session_watch.hpp"

namespace jobruntime::host {
namespace {

namespace json = boost::json;

/// A page of jobs is handed over in parts of at most this size, well below limits::batch_bytes.
constexpr std::size_t part_bytes = 4 * 1024 * 1024;

/// A name that no other store has.
std::string new_identity() {
    std::random_device random;
    JobId id;
    for (auto& byte : id.bytes) byte = static_cast<std::uint8_t>(random());
    return id.str();
}

/// Where the jobs of the target stand in the way.
struct Target {
    std::unordered_set<JobId> ids;
    std::unordered_map<std::string, JobId> unique, idempotent;
};

class Copying {
public:
    Copying(Store& from, Store& to, Clock& clock, const CopyOptions& options)
        : from_(from), to_(to), clock_(clock), options_(options) {}

    Result<CopyReport> run() {
        JR_TRY(check_rest());
        JR_TRY(identify());
        JR_TRY(look_at_target());
        JR_TRY(check_conflicts());
        JR_TRY(copy_records());
        JR_TRY(copy_jobs());
        JR_TRY(copy_events());
        JR_TRY(verify_copy(from_, to_, done_, report_));
        return std::move(report_);
    }

private:
    Result<void> check_rest();
    Result<void> identify();
    Result<void> look_at_target();
    Result<void> check_conflicts();
    Result<void> copy_records();
    Result<void> copy_jobs();
    Result<void> hand_over(std::vector<Job>& part);
    Result<void> copy_events();
    Result<bool> in_target(const std::vector<Event>& events);
    Result<void> mark_newest();
    Result<void> save();

    void say(const std::string& line) const {
        if (options_.say) options_.say(line);
    }

    Store& from_;
    Store& to_;
    Clock& clock_;
    const CopyOptions& options_;
    CopyReport report_;
    std::string mark_key_;
    Bookmark mark_;
    bool resumed_ = false;
    Target target_;
    std::unordered_set<JobId> done_;  ///< By this run.
};

Result<void> Copying::check_rest() {
    const auto in_use = [&](const SessionFacts& facts) {
        return Error{Errc::conflict, "STORE_IN_USE",
                     from_.describe() + " is in use by pid " + std::to_string(facts.pid) + " on " +
                         facts.host + " (" + facts.role +
                         "); stop it first, because a copy would miss what it does meanwhile"};
    };
    auto sessions = from_.sessions();
    if (!sessions) return of(from_, std::move(sessions).error());
    for (const auto& session : *sessions)
        if (seems_alive(session, clock_.wall(), options_.lease)) return in_use(session.facts);
    // A store's clock may have jumped, so that a beat only looks old.
    WatchOptions watching;
    watching.lease = options_.lease;
    watching.heartbeat = options_.heartbeat;
    auto live = live_processes(from_, clock_, watching);
    if (!live) return of(from_, std::move(live).error());
    if (!live->empty()) return in_use(live->front().session.facts);
    return {};
}

Result<void> Copying::identify() {
    auto mine = from_.records(identity_key);
    if (!mine) return of(from_, std::move(mine).error());
    std::string identity;
    for (const auto& record : *mine)
        if (record.key == identity_key) identity = record.value;
    if (identity.empty()) {
        identity = json::serialize(json::string(new_identity()));
        auto put = from_.put(identity_key, identity, 0);
        if (!put) return of(from_, std::move(put).error());
    }
    auto theirs = to_.records(identity_key);
    if (!theirs) return of(to_, std::move(theirs).error());
    for (const auto& record : *theirs)
        if (record.key == identity_key && record.value == identity)
            return Error{Errc::conflict, "SAME_STORE",
                         from_.describe() + " and " + to_.describe() +
                             " are the same store, or one is a file copy of the other"};
    mark_key_ = std::string(bookmark_prefix) + identity.substr(1, identity.size() - 2);
    auto marks = to_.records(mark_key_);
    if (!marks) return of(to_, std::move(marks).error());
    for (const auto& record : *marks) {
        if (record.key != mark_key_) continue;
        mark_ = from_text(record);
        resumed_ = true;
        say("an earlier copy is gone on with");
    }
    return {};
}

Result<void> Copying::look_at_target() {
    return each_job(to_, [&](const Job& job) {
        target_.ids.insert(job.id);
        if (!job.unique_key.empty() && (job.unique_states | live_states).has(job.state))
            target_.unique.emplace(job.unique_key, job.id);
        if (!job.idempotency_key.empty()) target_.idempotent.emplace(job.idempotency_key, job.id);
    });
}

Result<void> Copying::check_conflicts() {
    std::uint64_t found = 0;
    std::string examples;
    JR_TRY(each_job(from_, [&](const Job& job) {
        ++report_.jobs;
        if (target_.ids.contains(job.id)) return;
        auto state = job.state == JobState::running ? JobState::queued : job.state;
        const bool counts = !job.unique_key.empty() && (job.unique_states | live_states).has(state);
        auto held = counts ? target_.unique.find(job.unique_key) : target_.unique.end();
        std::string by;
        if (held != target_.unique.end())
            by = "the unique key \"" + job.unique_key + "\", which " + held->second.str() + " holds";
        if (by.empty() && !job.idempotency_key.empty()) {
            held = target_.idempotent.find(job.idempotency_key);
            if (held != target_.idempotent.end())
                by = "the idempotency key that " + held->second.str() + " has";
        }
        if (by.empty()) return;
        if (++found <= 5) examples += "; " + job.id.str() + " has " + by;
    }));
    if (found == 0) return {};
    return Error{Errc::conflict, "STORE_COPY_CONFLICT",
                 std::to_string(found) + " jobs of " + from_.describe() + " clash with other jobs of " +
                     to_.describe() + ", so nothing was copied; delete one of each pair, then try again" +
                     examples};
}

Result<void> Copying::copy_records() {
    auto mine = from_.records("");
    if (!mine) return of(from_, std::move(mine).error());
    auto theirs = to_.records("");
    if (!theirs) return of(to_, std::move(theirs).error());
    std::unordered_map<std::string, std::string> there;
    for (auto& record : *theirs) there.emplace(std::move(record.key), std::move(record.value));
    for (const auto& record : *mine) {
        if (is_copys_own(record)) continue;
        if (const auto known = there.find(record.key); known != there.end()) {
            known->second == record.value ? void(++report_.records_known)
                                          : report_.records_kept.push_back(record.key);
            continue;
        }
        auto put = to_.put(record.key, record.value, 0);
        if (!put && put.error().code == Errc::conflict)
            report_.records_kept.push_back(record.key);
        else if (!put)
            return of(to_, std::move(put).error());
        else
            ++report_.records_copied;
    }
    return {};
}

/// A lease cannot be handed over: what a drain would make of a running job.
bool interrupt(Job& job, Time now) {
    if (job.state != JobState::running) return false;
    job.attempt = std::max(0, job.attempt - 1);
    job.state = job.cancel_requested_at ? JobState::canceled : JobState::queued;
    if (is_final(job.state)) job.finished_at = now;
    return true;
}

std::size_t size_of(const Job& job) {
    std::size_t bytes = 4096 + json::serialize(job.payload).size() + json::serialize(job.result).size();
    for (const auto& step : job.steps) bytes += json::serialize(step.value).size() + step.name.size();
    for (const auto& error : job.errors) bytes += error.message.size() + error.code.size();
    return bytes;
}

Result<void> Copying::hand_over(std::vector<Job>& part) {
    if (part.empty()) return {};
    auto answers = to_.restore(part, clock_.wall());
    if (!answers) return of(to_, std::move(answers).error());
    for (std::size_t i = 0; i < part.size(); ++i) {
        const auto& answer = (*answers)[i];
        if (answer.refused) return of(to_, *answer.refused);
        if (answer.how != InsertAnswer::How::inserted)
            return Error{Errc::conflict, "STORE_COPY_CONFLICT",
                         "job " + part[i].id.str() + " clashes with " + answer.id.str() +
                             ", which came into " + to_.describe() +
                             " meanwhile; delete one of them and copy again, which goes on here"};
        done_.insert(part[i].id);
        ++report_.jobs_copied;
    }
    part.clear();
    return {};
}

Result<void> Copying::copy_jobs() {
    auto cursor = mark_.cursor;
    while (true) {
        auto page = from_.list({}, JobOrder::oldest_first, cursor, options_.page, all_parts);
        if (!page && page.error().code == Errc::invalid_argument && !cursor.empty()) {
            // Not this store's cursor any more; from the beginning then: what is there is seen by its id.
            cursor.clear();
            continue;
        }
        if (!page) return of(from_, std::move(page).error());
        if (!page->unreadable.empty())
            return Error{Errc::corrupt, "STORE_COPY_DAMAGED",
                         "job " + page->unreadable.front().str() + " in " + from_.describe() +
                             " is damaged and cannot be copied; delete it, or restore it from a backup, and copy again"};
        std::vector<Job> part;
        std::size_t bytes = 0;
        for (auto& job : page->jobs) {
            if (target_.ids.contains(job.id) || mark_.tail.contains(job.id.str())) continue;
            if (interrupt(job, clock_.wall())) ++report_.interrupted;
            const auto size = size_of(job);
            if (bytes + size > part_bytes) {
                JR_TRY(hand_over(part));
                bytes = 0;
            }
            bytes += size;
            part.push_back(std::move(job));
        }
        std::vector<JobId> ids;
        for (const auto& job : page->jobs) ids.push_back(job.id);
        JR_TRY(hand_over(part));
        if (page->next_cursor.empty()) {
            for (const auto& id : ids) mark_.tail.insert(id.str());
            return save();
        }
        cursor = mark_.cursor = std::move(page->next_cursor);
        mark_.tail.clear();
        JR_TRY(save());
        if (done_.size() % 5000 < static_cast<std::size_t>(options_.page) && !done_.empty())
            say(std::to_string(done_.size()) + " of " + std::to_string(report_.jobs) + " jobs");
    }
}

/// Whether this page of the source's events stands in the target behind the bookmark: the run that wrote it
/// ended before it could say so. A page is one note, so its first event is enough.
Result<bool> Copying::in_target(const std::vector<Event>& events) {
    EventId after = mark_.target_after;
    while (true) {
        auto page = to_.events(after, {}, 500);
        if (!page) return of(to_, std::move(page).error());
        for (auto& event : page->events) {
            event.id = events.front().id;
            if (event == events.front()) return true;
        }
        if (page->events.size() < 500) return false;
        after = page->next;
    }
}

Result<void> Copying::mark_newest() {
    auto newest = to_.events(std::nullopt, {}, 1);
    if (!newest) return of(to_, std::move(newest).error());
    mark_.target_after = newest->next;
    return save();
}

Result<void> Copying::copy_events() {
    bool look_first = resumed_;
    if (!resumed_) JR_TRY(mark_newest());
    while (true) {
        auto page = from_.events(mark_.events_after, {}, options_.page);
        if (!page) return of(from_, std::move(page).error());
        if (page->events.empty()) return {};
        bool there = false;
        if (look_first) {
            auto found = in_target(page->events);
            if (!found) return std::move(found).error();
            there = *found;
            look_first = false;
        }
        (there ? report_.events_known : report_.events_copied) += page->events.size();
        mark_.events_after = page->events.back().id;
        if (!there) {
            Note note;
            note.events = std::move(page->events);
            auto answers = to_.note({&note, 1}, clock_.wall());
            if (!answers) return of(to_, std::move(answers).error());
        }
        JR_TRY(mark_newest());
    }
}

Result<void> Copying::save() {
    auto put = to_.put(mark_key_, to_text(mark_), mark_.version);
    if (!put && put.error().code == Errc::conflict)
        return Error{Errc::conflict, "STORE_COPY_TWICE",
                     "another copy of " + from_.describe() + " into " + to_.describe() +
                         " is running; let one of them end"};
    if (!put) return of(to_, std::move(put).error());
    mark_.version = *put;
    return {};
}

}  // namespace

Result<CopyReport> copy_store(Store& from, Store& to, Clock& clock, const CopyOptions& options) {
    return Copying(from, to, clock, options).run();
}

}  // namespace jobruntime::host
