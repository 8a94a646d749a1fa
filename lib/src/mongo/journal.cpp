// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/journal.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>
#include <unordered_set>

#include "core/failpoint.hpp"

namespace jobruntime::mongo {

using namespace std::chrono_literals;

namespace {

/// One document stays far below 16 MiB, and a reader that wants one event reads no more than this.
constexpr std::size_t batch_events = 500;
constexpr std::size_t batch_bytes = 4u << 20;
/// So many of the newest batches stay although all their events are pruned: a late write of a batch whose
/// number was taken long ago must still find it taken.
constexpr std::int64_t batches_kept = 100;
constexpr int patience = 200;
constexpr std::chrono::milliseconds longest_pause{100};
constexpr int rounds_alone = 5;

Doc batch_document(const Tail& tail, const std::vector<Entry>& entries, std::size_t begin, std::size_t end) {
    List keys, events;
    auto id = static_cast<std::int64_t>(tail.last);
    for (std::size_t i = begin; i < end; ++i) {
        const auto& entry = entries[i];
        keys.text(entry.key);
        Doc event;
        event.number("id", ++id);
        if (entry.job) event.text("jobId", entry.job.str());
        events.doc(event.all_of(entry.event));
    }
    Doc doc;
    doc.number("_id", tail.batch + 1)
        .number("first", static_cast<std::int64_t>(tail.last) + 1)
        .number("last", id);
    doc.list("keys", keys.made()).list("events", events.made());
    return doc;
}

/// Only ours: other documents have no numbers here.
Doc batches(std::int64_t from) {
    Doc filter;
    filter.doc("_id", Doc().number("$gte", from)).doc("last", Doc().number("$gte", 0));
    return filter;
}

bool matches(const EventFilter& filter, const Event& event) {
    return (!filter.job || event.job == filter.job) &&
           (filter.trace_id.empty() || event.trace_id == filter.trace_id) &&
           (!filter.level || event.level == *filter.level) && event.name.starts_with(filter.name_prefix);
}

bool has_repeats(const std::vector<Entry>& entries) {
    std::unordered_set<std::string_view> seen;
    for (const auto& entry : entries)
        if (!seen.insert(entry.key).second) return true;
    return false;
}

std::vector<Entry> each_once(const std::vector<Entry>& entries) {
    std::unordered_set<std::string_view> seen;
    std::vector<Entry> once;
    for (const auto& entry : entries)
        if (seen.insert(entry.key).second) once.push_back(entry);
    return once;
}

Doc log_record_filter() { return std::move(Doc().doc("_id", Doc().text("jobrt", "log"))); }

}  // namespace

unsigned hints_of(std::string_view name) {
    unsigned hints = hint_events;
    switch (core::event_code(name)) {
        case core::EventCode::completed:
        case core::EventCode::failed:
        case core::EventCode::canceled: hints |= hint_settled; break;
        case core::EventCode::retry_scheduled:
        case core::EventCode::snoozed:
        case core::EventCode::released:
        case core::EventCode::recovered: hints |= hint_settled | hint_jobs; break;
        case core::EventCode::cancel_requested: hints |= hint_cancel | hint_jobs; break;
        case core::EventCode::other:
        case core::EventCode::claimed: break;
        default: hints |= hint_jobs; break;
    }
    return hints;
}

Result<Tail> Journal::tail(bool unconfirmed) {
    auto newest = server_.find(Where::log, {.filter = batches(0),
                                            .order = std::move(Doc().integer("_id", -1)),
                                            .fields = std::move(Doc().integer("last", 1)),
                                            .limit = 1,
                                            .skip = !unconfirmed && JOBRT_FAILPOINT("mongo.tail_lags") ? 1 : 0,
                                            .unconfirmed = unconfirmed});
    if (!newest) return std::move(newest).error();
    if (newest->empty()) return Tail{};
    const View doc(newest->front());
    return Tail{doc.number("_id").value_or(0), static_cast<EventId>(doc.number("last").value_or(0))};
}

Result<void> Journal::append(const std::vector<Entry>& entries) {
    if (entries.empty()) return {};
    // Two who tell of one job in the same trip bring its outbox twice, and a unique index lets one document
    // hold a key twice.
    if (has_repeats(entries)) return append(each_once(entries));
    if (JOBRT_FAILPOINT("mongo.before_append")) return Error{Errc::unavailable, "a failpoint"};
    {
        const std::scoped_lock lock(mutex_);
        for (std::size_t begin = 0; begin < entries.size();) {
            std::size_t end = begin, bytes = 0;
            while (end < entries.size() && end - begin < batch_events &&
                   (end == begin || bytes < batch_bytes))
                bytes += entries[end++].event.size();
            JR_TRY(append_batch(entries, begin, end));
            begin = end;
        }
    }
    if (JOBRT_FAILPOINT("mongo.append_answer")) return Error{Errc::unavailable, "a failpoint"};
    if (JOBRT_FAILPOINT("mongo.before_empty")) return {};
    return empty_outboxes(entries);
}

Result<void> Journal::append_batch(const std::vector<Entry>& entries, std::size_t begin, std::size_t end) {
    std::vector<Entry> part(entries.begin() + static_cast<std::ptrdiff_t>(begin),
                            entries.begin() + static_cast<std::ptrdiff_t>(end));
    std::size_t left = part.size();
    std::optional<Error> lost;
    int standstill = 0;
    const auto begun = std::chrono::steady_clock::now();
    for (int round = 0; round < patience && left > 0; ++round) {
        if (!tail_) {
            const auto now = tail();
            if (!now) return now.error();
            tail_ = *now;
        }
        const Tail before = *tail_;
        std::vector<Doc> one;
        one.push_back(batch_document(before, part, 0, left));
        auto taken = server_.insert(Where::log, one);
        if (taken && taken->empty()) {
            tail_ = Tail{before.batch + 1, before.last + left};
            return {};
        }
        // Taken by somebody, or by us before an answer was lost.
        tail_.reset();
        if (!taken) {
            if (taken.error().code != Errc::unavailable || lost) return std::move(taken).error();
            lost = std::move(taken).error();
        }
        const auto now = tail();
        if (!now) return now.error();
        tail_ = *now;
        const auto dropped = drop_known(part, left);
        if (!dropped) return dropped.error();
        if (now->batch != before.batch || *dropped > 0 || !taken) continue;
        // Taken, and not to be seen: on its way to a majority of the members, as a rule.
        if (++standstill > 3) JR_TRY(check_foreign(before.batch + 1));
        if (std::chrono::steady_clock::now() - begun > server_.write_timeout()) break;
        std::this_thread::sleep_for(std::min(1ms * (1 << std::min(standstill, 7)), longest_pause));
    }
    if (left == 0) return {};
    return Error{Errc::unavailable,
                 "the event log of " + server_.place().text +
                     " is written by too many at once, or a majority of the replica set is behind; "
                     "try again"};
}

/// Whether what has the number of the next batch is none.
Result<void> Journal::check_foreign(std::int64_t batch) {
    auto found = server_.find(Where::log, {.filter = std::move(Doc().number("_id", batch)),
                                           .fields = std::move(Doc().integer("last", 1)),
                                           .limit = 1,
                                           .unconfirmed = true});
    if (!found) return std::move(found).error();
    if (found->empty() || View(found->front()).number("last").value_or(-1) >= 0) return {};
    return Error{Errc::corrupt, "the document " + std::to_string(batch) +
                                    " in jobrt_log is none of jobruntime's and stands in its way; delete it"};
}

Result<std::size_t> Journal::drop_known(std::vector<Entry>& entries, std::size_t& end) {
    List keys;
    for (std::size_t i = 0; i < end; ++i) keys.text(entries[i].key);
    auto found =
        server_.find(Where::log, {.filter = std::move(Doc().doc("keys", Doc().list("$in", keys.made()))),
                                  .fields = std::move(Doc().integer("keys", 1))});
    if (!found) return std::move(found).error();
    std::unordered_set<std::string> known;
    for (const auto& doc : *found)
        if (const auto list = View(doc).list("keys"))
            list->each([&](const bson_iter_t& key) { known.insert(View::as_text(key).value_or("")); });
    std::erase_if(entries, [&](const Entry& entry) { return known.contains(entry.key); });
    const auto dropped = end - entries.size();
    end = entries.size();
    return dropped;
}

/// By number, because all outboxes that end at the same one can be emptied by one command. Where a job has
/// been told of again meanwhile, only what is in the log goes.
Result<void> Journal::empty_outboxes(const std::vector<Entry>& entries) {
    std::map<JobId, std::int64_t> newest;
    for (const auto& entry : entries)
        if (entry.number > 0) newest[entry.job] = std::max(newest[entry.job], entry.number);
    std::map<std::int64_t, List> by_number;
    for (const auto& [job, number] : newest) by_number[number].text(job.str());
    for (const auto& [number, jobs] : by_number) {
        Doc filter, change;
        filter.doc("_id", Doc().list("$in", jobs.made())).number("eventCount", number);
        change.doc("$set", Doc().list("outbox", Doc())).doc("$unset", Doc().integer("untold", 1));
        const auto emptied = server_.update_all(Where::jobs, filter, change);
        if (!emptied) return emptied.error();
        if (*emptied >= jobs.size()) continue;
        Doc later, pull;
        later.doc("_id", Doc().list("$in", jobs.made())).doc("eventCount", Doc().number("$gt", number));
        pull.doc("$pull", Doc().doc("outbox", Doc().doc("n", Doc().number("$lte", number))));
        if (const auto pulled = server_.update_all(Where::jobs, later, pull); !pulled) return pulled.error();
    }
    return {};
}

Result<EventId> Journal::pruned_through() {
    auto record = server_.find(Where::records, {.filter = log_record_filter(), .limit = 1});
    if (!record) return std::move(record).error();
    if (record->empty()) return EventId{0};
    return static_cast<EventId>(View(record->front()).number("prunedThrough").value_or(0));
}

/// What is pruned while it is read leaves a hole that nobody is told of, so it is looked at before and after.
Result<EventPage> Journal::read(std::optional<EventId> after, const EventFilter& filter, int limit) {
    auto pruned = pruned_through();
    if (!pruned) return std::move(pruned).error();
    for (int round = 0;; ++round) {
        const auto end = tail();
        if (!end) return end.error();
        EventPage page;
        page.next = std::max(end->last, *pruned);
        page.oldest = end->last > *pruned ? *pruned + 1 : 0;
        page.truncated = after && (*after < *pruned || *after > page.next);
        if (after && *after > page.next) {
            // A new primary has all that was ever confirmed, and does not know at once that it is.
            const auto newest = tail(true);
            if (!newest) return newest.error();
            page.truncated = *after > newest->last;
            if (!page.truncated) {
                page.next = *after;
                return page;
            }
        }
        const EventId from = !after || page.truncated ? *pruned : *after;
        if (end->last <= from) return page;
        if (JOBRT_FAILPOINT("mongo.between_reads")) return Error{Errc::unavailable, "a failpoint"};
        JR_TRY(collect(page, *end, from, after.has_value(), filter, static_cast<std::size_t>(limit)));
        pruned = pruned_through();
        if (!pruned) return std::move(pruned).error();
        if (*pruned <= from) return page;
        if (round < rounds_alone) continue;
        page.truncated = true;  // Faster pruned than read; it begins again from where this page ends.
        return page;
    }
}

/// The events behind `from`: onwards from there, else the newest.
Result<void> Journal::collect(EventPage& page, const Tail& end, EventId from, bool onwards,
                              const EventFilter& filter, std::size_t most) {

    // In slices of batches, so that a page of few events of a long log reads little.
    std::int64_t slice = std::clamp<std::int64_t>(static_cast<std::int64_t>(most) / 4, 4, 100);
    std::int64_t edge = onwards ? 0 : end.batch + 1;
    while (true) {
        Doc range;
        range.doc("_id", onwards ? std::move(Doc().number("$gte", edge).number("$lte", end.batch))
                               : std::move(Doc().number("$lt", edge).number("$gte", 1)));
        range.doc("last", Doc().number("$gt", static_cast<std::int64_t>(from)));
        if (filter.job) {
            const auto id = filter.job.str();
            range.doc("keys", Doc().doc("$elemMatch", Doc().text("$gte", id + "/").text("$lt", id + "0")));
        }
        auto found = server_.find(Where::log, {.filter = std::move(range),
                                               .order = std::move(Doc().integer("_id", onwards ? 1 : -1)),
                                               .fields = std::move(Doc().integer("events", 1)),
                                               .limit = static_cast<int>(slice)});
        if (!found) return std::move(found).error();
        for (const auto& batch : *found) {
            const View doc(batch);
            std::vector<Event> events;
            if (const auto list = doc.list("events"))
                list->each_doc([&](const View& one) {
                    const auto id = static_cast<EventId>(one.number("id").value_or(0));
                    if (id <= from) return;
                    if (auto event = read_event(one)) {
                        event->id = id;
                        if (matches(filter, *event)) events.push_back(*std::move(event));
                    }
                });
            edge = doc.number("_id").value_or(0) + (onwards ? 1 : 0);
            if (!onwards) std::reverse(events.begin(), events.end());
            for (auto& event : events) {
                page.events.push_back(std::move(event));
                if (page.events.size() == most) break;
            }
            if (page.events.size() == most) break;
        }
        if (page.events.size() == most || found->size() < static_cast<std::size_t>(slice)) break;
        slice = 100;
    }
    if (!onwards)
        std::reverse(page.events.begin(), page.events.end());
    else if (page.events.size() == most)
        page.next = page.events.back().id;
    return {};
}

Result<std::pair<std::uint64_t, bool>> Journal::prune(const Retention& retention, int budget, Time now) {
    const auto pruned = pruned_through();
    if (!pruned) return pruned.error();
    const auto end = tail();
    if (!end) return end.error();
    const EventId count = end->last > *pruned ? end->last - *pruned : 0;
    EventId target = *pruned + (count > retention.event_count ? count - retention.event_count : 0);
    const EventId most = *pruned + static_cast<EventId>(budget);
    const Time oldest_kept = now < Time::min() + retention.events ? Time::min() : now - retention.events;
    // By age: from the oldest on, as far as the budget may reach.
    for (bool look = count > 0 && target <= most; look;) {
        Doc later;
        later.doc("_id", Doc().number("$gte", 0))
            .doc("last", Doc().number("$gt", static_cast<std::int64_t>(target)));
        auto next = server_.find(
            Where::log,
            {.filter = std::move(later), .order = std::move(Doc().integer("_id", 1)), .limit = 1});
        if (!next) return std::move(next).error();
        look = false;
        if (next->empty()) break;
        if (const auto list = View(next->front()).list("events")) {
            bool old = true;
            list->each_doc([&](const View& one) {
                const auto id = static_cast<EventId>(one.number("id").value_or(0));
                old = old && one.time("at").value_or(Time::min()) < oldest_kept;
                if (old && id > target) {
                    target = id;
                    look = true;
                }
            });
            look = look && old && target <= most;
        }
    }
    const bool more = target > most;
    target = std::min(target, most);
    if (target <= *pruned) return std::pair{std::uint64_t{0}, false};
    const auto moved = server_.upsert(
        Where::records, log_record_filter(),
        std::move(Doc().doc("$max", Doc().number("prunedThrough", static_cast<std::int64_t>(target)))));
    if (!moved) return moved.error();
    Doc old;
    old.doc("_id", Doc().number("$gte", 0).number("$lt", end->batch - batches_kept));
    old.doc("last", Doc().number("$gte", 0).number("$lte", static_cast<std::int64_t>(target)));
    if (const auto removed = server_.remove_all(Where::log, old); !removed) return removed.error();
    return std::pair{target - *pruned, more};
}

Result<unsigned> Journal::hints_since(std::int64_t& batch) {
    auto found = server_.find(Where::log, {.filter = batches(batch + 1),
                                           .order = std::move(Doc().integer("_id", 1)),
                                           .fields = std::move(Doc().integer("events.name", 1)),
                                           .limit = 100});
    if (!found) return std::move(found).error();
    unsigned hints = 0;
    for (const auto& one : *found) {
        const View doc(one);
        batch = std::max(batch, doc.number("_id").value_or(batch));
        if (const auto events = doc.list("events"))
            events->each_doc([&](const View& event) { hints |= hints_of(event.text_or("name")); });
    }
    return hints;
}

}  // namespace jobruntime::mongo
