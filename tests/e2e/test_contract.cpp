// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// Lines of the operator's contract about the API's answers, each against real processes.
namespace jobruntime::e2e {
namespace {

std::vector<std::string> ids_of(const Answer& answer) {
    std::vector<std::string> ids;
    const auto object = answer.json();
    if (const auto* jobs = object.if_contains("jobs"); jobs && jobs->is_array())
        for (const auto& job : jobs->get_array()) ids.push_back(text(job.get_object(), "id"));
    return ids;
}

std::size_t count_of(const std::string& all, std::string_view word) {
    std::size_t count = 0;
    for (auto at = all.find(word); at != std::string::npos; at = all.find(word, at + 1)) ++count;
    return count;
}

std::string api_of(Runtime& runtime, std::string_view path, const HeaderList& headers = {}) {
    return http(runtime.port(), "GET", path, {}, headers).body;
}

TEST_CASE("trace ids come from the request, are cut to 120, and are made when missing; traceparent counts") {
    const Folder folder;
    Runtime runtime(folder, false);
    auto trace_of = [&](const HeaderList& headers) {
        return http(runtime.port(), "GET", "/api/jobs", {}, headers).headers.at("x-trace-id");
    };
    CHECK(trace_of({{"x-trace-id", "mine"}}) == "mine");
    CHECK(trace_of({{"x-trace-id", std::string(200, 'a')}}) == std::string(120, 'a'));
    CHECK_FALSE(trace_of({}).empty());
    CHECK(trace_of({}) != trace_of({}));
    const std::string parent = "0af7651916cd43dd8448eb211c80319c";
    CHECK(trace_of({{"traceparent", "00-" + parent + "-b7ad6b7169203331-01"}}) == parent);
    const auto made = http(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})",
                           {{"traceparent", "00-" + parent + "-b7ad6b7169203331-01"}});
    const auto id = text(made.json().at("job").get_object(), "id");
    REQUIRE(text(runtime.wait(id, "completed", 10s), "status") == "completed");
    CHECK(text(runtime.job(id), "traceId") == parent);
    const auto all = http(runtime.port(), "GET", "/api/telemetry?traceId=" + parent).json();
    CHECK(all.at("count").to_number<std::size_t>() >= 3);
    for (const auto& event : all.at("events").get_array())
        CHECK(text(event.get_object(), "traceId") == parent);
}

TEST_CASE("a job's JSON has every member that operators read, and status, not state") {
    const Folder folder;
    Runtime runtime(folder, true);
    const auto id = runtime.submit(
        {{"kind", "demo.echo"}, {"payload", {{"n", 1}}}, {"tags", {"a", "b"}}, {"priority", 7}});
    const auto job = runtime.wait(id, "completed", 10s);
    for (const auto* name :
         {"id",        "kind",         "queue",      "status",        "priority", "payload",
          "url",       "canonicalUrl", "attempt",    "maxAttempts",   "crashes",  "cancelRequestedAt",
          "progress",  "result",       "outputPath", "thumbnailPath", "error",    "errorCode",
          "errors",    "waitingFor",   "tags",       "uniqueKey",     "traceId",  "workerId",
          "createdAt", "runAt",        "startedAt",  "finishedAt"}) {
        CAPTURE(name);
        CHECK(job.contains(name));
    }
    CHECK_FALSE(job.contains("state"));
    CHECK(text(job, "queue") == "default");
    CHECK(job.at("priority") == 7);
    CHECK(job.at("result") == boost::json::value{{"n", 1}});
    CHECK(job.at("waitingFor").is_null());
    for (const auto* name : {"percent", "stage", "message"})
        CHECK(job.at("progress").get_object().contains(name));
}

TEST_CASE("jobs are listed newest first, filtered exactly, and paged without gap or repeat") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    auto put = [&](const std::string& body) {
        const auto made = http(api.port(), "POST", "/api/jobs", body, {{"x-trace-id", "t-1"}});
        CHECK(made.status == 201);
        return text(made.json().at("job").get_object(), "id");
    };
    auto list = [&](const std::string& query) { return http(api.port(), "GET", "/api/jobs" + query); };
    std::vector<std::string> all;
    for (int i = 0; i < 5; ++i) all.push_back(put(R"({"kind":"demo.echo","tags":["odd"]})"));
    const auto later = put(R"({"kind":"demo.sleep","queue":"media","delayMs":3600000})");
    const auto gone = put(R"({"kind":"demo.echo"})");
    CHECK(http(api.port(), "POST", "/api/jobs/" + gone + "/cancel").status == 200);
    CHECK(ids_of(list("")).front() == gone);
    CHECK(ids_of(list("?status=scheduled")) == std::vector{later});
    CHECK(ids_of(list("?status=canceled")) == std::vector{gone});
    CHECK(ids_of(list("?kind=demo.sleep")) == std::vector{later});
    CHECK(ids_of(list("?queue=media")) == std::vector{later});
    CHECK(ids_of(list("?tag=odd")).size() == 5);
    CHECK(ids_of(list("?traceId=t-1")).size() == 7);
    CHECK(ids_of(list("?traceId=t")).empty());
    CHECK(list("?status=nonsense").status == 400);
    CHECK(list("?nonsense=1").status == 400);
    std::vector<std::string> paged;
    std::string cursor;
    do {
        const auto page = list("?tag=odd&limit=2" + (cursor.empty() ? "" : "&cursor=" + cursor));
        REQUIRE(page.status == 200);
        for (auto& id : ids_of(page)) paged.push_back(id);
        cursor = text(page.json(), "nextCursor");
    } while (!cursor.empty() && paged.size() < 20);
    std::reverse(all.begin(), all.end());
    CHECK(paged == all);
}

TEST_CASE("cancel, retry and delete answer as the states allow") {
    const Folder folder;
    Runtime runtime(folder, true);
    auto act = [&](std::string_view method, const std::string& path) {
        return http(runtime.port(), method, "/api/jobs/" + path);
    };
    const auto running = runtime.submit({{"kind", "demo.sleep"}, {"payload", {{"ms", 60000}}}});
    REQUIRE(text(runtime.wait(running, "running", 10s), "status") == "running");
    CHECK(text(act("POST", running + "/retry").json(), "code") == "INVALID_STATE");
    CHECK(text(act("DELETE", running).json(), "code") == "INVALID_STATE");
    const auto later = runtime.submit({{"kind", "demo.echo"}, {"delayMs", 3'600'000}});
    CHECK(text(runtime.job(later), "waitingFor") != "");
    CHECK(act("POST", later + "/retry").status == 200);
    CHECK(text(runtime.wait(later, "completed", 10s), "status") == "completed");
    const auto asked = act("POST", running + "/cancel");
    CHECK(asked.status == 202);
    CHECK(asked.json().at("cancelRequested") == true);
    CHECK(text(runtime.wait(running, "canceled", 2s), "status") == "canceled");
    CHECK(act("DELETE", running).status == 200);
    CHECK(act("GET", running).status == 404);

    const auto first = runtime.submit({{"kind", "demo.echo"}, {"uniqueKey", "k"}, {"delayMs", 3'600'000}});
    const auto clash = http(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo","uniqueKey":"k"})");
    CHECK(clash.status == 409);
    CHECK(text(clash.json(), "code") == "CONFLICT");
    CHECK(text(clash.json(), "existingJobId") == first);
    CHECK(text(clash.json(), "existingJobStatus") == "scheduled");
    CHECK(text(clash.json(), "retryAt") == text(runtime.job(first), "runAt"));
    CHECK(act("POST", first + "/cancel").status == 200);
    const auto second = runtime.submit({{"kind", "demo.echo"}, {"uniqueKey", "k"}, {"delayMs", 3'600'000}});
    const auto held = act("POST", first + "/retry");
    CHECK(held.status == 409);
    CHECK(text(held.json(), "existingJobId") == second);
}

TEST_CASE(
    "streams filter on the server, begin with history, resume by Last-Event-ID, and say what is no longer "
    "kept") {
    const Folder folder;
    Runtime runtime(folder, true);
    const auto one = runtime.submit({{"kind", "demo.echo"}}), other = runtime.submit({{"kind", "demo.echo"}});
    const auto failing = runtime.submit(
        {{"kind", "demo.sleep"}, {"payload", {{"ms", 1}, {"failTimes", 9}}}, {"maxAttempts", 1}});
    REQUIRE(text(runtime.wait(one, "completed", 10s), "status") == "completed");
    REQUIRE(text(runtime.wait(other, "completed", 10s), "status") == "completed");
    REQUIRE(text(runtime.wait(failing, "failed", 10s), "status") == "failed");
    {
        const Stream stream(runtime.port(), "/api/telemetry/stream?jobId=" + one);
        CHECK(eventually(30s, [&] {
            return in_order(stream.names(one), {"jobs.create.queued", "worker.job.completed"});
        }));
        CHECK(stream.names(other).empty());
    }
    {
        const Stream stream(runtime.port(), "/api/telemetry/stream?level=error");
        CHECK(eventually(30s, [&] { return in_order(stream.names(failing), {"worker.job.failed"}); }));
        CHECK(stream.text().find("\"level\":\"info\"") == std::string::npos);
        CHECK(stream.text().find("\"level\":\"warn\"") == std::string::npos);
    }
    {
        const Stream stream(runtime.port(), "/api/telemetry/stream?limit=2");
        CHECK(eventually(30s, [&] { return count_of(stream.text(), "event: telemetry") == 2; }));
    }
    const auto events =
        http(runtime.port(), "GET", "/api/telemetry?limit=2000").json().at("events").get_array();
    REQUIRE(events.size() > 4);
    const auto third = std::to_string(events[2].get_object().at("id").to_number<std::int64_t>());
    const auto fourth = std::to_string(events[3].get_object().at("id").to_number<std::int64_t>());
    {
        const Stream stream(runtime.port(), "/api/telemetry/stream", {{"Last-Event-ID", third}});
        CHECK(
            eventually(30s, [&] { return count_of(stream.text(), "event: telemetry") >= events.size() - 3; }));
        CHECK(stream.text().find("id: " + third + "\n") == std::string::npos);
        CHECK(stream.text().find("event: truncated") == std::string::npos);
        const auto begin = stream.text().find("\nid: ");
        REQUIRE(begin != std::string::npos);
        CHECK(stream.text().substr(begin + 5, fourth.size()) == fourth);
    }
    {
        const Stream stream(runtime.port(), "/api/telemetry/stream?after=9000000000000000");
        CHECK(eventually(30s, [&] { return stream.text().find("event: truncated") != std::string::npos; }));
        CHECK(stream.text().find("\"oldestId\":") != std::string::npos);
    }
    const auto after =
        http(runtime.port(), "GET", "/api/telemetry?limit=1&after=" + third).json().at("events").get_array();
    REQUIRE(after.size() == 1);
    CHECK(std::to_string(after.front().get_object().at("id").to_number<std::int64_t>()) == fourth);
    for (const auto* name : {"id", "ts", "event", "level", "sourceProcessId", "processRole"})
        CHECK(after.front().get_object().contains(name));
}

TEST_CASE("a job that runs long does not make a healthy worker look dead") {
    const Folder folder;
    Runtime runtime(folder, true, {{"JOBRT_STALE_MS", "1000"}, {"JOBRT_CONCURRENCY", "1"}});
    const auto id = runtime.submit({{"kind", "demo.sleep"}, {"payload", {{"ms", 4000}}}});
    REQUIRE(text(runtime.wait(id, "running", 10s), "status") == "running");
    bool always = true;
    CHECK(eventually(30s, [&] {
        always = always && http(runtime.port(), "GET", "/api/worker/health").json().at("ok") == true;
        return runtime.status(id) == "completed";
    }));
    CHECK(always);
}

TEST_CASE("a reverse proxy's Host and a development server's Origin are let in when they are named") {
    const Folder folder;
    Runtime runtime(
        folder, false,
        {{"JOBRT_ALLOWED_HOSTS", "videos.example"}, {"JOBRT_ALLOWED_ORIGINS", "http://localhost:5173"}});
    CHECK(http(runtime.port(), "GET", "/api/jobs", {}, {{"Host", "videos.example"}}).status == 200);
    CHECK(http(runtime.port(), "GET", "/api/jobs", {}, {{"Host", "other.example"}}).status == 421);
    const auto echo = R"({"kind":"demo.echo"})";
    CHECK(http(runtime.port(), "POST", "/api/jobs", echo, {{"Origin", "http://localhost:5173"}}).status ==
          201);
    CHECK(http(runtime.port(), "POST", "/api/jobs", echo, {{"Origin", "http://localhost:5174"}}).status ==
          403);
}

TEST_CASE("a platform flag kept in the store lasts over a restart; false in the environment is final") {
    const Folder folder;
    auto variables = environment(folder);
    auto platform = [](int port, std::string_view name) {
        return http(port, "GET", "/api/capabilities")
            .json()
            .at("platforms")
            .get_object()
            .at(name)
            .get_object();
    };
    {
        Service service(folder, variables);
        CHECK(text(platform(service.port(), "x"), "source") == "default");
        CHECK(http(service.port(), "PATCH", "/api/capabilities", R"({"platforms":{"x":false,"tiktok":true}})")
                  .status == 200);
    }
    variables["ENABLE_TIKTOK"] = "false";
    Service service(folder, variables);
    const auto x = platform(service.port(), "x"), tiktok = platform(service.port(), "tiktok");
    CHECK(x.at("enabled") == false);
    CHECK(text(x, "source") == "store");
    CHECK(x.at("locked") == false);
    CHECK(tiktok.at("enabled") == false);
    CHECK(text(tiktok, "source") == "environment");
    CHECK(tiktok.at("locked") == true);
}

TEST_CASE("TELEMETRY_SINK: another store's name is warned of once, memory keeps progress out of the store") {
    const Folder folder;
    {
        const std::string other = environment(folder).contains("MONGODB_URI") ? "sqlite" : "mongodb";
        Runtime runtime(folder, false, {{"TELEMETRY_SINK", other}});
        CHECK(count_of(runtime.front().program().err(), "TELEMETRY_SINK") == 1);
        const auto id = runtime.submit({{"kind", "demo.echo"}});
        CHECK(text(runtime.wait(id, "completed", 10s), "status") == "completed");
        // On MongoDB a job's last event comes a moment after its state.
        CHECK(eventually(30s, [&] {
            return in_order(events_of(runtime.port(), id), {"jobs.create.queued", "worker.job.claimed", "worker.job.completed"});
        }));
    }
    const Folder another;
    Runtime runtime(another, true, {{"TELEMETRY_SINK", "memory"}});
    const auto id = runtime.submit({{"kind", "demo.sleep"}, {"payload", {{"ms", 400}, {"steps", 4}}}});
    CHECK(text(runtime.wait(id, "completed", 10s), "status") == "completed");
    std::vector<std::string> names;
    CHECK(eventually(30s, [&] {
        names = events_of(runtime.port(), id);
        return in_order(names, {"jobs.create.queued", "worker.job.claimed", "worker.job.completed"});
    }));
    CHECK(std::count(names.begin(), names.end(), "worker.job.progress") == 0);
    const auto heard = [&](std::string_view name) {
        return http(runtime.port(), "GET", "/api/telemetry?limit=500").body.find(name) != std::string::npos;
    };
    CHECK(eventually(30s, [&] { return heard("worker.started"); }));
    // Of the worker itself; its row says that it stopped, too.
    CHECK_FALSE(heard("worker.stopped"));
    CHECK(runtime.worker().program().stop().has_value());
    CHECK(heard("worker.stopped"));
}

TEST_CASE("what has no effect is named, once, and settings come from the configuration file too") {
    const Folder folder;
    auto variables = environment(folder);
    std::ofstream(folder / ".env") << "WORKER_POLL_MS=5\n";
    std::ofstream(folder / "jobrt.json") << "{ // comments are fine\n  \"stale\": 7777, \"grace\": 1 }";
    for (const auto* name : {"WORKER_POLL_MS", "MONGODB_DB", "TELEMETRY_RETENTION_DAYS"})
        variables[name] = "1";
    variables["JOBRT_CONFIG"] = folder / "jobrt.json";
    variables.erase("JOBRT_STALE_MS");
    Service service(folder, variables);
    for (const auto* name : {"WORKER_POLL_MS", "MONGODB_DB", "TELEMETRY_RETENTION_DAYS"}) {
        CAPTURE(name);
        CHECK_MESSAGE(count_of(service.program().err(), name) == 1, service.program().err());
    }
    CHECK(http(service.port(), "GET", "/api/worker/health").json().at("staleAfterMs") == 7777);
    std::ofstream(folder / "jobrt.json") << "{\"nonsense\": 1}";
    const auto refused = jobrt({}, variables, folder.path());
    CHECK(refused.status.code == 2);
    CHECK_MESSAGE(refused.err.find("nonsense") != std::string::npos, refused.err);
}

TEST_CASE("each program has the roles of its name") {
    const std::pair<std::string, std::string> programs[] = {
        {"jobrt-api", "api"}, {"jobrt-worker", "worker"}, {"jobrt-combined", "combined"}};
    for (const auto& [name, role] : programs) {
        CAPTURE(name);
        const Folder folder;
        Service service(folder, environment(folder), 20s, {tests::program(name)});
        CHECK(text(service.ready(), "role") == role);
        auto variables = environment(folder);
        variables["ROLE"] = role == "api" ? "worker" : "api";
        const auto refused = run({tests::program(name)}, variables, folder.path());
        CHECK(refused.status.code == 2);
        CHECK(refused.out.empty());
    }
}

TEST_CASE(
    "operators find the events they know: a worker's start and stop, retries, the download's progress") {
    test::TestServer site;
    site.on("/clip.mp4", test::slowly({.bytes = made_clip()}, 8192, 30ms));
    site.on("/page", page_with("/clip.mp4"));
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    variables["ROLE"] = "worker";
    auto names = [&] {
        std::vector<std::string> all;
        const auto page = http(api.port(), "GET", "/api/telemetry?limit=2000").json();
        for (const auto& event : page.at("events").get_array())
            all.push_back(text(event.get_object(), "event"));
        return all;
    };
    {
        Service worker(folder, variables);
        auto put = [&](const std::string& body) {
            return http(api.port(), "POST", "/api/jobs", body).status == 201;
        };
        CHECK(put(R"({"kind":"demo.sleep","payload":{"ms":1,"failTimes":1}})"));
        CHECK(eventually(30s, [&] {
            return in_order(names(), {"worker.job.retry_scheduled", "worker.job.completed"});
        }));
        CHECK(put("{\"url\":\"" + site.url("/page") + "\"}"));
        CHECK(eventually(60s, [&] {
            return in_order(names(), {"worker.job.download.started", "worker.job.download.progress",
                                      "worker.job.download.completed", "worker.job.completed"});
        }));
        CHECK(worker.program().stop().has_value());
    }
    CHECK(in_order(names(), {"worker.started", "worker.job.claimed", "worker.stopped"}));
}

TEST_CASE("JOBRT_LOG_FORMAT=json makes every log line one JSON object") {
    const Folder folder;
    Service service(folder, [&] {
        auto variables = environment(folder);
        variables["JOBRT_LOG_FORMAT"] = "json";
        variables["WORKER_POLL_MS"] = "1";
        return variables;
    }());
    CHECK(service.program().stop().has_value());
    std::istringstream lines(service.program().err());
    std::string line;
    int count = 0;
    for (; std::getline(lines, line); ++count) {
        boost::system::error_code code;
        const auto value = boost::json::parse(line, code);
        CHECK_MESSAGE((!code && value.is_object()), line);
    }
    CHECK(count > 0);
}

TEST_CASE("a process that is killed leaves no counters of MongoDB's driver behind") {
    const Folder folder;
    Runtime runtime(folder, true);
    for (auto* service : {&runtime.front(), &runtime.worker()}) {
        service->program().signal(SIGKILL);
        REQUIRE(service->program().wait(5s).has_value());
        CHECK_FALSE(std::filesystem::exists("/dev/shm/mongoc-" + std::to_string(service->program().pid())));
    }
}

TEST_CASE("PORT=0 is one port for IPv4 and IPv6") {
    const Folder folder;
    Runtime runtime(folder, false);
    const auto& urls = runtime.front().ready().at("http").get_array();
    REQUIRE_FALSE(urls.empty());
    for (const auto& url : urls)
        CHECK(std::string(url.get_string()).ends_with(":" + std::to_string(runtime.port())));
    CHECK((urls.size() == 2 || runtime.front().program().err().find("IPv6") != std::string::npos));
    CHECK_FALSE(api_of(runtime, "/api/health").empty());
}

TEST_CASE("a log-in without a display says where to do it") {
    const Folder folder;
    auto variables = environment(folder);
    const auto ended = jobrt({"auth", "bootstrap", "x"}, variables, folder.path());
    CHECK(ended.status.code == 1);
    CHECK_MESSAGE(ended.err.find("DISPLAY") != std::string::npos, ended.err);
    CHECK(jobrt({"auth", "bootstrap", "nonsense"}, variables, folder.path()).status.code == 2);
}

}  // namespace
}  // namespace jobruntime::e2e
