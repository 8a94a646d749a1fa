// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <csignal>

#include <iostream>

#include <doctest/doctest.h>
#include <sqlite3.h>

#include "e2e/support.hpp"
#ifdef E2E_HAS_MONGO
#include "support/mongo_server.hpp"
#include "support/proxy.hpp"
#endif
#include "unit/host/supervisor.hpp"

// What a supervisor that speaks systemd's protocol hears of each role.
namespace jobruntime::e2e {
namespace {

using test::Supervisor;

Variables supervised(const Folder& folder, const Supervisor& supervisor) {
    auto variables = environment(folder);
    variables["NOTIFY_SOCKET"] = supervisor.name();
    return variables;
}

/// The next datagram that is no sign of life; "" when none came in time.
std::string next_word(const Supervisor& supervisor) {
    std::string heard;
    eventually(10s, [&] {
        heard = supervisor.next();
        return !heard.empty() && heard != "WATCHDOG=1";
    });
    return heard;
}

/// No sign of life for that long.
bool silent(const Supervisor& supervisor, Millis time) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until)
        if (!supervisor.next().empty()) return false;
    return true;
}

TEST_CASE("each role says when it is ready and when it stops") {
    for (const auto* role : {"combined", "api", "worker"}) {
        CAPTURE(role);
        const Supervisor supervisor;
        const Folder folder;
        auto variables = supervised(folder, supervisor);
        variables["ROLE"] = role;
        Service service(folder, variables);
        REQUIRE_FALSE(service.ready().empty());
        const auto ready = next_word(supervisor);
        const std::string store = on_mongo() ? "mongodb://" : "sqlite:/";
        CHECK_MESSAGE(ready.starts_with("READY=1\nSTATUS=" + std::string(role) + " on " + store), ready);
        CHECK_MESSAGE((ready.find("http://127.0.0.1:") != std::string::npos) == (std::string(role) != "worker"), ready);
        service.program().signal(SIGTERM);
        const auto stopping = next_word(supervisor);
        CHECK_MESSAGE(stopping.starts_with("STOPPING=1\n"), stopping);
        const auto ended = service.program().wait(10s);
        REQUIRE(ended);
        CHECK(*ended == ExitStatus{});
    }
}

std::string database_of_a_newer_program() {
#ifdef E2E_HAS_MONGO
    auto& server = tests::MongoServer::shared();
    auto database = server.fresh_database();
    mongo::Doc newer;
    newer.doc("_id", mongo::Doc().text("jobrt", "schema")).number("version", 99);
    server.insert(database, "jobrt_records", newer);
    return server.uri(database);
#else
    return {};
#endif
}

TEST_CASE("a process that cannot start never says that it is ready") {
    const Supervisor supervisor;
    const Folder folder;
    auto variables = supervised(folder, supervisor);
    if (on_mongo()) variables["MONGODB_URI"] = database_of_a_newer_program();
    else variables["JOBRT_STORE"] = "sqlite:/proc/nowhere/jobs.db";
    CHECK(jobrt({}, variables, folder.path()).status.code == 69);
    CHECK(supervisor.next().empty());
}

#ifdef E2E_HAS_MONGO

TEST_CASE("a role whose server is away is ready, and lives" * doctest::skip(!on_mongo())) {
    for (const auto* role : {"api", "worker"}) {
        CAPTURE(role);
        const Supervisor supervisor;
        const Folder folder;
        auto variables = supervised(folder, supervisor);
        variables["ROLE"] = role;
        variables["MONGODB_URI"] = "mongodb://127.0.0.1:1/jobs";
        variables["WATCHDOG_USEC"] = "8000000";  // A beat looks for a server for two seconds.
        Service service(folder, variables);
        CHECK(next_word(supervisor).starts_with("READY=1"));
        for (int heard = 0; heard < 2; ++heard)
            CHECK(eventually(8s, [&] { return supervisor.next() == "WATCHDOG=1"; }));
    }
}

TEST_CASE("signs of life stop while the heartbeat waits for a server that has frozen, and come again" *
          doctest::skip(!on_mongo())) {
    auto& server = tests::MongoServer::shared();
    if (server.port() == 0) {
        std::cout << "skipped: a server that freezes takes a stand-in (JOBRT_STANDIN)\n";
        return;
    }
    for (const auto* role : {"api", "worker"}) {
        CAPTURE(role);
        tests::Proxy proxy(server.port());
        const Supervisor supervisor;
        const Folder folder;
        auto variables = supervised(folder, supervisor);
        variables["ROLE"] = role;
        variables["WATCHDOG_USEC"] = "2400000";
        variables["MONGODB_URI"] =
            "mongodb://127.0.0.1:" + std::to_string(proxy.port()) + "/" + server.fresh_database();
        Service service(folder, variables);
        CHECK(next_word(supervisor).starts_with("READY=1"));
        CHECK(eventually(5s, [&] { return supervisor.next() == "WATCHDOG=1"; }));
        proxy.freeze(true);
        CHECK(eventually(5s, [&] { return silent(supervisor, 1500ms); }));
        proxy.freeze(false);
        CHECK(eventually(5s, [&] { return supervisor.next() == "WATCHDOG=1"; }));
    }
}

#endif

TEST_CASE("signs of life come while the heartbeat goes round, also without a store, stop while it hangs, and come again" *
          doctest::skip(on_mongo())) {
    for (const auto* role : {"combined", "api", "worker"}) {
        CAPTURE(role);
        const Supervisor supervisor;
        const Folder folder;
        auto variables = supervised(folder, supervisor);
        variables["ROLE"] = role;
        variables["WATCHDOG_USEC"] = "2400000";  // Asked every 600 ms; the heartbeat looks round every 500 ms.
        Service service(folder, variables);
        REQUIRE_FALSE(service.ready().empty());
        CHECK(next_word(supervisor).starts_with("READY=1"));
        CHECK(eventually(5s, [&] { return supervisor.next() == "WATCHDOG=1"; }));
        CHECK(eventually(5s, [&] { return supervisor.next() == "WATCHDOG=1"; }));

        // Somebody else is in the middle of a write. A worker's beat waits for its turn, longer than we ask; an API
        // gives up at once and goes round: a store that does not answer is no reason to be killed.
        sqlite3* other = nullptr;
        REQUIRE(sqlite3_open((folder / "jobs.db").c_str(), &other) == SQLITE_OK);
        sqlite3_busy_timeout(other, 5000);
        REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
        if (std::string(role) == "worker")
            CHECK(eventually(4s, [&] { return silent(supervisor, 1500ms); }));
        else
            for (int heard = 0; heard < 3; ++heard)
                CHECK(eventually(4s, [&] { return supervisor.next() == "WATCHDOG=1"; }));
        REQUIRE(sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr) == SQLITE_OK);
        sqlite3_close(other);
        CHECK(eventually(5s, [&] { return supervisor.next() == "WATCHDOG=1"; }));

        // The control: a process that is frozen altogether says nothing.
        service.program().signal(SIGSTOP);
        CHECK(eventually(4s, [&] { return silent(supervisor, 1500ms); }));
        service.program().signal(SIGCONT);
        CHECK(eventually(5s, [&] { return supervisor.next() == "WATCHDOG=1"; }));
    }
}

}  // namespace
}  // namespace jobruntime::e2e
