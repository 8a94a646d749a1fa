// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <stdexcept>

#include <boost/json/serialize.hpp>

#include <jobruntime/testing/harness.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;
using testing::Harness;

TEST_CASE("every outcome leads where it says") {
    struct Row {
        const char* name;
        Handler handler;
        JobState state;
        int attempt;
        const char* code;   // Of the last error; "" = none was kept.
    };
    const std::vector<Row> rows = {
        {"completed", [](JobContext&) { return completed({{"ok", true}}); }, JobState::completed, 1, ""},
        {"retry", [](JobContext&) { return retry("SMTP_DOWN", "refused"); }, JobState::scheduled, 1, "SMTP_DOWN"},
        {"snooze", [](JobContext&) { return snooze(5min, "not yet"); }, JobState::scheduled, 0, ""},
        {"failed", [](JobContext&) { return failed("NO_SUCH_USER", "gone"); }, JobState::failed, 1, "NO_SUCH_USER"},
        {"canceled", [](JobContext&) { return canceled(); }, JobState::canceled, 1, ""},
        {"code made clean", [](JobContext&) { return failed("no such-user", "gone"); }, JobState::failed, 1, "NO_SUCH_USER"},
        {"no code", [](JobContext&) { return failed("", "gone"); }, JobState::failed, 1, "FAILED"},
        {"exception", [](JobContext&) -> Outcome { throw std::runtime_error("boom"); }, JobState::scheduled, 1, "EXCEPTION"},
        {"no std::exception", [](JobContext&) -> Outcome { throw 7; }, JobState::scheduled, 1, "EXCEPTION"},
        {"no memory", [](JobContext&) -> Outcome { throw std::bad_alloc(); }, JobState::scheduled, 1, "EXCEPTION"},
        {"result too large", [](JobContext&) { return completed(boost::json::string(limits::result, 'x')); }, JobState::failed, 1,
         "RESULT_TOO_LARGE"},
        {"kind of no outcome",
         [](JobContext&) {
             Outcome outcome;
             outcome.kind = static_cast<Outcome::Kind>(99);
             return outcome;
         },
         JobState::failed, 1, "INVALID_OUTCOME"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        Harness jobs;
        jobs.on("k", row.handler);
        const auto id = jobs.enqueue("k");
        CHECK(jobs.run_one());
        const auto job = jobs.job(id);
        CHECK(job.state == row.state);
        CHECK(job.attempt == row.attempt);
        CHECK((job.errors.empty() ? "" : job.errors.back().code) == row.code);
        CHECK_FALSE(jobs.run_one());
    }
}

TEST_CASE("retries back off by the policy and end failed with the last code when attempts are used up") {
    Harness jobs;
    int runs = 0;
    jobs.on("k", [&](JobContext&) { return retry("TRY" + std::to_string(++runs), "again"); });
    const auto id = jobs.enqueue("k", {}, {.max_attempts = 3});
    for (int attempt = 1; attempt < 3; ++attempt) {
        CHECK(jobs.run_one());
        const auto job = jobs.job(id);
        CHECK(job.state == JobState::scheduled);
        const auto base = Duration{5'000} * (1 << attempt);
        const auto wait = job.run_at - jobs.clock().wall();
        CHECK(wait >= base * 9 / 10);
        CHECK(wait <= base * 11 / 10);
        jobs.advance(wait - 1ms);
        CHECK_FALSE(jobs.run_one());
        jobs.advance(1ms);
    }
    CHECK(jobs.run_one());
    const auto job = jobs.job(id);
    CHECK(job.state == JobState::failed);
    CHECK(job.attempt == 3);
    REQUIRE(job.errors.size() == 3);
    CHECK(job.errors.back().code == "TRY3");
}

TEST_CASE("a wait of the handler's own, a kind's policy, and exceptions that are not retried") {
    Harness jobs;
    jobs.on("own", [](JobContext&) { return retry("X", "x", 90s); });
    jobs.on("policy", [](JobContext&) { return retry("X", "x"); },
            {.backoff = {.base = Duration{1'000}, .cap = Duration{1'500}, .jitter = 0}});
    jobs.on("strict", [](JobContext&) -> Outcome { throw std::runtime_error("boom"); }, {.retry_exceptions = false});
    jobs.on("negative", [](JobContext&) { return snooze(-5s, "now"); });
    const auto own = jobs.enqueue("own");
    const auto policy = jobs.enqueue("policy");
    const auto strict = jobs.enqueue("strict");
    CHECK(jobs.drain() == 3);
    CHECK(jobs.job(own).run_at == jobs.clock().wall() + 90s);
    CHECK(jobs.job(policy).run_at == jobs.clock().wall() + 1500ms);
    CHECK(jobs.job(strict).state == JobState::failed);
    CHECK(jobs.job(strict).errors.back().message == "boom");
}

TEST_CASE("secrets do not get into errors, logs or events, and long messages are cut") {
    Harness jobs;
    jobs.on("k", [](JobContext& job) {
        job.log("fetching https://user:hunter2@example.org/");
        job.event("worker.job.fetch", {{"url", "https://user:hunter2@example.org/"}});
        return failed("BAD", "https://user:hunter2@example.org/ " + std::string(2 * limits::message, 'x'));
    });
    const auto id = jobs.enqueue("k");
    jobs.run_one();
    const auto message = jobs.job(id).errors.back().message;
    CHECK(message.size() <= limits::message);
    CHECK(message.find("hunter2") == std::string::npos);
    EventFilter all;
    const auto page = jobs.store().events(0, all, 100);
    REQUIRE(page);
    for (const auto& event : page->events)
        CHECK(boost::json::serialize(event.fields).find("hunter2") == std::string::npos);
}

TEST_CASE("an attempt that took longer than its deadline ends as a retry with DEADLINE, unless it completed") {
    Harness jobs;
    jobs.on("late", [&](JobContext& job) {
        CHECK(job.deadline());
        CHECK_FALSE(job.stop().stop_requested());
        jobs.advance(2min);
        CHECK(job.stop().stop_requested());
        CHECK(job.stop_reason() == StopReason::deadline);
        return job.job().payload.contains("completes") ? completed() : failed("STOPPED", "asked to stop");
    }, {.deadline = 1min});
    const auto late = jobs.enqueue("late");
    const auto done = jobs.enqueue("late", {{"completes", true}});
    const auto last = jobs.enqueue("late", {}, {.max_attempts = 1});
    for (int i = 0; i < 3; ++i) CHECK(jobs.run_one());
    CHECK_FALSE(is_final(jobs.job(late).state));
    CHECK(jobs.job(late).attempt == 1);
    CHECK(jobs.job(late).errors.back().code == "DEADLINE");
    CHECK(jobs.job(done).state == JobState::completed);
    CHECK(jobs.job(last).state == JobState::failed);
    CHECK(jobs.job(last).errors.back().code == "DEADLINE");
}

TEST_CASE("a worker asks only for kinds it knows and queues it serves, the most urgent first") {
    Harness jobs({.queues = {{.name = "default"}, {.name = "mail"}}});
    std::string order;
    jobs.on("k", [&](JobContext& job) {
        order += std::string(job.job().payload.at("name").as_string());
        return completed();
    });
    const auto unknown = jobs.enqueue("other");
    const auto elsewhere = jobs.enqueue("k", {{"name", "x"}}, {.queue = "slow"});
    jobs.enqueue("k", {{"name", "c"}}, {.priority = 5});
    jobs.enqueue("k", {{"name", "a"}}, {.priority = -5});
    jobs.enqueue("k", {{"name", "b"}});
    CHECK(jobs.drain() == 3);
    CHECK(order == "abc");
    CHECK(jobs.job(unknown).state == JobState::queued);
    CHECK(jobs.job(elsewhere).state == JobState::queued);
    jobs.enqueue("k", {{"name", "m"}}, {.queue = "mail"});
    CHECK(jobs.drain() == 1);
}

TEST_CASE("a worker that cannot work says why") {
    auto store_holder = Harness();
    auto& store = store_holder.store();
    const auto refused = [&](WorkerOptions options, std::string_view kind, Handler handler) {
        Worker worker(store, std::move(options));
        worker.on(kind, std::move(handler));
        const auto started = worker.start();
        return !started && started.error().code == Errc::invalid_argument;
    };
    const Handler good = [](JobContext&) { return completed(); };
    CHECK(refused({}, "Bad Kind", good));
    CHECK(refused({}, "k", nullptr));
    CHECK(refused({.queues = {}}, "k", good));
    CHECK(refused({.queues = {{.name = "Bad Queue"}}}, "k", good));
    CHECK(refused({.queues = {{.concurrency = 5000}}}, "k", good));
    CHECK(refused({.queues = {{.concurrency = -1}}}, "k", good));
    CHECK(refused({.queues = {{.name = "a"}, {.name = "a"}}}, "k", good));
    WorkerOptions short_lease;
    short_lease.heartbeat.lease = Duration{15'000};
    CHECK(refused(short_lease, "k", good));
    Worker none(store);
    CHECK(none.start().error().code == Errc::invalid_argument);
    Worker twice(store);
    twice.on("k", good);
    REQUIRE(twice.start());
    CHECK(twice.start().error().code == Errc::invalid_argument);
    CHECK(twice.run_one().error().code == Errc::invalid_argument);
}
