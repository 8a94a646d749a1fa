// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/stats.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <utility>

#include <boost/json/array.hpp>

#include "core/api_impl.hpp"

namespace jobruntime::core {
namespace {

constexpr Duration look_every{2'000};
constexpr int read_at_once = 2000;
constexpr int most_pages = 10;
constexpr std::size_t most_jobs = 20'000;
constexpr std::size_t most_starts = 50;
constexpr Duration minute_ms{60'000};

Time minute_begin(Time at) { return Time{at.time_since_epoch() - at.time_since_epoch() % minute_ms}; }

std::string_view field(const Event& event, std::string_view name) {
    const auto* value = event.fields.if_contains(name);
    return value && value->is_string() ? std::string_view(value->get_string()) : std::string_view();
}

/// The state that such an event names is the one that the job has had, or had a moment ago: it began and ended nothing.
bool leaves_the_state(std::string_view name) {
    return name == "jobs.create.duplicate" || name == "jobs.moved" || name == "jobs.reprioritised";
}

boost::json::value quantiles(const Durations& durations) {
    if (durations.count() == 0) return nullptr;
    return boost::json::object{{"p50", durations.quantile(0.5)}, {"p95", durations.quantile(0.95)}, {"p99", durations.quantile(0.99)}};
}

}  // namespace

void Durations::add(Duration duration) {
    const auto ms = static_cast<std::uint64_t>(std::max<std::int64_t>(duration.count(), 0));
    std::size_t bucket = static_cast<std::size_t>(ms);
    if (ms >= 4) {
        const auto power = static_cast<std::size_t>(std::bit_width(ms)) - 3;  // The two bits behind the first say which of four.
        bucket = std::min(buckets - 1, power * 4 + static_cast<std::size_t>(ms >> power));
    }
    ++counts_[bucket];
    ++count_;
}

std::int64_t Durations::quantile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(count_)));
    std::uint64_t below = 0;
    std::size_t bucket = 0;
    for (; bucket + 1 < buckets; ++bucket) {
        below += counts_[bucket];
        if (below >= wanted) break;
    }
    if (bucket < 8) return static_cast<std::int64_t>(bucket);
    const auto power = bucket / 4 - 1;
    const auto least = static_cast<std::int64_t>(bucket % 4 + 4) << power;
    return least + ((std::int64_t{1} << power) >> 1);
}

void StatsKeeper::start() {
    thread_ = std::jthread([this](std::stop_token stop) {
        Wakeup wakeup;
        do {
            // A store that is away is asked again; what it then has is read up to the bound.
            (void)look().has_value();
        } while (clock_.wait_until(clock_.steady() + look_every, wakeup, stop) != Woken::stopped);
    });
}

Result<void> StatsKeeper::look() {
    if (auto read = read_events(); !read) return read;
    sample();
    return {};
}

Result<void> StatsKeeper::read_events() {
    std::lock_guard reading(reading_);
    for (int page = 0;; ++page) {
        const bool first = !seen_;
        auto events = store_.events(seen_, {}, read_at_once);
        if (!events) return events.error();
        std::optional<EventId> newest;
        const bool full = !first && events->events.size() >= static_cast<std::size_t>(read_at_once);
        if (full && page + 1 >= most_pages) {  // More than can be looked at: on with the newest.
            const auto last = store_.events(std::nullopt, {}, 1);
            if (!last) return last.error();
            newest = last->next;
        }
        std::lock_guard lock(mutex_);
        if (first) since_ = events->events.empty() ? clock_.wall() : events->events.front().at;
        // The counters begin with what happens from now on: another process has counted what was before, or this one when it
        // ran the last time.
        for (const auto& event : events->events) take(event, !first);
        if (events->truncated || newest)
            if (auto* minute = minute_of(clock_.wall())) minute->partial = true;
        seen_ = newest ? newest : events->next;
        if (!full || newest) return {};
    }
}

/// Once a minute, whether it worked or not: a store may have to look at all its jobs for it.
void StatsKeeper::sample() {
    const auto now = clock_.wall();
    {
        std::lock_guard lock(mutex_);
        auto* minute = minute_of(now);
        if (!minute || minute->counted) return;
        minute->counted = true;
    }
    const auto rows = store_.count({}, CountBy::state);
    // Also processes that have no worker, of which no event tells, and that began before the events that are kept.
    const auto sessions = store_.sessions();
    std::lock_guard lock(mutex_);
    if (auto* minute = rows ? minute_of(now) : nullptr) minute->counts = counts_json(*rows);
    if (!sessions) return;
    for (const auto& one : *sessions) add_start({one.started_at, one.facts.role, one.facts.version, one.id.str()});
}

/// Each process once, by its session, whether the event or the store says it first.
void StatsKeeper::add_start(Start start) {
    const auto is_same = [&](const Start& known) { return !start.session.empty() && known.session == start.session; };
    if (std::ranges::any_of(starts_, is_same)) return;
    const auto place = std::ranges::upper_bound(starts_, start.at, {}, &Start::at);
    starts_.insert(place, std::move(start));
    if (starts_.size() > most_starts) starts_.pop_front();
}

/// The minute of that time, made when there is none; nullptr for one that is too old.
StatsKeeper::Minute* StatsKeeper::minute_of(Time at) {
    const auto begin = minute_begin(at);
    const auto found = std::ranges::lower_bound(minutes_, begin, {}, &Minute::at);
    if (found != minutes_.end() && found->at == begin) return &*found;
    const auto newest = std::max(minutes_.empty() ? begin : minutes_.back().at, begin);
    if (newest - begin >= most_minutes * minute_ms) return nullptr;
    auto& made = *minutes_.insert(found, Minute{.at = begin});
    const auto oldest = newest - (most_minutes - 1) * minute_ms;
    if (minutes_.front().at >= oldest) return &made;
    while (minutes_.front().at < oldest) minutes_.pop_front();
    return minute_of(at);
}

StatsKeeper::Times& StatsKeeper::times_of(JobId job) {
    if (const auto known = young_.find(job); known != young_.end()) return known->second;
    if (young_.size() >= most_jobs) old_ = std::exchange(young_, {});
    auto& times = young_[job];
    if (const auto known = old_.find(job); known != old_.end()) times = known->second;
    return times;
}

void StatsKeeper::take(const Event& event, bool counts) {
    if (event.name == "worker.started") {
        add_start({event.at, event.role, std::string(field(event, "version")), std::string(field(event, "workerId"))});
        return;
    }
    const auto state = parse_job_state(field(event, "status"));
    if (!event.job || !state || event.name == "jobs.deleted" || leaves_the_state(event.name)) return;
    const auto finding = find(event, *state);
    // A clock that goes far ahead somewhere is not to make all that was counted here old.
    if (auto* minute = minute_of(std::min(event.at, clock_.wall()))) add_to(*minute, event, finding);
    if (counts && finding.says_something()) counters_.add(finding);
}

void StatsKeeper::add_to(Minute& minute, const Event& event, const JobFinding& finding) {
    if (finding.enqueued) ++minute.enqueued;
    if (event.name == "worker.job.claimed") ++minute.claimed;
    if (event.name == "worker.job.completed") ++minute.completed;
    if (event.name == "worker.job.failed") ++minute.failed;
    if (event.name == "worker.job.retry_scheduled") ++minute.retried;
    if (event.name == "worker.job.canceled") ++minute.canceled;
    if (event.name == "worker.job.recovered") ++minute.recovered;
    if (finding.wait) minute.wait.add(*finding.wait);
    if (finding.run) minute.run.add(*finding.run);
}

/// What the event says, with what is known of the job from those before.
JobFinding StatsKeeper::find(const Event& event, JobState state) {
    JobFinding finding{.queue = std::string(field(event, "queue")),
                       .kind = std::string(field(event, "kind")),
                       .enqueued = event.name == "jobs.create.queued",
                       .outcome = JobCounters::outcome_of(event.name),
                       .wait = {},
                       .run = {}};
    auto& times = times_of(event.job);
    if (event.name == "worker.job.claimed") {
        if (times.waiting) finding.wait = event.at - *times.waiting;
        times = {std::nullopt, event.at};
        return finding;
    }
    if (state == JobState::running) return finding;
    if (times.claimed) finding.run = event.at - *times.claimed;
    const auto before = std::exchange(times, {}).waiting;
    // Its time has come, some time ago maybe: it waits since then.
    if (state == JobState::queued)
        times.waiting = event.name == "jobs.promoted" && before ? std::min(*before, event.at) : event.at;
    if (state == JobState::scheduled) {
        const auto run_at = parse_iso(field(event, "runAt"));
        times.waiting = run_at ? *run_at : event.at;
    }
    if (!is_final(state)) return finding;
    young_.erase(event.job);
    old_.erase(event.job);
    return finding;
}

JobCounters StatsKeeper::counters() {
    std::lock_guard lock(mutex_);
    return counters_;
}

boost::json::object StatsKeeper::to_json(const Minute& minute) {
    boost::json::object object{{"at", to_iso(minute.at)},           {"enqueued", minute.enqueued}, {"claimed", minute.claimed},
                               {"completed", minute.completed},     {"failed", minute.failed},     {"retried", minute.retried},
                               {"canceled", minute.canceled},       {"recovered", minute.recovered}, {"waitMs", quantiles(minute.wait)},
                               {"runMs", quantiles(minute.run)}};
    object["counts"] = minute.counts ? boost::json::value(*minute.counts) : boost::json::value(nullptr);
    object["partial"] = minute.partial;
    return object;
}

boost::json::object StatsKeeper::report(int minutes) {
    std::lock_guard lock(mutex_);
    const auto now = clock_.wall();
    const auto oldest = minute_begin(now) - (minutes - 1) * minute_ms;
    boost::json::array list;
    for (const auto& minute : minutes_)
        if (minute.at >= oldest) list.push_back(to_json(minute));
    boost::json::array starts;
    // Also those before: who changed the version is known by the one before.
    for (const auto& start : starts_)
        starts.push_back({{"at", to_iso(start.at)}, {"role", start.role}, {"version", start.version}});
    boost::json::object object{{"now", to_iso(now)}, {"since", to_iso(since_.value_or(now))}};
    object["minutes"] = std::move(list);
    object["starts"] = std::move(starts);
    return object;
}

}  // namespace jobruntime::core
