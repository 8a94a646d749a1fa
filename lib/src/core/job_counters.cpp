// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/job_counters.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>

namespace jobruntime::core {
namespace {

/// Its value is the id of the last event that was counted.
constexpr std::string_view record_key = "metrics/counted";
constexpr std::size_t most_waiting = 40'000;
/// Others that move the record at the same moment are as many as there are APIs; the next look tries again.
constexpr int most_tries = 4;

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> events{{{"worker.job.completed", "completed"},
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
    const auto* found = std::ranges::find(events, event, &std::pair<std::string_view, std::string_view>::first);
    if (found == events.end()) return std::nullopt;
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

void EventShare::add(JobFinding finding) {
    if (waiting_.size() >= most_waiting) waiting_.pop_front();
    waiting_.push_back(std::move(finding));
}

bool EventShare::read() {
    const auto records = store_.records(record_key);
    if (!records) return false;
    known_ = true;
    version_ = 0;
    counted_ = 0;
    for (const auto& record : *records) {
        if (record.key != record_key) continue;
        version_ = record.version;
        std::from_chars(record.value.data(), record.value.data() + record.value.size(), counted_);
    }
    return true;
}

std::deque<JobFinding> EventShare::take() {
    for (int tries = 0; !waiting_.empty() && tries < most_tries; ++tries) {
        if (!known_ && !read()) return {};
        const auto last = waiting_.back().id;
        if (counted_ >= last) {
            waiting_.clear();
            return {};
        }
        const auto moved = store_.put(record_key, std::to_string(last), version_);
        if (!moved) {
            known_ = false;  // Another process was first; or it is not known what the record says now.
            if (moved.error().code == Errc::conflict) continue;
            return {};
        }
        std::erase_if(waiting_, [this](const JobFinding& finding) { return finding.id <= counted_; });
        version_ = *moved;
        counted_ = last;
        return std::exchange(waiting_, {});
    }
    return {};
}

}  // namespace jobruntime::core
