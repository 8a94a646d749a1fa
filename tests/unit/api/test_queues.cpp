// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

using namespace api_test;

namespace {

boost::json::object queue_named(Api& api, std::string_view name) {
    const auto all = api.get("/api/queues");
    for (const auto& queue : all.body.at("queues").as_array())
        if (text(queue.at("queue")) == name) return queue.as_object();
    return {};
}

}  // namespace

TEST_CASE("the queues: depth by state, the oldest that is due, workers and their places") {
    Api api;
    auto facts = Api::worker_facts();
    facts.details["concurrency"] = {{"default", 4}, {"other", 9}};
    const auto worker = api.beat(1, facts);
    api.beat(2, facts);
    api.create();
    api.create();
    api.create(R"({"kind":"demo.echo","queue":"media","delayMs":60000})");
    api.settle(api.claim(worker), Verdict::completed);
    (void)api.claim(worker);
    api.create();
    api.clock.advance(Duration{5'000});
    api.beat(1, facts);
    const auto queue = queue_named(api, "default");
    CHECK(queue.at("paused") == false);
    CHECK(boost::json::serialize(queue.at("counts")) ==
          R"({"scheduled":0,"queued":1,"running":1,"completed":1,"failed":0,"canceled":0})");
    CHECK(queue.at("oldestDueAt") == "2026-01-01T00:00:00.000Z");
    CHECK(queue.at("oldestDueMs") == 5000);
    CHECK(queue.at("workers") == 2);
    CHECK(queue.at("concurrency") == 8);
    const auto media = queue_named(api, "media");
    CHECK(media.at("oldestDueAt").is_null());  // It waits for its time.
    CHECK(media.at("workers") == 0);
    CHECK(media.at("counts").at("scheduled") == 1);
    // A worker that is silent for longer than a lease serves nobody.
    api.clock.advance(Duration{60'000});
    CHECK(queue_named(api, "default").at("workers") == 0);
    api.fail(Errc::unavailable);
    CHECK(api.get("/api/queues").code() == "STORE_UNAVAILABLE");
}

TEST_CASE("a queue is paused and goes on again, also one that nobody has used yet") {
    Api api;
    api.create();
    const auto paused = api.post("/api/queues/default/pause");
    CHECK(paused.status == 200);
    CHECK(boost::json::serialize(paused.body) == R"({"ok":true,"queue":"default","paused":true})");
    CHECK(api.post("/api/queues/default/pause", "{}").status == 200);
    CHECK(*api.queue.paused() == std::vector<std::string>{"default"});
    CHECK(queue_named(api, "default").at("paused") == true);
    CHECK(api.post("/api/queues/new.one/pause").status == 200);
    CHECK(queue_named(api, "new.one").at("paused") == true);
    CHECK(api.post("/api/queues/default/resume").body.at("paused") == false);
    CHECK(*api.queue.paused() == std::vector<std::string>{"new.one"});
    CHECK(api.post("/api/queues/No%20Name/pause").code() == "NOT_FOUND");
    CHECK(api.post("/api/queues/default/pause", R"({"for":5})").code() == "INVALID_ARGUMENT");
    CHECK(api.get("/api/queues/default/pause").status == 405);
}
