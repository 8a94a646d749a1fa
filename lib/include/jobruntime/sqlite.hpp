// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <jobruntime/clock.hpp>
#include <jobruntime/store.hpp>

struct sqlite3;

namespace jobruntime::sqlite {

/// What "acknowledged" means.
enum class Durability {
    full,           ///< On disk: survives a power cut.
    process_crash,  ///< Handed to the operating system: survives a killed process, not a power cut.
};

struct Options {
    Durability durability = Durability::full;
    Duration busy_timeout{5'000};              ///< How long a verb waits for another process's turn.
    std::uint64_t ballast_bytes = 8ull << 20;  ///< A file given up when the disk is full; 0 = none.
    std::uint64_t free_floor_bytes = 0;        ///< insert answers Errc::full while less is free; 0 = only when the disk says so.
    Duration poll{250};                        ///< How often to look for other processes' changes when no doorbell came.
    Origin origin{};
};

/// Writes jobs inside a transaction that the caller has begun on its own connection.
///
///     sqlite3_exec(db, "BEGIN IMMEDIATE", …);
///     … the caller's own writes …
///     auto tx = store->begin(db);
///     queue.within(**tx).enqueue(Welcome{"ada@example.org"});
///     sqlite3_exec(db, "COMMIT", …);     // The job exists from here on, or not at all.
///     (*tx)->committed();                // Wakes workers at once; without it they find it by polling.
///
/// Used by one thread, the one that uses the connection; it must not outlive the transaction,
/// except for the call of committed(), nor the store. Everything that insert wrote goes with a ROLLBACK, also
/// with one to a savepoint of the caller. While the transaction is open, the verbs of every store on the file that
/// write wait for it (busy_timeout), so call none of them from the same thread before it ends.
/// insert answers Errc::invalid_argument when the transaction is over.
class Transaction : public Inserter {
public:
    virtual void committed() noexcept = 0;
};

/// The SQLite store: one file, any number of processes on one host, no server. Beside the file lie SQLite's own
/// FILE-wal and FILE-shm, and the folder FILE-jobrt with lock files, doorbells and the ballast; all of it moves
/// and is deleted together, when no process has it open. The file may hold tables of the program's own, when the
/// store has made the file; names that begin with "jobrt_" are the store's.
///
/// Writing verbs that run at the same time share one fsync, and the threads that call them do the work:
/// docs/adr/001. One thread of the store's own listens for other processes. A process that is frozen
/// inside a write makes the others answer Errc::unavailable after busy_timeout until it goes on or ends.
/// insert answers Errc::full with the name STORE_FULL while the disk is full; jobs can still end and be removed then.
class Store : public jobruntime::Store {
public:
    /// Errc::invalid_argument: the connection is on another file, in no transaction, or has a weaker
    /// `synchronous` than this store's durability.
    virtual Result<std::unique_ptr<Transaction>> begin(sqlite3* caller) = 0;
    /// The absolute path of the file.
    virtual const std::string& path() const = 0;
};

/// Opens the file, or makes it. An older schema is migrated after a copy was made beside it
/// ("FILE.v1.bak"). A refused file is left exactly as it is:
/// Errc::unsupported: a newer version's file, another program's database, ":memory:" (use memory::open), or a
/// network file system. Errc::corrupt: not a sound database. Errc::unavailable: locked by another
/// program for longer than busy_timeout. Errc::invalid_argument: a path that cannot be
/// written (the message says why).
JOBRUNTIME_API Result<std::unique_ptr<Store>> open(std::string_view path, Options options = {});

/// What a copy holds; read from the copy itself.
struct BackupFacts {
    std::string path;  ///< Absolute.
    std::uint64_t bytes = 0;
    std::uint64_t jobs = 0;
    std::uint64_t events = 0;
};

/// Copies a store's file to `to` as it is at one moment, while this and other processes go on working on it: nobody
/// waits for it. Reads everything once, so it takes as long as the disk needs. `to` is a store's file like
/// any other; it appears there only when it is whole, on disk, and has passed SQLite's integrity check. What else the file
/// holds (a program's own tables) is copied too; FILE-jobrt is not needed. Thread-safe.
/// Errc::not_found: no file at `path`. Errc::unsupported and Errc::corrupt: as open. Errc::invalid_argument: `to` is there
/// already, or cannot be written. Errc::full: no space for it. Errc::unavailable: the file is locked for longer
/// than five seconds, e.g. by a migration.
JOBRUNTIME_API Result<BackupFacts> back_up(std::string_view path, std::string_view to);

}  // namespace jobruntime::sqlite
