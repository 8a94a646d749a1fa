// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "proof/checker.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <unordered_map>

#include <sqlite3.h>

#include <boost/json/object.hpp>
#include <jobruntime/job.hpp>

#include "proof/address.hpp"
#include "proof/journal.hpp"

using namespace jobruntime;

namespace proof {
namespace {

/// All that is known of one job.
struct Story {
    std::string key;                       ///< Unique key, or "-".
    bool acknowledged = false;
    std::int64_t acknowledged_at = 0;
    std::vector<std::int64_t> starts;      ///< Times.
    std::vector<std::int64_t> completions; ///< Times at which a worker had its completion accepted.
    EventId first = 0, last = 0;           ///< Ids of its creation and its end.
    std::string status;                    ///< Of its last event.
};
using Stories = std::unordered_map<std::string, Story>;

std::string field(const Event& event, std::string_view name) {
    const auto* value = event.fields.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

void read_journals(const Evidence& evidence, Stories& stories, Findings& findings) {
    for (const auto& path : evidence.enqueuers) {
        for (const auto& line : read_journal(path)) {
            auto& story = stories[line.rest.at(0)];
            story.acknowledged = true;
            story.acknowledged_at = line.at;
            story.key = line.rest.at(1);
            ++findings.acknowledged;
        }
    }
    for (const auto& path : evidence.workers) {
        for (const auto& line : read_journal(path)) {
            auto& story = stories[line.rest.at(0)];
            if (line.word == 'S') story.starts.push_back(line.at), ++findings.runs;
            if (line.word == 'C') story.completions.push_back(line.at);
        }
    }
}

bool ends_job(std::string_view name) {
    return name == "worker.job.completed" || name == "worker.job.failed" || name == "worker.job.canceled";
}

/// Replays the whole log: each job's events must be a way through the state table.
std::vector<EventId> replay(Store& store, Stories& stories, Findings& findings) {
    std::vector<EventId> ids;
    EventId after = 0;
    for (;;) {
        auto page = store.events(after, {}, 2000);
        if (!page) {
            findings.complain("event: the log cannot be read: " + page.error().message);
            return ids;
        }
        for (const auto& event : page->events) {
            if (!ids.empty() && event.id <= ids.back()) findings.complain("event: ids do not ascend at " + std::to_string(event.id));
            ids.push_back(event.id);
            if (!event.job || field(event, "status").empty()) continue;
            const auto id = event.job.str();
            auto& story = stories[id];
            const auto& before = story.status;
            if (event.name == "jobs.create.queued") story.first = event.id;
            if (event.name == "worker.job.claimed" && before != "queued")
                findings.complain("event: " + id + " was claimed while " + (before.empty() ? "unborn" : before));
            if (ends_job(event.name) && before != "running" && before != "queued" && before != "scheduled")
                findings.complain("stale: " + id + " ended by " + event.name + " while " + before);
            if (event.name == "worker.job.completed" && before != "running")
                findings.complain("event: " + id + " completed while " + before);
            if (event.name == "worker.job.recovered") ++findings.recovered;
            story.status = field(event, "status");
            story.last = event.id;
        }
        if (page->events.empty()) break;
        after = page->next;
    }
    findings.events = static_cast<long>(ids.size());
    return ids;
}

void check_jobs(Store& store, const Evidence& evidence, const Stories& stories, Findings& findings) {
    for (const auto& [text, story] : stories) {
        auto job = store.get(*JobId::parse(text), 0);
        if (!job || !*job) {
            if (story.acknowledged) findings.complain("lost: the acknowledged job " + text + " is not in the store");
            continue;
        }
        const auto state = (*job)->state;
        findings.completed += state == JobState::completed;
        findings.failed += state == JobState::failed;
        if (evidence.all_ended && !is_final(state))
            findings.complain("lost: " + text + " is still " + std::string(to_string(state)));
        if (story.status != to_string(state))
            findings.complain("event: " + text + " is " + std::string(to_string(state)) + " but its events end at " +
                             story.status);
        if (story.completions.size() > 1) findings.complain("stale: " + text + " was completed twice");
        if (!story.completions.empty()) {
            if (state != JobState::completed) findings.complain("lost: the accepted completion of " + text + " is gone");
            const auto done = story.completions.front();
            if (std::any_of(story.starts.begin(), story.starts.end(), [&](auto start) { return start > done; }))
                findings.complain("rerun: " + text + " ran again after its completion was acknowledged");
        }
    }
}

/// A job lives at least from its acknowledgement to the first time a handler begins with it, by the machine's clock:
/// two with one key must not overlap there.
void check_unique_clock(const Stories& stories, Findings& findings) {
    std::map<std::string, std::vector<std::pair<std::int64_t, std::int64_t>>> holders;
    for (const auto& [text, story] : stories) {
        if (!story.acknowledged || story.key == "-" || story.starts.empty()) continue;
        const auto first = *std::min_element(story.starts.begin(), story.starts.end());
        if (first > story.acknowledged_at) holders[story.key].emplace_back(story.acknowledged_at, first);
    }
    for (auto& [key, spans] : holders) {
        std::sort(spans.begin(), spans.end());
        for (std::size_t i = 1; i < spans.size(); ++i)
            if (spans[i].first < spans[i - 1].second) findings.complain("unique: two jobs held the key " + key + " at a time");
    }
}

/// Jobs with one key must not overlap between creation and end, by the log's own order.
void check_unique(const Stories& stories, Findings& findings) {
    std::map<std::string, std::vector<std::pair<EventId, EventId>>> holders;
    for (const auto& [text, story] : stories)
        if (story.acknowledged && story.key != "-" && story.first != 0) holders[story.key].emplace_back(story.first, story.last);
    for (auto& [key, spans] : holders) {
        std::sort(spans.begin(), spans.end());
        for (std::size_t i = 1; i < spans.size(); ++i)
            if (spans[i].first < spans[i - 1].second) findings.complain("unique: two jobs held the key " + key + " at a time");
    }
}

/// MongoDB's log counts its events without a gap.
void check_counting(const std::vector<EventId>& ids, Findings& findings) {
    for (std::size_t i = 1; i < ids.size(); ++i)
        if (ids[i] != ids[i - 1] + 1)
            findings.complain("event: there is a gap between " + std::to_string(ids[i - 1]) + " and " + std::to_string(ids[i]));
}

void check_tails(const Evidence& evidence, const std::vector<EventId>& ids, Findings& findings) {
    for (const auto& path : evidence.tails) {
        std::size_t at = 0;
        for (const auto& line : read_journal(path)) {
            if (line.word == 'T') findings.complain("event: a reader was told of missed events");
            if (line.word != 'V') continue;
            const auto id = std::stoull(line.rest.at(0));
            if (at >= ids.size() || ids[at] != id) {
                findings.complain("event: a reader saw " + std::to_string(id) + " where " +
                                 (at < ids.size() ? std::to_string(ids[at]) : std::string("nothing")) + " is next");
                break;
            }
            ++at;
        }
        if (at != ids.size())
            findings.complain("event: a reader saw " + std::to_string(at) + " of " + std::to_string(ids.size()) + " events");
    }
}

void check_integrity(const std::string& database, Findings& findings) {
    sqlite3* db = nullptr;
    if (sqlite3_open_v2(database.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr) != SQLITE_OK) {
        findings.complain("integrity: the file cannot be opened");
    } else {
        sqlite3_stmt* statement = nullptr;
        sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, nullptr);
        if (!statement || sqlite3_step(statement) != SQLITE_ROW)
            findings.complain("integrity: the check cannot be made");
        else if (std::string(reinterpret_cast<const char*>(sqlite3_column_text(statement, 0))) != "ok")
            findings.complain(std::string("integrity: ") + reinterpret_cast<const char*>(sqlite3_column_text(statement, 0)));
        sqlite3_finalize(statement);
    }
    sqlite3_close(db);
}

}  // namespace

void Findings::complain(std::string text) {
    ++complained;
    // Many of one kind must not hide another.
    const auto kind = std::string_view(text).substr(0, text.find(':'));
    const auto kept = std::count_if(complaints.begin(), complaints.end(), [&](const auto& other) { return other.starts_with(kind); });
    if (kept < 20) complaints.push_back(std::move(text));
}

bool Findings::complains_of(std::string_view word) const {
    return std::any_of(complaints.begin(), complaints.end(), [&](const auto& text) { return text.starts_with(word); });
}

std::string Findings::counts() const {
    return std::to_string(acknowledged) + " acknowledged, " + std::to_string(runs) + " runs, " +
           std::to_string(completed) + " completed, " + std::to_string(failed) + " failed, " +
           std::to_string(recovered) + " recovered, " + std::to_string(events) + " events, " +
           std::to_string(complained) + " complaints";
}

Findings check(const std::string& address, const Evidence& evidence) {
    Findings findings;
    const bool shared = is_mongo(address);
    if (!shared) check_integrity(file_of(address), findings);
    auto store = open_at(address);
    if (!store) {
        findings.complain("lost: the store cannot be opened: " + store.error().message);
        return findings;
    }
    Stories stories;
    read_journals(evidence, stories, findings);
    const auto ids = replay(**store, stories, findings);
    check_jobs(**store, evidence, stories, findings);
    check_unique_clock(stories, findings);
    // MongoDB's log keeps the order of one job's events, and tells of two jobs in any order.
    if (!shared) check_unique(stories, findings);
    if (shared) check_counting(ids, findings);
    check_tails(evidence, ids, findings);
    return findings;
}

}  // namespace proof
