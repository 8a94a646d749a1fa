// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

#include <condition_variable>
#include <mutex>

using namespace api_test;

TEST_CASE("health says that the store answers, and no more") {
    Api api;
    const auto answer = api.get("/api/health");
    CHECK(answer.status == 200);
    CHECK(std::get<std::string>(answer.response.body) ==
          R"({"ok":true,"status":"ok","service":"jobrt","timestamp":"2026-01-01T00:00:00.000Z"})");
}

TEST_CASE("health is 503 when the store fails, and good again when it is") {
    Api api;
    api.fail(Errc::unavailable);
    for (const char* path : {"/api/health", "/api/worker/health"}) {
        const auto answer = api.get(path);
        CHECK(answer.status == 503);
        CHECK(answer.header("retry-after") == "2");
        CHECK(std::get<std::string>(answer.response.body) ==
              R"({"ok":false,"status":"unavailable","error":"The store does not answer"})");
    }
    CHECK(api.get("/api/workers").code() == "STORE_UNAVAILABLE");
    CHECK(api.get("/api/status").code() == "STORE_UNAVAILABLE");
    api.store.before = nullptr;
    CHECK(api.get("/api/health").status == 200);
}

TEST_CASE("a store that refuses us for its own reasons is away for whoever asks, and its reason is not told") {
    Api api;
    const std::pair<Errc, const char*> refusals[] = {{Errc::invalid_argument, "STORE_CREDENTIALS"},
                                                     {Errc::invalid_argument, "STORE_RIGHTS"},
                                                     {Errc::conflict, "STORE_INDEX"},
                                                     {Errc::unsupported, "STORE_TOO_NEW"},
                                                     {Errc::unsupported, "SERVER_TOO_OLD"}};
    for (const auto& [code, name] : refusals) {
        CAPTURE(name);
        api.store.before = [code = code, name = name](std::string_view) { return Error{code, name, "user ada, s3cret"}; };
        CHECK(api.get("/api/health").status == 503);
        const auto answer = api.get("/api/jobs");
        CHECK(answer.status == 503);
        CHECK(answer.code() == "STORE_UNAVAILABLE");
        CHECK(std::get<std::string>(answer.response.body).find("s3cret") == std::string::npos);
    }
}

TEST_CASE("health answers within two seconds while a verb of the store hangs") {
    std::mutex mutex;
    std::condition_variable changed;
    bool hang = true;
    Api api;
    api.store.before = [&](std::string_view) -> std::optional<Error> {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return !hang; });
        return std::nullopt;
    };
    for (int round = 0; round < 3; ++round) {
        const auto begun = std::chrono::steady_clock::now();
        CHECK(api.get(round == 1 ? "/api/worker/health" : "/api/health").status == 503);
        const auto took = std::chrono::steady_clock::now() - begun;
        CHECK(took < std::chrono::milliseconds(2000));
        // Known to hang: nobody waits for it again.
        if (round > 0) CHECK(took < std::chrono::milliseconds(500));
    }
    {
        std::lock_guard lock(mutex);
        hang = false;
    }
    changed.notify_all();
    // The verb returns; from then on all is well.
    while (api.get("/api/health").status != 200) std::this_thread::yield();
}

TEST_CASE("worker health follows the beat on this process's own steady clock") {
    Api api;
    const auto health = [&] { return api.get("/api/worker/health"); };
    CHECK(std::get<std::string>(health().response.body) ==
          R"({"ok":false,"error":"No heartbeat recorded","lastHeartbeatAt":null,"ageMs":null,"staleAfterMs":120000,"workers":0})");

    api.beat(1);
    auto body = health().body;
    CHECK(body.at("ok") == true);
    CHECK(body.at("ageMs") == 0);
    CHECK(body.at("workers") == 1);
    CHECK(body.at("startedAt") == "2026-01-01T00:00:00.000Z");
    api.clock.advance(Duration{5'000});
    body = health().body;
    CHECK(boost::json::serialize(body) ==
          R"({"ok":true,"lastHeartbeatAt":"2026-01-01T00:00:00.000Z","ageMs":5000,"staleAfterMs":120000,"workers":1,"startedAt":"2026-01-01T00:00:00.000Z"})");
    api.clock.advance(Duration{115'000});
    body = health().body;
    CHECK(body.at("ok") == true);
    CHECK(body.at("workers") == 0);  // Longer silent than a lease.
    api.clock.advance(Duration{1});
    body = health().body;
    CHECK(body.at("ok") == false);
    CHECK(body.at("ageMs") == 120'001);
    CHECK(body.contains("error"));
    api.beat(1);
    CHECK(health().body.at("ageMs") == 0);
    CHECK(health().body.at("ok") == true);
}

TEST_CASE("a beat first seen is as old as the wall clocks say, never less than nothing") {
    Api api;
    SessionId session;
    session.bytes[0] = 1;
    REQUIRE(api.store.beat(session, Api::worker_facts(), api.clock.wall() - Duration{7'000}));
    CHECK(api.get("/api/worker/health").body.at("ageMs") == 7'000);
    session.bytes[0] = 2;
    REQUIRE(api.store.beat(session, Api::worker_facts(), api.clock.wall() + Duration{3'600'000}));
    CHECK(api.get("/api/worker/health").body.at("ageMs") == 0);
}

TEST_CASE("a stopped worker is told from a lost one; the freshest counts; an API alone is no worker") {
    Api api;
    auto facts = Api::worker_facts();
    facts.works = false;
    api.beat(9, facts);
    CHECK(api.get("/api/worker/health").body.at("error") == "No heartbeat recorded");
    api.beat(1);
    api.clock.advance(Duration{1'000});
    facts = Api::worker_facts();
    facts.stopped = true;
    api.beat(2, facts);
    CHECK(api.get("/api/worker/health").body.at("ok") == true);  // The other one lives.
    api.clock.advance(Duration{1'000});
    api.beat(1, facts);
    const auto body = api.get("/api/worker/health").body;
    CHECK(body.at("ok") == false);
    CHECK(body.at("error") == "Worker stopped");
    CHECK(body.at("ageMs") == 0);
    CHECK(body.at("lastHeartbeatAt") == "2026-01-01T00:00:02.000Z");
    CHECK(body.at("workers") == 0);
}

TEST_CASE("a worker whose jobs were taken over is not healthy, however fresh its last beat") {
    Api api;
    const auto session = api.beat(1);
    const auto sessions = api.store.sessions();
    REQUIRE(sessions);
    REQUIRE(api.store.recover(session, sessions->front().beat, Loss::crash, 10, api.clock.wall()));
    const auto body = api.get("/api/worker/health").body;
    CHECK(body.at("ok") == false);
    CHECK(body.at("error") == "Worker died");
}

TEST_CASE("workers and status list who shares the store") {
    ApiOptions options;
    options.version = "9.9";
    options.status = {{"downloadDir", "/srv/downloads"}};
    Api api(options);
    const auto worker = api.beat(1);
    auto facts = Api::worker_facts();
    facts.works = false;
    facts.role = "api";
    api.beat(2, facts);
    facts = Api::worker_facts();
    facts.stopped = true;
    api.beat(3, facts);
    api.clock.advance(Duration{4'000});
    const auto workers = api.get("/api/workers").body.at("workers").as_array();
    REQUIRE(workers.size() == 1);
    const auto& row = workers[0].as_object();
    CHECK(text(row.at("id")) == worker.str());
    CHECK(row.at("host") == "box");
    CHECK(row.at("pid") == 42);
    CHECK(row.at("role") == "worker");
    CHECK(row.at("version") == "1.2");
    CHECK(row.at("startedAt") == "2026-01-01T00:00:00.000Z");
    CHECK(row.at("beatAgeMs") == 4'000);
    CHECK(row.at("running") == 0);
    const auto status = api.get("/api/status").body;
    CHECK(status.at("role") == "combined");
    CHECK(status.at("version") == "9.9");
    CHECK(status.at("store") == "memory");
    CHECK(status.at("downloadDir") == "/srv/downloads");
    CHECK(status.at("startedAt") == "2026-01-01T00:00:00.000Z");
    CHECK(status.at("sessions").as_array().size() == 2);
}
