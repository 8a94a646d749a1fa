// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// The protocol of workers in other languages, without a socket.
#include "api_fixture.hpp"

using namespace api_test;

namespace {

const std::string kinds = R"("kinds":["demo.echo"])";

std::string begin(Api& api) {
    const auto answer = api.post("/api/worker/beat", "{" + kinds + R"(,"host":"h1","pid":7})");
    REQUIRE(answer.status == 201);
    CHECK(answer.body.at("leaseMs") == 30'000);
    CHECK(answer.body.at("beatMs") == 10'000);
    return text(answer.body.at("session"));
}

Answer claim(Api& api, const std::string& session, const std::string& more = {}) {
    return api.post("/api/worker/claim", R"({"session":")" + session + "\"," + kinds + more + "}");
}

/// What identifies an attempt, as a body begins with it.
std::string holder(const boost::json::value& job) {
    return R"({"jobId":")" + text(job.at("id")) + R"(","fence":")" + text(job.at("fence")) + "\"";
}

/// The one job that is there.
boost::json::value take(Api& api, const std::string& session) {
    const auto answer = claim(api, session);
    REQUIRE(answer.status == 200);
    REQUIRE(answer.body.at("jobs").as_array().size() == 1);
    return answer.body.at("jobs").at(0);
}

}  // namespace

TEST_CASE("a worker by HTTP begins a session, claims, notes, and ends an attempt") {
    Api api;
    const auto session = begin(api);
    CHECK(claim(api, session).body.at("jobs").as_array().empty());
    const auto id = api.create(R"({"kind":"demo.echo","payload":{"a":1}})");
    const auto job = take(api, session);
    CHECK(text(job.at("id")) == id);
    CHECK(text(job.at("workerId")) == session);
    CHECK(job.at("attempt") == 1);
    CHECK(job.at("payload").at("a") == 1);
    CHECK(api.post("/api/worker/note", holder(job) + R"(,"progress":{"percent":40,"stage":"s"},"log":["one","two"],)"
                                                     R"("step":{"name":"first","value":{"n":2}}})").status == 200);
    // Read as not-a-number and as infinity, which no answer could say again.
    for (const std::string percent : {"0e310", "1e999"})
        CHECK(api.post("/api/worker/note", holder(job) + R"(,"progress":{"percent":)" + percent + "}}").status == 400);
    CHECK(api.get("/api/jobs/" + id).body.at("job").at("progress").at("percent") == 40.0);
    const auto ended = api.post("/api/worker/settle", holder(job) + R"(,"outcome":"completed","result":{"b":2}})");
    CHECK(ended.status == 200);
    CHECK(ended.body.at("status") == "completed");
    CHECK(api.get("/api/jobs/" + id).body.at("job").at("result").at("b") == 2);
    std::vector<std::string> lines;
    const auto events = api.get("/api/telemetry?jobId=" + id).body;
    for (const auto& event : events.at("events").as_array())
        if (event.at("event") == "worker.job.log") lines.push_back(text(event.at("line")));
    CHECK(lines == std::vector<std::string>{"one", "two"});
    const auto workers = api.get("/api/workers").body;
    CHECK(text(workers.at("workers").at(0).at("role")) == "remote");
    CHECK(api.get("/api/worker/health").body.at("ok") == true);
    CHECK(api.post("/api/worker/beat", R"({"session":")" + session + "\"," + kinds + R"(,"stopped":true})").status == 200);
    CHECK(api.get("/api/workers").body.at("workers").as_array().empty());
}

TEST_CASE("an attempt of a worker by HTTP ends in every way, and its steps are there for the next") {
    struct Row {
        const char *end, *status;
        int attempt;
    };
    const Row rows[] = {{R"("outcome":"retry","code":"LATER","message":"m","afterMs":5000)", "scheduled", 1},
                        {R"("outcome":"retry","code":"LATER")", "scheduled", 1},
                        {R"("outcome":"snooze","afterMs":5000,"message":"m")", "scheduled", 0},
                        {R"("outcome":"failed","code":"NEVER")", "failed", 1},
                        {R"("outcome":"canceled")", "canceled", 1},
                        {R"("outcome":"released")", "queued", 0}};
    for (const auto& row : rows) {
        CAPTURE(std::string(row.end));
        Api api;
        const auto session = begin(api);
        const auto id = api.create();
        const auto job = take(api, session);
        CHECK(api.post("/api/worker/note", holder(job) + R"(,"step":{"name":"first","value":7}})").status == 200);
        CHECK(api.post("/api/worker/settle", holder(job) + "," + row.end + "}").body.at("status") == row.status);
        CHECK(api.get("/api/jobs/" + id).body.at("job").at("attempt") == row.attempt);
        if (std::string(row.status) != "queued") continue;
        CHECK(take(api, session).at("steps").at("first") == 7);
    }
    // The last attempt.
    Api api;
    const auto session = begin(api);
    api.create(R"({"kind":"demo.echo","maxAttempts":1})");
    CHECK(api.post("/api/worker/settle", holder(take(api, session)) + R"(,"outcome":"retry","code":"LATER"})").body.at("status") ==
          "failed");
}

TEST_CASE("a cancel comes with the beat, and an attempt that does not complete after it ends canceled") {
    Api api;
    const auto session = begin(api);
    const auto id = api.create();
    const auto job = take(api, session);
    const auto beat = [&] { return api.post("/api/worker/beat", R"({"session":")" + session + "\"," + kinds + "}"); };
    CHECK(beat().body.at("cancels").as_array().empty());
    CHECK(api.post("/api/jobs/" + id + "/cancel").status == 202);
    const auto cancels = beat().body.at("cancels").as_array();
    REQUIRE(cancels.size() == 1);
    CHECK(cancels[0].at("jobId") == job.at("id"));
    CHECK(cancels[0].at("fence") == job.at("fence"));
    CHECK(api.post("/api/worker/settle", holder(job) + R"(,"outcome":"retry","code":"X"})").body.at("status") == "canceled");
}

TEST_CASE("a worker by HTTP that fell silent loses its jobs, and what it says of them late is refused by the fence") {
    Api api;
    const auto session = begin(api), other = begin(api);
    const auto id = api.create();
    const auto job = take(api, session);
    SessionId lost = *SessionId::parse(session);
    REQUIRE(api.store.recover(lost, 1, Loss::crash, 10, api.clock.wall())->mine);
    const auto refused = [&](const Answer& answer, const char* code) {
        CHECK(answer.status == 409);
        CHECK(answer.code() == code);
    };
    refused(claim(api, session), "SESSION_LOST");
    refused(api.post("/api/worker/beat", R"({"session":")" + session + "\"," + kinds + "}"), "SESSION_LOST");
    refused(api.post("/api/worker/settle", holder(job) + R"(,"outcome":"completed"})"), "FENCE_LOST");
    const auto again = take(api, other);
    CHECK(again.at("crashes") == 1);
    refused(api.post("/api/worker/settle", holder(job) + R"(,"outcome":"completed"})"), "FENCE_LOST");
    refused(api.post("/api/worker/note", holder(job) + R"(,"log":["late"]})"), "FENCE_LOST");
    CHECK(api.get("/api/jobs/" + id).body.at("job").at("status") == "running");
    CHECK(api.post("/api/worker/settle", holder(again) + R"(,"outcome":"completed"})").status == 200);
    refused(api.post("/api/worker/settle", holder(again) + R"(,"outcome":"completed"})"), "FENCE_LOST");
}

TEST_CASE("a job that crashed twice waits for a claim that wants it alone; a paused queue gives nothing") {
    Api api;
    api.create();
    for (int i = 0; i < 2; ++i) {
        const auto session = begin(api);
        take(api, session);
        REQUIRE(api.store.recover(*SessionId::parse(session), 1, Loss::crash, 10, api.clock.wall())->mine);
        api.clock.advance(Duration{3'600'000});
    }
    const auto session = begin(api);
    auto answer = claim(api, session);
    CHECK(answer.body.at("jobs").as_array().empty());
    CHECK(answer.body.at("aloneWaiting") == true);
    CHECK(claim(api, session, R"(,"alone":true)").body.at("jobs").as_array().size() == 1);
    api.create();
    REQUIRE(api.queue.pause("default"));
    CHECK(claim(api, session).body.at("jobs").as_array().empty());
    REQUIRE(api.queue.resume("default"));
    CHECK(claim(api, session).body.at("jobs").as_array().size() == 1);
}

TEST_CASE("what makes no sense of a worker by HTTP is refused and changes nothing") {
    Api api;
    const auto session = begin(api);
    api.create();
    const auto job = take(api, session);
    struct Row {
        const char* path;
        std::string body;
    };
    const std::string id = text(job.at("id"));
    const Row rows[] = {{"beat", "{}"},
                        {"beat", R"({"kinds":["NO SUCH"]})"},
                        {"claim", "{" + kinds + "}"},
                        {"claim", R"({"session":"x",)" + kinds + "}"},
                        {"claim", R"({"session":")" + session + "\"," + kinds + R"(,"limit":0})"},
                        {"settle", R"({"jobId":")" + id + R"(","fence":"x","outcome":"completed"})"},
                        {"settle", R"({"jobId":")" + id + R"(","fence":"0","outcome":"completed"})"},
                        {"settle", R"({"jobId":")" + id + R"(","fence":"18446744073709551616","outcome":"completed"})"},
                        {"settle", holder(job) + R"(,"outcome":"done"})"},
                        {"settle", holder(job) + R"(,"outcome":"failed"})"},
                        {"note", holder(job) + R"(,"what":1})"}};
    for (const auto& row : rows) {
        CAPTURE(row.body);
        const auto answer = api.post(std::string("/api/worker/") + row.path, row.body);
        CHECK(answer.status == 400);
    }
    CHECK(api.get("/api/jobs/" + id).body.at("job").at("status") == "running");
}

TEST_CASE("a result or a step that JSON cannot hold is refused by name, as in a process of ours") {
    Api api;
    const auto session = begin(api);
    const auto id = api.create();
    const auto job = take(api, session);
    const auto step = api.post("/api/worker/note", holder(job) + R"(,"log":["l"],"step":{"name":"first","value":{"x":1e400}}})");
    CHECK(step.status == 400);
    CHECK(step.code() == "INVALID_STEP");
    CHECK(text(step.body.at("error")).find("cannot be kept as JSON: x") != std::string::npos);
    // Digits would be lost: the worker is told, and the attempt is still its own.
    for (const auto* call : {R"(note ,"step":{"name":"first","value":18446744073709551616}})", R"(settle ,"outcome":"completed","result":[18446744073709551616]})"}) {
        const std::string_view words(call);
        const auto refused = api.post("/api/worker/" + std::string(words.substr(0, words.find(' '))), holder(job) + std::string(words.substr(words.find(','))));
        CHECK(refused.status == 400);
        CHECK(refused.code() == "INVALID_NUMBER");
    }
    const auto ended = api.post("/api/worker/settle", holder(job) + R"(,"outcome":"completed","result":{"x":1e400}})");
    CHECK(ended.status == 200);
    CHECK(ended.body.at("status") == "failed");
    const auto kept = api.get("/api/jobs/" + id).body.at("job");
    CHECK(kept.at("result").is_null());
    REQUIRE(kept.at("errors").as_array().size() == 1);
    CHECK(kept.at("errors").at(0).at("code") == "INVALID_RESULT");
    CHECK(text(kept.at("errors").at(0).at("message")).find("cannot be kept as JSON: x") != std::string::npos);
}

TEST_CASE("what a worker by HTTP says of an end is kept as a handler's own words are") {
    struct Row {
        std::string end, code, message;
    };
    const Row rows[] = {{R"("outcome":"failed","code":"not yet","message":"m")", "NOT_YET", "m"},
                        {R"("outcome":"failed","code":"https://ada:hunter2@h/","message":"https://ada:hunter2@h/")", "-", "-"},
                        {R"("outcome":"retry","code":"Later","message":"m")", "LATER", "m"},
                        {R"("outcome":"completed","code":"C","message":"m")", "", ""},
                        {R"("outcome":"canceled","code":"C","message":"m")", "", ""},
                        {R"("outcome":"released","code":"C","message":"m")", "", ""},
                        {R"("outcome":"snooze","code":"C","message":"m","afterMs":5)", "", "m"}};
    for (const auto& row : rows) {
        CAPTURE(row.end);
        Api api;
        const auto session = begin(api);
        const auto id = api.create();
        const auto job = take(api, session);
        std::vector<Settlement> seen;
        api.store.settling = [&](const Settlement& end) { seen.push_back(end); };
        CHECK(api.post("/api/worker/settle", holder(job) + "," + row.end + "}").status == 200);
        REQUIRE(seen.size() == 1);
        if (row.code == "-") {
            for (const auto& words : {seen[0].code, seen[0].message}) {
                CHECK_FALSE(words.empty());
                CHECK(words.find("hunter2") == std::string::npos);
                CHECK(words.find("HUNTER2") == std::string::npos);
            }
            continue;
        }
        CHECK(seen[0].code == row.code);
        CHECK(seen[0].message == row.message);
    }
    // After a cancel only what failed says why.
    for (const auto* outcome : {"failed", "retry"}) {
        CAPTURE(std::string(outcome));
        Api api;
        const auto session = begin(api);
        const auto id = api.create();
        const auto job = take(api, session);
        CHECK(api.post("/api/jobs/" + id + "/cancel").status == 202);
        std::string code;
        api.store.settling = [&](const Settlement& end) { code = end.code; };
        const auto ended = api.post("/api/worker/settle", holder(job) + R"(,"outcome":")" + outcome + R"(","code":"X"})");
        CHECK(ended.body.at("status") == "canceled");
        CHECK(code == (std::string(outcome) == "failed" ? "X" : ""));
    }
}

TEST_CASE("the session of a worker process of ours is no worker's by HTTP") {
    Api api;
    const auto session = api.beat(1).str();
    const auto id = api.create();
    const auto beat = api.post("/api/worker/beat", R"({"session":")" + session + "\"," + kinds + R"(,"stopped":true})");
    CHECK(beat.status == 409);
    CHECK(beat.code() == "SESSION_LOST");
    CHECK(claim(api, session).code() == "SESSION_LOST");
    CHECK(api.get("/api/jobs/" + id).body.at("job").at("status") == "queued");
    const auto workers = api.get("/api/workers").body.at("workers").as_array();
    REQUIRE(workers.size() == 1);
    CHECK(text(workers[0].at("role")) == "worker");
    const auto own = begin(api);
    CHECK(claim(api, own).body.at("jobs").as_array().size() == 1);
}
