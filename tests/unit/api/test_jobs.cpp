// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

using namespace api_test;

TEST_CASE("a job is created with everything that the request says") {
    Api api;
    const auto answer = api.post("/api/jobs",
                                 R"({"kind":"demo.echo","payload":{"a":[1,"x",null]},"queue":"media","priority":-5,"delayMs":60000,
                                     "maxAttempts":3,"uniqueKey":"k1","tags":["one","two"]})",
                                 {{"x-trace-id", "trace-1"}});
    REQUIRE(answer.status == 201);
    CHECK(answer.body.at("ok") == true);
    CHECK(answer.body.at("traceId") == "trace-1");
    const auto& job = answer.body.at("job").as_object();
    CHECK(answer.header("location") == "/api/jobs/" + std::string(job.at("id").as_string()));
    CHECK(job.at("kind") == "demo.echo");
    CHECK(job.at("queue") == "media");
    CHECK(job.at("status") == "scheduled");
    CHECK(job.at("priority") == -5);
    CHECK(boost::json::serialize(job.at("payload")) == R"({"a":[1,"x",null]})");
    CHECK(job.at("maxAttempts") == 3);
    CHECK(job.at("uniqueKey") == "k1");
    CHECK(boost::json::serialize(job.at("tags")) == R"(["one","two"])");
    CHECK(job.at("traceId") == "trace-1");
    CHECK(job.at("runAt") == "2026-01-01T00:01:00.000Z");
    CHECK(job.at("createdAt") == "2026-01-01T00:00:00.000Z");
    CHECK_FALSE(job.at("waitingFor").as_string().empty());
    CHECK(api.get("/api/jobs/" + std::string(job.at("id").as_string())).body.at("job") == job);
    // Every event of the job carries the request's trace id.
    CHECK(api.get("/api/telemetry?traceId=trace-1").body.at("count") == 1);
}

TEST_CASE("a whole number is one however it is written, as JSON Schema has it") {
    Api api;
    const auto answer = api.post("/api/jobs", R"({"kind":"demo.echo","payload":{"a":2.0},"priority":-5.0,"delayMs":6e4,"maxAttempts":30e-1})");
    REQUIRE(answer.status == 201);
    const auto& job = answer.body.at("job").as_object();
    CHECK(boost::json::serialize(job.at("priority")) == "-5");
    CHECK(boost::json::serialize(job.at("maxAttempts")) == "3");
    CHECK(job.at("runAt") == "2026-01-01T00:01:00.000Z");
    CHECK(job.at("payload").at("a").is_double());  // What is the job's own stays as it came.
    CHECK(api.post("/api/jobs/bulk", R"({"action":"cancel","filter":{},"expectedCount":0.0})").status == 409);
    CHECK(api.post("/api/jobs/bulk", R"({"action":"cancel","filter":{},"expectedCount":1.0})").status == 200);
}

TEST_CASE("a job's JSON has these members in this order, and null where there is nothing") {
    ApiOptions options;
    options.decorate = [](const Job&, boost::json::object& added) {
        added["url"] = "https://x.example/1";
        added["canonicalUrl"] = "https://x.example/1";
        added["outputPath"] = "x/1.mp4";
    };
    Api api(options);
    const auto id = api.create();
    const auto answer = api.get("/api/jobs/" + id);
    const auto& job = answer.body.at("job").as_object();
    std::string names;
    for (const auto& member : job) names += std::string(member.key()) + " ";
    CHECK(names ==
          "id kind queue status priority payload url canonicalUrl attempt maxAttempts crashes cancelRequestedAt progress result "
          "outputPath thumbnailPath error errorCode errors waitingFor tags uniqueKey traceId workerId createdAt runAt startedAt "
          "finishedAt ");
    CHECK(job.at("outputPath") == "x/1.mp4");
    for (const char* name : {"cancelRequestedAt", "result", "thumbnailPath", "error", "errorCode", "uniqueKey", "workerId", "startedAt",
                             "finishedAt"}) {
        CAPTURE(name);
        CHECK(job.at(name).is_null());
    }
    CHECK(boost::json::serialize(job.at("progress")) == R"({"percent":null,"stage":null,"message":null})");
}

TEST_CASE("a job's JSON tells its way: running, failed, and no error once it is completed") {
    Api api;
    const auto worker = api.beat(1);
    const auto path = "/api/jobs/" + api.create();
    const auto running = api.claim(worker);
    auto job = api.get(path).body.at("job").as_object();
    CHECK(job.at("status") == "running");
    CHECK(job.at("attempt") == 1);
    CHECK(text(job.at("workerId")) == worker.str());
    CHECK(job.at("startedAt") == "2026-01-01T00:00:00.000Z");
    CHECK(job.at("waitingFor").is_null());
    api.settle(running, Verdict::retry, "SMTP_DOWN", "refused");
    job = api.get(path).body.at("job").as_object();
    CHECK(job.at("status") == "scheduled");
    CHECK(job.at("errorCode") == "SMTP_DOWN");
    CHECK(job.at("error") == "refused");
    CHECK(boost::json::serialize(job.at("errors")) ==
          R"([{"at":"2026-01-01T00:00:00.000Z","attempt":1,"code":"SMTP_DOWN","message":"refused"}])");
    api.clock.advance(Duration{60'000});
    api.settle(api.claim(worker), Verdict::completed);
    job = api.get(path).body.at("job").as_object();
    CHECK(job.at("status") == "completed");
    CHECK(job.at("error").is_null());
    CHECK(job.at("errorCode").is_null());
    CHECK(job.at("errors").as_array().size() == 1);
    CHECK(job.at("result").at("answer") == 42);
    CHECK(job.at("finishedAt") == "2026-01-01T00:01:00.000Z");
}

TEST_CASE("what a creation may not say is refused by name, and nothing is created") {
    Api api;
    for (const char* body :
         {"{}", R"({"payload":{}})", R"({"kind":7})", R"({"kind":""})", R"({"kind":"Upper"})", R"({"kind":"a b"})", R"({"kind":null})",
          R"({"kind":"demo.echo","payload":[]})", R"({"kind":"demo.echo","payload":"x"})", R"({"kind":"demo.echo","payload":null})",
          R"({"kind":"demo.echo","queue":"Bad Queue"})", R"({"kind":"demo.echo","queue":1})", R"({"kind":"demo.echo","priority":40000})",
          R"({"kind":"demo.echo","priority":1.5})", R"({"kind":"demo.echo","priority":"1"})", R"({"kind":"demo.echo","maxAttempts":0})",
          R"({"kind":"demo.echo","maxAttempts":1001})", R"({"kind":"demo.echo","delayMs":-1})", R"({"kind":"demo.echo","delayMs":1e30})",
          R"({"kind":"demo.echo","runAt":"tomorrow"})", R"({"kind":"demo.echo","runAt":5})",
          R"({"kind":"demo.echo","runAt":"2026-03-01T00:00:00Z","delayMs":5})", R"({"kind":"demo.echo","uniqueKey":""})",
          R"({"kind":"demo.echo","tags":"x"})", R"({"kind":"demo.echo","tags":[1]})", R"({"kind":"demo.echo","tags":[""]})",
          R"({"kind":"demo.echo","tags":["a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a","a"]})",
          R"({"kind":"demo.echo","unknown":1})", R"({"kind":"demo.echo","url":"https://x.example/1"})", R"({"kind":"demo.echo","max_attempts":1})"}) {
        CAPTURE(body);
        const auto answer = api.post("/api/jobs", body);
        CHECK(answer.status == 400);
        CHECK(answer.code() == "INVALID_ARGUMENT");
    }
    const auto long_key = R"({"kind":"demo.echo","uniqueKey":")" + std::string(513, 'k') + "\"}";
    CHECK(api.post("/api/jobs", long_key).status == 400);
    const auto large = R"({"kind":"demo.echo","payload":{"x":")" + std::string(300'000, 'x') + "\"}}";
    CHECK(api.post("/api/jobs", large).status == 413);
    CHECK(api.post("/api/jobs", large).code() == "PAYLOAD_TOO_LARGE");
    const auto endless = api.post("/api/jobs", R"({"kind":"demo.echo","payload":{"x":1e400}})");
    CHECK(endless.status == 400);
    CHECK(endless.code() == "INVALID_PAYLOAD");
    const auto long_one = api.post("/api/jobs", R"({"kind":"demo.echo","payload":{"x":-9223372036854775809}})");
    CHECK(long_one.status == 400);
    CHECK(long_one.code() == "INVALID_NUMBER");
    CHECK(text(long_one.body.at("error")).find("send it as a string") != std::string::npos);
    CHECK(api.get("/api/jobs").body.at("jobs").as_array().empty());
}

TEST_CASE("an Idempotency-Key gets the same job again, and not for another body") {
    Api api;
    const Headers key{{"idempotency-key", "order-1"}};
    const std::string body = R"({"kind":"demo.echo","payload":{"n":1}})";
    const auto first = api.post("/api/jobs", body, key);
    REQUIRE(first.status == 201);
    const auto again = api.post("/api/jobs", body, key);
    CHECK(again.status == 201);
    CHECK(again.body.at("job").at("id") == first.body.at("job").at("id"));
    CHECK(first.header("location") == "/api/jobs/" + text(first.body.at("job").at("id")));
    CHECK(again.header("location") == first.header("location"));
    const auto other = api.post("/api/jobs", R"({"kind":"demo.echo","payload":{"n":2}})", key);
    CHECK(other.status == 409);
    CHECK(other.code() == "IDEMPOTENCY_KEY_REUSED");
    CHECK(other.body.at("existingJobId") == first.body.at("job").at("id"));
    CHECK(api.get("/api/jobs").body.at("jobs").as_array().size() == 1);
    CHECK(api.post("/api/jobs", body, {{"idempotency-key", std::string(256, 'k')}}).status == 400);
    CHECK(api.post("/api/jobs", body, {{"idempotency-key", "a\tb"}}).status == 400);
}

TEST_CASE("a taken unique key is a conflict that names the other job, and when it runs") {
    Api api;
    const auto id = api.create(R"({"kind":"demo.echo","uniqueKey":"k","delayMs":5000})");
    const auto clash = api.post("/api/jobs", R"({"kind":"demo.other","uniqueKey":"k"})");
    CHECK(clash.status == 409);
    CHECK(clash.code() == "CONFLICT");
    CHECK(text(clash.body.at("existingJobId")) == id);
    CHECK(clash.body.at("existingJobStatus") == "scheduled");
    CHECK(clash.body.at("retryAt") == "2026-01-01T00:00:05.000Z");
    const auto events = api.get("/api/telemetry?jobId=" + id).body.at("events").as_array();
    CHECK(events.back().at("event") == "jobs.create.duplicate");
    CHECK(text(events.back().at("jobId")) == id);
}

TEST_CASE("a program creates jobs of its own by the same rules: own codes, and a finished job run again") {
    Api api;
    bool file_is_there = true;
    api.router.add({"POST", "/save", Role::operate, "Saves.", {}, [&](const Request& request, const RouteMatch& match) {
                        JobSpec spec{"demo.echo", {{"url", request.body}}, {}};
                        spec.options.unique = "the-key";
                        spec.options.unique_states = StateSet{JobState::completed};
                        CreateRules rules{"DUPLICATE_ACTIVE_JOB", "DUPLICATE_COMPLETED_JOB", [&](const Job&) { return !file_is_there; }};
                        return api.router.create_job(request, match, spec, rules);
                    }});
    const auto first = api.post("/save");
    REQUIRE(first.status == 201);
    const auto id = first.body.at("job").at("id");
    CHECK(api.post("/save").code() == "DUPLICATE_ACTIVE_JOB");
    api.settle(api.claim(api.beat(1)), Verdict::completed);
    const auto refused = api.post("/save");
    CHECK(refused.code() == "DUPLICATE_COMPLETED_JOB");
    CHECK(refused.body.at("existingJobStatus") == "completed");
    file_is_there = false;
    const auto again = api.post("/save");
    CHECK(again.status == 201);
    CHECK(again.body.at("requeued") == true);
    CHECK(again.body.at("job").at("id") == id);
    CHECK(again.body.at("job").at("status") == "queued");
    CHECK(api.post("/save").code() == "DUPLICATE_ACTIVE_JOB");
}

TEST_CASE("an Idempotency-Key that had a finished job run again gets that answer again") {
    Api api;
    bool file_is_there = false;
    api.router.add({"POST", "/save", Role::operate, "Saves.", {}, [&](const Request& request, const RouteMatch& match) {
                        JobSpec spec{"demo.echo", {{"url", "u"}}, {}};
                        spec.options.unique = "the-key";
                        spec.options.unique_states = StateSet{JobState::completed};
                        CreateRules rules{"DUPLICATE_ACTIVE_JOB", "DUPLICATE_COMPLETED_JOB", [&](const Job&) { return !file_is_there; }};
                        return api.router.create_job(request, match, spec, rules);
                    }});
    const auto id = api.post("/save", "{}").body.at("job").at("id");
    api.settle(api.claim(api.beat(1)), Verdict::completed);
    const Headers key{{"idempotency-key", "again-1"}};
    const auto first = api.post("/save", "{}", key);
    REQUIRE(first.status == 201);
    REQUIRE(first.body.at("requeued") == true);
    for (const auto* state : {"queued", "running", "completed"}) {
        CAPTURE(state);
        if (state == std::string_view("running")) (void)api.claim(api.beat(1));
        const auto again = api.post("/save", "{}", key);
        CHECK(again.status == 201);
        CHECK(again.body.at("requeued") == true);
        CHECK(again.body.at("job").at("id") == id);
        const auto other = api.post("/save", R"({"n":2})", key);
        CHECK(other.code() == "IDEMPOTENCY_KEY_REUSED");
        CHECK(other.body.at("existingJobId") == id);
        CHECK(api.post("/api/jobs", R"({"kind":"demo.echo"})", key).code() == "IDEMPOTENCY_KEY_REUSED");
        if (state == std::string_view("queued")) {
            CHECK(api.post("/save", "{}").code() == "DUPLICATE_ACTIVE_JOB");
            CHECK(api.post("/save", "{}", {{"idempotency-key", "again-2"}}).code() == "DUPLICATE_ACTIVE_JOB");
        }
        if (state == std::string_view("running")) {
            api.clock.advance(Duration{1});
            file_is_there = true;
        }
    }
    // Kept for two days, then room is made by the next one.
    CHECK(api.store.records("requeued/")->size() == 1);
}

TEST_CASE("an accepted job is answered with 201 even if the store falls silent right after") {
    Api api;
    std::atomic<bool> accepts = false;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb == "insert") accepts = true;
        if (verb == "insert" || !accepts) return std::nullopt;
        return Error{Errc::unavailable, "gone"};
    };
    const auto answer = api.post("/api/jobs", R"({"kind":"demo.echo","payload":{"n":1},"tags":["t"]})");
    CHECK(answer.status == 201);
    const auto id = std::string(answer.body.at("job").at("id").as_string());
    CHECK(answer.body.at("job").at("status") == "queued");
    api.store.before = nullptr;
    CHECK(api.get("/api/jobs/" + id).status == 200);
}

TEST_CASE("jobs are listed newest first, by filters, in pages that a cursor joins") {
    Api api;
    std::vector<std::string> ids;
    for (int i = 0; i < 7; ++i) {
        ids.push_back(api.create(i % 2 ? R"({"kind":"demo.echo","queue":"media","tags":["odd"]})" : R"({"kind":"demo.sleep"})"));
        api.clock.advance(Duration{1});
    }
    std::vector<std::string> listed;
    std::string cursor;
    for (int page = 0; page < 10; ++page) {
        const auto answer = api.get("/api/jobs?limit=3" + (cursor.empty() ? "" : "&cursor=" + cursor));
        REQUIRE(answer.status == 200);
        for (const auto& job : answer.body.at("jobs").as_array()) listed.emplace_back(job.at("id").as_string());
        if (answer.body.at("nextCursor").is_null()) break;
        cursor = answer.body.at("nextCursor").as_string();
        // A job that comes meanwhile disturbs no page.
        if (page == 0) api.create();
    }
    CHECK(listed == std::vector<std::string>(ids.rbegin(), ids.rend()));
    const auto count = [&](const std::string& query) { return api.get("/api/jobs?" + query).body.at("jobs").as_array().size(); };
    CHECK(count("kind=demo.sleep") == 4);
    CHECK(count("kind=demo.sleep,demo.echo") == 8);
    CHECK(count("queue=media") == 3);
    CHECK(count("tag=odd") == 3);
    CHECK(count("status=queued") == 8);
    CHECK(count("status=failed,canceled") == 0);
    CHECK(count("status=queued&queue=media&limit=2") == 2);
    CHECK(count("traceId=nobody") == 0);
    CHECK(count("limit=100000") == 8);
    for (const char* bad : {"status=waiting", "status=queued,", "limit=0", "limit=-1", "limit=x", "limit=1.5", "kind=A", "queue=a%20b", "cursor=nonsense"}) {
        CAPTURE(bad);
        CHECK(api.get(std::string("/api/jobs?") + bad).code() == "INVALID_ARGUMENT");
    }
}

TEST_CASE("a large page of large jobs is cut and goes on with its cursor") {
    Api api;
    const auto body = R"({"kind":"demo.echo","payload":{"x":")" + std::string(200'000, 'x') + "\"}}";
    for (int i = 0; i < 110; ++i) api.create(body);
    const auto first = api.get("/api/jobs?limit=500");
    const auto seen = first.body.at("jobs").as_array().size();
    CHECK(seen < 110);
    REQUIRE(first.body.at("nextCursor").is_string());
    std::size_t all = seen;
    std::string cursor(first.body.at("nextCursor").as_string());
    while (!cursor.empty()) {
        const auto page = api.get("/api/jobs?limit=500&cursor=" + cursor);
        all += page.body.at("jobs").as_array().size();
        cursor = page.body.at("nextCursor").is_null() ? "" : std::string(page.body.at("nextCursor").as_string());
    }
    CHECK(all == 110);
}

TEST_CASE("ids that are none and jobs that are not there are JOB_NOT_FOUND") {
    Api api;
    for (const char* id : {"x", "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f", "00000000-0000-0000-0000-000000000000", "%00", "'%20OR%201=1"}) {
        CAPTURE(id);
        const std::string path = std::string("/api/jobs/") + id;
        for (const auto& answer : {api.get(path), api.post(path + "/cancel"), api.post(path + "/retry"), api.call("DELETE", path)}) {
            CHECK(answer.status == 404);
            CHECK(answer.code() == "JOB_NOT_FOUND");
        }
    }
}

TEST_CASE("cancel: a waiting job at once, a running one is asked, a finished one not") {
    Api api;
    const auto worker = api.beat(1);
    const auto waiting = "/api/jobs/" + api.create(R"({"kind":"demo.sleep"})");
    const auto canceled = api.post(waiting + "/cancel");
    CHECK(canceled.status == 200);
    CHECK(canceled.body.at("job").at("status") == "canceled");
    CHECK(api.post(waiting + "/cancel").code() == "INVALID_STATE");

    const auto path = "/api/jobs/" + api.create();
    const auto job = api.claim(worker);
    for (int round = 0; round < 2; ++round) {
        const auto asked = api.post(path + "/cancel", round ? "{}" : "");
        CHECK(asked.status == 202);
        CHECK(asked.body.at("cancelRequested") == true);
        CHECK(asked.body.at("job").at("status") == "running");
        CHECK_FALSE(asked.body.at("job").at("cancelRequestedAt").is_null());
    }
    api.settle(job, Verdict::completed);
    const auto late = api.post(path + "/cancel");
    CHECK(late.status == 409);
    CHECK(late.body.at("status") == "completed");
    CHECK(api.post(path + "/cancel", R"({"why":"x"})").code() == "INVALID_ARGUMENT");
}

TEST_CASE("retry: a finished job runs again, a scheduled one now, a running one not, none whose key is taken") {
    Api api;
    const auto worker = api.beat(1);
    const auto path = "/api/jobs/" + api.create(R"({"kind":"demo.echo","uniqueKey":"k"})");
    auto job = api.claim(worker);
    CHECK(api.post(path + "/retry").code() == "INVALID_STATE");
    api.settle(job, Verdict::retry, "X", "x");
    auto again = api.post(path + "/retry");
    CHECK(again.status == 200);
    CHECK(again.body.at("job").at("status") == "queued");
    api.settle(api.claim(worker), Verdict::failed, "X", "x");
    CHECK(api.post(path + "/retry", R"({"fresh":true})").status == 200);
    CHECK(api.post(path + "/retry", R"({"fresh":1})").code() == "INVALID_ARGUMENT");
    CHECK(api.post(path + "/retry", R"({"other":true})").code() == "INVALID_ARGUMENT");
    api.settle(api.claim(worker), Verdict::failed, "X", "x");
    const auto holder = api.create(R"({"kind":"demo.echo","uniqueKey":"k"})");
    const auto taken = api.post(path + "/retry");
    CHECK(taken.status == 409);
    CHECK(taken.code() == "CONFLICT");
    CHECK(text(taken.body.at("existingJobId")) == holder);
    CHECK(taken.body.at("existingJobStatus") == "queued");
}

TEST_CASE("delete: not while it runs; the program is told of the job as it was") {
    std::vector<std::string> told;
    ApiOptions options;
    options.delete_query = {{.name = "keepFiles"}};
    options.deleted = [&](const Job& job, const RouteMatch& match) {
        told.push_back(job.id.str() + " " + std::string(match.query_value("keepFiles").value_or("-")) + " " +
                       boost::json::serialize(job.result));
    };
    Api api(options);
    const auto id = api.create();
    const auto path = "/api/jobs/" + id;
    const auto job = api.claim(api.beat(1));
    const auto refused = api.call("DELETE", path);
    CHECK(refused.status == 409);
    CHECK(refused.code() == "INVALID_STATE");
    CHECK(told.empty());
    api.settle(job, Verdict::completed);
    CHECK(api.call("DELETE", path + "?keepFiles=1").status == 200);
    CHECK(told == std::vector<std::string>{id + R"( 1 {"answer":42})"});
    CHECK(api.get(path).status == 404);
    CHECK(api.call("DELETE", path).status == 404);
}

TEST_CASE("a job that ends while it is deleted is not deleted without its result being told") {
    int told = 0;
    ApiOptions options;
    options.deleted = [&](const Job&, const RouteMatch&) { ++told; };
    Api api(options);
    const auto id = api.create();
    const auto job = api.claim(api.beat(1));
    bool looked_at = false, ended = false;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        // As soon as it was looked at: before whatever the store is asked next.
        if (looked_at && !std::exchange(ended, true)) api.settle(job, Verdict::completed);
        looked_at = looked_at || verb == "get";
        return std::nullopt;
    };
    const auto refused = api.call("DELETE", "/api/jobs/" + id);
    CHECK(refused.status == 409);
    CHECK(refused.code() == "INVALID_STATE");
    CHECK(refused.body.at("status") == "running");
    CHECK(told == 0);
    CHECK(api.get("/api/jobs/" + id).body.at("job").at("status") == "completed");
    CHECK(ended);
    CHECK(api.call("DELETE", "/api/jobs/" + id).status == 200);
    CHECK(told == 1);
}

TEST_CASE("a job that runs and ends between the look and the removal is deleted as what it has become") {
    std::vector<std::string> told;
    ApiOptions options;
    options.deleted = [&](const Job& job, const RouteMatch&) { told.push_back(boost::json::serialize(job.result)); };
    Api api(options);
    const auto worker = api.beat(1);
    const auto id = api.create();
    int runs = 1;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb != "change" || runs == 0) return std::nullopt;
        --runs;
        api.settle(api.claim(worker), Verdict::completed);
        return std::nullopt;
    };
    CHECK(api.call("DELETE", "/api/jobs/" + id).status == 200);
    CHECK(told == std::vector<std::string>{R"({"answer":42})"});
    // Whoever is always later than the others is told so.
    told.clear();
    const auto busy = api.create();
    bool inside = false;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb != "change" || std::exchange(inside, true)) return std::nullopt;
        api.settle(api.claim(worker), Verdict::released);
        inside = false;
        return std::nullopt;
    };
    const auto late = api.call("DELETE", "/api/jobs/" + busy);
    CHECK(late.status == 409);
    CHECK(late.code() == "CONFLICT");
    CHECK(told.empty());
    CHECK(api.get("/api/jobs/" + busy).body.at("job").at("status") == "queued");
}

TEST_CASE("a job of which what is stored is damaged is named by the list and refused by itself, and hides no other") {
    Api api;
    const auto first = api.create(), bad = api.create(), last = api.create();
    CHECK_FALSE(api.get("/api/jobs").body.contains("unreadable"));
    api.store.damaged = {*JobId::parse(bad)};
    const auto list = api.get("/api/jobs").body;
    REQUIRE(list.at("jobs").as_array().size() == 2);
    CHECK(text(list.at("jobs").at(0).at("id")) == last);
    CHECK(text(list.at("jobs").at(1).at("id")) == first);
    REQUIRE(list.at("unreadable").as_array().size() == 1);
    CHECK(text(list.at("unreadable").at(0)) == bad);
    const auto alone = api.get("/api/jobs/" + bad);
    CHECK(alone.status == 500);
    CHECK(alone.code() == "STORE_CORRUPT");
    CHECK(boost::json::serialize(alone.body).find("/var/lib") == std::string::npos);
    // Where nothing but such stands between two pages, the second goes on behind it.
    auto page = api.get("/api/jobs?limit=1").body;
    page = api.get("/api/jobs?limit=1&cursor=" + text(page.at("nextCursor"))).body;
    CHECK(text(page.at("jobs").at(0).at("id")) == first);
}

TEST_CASE("a write that failed may have been done, which its refusal says; one that was not begun has done nothing") {
    Api api;
    std::string failing = "insert";
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb != failing) return std::nullopt;
        return Error{Errc::unavailable, "CONNECTION_LOST", "secret host"};
    };
    const std::string body = R"({"kind":"demo.echo"})";
    auto answer = api.post("/api/jobs", body);
    CHECK(answer.status == 503);
    CHECK(answer.code() == "STORE_UNAVAILABLE");
    CHECK(answer.body.at("outcome") == "unknown");
    CHECK(text(answer.body.at("error")).find("look for it before") != std::string::npos);
    CHECK(boost::json::serialize(answer.body).find("secret host") == std::string::npos);
    failing = "records";  // What stands before the write, for a request with a key.
    answer = api.post("/api/jobs", body, {{"idempotency-key", "k1"}});
    CHECK(answer.status == 503);
    CHECK_FALSE(answer.body.contains("outcome"));
}

TEST_CASE("a change that loses the store in its midst says that nobody knows whether it was done") {
    Api api;
    const auto id = api.create();
    std::string failing;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (!failing.empty() && verb != failing) return std::nullopt;
        return Error{Errc::unavailable, "CONNECTION_LOST", "secret host"};
    };
    struct Row {
        const char *method, *target, *body, *verb;
    };
    for (const auto& [method, target, body, verb] : std::vector<Row>{
             {"POST", "/api/jobs/ID/cancel", "{}", "change"},
             {"POST", "/api/jobs/ID/retry", "{}", "change"},
             {"DELETE", "/api/jobs/ID", "", "change"},
             {"POST", "/api/jobs/bulk", R"({"action":"cancel","ids":["ID"]})", "change"},
             {"POST", "/api/queues/default/pause", "{}", "put"}}) {
        CAPTURE(target);
        const auto named = [&](std::string text) {
            if (const auto at = text.find("ID"); at != std::string::npos) text.replace(at, 2, id);
            return text;
        };
        failing = verb;
        const auto lost = api.call(method, named(target), named(body));
        CHECK(lost.status == 503);
        CHECK(lost.code() == "STORE_UNAVAILABLE");
        CHECK(lost.body.at("outcome") == "unknown");
        CHECK(lost.header("retry-after") == "2");
        CHECK(text(lost.body.at("error")).find("look before you repeat it") != std::string::npos);
        CHECK(boost::json::serialize(lost.body).find("secret host") == std::string::npos);
        // Where it is plainly away, nothing was begun; that it answered counts for 50 ms.
        failing.clear();
        auto refused = api.call(method, named(target), named(body));
        while (refused.body.contains("outcome")) refused = api.call(method, named(target), named(body));
        CHECK(refused.status == 503);
        CHECK(refused.code() == "STORE_UNAVAILABLE");
    }
    failing = "list";  // Who only reads has nothing to be unsure of.
    CHECK_FALSE(api.get("/api/jobs").body.contains("outcome"));
}

TEST_CASE("a store that is plainly away has taken no job, which the refusal does not leave open") {
    Api api;
    std::atomic<bool> tried = false;
    api.store.before = [&](std::string_view verb) -> std::optional<Error> {
        if (verb == "insert") tried = true;
        return Error{Errc::unavailable, "CONNECTION_LOST", "secret host"};
    };
    for (const Headers& headers : {Headers{}, Headers{{"idempotency-key", "k1"}}}) {
        const auto answer = api.post("/api/jobs", R"({"kind":"demo.echo"})", headers);
        CHECK(answer.status == 503);
        CHECK(answer.code() == "STORE_UNAVAILABLE");
        CHECK_FALSE(answer.body.contains("outcome"));
        CHECK(boost::json::serialize(answer.body).find("secret host") == std::string::npos);
    }
    CHECK_FALSE(tried);
}

TEST_CASE("whether a finished job runs again is not known when the store is lost while it is told so") {
    Api api;
    api.router.add({"POST", "/save", Role::operate, "Saves.", {}, [&](const Request& request, const RouteMatch& match) {
                        JobSpec spec{"demo.echo", {{"url", "u"}}, {}};
                        spec.options.unique = "the-key";
                        spec.options.unique_states = StateSet{JobState::completed};
                        CreateRules rules{"DUPLICATE_ACTIVE_JOB", "DUPLICATE_COMPLETED_JOB", [](const Job&) { return true; }};
                        return api.router.create_job(request, match, spec, rules);
                    }});
    REQUIRE(api.post("/save", "{}").status == 201);
    api.settle(api.claim(api.beat(1)), Verdict::completed);
    api.store.before = [](std::string_view verb) -> std::optional<Error> {
        if (verb != "change") return std::nullopt;
        return Error{Errc::unavailable, "CONNECTION_LOST", "secret host"};
    };
    for (const Headers& headers : {Headers{}, Headers{{"idempotency-key", "k1"}}}) {
        const auto lost = api.post("/save", "{}", headers);
        CHECK(lost.status == 503);
        CHECK(lost.code() == "STORE_UNAVAILABLE");
        CHECK(lost.body.at("outcome") == "unknown");
        const bool may_repeat = text(lost.body.at("error")).find("with the same Idempotency-Key") != std::string::npos;
        CHECK(may_repeat == !headers.empty());
        CHECK(boost::json::serialize(lost.body).find("secret host") == std::string::npos);
    }
    api.store.before = {};
    const auto again = api.post("/save", "{}", {{"idempotency-key", "k1"}});
    CHECK(again.status == 201);
    CHECK(again.body.at("requeued") == true);
}

TEST_CASE("a list has each job exactly as it stands alone, whatever is in it") {
    ApiOptions options;
    options.decorate = [](const Job&, boost::json::object& added) {
        added["url"] = "https://x.example/\"1\"";
        added["outputPath"] = "x/1.mp4";
        added["thumbnailPath"] = nullptr;
    };
    Api api(options);
    const auto worker = api.beat(1);
    const auto one = api.create("{\"kind\":\"demo.echo\",\"payload\":{\"text\":\"\\u0001\\b\\f\\n\\r\\t\\\"\\\\/ Zürich \\ud83d\\ude00\",\"n\":[1.5,-0.1,9007199254740993,null],"
                                "\"deep\":[{\"a\":{\"b\":[]},\"c\":{}},true,false,[[]],18446744073709551615,-9223372036854775808,1e300],\"k\\\"\\u0001\":{\"\":0}},"
                                "\"uniqueKey\":\"a\\\"b\\\\c\\n\",\"tags\":[\"\\u001f\"]}");
    api.settle(api.claim(worker), Verdict::retry, "SMTP_DOWN", "it said:\n\t\"no\"\x7f");
    const auto list = api.get("/api/jobs");
    const auto alone = api.get("/api/jobs/" + one);
    REQUIRE(list.body.at("jobs").as_array().size() == 1);
    CHECK(boost::json::serialize(list.body.at("jobs").at(0)) == boost::json::serialize(alone.body.at("job")));
    // Not only once read, but byte for byte.
    const auto job = boost::json::serialize(alone.body.at("job"));
    CHECK(std::get<std::string>(list.response.body).find(job) != std::string::npos);
}
