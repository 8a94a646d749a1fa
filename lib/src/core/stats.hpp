// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>

#include <boost/json/object.hpp>

#include <jobruntime/clock.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

#include "core/job_counters.hpp"

namespace jobruntime::core {

/// How long things took, in buckets that are a fifth of their value wide at most, so that it stays small however many
/// there are.
class Durations {
public:
    void add(Duration duration);
    std::uint64_t count() const { return count_; }
    /// Below which this share of them lies, in ms; the middle of its bucket.
    std::int64_t quantile(double share) const;

private:
    static constexpr std::size_t buckets = 132;  // Four for each power of two, up to 2^33 ms.
    std::array<std::uint32_t, buckets> counts_{};
    std::uint64_t count_ = 0;
};

/// What happened in each minute of the last hours, learned from the store's events. Bounded: so many minutes, so many
/// jobs whose times it remembers, so many events a look; what was more is left out, and its minute says so.
/// Thread-safe.
class StatsKeeper {
public:
    static constexpr int most_minutes = 360;

    StatsKeeper(Store& store, Clock& clock) : store_(store), clock_(clock) {}
    /// Begins to look every two seconds, until it is destroyed. Once.
    void start();
    /// Looks at what is new. The first look begins with the newest events that one page holds.
    Result<void> look();
    /// The last `minutes`, oldest first, and whatever else the API shows of it.
    boost::json::object report(int minutes);
    /// What happened in the store, whoever did it, from the first look to the last.
    JobCounters counters();

private:
    struct Minute {
        Time at{};
        std::uint64_t enqueued = 0, claimed = 0, completed = 0, failed = 0, retried = 0, canceled = 0, recovered = 0;
        Durations wait, run;
        std::optional<boost::json::object> counts;  ///< Jobs by state, when it was first looked at.
        bool counted = false;                       ///< The counts were asked for.
        bool partial = false;
    };
    struct Times {
        std::optional<Time> waiting, claimed;
    };
    struct Start {
        Time at{};
        std::string role, version;
        std::string session;  ///< Empty where the event does not say it.
    };

    Minute* minute_of(Time at);
    Times& times_of(JobId job);
    void add_start(Start start);
    void take(const Event& event, bool counts);
    JobFinding find(const Event& event, JobState state);
    static void add_to(Minute& minute, const Event& event, const JobFinding& finding);
    Result<void> read_events();
    void sample();
    static boost::json::object to_json(const Minute& minute);

    Store& store_;
    Clock& clock_;
    std::mutex reading_;                  // One reads at a time; taken before mutex_.
    std::optional<EventId> seen_;         // Guarded by reading_.
    std::mutex mutex_;                    // Never held while the store works; guards all below.
    std::optional<Time> since_;           // The event that it began with, or the moment when there was none.
    std::deque<Minute> minutes_;          // Ascending; without those in which nothing happened and nobody looked.
    std::map<JobId, Times> young_, old_;  // Two ages: when the young are many, the old are forgotten.
    std::deque<Start> starts_;            // Ascending.
    JobCounters counters_;
    std::jthread thread_;                 // Last: it is joined before what it uses goes away.
};

}  // namespace jobruntime::core
