// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

#include <algorithm>

#include "core/stats.hpp"

using namespace api_test;

TEST_CASE("quantiles of durations are right to a tenth, for milliseconds and for days") {
    core::Durations durations;
    for (int ms = 1; ms <= 10'000; ++ms) durations.add(Duration{ms});
    for (const auto& [share, exact] : {std::pair{0.5, 5'000.0}, {0.95, 9'500.0}, {0.99, 9'900.0}}) {
        CAPTURE(share);
        const auto estimate = static_cast<double>(durations.quantile(share));
        CHECK(estimate > exact * 0.9);
        CHECK(estimate < exact * 1.1);
    }
    for (const std::int64_t ms : {0, 1, 3, 4, 7, 8, 15, 16, 1'000, 86'400'000}) {
        core::Durations one;
        one.add(Duration{ms});
        CHECK(std::abs(one.quantile(0.99) - ms) <= ms / 8);
    }
    core::Durations ends;
    ends.add(Duration{-5});
    ends.add(Duration::max());
    CHECK(ends.quantile(0.5) == 0);
    CHECK(ends.quantile(1) > 1'000'000'000);
}

TEST_CASE("each minute says what happened in it, and how long jobs waited and ran") {
    Api api;
    const auto worker = api.beat(1);
    CHECK(api.get("/api/stats").body.at("minutes").as_array().size() == 1);
    api.create();
    api.create();
    api.create(R"({"kind":"demo.echo","delayMs":61000})");
    api.clock.advance(Duration{4'000});
    const auto first = api.claim(worker);
    api.clock.advance(Duration{1'000});
    api.settle(first, Verdict::completed);
    api.settle(api.claim(worker), Verdict::failed, "BROKEN", "it broke");
    api.clock.advance(Duration{57'000});  // The next minute; the third has been due for a second.
    api.settle(api.claim(worker), Verdict::retry, "BROKEN", "again");
    const auto stats = api.get("/api/stats").body;
    CHECK(stats.at("counts").at("scheduled") == 1);
    CHECK(stats.at("since") == "2026-01-01T00:00:00.000Z");
    const auto& minutes = stats.at("minutes").as_array();
    REQUIRE(minutes.size() == 2);
    const auto& one = minutes[0].as_object();
    CHECK(one.at("at") == "2026-01-01T00:00:00.000Z");
    CHECK(one.at("enqueued") == 3);
    CHECK(one.at("claimed") == 2);
    CHECK(one.at("completed") == 1);
    CHECK(one.at("failed") == 1);
    CHECK(one.at("retried") == 0);
    CHECK(one.at("partial") == false);
    CHECK(one.at("counts").at("queued") == 0);  // As it was at the first look.
    const auto near = [](const boost::json::value& value, std::int64_t exact) { return std::abs(value.as_int64() - exact) <= exact / 8; };
    CHECK(near(one.at("waitMs").at("p50"), 4'000));
    CHECK(near(one.at("waitMs").at("p99"), 5'000));
    CHECK(near(one.at("runMs").at("p99"), 1'000));
    const auto& two = minutes[1].as_object();
    CHECK(two.at("retried") == 1);
    CHECK(near(two.at("waitMs").at("p50"), 1'000));
    CHECK(two.at("counts").at("scheduled") == 1);
    CHECK(api.get("/api/stats?minutes=1").body.at("minutes").as_array().size() == 1);
    CHECK(api.get("/api/stats?minutes=361").code() == "INVALID_ARGUMENT");
    CHECK(api.get("/api/stats?minutes=0").code() == "INVALID_ARGUMENT");
}

TEST_CASE("the numbers stay bounded: minutes, and events a look, whose minute says that it is partial") {
    Api api;
    for (int minute = 0; minute < 400; ++minute) {
        api.create();
        CHECK(api.get("/api/stats?minutes=1").status == 200);
        api.clock.advance(Duration{60'000});
    }
    auto stats = api.get("/api/stats?minutes=360").body;
    CHECK(stats.at("minutes").as_array().size() == 360);
    CHECK(stats.at("minutes").at(0).at("enqueued") == 1);
    std::vector<JobSpec> many(2000, JobSpec{"demo.echo", {}, {}});
    for (int i = 0; i < 12; ++i) REQUIRE(api.queue.enqueue_many(many));
    stats = api.get("/api/stats?minutes=1").body;
    CHECK(stats.at("minutes").at(0).at("partial") == true);
    CHECK(stats.at("minutes").at(0).at("enqueued") == 20'000);
    api.clock.advance(Duration{60'000});
    api.create();
    stats = api.get("/api/stats?minutes=1").body;  // On with the newest.
    CHECK(stats.at("minutes").at(0).at("enqueued") == 1);
    CHECK(stats.at("minutes").at(0).at("partial") == false);
    api.fail(Errc::unavailable);
    CHECK(api.get("/api/stats").code() == "STORE_UNAVAILABLE");
}

TEST_CASE("a minute's jobs are counted once, also where that fails") {
    Api api;
    int asked = 0;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb != "count" || asked++ > 0) return std::nullopt;
        return Error{Errc::unavailable, "STORE_UNAVAILABLE", "too many to count"};
    };
    api.create();
    for (int i = 0; i < 3; ++i) {
        const auto minute = api.get("/api/stats?minutes=1").body.at("minutes").at(0);
        CHECK(minute.at("enqueued") == 1);
        CHECK(minute.at("counts").is_null());
    }
    CHECK(asked == 1 + 3);  // The answer has the counts of now besides.
    api.clock.advance(Duration{60'000});
    CHECK(api.get("/api/stats?minutes=1").body.at("minutes").at(0).at("counts").at("queued") == 1);
    CHECK(asked == 6);
}

TEST_CASE("an event of a clock that is far ahead counts now, and makes nothing old") {
    Api api;
    api.create();
    CHECK(api.get("/api/stats").status == 200);
    Note note;
    Event event;
    event.at = api.clock.wall() + Duration{48 * 3'600'000};
    event.job = *JobId::parse(api.create());
    event.name = "worker.job.failed";
    event.fields["status"] = "failed";
    note.events.push_back(event);
    REQUIRE(api.store.note({&note, 1}, api.clock.wall()));
    const auto minutes = api.get("/api/stats").body.at("minutes").as_array();
    REQUIRE(minutes.size() == 1);
    CHECK(minutes[0].at("enqueued") == 2);
    CHECK(minutes[0].at("failed") == 1);
}

TEST_CASE("another API process begins with the newest events, and says since when it knows") {
    Api api;
    for (int i = 0; i < 2500; ++i) {
        api.create();
        api.clock.advance(Duration{20});
    }
    const auto worker_tells = [&] {
        Note note;
        Event event;
        event.at = api.clock.wall();
        event.name = "worker.started";
        event.fields["version"] = "1.2";
        note.events.push_back(event);
        REQUIRE(api.store.note({&note, 1}, api.clock.wall()));
    };
    worker_tells();
    const auto stats = api.get("/api/stats").body;
    CHECK(stats.at("since") == "2026-01-01T00:00:10.020Z");
    CHECK(stats.at("minutes").at(0).at("enqueued") == 1999);
    CHECK(stats.at("starts").at(0).at("version") == "1.2");
    // Whether a later start brings another version is known by the one before, however long ago.
    api.clock.advance(Duration{7'200'000});
    CHECK(api.get("/api/stats?minutes=5").body.at("starts").at(0).at("version") == "1.2");
}

TEST_CASE("starts are those of all processes, each once, in their order") {
    Api api;
    auto facts = Api::worker_facts();
    const auto worker = api.beat(1, facts);
    api.clock.advance(Duration{1'000});
    facts.role = "api";
    facts.version = "1.3";
    facts.works = false;
    api.beat(2, facts);
    // The worker's event comes later than its first beat, and names its session.
    Note note;
    Event event;
    event.at = api.clock.wall();
    event.name = "worker.started";
    event.fields["version"] = "1.2";
    event.fields["workerId"] = worker.str();
    note.events.push_back(event);
    REQUIRE(api.store.note({&note, 1}, api.clock.wall()));
    const auto told = [&] {
        std::string all;
        const auto stats = api.get("/api/stats").body;
        for (const auto& start : stats.at("starts").as_array())
            all += text(start.at("role")) + ' ' + text(start.at("version")) + ' ' + text(start.at("at")) + '\n';
        return all;
    };
    // Read first, the event stands for that start; its role is that of the process which writes here.
    const std::string both = "api 1.2 2026-01-01T00:00:01.000Z\napi 1.3 2026-01-01T00:00:01.000Z\n";
    CHECK(told() == both);
    CHECK(told() == both);
    // What begins later is known within a minute.
    api.clock.advance(Duration{30'000});
    facts.version = "1.4";
    api.beat(3, facts);
    CHECK(told() == both);
    api.clock.advance(Duration{60'000});
    CHECK(told() == both + "api 1.4 2026-01-01T00:00:31.000Z\n");
}

TEST_CASE("kept without anybody asking, once a program wants that") {
    const auto store = memory::open();
    JobQueue queue(*store);
    ApiRouter router(queue);
    REQUIRE(queue.enqueue("demo.echo", {}));
    router.keep_stats();
    REQUIRE(queue.enqueue("demo.echo", {}));
    const auto answer = router.handle({"GET", "/api/stats", {{"host", "localhost"}}, "", ""});
    CHECK(std::get<std::string>(answer.body).find(R"("queued":2)") != std::string::npos);
}
