// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <atomic>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/testing/faulty_store.hpp>
#include <jobruntime/worker.hpp>

#include "gate.hpp"

using namespace jobruntime;
using namespace std::chrono_literals;
using testing::FaultyStore;
using testing::Verb;

TEST_CASE("a worker starts while the store is away, and works when it comes back") {
    auto inner = memory::open();
    FaultyStore store(*inner);
    JobQueue queue(*inner);
    Worker worker(store);
    worker.on("k", [](JobContext&) { return completed(); });
    store.fail_next(Errc::unavailable, 1'000'000);
    REQUIRE(worker.start());
    const auto id = queue.enqueue("k", {})->id;
    CHECK(eventually([&] { return store.failures() > 3; }));
    // No busy loop: a handful of threads that back off cannot have failed often by now.
    CHECK(store.failures() < 1'000);
    store.heal();
    CHECK(queue.wait(id, 20s)->state == JobState::completed);
    worker.stop();
}

TEST_CASE("an outage in the middle loses nothing and needs no restart") {
    auto inner = memory::open();
    FaultyStore store(*inner);
    JobQueue queue(*inner);
    Counter ran;
    Worker worker(store, {.queues = {{.concurrency = 2}}});
    worker.on("k", [&](JobContext&) {
        if (ran.add() == 20) store.fail_next(Errc::unavailable, 6);
        return completed();
    });
    REQUIRE(worker.start());
    std::vector<JobSpec> specs(300, JobSpec{"k", {}, {}});
    const auto made = queue.enqueue_many(specs);
    for (const auto& job : *made) CHECK(queue.wait(job->id, 20s)->state == JobState::completed);
    worker.stop();
    CHECK(ran.value() == 300);
    CHECK(worker.stats().conflicts == 0);
}

TEST_CASE("an end that was written but not answered counts once") {
    auto inner = memory::open();
    FaultyStore store(*inner, {.seed = 3, .after = 0.3});
    JobQueue queue(*inner);
    std::atomic<int> ran{0};
    WorkerOptions options;
    options.queues = {{.concurrency = 2}};
    options.heartbeat.beat = Duration{100};
    Worker worker(store, options);
    worker.on("k", [&](JobContext& job) {
        ++ran;
        return job.job().attempt == 1 && job.job().payload.contains("again") ? retry("AGAIN", "once more", 1ms) : completed();
    });
    REQUIRE(worker.start());
    std::vector<JobSpec> specs;
    for (int i = 0; i < 60; ++i) specs.push_back({"k", i % 2 ? boost::json::object{{"again", true}} : boost::json::object{}, {}});
    const auto made = queue.enqueue_many(specs);
    CHECK(eventually([&] {
        const auto rows = queue.count({.states = {JobState::running}}, CountBy::nothing);
        const auto waiting = queue.count({.states = {JobState::queued, JobState::scheduled}}, CountBy::nothing);
        const auto stats = worker.stats();
        return waiting->front().count == 0 && stats.running == 0 &&
               stats.completed + rows->front().count == made->size();
    }));
    worker.stop();
    // What is still running was claimed by an answer that got lost: only a recovery brings it back.
    const auto left = queue.count({.states = live_states}, CountBy::nothing)->front().count;
    CHECK(worker.stats().completed + left == made->size());
}
