// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <fcntl.h>

#include <functional>
#include <iostream>
#include <memory>

#include <doctest/doctest.h>

#include "e2e/stores.hpp"
#ifdef E2E_MONGO_SERVER
#include "support/mongo_server.hpp"
#endif

// A store that does not answer, as operators see it; and what a stream says when nothing happens.
namespace jobruntime::e2e {
namespace {

using Clock = std::chrono::steady_clock;

/// Holds locks of SQLite's write-ahead log from outside, which is how a database looks whose holder hangs.
/// https://sqlite.org/walformat.html: byte 120 of the -shm file is the writer's, 123 to 127 are the readers'.
class HeldStore {
public:
    HeldStore(const std::string& database, bool readers_too)
        : fd_(::open((database + "-shm").c_str(), O_RDWR | O_CLOEXEC)) {
        struct flock lock {};
        lock.l_type = F_WRLCK;
        lock.l_whence = SEEK_SET;
        lock.l_start = 120;
        lock.l_len = readers_too ? 8 : 1;
        held_ = fd_ >= 0 && ::fcntl(fd_, F_SETLKW, &lock) == 0;
    }
    ~HeldStore() { ::close(fd_); }
    HeldStore(const HeldStore&) = delete;
    HeldStore& operator=(const HeldStore&) = delete;
    bool held() const { return held_; }

private:
    int fd_;
    bool held_ = false;
};

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

#ifdef E2E_MONGO_SERVER
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
        15s, [&] { return http(runtime.port(), "GET", "/api/worker/health").json().at("ok") == true; }));
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
#ifdef E2E_MONGO_SERVER
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
    CHECK(eventually(15s, [&] {
        return http(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})").status == 201;
    }));
    CHECK(http(runtime.port(), "GET", "/api/jobs").json().at("jobs").get_array().size() == 2);
}

TEST_CASE("a stream on which nothing happens shows a heartbeat every fifteen seconds, with the current id") {
    const Folder folder;
    Runtime runtime(folder, true);
    REQUIRE(eventually(
        5s, [&] { return http(runtime.port(), "GET", "/api/worker/health").json().at("ok") == true; }));
    const Stream stream(runtime.port(), "/api/telemetry/stream");
    const auto begin = Clock::now();
    REQUIRE(eventually(20s, [&] { return stream.text().find("event: heartbeat") != std::string::npos; }));
    CHECK(Clock::now() - begin > 10s);
    const auto all = stream.text();
    const auto at = all.find("event: heartbeat");
    const auto block_begin = all.rfind("\n\n", at) + 2;
    REQUIRE(eventually(1s, [&] { return stream.text().find("\n\n", at) != std::string::npos; }));
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
