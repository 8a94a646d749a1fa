// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "proof/address.hpp"
#include "proof/scene.hpp"
#ifdef PROOF_HAS_MONGO
#include "support/mongo_server.hpp"
#endif

using namespace jobruntime;
using namespace proof;

namespace {

/// Eight workers in four processes; jobs come while they work.
Findings run(Cast cast, const std::string& where, int jobs, const std::string& worker_failpoints) {
    const auto since = std::chrono::steady_clock::now();
    cast.enqueuers = 2;
    cast.workers = 4;
    cast.worker_failpoints = worker_failpoints;
    cast.enqueuer_words.insert(cast.enqueuer_words.end(), {"--limit", std::to_string(jobs / 2)});
    cast.worker_words.insert(cast.worker_words.end(), {"--workers", "2", "--concurrency", "2", "--prefetch", "4"});
    Scene scene(cast);
    scene.start();
    // An enqueuer makes up to three more than its limit, since it makes them in groups.
    // They end by themselves: who is killed amid a group has stored jobs of which nobody was told.
    const std::chrono::seconds patience(is_mongo(cast.address) ? std::max(250, jobs) : 250);
    CHECK(eventually([&] { return scene.enqueuers_ended(); }, patience));
    const auto findings = scene.finish(patience);
    const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
    std::printf("counts: 8 workers in 4 processes on %s: %s; %.0f s\n", where.c_str(), findings.counts().c_str(), seconds);
    for (const auto& complaint : findings.complaints) std::printf("  %s\n", complaint.c_str());
    std::fflush(stdout);
    return findings;
}

void check_once(const Findings& findings, int jobs) {
    CHECK(findings.sound());
    CHECK(findings.acknowledged >= jobs / 2 * 2);
    CHECK(findings.runs == findings.acknowledged);
    CHECK(findings.completed == findings.acknowledged);
    CHECK(findings.recovered == 0);
}

}  // namespace

TEST_CASE("eight workers in four processes run each job of a SQLite file once") {
    Folder folder;
    const int jobs = scaled(2000, 100);
    check_once(run({.address = "sqlite:" + folder / "jobs.db"}, "SQLite", jobs, ""), jobs);
}

TEST_CASE("control: eight workers that drop an event, and the checker complains") {
    Folder folder;
    CHECK(run({.address = "sqlite:" + folder / "jobs.db"}, "SQLite, control: events dropped", 200, "control.drop_event=40*error").complains_of("event"));
}

#ifdef PROOF_HAS_MONGO
namespace {

Cast cast_on(tests::MongoServer& server) {
    Cast cast;
    cast.address = server.uri(server.fresh_database());
    // Nobody gives an answer up: what was stored for nobody, or claimed by nobody, would count as run twice or never.
    cast.enqueuer_words = {"--pause-us", "20000", "--socket-ms", "120000"};
    cast.worker_words = {"--lease-ms", "300000", "--socket-ms", "120000"};
    cast.tail_words = {"--poll-ms", "500"};
    return cast;
}

}  // namespace

TEST_CASE("eight workers in four processes run each job of a shared database once") {
    auto& server = tests::MongoServer::shared();
    const bool stand_in = server.port() != 0;
    const int jobs = scaled(stand_in ? 300 : 2000, 40);
    const auto since = std::chrono::steady_clock::now();
    check_once(run(cast_on(server), stand_in ? "the stand-in SecantusDB" : "the given MongoDB", jobs, ""), jobs);
    if (!stand_in) return;
    const auto seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - since).count();
    if (jobs < 2000)
        std::printf("counts: %d jobs here instead of 2,000: MongoDB's stand-in SecantusDB did %.1f jobs a second, so 2,000 would take %.0f s\n",
                    jobs, jobs / seconds, 2000 * seconds / jobs);
    std::fflush(stdout);
}

TEST_CASE("control: with revisions ignored two workers take one job, and the checker complains") {
    auto& server = tests::MongoServer::shared();
    CHECK(noticed([&] {
        const auto findings = run(cast_on(server), "the same, control: revisions ignored", 60, "control.ignore_revisions=error");
        return !findings.sound() && findings.runs > findings.acknowledged;
    }));
}
#endif
