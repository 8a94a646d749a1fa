// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <set>
#include <span>

#include "mongo/journal.hpp"

namespace jobruntime::mongo {

/// Something to be done to one job.
struct Mutation {
    JobId id;
    /// Changes the row and sets Row::changed, or leaves it alone; nullptr when the job is not there. It is
    /// called again on a fresh row when somebody else was quicker, so it must begin its answer anew each
    /// time.
    std::function<void(Row*)> apply;
    bool whole_steps = false;  ///< It needs Job::steps.
    /// Called when the server does not take the change of this one document; without it `refused` says so.
    std::function<void()> refuse{};
    std::optional<Error> refused{};
};

/// A job to be stored.
struct Arrival {
    Row row;  ///< With its first event told.
    InsertAnswer* answer = nullptr;
    const NewJob* given = nullptr;  ///< To replace another with; nullptr = never.
    Time now{};
};

/// What changed jobs leave to be done: their events go to the log, and documents of deleted jobs go then.
struct Told {
    std::vector<Entry> entries;
    std::vector<JobId> gone;
};

/// A row with what it is to become.
struct Draft {
    Row before;
    Row row;
    bool applied = false;
    std::optional<Error> refused;  ///< The server does not take it, for a reason in this document.
};

/// Reads, changes in memory by the core's state table, and writes back if nobody was quicker: the one way in
/// which this store changes a job. Each job's change is one update of one document. Thread-safe.
class Jobs {
public:
    Jobs(Server& server, Journal& journal, const Origin& origin, std::function<void(std::string_view)> log);

    Result<void> insert(std::span<Arrival> arrivals, Told& told);
    Result<void> mutate(std::span<Mutation> work, Told& told);
    /// Writes what changed; Draft::applied says which of them nobody else was quicker with. False: the answer
    /// was lost, or some were written and then changed by others before they were looked for; of those that are
    /// not found as applied some may still turn out to be.
    Result<bool> commit(std::span<Draft> drafts, const std::string& token);
    /// Brings the events of changes into the log. Whatever fails here is made up for by tend.
    Result<unsigned> finish(const Told& told);

    /// Rows of these jobs, at most `limit` (0 = all). What makes no sense is reported and passed over, so
    /// that it never stands in the way of what comes behind it.
    Result<std::vector<Row>> rows(Doc filter, unsigned parts, int limit = 0, Doc order = Doc());
    /// Never the same twice, in any process.
    std::string token();
    /// Says that a document makes no sense: of each once, and of the first five hundred only.
    void skip(const Error& why);

    Server& server() { return server_; }
    Journal& journal() { return journal_; }
    const Origin& origin() const { return origin_; }

private:
    struct Group;

    /// `lost`: an answer was lost, after which jobs may be stored whatever this returns.
    Result<void> insert_in_rounds(std::span<Arrival> arrivals, Told& told, bool& lost);
    Result<void> refuse_held(std::vector<Arrival*>& left);
    Result<void> settle_duplicates(std::vector<Arrival*>& left, Told& told);
    Result<bool> meet(Arrival& arrival, const Row& held, Told& told);

    Server& server_;
    Journal& journal_;
    const Origin& origin_;
    const std::function<void(std::string_view)> log_;
    const std::string prefix_;
    std::atomic<std::uint64_t> tokens_{0};
    std::mutex mutex_;
    std::set<std::string> said_;  // Guarded by mutex_. What skip() has said.
};

/// Rounds in which somebody else may be quicker.
constexpr int most_rounds = 200;
/// Two who want the same rows again and again should not do it in step.
void step_aside(int round);
bool lost_connection(const Error& error);
/// What the server answered for this document alone.
Error unfit(JobId job, std::uint32_t code);
/// What a row that was written, or found written, leaves to be done.
void collect(Row& row, Told& told);
Doc ids_filter(std::span<const JobId> ids);
/// A row as it was, without the parts that a change does not compare.
Draft draft_of(Row row);

}  // namespace jobruntime::mongo
