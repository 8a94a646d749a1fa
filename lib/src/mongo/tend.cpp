// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Upkeep: what crashes left behind is mended, due jobs are promoted, old ones and old events go.
#include <algorithm>
#include <utility>

#include "core/bounds.hpp"
#include "core/failpoint.hpp"
#include "core/words.hpp"
#include "mongo/store.hpp"

namespace jobruntime::mongo {

namespace {

Time before(Time now, Duration age) { return now < Time::min() + age ? Time::min() : now - age; }

}  // namespace

/// Also when a new primary does not know yet that a majority has its row: a worker that has just begun is not
/// a lost one.
Result<bool> MongoStore::session_known(const std::string& session) {
    const auto found = parts_->server.find(Where::sessions, {.filter = std::move(Doc().text("_id", session)),
                                                             .fields = std::move(Doc().integer("_id", 1)),
                                                             .limit = 1,
                                                             .unconfirmed = true});
    if (!found) return found.error();
    return !found->empty();
}

Result<void> MongoStore::mend(int budget, Time now, Tended& tended) {
    // Changes whose process died before their events were in the log, and deletions that stopped half-way.
    auto untold = parts_->jobs.rows(std::move(Doc().flag("untold", true)), 0, budget);
    if (!untold) return std::move(untold).error();
    Told told;
    for (auto& row : *untold) {
        for (auto& entry : row.outbox) told.entries.push_back(std::move(entry));
        if (row.gone) told.gone.push_back(row.job.id);
    }
    auto removed = parts_->jobs.rows(std::move(Doc().text("status", "deleted")), 0, budget);
    if (!removed) return std::move(removed).error();
    for (const auto& row : *removed) told.gone.push_back(row.job.id);
    if (!told.entries.empty() || !told.gone.empty()) {
        const auto hints = parts_->jobs.finish(told);
        if (!hints) return hints.error();
        parts_->hub->tell(*hints);
        tended.more = tended.more || untold->size() >= static_cast<std::size_t>(budget);
    }
    // Jobs that a session got after it was declared dead, or that its finder did not come to.
    Doc group;
    group.text("_id", "$workerId");
    List stages;
    stages.doc(Doc().doc("$match", Doc().text("status", "running"))).doc(Doc().doc("$group", group));
    const auto owners =
        parts_->server.aggregate(Where::jobs, std::move(Doc().list("pipeline", stages.made())));
    if (!owners) return owners.error();
    if (owners->empty()) return {};
    auto sessions = parts_->server.find(
        Where::sessions, {.fields = std::move(Doc().integer("declaredDead", 1).integer("loss", 1))});
    if (!sessions) return sessions.error();
    if (JOBRT_FAILPOINT("mongo.sessions_lag")) sessions->clear();
    std::map<std::string, std::optional<Loss>> known;  // Nothing: it lives.
    for (const auto& doc : *sessions) {
        const View session(doc);
        std::optional<Loss> loss;
        if (session.flag("declaredDead").value_or(false))
            loss = session.text_or("loss") == "reboot" ? Loss::reboot : Loss::crash;
        known[session.text_or("_id")] = loss;
    }
    for (const auto& doc : *owners) {
        const auto owner = View(doc).text("_id");
        if (!owner) continue;
        const auto place = known.find(*owner);
        if (place != known.end() && !place->second) continue;
        if (place == known.end()) {
            const auto there = session_known(*owner);
            if (!there) return there.error();
            if (*there) continue;
        }
        const auto loss = place == known.end() ? Loss::crash : *place->second;
        Doc running;
        running.text("status", "running").text("workerId", *owner);
        bool more = false;
        const auto lost = lose(running, loss, budget, now, more);
        if (!lost) return lost.error();
        tended.more = tended.more || more;
        if (options_.log && !lost->empty())
            options_.log(core::counted(lost->size(), "job") + " of session " + *owner + ", which is gone, " +
                         (lost->size() == 1 ? "runs again" : "run again"));
    }
    return {};
}

Result<void> MongoStore::promote(int budget, Time now, Tended& tended) {
    bool more = false;
    const auto next = promote_due(now, static_cast<std::size_t>(budget), tended.promoted, more);
    if (!next) return next.error();
    tended.next_due = *next;
    tended.more = tended.more || more;
    return {};
}

/// What was removed stays in pruned_ until a call of tend() could say so: files go with it.
Result<void> MongoStore::prune_jobs(const Retention& retention, int budget, Time now, Tended& tended) {
    const std::pair<JobState, Duration> ages[] = {{JobState::completed, retention.completed},
                                                  {JobState::canceled, retention.canceled},
                                                  {JobState::failed, retention.failed}};
    JR_TRY(sort_out_pruned());
    List keep;
    for (const auto& kind : retention.keep) keep.text(kind);
    for (const auto& [state, age] : ages) {
        Doc old;
        old.text("status", to_string(state)).doc("finishedAt", Doc().time("$lt", before(now, age)));
        old.doc("kind", Doc().list("$nin", keep.made())).doc("untold", Doc().flag("$ne", true));
        const int room = std::max(0, budget - static_cast<int>(pruned_.size()));
        const auto found =
            parts_->server.find(Where::jobs, {.filter = old,
                                              .order = std::move(Doc().integer("finishedAt", 1)),
                                              .fields = std::move(Doc().integer("_id", 1)),
                                              .limit = room + 1});
        if (!found) return found.error();
        std::vector<JobId> ids;
        for (const auto& doc : *found)
            if (const auto id = JobId::parse(View(doc).text_or("_id"))) ids.push_back(*id);
        if (ids.size() > static_cast<std::size_t>(room)) {
            tended.more = true;
            ids.resize(static_cast<std::size_t>(room));
        }
        if (ids.empty()) continue;
        auto these = ids_filter(ids);
        these.all_of(old);
        // Remembered before, so that those of a lost answer are looked for again.
        unsure_pruned_.insert(unsure_pruned_.end(), ids.begin(), ids.end());
        auto removed = parts_->server.remove_all(Where::jobs, these);
        if (JOBRT_FAILPOINT("mongo.prune_answer"))
            removed = Error{Errc::unavailable, "CONNECTION_LOST", "a failpoint"};
        if (!removed) return removed.error();
        if (*removed == ids.size()) {
            pruned_.insert(pruned_.end(), ids.begin(), ids.end());
            unsure_pruned_.clear();
            continue;
        }
        JR_TRY(sort_out_pruned());
    }
    return {};
}

/// Some were changed or removed by others meanwhile, or an answer was lost: those that are still there are
/// not pruned.
Result<void> MongoStore::sort_out_pruned() {
    if (unsure_pruned_.empty()) return {};
    if (JOBRT_FAILPOINT("mongo.prune_look")) return Error{Errc::unavailable, "a failpoint"};
    const auto left = parts_->server.find(
        Where::jobs, {.filter = ids_filter(unsure_pruned_), .fields = std::move(Doc().integer("_id", 1))});
    if (!left) return left.error();
    std::set<std::string> there;
    for (const auto& doc : *left) there.insert(View(doc).text_or("_id"));
    for (const auto& id : unsure_pruned_)
        if (!there.contains(id.str())) pruned_.push_back(id);
    unsure_pruned_.clear();
    return {};
}

Result<void> MongoStore::prune_sessions(const Retention& retention, Time now) {
    List over;
    over.doc(Doc().flag("stopped", true)).doc(Doc().flag("declaredDead", true));
    Doc old;
    old.doc("beatAt", Doc().time("$lt", before(now, retention.sessions))).list("$or", over.made());
    const auto found = parts_->server.find(
        Where::sessions, {.filter = old, .fields = std::move(Doc().integer("_id", 1)), .limit = 1000});
    if (!found) return found.error();
    List gone;
    for (const auto& doc : *found) {
        const auto id = View(doc).text_or("_id");
        Doc running;
        running.text("status", "running").text("workerId", id);
        const auto jobs = parts_->server.find(
            Where::jobs,
            {.filter = std::move(running), .fields = std::move(Doc().integer("_id", 1)), .limit = 1});
        if (!jobs) return jobs.error();
        if (jobs->empty()) gone.text(id);
    }
    if (gone.size() == 0) return {};
    old.doc("_id", Doc().list("$in", gone.made()));
    const auto removed = parts_->server.remove_all(Where::sessions, old);
    if (!removed) return removed.error();
    return {};
}

Result<Tended> MongoStore::tend(const Retention& retention, int budget, Time now) {
    const auto most = core::check_limit(budget, "the budget of upkeep");
    if (!most) return most.error();
    const std::scoped_lock lock(tending_);
    return again([&]() -> Result<Tended> {
        Tended tended;
        if (const auto mended = mend(*most, now, tended); !mended) {
            if (mended.error().code == Errc::unavailable) return mended.error();
            if (options_.log) options_.log("upkeep could not mend all: " + mended.error().message);
        }
        JR_TRY(promote(*most, now, tended));
        JR_TRY(prune_jobs(retention, *most, now, tended));
        if (JOBRT_FAILPOINT("mongo.prune_events"))
            return Error{Errc::unavailable, "CONNECTION_LOST", "a failpoint"};
        const auto pruned = parts_->journal.prune(retention, *most, now);
        if (!pruned) return pruned.error();
        tended.pruned_events = pruned->first;
        tended.more = tended.more || pruned->second;
        JR_TRY(prune_sessions(retention, now));
        tended.pruned_jobs = pruned_.size();
        tended.pruned = std::exchange(pruned_, {});
        return tended;
    });
}

}  // namespace jobruntime::mongo
