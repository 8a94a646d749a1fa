// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/jobs.hpp"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>
#include <unordered_map>

#include "core/failpoint.hpp"
#include "core/ids.hpp"
#include "core/utf8.hpp"

namespace jobruntime::mongo {
namespace {

using Where = Server::Where;

constexpr int patience = 200;           ///< Rounds in which somebody else may be quicker.
constexpr std::size_t most_said = 500;  ///< Documents without sense that are told of.
/// So far rows() goes behind documents without sense that stand in front: ten thousand of them.
constexpr int most_reads = 50;
constexpr int reread = 200;

/// Two who want the same rows again and again should not do it in step.
void step_aside(int round) {
    if (round < 2) return;
    thread_local std::uint64_t state = std::hash<std::thread::id>()(std::this_thread::get_id()) | 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::this_thread::sleep_for(
        std::chrono::microseconds((state >> 33) % (200u * static_cast<unsigned>(std::min(round, 25)))));
}

bool lost_connection(const Error& error) {
    return error.code == Errc::unavailable && error.name == "CONNECTION_LOST";
}

void collect(Row& row, Told& told) {
    for (auto& entry : row.outbox) told.entries.push_back(std::move(entry));
    if (row.gone) told.gone.push_back(row.job.id);
    row.outbox.clear();
}

}  // namespace

Doc ids_filter(std::span<const JobId> ids) {
    List list;
    for (const auto& id : ids) list.text(id.str());
    return std::move(Doc().doc("_id", Doc().list("$in", list.made())));
}

Draft draft_of(Row row) {
    Draft draft;
    auto payload = std::move(row.job.payload);
    auto steps = std::move(row.job.steps);
    row.job.payload = {};
    row.job.steps.clear();
    draft.before = row;
    row.job.payload = std::move(payload);
    row.job.steps = std::move(steps);
    draft.row = std::move(row);
    return draft;
}

Jobs::Jobs(Server& server, Journal& journal, const Origin& origin, std::function<void(std::string_view)> log)
    : server_(server),
      journal_(journal),
      origin_(origin),
      log_(std::move(log)),
      prefix_(core::IdSource().session(system_clock().wall()).str()) {}

std::string Jobs::token() { return prefix_ + "-" + std::to_string(++tokens_); }

void Jobs::skip(const Error& why) {
    const std::scoped_lock lock(mutex_);
    if (!log_ || said_.size() > most_said || !said_.insert(why.message).second) return;
    log_("skipped: " + why.message);
    if (said_.size() > most_said)
        log_("skipped: so many documents of " + server_.place().text +
             " make no sense that no more of them are named; mend or delete them");
}

Result<std::vector<Row>> Jobs::rows(Doc filter, unsigned parts, int limit, Doc order) {
    std::vector<Row> rows;
    std::set<JobId> seen;  // What others put in front between two reads moves the rest back.
    Server::Look look{.filter = std::move(filter),
                      .order = std::move(order),
                      .fields = fields_of_row(parts),
                      .limit = limit};
    for (int read = 0; read < most_reads; ++read) {
        auto docs = server_.find(Where::jobs, look);
        if (!docs) return std::move(docs).error();
        for (const auto& doc : *docs) {
            if (limit > 0 && rows.size() == static_cast<std::size_t>(limit)) break;
            auto row = read_row(doc, parts);
            if (!row)
                skip(row.error());
            else if (seen.insert(row->job.id).second)
                rows.push_back(*std::move(row));
        }
        if (limit == 0 || rows.size() == static_cast<std::size_t>(limit) ||
            docs->size() < static_cast<std::size_t>(look.limit))
            break;
        look.skip += look.limit;
        look.limit = std::max(limit, reread);
    }
    return rows;
}

Result<unsigned> Jobs::finish(const Told& told) {
    unsigned hints = 0;
    for (const auto& entry : told.entries) hints |= hints_of(View(entry.event).text_or("name"));
    JR_TRY(journal_.append(told.entries));
    if (!told.gone.empty()) {
        auto filter = ids_filter(told.gone);
        filter.text("status", "deleted").doc("untold", Doc().flag("$ne", true));
        if (const auto removed = server_.remove_all(Where::jobs, filter); !removed) return removed.error();
    }
    return hints;
}

Result<void> Jobs::commit(std::span<Draft> drafts, const std::string& token) {
    std::vector<Update> updates;
    std::vector<JobId> ids;
    for (const auto& draft : drafts) {
        updates.push_back({filter_of(draft.before), update_of(draft.before, draft.row, token)});
        ids.push_back(draft.before.job.id);
    }
    if (JOBRT_FAILPOINT("mongo.before_commit")) return Error{Errc::unavailable, "a failpoint"};
    auto done = server_.update(Where::jobs, updates);
    if (JOBRT_FAILPOINT("mongo.commit_answer"))
        done = Error{Errc::unavailable, "CONNECTION_LOST", "a failpoint"};
    if (done && done->matched == updates.size()) {
        for (auto& draft : drafts) draft.applied = true;
        return {};
    }
    if (!done && done.error().code != Errc::unavailable) return std::move(done).error();
    if (done && done->matched == 0) return {};
    // Totals do not say which, and a lost answer says nothing at all: the documents do.
    if (JOBRT_FAILPOINT("mongo.commit_look")) return Error{Errc::unavailable, "a failpoint"};
    auto filter = ids_filter(ids);
    filter.text("lastWrite", token);
    auto mine = server_.find(Where::jobs,
                             {.filter = std::move(filter), .fields = std::move(Doc().integer("_id", 1))});
    if (!mine) return std::move(mine).error();
    std::set<std::string> written;
    for (const auto& doc : *mine) written.insert(View(doc).text_or("_id"));
    for (auto& draft : drafts) draft.applied = written.contains(draft.before.job.id.str());
    return {};
}

/// What is to be done to one job, together.
struct Jobs::Group {
    JobId id;
    std::vector<Mutation*> work;
    bool done = false;
};

Result<void> Jobs::mutate(std::span<Mutation> work, Told& told) {
    if (work.empty()) return {};
    std::vector<Group> groups;
    std::unordered_map<JobId, std::size_t> places;
    unsigned parts = 0;
    for (auto& mutation : work) {
        const auto [place, first] = places.try_emplace(mutation.id, groups.size());
        if (first) groups.push_back({mutation.id, {}, false});
        groups[place->second].work.push_back(&mutation);
        if (mutation.whole_steps) parts = part_steps;
    }
    std::set<std::string> used;
    bool lost = false;
    for (int round = 0; round < patience; ++round) {
        std::vector<JobId> ids;
        for (const auto& group : groups)
            if (!group.done) ids.push_back(group.id);
        if (ids.empty()) return {};
        step_aside(round);
        auto found = rows(ids_filter(ids), parts);
        if (!found) {
            // A connection that broke while nobody used it is found out by the first who does.
            if (lost || !lost_connection(found.error())) return std::move(found).error();
            lost = true;
            continue;
        }
        std::unordered_map<JobId, Row*> by_id;
        for (auto& row : *found) by_id.emplace(row.job.id, &row);
        std::vector<Draft> drafts;
        std::vector<Group*> owners;
        for (auto& group : groups) {
            if (group.done) continue;
            const auto place = by_id.find(group.id);
            Row* row = place == by_id.end() ? nullptr : place->second;
            if (row && used.contains(row->last_write)) {
                collect(*row, told);  // It was done, and the answer lost.
                group.done = true;
                continue;
            }
            if (row && row->gone) {
                collect(*row, told);
                row = nullptr;
            }
            if (!row) {
                for (auto* mutation : group.work) mutation->apply(nullptr);
                group.done = true;
                continue;
            }
            auto draft = draft_of(std::move(*row));
            for (auto* mutation : group.work) mutation->apply(draft.row.gone ? nullptr : &draft.row);
            if (!draft.row.changed) {
                group.done = true;
                continue;
            }
            drafts.push_back(std::move(draft));
            owners.push_back(&group);
        }
        if (drafts.empty()) continue;
        const auto token = this->token();
        used.insert(token);
        JR_TRY(commit(drafts, token));
        for (std::size_t i = 0; i < drafts.size(); ++i) {
            if (!drafts[i].applied) continue;
            owners[i]->done = true;
            collect(drafts[i].row, told);
        }
    }
    return Error{Errc::unavailable,
                 "others change the same jobs of " + server_.place().text + " all the time; try again"};
}

// ---- new jobs ------------------------------------------------------------------------------------

namespace {

/// The unique key, where it counts.
std::string_view held_key(const Row& row) {
    if (row.job.unique_key.empty() || !row.job.unique_states.has(row.job.state)) return {};
    return row.job.unique_key;
}

void answer_with(InsertAnswer& answer, InsertAnswer::How how, const Row& row) {
    answer = {};
    answer.how = how;
    answer.id = row.job.id;
    answer.state = row.job.state;
    if (how == InsertAnswer::How::repeated) answer.hash = row.job.idempotency_hash;
}

}  // namespace

Result<void> Jobs::insert(std::span<Arrival> arrivals, Told& told) {
    std::vector<Arrival*> left;
    for (auto& arrival : arrivals) left.push_back(&arrival);
    bool lost = false;
    int standstill = 0;
    for (int round = 0; round < patience && !left.empty(); ++round) {
        step_aside(round);
        const auto before = left.size();
        // Of those that may meet each other the first goes first.
        std::set<std::string> seen;
        std::vector<Arrival*> now_in, later;
        std::vector<Doc> docs;
        const auto token = this->token();
        for (auto* arrival : left) {
            const Row& row = arrival->row;
            bool first = seen.insert("i" + row.job.id.str()).second;
            if (!row.job.idempotency_key.empty())
                first = seen.insert("k" + row.job.idempotency_key).second && first;
            if (!held_key(row).empty()) first = seen.insert("u" + std::string(held_key(row))).second && first;
            (first ? now_in : later).push_back(arrival);
            if (first) docs.push_back(new_document(row, token));
        }
        auto there = server_.insert(Where::jobs, docs);
        if (!there) {
            if (lost || !lost_connection(there.error())) return std::move(there).error();
            lost = true;  // What was stored before the answer was lost is met as known in the next round.
            continue;
        }
        std::set<std::size_t> duplicates(there->begin(), there->end());
        std::vector<Arrival*> met;
        for (std::size_t i = 0; i < now_in.size(); ++i) {
            if (duplicates.contains(i)) {
                met.push_back(now_in[i]);
                continue;
            }
            answer_with(*now_in[i]->answer, InsertAnswer::How::inserted, now_in[i]->row);
            for (const auto& entry : now_in[i]->row.outbox) told.entries.push_back(entry);
        }
        JR_TRY(settle_duplicates(met, told));
        left = std::move(met);
        left.insert(left.end(), later.begin(), later.end());
        standstill = left.size() < before ? 0 : standstill + 1;
        if (standstill < 20) continue;
        // There and not to be seen, again and again: held by a document that makes no sense.
        for (auto* arrival : left)
            arrival->answer->refused =
                Error{Errc::corrupt,
                      "job " + arrival->row.job.id.str() +
                          " cannot be stored: its id or one of its keys is held by a document of jobrt_jobs "
                          "that makes no sense; mend or delete that"};
        return {};
    }
    if (left.empty()) return {};
    return Error{Errc::unavailable, "others hold and free the same keys of " + server_.place().text +
                                        " all the time; try again"};
}

/// Answers those whose id, idempotency key or unique key is there; leaves in `left` those for whom it went
/// meanwhile.
Result<void> Jobs::settle_duplicates(std::vector<Arrival*>& left, Told& told) {
    if (left.empty()) return {};
    List ids, idempotency_keys, unique_keys;
    for (const auto* arrival : left) {
        ids.text(arrival->row.job.id.str());
        if (!arrival->row.job.idempotency_key.empty())
            idempotency_keys.text(arrival->row.job.idempotency_key);
        if (const auto key = held_key(arrival->row); !key.empty()) unique_keys.text(key);
    }
    List any;
    any.doc(Doc().doc("_id", Doc().list("$in", ids.made())));
    if (idempotency_keys.size() > 0)
        any.doc(Doc().doc("idempotencyKey", Doc().list("$in", idempotency_keys.made())));
    if (unique_keys.size() > 0) any.doc(Doc().doc("uniqueHeld", Doc().list("$in", unique_keys.made())));
    auto found = rows(std::move(Doc().list("$or", any.made())), 0);
    if (!found) return std::move(found).error();
    std::map<std::string, Row*> by_id, by_request, by_key;
    Told ends;
    for (auto& row : *found) {
        if (row.gone) {
            collect(row, ends);
            continue;
        }
        by_id[row.job.id.str()] = &row;
        if (!row.job.idempotency_key.empty()) by_request[row.job.idempotency_key] = &row;
        if (!held_key(row).empty()) by_key[row.job.unique_key] = &row;
    }
    if (!ends.gone.empty()) JR_TRY(finish(ends));
    const auto in = [](const std::map<std::string, Row*>& map, std::string_view key) -> Row* {
        const auto place = map.find(core::valid_utf8(key));
        return place == map.end() ? nullptr : place->second;
    };
    std::vector<Arrival*> still;
    for (auto* arrival : left) {
        const Job& job = arrival->row.job;
        if (Row* known = in(by_id, job.id.str())) {
            answer_with(*arrival->answer, InsertAnswer::How::inserted, *known);
            // Perhaps stored by us a moment ago, when the answer was lost.
            if (known->untold)
                for (const auto& entry : known->outbox) told.entries.push_back(entry);
        } else if (Row* request =
                       job.idempotency_key.empty() ? nullptr : in(by_request, job.idempotency_key)) {
            answer_with(*arrival->answer, InsertAnswer::How::repeated, *request);
        } else if (Row* held = held_key(arrival->row).empty() ? nullptr : in(by_key, job.unique_key)) {
            const auto answered = meet(*arrival, *held, told);
            if (!answered) return answered.error();
            if (!*answered) still.push_back(arrival);
        } else {
            still.push_back(arrival);
        }
    }
    left = std::move(still);
    return {};
}

/// False: the other holds the key no more.
Result<bool> Jobs::meet(Arrival& arrival, const Row& held, Told& told) {
    const Time now = arrival.now;
    InsertAnswer& answer = *arrival.answer;
    answer_with(answer, InsertAnswer::How::existing, held);
    if (!arrival.given || arrival.given->on_conflict != OnConflict::replace) return true;
    const NewJob& given = *arrival.given;
    bool still = false;
    std::vector<Mutation> one;
    one.push_back({held.job.id, [&](Row* row) {
                       still = row && held_key(*row) == held_key(arrival.row);
                       if (!still) return;
                       answer_with(answer, InsertAnswer::How::existing, *row);
                       Job& job = row->job;
                       const bool waits = job.state == JobState::scheduled || job.state == JobState::queued;
                       if (!waits || job.kind != given.kind) return;
                       row->payload = arrival.row.job.payload;
                       job.queue = given.queue;
                       job.priority = given.priority;
                       job.run_at = given.run_at;
                       job.max_attempts = given.max_attempts;
                       job.tags = given.tags;
                       job.wait_reason.clear();
                       job.state = given.run_at > now ? JobState::scheduled : JobState::queued;
                       tell(*row, {.code = core::EventCode::replaced}, origin_, now);
                       answer_with(answer, InsertAnswer::How::replaced, *row);
                   }});
    JR_TRY(mutate(one, told));
    return still;
}

}  // namespace jobruntime::mongo
