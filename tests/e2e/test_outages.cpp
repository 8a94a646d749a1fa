// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>
#include <csignal>
#include <functional>
#include <iostream>
#include <memory>
#include <set>
#include <thread>

#include <doctest/doctest.h>

#include "e2e/held_store.hpp"
#include "e2e/stores.hpp"
#ifdef E2E_HAS_MONGO
#include "support/mongo_server.hpp"
#include "support/proxy.hpp"
#endif

// A store that does not answer, as operators see it; and what a stream says when nothing happens.
namespace jobruntime::e2e {
namespace {

using Clock = std::chrono::steady_clock;

struct Timed {
    Answer answer;
    Millis took{};
};
Timed timed(int port, std::string_view method, std::string_view path, std::string_view body = {}) {
    const auto begin = Clock::now();
    auto answer = http(port, method, path, body);
    return {std::move(answer), std::chrono::duration_cast<Millis>(Clock::now() - begin)};
}

/// A store that a test takes away and gives back.
struct Frail {
    std::string name;
    std::string says;  ///< In the refusal of a job: the variable to check, or the host.
    Variables variables;
    std::function<bool()> take_away;
    std::function<void()> give_back;
};

Frail frail_sqlite(const Folder& folder) {
    auto held = std::make_shared<std::unique_ptr<HeldStore>>();
    return {"sqlite", "JOBRT_STORE", environment(folder),
            [held, database = folder / "jobs.db"] {
                *held = std::make_unique<HeldStore>(database, true);
                return (*held)->held();
            },
            [held] { held->reset(); }};
}

#ifdef E2E_HAS_MONGO
Frail frail_mongo(const Folder& folder) {
    std::shared_ptr<tests::MongoServer> server(tests::MongoServer::own());
    if (!server) return {};
    auto variables = environment(folder);
    variables["JOBRT_STORE"] = "";
    variables["MONGODB_URI"] = server->uri(server->fresh_database());
    return {"mongodb", "127.0.0.1:" + std::to_string(server->port()), std::move(variables),
            [server] {
                server->kill();
                return true;
            },
            [server] { server->start(); }};
}
#endif

void goes_and_comes_back(const Folder& folder, const Frail& store, bool split) {
    Runtime runtime(folder, split, store.variables);
    const auto before = runtime.submit({{"kind", "demo.echo"}});
    REQUIRE(text(runtime.wait(before, "completed", 10s), "status") == "completed");
    REQUIRE(store.take_away());
    for (const auto* path : {"/api/health", "/api/worker/health"}) {
        CAPTURE(path);
        Timed down;
        // An answer of the last 50 ms still counts.
        CHECK(eventually(1s, [&] {
            down = timed(runtime.port(), "GET", path);
            return down.answer.status != 200;
        }));
        INFO(down.answer.body);
        CHECK(down.answer.status == 503);
        CHECK(down.answer.json().at("ok") == false);
        CHECK(text(down.answer.json(), "status") == "unavailable");
        CHECK(down.took < 2'100ms);
    }
    for (const std::string body : {R"({"kind":"demo.echo"})", R"({"url":"https://x.com/a/status/1234567890"})"}) {
        CAPTURE(body);
        const auto refused = timed(runtime.port(), "POST", "/api/jobs", body);
        INFO(refused.answer.body);
        check_refusal(refused.answer, 503, "STORE_UNAVAILABLE");
        CHECK(text(refused.answer.json(), "error").find(store.says) != std::string::npos);
        CHECK(refused.answer.headers.contains("retry-after"));
        CHECK_FALSE(refused.answer.json().contains("outcome"));
        CHECK(refused.took < 2'100ms);
    }
    auto variables = store.variables;
    variables["PORT"] = std::to_string(runtime.port());
    const auto doctor = jobrt({"doctor"}, variables, folder.path(), 60s);
    INFO(doctor.out);
    CHECK(doctor.status.code == 1);
    CHECK(doctor.out.find("jobrt answers (pid " + std::to_string(runtime.front().program().pid()) +
                          "), but its store does not") != std::string::npos);
    CHECK(doctor.out.find("another program") == std::string::npos);
    const auto health = jobrt({"health", "--api", "http://127.0.0.1:" + variables["PORT"]}, variables, folder.path());
    CHECK(health.status.code == 1);
    CHECK(health.out == "not ok: The store does not answer\n");
    store.give_back();
    CHECK(eventually(30s, [&] { return http(runtime.port(), "GET", "/api/health").status == 200; }));
    CHECK(eventually(
        30s, [&] { return http(runtime.port(), "GET", "/api/worker/health").json().at("ok") == true; }));
    const auto after = runtime.submit({{"kind", "demo.echo"}});
    CHECK(text(runtime.wait(after, "completed", 15s), "status") == "completed");
    CHECK_MESSAGE(http(runtime.port(), "GET", "/api/jobs").json().at("jobs").get_array().size() == 2,
                  "what was refused is not there");
}

TEST_CASE(
    "a store that does not answer: health says 503 within two seconds, creation is refused by name and leaves "
    "nothing, and all is well when it is back") {
    const Folder folder;
    SUBCASE("sqlite, combined") { goes_and_comes_back(folder, frail_sqlite(folder), false); }
    SUBCASE("sqlite, split") { goes_and_comes_back(folder, frail_sqlite(folder), true); }
#ifdef E2E_HAS_MONGO
    SUBCASE("mongodb, split") {
        if (store_kinds().size() < 2) return;  // Has said so.
        const auto store = frail_mongo(folder);
        if (store.name.empty()) {
            std::cout << "skipped: MongoDB's outage, which takes a stand-in (JOBRT_STANDIN) that may be killed\n";
            return;
        }
        goes_and_comes_back(folder, store, true);
    }
#endif
}

#ifdef E2E_HAS_MONGO

/// The server of a test, and an API on it by way of a proxy.
struct Reached {
    std::unique_ptr<tests::MongoServer> server = tests::MongoServer::own();
    std::optional<tests::Proxy> proxy;
    Folder folder;
    std::optional<Service> api;

    bool start(const std::string& role = "api", const Variables& more = {}) {
        if (!server) {
            std::cout << "skipped: a server that dies takes a stand-in (JOBRT_STANDIN)\n";
            return false;
        }
        proxy.emplace(server->port());
        auto variables = environment(folder);
        variables["JOBRT_STORE"] = "";
        variables["ROLE"] = role;
        variables["MONGODB_URI"] =
            "mongodb://127.0.0.1:" + std::to_string(proxy->port()) + "/" + server->fresh_database();
        for (const auto& [name, value] : more) variables[name] = value;
        api.emplace(folder, variables);
        return true;
    }
    Timed post(const std::string& key) const {
        const auto begin = Clock::now();
        auto answer = http(api->port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})", {{"Idempotency-Key", key}});
        return {std::move(answer), std::chrono::duration_cast<Millis>(Clock::now() - begin)};
    }
    /// Sends it again until it is answered as it should have been: the job's id.
    std::string insist(const std::string& key) const {
        Answer answer;
        CHECK(eventually(30s, [&] { return (answer = post(key).answer).status == 201; }));
        return answer.status == 201 ? text(answer.json().at("job").get_object(), "id") : "";
    }
    std::size_t jobs() const {
        return http(api->port(), "GET", "/api/jobs?limit=500").json().at("jobs").get_array().size();
    }
};

void check_unsure(const Timed& told) {
    INFO(told.answer.body);
    check_refusal(told.answer, 503, "STORE_UNAVAILABLE");
    CHECK(text(told.answer.json(), "error").find("MONGODB_URI") != std::string::npos);
    CHECK(told.answer.headers.contains("retry-after"));
}

TEST_CASE("a job on its way when MongoDB freezes: its sender hears within three seconds that nobody knows, and may ask again") {
    Reached reached;
    if (!reached.start()) return;
    std::set<std::string> ids{reached.insist("first")};
    bool on_its_way = false;
    for (int round = 0; round < 10 && !on_its_way; ++round) {
        CHECK(eventually(20s, [&] { return http(reached.api->port(), "GET", "/api/health").status == 200; }));
        reached.proxy->freeze(true);
        const auto key = "frozen-" + std::to_string(round);
        const auto told = reached.post(key);
        CHECK(told.took < 3'000ms);
        check_unsure(told);
        // Else the freeze was seen before the job was sent.
        on_its_way = text(told.answer.json(), "outcome") == "unknown";
        const auto refused = reached.post(key);
        CHECK(refused.took < 2'100ms);
        check_unsure(refused);
        reached.proxy->freeze(false);
        ids.insert(reached.insist(key));
    }
    CHECK(on_its_way);
    CHECK(reached.jobs() == ids.size());
}

TEST_CASE("whatever is asked while MongoDB is stopped dead is refused within three seconds, and all is well when it goes on") {
    Reached reached;
    if (!reached.start()) return;
    const auto id = reached.insist("first");
    const int port = reached.api->port();
    struct Row {
        std::string method, path, body;
        Timed told{};
    };
    std::vector<Row> rows{{"GET", "/api/jobs", ""},
                          {"GET", "/api/jobs/" + id, ""},
                          {"GET", "/api/stats", ""},
                          {"GET", "/api/telemetry", ""},
                          {"GET", "/api/health", ""},
                          {"POST", "/api/jobs/" + id + "/cancel", "{}"},
                          {"POST", "/api/jobs/" + id + "/retry", "{}"},
                          {"DELETE", "/api/jobs/" + id, ""},
                          {"POST", "/api/queues/default/pause", "{}"},
                          {"POST", "/api/jobs/bulk", R"({"action":"cancel","ids":[")" + id + R"("]})"}};
    // Twice: those that wait when it freezes, and those that come when that is known.
    for (const auto longest : {3'000ms, 2'100ms}) {
        if (longest == 3'000ms) {
            reached.server->freeze(true);
            std::this_thread::sleep_for(100ms);  // For health a good answer counts for 50 ms.
        }
        std::vector<std::thread> askers;
        for (auto& row : rows)
            askers.emplace_back([&row, port] { row.told = timed(port, row.method, row.path, row.body); });
        for (auto& asker : askers) asker.join();
        for (const auto& [method, path, body, told] : rows) {
            INFO(method << " " << path << ": " << told.answer.body);
            CHECK_MESSAGE(told.took < longest, told.took.count() << " ms");
            CHECK(told.answer.headers.contains("retry-after"));
            if (path == "/api/health") CHECK(told.answer.status == 503);
            else check_unsure(told);
        }
    }
    reached.server->freeze(false);
    CHECK(eventually(30s, [&] { return http(port, "GET", "/api/jobs").status == 200; }));
    const auto job = http(port, "GET", "/api/jobs/" + id);
    // The change that was on its way may have been done; nothing was done by halves.
    CHECK((job.status == 404 || (job.status == 200 && text(job.json().at("job").get_object(), "id") == id)));
}

TEST_CASE("a second signal ends an API at once also when its store hangs") {
    Reached reached;
    if (!reached.start()) return;
    CHECK(eventually(20s, [&] { return http(reached.api->port(), "GET", "/api/health").status == 200; }));
    reached.proxy->freeze(true);
    // Something waits for the store now.
    CHECK(reached.post("frozen").answer.status == 503);
    auto& program = reached.api->program();
    program.signal(SIGTERM);
    CHECK(eventually(30s, [&] { return program.err().find("stopping") != std::string::npos; }));
    CHECK_FALSE(program.wait(300ms));
    const auto asked = Clock::now();
    program.signal(SIGTERM);
    const auto ended = program.wait(40s);
    const auto took = std::chrono::duration_cast<Millis>(Clock::now() - asked);
    CHECK_MESSAGE(took < 5s, took.count() << " ms");
    REQUIRE(ended);
    CHECK(ended->code == 130);
}

TEST_CASE("one signal ends API and worker within the grace time also when their store hangs, and the log says why") {
    Reached reached;
    if (!reached.start("combined", {{"JOBRT_GRACE_MS", "1500"}})) return;
    const auto port = reached.api->port();
    CHECK(eventually(20s, [&] { return http(port, "GET", "/api/health").status == 200; }));
    // One runs to its end, which the store will not take.
    const auto made = http(port, "POST", "/api/jobs", R"({"kind":"demo.sleep","payload":{"ms":1000}})");
    REQUIRE(made.status == 201);
    const auto id = text(made.json().at("job").get_object(), "id");
    CHECK(eventually(20s, [&] { return text(http(port, "GET", "/api/jobs/" + id).json().at("job").get_object(), "status") == "running"; }));
    reached.proxy->freeze(true);
    auto& program = reached.api->program();
    const auto asked = Clock::now();
    const auto ended = program.stop(120s);
    const auto took = std::chrono::duration_cast<Millis>(Clock::now() - asked);
    INFO(program.err());
    CHECK_MESSAGE(took < 14s, took.count() << " ms");
    REQUIRE(ended);
    CHECK(ended->code == 69);
    CHECK(program.err().find("does not answer; this process ends without them") != std::string::npos);
}

TEST_CASE("jobs on their way when MongoDB is killed: each sender hears within three seconds, and asking again makes no second job") {
    Reached reached;
    if (!reached.start()) return;
    struct Sender {
        std::vector<std::string> keys;
        Millis longest{0};
        std::vector<Timed> refused;
    };
    std::array<Sender, 4> senders;
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < senders.size(); ++i)
            threads.emplace_back([&, i](const std::stop_token& stop) {
                auto& mine = senders[i];
                while (!stop.stop_requested() && mine.refused.size() < 2) {
                    mine.keys.push_back("sender-" + std::to_string(i) + "-" + std::to_string(mine.keys.size()));
                    auto told = reached.post(mine.keys.back());
                    mine.longest = std::max(mine.longest, told.took);
                    if (told.answer.status != 201) mine.refused.push_back(std::move(told));
                }
            });
        CHECK(eventually(20s, [&] { return reached.jobs() >= 8; }));
        reached.server->kill();
        for (auto& thread : threads) thread.join();
    }
    reached.server->start();
    std::set<std::string> ids;
    std::size_t sent = 0;
    for (const auto& sender : senders) {
        CHECK(sender.longest < 3'000ms);
        for (const auto& told : sender.refused) check_unsure(told);
        for (const auto& key : sender.keys) ids.insert(reached.insist(key));
        sent += sender.keys.size();
    }
    CHECK(ids.size() == sent);
    CHECK(reached.jobs() == std::min<std::size_t>(sent, 500));
}

#endif

TEST_CASE(
    "a store that cannot be written: creation is refused quickly by name, nothing is half there, reads go "
    "on") {
    const Folder folder;
    Runtime runtime(folder, true);
    const auto before = runtime.submit({{"kind", "demo.echo"}});
    REQUIRE(text(runtime.wait(before, "completed", 10s), "status") == "completed");
    {
        const HeldStore held(folder / "jobs.db", false);
        REQUIRE(held.held());
        const auto refused = timed(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})");
        INFO(refused.answer.body);
        check_refusal(refused.answer, 503, "STORE_UNAVAILABLE");
        CHECK(text(refused.answer.json(), "error").find("JOBRT_STORE") != std::string::npos);
        CHECK(refused.answer.headers.contains("retry-after"));
        CHECK(refused.took < 2'100ms);
        CHECK(http(runtime.port(), "GET", "/api/jobs/" + before).status == 200);
    }
    CHECK(eventually(30s, [&] {
        return http(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})").status == 201;
    }));
    CHECK(http(runtime.port(), "GET", "/api/jobs").json().at("jobs").get_array().size() == 2);
}

TEST_CASE("a stream on which nothing happens shows a heartbeat every fifteen seconds, with the current id") {
    const Folder folder;
    Runtime runtime(folder, true);
    REQUIRE(eventually(
        30s, [&] { return http(runtime.port(), "GET", "/api/worker/health").json().at("ok") == true; }));
    const Stream stream(runtime.port(), "/api/telemetry/stream");
    const auto begin = Clock::now();
    REQUIRE(eventually(20s, [&] { return stream.text().find("event: heartbeat") != std::string::npos; }));
    CHECK(Clock::now() - begin > 10s);
    const auto all = stream.text();
    const auto at = all.find("event: heartbeat");
    const auto block_begin = all.rfind("\n\n", at) + 2;
    REQUIRE(eventually(20s, [&] { return stream.text().find("\n\n", at) != std::string::npos; }));
    const auto block = stream.text().substr(block_begin, stream.text().find("\n\n", at) - block_begin);
    INFO(block);
    CHECK(block.find("data: {\"ts\":\"20") != std::string::npos);
    const auto newest = http(runtime.port(), "GET", "/api/telemetry?limit=1").json().at("events").get_array();
    REQUIRE(newest.size() == 1);
    CHECK(
        block.find("id: " + std::to_string(newest.front().get_object().at("id").to_number<std::int64_t>())) !=
        std::string::npos);
}

}  // namespace
}  // namespace jobruntime::e2e
