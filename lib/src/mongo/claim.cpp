// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Jobs are handed to a session: look for candidates, write all of them at once if nobody was quicker, say
// which.
#include <algorithm>

#include "core/bounds.hpp"
#include "core/failpoint.hpp"
#include "mongo/filter.hpp"
#include "mongo/store.hpp"

namespace jobruntime::mongo {

using core::EventCode;

namespace {

constexpr int claim_rounds = 20;
constexpr int due_at_once = 500;
constexpr int promote_rounds = 40;

Doc ready(const Want& want, bool alone, const List& without = {}) {
    List kinds;
    for (const auto& kind : want.kinds) kinds.text(kind);
    Doc filter;
    if (want.only)
        filter.text("_id", want.only.str());
    else
        filter.doc("_id", named_by_text().list("$nin", without.made()));
    filter.text("status", "queued").text("queue", want.queue).doc("kind", Doc().list("$in", kinds.made()));
    filter.flag("alone", alone);
    return filter;
}

Doc turn() {
    Doc order;
    order.integer("priority", 1).integer("runAt", 1).integer("_id", 1);
    return order;
}

Error session_gone(SessionId session) {
    return {Errc::conflict,
            "session " + session.str() +
                " is not there or was declared dead; beat with a new session before claiming"};
}

/// Makes sense, or is it put back in the queue: no attempt was begun.
void release_row(Row& row, const Origin& origin, Time now) {
    Job& job = row.job;
    const auto next = core::after_settle(Verdict::released, job.cancel_requested_at.has_value());
    job.state = next.state;
    if (next.give_attempt_back) --job.attempt;
    if (is_final(job.state)) job.finished_at = now;
    tell(row, {.code = next.event, .ran = true}, origin, now);
}

}  // namespace

Result<bool> MongoStore::session_lives(SessionId session) {
    const auto found = parts_->server.find(
        Where::sessions, {.filter = std::move(Doc().text("_id", session.str()).flag("declaredDead", false)),
                          .fields = std::move(Doc().integer("beat", 1)),
                          .limit = 1});
    if (!found) return found.error();
    return !found->empty();
}

Mutation MongoStore::promotion(JobId id, Time now, std::uint64_t& done) {
    // May be called again on a fresh row, but counts only what was then written: a job is promoted once.
    return {id, [this, now, &done, counted = false](Row* row) mutable {
                if (counted) --done;
                counted = row && row->job.state == JobState::scheduled && row->job.run_at <= now;
                if (!counted) return;
                row->job.state = JobState::queued;
                row->job.wait_reason.clear();
                mongo::tell(*row, {.code = EventCode::promoted}, origin_, now);
                ++done;
            }};
}

/// Answers with the time of the next that is not due yet.
Result<std::optional<Time>> MongoStore::promote_due(Time now, std::size_t most, std::uint64_t& promoted,
                                                    bool& more) {
    more = false;
    // Documents without sense stay where they are: the look goes on behind them.
    std::optional<Position> from;
    for (int round = 0; round < promote_rounds; ++round) {
        Doc due;
        due.text("status", "scheduled").doc("_id", named_by_text()).doc("runAt", Doc().text("$type", "date"));
        if (from) {
            List any;
            any.doc(Doc().doc("runAt", Doc().time("$gt", from->created_at)));
            any.doc(Doc().time("runAt", from->created_at).doc("_id", Doc().text("$gt", from->id)));
            due.list("$or", any.made());
        }
        const auto found =
            parts_->server.find(Where::jobs, {.filter = std::move(due),
                                              .order = std::move(Doc().integer("runAt", 1).integer("_id", 1)),
                                              .fields = std::move(Doc().integer("runAt", 1)),
                                              .limit = due_at_once});
        if (!found) return found.error();
        std::vector<Mutation> mutations;
        std::uint64_t done = 0;
        std::optional<Time> next;
        bool full = false;
        for (const auto& doc : *found) {
            const auto run_at = View(doc).time("runAt").value_or(Time{});
            if (run_at > now) {
                next = run_at;
                break;
            }
            full = promoted + mutations.size() >= most;
            if (full) break;
            from = Position{run_at, View(doc).text_or("_id")};
            if (const auto id = JobId::parse(from->id)) mutations.push_back(promotion(*id, now, done));
        }
        if (!mutations.empty()) {
            Told told;
            JR_TRY(parts_->jobs.mutate(mutations, told));
            tell(told);
            done -= static_cast<std::uint64_t>(
                std::count_if(mutations.begin(), mutations.end(),
                              [](const Mutation& mutation) { return mutation.refused.has_value(); }));
        }
        promoted += done;
        if (next) return next;
        more = full && promoted >= most;
        if (more || (!full && found->size() < static_cast<std::size_t>(due_at_once))) break;
    }
    return std::optional<Time>{};
}

Result<void> MongoStore::take(const Want& want, bool alone, std::size_t limit, SessionId session, Time now,
                              std::vector<Job>& taken) {
    List unfit;  // Queued, and not to be claimed: the server does not take that.
    for (int round = 0; round < claim_rounds && limit > 0; ++round) {
        auto rows = parts_->jobs.rows(ready(want, alone, unfit), part_payload | part_steps,
                                      static_cast<int>(limit), turn());
        if (!rows) return std::move(rows).error();
        if (rows->empty()) return {};
        {
            const std::scoped_lock lock(lost_mutex_);
            if (lost_claims_.full(session, std::chrono::steady_clock::now()))
                return Error{Errc::unavailable,
                             "the answers of too many claims from " + place_.text +
                                 " were lost; those are looked for first, try again later"};
        }
        const auto token = parts_->jobs.token();
        std::vector<Draft> drafts;
        for (auto& row : *rows) {
            auto draft = draft_of(std::move(row));
            Job& job = draft.row.job;
            job.state = JobState::running;
            job.session = session;
            job.fence = static_cast<Fence>(static_cast<std::uint64_t>(job.fence) + 1);
            job.started_at = now;
            ++job.attempt;
            draft.row.claim_token = token;
            mongo::tell(draft.row, {.code = EventCode::claimed, .ran = true}, origin_, now);
            drafts.push_back(std::move(draft));
        }
        auto known = parts_->jobs.commit(drafts, token);
        if (!known || !*known) {
            // Perhaps they are this session's now, and nobody knows: the next claims and beats look for the
            // token.
            std::set<JobId> adopted;
            for (const auto& draft : drafts)
                if (draft.applied) adopted.insert(draft.row.job.id);
            const std::scoped_lock lock(lost_mutex_);
            lost_claims_.add(session, token, std::move(adopted), std::chrono::steady_clock::now());
        }
        if (!known) return std::move(known).error();
        Told told;
        std::size_t won = 0;
        for (auto& draft : drafts) {
            if (draft.refused) unfit.text(draft.row.job.id.str());
            if (!draft.applied) continue;
            ++won;
            for (auto& entry : draft.row.outbox) told.entries.push_back(std::move(entry));
            taken.push_back(std::move(draft.row.job));
        }
        tell(told);
        limit -= won;
        if (won == drafts.size()) return {};
    }
    return {};
}

Result<bool> MongoStore::solitary_waits(std::span<const Want> wants) {
    List any;
    for (const auto& want : wants)
        if (!want.kinds.empty()) any.doc(ready(want, true));
    if (any.size() == 0) return false;
    const auto found = parts_->server.find(Where::jobs, {.filter = std::move(Doc().list("$or", any.made())),
                                                         .fields = std::move(Doc().integer("_id", 1)),
                                                         .limit = 1});
    if (!found) return found.error();
    return !found->empty();
}

Result<void> MongoStore::release(std::vector<Mutation> mutations) {
    Told told;
    JR_TRY(parts_->jobs.mutate(mutations, told));
    tell(told);
    return {};
}

/// What lost claims took goes back into the queue. `confirmed`: a majority has just confirmed a write of this
/// process.
Result<void> MongoStore::give_back_lost(SessionId session, bool confirmed, Time now) {
    const auto looked_at = std::chrono::steady_clock::now();
    std::map<std::string, std::set<JobId>> lost;
    {
        const std::scoped_lock lock(lost_mutex_);
        lost = lost_claims_.of(session);
    }
    if (lost.empty()) return {};
    List list;
    for (const auto& [token, adopted] : lost) list.text(token);
    Doc filter;
    filter.text("status", "running")
        .text("workerId", session.str())
        .doc("claimToken", Doc().list("$in", list.made()));
    const auto found = parts_->server.find(
        Where::jobs, {.filter = std::move(filter),
                      .fields = std::move(Doc().integer("fence", 1).integer("claimToken", 1))});
    if (!found) return found.error();
    std::vector<Mutation> mutations;
    for (const auto& doc : *found) {
        const auto id = JobId::parse(View(doc).text_or("_id"));
        const auto fence = View(doc).number("fence");
        if (!id || !fence || lost[View(doc).text_or("claimToken")].contains(*id)) continue;
        mutations.push_back({*id, [this, now, fence = static_cast<Fence>(*fence)](Row* row) {
                                 if (row && row->job.state == JobState::running && row->job.fence == fence)
                                     release_row(*row, origin_, now);
                             }});
    }
    JR_TRY(release(std::move(mutations)));
    if (!confirmed) return {};
    const std::scoped_lock lock(lost_mutex_);
    lost_claims_.looked(session, looked_at);
    return {};
}

Result<Claimed> MongoStore::claim_once(std::span<const Want> wants, SessionId session, ClaimMode mode,
                                       Time now) {
    JR_TRY(give_back_lost(session, false, now));
    const auto lives = session_lives(session);
    if (!lives) return lives.error();
    if (!*lives) return session_gone(session);
    Claimed claimed;
    std::uint64_t promoted = 0;
    bool more = false;
    const auto next = promote_due(now, limits::batch_items, promoted, more);
    if (!next) return next.error();
    claimed.next_due = *next;
    const bool alone = mode == ClaimMode::solitary;
    for (const auto& want : wants) {
        const std::size_t most = alone ? 1 : limits::batch_items;
        if (claimed.jobs.size() >= most || want.limit <= 0 || want.kinds.empty()) continue;
        const auto room =
            std::min(most - claimed.jobs.size(), alone ? 1 : static_cast<std::size_t>(want.limit));
        // Some are won already: they are the answer, and the rest comes with the next claim.
        if (auto done = take(want, alone, room, session, now, claimed.jobs); !done && claimed.jobs.empty())
            return std::move(done).error();
    }
    if (JOBRT_FAILPOINT("mongo.claimed")) return claimed;
    if (const auto waits = solitary_waits(wants)) claimed.solitary_waiting = *waits;
    if (claimed.jobs.empty()) return claimed;
    // Declared dead while the claim was on its way: then whoever did so may have looked for this session's
    // jobs before these were among them.
    const auto still = session_lives(session);
    if (still && *still) return claimed;
    std::vector<Mutation> mutations;
    for (const auto& job : claimed.jobs)
        mutations.push_back({job.id, [this, now, fence = job.fence](Row* row) {
                                 if (row && row->job.state == JobState::running && row->job.fence == fence)
                                     release_row(*row, origin_, now);
                             }});
    if (!still) return claimed;  // Nobody knows; if it is dead, tend takes care of what its handlers lose.
    JR_TRY(release(std::move(mutations)));
    return session_gone(session);
}

Result<Claimed> MongoStore::claim(std::span<const Want> wants, SessionId session, ClaimMode mode, Time now) {
    return again([&] { return claim_once(wants, session, mode, now); });
}

}  // namespace jobruntime::mongo
