// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// How jobrt starts, refuses to start, and ends.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

/// Local addresses of the TCP sockets that these processes listen on, "0100007F:1F90" as the kernel writes them.
std::set<std::string> listening(const std::vector<int>& pids) {
    std::set<std::string> own, found;
    std::error_code code;
    for (const int pid : pids)
        for (const auto& entry : fs::directory_iterator("/proc/" + std::to_string(pid) + "/fd", code)) {
            const auto target = fs::read_symlink(entry.path(), code).string();
            if (target.starts_with("socket:[")) own.insert(target.substr(8, target.size() - 9));
        }
    for (const auto* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        std::ifstream lines(table);
        std::string line;
        std::getline(lines, line);
        while (std::getline(lines, line)) {
            std::istringstream words(line);
            std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
            words >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >> timeout >> inode;
            if (state == "0A" && own.contains(inode)) found.insert(local);
        }
    }
    return found;
}

TEST_CASE("an unknown role is refused with the roles there are" * doctest::skip(on_mongo())) {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "wrker";
    const auto ended = jobrt({}, variables, folder.path());
    REQUIRE(ended.in_time);
    CHECK(ended.status.code == 2);
    CHECK(ended.out.empty());
    for (const auto* name : {"combined", "api", "worker", "wrker"})
        CHECK_MESSAGE(ended.err.find(name) != std::string::npos, ended.err);
    CHECK_FALSE(fs::exists(folder / "jobs.db"));
}

TEST_CASE("a split role without a store is refused, naming both variables" * doctest::skip(on_mongo())) {
    for (const auto* role : {"api", "worker"}) {
        CAPTURE(role);
        const Folder folder;
        auto variables = environment(folder);
        variables.erase("JOBRT_STORE");
        variables["ROLE"] = role;
        const auto ended = jobrt({}, variables, folder.path());
        REQUIRE(ended.in_time);
        CHECK(ended.status.code == 2);
        CHECK(ended.out.empty());
        CHECK_MESSAGE(ended.err.find("JOBRT_STORE") != std::string::npos, ended.err);
        CHECK_MESSAGE(ended.err.find("MONGODB_URI") != std::string::npos, ended.err);
        CHECK(fs::is_empty(folder.path()));
    }
}

TEST_CASE("empty variables count as unset, and PROCESS_ROLE is ROLE" * doctest::skip(on_mongo())) {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "";
    variables["MONGODB_URI"] = "";
    CHECK(text(Service(folder, variables).ready(), "role") == "combined");
    variables.erase("ROLE");
    variables["PROCESS_ROLE"] = "api";
    CHECK(text(Service(folder, variables).ready(), "role") == "api");
}

TEST_CASE("bad settings are refused by name" * doctest::skip(on_mongo())) {
    struct Row {
        const char *name, *value, *said;
        int code;
    };
    const Row rows[] = {{"PORT", "70000", "PORT", 2},
                        {"PORT", "4000x", "PORT", 2},
                        {"MONGODB_URI", "postgres://x", "MONGODB_URI", 2},
                        {"JOBRT_STORE", "sqlite:", "JOBRT_STORE", 2},
                        {"JOBRT_ALLOW_NETS", "not-a-net", "JOBRT_ALLOW_NETS", 2},
                        {"JOBRT_HOST", "0.0.0.0", "0.0.0.0", 2},
                        {"ENABLE_X", "maybe", "ENABLE_X", 2},
                        {"JOBRT_LEASE_MS", "400", "JOBRT_LEASE_MS", 2},
                        {"PLAYWRIGHT_HEADLESS", "perhaps", "PLAYWRIGHT_HEADLESS", 2}};
    for (const auto& row : rows) {
        CAPTURE(row.name);
        CAPTURE(row.value);
        const Folder folder;
        auto variables = environment(folder);
        variables[row.name] = row.value;
        const auto ended = jobrt({}, variables, folder.path());
        CHECK(ended.in_time);
        CHECK(ended.status.code == row.code);
        CHECK(ended.out.empty());
        CHECK_MESSAGE(ended.err.find(row.said) != std::string::npos, ended.err);
    }
}

TEST_CASE("a port that is taken ends with 69 and is named, before a job is begun") {
    const test::TestServer holder;
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    {
        Service api(folder, variables);
        CHECK(http(api.port(), "POST", "/api/jobs", R"({"kind":"demo.sleep","payload":{"ms":60000}})").status == 201);
        CHECK(api.program().stop().has_value());
    }
    variables["ROLE"] = "combined";
    variables["PORT"] = std::to_string(holder.port());
    const auto ended = jobrt({}, variables, folder.path());
    REQUIRE(ended.in_time);
    CHECK(ended.status.code == 69);
    CHECK(ended.out.empty());
    CHECK_MESSAGE(ended.err.find(std::to_string(holder.port())) != std::string::npos, ended.err);
    const auto events = jobrt({"events", "--json"}, variables, folder.path());
    CHECK(events.out.find("jobs.create.queued") != std::string::npos);
    CHECK_MESSAGE(events.out.find("\"worker.") == std::string::npos, events.out);
}

TEST_CASE("a corrupt store and a foreign one end with 69 and stay as they are" * doctest::skip(on_mongo())) {
    for (const bool foreign : {false, true}) {
        CAPTURE(foreign);
        const Folder folder;
        if (foreign) {
            // A database of somebody else: a table that is none of ours.
            const auto made = run({"python3", "-c",
                                   "import sqlite3; db = sqlite3.connect('jobs.db'); db.execute('create table t(x)'); "
                                   "db.execute('pragma application_id=77'); db.commit()"},
                                  environment(folder), folder.path());
            REQUIRE(made.status.success());
        } else {
            std::ofstream(folder / "jobs.db") << std::string(5000, 'x');
        }
        const auto before = contents(folder / "jobs.db");
        for (const auto* role : {"combined", "api", "worker"}) {
            CAPTURE(role);
            auto variables = environment(folder);
            variables["ROLE"] = role;
            const auto ended = jobrt({}, variables, folder.path());
            REQUIRE(ended.in_time);
            CHECK(ended.status.code == 69);
            CHECK(ended.out.empty());
            CHECK_MESSAGE(ended.err.find("jobs.db") != std::string::npos, ended.err);
            CHECK(contents(folder / "jobs.db") == before);
        }
    }
}

TEST_CASE("SIGTERM and SIGINT end every role with 0") {
    for (const auto* role : {"combined", "api", "worker"})
        for (const int number : {SIGTERM, SIGINT}) {
            CAPTURE(role);
            CAPTURE(number);
            const Folder folder;
            auto variables = environment(folder);
            variables["ROLE"] = role;
            Service service(folder, variables);
            service.program().signal(number);
            const auto ended = service.program().wait(10s);
            REQUIRE(ended);
            CHECK(*ended == ExitStatus{});
        }
}

TEST_CASE("a stop interrupts a running job without charging it, a second signal ends at once with 130") {
    const Folder folder;
    std::string id;
    {
        Runtime runtime(folder, false, {{"JOBRT_GRACE_MS", "60000"}});
        id = runtime.submit({{"kind", "demo.sleep"}, {"payload", {{"ms", 20000}, {"steps", 50}}}});
        // By its first step: what is claimed and has not begun is given back without any waiting.
        REQUIRE(eventually(30s, [&] { return in_order(events_of(runtime.port(), id), {"worker.job.progress"}); }));
        auto& program = runtime.front().program();
        program.signal(SIGTERM);
        CHECK_MESSAGE(eventually(30s, [&] { return program.err().find("stopping") != std::string::npos; }),
                      program.err());
        CHECK_FALSE(program.wait(300ms));
        program.signal(SIGTERM);
        const auto ended = program.wait(5s);
        REQUIRE(ended);
        CHECK(ended->code == 130);
    }
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    const auto job = http(api.port(), "GET", "/api/jobs/" + id).json().at("job").get_object();
    INFO(boost::json::serialize(job));
    CHECK(text(job, "status") == "queued");
    CHECK(job.at("attempt") == 0);
}

TEST_CASE("the API stops cleanly with streams open") {
    const Folder folder;
    Runtime runtime(folder, false);
    const Stream first(runtime.port(), "/api/telemetry/stream"), second(runtime.port(), "/api/telemetry/stream");
    CHECK(eventually(30s, [&] { return !first.text().empty() && !second.text().empty(); }));
    const auto ended = runtime.front().program().stop(10s);
    REQUIRE(ended);
    CHECK(ended->code == 0);
}

TEST_CASE("the worker role listens on no TCP port, the API does") {
    const Folder folder;
    Runtime runtime(folder, true);
    REQUIRE(text(runtime.wait(runtime.submit({{"kind", "demo.echo"}}), "completed", 10s), "status") == "completed");
    CHECK(listening({runtime.worker().program().pid()}).empty());
    CHECK_FALSE(listening({runtime.front().program().pid()}).empty());
}

TEST_CASE("while it extracts, a worker has one loopback port for its own browser, which refuses everybody else") {
    test::TestServer site;
    site.on("/silent", test::silence());
    const Folder folder;
    Runtime runtime(folder, true);
    runtime.save(site.url("/silent"));
    REQUIRE(eventually(30s, [&] { return !site.requests().empty(); }));
    auto pids = children_with(runtime.worker().program().pid(), "");
    REQUIRE_FALSE(pids.empty());  // The browser.
    pids.push_back(runtime.worker().program().pid());
    const auto ports = listening(pids);
    REQUIRE(ports.size() == 1);
    const auto& local = *ports.begin();
    REQUIRE(local.starts_with("0100007F:"));
    const int port = std::stoi(local.substr(9), nullptr, 16);
    const auto before = site.connections();
    for (const auto* method : {"GET", "POST", "CONNECT"})
        for (const auto& target : {site.url("/x"), std::string("/"), "127.0.0.1:" + std::to_string(site.port())}) {
            CAPTURE(method);
            CAPTURE(target);
            CHECK(http(port, method, target).status == 407);
            CHECK(http(port, method, target, {}, {{"Proxy-Authorization", "Basic am9icnVudGltZTp4"}}).status == 407);
        }
    CHECK(site.connections() == before);
}

}  // namespace
}  // namespace jobruntime::e2e
