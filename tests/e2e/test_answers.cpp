// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// More lines of the operator's contract about what the API answers: bounds, members, and what outlives a restart.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

std::set<std::string> members(const boost::json::object& object) {
    std::set<std::string> names;
    for (const auto& item : object) names.insert(std::string(item.key()));
    return names;
}

boost::json::object part(const Answer& answer, std::string_view name) {
    const auto object = answer.json();
    const auto* value = object.if_contains(name);
    return value && value->is_object() ? value->get_object() : boost::json::object();
}

Answer post_job(int port, const boost::json::object& body, const HeaderList& headers = {}) {
    return http(port, "POST", "/api/jobs", boost::json::serialize(body), headers);
}

bool is_time(std::string_view text) { return text.size() == 24 && text[10] == 'T' && text.back() == 'Z'; }

TEST_CASE("health says this and no more, to whoever asks by whatever name") {
    const Folder folder;
    auto variables = environment(folder);
    variables["JOBRT_TOKEN_FILE"] = folder / "tokens.json";
    REQUIRE(jobrt({"token", "create", "somebody", "--role", "read"}, variables, folder.path()).status.success());
    Runtime runtime(folder, true, variables);
    const HeaderList stranger{{"Host", "unlisted.example"}};
    CHECK(http(runtime.port(), "GET", "/api/jobs").status == 401);
    const auto health = http(runtime.port(), "GET", "/api/health", {}, stranger);
    CHECK(health.status == 200);
    CHECK(members(health.json()) == std::set<std::string>{"ok", "status", "service", "timestamp"});
    CHECK(is_time(text(health.json(), "timestamp")));
    boost::json::object worker;
    CHECK(eventually(30s, [&] {
        const auto answer = http(runtime.port(), "GET", "/api/worker/health", {}, stranger);
        CHECK(answer.status == 200);
        worker = answer.json();
        return worker.at("ok") == true;
    }));
    CHECK(members(worker) == std::set<std::string>{"ok", "lastHeartbeatAt", "ageMs", "staleAfterMs", "workers", "startedAt"});
    CHECK(is_time(text(worker, "lastHeartbeatAt")));
    CHECK(is_time(text(worker, "startedAt")));
    CHECK(worker.at("ageMs").to_number<int>() >= 0);
}

TEST_CASE("a job may be as large as its bounds, and no larger") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    struct Row {
        boost::json::object body;
        int status;
    };
    const Row rows[] = {
        {{{"kind", std::string(64, 'k')}}, 201},
        {{{"kind", std::string(65, 'k')}}, 400},
        {{{"kind", "a.b_c-9"}, {"queue", "a.b_c-9"}}, 201},
        {{{"kind", "demo.echo"}, {"queue", "Media"}}, 400},
        {{{"kind", "demo.echo"}, {"queue", std::string(65, 'q')}}, 400},
        {{{"kind", "demo.echo"}, {"priority", 32767}}, 201},
        {{{"kind", "demo.echo"}, {"priority", -32768}}, 201},
        {{{"kind", "demo.echo"}, {"priority", 32768}}, 400},
        {{{"kind", "demo.echo"}, {"priority", -32769}}, 400},
        {{{"kind", "demo.echo"}, {"runAt", "2037-01-01T00:00:00.000Z"}}, 201},
        {{{"url", "http://films.example:65535/a"}}, 201},
        {{{"url", "http://films.example:65536/a"}}, 400},
        {{{"url", "http://127.0.0.1:9/private"}}, 201},
        {{{"url", "http://127.0.0.256/"}}, 400},
        {{{"url", "http://films.example/b"}, {"tweetUrl", "http://films.example/b"}}, 400},
        {{{"url", "http://films.example/b"}, {"payload", boost::json::object()}}, 400},
    };
    for (const auto& row : rows) {
        CAPTURE(boost::json::serialize(row.body));
        const auto answer = post_job(api.port(), row.body);
        INFO(answer.body);
        CHECK(answer.status == row.status);
        const auto job = part(answer, "job");
        if (row.body.contains("runAt")) {
            CHECK(text(job, "status") == "scheduled");
            CHECK(text(job, "runAt") == "2037-01-01T00:00:00.000Z");
        }
    }
    const auto usual = part(post_job(api.port(), {{"kind", "demo.echo"}}), "job");
    CHECK(usual.at("priority") == 0);
    CHECK(text(usual, "queue") == "default");
    const auto shouted = part(post_job(api.port(), {{"url", "HTTP://FILMS.Example:80/Case"}}), "job");
    CHECK(text(shouted, "url") == "http://films.example/Case");
    CHECK(text(shouted, "canonicalUrl") == "http://films.example/Case");
    CHECK(text(shouted, "queue") == "media");
    CHECK(text(shouted, "kind") == "media.save");
}

TEST_CASE("lists have 50 jobs and 200 events unless asked, at most 500 and 2000") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    for (int i = 0; i < 230; ++i) REQUIRE(post_job(api.port(), {{"kind", "demo.echo"}}).status == 201);
    auto jobs = [&](const std::string& query) { return http(api.port(), "GET", "/api/jobs" + query).json(); };
    CHECK(jobs("").at("jobs").get_array().size() == 50);
    CHECK_FALSE(text(jobs(""), "nextCursor").empty());
    CHECK(jobs("?limit=500").at("jobs").get_array().size() == 230);
    CHECK(jobs("?limit=500").at("nextCursor").is_null());
    CHECK(jobs("?limit=501").at("jobs").get_array().size() == 230);
    for (const auto* query : {"?limit=0", "?limit=-1", "?limit=many"})
        CHECK(http(api.port(), "GET", std::string("/api/jobs") + query).status == 400);

    // What the API says of itself is stored a moment after its answers: nothing more is to come.
    CHECK(eventually(30s, [&] {
        const auto text = http(api.port(), "GET", "/api/telemetry?limit=2000").body;
        int told = 0;
        for (auto at = text.find("api.change.done"); at != std::string::npos; at = text.find("api.change.done", at + 1)) ++told;
        return told == 230;
    }));
    const auto usual = http(api.port(), "GET", "/api/telemetry").json();
    CHECK(usual.at("count") == 200);
    const auto all = http(api.port(), "GET", "/api/telemetry?limit=2000").json().at("events").get_array();
    REQUIRE(all.size() > 200);
    CHECK_MESSAGE(usual.at("events").get_array().back() == all.back(), "the last ones");
    CHECK_MESSAGE(usual.at("events").get_array().front() == all[all.size() - 200], "oldest first");
    auto shown = [](const Stream& stream) {
        const auto text = stream.text();
        std::size_t count = 0;
        for (auto at = text.find("event: telemetry"); at != std::string::npos; at = text.find("event: telemetry", at + 1)) ++count;
        return count;
    };
    const Stream history(api.port(), "/api/telemetry/stream");
    CHECK(eventually(30s, [&] { return shown(history) >= 200; }));
    // On resume everything since then comes, whatever the limit.
    const Stream resumed(api.port(), "/api/telemetry/stream?limit=3&after=" +
                                         std::to_string(all.front().get_object().at("id").to_number<std::int64_t>()));
    CHECK(eventually(30s, [&] { return shown(resumed) >= all.size() - 1; }));
    CHECK(shown(history) == 200);
}

TEST_CASE("a stream of one trace or one level has nothing else in it, and its data is flat") {
    const Folder folder;
    Runtime runtime(folder, true);
    const auto mine = text(part(post_job(runtime.port(), {{"kind", "demo.echo"}}, {{"x-trace-id", "mine"}}), "job"), "id");
    const auto other = runtime.submit({{"kind", "demo.sleep"}, {"payload", {{"ms", 1}, {"failTimes", 1}}}});
    REQUIRE(text(runtime.wait(other, "completed", 10s), "status") == "completed");
    REQUIRE(text(runtime.wait(mine, "completed", 10s), "status") == "completed");
    const Stream traced(runtime.port(), "/api/telemetry/stream?traceId=mine");
    const Stream warned(runtime.port(), "/api/telemetry/stream?level=warn");
    CHECK(eventually(30s, [&] { return in_order(traced.names(mine), {"jobs.create.queued", "worker.job.completed"}); }));
    CHECK(traced.names(other).empty());
    CHECK(eventually(30s, [&] { return in_order(warned.names(other), {"worker.job.retry_scheduled"}); }));
    CHECK(warned.text().find("\"level\":\"info\"") == std::string::npos);
    const auto events = http(runtime.port(), "GET", "/api/telemetry?limit=2000").json();
    CHECK(events.at("count").to_number<std::size_t>() == events.at("events").get_array().size());
    std::int64_t last = 0;
    for (const auto& one : events.at("events").get_array()) {
        CAPTURE(boost::json::serialize(one));
        const auto& event = one.get_object();
        CHECK(event.at("id").to_number<std::int64_t>() > last);
        last = event.at("id").to_number<std::int64_t>();
        CHECK(is_time(text(event, "ts")));
        CHECK(std::set<std::string>{"info", "warn", "error"}.contains(text(event, "level")));
        CHECK_FALSE(text(event, "sourceProcessId").empty());
        CHECK_FALSE(text(event, "processRole").empty());
        if (text(event, "event").starts_with("worker.job."))
            for (const auto& member : event) CHECK_FALSE(member.value().is_structured());
    }
    // What went wrong on the way stays listed with a job that is well.
    const auto job = runtime.job(other);
    CHECK(job.at("error").is_null());
    REQUIRE(job.at("errors").get_array().size() == 1);
    const auto& error = job.at("errors").get_array().front().get_object();
    CHECK(is_time(text(error, "at")));
    CHECK(error.at("attempt") == 1);
    CHECK(text(error, "code") == "DEMO_FAILED");
    CHECK_FALSE(text(error, "message").empty());
}

TEST_CASE("an idempotency key outlives the API that took it") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    const HeaderList key{{"Idempotency-Key", "order-7"}};
    const boost::json::object body{{"kind", "demo.echo"}, {"payload", {{"n", 1}}}};
    std::string id;
    {
        Service api(folder, variables);
        id = text(part(post_job(api.port(), body, key), "job"), "id");
        REQUIRE_FALSE(id.empty());
        api.program().signal(SIGKILL);
        CHECK(api.program().wait(5s).has_value());
    }
    Service api(folder, variables);
    const auto again = post_job(api.port(), body, key);
    CHECK(again.status == 201);
    CHECK(text(part(again, "job"), "id") == id);
    const auto other = post_job(api.port(), {{"kind", "demo.echo"}}, key);
    CHECK(other.status == 409);
    CHECK(text(other.json(), "code") == "IDEMPOTENCY_KEY_REUSED");
}

TEST_CASE("a job may go without its files, which are then nobody's to serve") {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    Runtime runtime(folder, true);
    const auto id = runtime.save(site.url("/page"));
    const auto job = runtime.wait(id, "completed|failed");
    REQUIRE(text(job, "status") == "completed");
    const auto path = text(job, "outputPath");
    CHECK(http(runtime.port(), "GET", "/downloads/" + path).status == 200);
    CHECK(http(runtime.port(), "DELETE", "/api/jobs/" + id + "?keepFiles=1").status == 200);
    CHECK(http(runtime.port(), "GET", "/api/jobs/" + id).status == 404);
    CHECK(fs::exists(folder / "downloads/" + path));
    CHECK(http(runtime.port(), "GET", "/downloads/" + path).status == 404);
    // The address is free for another job.
    CHECK(post_job(runtime.port(), {{"url", site.url("/page")}}).status == 201);
}

TEST_CASE("status and workers say what the contract lists") {
    const Folder folder;
    Runtime runtime(folder, true, {{"JOBRT_BROWSER", "/nonexistent/chromium"}});
    REQUIRE(eventually(30s, [&] {
        return http(runtime.port(), "GET", "/api/workers").json().at("workers").get_array().size() == 1;
    }));
    const auto status = http(runtime.port(), "GET", "/api/status").json();
    for (const auto* name : {"ok", "role", "version", "store", "downloadDir", "startedAt", "sessions"}) {
        CAPTURE(name);
        CHECK(status.contains(name));
    }
    CHECK(is_time(text(status, "startedAt")));
    const auto worker = http(runtime.port(), "GET", "/api/workers").json().at("workers").get_array().front().get_object();
    for (const auto* name : {"id", "host", "pid", "role", "version", "startedAt", "beatAgeMs", "running"}) {
        CAPTURE(name);
        CHECK(worker.contains(name));
    }
    // What the worker misses is said at its start and to whoever watches.
    CHECK(runtime.worker().program().err().find("/nonexistent/chromium") != std::string::npos);
    boost::json::object started;
    // An event of the process is stored a moment after it is told.
    CHECK(eventually(30s, [&] {
        const auto events = http(runtime.port(), "GET", "/api/telemetry").json();
        for (const auto& event : events.at("events").get_array())
            if (text(event.get_object(), "event") == "worker.started") started = event.get_object();
        return !started.empty();
    }));
    CHECK_MESSAGE(text(started, "missing").find("/nonexistent/chromium") != std::string::npos,
                  boost::json::serialize(started));
    CHECK(text(started, "level") == "warn");
}

TEST_CASE("a flag goes before the environment, that before .env, and that before the file") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    std::ofstream(folder / "jobrt.json") << R"({"stale": 6004})";
    std::ofstream(folder / ".env") << "JOBRT_STALE_MS=6003\n";
    variables["JOBRT_CONFIG"] = folder / "jobrt.json";
    variables["JOBRT_STALE_MS"] = "6002";
    // For tests, and no business of the settings.
    variables["JOBRT_TEST_ANYTHING"] = variables["JOBRT_FIXTURES"] = "x";
    auto stale = [&](std::vector<std::string> argv) {
        Service api(folder, variables, 20s, std::move(argv));
        for (const auto* name : {"JOBRT_TEST_ANYTHING", "JOBRT_FIXTURES"})
            CHECK(api.program().err().find(name) == std::string::npos);
        return http(api.port(), "GET", "/api/worker/health").json().at("staleAfterMs").to_number<int>();
    };
    CHECK(stale({tests::program("jobrt"), "--stale", "6001"}) == 6001);
    CHECK(stale({tests::program("jobrt")}) == 6002);
    variables["JOBRT_STALE_MS"] = "";
    CHECK(stale({tests::program("jobrt")}) == 6003);
    fs::remove(folder / ".env");
    CHECK(stale({tests::program("jobrt")}) == 6004);
    variables.erase("JOBRT_CONFIG");
    CHECK(stale({tests::program("jobrt")}) == 120'000);
}

}  // namespace
}  // namespace jobruntime::e2e
