// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <sys/types.h>

#include <jobruntime/mongo.hpp>

#include "core/hints.hpp"
#include "mongo/operation.hpp"
#include "mongo/jobs.hpp"
#include "mongo/journal.hpp"
#include "mongo/lost_claims.hpp"
#include "mongo/lost_notes.hpp"
#include "mongo/watcher.hpp"

namespace jobruntime::mongo {

/// Checks what a call must keep, prepares the database once, and lets writing verbs travel together. The
/// verbs' own work is in the files named after them.
class MongoStore final : public jobruntime::Store {
public:
    MongoStore(Uri uri, Place place, Options options);
    ~MongoStore() override;

    Result<std::vector<InsertAnswer>> insert(std::span<const NewJob> jobs, Time now) override;
    Result<Claimed> claim(std::span<const Want> wants, SessionId session, ClaimMode mode, Time now) override;
    Result<std::vector<SettleAnswer>> settle(std::span<const Settlement> settlements, Time now) override;
    Result<std::vector<NoteAnswer>> note(std::span<const Note> notes, Time now) override;
    Result<Changed> change(const Selection& which, const Change& change, int limit, std::string_view cursor,
                           Time now) override;
    Result<std::optional<Job>> get(JobId id, unsigned parts) override;
    Result<JobPage> list(const JobFilter& filter, JobOrder order, std::string_view cursor, int limit,
                         unsigned parts) override;
    Result<std::vector<CountRow>> count(const JobFilter& filter, CountBy by) override;
    Result<BeatAnswer> beat(SessionId session, const SessionFacts& facts, Time now) override;
    Result<Recovered> recover(SessionId session, std::uint64_t beat_seen, Loss loss, int limit,
                              Time now) override;
    Result<std::vector<SessionInfo>> sessions() override;
    Result<Tended> tend(const Retention& retention, int budget, Time now) override;
    Result<EventPage> events(std::optional<EventId> after, const EventFilter& filter, int limit) override;
    Result<std::vector<Record>> records(std::string_view prefix) override;
    Result<std::uint64_t> put(std::string_view key, std::optional<std::string_view> value,
                              std::uint64_t expected) override;
    Subscription on_change(std::function<void(unsigned)> callback) override;
    std::string describe() const override;
    Result<std::vector<InsertAnswer>> restore(std::span<const Job> jobs, Time now) override;

private:
    /// What belongs to the parent after fork(), and is then left alone.
    struct Parts {
        Parts(Uri uri, const Place& place, const Options& options, const Origin& origin);
        Server server;
        Journal journal;
        Jobs jobs;
        const std::shared_ptr<core::HintHub> hub = std::make_shared<core::HintHub>();
        Watcher watcher;  // Last: its thread ends before what it uses goes.
    };

    /// Tells Options::log when the server goes and comes back.
    void note_health(const Error* error);
    /// Errc::invalid_argument after fork(); else the database is prepared, or an error says why it cannot be.
    Result<void> usable();
    Result<void> write(Operation& operation);
    void execute(std::vector<Operation*>& group);
    Result<void> place_loose(std::vector<Entry>& loose, Told& told);
    void tell(const Told& told);
    /// Runs something that may be repeated, and repeats it once when the connection turned out to be broken.
    template <class Body>
    auto again(Body&& body) -> decltype(body()) {
        if (auto ready = usable(); !ready) return std::move(ready).error();
        auto answer = body();
        if (!answer && answer.error().name == "CONNECTION_LOST") answer = body();
        note_health(answer ? nullptr : &answer.error());
        return answer;
    }

    Result<Claimed> claim_once(std::span<const Want> wants, SessionId session, ClaimMode mode, Time now);
    Mutation promotion(JobId id, Time now, std::uint64_t& done);
    Result<std::optional<Time>> promote_due(Time now, std::size_t most, std::uint64_t& promoted, bool& more);
    Result<void> take(const Want& want, bool alone, std::size_t limit, SessionId session, Time now,
                      std::vector<Job>& taken);
    Result<bool> solitary_waits(std::span<const Want> wants);
    Result<void> give_back_lost(SessionId session, bool confirmed, Time now);
    Result<void> release(std::vector<Mutation> mutations);
    Result<bool> session_lives(SessionId session);
    Result<bool> session_known(const std::string& session);
    Result<Time> server_time();
    Mutation settle_one(const Settlement& settlement, const std::string& token, Time now,
                        SettleAnswer& answer);
    /// `place`: among the lost ones, when it is one of those.
    Entry loose_entry(JobId job, Doc event, LostNotes::Place& place);
    SentNote sent_note(const Note& note);
    void remember(std::span<const Note> notes, std::span<SentNote> sent, std::span<const LostNotes::Place> loose,
                  const Operation& operation);
    bool was_told(const Row& row, const SentNote& sent);
    Mutation note_one(const Note& note, const std::string& token, SentNote& sent, NoteAnswer& answer);
    Mutation change_one(JobId id, const Change& change, const Seen* seen, Time now, ChangeAnswer& answer);
    Result<Changed> change_ids(std::span<const JobId> ids, const Change& change, Time now);
    Result<std::pair<std::vector<JobId>, std::string>> matching(const JobFilter& filter,
                                                                std::string_view cursor, int limit);
    Result<std::vector<Job>> lose(const Doc& whose, Loss loss, int limit, Time now, bool& more);
    Result<void> mend(int budget, Time now, Tended& tended);
    Result<void> promote(int budget, Time now, Tended& tended);
    Result<void> prune_jobs(const Retention& retention, int budget, Time now, Tended& tended);
    Result<void> sort_out_pruned();
    Result<void> prune_sessions(const Retention& retention, Time now);

    const Options options_;
    Origin origin_;
    const Place place_;
    const pid_t process_;
    std::unique_ptr<Parts> parts_;
    std::atomic<bool> ready_{false};
    std::atomic<bool> down_{false};
    std::mutex preparing_;
    std::optional<Error> refused_;  // Guarded by preparing_, as is the next.
    std::chrono::steady_clock::time_point refused_at_{};
    Combiner combiner_;

    std::mutex server_clock_mutex_;
    /// What it said, and when on our steady clock. Guarded by server_clock_mutex_.
    std::pair<Time, std::chrono::steady_clock::time_point> server_clock_{};

    std::mutex tending_;
    std::vector<JobId> pruned_;         // Guarded by tending_. Removed, and not yet answered.
    std::vector<JobId> unsure_pruned_;  // Guarded by tending_. To be removed; nobody knows whether they are.

    std::mutex lost_mutex_;
    LostClaims lost_claims_;  // Guarded by lost_mutex_.
    /// Settlements of which nobody knows whether they were accepted. Guarded by lost_mutex_.
    std::map<std::pair<JobId, Fence>, std::vector<std::string>> lost_settlements_;
    LostNotes lost_notes_;  // Guarded by lost_mutex_.
};

}  // namespace jobruntime::mongo
