// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <algorithm>

#include <jobruntime/testing/faulty_store.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/testing/harness.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;
using testing::Harness;

namespace {

std::vector<Event> events_named(Store& store, std::string_view name) {
    EventFilter filter;
    filter.name_prefix = name;
    std::vector<Event> events;
    EventId after = 0;
    while (true) {
        const auto page = store.events(after, filter, 500);
        REQUIRE(page);
        events.insert(events.end(), page->events.begin(), page->events.end());
        if (page->events.size() < 500) return events;
        after = page->next;
    }
}

}  // namespace

TEST_CASE("a stored step does not run again, in whatever attempt") {
    Harness jobs;
    int downloads = 0;
    int runs = 0;
    jobs.on("k", [&](JobContext& job) -> Outcome {
        ++runs;
        auto file = job.step("download", [&]() -> Result<boost::json::value> { return boost::json::value(++downloads * 10); });
        if (!file) return failed("STEP", file.error().message);
        const auto again = job.step("download", []() -> Result<boost::json::value> { return boost::json::value("never"); });
        CHECK(again.value() == *file);
        if (runs < 3) return retry("MUX", "crashed", 1s);
        return completed(*file);
    });
    const auto id = jobs.enqueue("k");
    for (int i = 0; i < 3; ++i) {
        CHECK(jobs.run_one());
        jobs.advance(1s);
    }
    const auto job = jobs.job(id);
    CHECK(job.state == JobState::completed);
    CHECK(job.result == 10);
    CHECK(downloads == 1);
    CHECK(runs == 3);
}

TEST_CASE("errors of a step are passed on and not stored; a forgotten step runs again; sizes are bounded") {
    Harness jobs;
    int tries = 0;
    jobs.on("k", [&](JobContext& job) -> Outcome {
        const auto one = [&]() -> Result<boost::json::value> { return boost::json::value(++tries); };
        const auto bad = job.step("s", []() -> Result<boost::json::value> { return Error{Errc::timed_out, "SLOW", "too slow"}; });
        CHECK(bad.error().name == "SLOW");
        CHECK(job.step("s", one).value() == 1);
        CHECK(job.forget("s"));
        CHECK(job.step("s", one).value() == 2);
        const auto large = job.step("large", []() -> Result<boost::json::value> { return boost::json::value(std::string(limits::result, 'x')); });
        CHECK(large.error().name == "RESULT_TOO_LARGE");
        CHECK(job.step("", one).error().code == Errc::invalid_argument);
        CHECK(job.step(std::string(65, 'x'), one).error().code == Errc::invalid_argument);
        for (std::size_t i = 1; i < limits::steps; ++i) CHECK(job.step("n" + std::to_string(i), one));
        const int before = tries;
        CHECK(job.step("one too many", one).error().name == "STEP_LIMIT");
        CHECK(tries == before);
        return completed();
    });
    const auto id = jobs.enqueue("k");
    CHECK(jobs.run_one());
    CHECK(jobs.job(id).state == JobState::completed);
    CHECK(jobs.job(id).steps.size() == limits::steps);
}

TEST_CASE("a step is tried again while the store is unavailable, and a lost lease ends it as canceled") {
    auto inner = memory::open();
    testing::FaultyStore store(*inner);
    Harness jobs({.store = &store});
    jobs.on("outage", [&](JobContext& job) -> Outcome {
        store.fail_next(Errc::unavailable, 3);
        CHECK(job.step("s", []() -> Result<boost::json::value> { return boost::json::value(1); }));
        store.fail_next(Errc::unavailable, 50);
        const auto never = job.step("t", []() -> Result<boost::json::value> { return boost::json::value(1); });
        CHECK(never.error().code == Errc::unavailable);
        store.heal();
        return completed();
    });
    jobs.on("lost", [&](JobContext& job) -> Outcome {
        const auto sessions = inner->sessions();
        REQUIRE(sessions);
        const auto taken = inner->recover(jobs.worker().session(), sessions->front().beat, Loss::crash, 10, jobs.clock().wall());
        CHECK(taken->mine);
        const auto step = job.step("s", []() -> Result<boost::json::value> { return boost::json::value(1); });
        CHECK(step.error().code == Errc::canceled);
        CHECK(job.stop().stop_requested());
        CHECK(job.stop_reason() == StopReason::lease_lost);
        bool ran = false;
        CHECK_FALSE(job.step("t", [&]() -> Result<boost::json::value> { ran = true; return boost::json::value(1); }));
        CHECK_FALSE(ran);
        return completed();
    });
    const auto id = jobs.enqueue("outage");
    CHECK(jobs.run_one());
    CHECK(jobs.job(id).state == JobState::completed);
    const auto lost = jobs.enqueue("lost");
    CHECK(jobs.run_one());
    CHECK(jobs.job(lost).state == JobState::queued);
    CHECK(jobs.worker().stats().conflicts == 1);
}

TEST_CASE("progress is written coalesced, and the newest always arrives") {
    Harness jobs;
    jobs.on("k", [&](JobContext& job) {
        for (int i = 0; i <= 100; ++i) job.progress(i, "download", "part " + std::to_string(i));
        return completed();
    });
    jobs.on("odd", [&](JobContext& job) {
        job.progress(1e9, std::string(500, 's'), std::string(5'000, 'm'));
        return completed();
    });
    const auto id = jobs.enqueue("k");
    const auto odd = jobs.enqueue("odd");
    CHECK(jobs.drain() == 2);
    CHECK(jobs.job(id).progress == Progress{100.0, "download", "part 100"});
    CHECK(jobs.job(odd).progress.percent == 100.0);
    CHECK(jobs.job(odd).progress.stage.size() == limits::name);
    CHECK(jobs.job(odd).progress.message.size() == 1024);
    const auto events = events_named(jobs.store(), "worker.job.progress");
    REQUIRE(events.size() == 2);
    CHECK(events[0].fields.at("percent") == 100.0);
    CHECK(events[0].job == id);
}

TEST_CASE("log lines become events and are bounded") {
    Harness jobs;
    jobs.on("k", [&](JobContext& job) {
        for (std::size_t i = 0; i < 2 * limits::log_lines; ++i) job.log("line " + std::to_string(i), Level::warn);
        for (std::size_t i = 0; i < 2 * limits::log_lines; ++i) job.event("worker.job.own", {{"i", i}, {"deep", {{"a", 1}}}});
        job.event("worker.job.huge", {{"a", 1}});
        return completed();
    });
    jobs.enqueue("k");
    CHECK(jobs.run_one());
    const auto lines = events_named(jobs.store(), "worker.job.log");
    CHECK(lines.size() == limits::log_lines + 2);
    CHECK(lines.front().fields.at("line") == "line 0");
    CHECK(lines.front().level == Level::warn);
    CHECK(lines[limits::log_lines].fields.at("truncated") == true);
    const auto own = events_named(jobs.store(), "worker.job.own");
    CHECK(own.size() == limits::log_lines);
    CHECK(own.front().fields.at("deep") == R"({"a":1})");
    CHECK(events_named(jobs.store(), "worker.job.huge").empty());
}

TEST_CASE("the program's sink sees what the store logs, and nothing twice") {
    Harness jobs;
    jobs.on("k", [&](JobContext& job) {
        job.log("hello");
        return completed();
    });
    const auto id = jobs.enqueue("k");
    CHECK(jobs.run_one());
    const auto page = jobs.store().events(0, EventFilter{.job = id}, 100);
    REQUIRE(page);
    std::vector<std::string> stored;
    for (const auto& event : page->events) stored.push_back(event.name);
    std::vector<std::string> seen;
    for (const auto& event : jobs.sink().events())
        if (event.job == id) seen.push_back(event.name);
    CHECK(seen == stored);
    CHECK(stored == std::vector<std::string>{"jobs.create.queued", "worker.job.claimed", "worker.job.log", "worker.job.completed"});
    const auto first = jobs.sink().find("worker.job.completed");
    REQUIRE(first);
    CHECK(first->fields == page->events.back().fields);
}

TEST_CASE("progress and log lines may be kept out of the store, and still reach the sink; other events stay") {
    for (const bool stored : {true, false}) {
        auto store = memory::open();
        testing::RecordingSink sink;
        WorkerOptions options;
        options.sink = &sink;
        options.store_progress = stored;
        Worker worker(*store, options);
        worker.on("k", [](JobContext& job) {
            job.progress(50, "half");
            job.log("a line");
            job.event("worker.job.extraction.started");
            return completed();
        });
        JobQueue queue(*store);
        REQUIRE(queue.enqueue("k", boost::json::object{}));
        REQUIRE(worker.run_one().value());
        CHECK(sink.count("worker.job.progress") == 1);
        CHECK(sink.count("worker.job.log") == 1);
        CHECK(events_named(*store, "worker.job.progress").size() == (stored ? 1 : 0));
        CHECK(events_named(*store, "worker.job.log").size() == (stored ? 1 : 0));
        CHECK(events_named(*store, "worker.job.extraction.started").size() == 1);
        CHECK(events_named(*store, "worker.job.completed").size() == 1);
    }
}
