// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include <jobruntime/sqlite.hpp>

#include "sqlite/operation.hpp"
#include "sqlite/doorbell_linux.hpp"
#include "sqlite/fork_guard.hpp"
#include "sqlite/group.hpp"
#include "sqlite/hub.hpp"
#include "sqlite/readers.hpp"
#include "sqlite/session_locks.hpp"

namespace jobruntime::sqlite {

/// What opening has made ready: an accepted file of this version's schema, with the lock that
/// shows others that it is in use, and a raised epoch where that was due.
struct Opened {
    std::string path;
    std::string folder;  ///< FILE-jobrt
    std::string vfs;
    Options options;
    std::unique_ptr<Connection> connection;
    LockFile in_use;     ///< Held shared as long as the store is open.
    Turnstile turnstile;
};

class SqliteStore final : public Store {
public:
    explicit SqliteStore(Opened opened);
    ~SqliteStore() override;

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
    Result<Counts> rough_count(const JobFilter& filter, CountBy by, std::string_view cursor) override;
    std::optional<std::uint64_t> stamp() override;
    Result<BeatAnswer> beat(SessionId session, const SessionFacts& facts, Time now) override;
    Result<Recovered> recover(SessionId session, std::uint64_t beat_seen, Loss loss, int limit, Time now) override;
    Result<std::vector<SessionInfo>> sessions() override;
    Result<Tended> tend(const Retention& retention, int budget, Time now) override;
    Result<EventPage> events(std::optional<EventId> after, const EventFilter& filter, int limit) override;
    Result<std::vector<Record>> records(std::string_view prefix) override;
    Result<std::uint64_t> put(std::string_view key, std::optional<std::string_view> value,
                              std::uint64_t expected) override;
    Subscription on_change(std::function<void(unsigned)> callback) override;
    std::string describe() const override;
    Result<std::vector<InsertAnswer>> restore(std::span<const Job> jobs, Time now) override;
    Result<std::unique_ptr<Transaction>> begin(sqlite3* caller) override;
    const std::string& path() const override;

    /// Tells this process and the others.
    void tell(unsigned hints);
    const std::string& source() const { return source_; }

private:
    /// Everything that must not be touched in a forked child, not even to be closed.
    struct Parts {
        explicit Parts(Opened opened, const std::string& source);
        LockFile in_use;
        GroupExecutor executor;
        Readers readers;
        SessionLocks locks;
        std::shared_ptr<Hub> hub = std::make_shared<Hub>();  // Subscriptions may outlive the store.
        Combiner combiner;
        Doorbell bell;  // Last: its thread uses the hub.
        void close_in_child();
    };
    Result<void> usable() const;
    Result<void> write(Operation& operation);
    template <class Use>
    auto read(Use use) -> Result<decltype(use(std::declval<Connection&>(), std::declval<Words&>()))>;
    bool end_unreadable(std::vector<Settlement> found, Time now);
    Result<Changed> change_ids(const std::vector<JobId>& ids, const Change& change, Time now);
    Result<Changed> change_slice(const JobFilter& filter, const Change& change, int limit, std::string_view cursor,
                                 Time now);

    std::string path_;
    Durability durability_;
    std::string source_;
    std::mutex unreadable_mutex_;
    std::vector<Settlement> unreadable_;  // Ends of jobs that could not be read. Guarded by unreadable_mutex_.
    std::unique_ptr<Parts> parts_;
    ForkGuard fork_guard_;
};

}  // namespace jobruntime::sqlite
