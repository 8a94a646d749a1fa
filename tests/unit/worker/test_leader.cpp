// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/testing/manual_clock.hpp>
#include <jobruntime/worker.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;
using testing::ManualClock;

namespace {

constexpr auto beat = 10s;

/// A worker of a process of its own, with what its upkeep has removed.
struct Process {
    Process(Store& store, ManualClock& clock, std::uint64_t seed) : worker(store, options(clock, seed)) {
        worker.on("k", [](JobContext&) { return completed(); });
    }
    WorkerOptions options(ManualClock& clock, std::uint64_t seed) {
        WorkerOptions options;
        options.clock = &clock;
        options.seed = seed;
        options.upkeep = beat;
        options.heartbeat.beat = beat;
        options.heartbeat.lease = 3 * beat;
        options.retention.completed = beat;
        options.on_pruned = [this](const std::vector<JobId>& jobs) { pruned.insert(pruned.end(), jobs.begin(), jobs.end()); };
        return options;
    }
    bool leads() { return worker.heartbeat().leads(); }

    std::vector<JobId> pruned;
    Worker worker;
};

}  // namespace

TEST_CASE("the process that leads removes old jobs; when it stops or falls silent another one does, and no job goes twice") {
    ManualClock clock;
    const auto store = memory::open();
    Process first(*store, clock, 1), second(*store, clock, 2);
    JobQueue queue(*store, {.clock = &clock, .seed = 3});
    const auto turn = [&](std::initializer_list<Process*> processes) {
        clock.advance(beat);
        for (auto* process : processes) REQUIRE(process->worker.run_one());
    };
    const auto done_by = [&](Process& process) {
        const auto id = queue.enqueue("k", {}).value().id;
        REQUIRE(process.worker.run_one().value());
        return id;
    };
    const auto is_there = [&](JobId id) { return queue.get(id).value().has_value(); };

    turn({&first, &second});
    turn({&first, &second});
    REQUIRE(first.leads() != second.leads());
    Process& leader = first.leads() ? first : second;
    Process& other = first.leads() ? second : first;
    const auto one = done_by(other);
    for (int i = 0; i < 3; ++i) turn({&leader, &other});
    CHECK_FALSE(is_there(one));
    CHECK(leader.pruned == std::vector{one});
    CHECK(other.pruned.empty());

    bool comes_back = false;
    SUBCASE("it falls silent") { comes_back = true; }
    SUBCASE("it stops") { leader.worker.stop(); }
    const auto two = done_by(other);
    // For all that anybody knows a silent one still leads, until its lease is over.
    for (int i = 0; comes_back && i < 2; ++i) {
        turn({&other});
        CHECK_FALSE(other.leads());
        CHECK(is_there(two));
    }
    for (int i = 0; i < 3; ++i) turn({&other});
    CHECK(other.leads());
    CHECK_FALSE(is_there(two));
    CHECK(other.pruned == std::vector{two});
    if (!comes_back) return;

    turn({&leader, &other});
    turn({&leader, &other});
    CHECK(leader.leads() != other.leads());
    const auto three = done_by(other);
    for (int i = 0; i < 3; ++i) turn({&leader, &other});
    CHECK_FALSE(is_there(three));
    CHECK(leader.pruned.size() + other.pruned.size() == 3);
}
