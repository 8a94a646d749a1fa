// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include <jobruntime/export.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::testing {

/// The verbs of a store.
enum class Verb : std::uint8_t {
    insert, claim, settle, note, change, get, list, count, beat, recover, sessions, tend, events, records, put,
    restore,
};

/// Faults that come by themselves. One seed and one order of calls give the same faults.
struct Faults {
    std::uint64_t seed = 0;
    double before = 0;  ///< Share of calls that fail without having been done, 0 to 1.
    double after = 0;   ///< Share of calls that are done and then answered Errc::unavailable.
};

/// A store in front of another that fails as a disk or a network would: by chance, or by script. The
/// script goes before chance. Thread-safe; the store behind it must outlive it.
class JOBRUNTIME_API FaultyStore : public Store {
public:
    explicit FaultyStore(Store& store, Faults faults = {});
    ~FaultyStore() override;

    /// The next `times` calls, of any verb or of this one, fail with `code` and do nothing.
    void fail_next(Errc code, int times = 1);
    void fail_next(Verb verb, Errc code, int times = 1);
    /// The next call of `verb` is done, but answers Errc::unavailable, as every call after it: the
    /// process "died" with its work written.
    void die_after_write(Verb verb);
    /// Ends all scripts, and death; chance stays.
    void heal();
    bool dead() const;
    /// How many calls failed, by script or chance.
    int failures() const;

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
    Result<BeatAnswer> beat(SessionId session, const SessionFacts& facts, Time now) override;
    Result<Recovered> recover(SessionId session, std::uint64_t beat_seen, Loss loss, int limit, Time now) override;
    Result<std::vector<SessionInfo>> sessions() override;
    Result<Tended> tend(const Retention& retention, int budget, Time now) override;
    Result<EventPage> events(std::optional<EventId> after, const EventFilter& filter, int limit) override;
    Result<std::vector<Record>> records(std::string_view prefix) override;
    Result<std::uint64_t> put(std::string_view key, std::optional<std::string_view> value,
                              std::uint64_t expected) override;
    /// Never fails: a hint may be missing, but so may it with any store.
    [[nodiscard]] Subscription on_change(std::function<void(unsigned hints)> callback) override;
    std::string describe() const override;
    Result<std::vector<InsertAnswer>> restore(std::span<const Job> jobs, Time now) override;

private:
    struct State;
    template <class Call>
    auto through(Verb verb, Call call) -> decltype(call());

    Store& store_;
    const std::unique_ptr<State> state_;
};

}  // namespace jobruntime::testing
