// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/job_counters.hpp"

#include <algorithm>

namespace jobruntime::core {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> counted_events{{{"worker.job.completed", "completed"},
                                                                              {"worker.job.failed", "failed"},
                                                                              {"worker.job.canceled", "canceled"},
                                                                              {"worker.job.retry_scheduled", "retried"},
                                                                              {"worker.job.snoozed", "snoozed"},
                                                                              {"worker.job.released", "released"},
                                                                              {"worker.job.recovered", "recovered"}}};

}  // namespace

void Histogram::add(Duration duration) {
    const double seconds = static_cast<double>(std::max<std::int64_t>(duration.count(), 0)) / 1000;
    ++counts_[static_cast<std::size_t>(std::ranges::lower_bound(bounds, seconds) - bounds.begin())];
    sum_ += seconds;
}

std::uint64_t Histogram::up_to(std::size_t i) const {
    std::uint64_t count = 0;
    for (std::size_t at = 0; at <= i; ++at) count += counts_[at];
    return count;
}

std::optional<std::size_t> JobCounters::outcome_of(std::string_view event) {
    const auto* found = std::ranges::find(counted_events, event, &std::pair<std::string_view, std::string_view>::first);
    if (found == counted_events.end()) return std::nullopt;
    return static_cast<std::size_t>(std::ranges::find(outcomes, found->second) - outcomes.begin());
}

void JobCounters::add(const JobFinding& finding) {
    // A label without text is none to Prometheus.
    std::pair key{finding.queue.empty() ? std::string(other) : finding.queue, finding.kind.empty() ? std::string(other) : finding.kind};
    if (pairs_.size() >= most_pairs && !pairs_.contains(key)) key = {std::string(other), std::string(other)};
    auto& series = pairs_[std::move(key)];
    if (finding.enqueued) ++series.enqueued;
    if (finding.outcome) ++series.ended[*finding.outcome];
    if (finding.wait) series.wait.add(*finding.wait);
    if (finding.run) series.run.add(*finding.run);
}

}  // namespace jobruntime::core
