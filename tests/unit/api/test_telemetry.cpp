// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

using namespace api_test;

TEST_CASE("events are listed oldest first: the last ones, those after an id, those that match") {
    Api api;
    const auto a = api.create();
    const auto b = api.create(R"({"kind":"demo.sleep"})");
    api.settle(api.claim(api.beat(1)), Verdict::failed, "BAD", "bad");
    const auto names = [&](const std::string& query) {
        std::string text;
        const auto body = api.get("/api/telemetry" + query).body;
        for (const auto& event : body.at("events").as_array())
            text += std::string(event.at("event").as_string()) + " ";
        return text;
    };
    CHECK(names("") == "jobs.create.queued jobs.create.queued worker.job.claimed worker.job.failed ");
    CHECK(names("?limit=2") == "worker.job.claimed worker.job.failed ");
    CHECK(names("?jobId=" + a) == "jobs.create.queued worker.job.claimed worker.job.failed ");
    CHECK(names("?jobId=" + b) == "jobs.create.queued ");
    CHECK(names("?level=error") == "worker.job.failed ");
    const auto all = api.get("/api/telemetry").body;
    CHECK(all.at("count") == 4);
    const auto& first = all.at("events").at(0).as_object();
    CHECK(first.at("id").is_int64());
    for (const char* name : {"id", "ts", "event", "level", "jobId", "traceId", "sourceProcessId", "processRole"}) CHECK(first.contains(name));
    CHECK(first.at("sourceProcessId") == "test-process");
    CHECK(first.at("processRole") == "api");
    const auto after = std::to_string(all.at("events").at(1).at("id").as_int64());
    CHECK(names("?after=" + after) == "worker.job.claimed worker.job.failed ");
    CHECK(names("?limit=1&after=" + after) == "worker.job.claimed ");
    for (const char* bad : {"?jobId=x", "?level=debug", "?limit=0", "?after=-1", "?after=x", "?after=9007199254740992"}) {
        CAPTURE(bad);
        CHECK(api.get(std::string("/api/telemetry") + bad).code() == "INVALID_ARGUMENT");
    }
}

TEST_CASE("a position that is not kept any more is told, with the oldest that is") {
    Api api;
    for (int i = 0; i < 5; ++i) api.create();
    Retention retention;
    retention.event_count = 2;
    REQUIRE(api.store.tend(retention, 100, api.clock.wall()));
    const auto body = api.get("/api/telemetry?after=1").body;
    CHECK(body.at("truncated") == true);
    CHECK(body.at("oldestId") == body.at("events").at(0).at("id"));
    CHECK_FALSE(api.get("/api/telemetry").body.contains("truncated"));
}

TEST_CASE("a page of large events ends after so many bytes: the last ones, or those to go on after") {
    Api api;
    for (int i = 0; i < 100; ++i) {
        Event event;
        event.name = "test.large";
        event.fields = {{"n", i}, {"padding", std::string(100'000, 'x')}};
        Note note;
        note.events.push_back(std::move(event));
        REQUIRE(api.store.note({&note, 1}, api.clock.wall()));
    }
    const auto numbers = [](const Answer& answer) {
        std::vector<std::int64_t> list;
        for (const auto& event : answer.body.at("events").as_array()) list.push_back(event.at("n").as_int64());
        return list;
    };
    const auto last = api.get("/api/telemetry?limit=100");
    const auto newest = numbers(last);
    REQUIRE_FALSE(newest.empty());
    CHECK(newest.size() < 50);
    CHECK(newest.back() == 99);
    CHECK(newest.front() == 100 - static_cast<std::int64_t>(newest.size()));
    CHECK(last.body.at("count") == newest.size());
    CHECK(last.body.at("next") == last.body.at("events").as_array().back().at("id"));
    std::int64_t next = 0, expected = 0;
    while (true) {
        const auto page = api.get("/api/telemetry?limit=100&after=" + std::to_string(next));
        const auto list = numbers(page);
        if (list.empty()) break;
        CHECK(list.size() < 50);
        for (const auto n : list) REQUIRE(n == expected++);
        next = page.body.at("next").as_int64();
    }
    CHECK(expected == 100);
}

TEST_CASE("the stream is described for the host: filter, position, history") {
    Api api;
    const auto id = api.create();
    const auto open = [&](const std::string& query, const Headers& headers = {}) {
        return api.call("GET", "/api/telemetry/stream" + query, "", headers);
    };
    auto answer = open("");
    CHECK(answer.status == 200);
    CHECK(answer.header("content-type") == "text/event-stream; charset=utf-8");
    CHECK(answer.header("cache-control").find("no-store") == 0);
    auto* stream = std::get_if<EventStream>(&answer.response.body);
    REQUIRE(stream);
    CHECK_FALSE(stream->after);
    CHECK(stream->history == 200);
    answer = open("?jobId=" + id + "&traceId=t&level=warn&limit=99999&after=5");
    stream = std::get_if<EventStream>(&answer.response.body);
    REQUIRE(stream);
    CHECK(stream->filter.job.str() == id);
    CHECK(stream->filter.trace_id == "t");
    CHECK(stream->filter.level == Level::warn);
    CHECK(stream->history == 2000);
    CHECK(stream->after == 5);
    // A browser that reconnects sends both; the header is the newer one.
    answer = open("?after=5", {{"last-event-id", "9"}});
    CHECK(std::get<EventStream>(answer.response.body).after == 9);
    CHECK(open("", {{"last-event-id", "x"}}).code() == "INVALID_ARGUMENT");
    CHECK(open("?after=x").code() == "INVALID_ARGUMENT");
    CHECK(open("?jobid=x").code() == "INVALID_ARGUMENT");
}
