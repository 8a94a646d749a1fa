// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <csignal>
#include <cstdio>
#include <thread>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>

#include "core/failpoint.hpp"
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

std::size_t lines(const std::string& journal, char word) {
    std::size_t count = 0;
    for (const auto& line : read_journal(journal)) count += line.word == word;
    return count;
}

/// Where the jobs are, and how long a lease is there: a database over the network is slower than a file.
struct Place {
    std::string address;
    std::string lease_ms = "900";
};

/// Deaf: its handler does not look at its stop, as one that was frozen had no chance to.
std::vector<std::string> worker(const Place& place, const Folder& folder, const std::string& name, const std::string& run_us) {
    return {"work",
            "--db",
            place.address,
            "--journal",
            folder / name,
            "--lease-ms",
            place.lease_ms,
            "--watch-ms",
            "50",
            "--run-us",
            run_us,
            "--exact",
            "1",
            "--concurrency",
            "1",
            "--prefetch",
            "0",
            "--deaf",
            "1"};
}

/// Stops it where it holds nobody up: amid a write of its own it would have the writers' turn.
void freeze_at_work(ActorProcess& actor, const std::string& address) {
    AddressOptions options;
    options.sqlite.busy_timeout = Duration{100};
    auto other = open_at(address, options);
    REQUIRE(other.has_value());
    REQUIRE(eventually([&] {
        actor.signal(SIGSTOP);
        // That it is there already is an answer of a writer, too.
        const auto written = (*other)->put("proof.frozen", "yes", 0);
        if (written || written.error().code != Errc::unavailable) return true;
        actor.signal(SIGCONT);
        return false;
    }));
}

/// A worker frozen inside its handler past its lease, again and again; another runs the job meanwhile.
Findings freeze(const Folder& folder, const Place& place, int times, const std::string& failpoints) {
    Evidence evidence{{folder / "enqueued"}, {folder / "first", folder / "second"}, {}, true};
    std::vector<std::string> environment;
    if (!failpoints.empty()) environment.push_back("JOBRT_FAILPOINTS=" + failpoints);
    auto store = open_at(place.address);
    REQUIRE(store.has_value());
    JobQueue queue(**store);
    Journal enqueued(evidence.enqueuers.front(), false);
    int overtaken = 0;
    for (int i = 0; i < times; ++i) {
        // The first works so long that it is frozen at its work, on a busy machine, too, and no longer than its lease is
        // waited for in any case.
        ActorProcess first(worker(place, folder, "first", std::to_string(600'000 + 1'000 * std::stol(place.lease_ms))), environment);
        ActorProcess second(worker(place, folder, "second", "50000"), environment);
        first.start();
        const auto begun = lines(folder / "first", 'S');
        auto job = queue.enqueue("proof.job", boost::json::object{});
        REQUIRE(job.has_value());
        enqueued.write('A', job->id.str() + " -");
        REQUIRE(eventually([&] { return lines(folder / "first", 'S') > begun; }));
        freeze_at_work(first, place.address);
        second.start();
        auto ended = queue.wait(job->id, Duration{30'000});
        const bool by_second = ended && ended->state == JobState::completed;
        overtaken += by_second;
        // The first comes back, finishes its handler, and has its late settle refused, at the latest as it is stopped.
        const auto finished = lines(folder / "first", 'E');
        first.signal(SIGCONT);
        CHECK(eventually([&] { return lines(folder / "first", 'E') > finished; }));
        CHECK(first.stop());
        CHECK(second.stop());
    }
    CHECK(overtaken == times);
    store->reset();
    auto findings = check(place.address, evidence);
    std::printf("counts: %s%s, %d times: %s\n",
                failpoints.empty() ? "frozen past the lease" : "control: frozen, and fences ignored",
                is_mongo(place.address) ? ", on MongoDB or its stand-in" : "", times,
                findings.counts().c_str());
    for (const auto& complaint : findings.complaints) std::printf("  %s\n", complaint.c_str());
    return findings;
}

/// A process frozen while it holds the store's only writer; others ask meanwhile, and after it has died.
Findings hold(int times, const char* what, std::chrono::seconds patience) {
    Folder folder;
    sqlite::Options options;
    options.busy_timeout = Duration{500};
    auto store = sqlite::open(folder / "jobs.db", options);
    REQUIRE(store.has_value());
    JobQueue queue(**store);
    Findings seen;
    int refused = 0;
    for (int i = 0; i < times; ++i) {
        ActorProcess holder({"enqueue", "--db", folder / "jobs.db", "--journal", folder / "held", "--limit", "1000"},
                     {"JOBRT_FAILPOINTS=sqlite.before_commit=3*sleep:600000"});
        holder.start();
        auto frozen = [&] {
            auto tried = queue.enqueue("proof.job", boost::json::object{});
            return !tried && tried.error().code == Errc::unavailable;
        };
        if (eventually(frozen, patience))
            ++refused;
        else
            seen.complain("refused: nobody was told that the store is unavailable");
        // On a busy machine the store is unavailable also while the holder is slow: then it is not yet at its commit.
        const auto frozen_by_stop = [&] {
            holder.signal(SIGSTOP);
            if (frozen()) return true;
            holder.signal(SIGCONT);
            return false;
        };
        if (!eventually(frozen_by_stop, patience))
            seen.complain("refused: the frozen process did not make others unavailable");
        holder.kill();
        if (!eventually([&] { return queue.enqueue("proof.job", boost::json::object{}).has_value(); }))
            seen.complain("recovery: others did not go on after it had died");
    }
    store->reset();
    auto findings = check(folder / "jobs.db", {{folder / "held"}, {}, {}, false});
    for (auto& complaint : seen.complaints) findings.complain(std::move(complaint));
    std::printf("counts: %s, %d times, others refused %d times: %s\n", what, times, refused,
                findings.counts().c_str());
    for (const auto& complaint : findings.complaints) std::printf("  %s\n", complaint.c_str());
    return findings;
}

}  // namespace

TEST_CASE("a worker frozen past its lease has its late settle refused") {
    const int times = scaled(20, 2);
    Folder folder;
    const auto findings = freeze(folder, {folder / "jobs.db"}, times, "");
    CHECK(findings.sound());
    CHECK(findings.completed == times);
    CHECK(findings.runs >= 2 * times);
}

TEST_CASE("control: with fences ignored the checker complains of a stale write") {
    Folder folder;
    CHECK(freeze(folder, {folder / "jobs.db"}, 3, "control.ignore_fences=error").complains_of("stale"));
}

#ifdef PROOF_HAS_MONGO
TEST_CASE("a worker frozen past its lease has its late settle refused by a shared store, too") {
    auto& server = tests::MongoServer::shared();
    const Folder folder;
    const int times = scaled(server.port() == 0 ? 20 : 5, 2);
    tests::say_fewer(server, times, "freezes", 20);
    const auto findings = freeze(folder, {server.uri(server.fresh_database()), "3000"}, times, "");
    CHECK(findings.sound());
    CHECK(findings.completed == times);
    CHECK(findings.runs >= 2 * times);
}

TEST_CASE("control: with fences ignored by a shared store the checker complains of a stale write") {
    auto& server = tests::MongoServer::shared();
    CHECK(noticed([&] {
        const Folder folder;
        return freeze(folder, {server.uri(server.fresh_database()), "3000"}, 1, "control.ignore_fences=error")
            .complains_of("stale");
    }));
}
#endif

TEST_CASE("a process frozen inside a write transaction makes others unavailable, not lost, until it dies") {
    CHECK(hold(scaled(5, 1), "frozen inside a write", std::chrono::seconds(30)).sound());
}

TEST_CASE("control: when others are not told that the store is held the checker complains") {
    core::set_failpoint("control.hide_holder", [] { return true; });
    const auto findings = hold(1, "control: a frozen holder is not told of", std::chrono::seconds(2));
    core::clear_failpoints();
    CHECK(findings.complains_of("refused"));
}
