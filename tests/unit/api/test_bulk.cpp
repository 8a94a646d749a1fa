// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <utility>

#include "api_fixture.hpp"

using namespace api_test;

namespace {

/// A completed, a running and a queued job.
struct Three {
    explicit Three(Api& api) {
        const auto worker = api.beat(1);
        for (auto* id : {&ended, &running}) {
            *id = api.create();
            const auto job = api.claim(worker);
            if (id == &ended) api.settle(job, Verdict::failed, "BROKEN", "it broke");
        }
        waiting = api.create();
    }
    std::string ended, running, waiting;
};

std::string ids(std::initializer_list<std::string> list) {
    std::string text = "[";
    for (const auto& id : list) text += (text.size() > 1 ? ",\"" : "\"") + id + "\"";
    return text + "]";
}

std::string result(const Answer& answer, std::size_t at) { return text(answer.body.at("results").at(at).at("result")); }

}  // namespace

TEST_CASE("many jobs by id: each has its result, in order") {
    Api api;
    const Three jobs(api);
    const std::string nobody = "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f";
    const auto all = ids({jobs.ended, jobs.running, nobody, jobs.waiting});
    auto answer = api.post("/api/jobs/bulk", R"({"action":"cancel","ids":)" + all + "}");
    REQUIRE(answer.status == 200);
    CHECK(result(answer, 0) == "invalid_state");
    CHECK(answer.body.at("results").at(0).at("status") == "failed");
    CHECK(result(answer, 1) == "requested");
    CHECK(result(answer, 2) == "not_found");
    CHECK(result(answer, 3) == "done");
    CHECK(answer.body.at("done") == 1);
    CHECK(answer.body.at("requested") == 1);
    CHECK(answer.body.at("refused") == 2);
    CHECK(answer.body.at("nextCursor").is_null());
    answer = api.post("/api/jobs/bulk", R"({"action":"retry","fresh":true,"ids":)" + ids({jobs.ended, jobs.waiting}) + "}");
    CHECK(answer.body.at("done") == 2);
    CHECK(api.get("/api/jobs/" + jobs.ended).body.at("job").at("status") == "queued");
    answer = api.post("/api/jobs/bulk", R"({"action":"delete","ids":)" + all + "}");
    CHECK(answer.body.at("done") == 2);
    CHECK(api.get("/api/jobs/" + jobs.ended).status == 404);
    CHECK(api.get("/api/jobs/" + jobs.running).status == 200);
    CHECK(api.post("/api/jobs/bulk", R"({"action":"cancel","ids":[]})").body.at("done") == 0);
}

TEST_CASE("what a bulk change must not say is refused, and nothing is done") {
    Api api;
    const Three jobs(api);
    for (const std::string body :
         {R"({"action":"cancel"})", R"({"ids":[]})", R"({"action":"explode","ids":[]})", R"({"action":"cancel","ids":["x"]})",
          R"({"action":"cancel","ids":[],"filter":{},"expectedCount":0})", R"({"action":"cancel","filter":{}})",
          R"({"action":"cancel","filter":{"stauts":["failed"]},"expectedCount":3})", R"({"action":"cancel","ids":[],"cursor":"x"})",
          R"({"action":"cancel","filter":{"status":"failed"},"expectedCount":3})", R"({"action":"cancel","filter":{},"cursor":"nonsense"})",
          R"({"action":"cancel","filter":{},"cursor":"5.1800000000000.nonsense"})", R"({"action":"cancel","filter":{},"cursor":"0.1800000000000.x"})",
          R"({"action":"cancel","filter":{},"expectedCount":"3"})"}) {
        CAPTURE(body);
        CHECK(api.post("/api/jobs/bulk", body).code() == "INVALID_ARGUMENT");
    }
    const auto many = api.post("/api/jobs/bulk", R"({"action":"cancel","filter":{"queue":["default"]},"expectedCount":2})");
    CHECK(many.status == 409);
    CHECK(many.code() == "COUNT_CHANGED");
    CHECK(many.body.at("count") == 3);
    CHECK(api.post("/api/jobs/bulk", R"({"action":"delete","ids":)" + ids({jobs.waiting}) + R"(,"expectedCount":0})").status == 409);
    CHECK(api.get("/api/jobs/" + jobs.waiting).body.at("job").at("status") == "queued");
    CHECK(api.get("/api/jobs/" + jobs.running).body.at("job").at("cancelRequestedAt").is_null());
}

TEST_CASE("all that match a filter, in calls of bounded work that a cursor joins") {
    Api api;
    const Three jobs(api);
    for (int i = 0; i < 2300; ++i) api.create(R"({"kind":"demo.sleep","tags":["many"]})");
    const std::string filter = R"("filter":{"tag":"many","status":["queued"]})";
    auto answer = api.post("/api/jobs/bulk", R"({"action":"cancel","expectedCount":2300,)" + filter + "}");
    REQUIRE(answer.status == 200);
    CHECK(answer.body.at("done") == 2000);
    CHECK_FALSE(answer.body.contains("results"));
    REQUIRE(answer.body.at("nextCursor").is_string());
    answer = api.post("/api/jobs/bulk", R"({"action":"cancel","cursor":")" + text(answer.body.at("nextCursor")) + "\"," + filter + "}");
    CHECK(answer.body.at("done") == 300);
    CHECK(answer.body.at("nextCursor").is_null());
    CHECK(api.get("/api/jobs/counts?tag=many").body.at("counts").at("canceled") == 2300);
    CHECK(api.get("/api/jobs/" + jobs.waiting).body.at("job").at("status") == "queued");
}

TEST_CASE("jobs that come to match after they were counted are not changed in addition") {
    for (const std::string action : {"delete", "cancel"})
        for (const std::string words : {"", R"(,"text":"demo")"})
            for (const bool made : {true, false}) {
                CAPTURE(action);
                CAPTURE(words);
                CAPTURE(made);
                ApiOptions options;
                if (action == "delete" && words.empty()) options.deleted = [](const Job&, const RouteMatch&) {};
                Api api(options);
                // The one that comes to match is older than the last that does, or made later.
                for (int i = 0; i < 2100; ++i) api.create(R"({"kind":"demo.sleep"})");
                const auto late = made ? std::string() : api.create(R"({"kind":"demo.sleep","tags":["late"],"runAt":"2026-02-01T00:00:00.000Z"})");
                api.create(R"({"kind":"demo.sleep"})");
                int calls = 0;
                api.store.before = [&](std::string_view verb) -> std::optional<Error> {
                    if (verb != "change" || ++calls != 3) return std::nullopt;
                    api.clock.advance(Duration{1});
                    for (int i = 0; made && i < 300; ++i) api.create(R"({"kind":"demo.sleep"})");
                    if (!made) CHECK(api.post("/api/jobs/" + late + "/retry").status == 200);
                    return std::nullopt;
                };
                const std::string filter = R"("filter":{"kind":["demo.sleep"],"status":["queued"])" + words + "}";
                auto answer = api.post("/api/jobs/bulk", R"({"action":")" + action + R"(","expectedCount":2101,)" + filter + "}");
                REQUIRE(answer.status == 200);
                auto done = answer.body.at("done").to_number<int>();
                while (answer.body.at("nextCursor").is_string()) {
                    answer = api.post("/api/jobs/bulk", R"({"action":")" + action + R"(","cursor":")" + text(answer.body.at("nextCursor")) + "\"," + filter + "}");
                    REQUIRE(answer.status == 200);
                    done += answer.body.at("done").to_number<int>();
                }
                CHECK(calls > 3);
                CHECK(done == 2101);
                CHECK(api.get("/api/jobs/counts?status=queued").body.at("total") == (made ? 300 : 1));
            }
}

TEST_CASE("jobs that are made after they were counted do not take the places of those that have gone meanwhile") {
    Api api;
    std::vector<std::string> made;
    for (int i = 0; i < 2050; ++i) made.push_back(api.create());
    bool begun = false;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb != "change" || std::exchange(begun, true)) return std::nullopt;
        api.clock.advance(Duration{1});
        for (int i = 0; i < 40; ++i) CHECK(api.call("DELETE", "/api/jobs/" + made[made.size() - 1 - static_cast<std::size_t>(i)]).status == 200);
        for (int i = 0; i < 40; ++i) api.create();
        return std::nullopt;
    };
    const std::string filter = R"("filter":{"status":["queued"]})";
    auto answer = api.post("/api/jobs/bulk", R"({"action":"cancel","expectedCount":2050,)" + filter + "}");
    CHECK(answer.body.at("done") == 2000);
    REQUIRE(answer.body.at("nextCursor").is_string());
    answer = api.post("/api/jobs/bulk", R"({"action":"cancel","cursor":")" + text(answer.body.at("nextCursor")) + "\"," + filter + "}");
    CHECK(answer.body.at("done") == 10);
    CHECK(answer.body.at("nextCursor").is_null());
    CHECK(api.get("/api/jobs/counts?status=queued").body.at("total") == 40);
}

TEST_CASE("a store that goes away in the middle leaves what was done, a cursor, and no doubt") {
    Api api;
    for (int i = 0; i < 500; ++i) api.create();
    int calls = 0;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb == "change" && ++calls > 1) return Error{Errc::unavailable, "gone"};
        return std::nullopt;
    };
    const std::string filter = R"("filter":{"status":["queued"]})";
    auto answer = api.post("/api/jobs/bulk", R"({"action":"cancel","expectedCount":500,)" + filter + "}");
    CHECK(answer.status == 200);
    CHECK(answer.body.at("done") == 5);
    const auto rest = R"({"action":"cancel","cursor":")" + text(answer.body.at("nextCursor")) + "\"," + filter + "}";
    CHECK(api.post("/api/jobs/bulk", rest).code() == "STORE_UNAVAILABLE");
    api.store.before = nullptr;
    answer = api.post("/api/jobs/bulk", rest);
    CHECK(answer.body.at("done") == 495);
    CHECK(answer.body.at("nextCursor").is_null());
}

TEST_CASE("a store that goes away among named jobs leaves a result for each: what was done, what nobody knows, what was not tried") {
    Api api;
    std::string all;
    for (int i = 0; i < 400; ++i) all += (i ? ",\"" : "\"") + api.create() + "\"";
    int calls = 0;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb == "change" && ++calls > 1) return Error{Errc::unavailable, "gone"};
        return std::nullopt;
    };
    const auto ask = R"({"action":"cancel","ids":[)" + all + "]}";
    const auto answer = api.post("/api/jobs/bulk", ask);
    CHECK(answer.status == 200);
    CHECK(answer.body.at("done") == 5);
    REQUIRE(answer.body.at("results").as_array().size() == 400);
    for (std::size_t i = 0; i < 400; ++i) {
        CAPTURE(i);
        CHECK(result(answer, i) == (i < 5 ? "done" : i < 25 ? "unknown" : "not_tried"));
    }
    CHECK(text(answer.body.at("results").at(399).at("id")) == all.substr(all.size() - 37, 36));
    CHECK(api.post("/api/jobs/bulk", ask).code() == "STORE_UNAVAILABLE");
    api.store.before = nullptr;
    CHECK(api.post("/api/jobs/bulk", ask).body.at("done") == 395);
}

TEST_CASE("a store that is slow is asked for few at a time, so that a call ends before anybody gives up on it") {
    ApiOptions options;
    options.deleted = [](const Job&, const RouteMatch&) {};
    const std::pair<std::string, int> table[] = {{"retry", 15}, {"delete", 15}, {"retry", 90}, {"delete", 90}, {"retry", 150}, {"delete", 150}};
    for (const auto& [action, each_ms] : table) {
        CAPTURE(action);
        CAPTURE(each_ms);
        Api api(options);
        api.store.changing = [&, ms = each_ms](std::size_t jobs) { api.clock.advance(Duration{ms * static_cast<int>(jobs)}); };
        std::string all;
        for (int i = 0; i < 300; ++i) all += (i ? ",\"" : "\"") + api.create(R"({"kind":"demo.sleep","runAt":"2026-02-01T00:00:00.000Z"})") + "\"";
        const auto half = all.substr(0, 150 * 39 - 1);
        int done = 0;
        const auto ask = [&, what = action, least = each_ms > 15 ? 10 : 20](const std::string& which) {
            const auto begun = api.clock.steady();
            auto answer = api.post("/api/jobs/bulk", R"({"action":")" + what + "\"," + which + "}");
            REQUIRE(answer.status == 200);
            CHECK(answer.body.at("done").to_number<int>() >= least);
            CHECK(api.clock.steady() - begun < Duration{1600});
            done += answer.body.at("done").to_number<int>();
            return answer;
        };
        const auto answer = ask("\"ids\":[" + half + "]");
        CHECK(result(answer, static_cast<std::size_t>(done) - 1) == "done");
        CHECK(result(answer, static_cast<std::size_t>(done)) == "not_tried");
        REQUIRE(answer.body.at("results").as_array().size() == 150);
        const std::string filter = R"("filter":{"status":["scheduled"]})";
        auto more = ask(filter + ",\"expectedCount\":300");
        while (more.body.at("nextCursor").is_string()) more = ask(filter + ",\"cursor\":\"" + text(more.body.at("nextCursor")) + "\"");
        CHECK(done == 300);
    }
}

TEST_CASE("whoever wants to know of deleted jobs learns of each, and of no other") {
    std::vector<std::string> told;
    ApiOptions options;
    options.delete_query = {{.name = "keepFiles", .type = RouteField::Type::boolean}};
    options.deleted = [&](const Job& job, const RouteMatch& match) { told.push_back(job.kind + std::string(match.query_value("keepFiles").value_or(""))); };
    Api api(options);
    const Three jobs(api);
    for (int i = 0; i < 450; ++i) api.create(R"({"kind":"demo.sleep"})");
    const auto answer = api.post("/api/jobs/bulk?keepFiles=true", R"({"action":"delete","filter":{},"expectedCount":453})");
    CHECK(answer.body.at("done") == 452);
    CHECK(answer.body.at("refused") == 1);  // The running one.
    CHECK(told.size() == 452);
    CHECK(told.front() == "demo.echotrue");
    told.clear();
    CHECK(api.post("/api/jobs/bulk", R"({"action":"delete","ids":)" + ids({jobs.running, api.create()}) + "}").body.at("done") == 1);
    CHECK(told == std::vector<std::string>{"demo.echo"});
}

TEST_CASE("a job that ends while many are deleted is not deleted without its result being told") {
    for (const bool by_filter : {true, false}) {
        CAPTURE(by_filter);
        std::vector<std::string> told;
        ApiOptions options;
        options.deleted = [&](const Job& job, const RouteMatch&) { told.push_back(job.id.str()); };
        Api api(options);
        const auto worker = api.beat(1);
        const auto id = api.create(), waiting = api.create();
        const auto job = api.claim(worker);
        REQUIRE(job.id.str() == id);
        bool ended = false;
        api.store.before = [&](std::string_view verb) -> std::optional<Error> {
            if (verb == "change" && !std::exchange(ended, true)) api.settle(job, Verdict::completed);
            return std::nullopt;
        };
        const auto which = by_filter ? std::string(R"("filter":{},"expectedCount":2)") : "\"ids\":" + ids({id, waiting});
        const auto answer = api.post("/api/jobs/bulk", R"({"action":"delete",)" + which + "}");
        CHECK(ended);
        CHECK(answer.body.at("done") == 1);
        CHECK(answer.body.at("refused") == 1);
        CHECK(told == std::vector<std::string>{waiting});
        CHECK(api.get("/api/jobs/" + id).body.at("job").at("status") == "completed");
        if (!by_filter) CHECK(result(answer, 0) == "invalid_state");
        if (!by_filter) CHECK(result(answer, 1) == "done");
    }
}

TEST_CASE("a job that runs and ends while many are deleted is left, and its result with it") {
    for (const bool by_filter : {true, false}) {
        CAPTURE(by_filter);
        std::vector<std::string> told;
        ApiOptions options;
        options.deleted = [&](const Job& job, const RouteMatch&) { told.push_back(job.id.str()); };
        Api api(options);
        const auto worker = api.beat(1);
        const auto id = api.create(), waiting = api.create();
        bool ended = false;
        api.store.before = [&](std::string_view verb) -> std::optional<Error> {
            if (verb == "change" && !std::exchange(ended, true)) api.settle(api.claim(worker), Verdict::completed);
            return std::nullopt;
        };
        const auto which = by_filter ? std::string(R"("filter":{},"expectedCount":2)") : "\"ids\":" + ids({id, waiting});
        const auto answer = api.post("/api/jobs/bulk", R"({"action":"delete",)" + which + "}");
        CHECK(answer.body.at("done") == 1);
        CHECK(answer.body.at("refused") == 1);
        CHECK(told == std::vector<std::string>{waiting});
        CHECK(api.get("/api/jobs/" + id).body.at("job").at("status") == "completed");
    }
}

TEST_CASE("a job that is retried while the failed ones are deleted is not deleted") {
    ApiOptions options;
    options.deleted = [](const Job&, const RouteMatch&) {};
    Api api(options);
    const auto worker = api.beat(1);
    const auto id = api.create();
    api.settle(api.claim(worker), Verdict::failed);
    bool retried = false;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb == "change" && !std::exchange(retried, true)) CHECK(api.post("/api/jobs/" + id + "/retry", "{}").status == 200);
        return std::nullopt;
    };
    const auto answer = api.post("/api/jobs/bulk", R"({"action":"delete","filter":{"status":["failed"]},"expectedCount":1})");
    CHECK(answer.body.at("done") == 0);
    CHECK(answer.body.at("refused") == 1);
    CHECK(api.get("/api/jobs/" + id).body.at("job").at("status") == "queued");
}

TEST_CASE("many are deleted in calls that a cursor joins, also where somebody wants to know of each") {
    int told = 0;
    ApiOptions options;
    options.deleted = [&](const Job&, const RouteMatch&) { ++told; };
    Api api(options);
    const Three jobs(api);
    for (int i = 0; i < 2100; ++i) api.create();
    auto answer = api.post("/api/jobs/bulk", R"({"action":"delete","filter":{},"expectedCount":2103})");
    CHECK(answer.body.at("done") == 1999);
    CHECK(answer.body.at("refused") == 1);
    REQUIRE(answer.body.at("nextCursor").is_string());
    answer = api.post("/api/jobs/bulk", R"({"action":"delete","filter":{},"cursor":")" + text(answer.body.at("nextCursor")) + "\"}");
    CHECK(answer.body.at("done") == 103);
    CHECK(answer.body.at("nextCursor").is_null());
    CHECK(told == 2102);
    CHECK(api.post("/api/jobs/bulk", R"({"action":"delete","filter":{},"cursor":"nonsense"})").code() == "INVALID_ARGUMENT");
}

TEST_CASE("jobs are found by every filter that the store has, and by words, and counted") {
    Api api;
    const Three jobs(api);
    const auto marked = api.create(R"({"kind":"demo.other","payload":{"city":"Zürich"},"uniqueKey":"Key-1"})");
    api.clock.advance(Duration{1000});
    const auto late = api.create(R"({"kind":"demo.other"})");
    const auto found = [&](const std::string& query) {
        std::string list;
        const auto page = api.get("/api/jobs?" + query);
        for (const auto& job : page.body.at("jobs").as_array()) list += text(job.at("id")) + " ";
        return list;
    };
    CHECK(found("uniqueKey=Key-1") == marked + " ");
    CHECK(found("errorCode=BROKEN") == jobs.ended + " ");
    CHECK(found("workerId=" + api.beat(1).str()) == jobs.running + " " + jobs.ended + " ");
    CHECK(found("createdAfter=2026-01-01T00:00:01.000Z") == late + " ");
    CHECK(found("kind=demo.other&createdBefore=2026-01-01T00:00:01.000Z") == marked + " ");
    CHECK(found("text=IT%20BROKE") == jobs.ended + " ");
    CHECK(found("text=z%C3%BCRICH") == marked + " ");
    CHECK(found("text=key-1") == marked + " ");
    CHECK(found("text=" + late) == late + " ");
    CHECK(found("text=nowhere") == "");
    CHECK(found("text=demo&limit=2") == late + " " + marked + " ");
    const auto counts = api.get("/api/jobs/counts?kind=demo.other,demo.echo").body;
    CHECK(counts.at("total") == 5);
    CHECK(boost::json::serialize(counts.at("counts")) ==
          R"({"scheduled":0,"queued":3,"running":1,"completed":0,"failed":1,"canceled":0})");
    CHECK(api.get("/api/jobs/counts?limit=3").code() == "INVALID_ARGUMENT");
}

TEST_CASE("words that nothing has end a page after so many jobs, with a cursor to go on") {
    Api api;
    const auto first = api.create(R"({"kind":"demo.needle"})");
    for (int i = 0; i < 2100; ++i) api.create();
    const auto page = api.get("/api/jobs?text=needle");
    CHECK(page.body.at("jobs").as_array().empty());
    REQUIRE(page.body.at("nextCursor").is_string());
    const auto next = api.get("/api/jobs?text=needle&cursor=" + text(page.body.at("nextCursor")));
    REQUIRE(next.body.at("jobs").as_array().size() == 1);
    CHECK(text(next.body.at("jobs").at(0).at("id")) == first);
    CHECK(next.body.at("nextCursor").is_null());
}

TEST_CASE("fewer jobs than were counted are changed, and more than that are not") {
    Api api;
    for (int i = 0; i < 5; ++i) api.create();
    const auto ask = [&](int count) {
        return api.post("/api/jobs/bulk", R"({"action":"cancel","filter":{"status":["queued"]},"expectedCount":)" + std::to_string(count) + "}");
    };
    CHECK(ask(4).code() == "COUNT_CHANGED");
    CHECK(api.get("/api/jobs/counts?status=queued").body.at("total") == 5);
    // A worker has taken one since they were counted.
    api.claim(api.beat(1));
    const auto answer = ask(5);
    CHECK(answer.status == 200);
    CHECK(answer.body.at("done") == 4);
    CHECK(answer.body.at("nextCursor").is_null());
    CHECK(ask(5).body.at("done") == 0);
}

TEST_CASE("a change of all that match goes by words, too, and their number is told honestly") {
    Api api;
    std::vector<std::string> needles;
    for (int i = 0; i < 2100; ++i) {
        auto id = api.create(i % 1025 == 0 ? R"({"kind":"demo.echo","payload":{"a":"a Needle"}})" : R"({"kind":"demo.echo"})");
        if (i % 1025 == 0) needles.push_back(id);
    }
    api.create(R"({"kind":"demo.other","payload":{"a":"needle"}})");
    const auto counts = api.get("/api/jobs/counts?kind=demo.echo&text=NEEDLE").body;
    CHECK(counts.at("total") == 3);
    CHECK(counts.at("counts").at("queued") == 3);
    const auto ask = [&](const std::string& more) {
        return api.post("/api/jobs/bulk", R"({"action":"cancel","filter":{"kind":["demo.echo"],"text":"needle"},)" + more + "}");
    };
    CHECK(ask(R"("expectedCount":2)").code() == "COUNT_CHANGED");
    CHECK(ask(R"("expectedCount":2)").body.at("count") == 3);
    auto answer = ask(R"("expectedCount":3)");
    // It looks at so many jobs a call.
    CHECK(answer.body.at("done") == 2);
    REQUIRE(answer.body.at("nextCursor").is_string());
    answer = ask(R"("cursor":")" + text(answer.body.at("nextCursor")) + "\"");
    CHECK(answer.body.at("done") == 1);
    CHECK(answer.body.at("nextCursor").is_null());
    for (const auto& id : needles) CHECK(api.get("/api/jobs/" + id).body.at("job").at("status") == "canceled");
    CHECK(api.get("/api/jobs/counts?status=canceled").body.at("total") == 3);
    // Deleting goes the same way.
    answer = api.post("/api/jobs/bulk", R"({"action":"delete","filter":{"status":["canceled"],"text":"needle"},"expectedCount":3})");
    CHECK(answer.body.at("done") == 3);
    CHECK(api.get("/api/jobs/counts").body.at("total") == 2098);
}

TEST_CASE("words in more jobs than one answer may look at are refused, and nothing is done") {
    Api api;
    NewJob job;
    job.kind = "demo.echo";
    for (int i = 1; i <= 10'001; ++i) {
        job.id.bytes[14] = static_cast<std::uint8_t>(i >> 8);
        job.id.bytes[15] = static_cast<std::uint8_t>(i);
        REQUIRE(api.store.insert({&job, 1}, api.clock.wall()));
    }
    CHECK(api.get("/api/jobs/counts?text=demo").code() == "FILTER_TOO_WIDE");
    const auto answer = api.post("/api/jobs/bulk", R"({"action":"delete","filter":{"text":"demo"},"expectedCount":10001})");
    CHECK(answer.status == 400);
    CHECK(answer.code() == "FILTER_TOO_WIDE");
    CHECK(api.get("/api/jobs/counts").body.at("total") == 10'001);
}

TEST_CASE("words are not counted for longer than somebody waits") {
    Api api;
    for (int i = 0; i < 150; ++i) api.create();
    CHECK(api.get("/api/jobs/counts?text=demo").body.at("total") == 150);
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb == "list") api.clock.advance(Duration{600});
        return std::nullopt;
    };
    CHECK(api.get("/api/jobs/counts?text=demo").code() == "FILTER_TOO_WIDE");
    for (int i = 0; i < 120; ++i)
        CHECK(api.call("DELETE", "/api/jobs/" + text(api.get("/api/jobs?limit=1").body.at("jobs").at(0).at("id"))).status == 200);
    CHECK(api.get("/api/jobs/counts?text=demo").body.at("total") == 30);
}

TEST_CASE("words that nothing has end a page after so many bytes, too") {
    Api api;
    NewJob job;
    job.kind = "demo.echo";
    job.payload = R"({"x":")" + std::string(250'000, 'x') + "\"}";
    for (int i = 1; i <= 310; ++i) {
        job.id.bytes[14] = static_cast<std::uint8_t>(i >> 8);
        job.id.bytes[15] = static_cast<std::uint8_t>(i);
        REQUIRE(api.store.insert({&job, 1}, api.clock.wall()));
    }
    const auto page = api.get("/api/jobs?text=needle");
    CHECK(page.body.at("jobs").as_array().empty());
    REQUIRE(page.body.at("nextCursor").is_string());
    CHECK(api.get("/api/jobs?text=needle&cursor=" + text(page.body.at("nextCursor"))).body.at("nextCursor").is_null());
}

TEST_CASE("a page ends where the store has looked as far as it does, with a cursor to go on") {
    Api api;
    for (int i = 0; i < 120; ++i) api.create();
    int asked = 0;
    api.store.listed = [&](JobPage& page) {
        ++asked;
        page.jobs.resize(3);
    };
    auto page = api.get("/api/jobs?limit=100").body;
    CHECK(page.at("jobs").as_array().size() == 3);
    CHECK(page.at("nextCursor").is_string());
    api.store.listed = [&](JobPage& empty) {
        ++asked;
        empty.jobs.clear();
    };
    page = api.get("/api/jobs?limit=100").body;
    CHECK(page.at("jobs").as_array().empty());
    CHECK(page.at("nextCursor").is_string());
    CHECK(asked == 2);
}

TEST_CASE("words that nothing has end a page after some time, too, and other pages do not") {
    Api api;
    for (int i = 0; i < 250; ++i) api.create();
    int asked = 0;
    api.store.listed = [&](JobPage&) {
        ++asked;
        api.clock.advance(Duration{40});
    };
    CHECK(api.get("/api/jobs?text=nowhere").body.at("nextCursor").is_string());
    CHECK(asked == 2);
    CHECK(api.get("/api/jobs?limit=250").body.at("jobs").as_array().size() == 250);
}

TEST_CASE("a count comes in slices, each of which says where the next begins") {
    Api api;
    api.create();
    CHECK(api.get("/api/jobs/counts?kind=demo.echo").body.at("nextCursor").is_null());
    api.store.counting = [](std::string_view cursor) -> Result<Counts> {
        const auto queued = [](std::uint64_t n) { return CountRow{{}, JobState::queued, n, {}}; };
        if (cursor.empty()) return Counts{{queued(3)}, "behind 3"};
        if (cursor == "behind 3") return Counts{{queued(2), {{}, JobState::failed, 1, {}}}, {}};
        return Error{Errc::invalid_argument, "none of mine"};
    };
    const auto first = api.get("/api/jobs/counts?tag=x").body;
    CHECK(first.at("total") == 3);
    CHECK(first.at("nextCursor") == "behind 3");
    const auto second = api.get("/api/jobs/counts?tag=x&cursor=behind%203").body;
    CHECK(second.at("total") == 3);
    CHECK(second.at("counts").at("queued") == 2);
    CHECK(second.at("counts").at("failed") == 1);
    CHECK(second.at("nextCursor").is_null());
    const auto wrong = api.get("/api/jobs/counts?tag=x&cursor=y");
    CHECK(wrong.status == 400);
    CHECK(text(wrong.body.at("error")).find("nextCursor of an earlier answer") != std::string::npos);
    // By words it is one slice or none.
    CHECK(api.get("/api/jobs/counts?text=demo").body.at("nextCursor").is_null());
    CHECK(api.get("/api/jobs/counts?text=demo&cursor=behind%203").code() == "INVALID_ARGUMENT");
    api.store.counting = nullptr;
    CHECK(api.get("/api/jobs/counts?cursor=y").code() == "INVALID_ARGUMENT");
}

TEST_CASE("a store that refuses a count for a reason of its own is away, and the cursor is not wrong") {
    Api api;
    api.store.counting = [](std::string_view) -> Result<Counts> {
        return Error{Errc::invalid_argument, "SERVER_TOO_OLD", "the server is too old"};
    };
    CHECK(api.get("/api/jobs/counts?tag=x&cursor=y").code() == "STORE_UNAVAILABLE");
}
