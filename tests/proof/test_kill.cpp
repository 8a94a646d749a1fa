// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <cstdio>
#include <random>
#include <thread>

#include "proof/scene.hpp"

using namespace jobruntime;
using namespace proof;

namespace {

struct Chaos {
    int kills = 0;
    const char* what = "kill -9";
    std::string enqueuer_failpoints, worker_failpoints;
    std::chrono::milliseconds apart{60};
    std::size_t undisturbed = 0;         ///< So many jobs more must be completed before it ends, after the last kill.
    std::chrono::seconds patience{300};  ///< For what is left when no more are killed.
};

/// Two enqueuers, two workers and a reader on one file; one of them is killed at a random moment, again and again.
Findings run(const Chaos& chaos) {
    Folder folder;
    Cast cast;
    cast.address = folder / "jobs.db";
    cast.enqueuer_words = {"--pause-us", "1500", "--unique", "20"};
    cast.worker_words = {"--prefetch", "4"};
    cast.enqueuer_failpoints = chaos.enqueuer_failpoints;
    cast.worker_failpoints = chaos.worker_failpoints;
    Scene scene(cast);
    scene.start();
    std::mt19937_64 random(std::random_device{}());
    for (int i = 0; i < chaos.kills; ++i) {
        std::this_thread::sleep_for(chaos.apart / 2 + std::chrono::milliseconds(random() % static_cast<std::uint64_t>(chaos.apart.count())));
        scene.kill_one(random());
    }
    const auto completed = scene.lines('C') + chaos.undisturbed;
    CHECK(eventually([&] { return scene.lines('C') >= completed; }));
    const auto findings = scene.finish(chaos.patience);
    std::printf("counts: %s, %d times: %s\n", chaos.what, chaos.kills, findings.counts().c_str());
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
    chaos.kills = 25;
    chaos.what = "control: unique keys ignored";
    chaos.enqueuer_failpoints = "control.ignore_unique=error";
    chaos.undisturbed = 500;  // A quarter of them with one of twenty keys.
    chaos.patience = std::chrono::seconds(10);  // Two with one key cannot be taken back from a dead worker: some stay.
    CHECK(run(chaos).complains_of("unique"));
}

TEST_CASE("control: with an event dropped now and then the checker complains") {
    Chaos chaos;
    chaos.kills = 5;
    chaos.what = "control: an event dropped";
    chaos.worker_failpoints = "control.drop_event=40*error";
    chaos.undisturbed = 100;  // Which are three hundred events of two processes: each comes to its fortieth.
    CHECK(run(chaos).complains_of("event"));
}
