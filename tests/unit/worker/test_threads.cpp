// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <atomic>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/worker.hpp>

#include "gate.hpp"

using namespace jobruntime;
using namespace std::chrono_literals;

namespace {

/// Waits for the handler's stop token; what a well-behaved handler does.
void wait_for_stop(JobContext& job) {
    Counter stopped;
    const std::stop_callback callback(job.stop(), [&] { stopped.add(); });
    CHECK(stopped.reaches(1));
}

std::uint64_t running(Store& store) {
    const auto rows = store.count(JobFilter{.states = {JobState::running}}, CountBy::nothing);
    return rows ? rows->front().count : 1'000'000;
}

}  // namespace

TEST_CASE("many jobs on several threads: each runs once") {
    auto store = memory::open();
    JobQueue queue(*store);
    Worker worker(*store, {.queues = {{.concurrency = 4}}});
    std::vector<std::atomic<int>> runs(3000);
    Counter done;
    worker.on("k", [&](JobContext& job) {
        ++runs[static_cast<std::size_t>(job.job().payload.at("n").as_int64())];
        done.add();
        return completed();
    });
    REQUIRE(worker.start());
    std::vector<JobSpec> specs;
    for (std::size_t i = 0; i < runs.size(); ++i) specs.push_back({"k", {{"n", i}}, {}});
    const auto made = queue.enqueue_many(specs);
    REQUIRE(made);
    CHECK(done.reaches(static_cast<int>(runs.size())));
    worker.stop();
    for (const auto& count : runs) CHECK(count == 1);
    const auto stats = worker.stats();
    CHECK(stats.completed == runs.size());
    CHECK(stats.claimed == stats.completed + stats.released);
    CHECK(stats.running == 0);
    CHECK(running(*store) == 0);
}

TEST_CASE("each queue has its own concurrency") {
    auto store = memory::open();
    JobQueue queue(*store);
    Worker worker(*store, {.queues = {{.name = "one", .concurrency = 1}, {.name = "three", .concurrency = 3}}});
    Counter one, three, go, finished;
    worker.on("k", [&](JobContext& job) {
        auto& mine = job.job().queue == "one" ? one : three;
        mine.add();
        CHECK(go.reaches(1));
        mine.add(-1);
        finished.add();
        return completed();
    });
    REQUIRE(worker.start());
    for (int i = 0; i < 5; ++i) {
        REQUIRE(queue.enqueue("k", {}, {.queue = "one"}));
        REQUIRE(queue.enqueue("k", {}, {.queue = "three"}));
    }
    CHECK(three.reaches(3));
    CHECK(one.reaches(1));
    // A slow kind is not claimed ahead: what cannot start stays in the store, for other workers.
    CHECK(running(*store) == 4);
    CHECK(worker.stats().running == 4);
    go.add();
    CHECK(finished.reaches(10));
    worker.stop();
    CHECK(one.highest() == 1);
    CHECK(three.highest() <= 3);
}

TEST_CASE("a running job that is asked to stop ends canceled, soon") {
    auto store = memory::open();
    JobQueue queue(*store);
    Worker worker(*store);
    Counter started;
    StopReason reason{};
    worker.on("k", [&](JobContext& job) {
        started.add();
        wait_for_stop(job);
        reason = job.stop_reason();
        return retry("STOPPED", "asked to stop");
    });
    REQUIRE(worker.start());
    const auto id = queue.enqueue("k", {})->id;
    CHECK(started.reaches(1));
    const auto asked = std::chrono::steady_clock::now();
    CHECK(queue.cancel(id)->how == ChangeAnswer::How::requested);
    const auto job = queue.wait(id, 20s);
    REQUIRE(job);
    CHECK(job->state == JobState::canceled);
    CHECK(reason == StopReason::cancel);
    CHECK(std::chrono::steady_clock::now() - asked < 5s);  // The next beat would tell in ten.
    worker.stop();
    CHECK(worker.stats().canceled == 1);
}

TEST_CASE("a deadline stops the handler; one that ignores it loses its thread, and the work goes on") {
    auto store = memory::open();
    JobQueue queue(*store);
    Counter lost, started, let_go, came_back;
    {
        WorkerOptions options;
        options.queues = {{.concurrency = 1}};
        options.stuck = Duration{1'000};
        options.on_thread_lost = [&](int so_far) { lost.add(so_far); };
        Worker worker(*store, options);
        worker.on("good", [&](JobContext& job) {
            wait_for_stop(job);
            return job.stop_reason() == StopReason::deadline ? retry("MINE", "stopped") : completed();
        }, {.deadline = Duration{20}});
        worker.on("deaf", [&](JobContext& job) {
            started.add();
            CHECK(let_go.reaches(1));
            // Late: nothing of this may touch the worker, which is gone.
            job.progress(50, "late");
            job.log("late");
            const auto step = job.step("s", []() -> Result<boost::json::value> { return boost::json::value(1); });
            CHECK(step.error().code == Errc::canceled);
            came_back.add();
            return completed("late");
        }, {.deadline = Duration{20}});
        worker.on("next", [](JobContext&) { return completed(); });
        REQUIRE(worker.start());
        const auto good = queue.enqueue("good", {}, {.max_attempts = 1})->id;
        CHECK(queue.wait(good, 20s)->errors.back().code == "DEADLINE");
        const auto deaf = queue.enqueue("deaf", {}, {.max_attempts = 1})->id;
        CHECK(started.reaches(1));
        const auto job = queue.wait(deaf, 20s);
        REQUIRE(job);
        CHECK(job->state == JobState::failed);
        CHECK(job->errors.back().code == "DEADLINE");
        CHECK(lost.reaches(1));
        CHECK(worker.stats().lost_threads == 1);
        CHECK(queue.wait(queue.enqueue("next", {})->id, 20s)->state == JobState::completed);
        // A handler that ignores a cancel is treated the same way.
        const auto canceled = queue.enqueue("deaf", {})->id;
        CHECK(started.reaches(2));
        REQUIRE(queue.cancel(canceled));
        CHECK(queue.wait(canceled, 20s)->state == JobState::canceled);
        CHECK(lost.reaches(3));
        worker.stop();
        CHECK(worker.stats().lost_threads == 2);
    }
    let_go.add();
    CHECK(came_back.reaches(2));
}

TEST_CASE("a drain lets running jobs finish and interrupts the rest, and no attempt is spent") {
    auto store = memory::open();
    JobQueue queue(*store);
    Counter started, finish;
    WorkerOptions options;
    options.queues = {{.concurrency = 3}};
    options.grace = Duration{100};
    Worker worker(*store, options);
    worker.on("finishes", [&](JobContext&) {
        started.add();
        CHECK(finish.reaches(1));
        return completed();
    });
    worker.on("interrupted", [&](JobContext& job) {
        started.add();
        finish.add();
        wait_for_stop(job);
        CHECK(job.stop_reason() == StopReason::drain);
        return failed("STOPPED", "asked to stop");
    });
    worker.on("snoozes", [&](JobContext& job) {
        started.add();
        wait_for_stop(job);
        return snooze(1h, "later");
    });
    REQUIRE(worker.start());
    const auto finishes = queue.enqueue("finishes", {})->id;
    const auto snoozes = queue.enqueue("snoozes", {})->id;
    const auto interrupted = queue.enqueue("interrupted", {})->id;
    CHECK(started.reaches(3));
    const auto waiting = queue.enqueue("interrupted", {})->id;
    worker.stop();
    CHECK(queue.get(finishes).value()->state == JobState::completed);
    CHECK(queue.get(snoozes).value()->state == JobState::scheduled);
    for (const auto id : {interrupted, waiting}) {
        const auto job = queue.get(id).value().value();
        CHECK(job.state == JobState::queued);
        CHECK(job.attempt == 0);
        CHECK(job.errors.empty());
    }
    const auto stats = worker.stats();
    CHECK(stats.failed == 0);
    CHECK(stats.released >= 1);
    const auto sessions = store->sessions();
    REQUIRE(sessions->size() == 1);
    CHECK(sessions->front().facts.stopped);
    CHECK(sessions->front().facts.running == 0);
    worker.stop();
}

TEST_CASE("stop_now does not wait for the grace time, also while stop waits") {
    auto store = memory::open();
    JobQueue queue(*store);
    Counter started;
    WorkerOptions options;
    options.grace = Duration{3'600'000};
    Worker worker(*store, options);
    worker.on("k", [&](JobContext& job) {
        started.add();
        wait_for_stop(job);
        return canceled();
    });
    REQUIRE(worker.start());
    const auto id = queue.enqueue("k", {})->id;
    CHECK(started.reaches(1));
    std::jthread first([&] { worker.stop(); });
    worker.stop_now();
    first.join();
    CHECK(queue.get(id).value()->state == JobState::queued);
    CHECK(queue.get(id).value()->attempt == 0);
}

TEST_CASE("begin_drain gives back what was claimed ahead and lets the running job go on") {
    auto store = memory::open();
    JobQueue queue(*store);
    Counter quick, blocked, go;
    Worker worker(*store, {.queues = {{.concurrency = 1}}});
    worker.on("k", [&](JobContext& job) {
        if (job.job().payload.contains("blocks")) {
            blocked.add();
            CHECK(go.reaches(1));
        }
        quick.add();
        return completed();
    });
    REQUIRE(worker.start());
    // The kind is learnt to be quick; then one run blocks, with others claimed behind it.
    for (int i = 0; i < 50; ++i) REQUIRE(queue.enqueue("k", {}));
    CHECK(quick.reaches(50));
    std::vector<JobSpec> specs;
    specs.push_back({"k", {{"blocks", true}}, {}});
    for (int i = 0; i < 20; ++i) specs.push_back({"k", {}, {}});
    const auto made = queue.enqueue_many(specs);
    REQUIRE(made);
    CHECK(blocked.reaches(1));
    worker.begin_drain();
    CHECK(eventually([&] { return running(*store) == 1; }));
    CHECK(worker.stats().running == 1);
    go.add();
    CHECK(queue.wait((*made)[0]->id, 20s)->state == JobState::completed);
    worker.stop();
    CHECK(quick.value() == 51);
    for (std::size_t i = 1; i < made->size(); ++i) {
        const auto job = queue.get((*made)[i]->id).value().value();
        CHECK(job.state == JobState::queued);
        CHECK(job.attempt == 0);
    }
}

TEST_CASE("jobs claimed ahead go back when the one before them takes long") {
    auto store = memory::open();
    JobQueue queue(*store);
    Counter quick, blocked, go;
    WorkerOptions options;
    options.queues = {{.concurrency = 1}};
    options.poll = Duration{50};
    Worker worker(*store, options);
    worker.on("k", [&](JobContext& job) {
        if (job.job().payload.contains("blocks")) {
            blocked.add();
            CHECK(go.reaches(1));
        }
        quick.add();
        return completed();
    });
    REQUIRE(worker.start());
    for (int i = 0; i < 50; ++i) REQUIRE(queue.enqueue("k", {}));
    CHECK(quick.reaches(50));
    std::vector<JobSpec> specs;
    specs.push_back({"k", {{"blocks", true}}, {}});
    for (int i = 0; i < 20; ++i) specs.push_back({"k", {}, {}});
    REQUIRE(queue.enqueue_many(specs));
    CHECK(blocked.reaches(1));
    CHECK(eventually([&] { return running(*store) == 1; }));
    go.add();
    CHECK(quick.reaches(71));
    worker.stop();
}

TEST_CASE("a paused queue is left alone until it is resumed") {
    auto store = memory::open();
    JobQueue queue(*store);
    REQUIRE(queue.pause("default"));
    CHECK(queue.paused().value() == std::vector<std::string>{"default"});
    Worker worker(*store, {.queues = {{.name = "default"}, {.name = "other"}}});
    Counter ran;
    worker.on("k", [&](JobContext&) {
        ran.add();
        return completed();
    });
    const auto held = queue.enqueue("k", {})->id;
    REQUIRE(worker.start());
    const auto free = queue.enqueue("k", {}, {.queue = "other"})->id;
    CHECK(queue.wait(free, 20s));
    CHECK(queue.get(held).value()->state == JobState::queued);
    CHECK(queue.waiting_for(*queue.get(held).value()).value() == "queue default is paused");
    REQUIRE(queue.resume("default"));
    CHECK(queue.wait(held, 20s)->state == JobState::completed);
    CHECK(queue.paused().value().empty());
    worker.stop();
}

TEST_CASE("a job that went down with two processes runs while nothing else does") {
    auto store = memory::open();
    JobQueue queue(*store);
    const auto suspect = queue.enqueue("suspect", {})->id;
    for (int crash = 1; crash <= 2; ++crash) {
        SessionId victim;
        victim.bytes[15] = static_cast<std::uint8_t>(crash);
        SessionFacts facts;
        facts.works = true;
        const Time now = system_clock().wall();
        REQUIRE(store->beat(victim, facts, now));
        const Want want{"default", {"suspect"}, 1};
        REQUIRE(store->claim({&want, 1}, victim, ClaimMode::ordinary, now)->jobs.size() == 1);
        REQUIRE(store->recover(victim, 1, Loss::crash, 10, now));
    }
    REQUIRE(store->change(Selection{std::vector{suspect}}, Change{.action = Action::promote}, 1, {}, system_clock().wall()));
    Counter at_once, ran;
    int beside = -1;
    Worker worker(*store, {.queues = {{.concurrency = 4}, {.name = "other", .concurrency = 4}}});
    worker.on("k", [&](JobContext&) {
        at_once.add();
        ran.add();
        at_once.add(-1);
        return completed();
    });
    worker.on("suspect", [&](JobContext& job) {
        beside = at_once.value();
        // Whatever comes meanwhile has to wait.
        for (int i = 0; i < 20; ++i) CHECK(queue.enqueue("k", {}, {.queue = i % 2 ? "default" : "other"}));
        CHECK(running(*store) == 1);
        CHECK(job.job().crashes == 2);
        beside += at_once.value();
        return completed();
    });
    for (int i = 0; i < 50; ++i) REQUIRE(queue.enqueue("k", {}));
    REQUIRE(worker.start());
    CHECK(queue.wait(suspect, 20s)->state == JobState::completed);
    CHECK(beside == 0);
    CHECK(ran.reaches(70));
    worker.stop();
}
