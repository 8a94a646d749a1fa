// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <vector>

#include <jobruntime/event.hpp>
#include <jobruntime/job.hpp>
#include <jobruntime/store.hpp>

#include "core/transitions.hpp"
#include "sqlite/schema.hpp"
#include "sqlite/sql.hpp"

namespace jobruntime::sqlite {

/// Names and their numbers, as one connection has seen them. A word once committed never changes.
class Words {
public:
    explicit Words(Connection& connection) : connection_(connection) {}
    /// The number, if the name was ever written.
    std::optional<std::int64_t> find(std::string_view text, bool blob = false);
    /// The number; a new name is written.
    std::int64_t intern(std::string_view text, bool blob = false);
    /// The name of a number; empty if there is none.
    const std::string& text(std::int64_t number);
    /// The transaction was rolled back: what it wrote is not there.
    void rolled_back();
    void committed() { fresh_.clear(); }

private:
    struct Hash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
    };
    Connection& connection_;
    // Session ids are kept as sixteen raw bytes, which are no name: both fit in one map.
    std::unordered_map<std::string, std::int64_t, Hash, std::equal_to<>> numbers_;
    std::unordered_map<std::int64_t, std::string> texts_;
    std::vector<std::string> fresh_;
};

/// What a write needs to know of a job before it changes it.
struct JobRow {
    std::int64_t seq = 0;
    JobId id;
    JobState state = JobState::queued;
    std::int64_t queue = 0;
    std::int64_t kind = 0;
    int priority = 0;
    Time run_at{};
    int attempt = 0;
    int max_attempts = 0;
    int crashes = 0;
    std::uint64_t fence = 0;
    std::optional<std::int64_t> session;
    std::int64_t side = 0;
    bool counted = false;
    StateSet unique_states;
    bool has_key = false;
    bool cancel_asked = false;
};

/// One event of a state change, as it is stored.
struct EventRow {
    core::EventCode code = core::EventCode::other;
    std::int64_t job = 0;
    JobState state = JobState::queued;
    int attempt = 0;
    std::int64_t queue = 0;
    std::optional<std::int64_t> session;
    std::optional<Time> due;
    std::optional<int> number;       ///< Crashes or priority.
    std::string_view error_code;
    std::string_view message;
    const Actor* by = nullptr;       ///< Who asked for it.
};

/// Everything a writing verb does inside a transaction, on the store's own connection or on a
/// caller's. It numbers what is written and keeps the tally; both reach the file once, in finish().
class Writer {
public:
    Writer(Connection& connection, std::string source) : connection_(connection), words_(connection), source_(std::move(source)) {}

    /// First in each transaction.
    void start();
    /// Last before the commit; also writes what finish() owes the file.
    void finish();
    void committed();
    void rolled_back();

    Connection& connection() { return connection_; }
    Words& words() { return words_; }
    Statement& sql(const char* text) { return connection_.cached(text); }

    /// The next number: of a job, an event, a fence or a record's version.
    std::uint64_t next_number() { return ++last_; }
    std::uint64_t last_number() const { return last_; }
    /// Numbers to come are above this one.
    void pass_number(std::uint64_t number) { last_ = std::max(last_, number); }
    void tally(std::int64_t queue, std::int64_t kind, JobState state, int by);
    void move_tally(const JobRow& job, JobState to);
    /// Writes the event; the number is a new one unless one is given.
    std::uint64_t event(const EventRow& event, Time now, std::uint64_t number = 0);
    /// One that is no change of state.
    void event(const Event& event, std::int64_t job, std::string_view trace);
    void removed_events(std::uint64_t count, std::uint64_t through);

    std::optional<JobRow> job(JobId id);
    std::optional<JobRow> job(std::int64_t seq);
    void append_error(JobRow& job, Time now, int attempt, std::string_view code, std::string_view message);
    /// Removes what a job's checkpoints hold, or one of them, also from the pages that become free by it.
    void forget_steps(std::int64_t job, std::optional<std::string_view> name = std::nullopt);
    /// As long as it lives, what is deleted or replaced is overwritten with zeros. It makes of each page that becomes free
    /// one that is written, so only for what may have to be gone.
    class Wiping {
    public:
        explicit Wiping(Writer& writer);
        Wiping(const Wiping&) = delete;
        ~Wiping();

    private:
        Connection* connection_;
    };
    /// False: nothing is wiped, because there is no room for what that writes.
    void may_wipe(bool may) { may_wipe_ = may; }
    /// Removes the job's row and all that hangs on it.
    void erase(const JobRow& job);

    void hint(unsigned hints) { hints_ |= hints; }
    unsigned take_hints() { return std::exchange(hints_, 0u); }

private:
    Connection& connection_;
    Words words_;
    std::string source_;
    std::int64_t source_number_ = 0;
    std::uint64_t last_ = 0;
    std::uint64_t last_stored_ = 0;
    bool may_wipe_ = true;
    std::uint64_t pruned_through_ = 0;
    std::int64_t events_ = 0;
    std::int64_t events_stored_ = 0;
    unsigned hints_ = 0;
    std::map<std::tuple<std::int64_t, std::int64_t, int>, std::int64_t> tally_;
};

/// True when a job with this key and these states counts in `state`.
inline bool counts(bool has_key, StateSet states, JobState state) {
    return has_key && (states | live_states).has(state);
}

}  // namespace jobruntime::sqlite
