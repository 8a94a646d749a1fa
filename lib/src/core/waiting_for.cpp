// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <map>

#include "core/job_queue_impl.hpp"
#include "core/transitions.hpp"

namespace jobruntime {
namespace {

/// What is common to all answers: read once.
struct Surroundings {
    Time now;
    std::vector<std::string> paused;
    std::vector<SessionInfo> live;  ///< Working sessions that were heard of within a lease.
};

/// Empty lists of a session mean everything, for programs that do not tell.
bool lists(const std::vector<std::string>& names, const std::string& name) {
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
}

/// A worker says with its beat how many jobs of a queue it runs at once.
int places_of(const SessionInfo& session, const std::string& queue) {
    const auto* all = session.facts.details.if_contains("concurrency");
    if (!all || !all->is_object()) return 0;
    const auto* own = all->get_object().if_contains(queue);
    if (!own || !own->is_int64()) return 0;
    return static_cast<int>(std::clamp<std::int64_t>(own->get_int64(), 0, 1 << 20));
}

std::string why_scheduled(const Job& job) {
    const std::string when = "waits until " + to_iso(job.run_at);
    if (job.crashes >= core::solitary_crashes)
        return when + ", then runs alone, after " + std::to_string(job.crashes) + " crashes";
    if (!job.wait_reason.empty()) return when + ": " + job.wait_reason;
    return when;
}

std::string why_queued(const Job& job, const Surroundings& around, std::map<std::string, std::uint64_t>& running,
                       Store& store) {
    if (std::find(around.paused.begin(), around.paused.end(), job.queue) != around.paused.end())
        return "queue " + job.queue + " is paused";
    if (around.live.empty()) return "no worker is running; start one with ROLE=worker";
    int places = 0;
    bool queue_served = false;
    bool kind_known = false;
    for (const auto& session : around.live) {
        if (!lists(session.facts.queues, job.queue)) continue;
        queue_served = true;
        if (!lists(session.facts.kinds, job.kind)) continue;
        kind_known = true;
        places += places_of(session, job.queue);
    }
    if (!queue_served) return "no live worker serves queue " + job.queue;
    if (!kind_known) return "no live worker has a handler for " + job.kind;
    if (job.crashes >= core::solitary_crashes)
        return "waits to run alone after " + std::to_string(job.crashes) + " crashes";
    if (places > 0) {
        auto found = running.find(job.queue);
        if (found == running.end()) {
            JobFilter filter;
            filter.states = {JobState::running};
            filter.queues = {job.queue};
            const auto rows = store.count(filter, CountBy::nothing);
            found = running.emplace(job.queue, rows && !rows->empty() ? rows->front().count : 0).first;
        }
        if (found->second >= static_cast<std::uint64_t>(places))
            return "all " + std::to_string(places) + " places of queue " + job.queue + " are busy";
    }
    return "next in line";
}

}  // namespace

Result<std::string> JobQueue::waiting_for(const Job& job, Duration lease) {
    auto all = waiting_for(std::span<const Job>(&job, 1), lease);
    if (!all) return std::move(all).error();
    return std::move(all->front());
}

Result<std::vector<std::string>> JobQueue::waiting_for(std::span<const Job> jobs, Duration lease) {
    std::vector<std::string> reasons(jobs.size());
    Surroundings around{impl_->clock.wall(), {}, {}};
    const auto waits = [&](const Job& job) {
        return job.state == JobState::queued || (job.state == JobState::scheduled && job.run_at <= around.now);
    };
    if (std::any_of(jobs.begin(), jobs.end(), waits)) {
        auto paused = core::read_paused(impl_->store);
        if (!paused) return std::move(paused).error();
        auto sessions = impl_->store.sessions();
        if (!sessions) return std::move(sessions).error();
        around.paused = std::move(*paused);
        for (auto& session : *sessions)
            if (session.facts.works && seems_alive(session, around.now, lease)) around.live.push_back(std::move(session));
    }
    std::map<std::string, std::uint64_t> running;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
        if (waits(jobs[i])) reasons[i] = why_queued(jobs[i], around, running, impl_->store);
        else if (jobs[i].state == JobState::scheduled) reasons[i] = why_scheduled(jobs[i]);
    }
    return reasons;
}

}  // namespace jobruntime
