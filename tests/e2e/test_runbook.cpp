// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <csignal>
#include <filesystem>
#include <iostream>

#include <doctest/doctest.h>

#include "e2e/stores.hpp"

// The operator's contract, line by line, against real processes: what a running jobrt does.
namespace jobruntime::e2e {
namespace {

boost::json::object worker_health(int port) { return http(port, "GET", "/api/worker/health").json(); }

bool healthy(int port) {
    const auto answer = worker_health(port);
    const auto* ok = answer.if_contains("ok");
    return ok && ok->is_bool() && ok->get_bool();
}

void check_ready_line(Service& service, std::string_view role, const Folder& folder) {
    const auto& ready = service.ready();
    REQUIRE_FALSE(ready.empty());
    CHECK(ready.at("ready") == true);
    CHECK(text(ready, "role") == role);
    CHECK(ready.at("pid").to_number<int>() == service.program().pid());
    CHECK_FALSE(text(ready, "store").empty());
    CHECK(text(ready, "downloads") == folder / "downloads");
    CHECK_FALSE(text(ready, "version").empty());
    CHECK(ready.at("http").get_array().empty() == (role == "worker"));
    const auto out = service.program().out();
    CHECK_MESSAGE(out.find('\n') == out.size() - 1, "stdout has the one line only");
}

/// Range, probe, thumbnail of a saved job.
void check_saved_file(const Folder& folder, int port, const boost::json::object& job, double seconds) {
    const auto path = text(job, "outputPath");
    REQUIRE_FALSE(path.empty());
    const auto whole = http(port, "GET", "/downloads/" + path);
    CHECK(whole.status == 200);
    CHECK(whole.body == contents(folder / "downloads/" + path));
    const auto part = http(port, "GET", "/downloads/" + path, {}, {{"Range", "bytes=100-299"}});
    CHECK(part.status == 206);
    CHECK(part.body == whole.body.substr(100, 200));

    const auto probe = run({"ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0",
                            folder / "downloads/" + path},
                           environment(folder), folder.path());
    CHECK(probe.status.success());
    CHECK(std::atof(probe.out.c_str()) == doctest::Approx(seconds).epsilon(0.05));

    const auto picture = text(job, "thumbnailPath");
    REQUIRE_FALSE(picture.empty());
    const auto thumbnail = http(port, "GET", "/downloads/" + picture);
    CHECK(thumbnail.status == 200);
    CHECK(thumbnail.body.substr(0, 3) == "\xff\xd8\xff");
}

const std::vector<std::string> pipeline{"jobs.create.queued", "worker.job.claimed", "worker.job.extraction.started",
                                        "worker.job.extraction.completed", "worker.job.download.started",
                                        "worker.job.download.completed", "worker.job.thumbnail.completed",
                                        "worker.job.completed"};

/// What the runbook has the operator look for in the stream.
const std::vector<std::string> milestones{"worker.job.claimed", "worker.job.extraction.started",
                                          "worker.job.download.completed"};

/// Whether the milestones of a page's job show at the API within five seconds of its submission. A first page has a
/// browser to start and this machine may be busy, so that another page may try.
bool milestones_in_time(test::TestServer& site, Runtime& runtime) {
    const Stream stream(runtime.port(), "/api/telemetry/stream");
    for (int i = 0; i < 3; ++i) {
        const auto path = "/timed/" + std::to_string(i);
        site.on(path, page_with("/clip.mp4"));
        const auto id = runtime.save(site.url(path));
        if (eventually(5s, [&] { return in_order(stream.names(id), milestones); })) return true;
        (void)runtime.wait(id, "completed|failed|canceled");
    }
    return false;
}

void saves_a_page(const StoreKind& kind, bool split) {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    Runtime runtime(folder, split, environment(folder, kind));
    check_ready_line(runtime.front(), split ? "api" : "combined", folder);
    if (split) check_ready_line(runtime.worker(), "worker", folder);
    const auto store = text(runtime.front().ready(), "store");
    CHECK(store == text(runtime.worker().ready(), "store"));
    if (kind.name == "sqlite") CHECK(store == "sqlite:" + folder / "jobs.db");
    CHECK(text(http(runtime.port(), "GET", "/api/status").json(), "store") == store);

    const auto health = http(runtime.port(), "GET", "/api/health");
    CHECK(health.status == 200);
    CHECK(health.json().at("ok") == true);
    CHECK(text(health.json(), "status") == "ok");
    CHECK(text(health.json(), "service") == "jobrt");
    CHECK(eventually(30s, [&] { return healthy(runtime.port()); }));
    CHECK(worker_health(runtime.port()).at("staleAfterMs") == 5000);
    CHECK(worker_health(runtime.port()).at("workers") == 1);

    const Stream stream(runtime.port(), "/api/telemetry/stream");
    const auto url = site.url("/page");
    const auto created = http(runtime.port(), "POST", "/api/jobs", "{\"url\":\"" + url + "\"}",
                              {{"x-trace-id", "runbook-trace-1"}});
    INFO(created.body);
    REQUIRE(created.status == 201);
    CHECK(created.headers.at("x-trace-id") == "runbook-trace-1");
    CHECK(text(created.json(), "traceId") == "runbook-trace-1");
    const auto id = text(created.json().at("job").get_object(), "id");
    const auto twice = http(runtime.port(), "POST", "/api/jobs", "{\"url\":\"" + url + "\"}");
    CHECK(twice.status == 409);
    CHECK(text(twice.json(), "existingJobId") == id);

    const auto job = runtime.wait(id, "completed|failed|canceled");
    INFO(boost::json::serialize(job));
    REQUIRE(text(job, "status") == "completed");
    CHECK(job.at("error").is_null());
    CHECK(job.at("errorCode").is_null());
    CHECK(text(job, "traceId") == "runbook-trace-1");
    CHECK(eventually(30s, [&] { return in_order(stream.names(id), pipeline); }));
    CHECK(told(runtime.port(), id, pipeline));
    const auto traced = http(runtime.port(), "GET", "/api/telemetry?traceId=runbook-trace-1&limit=500").json();
    CHECK(traced.at("count").to_number<std::size_t>() >= pipeline.size());

    const auto again = http(runtime.port(), "POST", "/api/jobs", "{\"tweetUrl\":\"" + url + "\"}");
    CHECK(again.status == 409);
    CHECK(text(again.json(), "code") == "DUPLICATE_COMPLETED_JOB");
    CHECK(text(again.json(), "existingJobStatus") == "completed");
    check_saved_file(folder, runtime.port(), job, 6.0);
    CHECK_MESSAGE(milestones_in_time(site, runtime),
                  "claimed, extraction started and download completed show at the API within 5 s, in order");
}

TEST_CASE("a submitted page is saved, seen at the API in time and served: combined, and split on every store") {
    const auto kinds = store_kinds();
    SUBCASE("combined") { saves_a_page(kinds.front(), false); }
    SUBCASE("split") {
        for (const auto& kind : kinds) {
            CAPTURE(kind.name);
            saves_a_page(kind, true);
        }
    }
}

TEST_CASE("a longer film of another encoder is saved too") {
    const char* fixtures = std::getenv("JOBRT_FIXTURES");
    const auto film = std::string(fixtures ? fixtures : "") + "/bbb/bbb_480p_30s.mp4";
    if (!fixtures || !std::filesystem::exists(film)) {
        std::cout << "skipped: JOBRT_FIXTURES names no folder with bbb/bbb_480p_30s.mp4\n";
        return;
    }
    test::TestServer site;
    site.on("/bbb.mp4", test::serve({.bytes = contents(film)}));
    site.on("/bbb", page_with("/bbb.mp4"));
    const Folder folder;
    Runtime runtime(folder, false);
    const auto job = runtime.wait(runtime.save(site.url("/bbb")), "completed|failed");
    INFO(boost::json::serialize(job));
    REQUIRE(text(job, "status") == "completed");
    check_saved_file(folder, runtime.port(), job, 30.0);
}

void tells_workers_apart(const StoreKind& kind) {
    const Folder folder;
    auto variables = environment(folder, kind);
    variables["JOBRT_STALE_MS"] = "1500";
    variables["ROLE"] = "api";
    Service api(folder, variables);
    const auto none = http(api.port(), "GET", "/api/worker/health");
    CHECK(none.status == 200);
    CHECK(none.json().at("ok") == false);
    CHECK(text(none.json(), "error") == "No heartbeat recorded");
    CHECK(none.json().at("lastHeartbeatAt").is_null());
    CHECK(none.json().at("ageMs").is_null());

    const auto created = http(api.port(), "POST", "/api/jobs", R"({"kind":"demo.echo","payload":{"n":1}})").json();
    REQUIRE(created.contains("job"));
    const auto id = text(created.at("job").get_object(), "id");
    auto job = [&] { return http(api.port(), "GET", "/api/jobs/" + id).json().at("job").get_object(); };
    CHECK(text(job(), "waitingFor") == "no worker is running; start one with ROLE=worker");

    variables["ROLE"] = "worker";
    {
        Service worker(folder, variables);
        CHECK(eventually(30s, [&] { return healthy(api.port()); }));
        CHECK(eventually(30s, [&] { return text(job(), "status") == "completed"; }));
        const auto ended = worker.program().stop();
        REQUIRE(ended);
        CHECK(ended->code == 0);
    }
    const auto stopped = worker_health(api.port());
    CHECK(stopped.at("ok") == false);
    CHECK(text(stopped, "error") == "Worker stopped");
    CHECK(text(stopped, "lastHeartbeatAt") != "");

    Service killed(folder, variables);
    CHECK(eventually(30s, [&] { return healthy(api.port()); }));
    killed.program().signal(SIGKILL);
    CHECK(killed.program().wait(5s).has_value());
    CHECK(eventually(6s, [&] { return !healthy(api.port()); }));
    CHECK(worker_health(api.port()).at("ok") == false);
}

TEST_CASE("worker health tells no worker, a live one, a stopped one and a killed one apart, on every store") {
    for (const auto& kind : store_kinds()) {
        CAPTURE(kind.name);
        tells_workers_apart(kind);
    }
}

TEST_CASE("rolling back from split to combined loses no job") {
    const Folder folder;
    std::vector<std::string> ids;
    {
        Runtime split(folder, true, {{"JOBRT_CONCURRENCY", "4"}});
        for (int i = 0; i < 8; ++i) ids.push_back(split.submit({{"kind", "demo.sleep"}, {"payload", {{"ms", 3000}}}}));
        CHECK(eventually(30s, [&] { return split.status(ids.front()) == "running"; }));
        split.worker().program().signal(SIGKILL);
        split.front().program().signal(SIGKILL);
        CHECK(split.worker().program().wait(5s).has_value());
        CHECK(split.front().program().wait(5s).has_value());
    }
    Runtime combined(folder, false, {{"JOBRT_CONCURRENCY", "8"}});
    for (const auto& id : ids) {
        CAPTURE(id);
        CHECK(text(combined.wait(id, "completed|failed|canceled", 40s), "status") == "completed");
    }
}

}  // namespace
}  // namespace jobruntime::e2e
