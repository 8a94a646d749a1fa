// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>

#include "proof/actors.hpp"
#include "proof/address.hpp"
#include "proof/checker.hpp"
#include "proof/journal.hpp"
#include "proof/scene.hpp"
#ifdef PROOF_HAS_MONGO
#include "support/mongo_server.hpp"
#endif

using namespace jobruntime;
using namespace proof;

namespace {

/// Back-off after crashes is passed over, as an operator's "run now" does.
void promote_all(JobQueue& queue) {
    Change promote;
    promote.action = Action::promote;
    JobFilter waiting;
    waiting.states = {JobState::scheduled};
    (void)queue.change_all(waiting, promote).has_value();
}

bool none_open(JobQueue& queue) {
    JobFilter open;
    open.states = live_states;
    auto left = queue.list(open, {}, 1);
    return left && left->jobs.empty();
}

std::vector<std::string> armed(const std::string& failpoints) {
    if (failpoints.empty()) return {};
    return {"JOBRT_FAILPOINTS=" + failpoints};
}

/// The poison ended by the crash rule; the others completed with one attempt, and none went down with it once
/// it had to run alone, which is after two crashes.
void look_at_jobs(JobQueue& queue, JobId poison, int good, Findings& findings) {
    auto jobs = queue.list({}, {}, 500);
    REQUIRE(jobs.has_value());
    for (const auto& job : jobs->jobs) {
        if (job.id == poison) {
            if (job.state != JobState::failed || job.errors.empty() ||
                job.errors.back().code != "CRASH_LIMIT")
                findings.complain("poison: it is " + std::string(to_string(job.state)));
            if (job.attempt != 0)
                findings.complain("charged: the poison job has " + std::to_string(job.attempt) + " attempts");
            continue;
        }
        findings.completed += job.state == JobState::completed;
        if (job.attempt != 1)
            findings.complain("charged: a good job has " + std::to_string(job.attempt) + " attempts");
        const auto crashes = std::count_if(job.errors.begin(), job.errors.end(),
                                           [](const auto& error) { return error.code == "PROCESS_CRASHED"; });
        if (crashes > 2)
            findings.complain("alone: a good job went down " + std::to_string(crashes) + " times");
    }
    if (findings.completed != good)
        findings.complain("good: only " + std::to_string(findings.completed) + " completed");
}

Findings take_poison(const Folder& folder, const std::string& address, int good, const char* what,
                     const std::string& failpoints) {
    auto store = open_at(address);
    REQUIRE(store.has_value());
    JobQueue queue(**store);
    JobId poison;
    for (int i = 0; i <= good; ++i) {
        auto job = queue.enqueue("proof.job", boost::json::object{{"n", i}, {"poison", i == good / 2}});
        REQUIRE(job.has_value());
        if (i == good / 2) poison = job->id;
    }
    ActorProcess worker({"work", "--db", address, "--journal", folder / "worker", "--concurrency", "4", "--run-us",
                  "3000", "--prefetch", "8", "--lease-ms", is_mongo(address) ? "3000" : "30000"},
                 armed(failpoints));
    int deaths = 0;
    worker.start();
    // A supervisor that starts the worker again whenever it dies.
    CHECK(eventually(
        [&] {
            if (worker.ended()) {
                ++deaths;
                worker.start();
            }
            promote_all(queue);
            return none_open(queue);
        },
        std::chrono::seconds(250)));
    CHECK(worker.stop());
    Findings findings;
    if (deaths != 4) findings.complain("deaths: there were " + std::to_string(deaths));
    look_at_jobs(queue, poison, good, findings);
    std::printf("counts: %s: %d deaths, %ld of %d good jobs completed, %ld complaints\n", what, deaths,
                findings.completed, good, findings.complained);
    for (const auto& complaint : findings.complaints) std::printf("  %s\n", complaint.c_str());
    return findings;
}

/// Seconds until a hundred jobs of a killed process run again in another.
double take_over(const char* what, Duration lease, const std::string& failpoints) {
    const int running = 100;
    Folder folder;
    const auto database = folder / "jobs.db";
    auto store = sqlite::open(database);
    REQUIRE(store.has_value());
    JobQueue queue(**store);
    auto arguments = [&](const std::string& name) {
        return std::vector<std::string>{"work",
                                        "--db",
                                        database,
                                        "--journal",
                                        folder / name,
                                        "--concurrency",
                                        "100",
                                        "--run-us",
                                        "600000000",
                                        "--prefetch",
                                        "0",
                                        "--watch-ms",
                                        "500",
                                        "--grace-ms",
                                        "0",
                                        "--synced",
                                        "0",
                                        "--lease-ms",
                                        std::to_string(lease.count())};
    };
    auto begun = [&](const std::string& name) {
        std::size_t count = 0;
        for (const auto& line : read_journal(folder / name)) count += line.word == 'S';
        return count;
    };
    ActorProcess first(arguments("first")), second(arguments("second"), armed(failpoints));
    first.start();
    std::vector<JobSpec> jobs(running, {"proof.job", {}, {}});
    REQUIRE(queue.enqueue_many(jobs).has_value());
    REQUIRE(eventually([&] { return begun("first") == running; }));
    second.start();
    REQUIRE(eventually([&] {
        auto sessions = (*store)->sessions();
        return sessions && sessions->size() == 2;
    }));
    const auto killed = std::chrono::steady_clock::now();
    first.kill();
    REQUIRE(eventually([&] { return begun("second") >= running; }, std::chrono::seconds(25)));
    const auto took = std::chrono::duration<double>(std::chrono::steady_clock::now() - killed).count();
    std::printf("counts: %s with %d jobs running: all running again after at most %.2f s\n", what, running,
                took);
    CHECK(second.stop());
    auto claimed = queue.list({}, {}, 500);
    REQUIRE(claimed.has_value());
    for (const auto& job : claimed->jobs) CHECK(job.crashes == 1);
    return took;
}

}  // namespace

TEST_CASE(
    "a poison job ends by the crash rule, and a hundred good ones beside it end well with no attempt charged "
    "wrongly") {
    const Folder folder;
    CHECK(take_poison(folder, folder / "jobs.db", scaled(100, 20), "poison", "").sound());
}

#ifdef PROOF_HAS_MONGO
TEST_CASE("a poison job of a shared store ends by the crash rule, too") {
    auto& server = tests::MongoServer::shared();
    const Folder folder;
    const int good = scaled(server.port() == 0 ? 100 : 20, 10);
    tests::say_fewer(server, good, "good jobs beside a poison one", 100);
    CHECK(take_poison(folder, server.uri(server.fresh_database()), good, "poison, on MongoDB or its stand-in", "").sound());
}
#endif

TEST_CASE("control: when a job that crashes is not kept alone the checker complains of its neighbours") {
    CHECK(noticed([] {
        const Folder folder;
        const auto findings = take_poison(folder, folder / "jobs.db", 20, "control: poison among the others",
                                          "control.ignore_solitary=error");
        return findings.complains_of("alone") || findings.complains_of("good");
    }));
}

TEST_CASE("a hundred running jobs of a killed process run again elsewhere on the host within a second") {
    // A busy machine may need other tries; who does not see the death would need a lease in each, and who saw it after up
    // to ten seconds would hardly come to three.
    int prompt = 0;
    for (int round = 0; round < 10 && prompt < 3; ++round) prompt += take_over("kill -9", Duration{30'000}, "") < 1;
    CHECK(prompt == 3);
}

TEST_CASE("control: when nobody sees a death on this host the jobs wait for the lease") {
    CHECK(take_over("control: kill -9 that nobody sees", Duration{6'000}, "control.ignore_deaths=error") > 1);
}
