// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include <jobruntime/clock.hpp>

namespace jobruntime::core {

/// What an event of the store's log says of a job, for the counters.
struct JobFinding {
    std::string queue, kind;
    bool enqueued = false;
    std::optional<std::size_t> outcome;  ///< Of JobCounters::outcomes.
    std::optional<Duration> wait, run;
    bool says_something() const { return enqueued || outcome || wait || run; }
};

/// Durations in Prometheus' way: how many were at most so long, and their sum.
class Histogram {
public:
    /// In seconds: from a fast queue's to a film's.
    static constexpr std::array<double, 14> bounds{0.005, 0.01, 0.025, 0.1, 0.25, 1, 2.5, 10, 30, 60, 300, 900, 3'600, 14'400};

    void add(Duration duration);
    /// Of those up to bounds[i]; of all for i = bounds.size().
    std::uint64_t up_to(std::size_t i) const;
    double sum() const { return sum_; }

private:
    std::array<std::uint64_t, bounds.size() + 1> counts_{};
    double sum_ = 0;
};

/// What happened to jobs since they were made, by queue and kind. They only rise. So many pairs have a name of their own,
/// those that come first; the others are one pair, so that nobody makes a scrape endless with ever new names.
class JobCounters {
public:
    static constexpr std::size_t most_pairs = 50;
    static constexpr std::string_view other = "other";
    static constexpr std::array<std::string_view, 7> outcomes{"completed", "failed",   "canceled", "retried",
                                                              "snoozed",   "released", "recovered"};
    struct Series {
        std::uint64_t enqueued = 0;
        std::array<std::uint64_t, outcomes.size()> ended{};
        Histogram wait, run;
    };
    using Pairs = std::map<std::pair<std::string, std::string>, Series>;

    void add(const JobFinding& finding);
    const Pairs& pairs() const { return pairs_; }

    /// Which outcome an event of that name is; nothing for other events.
    static std::optional<std::size_t> outcome_of(std::string_view event);

private:
    Pairs pairs_;
};

}  // namespace jobruntime::core
