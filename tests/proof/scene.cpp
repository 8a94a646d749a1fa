// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "proof/scene.hpp"

#include <algorithm>
#include <thread>

#include <jobruntime/clock.hpp>
#include <jobruntime/job_queue.hpp>

#include "proof/address.hpp"
#include "proof/journal.hpp"

using namespace jobruntime;

namespace proof {
namespace {

std::vector<std::string> environment(const std::string& failpoints) {
    if (failpoints.empty()) return {};
    return {"JOBRT_FAILPOINTS=" + failpoints};
}

EventId newest_seen(const std::string& journal) {
    const auto lines = read_journal(journal);
    for (auto line = lines.rbegin(); line != lines.rend(); ++line)
        if (line->word == 'V') return std::stoull(line->rest.at(0));
    return 0;
}

}  // namespace

Scene::Scene(const Cast& cast) : cast_(cast) {
    if (cast_.direct.empty()) cast_.direct = cast_.address;
    const auto act = [&](const char* verb, const std::string& journal, const std::vector<std::string>& more,
                         const std::string& failpoints) {
        std::vector<std::string> words{verb, "--db", cast_.address, "--journal", journal};
        words.insert(words.end(), more.begin(), more.end());
        actors_.emplace_back(std::move(words), environment(failpoints));
    };
    for (int i = 0; i < cast_.enqueuers; ++i) {
        evidence_.enqueuers.push_back(folder_ / ("enqueuer" + std::to_string(i)));
        auto words = cast_.enqueuer_words;
        words.insert(words.end(), {"--seed", std::to_string(i + 1)});
        act("enqueue", evidence_.enqueuers.back(), words, cast_.enqueuer_failpoints);
    }
    for (int i = 0; i < cast_.workers; ++i) {
        evidence_.workers.push_back(folder_ / ("worker" + std::to_string(i)));
        act("work", evidence_.workers.back(), cast_.worker_words, cast_.worker_failpoints);
    }
    evidence_.tails.push_back(folder_ / "tail");
    act("tail", evidence_.tails.back(), cast_.tail_words, "");
}

void Scene::start() {
    for (auto& actor : actors_) actor.start();
}

void Scene::kill_one(std::uint64_t random) {
    auto& victim = actors_[random % actors_.size()];
    victim.kill();
    victim.start();
}

bool Scene::enqueuers_ended() {
    return std::all_of(actors_.begin(), actors_.begin() + cast_.enqueuers, [](ActorProcess& enqueuer) { return enqueuer.ended(); });
}

std::size_t Scene::lines(char word) const {
    std::size_t count = 0;
    for (const auto& paths : {evidence_.enqueuers, evidence_.workers})
        for (const auto& path : paths)
            for (const auto& line : read_journal(path)) count += line.word == word;
    return count;
}

bool Scene::work_off(std::chrono::seconds limit) {
    auto store = open_at(cast_.direct);
    if (!store) return false;
    JobQueue queue(**store);
    Change promote;
    promote.action = Action::promote;
    return eventually(
        [&] {
            // Back-off after crashes is not what is proven here.
            JobFilter waiting, open;
            waiting.states = {JobState::scheduled};
            open.states = live_states;
            (void)queue.change_all(waiting, promote).has_value();
            auto left = queue.list(open, {}, 1);
            if (is_mongo(cast_.direct)) std::this_thread::sleep_for(std::chrono::milliseconds(300));
            return left && left->jobs.empty();
        },
        limit);
}

/// What dying processes have left to be told is told by upkeep, and then the reader must come to see it.
void Scene::bring_log_home() {
    auto store = open_at(cast_.direct);
    if (!store) return;
    const auto newest = [&]() -> EventId {
        auto page = (*store)->events(std::nullopt, {}, 1);
        return page && !page->events.empty() ? page->events.back().id : 0;
    };
    (void)eventually([&] {
        const auto before = newest();
        const auto tended = (*store)->tend({}, 1000, system_clock().wall());
        const auto after = newest();
        return tended && !tended->more && after != 0 && before == after && newest_seen(evidence_.tails.front()) == after;
    });
}

Findings Scene::finish(std::chrono::seconds limit) {
    const auto enqueuers = static_cast<std::size_t>(cast_.enqueuers);
    for (std::size_t i = 0; i < enqueuers; ++i) actors_[i].kill();
    const bool ended = work_off(limit);
    for (std::size_t i = enqueuers; i + 1 < actors_.size(); ++i) actors_[i].stop();
    bring_log_home();
    actors_.back().kill();
    auto findings = check(cast_.direct, evidence_);
    if (!ended) findings.complain("lost: some jobs did not end in time");
    return findings;
}

}  // namespace proof
