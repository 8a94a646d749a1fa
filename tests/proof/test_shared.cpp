// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// One MongoDB for many processes: they are killed, it is killed, and the network between them breaks.
#include <doctest/doctest.h>

#include <cstdio>
#include <random>
#include <thread>

#include "proof/scene.hpp"
#include "support/mongo_server.hpp"
#include "support/proxy.hpp"

using namespace jobruntime;
using namespace proof;
using tests::MongoServer;

namespace {

using Steady = std::chrono::steady_clock;

const char* name_of(const MongoServer& server) {
    return server.port() == 0 ? "the server of JOBRT_TEST_MONGODB_URI" : "the stand-in SecantusDB, which is not MongoDB";
}

void report(const MongoServer& server, const std::string& what, const Findings& findings, Steady::time_point since) {
    const auto seconds = std::chrono::duration<double>(Steady::now() - since).count();
    std::printf("counts: %s, on %s: %s; %.0f s\n", what.c_str(), name_of(server), findings.counts().c_str(), seconds);
    for (const auto& complaint : findings.complaints) std::printf("  %s\n", complaint.c_str());
    std::fflush(stdout);
}

/// The stand-in manages some tens of jobs a second, so they are given to it slowly.
Cast cast_on(const std::string& address) {
    Cast cast;
    cast.address = address;
    cast.enqueuer_words = {"--pause-us", "250000", "--unique", "6", "--socket-ms", "3000"};
    cast.worker_words = {"--prefetch", "4", "--lease-ms", "5000", "--socket-ms", "3000"};
    cast.tail_words = {"--poll-ms", "100", "--socket-ms", "3000"};
    return cast;
}

Findings kill_actors(int times, const std::string& enqueuer_failpoints = "", const std::string& worker_failpoints = "") {
    auto& server = MongoServer::shared();
    const auto since = Steady::now();
    auto cast = cast_on(server.uri(server.fresh_database()));
    cast.enqueuer_failpoints = enqueuer_failpoints;
    cast.worker_failpoints = worker_failpoints;
    Scene scene(cast);
    scene.start();
    std::mt19937_64 random(std::random_device{}());
    for (int i = 0; i < times; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(100 + random() % 400));
        scene.kill_one(random());
    }
    const auto findings = scene.finish();
    report(server, "kill -9 of enqueuers, workers and readers, " + std::to_string(times) + " times", findings, since);
    return findings;
}

}  // namespace

TEST_CASE("processes killed at random moments lose nothing, repeat nothing and invent nothing on a shared store") {
    const int times = scaled(100, 8);
    const auto findings = kill_actors(times);
    CHECK(findings.sound());
    CHECK(findings.acknowledged > times / 2);
    CHECK(findings.completed >= findings.acknowledged);
}

TEST_CASE("control: with unique keys ignored the checker complains") {
    CHECK(noticed([] { return kill_actors(12, "control.ignore_unique=error").complains_of("unique"); }));
}

TEST_CASE("control: with an event dropped now and then the checker complains") {
    CHECK(noticed([] { return kill_actors(8, "", "control.drop_event=5%error").complains_of("event"); }));
}

TEST_CASE("control: with revisions ignored two workers take one job, and the checker complains") {
    CHECK(noticed([] { return kill_actors(8, "", "control.ignore_revisions=error").complained > 0; }));
}

TEST_CASE("a database that is killed and comes back under load loses nothing and tells everything once") {
    const auto server = MongoServer::own();
    if (!server) {
        std::puts("skipped: only a server of our own can be killed; set JOBRT_STANDIN");
        return;
    }
    const auto since = Steady::now();
    const int times = scaled(20, 3);
    Scene scene(cast_on(server->uri("outages")));
    scene.start();
    std::mt19937_64 random(std::random_device{}());
    for (int i = 0; i < times; ++i) {
        // Under load: something was finished since it came back.
        const auto before = scene.lines('C');
        CHECK(eventually([&] { return scene.lines('C') > before; }, std::chrono::seconds(120)));
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 500));
        server->kill();
        std::this_thread::sleep_for(std::chrono::milliseconds(random() % 500));
        server->start();
    }
    const auto findings = scene.finish();
    report(*server, "the database killed and started again, " + std::to_string(times) + " times", findings, since);
    CHECK(findings.sound());
    CHECK(findings.acknowledged > times);
    CHECK(findings.completed >= findings.acknowledged);
}

namespace {

Findings cut_connections(long times, const std::string& worker_failpoints) {
    auto& server = MongoServer::shared();
    const auto since = Steady::now();
    tests::Proxy proxy(server.port());
    const auto database = server.fresh_database();
    auto cast = cast_on("mongodb://127.0.0.1:" + std::to_string(proxy.port()) + "/" + database + "?directConnection=true");
    cast.direct = server.uri(database);
    cast.worker_failpoints = worker_failpoints;
    Scene scene(cast);
    scene.start();
    proxy.set({.every = 25, .seed = 7, .longest_delay = std::chrono::milliseconds(4'000)});
    CHECK(eventually([&] { return proxy.counts().all() >= times; }, std::chrono::seconds(400)));
    proxy.set({});
    const auto findings = scene.finish();
    const auto counts = proxy.counts();
    report(server,
           "answers cut in the middle, " + std::to_string(counts.all()) + " times (" + std::to_string(counts.drops) +
               " resets, " + std::to_string(counts.delays) + " delays, " + std::to_string(counts.half_closes) +
               " half closed)",
           findings, since);
    return findings;
}

}  // namespace

TEST_CASE("answers that are cut in the middle lose nothing, repeat nothing and invent nothing") {
    if (MongoServer::shared().port() == 0) {
        std::puts("skipped: the proxy stands before the stand-in only; set JOBRT_STANDIN and no JOBRT_TEST_MONGODB_URI");
        return;
    }
    const long times = scaled(200, 10);
    const auto findings = cut_connections(times, "");
    CHECK(findings.sound());
    CHECK(findings.acknowledged > times / 10);
    CHECK(findings.completed >= findings.acknowledged);
}

TEST_CASE("control: answers cut and events dropped, and the checker complains") {
    if (MongoServer::shared().port() == 0) return;
    CHECK(noticed([] { return cut_connections(40, "control.drop_event=5%error").complains_of("event"); }));
}
