// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/store.hpp>

/// The MongoDB store: any number of processes on any number of machines share one queue. For one machine
/// sqlite.hpp needs no server and is faster.
namespace jobruntime::mongo {

struct Options {
    std::string database{};         ///< Used when the URI names none; empty = "jobruntime".
    Duration server_selection{2'000};  ///< How long a verb looks for a server that takes writes before it answers
                                       ///< Errc::unavailable. Shorter tells sooner, longer sits out a failover.
    Duration socket_timeout{10'000};   ///< How long a verb waits for the answer to one command.
    Duration write_timeout{8'000};     ///< How long the server may take to make a write safe on a majority.
    Duration poll{250};             ///< The longest pause between two looks for other processes' changes, while
                                    ///< somebody listens (on_change) and the server pushes none.
    bool change_streams = true;     ///< Let the server push changes where it can (replica sets); else poll.
    int connections = 16;           ///< At most so many a process; a verb that finds none free waits.
    bool quiet_driver = true;       ///< See "Process-wide", below.
    std::function<void(std::string_view line)> log{};  ///< Documents that were skipped and why, repairs, the end and
                                                     ///< the beginning of outages; any thread. Empty = nowhere.
    Origin origin{};
};

/// Where a URI leads, in words that may be shown to anybody: no password, no user, no options.
struct Place {
    std::string hosts;     ///< "db1.example:27017,db2.example:27017", or the name of a mongodb+srv URI.
    std::string database;  ///< What the URI names, else Options::database.
    bool tls = false;
    std::string text;      ///< "mongodb://db1.example:27017,db2.example:27017/app", as Store::describe() says it.
};

/// Reads a URI and touches no network. All that the MongoDB connection string specification has: several hosts,
/// user and password, database, `replicaSet`, `tls`, `authSource`, …, and mongodb+srv.
/// Errc::invalid_argument with the name STORE_URI_INVALID: not one; the message says what is wrong and never
/// repeats the user, the password or an option's value.
JOBRUNTIME_API Result<Place> check_uri(std::string_view uri, const Options& options = {});

/// Does now what the first store does with Options::quiet_driver (below, "Process-wide"), for a program that has this
/// component inside and may never open such a store: the driver makes the file of its counters when it is loaded.
JOBRUNTIME_API void quiet_driver();

/// Makes a store. Asks no server yet, so it succeeds while the server is down: the first verb that reaches one makes
/// what is missing (four collections and their indexes, all named "jobrt_…"; nothing else of the database is ever
/// touched) and looks at what is there. Errc::invalid_argument: the URI (check_uri) or an option.
///
/// The verbs keep store.hpp to the letter, and besides answer
///   Errc::unavailable                        no server took the command in time. Verbs may be repeated; the store
///                                            reconnects by itself and needs not be opened again
///   Errc::invalid_argument STORE_CREDENTIALS the server refused user or password
///   Errc::invalid_argument STORE_RIGHTS      that user may not do what the message names (docs/mongodb.md lists
///                                            what it must be allowed)
///   Errc::conflict         STORE_INDEX       an index of our name or keys is there and is another than ours
///   Errc::unsupported      STORE_TOO_NEW     the database was made by a newer jobruntime
///   Errc::unsupported      SERVER_TOO_OLD    the server speaks an older protocol than MongoDB 4.2's
///   Errc::corrupt                            a document that the verb cannot do without was edited into nonsense
///   Errc::corrupt          DOCUMENT_UNFIT    the server does not take the change of one job's document (a hand gave a
///                                            field another form, it would grow past 16 MiB). Where a verb has an
///                                            answer for each item it is that of a job without sense: note refuses,
///                                            change does not find it; of several ends each may be asked for again
/// Any other document that makes no sense is skipped, and told of once by Options::log.
///
/// Every acknowledged write is on disk on a majority of the replica set (`w: majority, j: true`), whatever the
/// URI says. Checkpoints of one job may sum up to 10 MiB here (a document ends at 16), else NoteAnswer::refused.
/// Texts that are not UTF-8 are kept with U+FFFD in place of what is not.
///
/// Verbs that wait at the same time travel to the server together, on the threads that call them. One thread of the
/// store's own listens for changes, from the first on_change on.
///
/// Process-wide: the first store initialises libmongoc (once; nothing calls mongoc_cleanup, a host may at its end),
/// and with `quiet_driver` takes over its log handler, which else writes to stderr, and removes the file of its counters
/// (/dev/shm/mongoc-PID), which a killed process would leave behind. A host that has a handler of its own sets
/// `quiet_driver` to false; one that is set after the first open stays.
/// Tests: a store needs a server; memory::open behaves the same and needs none.
JOBRUNTIME_API Result<std::unique_ptr<Store>> open(std::string_view uri, Options options = {});

}  // namespace jobruntime::mongo
