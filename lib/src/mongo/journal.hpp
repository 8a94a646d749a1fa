// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <mutex>
#include <vector>

#include "mongo/driver.hpp"
#include "mongo/rows.hpp"

namespace jobruntime::mongo {

/// Where the log ends.
struct Tail {
    std::int64_t batch = 0;  ///< 0 = nothing was ever written.
    EventId last = 0;        ///< The newest event.
};

/// The event log: a chain of batches. Batch n+1 can only be written by one who has read batch n, because its
/// _id is n+1 and its event ids count on from there; who comes too late meets a duplicate, reads the tail and
/// tries again. A second unique index, over the events' keys, makes it harmless to bring events twice.
/// Thread-safe.
class Journal {
public:
    explicit Journal(Server& server) : server_(server) {}

    /// Appends what is not in the log yet, in this order and each once, and then empties the outboxes it came
    /// from. When this fails, the events of jobs stay in their outboxes, and whoever comes next brings them.
    Result<void> append(const std::vector<Entry>& entries);

    /// `unconfirmed`: with what a majority of the members is not known to have.
    Result<Tail> tail(bool unconfirmed = false);
    Result<EventId> pruned_through();
    Result<EventPage> read(std::optional<EventId> after, const EventFilter& filter, int limit);
    /// At most `budget` events past `retention`; how many went, and whether there are more.
    Result<std::pair<std::uint64_t, bool>> prune(const Retention& retention, int budget, Time now);
    /// What happened in the batches after `batch`, as hints; moves it on.
    Result<unsigned> hints_since(std::int64_t& batch);

private:
    Result<void> collect(EventPage& page, const Tail& end, EventId from, bool onwards,
                         const EventFilter& filter, std::size_t most);
    Result<void> append_batch(const std::vector<Entry>& entries, std::size_t begin, std::size_t end);
    Result<void> check_foreign(std::int64_t batch);
    Result<std::size_t> drop_known(std::vector<Entry>& entries, std::size_t& end);
    Result<void> empty_outboxes(const std::vector<Entry>& entries);

    Server& server_;
    std::mutex mutex_;
    std::optional<Tail> tail_;  // Guarded by mutex_. What this process last knew; may be old.
};

/// What an event of this name may change for those who listen.
unsigned hints_of(std::string_view event_name);

}  // namespace jobruntime::mongo
