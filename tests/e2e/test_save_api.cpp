// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <csignal>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// `jobrt save`, through a running API and beside one: the same words and exit codes, and what operators see
// of it.
namespace jobruntime::e2e {
namespace {

boost::json::object object_of(const Ended& ended) {
    boost::system::error_code code;
    auto value = boost::json::parse(ended.out, code);
    CHECK_MESSAGE(!code, "not one JSON value: " << ended.out);
    return !code && value.is_object() ? value.get_object() : boost::json::object();
}

std::string line_of(std::string out) {
    while (out.ends_with('\n')) out.pop_back();
    return out;
}

/// A place with no store and no settings of its own: all must come from the API.
Variables elsewhere(const Folder& folder) {
    return {
        {"PATH", "/usr/bin:/bin"}, {"HOME", folder.path()}, {"JOBRT_STORE", "sqlite:" + folder / "none.db"}};
}

TEST_CASE("save --api leaves the work to the API's worker and prints the path") {
    bool split = false;
    SUBCASE("combined") { split = false; }
    SUBCASE("split") { split = true; }
    CAPTURE(split);
    test::TestServer site;
    add_clip_page(site);
    site.on("/empty",
            test::status(200, "Content-Type: text/html\r\n", "<!doctype html><title>Words</title>"));
    const Folder folder, away;
    Runtime runtime(folder, split);
    const auto api = "http://127.0.0.1:" + std::to_string(runtime.port());
    auto save = [&](std::vector<std::string> more) {
        more.insert(more.begin(), {"save", "--api", api});
        return jobrt(more, elsewhere(away), away.path(), 60s);
    };
    const auto first = save({site.url("/page")});
    INFO(first.err);
    REQUIRE(first.in_time);
    REQUIRE(first.status.code == 0);
    const auto path = line_of(first.out);
    CHECK(path.starts_with(folder / "downloads/"));
    CHECK(contents(path).size() > 1000);
    CHECK_FALSE(first.err.empty());
    CHECK(first.err.find("completed") == std::string::npos);
    CHECK(first.err.find("\x1b[") == std::string::npos);

    const auto again = save({site.url("/page")});
    CHECK(again.status.code == 0);
    CHECK(line_of(again.out) == path);
    CHECK(again.err.find("already saved") != std::string::npos);
    const auto json = object_of(save({site.url("/page"), "--json"}));
    CHECK(json.at("ok") == true);
    CHECK(json.at("alreadySaved") == true);
    CHECK(text(json, "path") == path);
    const auto id = text(json.at("job").get_object(), "id");
    CHECK(json.at("job").get_object() == runtime.job(id));
    CHECK(told(runtime.port(), id, {"worker.job.completed", "jobs.create.duplicate"}));

    const auto failed = save({site.url("/empty")});
    CHECK(failed.status.code == 1);
    CHECK(failed.out.empty());
    CHECK_MESSAGE(failed.err.find("NO_MEDIA: ") != std::string::npos, failed.err);
    const auto refused = save({"http://user:pw@a.example/"});
    CHECK(refused.status.code == 1);
    CHECK_MESSAGE(refused.err.find("INVALID_URL: ") != std::string::npos, refused.err);
    CHECK(refused.err.find("pw") == std::string::npos);
    CHECK_FALSE(object_of(save({"nonsense", "--json"})).at("ok").get_bool());
}

TEST_CASE("save --api says what is wrong with the API") {
    const Folder away;
    const test::TestServer foreigner;
    auto save = [&](const std::string& api) {
        return jobrt({"save", "http://a.example/v", "--api", api}, elsewhere(away), away.path(), 30s);
    };
    const auto nobody = save("http://127.0.0.1:1");
    CHECK(nobody.status.code == 1);
    CHECK_MESSAGE(nobody.err.find("NETWORK: ") != std::string::npos, nobody.err);
    const auto other = save(foreigner.url("/"));
    CHECK(other.status.code == 1);
    CHECK_MESSAGE(other.err.find("NOT_JOBRT: ") != std::string::npos, other.err);
    CHECK(save("not an address").status.code == 1);
}

TEST_CASE("save --api takes a refusal for one, and Ctrl-C ends it while the API does not answer") {
    const Folder away;
    test::TestServer api;
    const std::string json = "Content-Type: application/json\r\n";
    api.on("/api/jobs", test::status(201, json, R"({"ok":true,"job":{"id":"0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f"}})"));
    api.on("/api/status", test::status(503, json, R"({"ok":false,"code":"STORE_UNAVAILABLE","error":"Not now"})"));
    const std::vector<std::string> command{"save", "http://a.example/v", "--api", api.url("")};
    const auto refused = jobrt(command, elsewhere(away), away.path(), 30s);
    CHECK(refused.status.code == 1);
    CHECK_MESSAGE(refused.err.find("STORE_UNAVAILABLE: Not now") != std::string::npos, refused.err);

    api.on("/api/jobs", [](const auto& connection, const auto&) { connection.hold(); });
    const auto before = api.requests().size();
    Program waiting({tests::program("jobrt"), "save", "http://a.example/v", "--api", api.url("")}, elsewhere(away), away.path());
    REQUIRE(eventually(30s, [&] { return api.requests().size() > before; }));
    waiting.signal(SIGINT);
    const auto ended = waiting.wait(10s);  // By itself it ends after five, with 1.
    REQUIRE(ended);
    CHECK(ended->code == 130);
}

TEST_CASE("save --api follows the job over a restart of the API, and leaves it queued when interrupted") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    auto api = std::make_unique<Service>(folder, variables);
    variables["PORT"] = std::to_string(api->port());
    const auto base = "http://127.0.0.1:" + std::to_string(api->port());
    Program saving({tests::program("jobrt"), "save", "http://127.0.0.1:9/clip", "--api", base}, elsewhere(folder),
                   folder.path());
    REQUIRE(eventually(30s, [&] { return saving.err().find("no worker is running") != std::string::npos; }));
    REQUIRE(api->program().stop().has_value());
    CHECK_FALSE(saving.wait(500ms));
    api = std::make_unique<Service>(folder, variables);
    CHECK_FALSE(saving.wait(1s));
    const auto ended = saving.stop(5s);
    REQUIRE(ended);
    CHECK(ended->code == 130);
    const auto jobs = http(api->port(), "GET", "/api/jobs").json().at("jobs").get_array();
    REQUIRE(jobs.size() == 1);
    CHECK(text(jobs.front().get_object(), "status") == "queued");
}

TEST_CASE("a duplicate that the command finds is told like one that the API finds") {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    Runtime runtime(folder, true);
    const auto id = runtime.save(site.url("/page"));
    REQUIRE(text(runtime.wait(id, "completed|failed"), "status") == "completed");
    const auto again = jobrt({"save", site.url("/page")}, environment(folder), folder.path());
    CHECK(again.status.code == 0);
    CHECK(told(runtime.port(), id, {"worker.job.completed", "jobs.create.duplicate"}));
    const auto trace = text(runtime.job(id), "traceId");
    const auto traced = http(runtime.port(), "GET", "/api/telemetry?traceId=" + trace + "&limit=500");
    CHECK(traced.body.find("jobs.create.duplicate") != std::string::npos);
}

TEST_CASE("health --worker goes by the workers that live") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "worker";
    Service lives(folder, variables);
    {
        Service stops(folder, variables);
        CHECK(stops.program().stop().has_value());
    }
    // The one that stopped beat last.
    auto health = [&] { return jobrt({"health", "--worker", "--json"}, environment(folder), folder.path()); };
    const auto well = health();
    CHECK(well.status.code == 0);
    CHECK(object_of(well).at("ok") == true);
    CHECK(object_of(well).at("workers") == 1);
    CHECK(lives.program().stop().has_value());
    const auto stopped = health();
    CHECK(stopped.status.code == 1);
    CHECK(text(object_of(stopped), "error") == "Worker stopped");
    Service killed(folder, variables);
    killed.program().signal(SIGKILL);
    CHECK(killed.program().wait(5s).has_value());
    CHECK(eventually(30s, [&] { return health().status.code == 1; }));
}

}  // namespace
}  // namespace jobruntime::e2e
