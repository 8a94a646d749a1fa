// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/testing/faulty_store.hpp>
#include <jobruntime/testing/manual_clock.hpp>
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
    // Also those that were claimed by an answer that got lost, while the session lives on.
    for (const auto& job : *made) {
        const auto ended = queue.wait(job->id, 60s);
        REQUIRE(ended);
        CHECK(ended->state == JobState::completed);
    }
    worker.stop();
    CHECK(worker.stats().completed == made->size());
    CHECK(ran >= 90);
}

namespace {

/// A worker turned by hand over a store that fails as it is told.
struct Bench {
    std::unique_ptr<Store> inner = memory::open();
    FaultyStore store{*inner};
    testing::ManualClock clock;
    JobQueue queue{*inner, {.clock = &clock}};
    std::vector<std::string> lines;
    WorkerOptions options() {
        WorkerOptions made;
        made.clock = &clock;
        made.seed = 1;
        made.log = [this](std::string_view line) { lines.emplace_back(line); };
        return made;
    }
    JobState state(JobId id) { return queue.get(id, 0).value()->state; }
};

}  // namespace

TEST_CASE("a claim whose answer is lost is found again while its session lives, no attempt spent") {
    Bench bench;
    Worker worker(bench.store, bench.options());
    worker.on("k", [](JobContext&) { return completed(); });
    const auto id = bench.queue.enqueue("k", {})->id;
    bench.store.die_after_write(Verb::claim);
    CHECK_FALSE(worker.run_one());
    CHECK(bench.state(id) == JobState::running);
    bench.store.heal();
    // The first look fails too.
    bench.store.fail_next(Verb::list, Errc::unavailable);
    CHECK_FALSE(worker.run_one().value());
    bench.clock.advance(1s);
    CHECK(worker.run_one().value());
    const auto job = bench.queue.get(id).value().value();
    CHECK(job.state == JobState::completed);
    CHECK(job.attempt == 1);
    CHECK(job.crashes == 0);
}

TEST_CASE("a claim whose answer is lost is given back by a worker that stops") {
    Bench bench;
    const auto id = bench.queue.enqueue("k", {})->id;
    {
        Worker worker(bench.store, bench.options());
        worker.on("k", [](JobContext&) { return completed(); });
        bench.store.die_after_write(Verb::claim);
        CHECK_FALSE(worker.run_one());
        bench.store.heal();
    }
    CHECK(bench.state(id) == JobState::queued);
    CHECK(bench.queue.get(id).value()->attempt == 0);
}

TEST_CASE("a disk that is full for longer than two leases loses no end: the session lives, and nobody else would run it") {
    Bench bench;
    auto options = bench.options();
    Worker worker(bench.store, options);
    int ran = 0;
    worker.on("k", [&](JobContext&) {
        ++ran;
        return completed();
    });
    const auto id = bench.queue.enqueue("k", {})->id;
    bench.store.fail_next(Verb::settle, Errc::full, 1'000'000);
    CHECK(worker.run_one().value());
    for (Duration passed{0}; passed < options.heartbeat.lease * 4; passed += Duration{5'000}) {
        bench.store.fail_next(Verb::beat, Errc::full, 1);  // Beats fail too, and the lease is kept.
        bench.clock.advance(Duration{5'000});
        CHECK_FALSE(worker.run_one().value());
        CHECK(bench.state(id) == JobState::running);
    }
    bench.store.heal();
    bench.clock.advance(Duration{5'000});
    CHECK_FALSE(worker.run_one().value());
    CHECK(bench.state(id) == JobState::completed);
    CHECK(ran == 1);
}

TEST_CASE("what jobs note on a full disk is tried again by and by, does not hold up ends, and comes when there is room") {
    auto inner = memory::open();
    FaultyStore store(*inner);
    JobQueue queue(*inner);
    Counter over;
    Worker worker(store, {.queues = {{.concurrency = 4}}});
    worker.on("short", [](JobContext& job) {
        job.log("a line");
        return completed();
    });
    worker.on("long", [&](JobContext& job) {
        job.log("a line");
        CHECK(over.reaches(1));
        return completed();
    });
    REQUIRE(worker.start());
    store.fail_next(Verb::note, Errc::full, 1'000'000);
    const auto runs = queue.enqueue("long", {})->id;
    CHECK(eventually([&] { return store.failures() > 0; }));
    constexpr int jobs = 100;
    for (int i = 0; i < jobs; ++i) CHECK(queue.wait(queue.enqueue("short", {})->id, 20s)->state == JobState::completed);
    // Each end came by alone; without a pause each would have tried the notes again.
    CHECK(store.failures() < jobs / 3);
    store.heal();
    EventFilter lines;
    lines.job = runs;
    lines.name_prefix = "worker.job.log";
    CHECK(eventually([&] { return inner->events(EventId{0}, lines, 10)->events.size() == 1; }));
    over.add();
    CHECK(queue.wait(runs, 20s)->state == JobState::completed);
    worker.stop();
}

TEST_CASE("an end that the store refuses twice leaves no job running: it counts as a failed attempt") {
    Bench bench;
    Worker worker(bench.store, bench.options());
    worker.on("k", [](JobContext&) { return completed(); });
    const auto id = bench.queue.enqueue("k", {}, {.max_attempts = 2})->id;
    for (const auto expected : {JobState::scheduled, JobState::failed}) {
        bench.store.fail_next(Verb::settle, Errc::internal, 2);
        CHECK(worker.run_one().value());
        CHECK(bench.state(id) == JobState::running);
        CHECK_FALSE(worker.run_one().value());
        CHECK(bench.state(id) == expected);
        bench.clock.advance(24h);
    }
    const auto job = bench.queue.get(id).value().value();
    REQUIRE_FALSE(job.errors.empty());
    CHECK(job.errors.back().code == "OUTCOME_REFUSED");
}

namespace {

/// A store whose claims, once asked to, wait for a gate before they are answered.
struct SlowClaims : FaultyStore {
    using FaultyStore::FaultyStore;
    Result<Claimed> claim(std::span<const Want> wants, SessionId session, ClaimMode mode, Time now) override {
        auto answer = FaultyStore::claim(wants, session, mode, now);
        if (!slow) return answer;
        began.add();
        CHECK(open.reaches(1));
        return answer;
    }
    std::atomic<bool> slow{false};
    Counter began, open;
};

}  // namespace

TEST_CASE("a stop waits for a claim that is on its way, and no longer than that when it brings nothing") {
    auto inner = memory::open();
    SlowClaims store(*inner);
    JobQueue queue(*inner);
    Worker worker(store);
    worker.on("k", [](JobContext&) { return completed(); });
    REQUIRE(worker.start());
    CHECK(queue.wait(queue.enqueue("k", {})->id, 20s)->state == JobState::completed);
    store.slow = true;
    CHECK(store.began.reaches(1));
    const auto asked = std::chrono::steady_clock::now();
    std::jthread opener([&] {
        std::this_thread::sleep_for(100ms);  // stop() is waiting by then; earlier would only prove less.
        store.open.add();
    });
    worker.stop();
    // The grace time is 30 seconds.
    CHECK(std::chrono::steady_clock::now() - asked < 10s);
}
