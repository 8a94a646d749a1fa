// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <cstdio>
#include <random>
#include <thread>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>

#include "proof/actors.hpp"
#include "proof/checker.hpp"

using namespace jobruntime;
using namespace proof;

namespace {

struct Chaos {
    int kills = 0;
    std::string enqueuer_failpoints, worker_failpoints;
    std::chrono::milliseconds apart{60};
};

/// Two enqueuers, two workers and a reader on one file; one of them is killed at a random moment, again and again.
Findings run(const Chaos& chaos) {
    Folder folder;
    const auto database = folder / "jobs.db";
    Evidence evidence;
    std::vector<Actor> actors;
    auto environment = [](const std::string& failpoints) {
        return failpoints.empty() ? std::vector<std::string>{} : std::vector<std::string>{"JOBRT_FAILPOINTS=" + failpoints};
    };
    for (int i = 0; i < 2; ++i) {
        const auto journal = folder / ("enqueuer" + std::to_string(i));
        evidence.enqueuers.push_back(journal);
        actors.emplace_back(std::vector<std::string>{"enqueue", "--db", database, "--journal", journal, "--pause-us", "1500",
                                                     "--unique", "20", "--seed", std::to_string(i + 1)},
                            environment(chaos.enqueuer_failpoints));
    }
    for (int i = 0; i < 2; ++i) {
        const auto journal = folder / ("worker" + std::to_string(i));
        evidence.workers.push_back(journal);
        actors.emplace_back(std::vector<std::string>{"work", "--db", database, "--journal", journal, "--prefetch", "4"},
                            environment(chaos.worker_failpoints));
    }
    evidence.tails.push_back(folder / "tail");
    actors.emplace_back(std::vector<std::string>{"tail", "--db", database, "--journal", evidence.tails.back()});
    for (auto& actor : actors) actor.start();

    std::mt19937_64 random(std::random_device{}());
    for (int i = 0; i < chaos.kills; ++i) {
        std::this_thread::sleep_for(chaos.apart / 2 + std::chrono::milliseconds(random() % static_cast<std::uint64_t>(chaos.apart.count())));
        auto& victim = actors[random() % actors.size()];
        victim.kill();
        victim.start();
    }
    for (int i = 0; i < 2; ++i) actors[static_cast<std::size_t>(i)].kill();  // No more jobs; the rest is worked off.
    {
        auto store = sqlite::open(database);
        REQUIRE_MESSAGE(store.has_value(), (store ? "" : store.error().message));
        JobQueue queue(**store);
        Change promote;
        promote.action = Action::promote;
        const bool ended = eventually(
            [&] {
                // Back-off after crashes is not what is proven here.
                JobFilter waiting;
                waiting.states = {JobState::scheduled};
                (void)queue.change_all(waiting, promote).has_value();
                JobFilter open;
                open.states = live_states;
                auto left = queue.list(open, {}, 1);
                return left && left->jobs.empty();
            },
            std::chrono::seconds(120));
        if (!ended) MESSAGE("some jobs did not end within two minutes");
        const auto all = (*store)->events(std::nullopt, {}, 1);
        REQUIRE(all.has_value());
    }
    for (std::size_t i = 2; i < 4; ++i) actors[i].stop();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));  // The reader sees the workers' farewells.
    actors[4].kill();
    auto findings = check(database, evidence);
    std::printf("kill -9, %d times: %s\n", chaos.kills, findings.counts().c_str());
    for (const auto& complaint : findings.complaints) std::printf("  %s\n", complaint.c_str());
    return findings;
}

}  // namespace

TEST_CASE("processes killed at random moments lose nothing, repeat nothing and invent nothing") {
    Chaos chaos;
    chaos.kills = scaled(200, 10);
    const auto findings = run(chaos);
    CHECK(findings.sound());
    CHECK(findings.acknowledged > chaos.kills);
    CHECK(findings.completed > findings.acknowledged / 2);
    CHECK(findings.recovered > 0);
}

TEST_CASE("control: with unique keys ignored the checker complains") {
    Chaos chaos;
    chaos.kills = 5;
    chaos.enqueuer_failpoints = "control.ignore_unique=error";
    CHECK(run(chaos).complains_of("unique"));
}

TEST_CASE("control: with an event dropped now and then the checker complains") {
    Chaos chaos;
    chaos.kills = 5;
    chaos.worker_failpoints = "control.drop_event=40*error";
    CHECK(run(chaos).complains_of("event"));
}
