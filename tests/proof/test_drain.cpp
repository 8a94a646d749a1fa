// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <cstdio>
#include <thread>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>

#include "proof/actors.hpp"
#include "proof/checker.hpp"

using namespace jobruntime;
using namespace proof;

TEST_CASE("a worker stopped in good order under load fails no job and spends no attempt") {
    Folder folder;
    const auto database = folder / "jobs.db";
    const int stops = scaled(20, 3);
    Evidence evidence{{folder / "enqueued"}, {folder / "worker"}, {}, true};
    Actor enqueuer({"enqueue", "--db", database, "--journal", evidence.enqueuers.front(), "--pause-us", "2000"});
    // Handlers run up to 400 ms and the grace is 100 ms, so that some of each stop are interrupted.
    const std::vector<std::string> arguments{"work", "--db", database, "--journal", evidence.workers.front(), "--run-us",
                                             "200000", "--grace-ms", "100", "--concurrency", "16"};
    enqueuer.start();
    for (int i = 0; i < stops; ++i) {
        Actor worker(arguments);
        worker.start();
        std::this_thread::sleep_for(std::chrono::milliseconds(500));
        CHECK(worker.stop());
    }
    enqueuer.kill();
    Actor last({"work", "--db", database, "--journal", evidence.workers.front(), "--run-us", "100", "--concurrency", "16"});
    last.start();
    long interrupted = 0, wrong = 0;
    {
        auto store = sqlite::open(database);
        REQUIRE(store.has_value());
        JobQueue queue(**store);
        JobFilter open;
        open.states = live_states;
        CHECK(eventually([&] {
            auto left = queue.list(open, {}, 1);
            return left && left->jobs.empty();
        }));
        std::string cursor;
        do {
            auto page = queue.list({}, cursor, 500);
            REQUIRE(page.has_value());
            for (const auto& job : page->jobs)
                wrong += job.state != JobState::completed || job.attempt != 1 || !job.errors.empty() || job.crashes != 0;
            cursor = page->next_cursor;
        } while (!cursor.empty());
        EventId after = 0;
        EventFilter released;
        released.name_prefix = "worker.job.released";
        for (;;) {
            auto page = (*store)->events(after, released, 2000);
            REQUIRE(page.has_value());
            interrupted += static_cast<long>(page->events.size());
            if (page->next == after || page->events.empty()) break;
            after = page->next;
        }
    }
    CHECK(last.stop());
    const auto findings = check(database, evidence);
    std::printf("counts: stopped under load, %d times: %ld attempts given back, %ld jobs ended wrongly; %s\n", stops, interrupted,
                wrong, findings.counts().c_str());
    CHECK(findings.sound());
    CHECK(wrong == 0);
    CHECK(interrupted > 0);
}
