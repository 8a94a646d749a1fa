// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// New jobs, and whom they meet: the same job, the same request, another with the same unique key.
#include <chrono>
#include <map>
#include <thread>

#include "core/failpoint.hpp"
#include "core/utf8.hpp"
#include "mongo/jobs.hpp"

namespace jobruntime::mongo {

using namespace std::chrono_literals;

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

/// Documents that hold an id or a key of these.
Doc holders_filter(std::span<Arrival* const> of) {
    List ids, idempotency_keys, unique_keys;
    for (const auto* arrival : of) {
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
    return std::move(Doc().list("$or", any.made()));
}

}  // namespace

Result<void> Jobs::insert(std::span<Arrival> arrivals, Told& told) {
    bool lost = false;
    auto done = insert_in_rounds(arrivals, told, lost);
    if (done || !lost || done.error().code == Errc::unavailable) return done;
    return Error{Errc::unavailable, "CONNECTION_LOST",
                 "the answer of " + server_.place().text + " was lost, and then: " + done.error().message};
}

Result<void> Jobs::insert_in_rounds(std::span<Arrival> arrivals, Told& told, bool& lost) {
    std::vector<Arrival*> left;
    for (auto& arrival : arrivals) left.push_back(&arrival);
    int standstill = 0;
    const auto begun = std::chrono::steady_clock::now();
    for (int round = 0; round < most_rounds && !left.empty(); ++round) {
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
        std::vector<Refused> refused;
        auto there = server_.insert(Where::jobs, docs, &refused);
        if (JOBRT_FAILPOINT("mongo.insert_answer")) there = Error{Errc::unavailable, "CONNECTION_LOST", "a failpoint"};
        if (!there) {
            if (lost || !lost_connection(there.error())) return std::move(there).error();
            lost = true;  // What was stored before the answer was lost is met as known in the next round.
            continue;
        }
        const std::set<std::size_t> duplicates(there->begin(), there->end());
        for (const auto& [place, code] : refused)
            now_in[place]->answer->refused = unfit(now_in[place]->row.job.id, code);
        std::vector<Arrival*> met;
        for (std::size_t i = 0; i < now_in.size(); ++i) {
            if (duplicates.contains(i)) {
                met.push_back(now_in[i]);
                continue;
            }
            if (now_in[i]->answer->refused) continue;
            answer_with(*now_in[i]->answer, InsertAnswer::How::inserted, now_in[i]->row);
            for (const auto& entry : now_in[i]->row.outbox) told.entries.push_back(entry);
        }
        JR_TRY(settle_duplicates(met, told));
        left = std::move(met);
        left.insert(left.end(), later.begin(), later.end());
        standstill = left.size() < before ? 0 : standstill + 1;
        if (standstill < 20) continue;
        // There and not to be seen, again and again: it makes no sense, or is on its way to a majority.
        JR_TRY(refuse_held(left));
        if (std::chrono::steady_clock::now() - begun > server_.write_timeout()) break;
        std::this_thread::sleep_for(20ms);
    }
    if (left.empty()) return {};
    return Error{Errc::unavailable,
                 "others hold and free the same keys of " + server_.place().text +
                     " all the time, or a majority of the replica set is behind; try again"};
}

/// Answers those whose id or key is held by a document that makes no sense, and takes them out of `left`.
Result<void> Jobs::refuse_held(std::vector<Arrival*>& left) {
    auto fields = fields_of_row(0);
    fields.integer("uniqueHeld", 1);
    const auto found = server_.find(
        Where::jobs,
        {.filter = holders_filter(left), .fields = std::move(fields), .unconfirmed = true});
    if (!found) return found.error();
    std::set<std::string> ids, requests, keys;
    for (const auto& doc : *found) {
        if (read_row(doc, 0)) continue;
        ids.insert(View(doc).text_or("_id"));
        requests.insert(View(doc).text_or("idempotencyKey"));
        keys.insert(View(doc).text_or("uniqueHeld"));
    }
    std::erase_if(left, [&](Arrival* arrival) {
        const Job& job = arrival->row.job;
        const bool held =
            ids.contains(job.id.str()) ||
            (!job.idempotency_key.empty() && requests.contains(core::valid_utf8(job.idempotency_key))) ||
            (!held_key(arrival->row).empty() && keys.contains(core::valid_utf8(job.unique_key)));
        if (held)
            arrival->answer->refused =
                Error{Errc::corrupt,
                      "job " + job.id.str() +
                          " cannot be stored: its id or one of its keys is held by a document of jobrt_jobs "
                          "that makes no sense; mend or delete that"};
        return held;
    });
    return {};
}

/// Answers those whose id, idempotency key or unique key is there; leaves in `left` those for whom it went
/// meanwhile.
Result<void> Jobs::settle_duplicates(std::vector<Arrival*>& left, Told& told) {
    if (left.empty()) return {};
    auto found = rows(holders_filter(left), 0);
    if (!found) return std::move(found).error();
    if (JOBRT_FAILPOINT("mongo.holders_lag")) found->clear();
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
                       tell(*row, {.code = core::EventCode::replaced, .by = &given.by}, origin_, now);
                       answer_with(answer, InsertAnswer::How::replaced, *row);
                   }});
    JR_TRY(mutate(one, told));
    answer.refused = one.front().refused;
    return still || answer.refused;
}

}  // namespace jobruntime::mongo
