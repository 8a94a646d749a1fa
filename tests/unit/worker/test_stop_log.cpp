// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <mutex>
#include <string>
#include <vector>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/worker.hpp>

#include "gate.hpp"

using namespace jobruntime;
using namespace std::chrono_literals;

TEST_CASE("a worker that stops says what it waits for, and again when it asks the running to stop") {
    auto store = memory::open();
    JobQueue queue(*store);
    std::mutex mutex;
    std::vector<std::string> lines;
    WorkerOptions options;
    options.queues = {{.concurrency = 3}};
    options.grace = 1ms;
    options.log = [&](std::string_view line) {
        const std::lock_guard lock(mutex);
        lines.emplace_back(line);
    };
    std::vector<JobId> ids;
    {
        Worker worker(*store, options);
        Counter started;
        const auto patient = [&](JobContext& job) {
            started.add();
            Counter stopped;
            const std::stop_callback callback(job.stop(), [&] { stopped.add(); });
            CHECK(stopped.reaches(1));
            return completed();
        };
        worker.on("slow.one", patient);
        worker.on("slow.two", patient);
        REQUIRE(worker.start());
        ids.push_back(queue.enqueue("slow.one", {})->id);
        ids.push_back(queue.enqueue("slow.two", {})->id);
        CHECK(started.reaches(2));
    }
    std::vector<std::string> waits;
    for (const auto& line : lines)
        if (line.find("running jobs") != std::string::npos) waits.push_back(line);
    REQUIRE(waits.size() == 2);
    for (const auto& line : waits) {
        CAPTURE(line);
        CHECK(line.find("2 running jobs") != std::string::npos);
        CHECK(line.find("slow.one " + ids[0].str()) != std::string::npos);
        CHECK(line.find("slow.two " + ids[1].str()) != std::string::npos);
    }
    CHECK(waits[0].find("waiting for 2") != std::string::npos);
    CHECK(waits[0].find("at most 1 ms") != std::string::npos);
    CHECK(waits[1].find("asked to stop") != std::string::npos);
    CHECK(waits[1].find("at most 40000 ms") != std::string::npos);
}

TEST_CASE("one job that a worker waits for is one, and what it takes over is told when there is any") {
    auto store = memory::open();
    JobQueue queue(*store);
    const auto gone = [&](unsigned char number, std::string_view kind) {
        SessionId session;
        session.bytes.fill(number);
        REQUIRE(store->beat(session, {.works = true, .kinds = {std::string(kind)}}, system_clock().wall()));
        const Want want{"default", {std::string(kind)}, 1};
        return store->claim({&want, 1}, session, ClaimMode::ordinary, system_clock().wall())->jobs.size();
    };
    const auto id = queue.enqueue("slow", {})->id;
    CHECK(gone(1, "slow") == 1);
    CHECK(gone(2, "other") == 0);
    std::mutex mutex;
    std::vector<std::string> lines;
    WorkerOptions options;
    options.grace = 1ms;
    options.heartbeat.beat = 10ms;
    options.heartbeat.lease = 50ms;
    options.log = [&](std::string_view line) {
        const std::lock_guard lock(mutex);
        lines.emplace_back(line);
    };
    {
        Worker worker(*store, options);
        Counter started;
        worker.on("slow", [&](JobContext& job) {
            started.add();
            Counter stopped;
            const std::stop_callback callback(job.stop(), [&] { stopped.add(); });
            CHECK(stopped.reaches(1));
            return completed();
        });
        REQUIRE(worker.start());
        CHECK(started.reaches(1));
        // Both sessions are seen to be gone, in one look or the other.
        CHECK(eventually([&] {
            const auto sessions = *store->sessions();
            return std::ranges::count_if(sessions, [](const SessionInfo& info) { return info.declared_dead; }) == 2;
        }));
    }
    std::string all;
    for (const auto& line : lines) all += line + "\n";
    INFO(all);
    CHECK(all.find("took 1 job from session") != std::string::npos);
    CHECK(all.find("took 0") == std::string::npos);
    CHECK(all.find("waiting for 1 running job,") != std::string::npos);
    CHECK(all.find(id.str()) != std::string::npos);
}

TEST_CASE("a worker with nothing to wait for says nothing of waiting") {
    auto store = memory::open();
    std::vector<std::string> lines;
    {
        Worker worker(*store, {.log = [&](std::string_view line) { lines.emplace_back(line); }});
        worker.on("k", [](JobContext&) { return completed(); });
        REQUIRE(worker.start());
    }
    CHECK(lines.empty());
}
