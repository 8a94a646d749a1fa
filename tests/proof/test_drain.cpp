// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <thread>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>

#include "proof/actors.hpp"
#include "proof/address.hpp"
#include "proof/checker.hpp"
#include "proof/journal.hpp"
#ifdef PROOF_HAS_MONGO
#include "support/mongo_server.hpp"
#endif

using namespace jobruntime;
using namespace proof;

namespace {

long begun(const std::string& journal) {
    const auto said = read_journal(journal);
    return std::count_if(said.begin(), said.end(), [](const Line& line) { return line.word == 'S'; });
}

/// What became of the jobs, by the store's own words.
void look_at_jobs(const std::string& address, Findings& findings, long& interrupted) {
    auto store = open_at(address);
    REQUIRE(store.has_value());
    JobQueue queue(**store);
    JobFilter open;
    open.states = live_states;
    CHECK(eventually([&] {
        auto left = queue.list(open, {}, 1);
        return left && left->jobs.empty();
    }, std::chrono::seconds(300)));
    std::string cursor;
    do {
        auto page = queue.list({}, cursor, 500);
        REQUIRE(page.has_value());
        for (const auto& job : page->jobs) {
            if (job.state != JobState::completed || !job.errors.empty() || job.crashes != 0)
                findings.complain("failed: " + job.id.str() + " is " + std::string(to_string(job.state)));
            if (job.attempt != 1)
                findings.complain("spent: " + job.id.str() + " has " + std::to_string(job.attempt) +
                                  " attempts");
        }
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

Findings stop_under_load(const Folder& folder, const std::string& address, int stops, const char* what,
                         const std::string& failpoints) {
    // The stand-in for MongoDB manages some tens of jobs a second.
    const bool slow = is_mongo(address);
    Evidence evidence{{folder / "enqueued"}, {folder / "worker"}, {}, true};
    std::vector<std::string> environment;
    if (!failpoints.empty()) environment.push_back("JOBRT_FAILPOINTS=" + failpoints);
    ActorProcess enqueuer(
        {"enqueue", "--db", address, "--journal", evidence.enqueuers.front(), "--pause-us", slow ? "300000" : "2000"});
    // Handlers run up to 400 ms, where few run at a time up to 2 s, and the grace is 100 ms, so that some of each stop
    // are interrupted.
    const std::vector<std::string> arguments{
        "work",       "--db", address,         "--journal", evidence.workers.front(), "--run-us", slow ? "1000000" : "200000",
        "--grace-ms", "100",  "--concurrency", "16"};
    const long at_work = slow ? 4 : 16;
    enqueuer.start();
    for (int i = 0; i < stops; ++i) {
        const auto before = begun(evidence.workers.front());
        ActorProcess worker(arguments, environment);
        worker.start();
        CHECK(eventually([&] { return begun(evidence.workers.front()) >= before + at_work; }));
        // So that some have ended and others are amid their work.
        std::this_thread::sleep_for(std::chrono::milliseconds(300));
        CHECK(worker.stop());
    }
    enqueuer.kill();
    ActorProcess last({"work", "--db", address, "--journal", evidence.workers.front(), "--run-us", "100",
                "--concurrency", "16"});
    last.start();
    long interrupted = 0;
    Findings jobs;
    look_at_jobs(address, jobs, interrupted);
    CHECK(last.stop());
    auto findings = check(address, evidence);
    std::printf("counts: %s, %d times: %ld attempts given back, %ld jobs ended wrongly; %s\n", what, stops,
                interrupted, jobs.complained, findings.counts().c_str());
    for (auto& complaint : jobs.complaints) findings.complain(std::move(complaint));
    for (std::size_t i = 0; i < findings.complaints.size() && i < 10; ++i)
        std::printf("  %s\n", findings.complaints[i].c_str());
    CHECK(interrupted > 0);
    return findings;
}

}  // namespace

TEST_CASE("a worker stopped in good order under load fails no job and spends no attempt") {
    const Folder folder;
    CHECK(stop_under_load(folder, folder / "jobs.db", scaled(20, 3), "stopped under load", "").sound());
}

TEST_CASE("control: when a stopped attempt is charged the checker complains") {
    const Folder folder;
    CHECK(stop_under_load(folder, folder / "jobs.db", 2, "control: stops are charged", "control.charge_release=error")
              .complains_of("spent"));
}

#ifdef PROOF_HAS_MONGO
TEST_CASE("a worker of a shared store that is stopped in good order fails no job and spends no attempt") {
    auto& server = tests::MongoServer::shared();
    const Folder folder;
    const int stops = scaled(server.port() == 0 ? 20 : 6, 3);
    tests::say_fewer(server, stops, "stops under load", 20);
    CHECK(stop_under_load(folder, server.uri(server.fresh_database()), stops,
                          "stopped under load, on MongoDB or its stand-in", "")
              .sound());
}
#endif
