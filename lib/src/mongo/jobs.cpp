// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/jobs.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <unordered_map>

#include "core/failpoint.hpp"
#include "core/ids.hpp"

namespace jobruntime::mongo {
namespace {

constexpr std::size_t most_said = 500;  ///< Documents without sense that are told of.
/// So far rows() goes behind documents without sense that stand in front: ten thousand of them.
constexpr int most_reads = 50;
constexpr int reread = 200;
constexpr int most_unanswered = 5;  ///< Writes without an answer before the caller hears of it.

}  // namespace

Error unfit(JobId job, std::uint32_t code) {
    return {Errc::corrupt, "DOCUMENT_UNFIT",
            "MongoDB does not take the document of job " + job.str() + " as it would become (code " +
                std::to_string(code) +
                "): it is too large, or was edited into nonsense; mend or delete it by hand"};
}

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

Result<bool> Jobs::commit(std::span<Draft> drafts, const std::string& token) {
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
    if (done && done->matched == updates.size() && done->duplicates.empty()) {
        for (auto& draft : drafts) draft.applied = true;
        return true;
    }
    if (!done && done.error().code != Errc::unavailable) return std::move(done).error();
    if (done)
        for (const auto& [place, code] : done->refused) {
            drafts[place].refused = unfit(drafts[place].row.job.id, code);
            skip(*drafts[place].refused);
        }
    if (done && done->matched == 0) return true;
    // Totals do not say which, and a lost answer says nothing at all: the documents do.
    if (JOBRT_FAILPOINT("mongo.commit_look")) return Error{Errc::unavailable, "a failpoint"};
    auto filter = ids_filter(ids);
    filter.text("lastWrite", token);
    auto mine = server_.find(Where::jobs,
                             {.filter = std::move(filter), .fields = std::move(Doc().integer("_id", 1))});
    if (!mine) return std::move(mine).error();
    std::set<std::string> written;
    for (const auto& doc : *mine)
        if (!JOBRT_FAILPOINT("mongo.look_lags")) written.insert(View(doc).text_or("_id"));
    for (auto& draft : drafts) draft.applied = written.contains(draft.before.job.id.str());
    // Who wrote to one of them right after has put another token there: it is ours, and not found.
    return done && written.size() >= done->matched;
}

/// What is to be done to one job, together.
struct Jobs::Group {
    JobId id;
    std::vector<Mutation*> work;
    bool done = false;

    void refuse(const Error& why) {
        done = true;
        for (auto* mutation : work) {
            if (mutation->refuse)
                mutation->refuse();
            else
                mutation->refused = why;
        }
    }
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
    int unanswered = 0;
    for (int round = 0; round < most_rounds; ++round) {
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
        // What is not found as applied is read again, also when it only seems so.
        const auto known = commit(drafts, token);
        if (!known) return known.error();
        if (!*known && ++unanswered == most_unanswered)
            return Error{Errc::unavailable, "MongoDB at " + server_.place().hosts +
                                                " answers, but takes no changes; try again, and see what its "
                                                "log says if that does not help"};
        for (std::size_t i = 0; i < drafts.size(); ++i) {
            if (drafts[i].refused) owners[i]->refuse(*drafts[i].refused);
            if (!drafts[i].applied) continue;
            owners[i]->done = true;
            collect(drafts[i].row, told);
        }
    }
    return Error{Errc::unavailable,
                 "others change the same jobs of " + server_.place().text + " all the time; try again"};
}

}  // namespace jobruntime::mongo
