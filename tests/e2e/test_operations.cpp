// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// What happens to a runtime in its days: restarts, kills, removed files, full houses.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

std::vector<std::int64_t> event_ids(const std::string& stream) {
    std::vector<std::int64_t> ids;
    for (std::size_t at = 0; (at = stream.find("event: telemetry", at)) != std::string::npos; ++at) {
        const auto data = stream.find("data: ", at);
        const auto end = stream.find('\n', data);
        if (data == std::string::npos || end == std::string::npos) break;
        boost::system::error_code code;
        const auto value = boost::json::parse(stream.substr(data + 6, end - data - 6), code);
        if (code) break;
        ids.push_back(value.get_object().at("id").to_number<std::int64_t>());
    }
    return ids;
}

TEST_CASE("a stream resumes across a killed API with no gap and no repeat") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "worker";
    Service worker(folder, variables);
    variables["ROLE"] = "api";
    auto echo = [](int port) { return http(port, "POST", "/api/jobs", R"({"kind":"demo.echo"})").status == 201; };
    std::vector<std::int64_t> seen;
    {
        Service api(folder, variables);
        const Stream stream(api.port(), "/api/telemetry/stream");
        for (int i = 0; i < 5; ++i) CHECK(echo(api.port()));
        CHECK(eventually(30s, [&] { return event_ids(stream.text()).size() >= 10; }));
        seen = event_ids(stream.text());
        for (int i = 0; i < 5; ++i) CHECK(echo(api.port()));
        api.program().signal(SIGKILL);
        CHECK(api.program().wait(5s).has_value());
    }
    REQUIRE_FALSE(seen.empty());
    Service api(folder, variables);
    CHECK(echo(api.port()));
    const Stream resumed(api.port(), "/api/telemetry/stream?after=" + std::to_string(seen.back()));
    auto all = [&] {
        std::vector<std::int64_t> ids;
        const auto object = http(api.port(), "GET", "/api/telemetry?limit=2000").json();
        for (const auto& event : object.at("events").get_array())
            ids.push_back(event.get_object().at("id").to_number<std::int64_t>());
        return ids;
    };
    auto together = [&] {
        auto ids = seen;
        const auto rest = event_ids(resumed.text());
        ids.insert(ids.end(), rest.begin(), rest.end());
        return ids;
    };
    CHECK(eventually(30s, [&] { return together() == all(); }));
    const auto ids = together();
    CHECK(std::is_sorted(ids.begin(), ids.end()));
    CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
}

TEST_CASE("sixteen streams are served, the next is refused, and other requests go on") {
    const Folder folder;
    Runtime runtime(folder, false, {{"JOBRT_MAX_STREAMS", "16"}});
    std::vector<std::unique_ptr<Stream>> streams;
    for (int i = 0; i < 16; ++i) streams.push_back(std::make_unique<Stream>(runtime.port(), "/api/telemetry/stream"));
    CHECK(eventually(30s, [&] {
        return std::all_of(streams.begin(), streams.end(), [](auto& s) { return s->text().starts_with("HTTP/1.1 200"); });
    }));
    CHECK(http(runtime.port(), "GET", "/api/telemetry/stream").status == 503);
    const auto id = runtime.submit({{"kind", "demo.echo"}});
    CHECK(eventually(30s, [&] {
        return std::all_of(streams.begin(), streams.end(),
                           [&](auto& s) { return in_order(s->names(id), {"worker.job.completed"}); });
    }));
    streams.pop_back();
    CHECK(eventually(30s, [&] {
        const Stream next(runtime.port(), "/api/telemetry/stream");
        return eventually(300ms, [&] { return next.text().starts_with("HTTP/1.1 200"); });
    }));
}

TEST_CASE("an idempotency key gives the same answer again, and is not for another body") {
    const Folder folder;
    Runtime runtime(folder, true);
    const HeaderList key{{"Idempotency-Key", "order-1"}};
    const auto first = http(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo","payload":{"n":1}})", key);
    const auto again = http(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo","payload":{"n":1}})", key);
    CHECK(first.status == 201);
    CHECK(again.status == 201);
    CHECK(text(first.json().at("job").get_object(), "id") == text(again.json().at("job").get_object(), "id"));
    const auto other = http(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo","payload":{"n":2}})", key);
    CHECK(other.status == 409);
    CHECK(text(other.json(), "code") == "IDEMPOTENCY_KEY_REUSED");
    CHECK(http(runtime.port(), "GET", "/api/jobs").json().at("jobs").get_array().size() == 1);
}

TEST_CASE("status, workers and capabilities name the processes") {
    const Folder folder;
    Runtime runtime(folder, true);
    const auto status = http(runtime.port(), "GET", "/api/status").json();
    CHECK(text(status, "role") == "api");
    CHECK(text(status, "store") == text(runtime.front().ready(), "store"));
    if (!environment(folder).contains("MONGODB_URI")) CHECK(text(status, "store") == "sqlite:" + folder / "jobs.db");
    CHECK(text(status, "downloadDir") == folder / "downloads");
    REQUIRE(eventually(30s, [&] {
        return http(runtime.port(), "GET", "/api/workers").json().at("workers").get_array().size() == 1;
    }));
    const auto worker = http(runtime.port(), "GET", "/api/workers").json().at("workers").get_array().front().get_object();
    CHECK(worker.at("pid").to_number<int>() == runtime.worker().program().pid());
    CHECK(text(worker, "role") == "worker");
    CHECK(worker.at("beatAgeMs").to_number<int>() < 5000);
    const auto changed = http(runtime.port(), "PATCH", "/api/capabilities", R"({"platforms":{"x":false}})");
    CHECK(changed.status == 200);
    CHECK(http(runtime.port(), "POST", "/api/jobs", R"({"url":"https://x.com/a/status/1234567890"})").status == 403);
}

TEST_CASE("a saved post whose file is gone is fetched again, and deleting a job deletes its files") {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    Runtime runtime(folder, false);
    const auto id = runtime.save(site.url("/page"));
    const auto job = runtime.wait(id, "completed|failed");
    REQUIRE(text(job, "status") == "completed");
    fs::remove(folder / "downloads/" + text(job, "outputPath"));
    const HeaderList key{{"Idempotency-Key", "once-more"}};
    const auto again = http(runtime.port(), "POST", "/api/jobs", "{\"url\":\"" + site.url("/page") + "\"}", key);
    INFO(again.body);
    CHECK(again.status == 201);
    CHECK(again.json().at("requeued") == true);
    CHECK(text(again.json().at("job").get_object(), "id") == id);
    const auto repeated = http(runtime.port(), "POST", "/api/jobs", "{\"url\":\"" + site.url("/page") + "\"}", key);
    INFO(repeated.body);
    CHECK(repeated.status == 201);
    CHECK(repeated.json().at("requeued") == true);
    CHECK(text(repeated.json().at("job").get_object(), "id") == id);
    const auto back = runtime.wait(id, "completed|failed");
    CHECK(text(back, "outputPath") != text(job, "outputPath"));
    // Nothing of the run before is left beside the new files.
    for (const auto* name : {"jsonPath", "thumbnailPath"}) {
        CAPTURE(name);
        CHECK_FALSE(fs::exists(folder / "downloads/" + text(job.at("result").get_object(), name)));
        CHECK(fs::exists(folder / "downloads/" + text(back.at("result").get_object(), name)));
    }
    REQUIRE(text(back, "status") == "completed");
    const auto path = folder / "downloads/" + text(back, "outputPath");
    CHECK(fs::exists(path));
    CHECK(http(runtime.port(), "DELETE", "/api/jobs/" + id).status == 200);
    CHECK_FALSE(fs::exists(path));
    CHECK(http(runtime.port(), "GET", "/downloads/" + text(back, "outputPath")).status == 404);
    CHECK_FALSE(fs::exists(folder / "downloads/" + text(back, "thumbnailPath")));
}

TEST_CASE("a worker killed in a download leaves no browser, and the next one finishes the job") {
    test::TestServer site;
    site.on("/clip.mp4", test::slowly({.bytes = made_clip()}, 8192, 50ms));
    site.on("/page", page_with("/clip.mp4"));
    const Folder folder;
    auto variables = environment(folder);
    Runtime runtime(folder, true);
    const auto id = runtime.save(site.url("/page"));
    REQUIRE(eventually(40s, [&] { return in_order(events_of(runtime.port(), id), {"worker.job.download.started"}); }));
    const auto children = children_with(runtime.worker().program().pid(), "");
    CHECK_FALSE(children.empty());
    runtime.worker().program().signal(SIGKILL);
    // Reaped, so that its death is seen as a supervisor would see it.
    REQUIRE(runtime.worker().program().wait(5s).has_value());
    CHECK_MESSAGE(eventually(30s, [&] {
        return std::none_of(children.begin(), children.end(), [](int child) {
            return fs::exists("/proc/" + std::to_string(child)) &&
                   !contents("/proc/" + std::to_string(child) + "/cmdline").empty();
        });
    }), "a child outlives its killed worker");
    variables["ROLE"] = "worker";
    site.on("/clip.mp4", test::serve({.bytes = made_clip()}));
    Service next(folder, variables);
    const auto job = runtime.wait(id, "completed|failed", 40s);
    INFO(boost::json::serialize(job));
    CHECK(text(job, "status") == "completed");
    CHECK(job.at("crashes").to_number<int>() <= 1);
    CHECK(told(runtime.port(), id, {"worker.job.claimed", "worker.job.recovered", "worker.job.claimed", "worker.job.completed"}));
}

TEST_CASE("a page that never loads ends with EXTRACTION_TIMEOUT, and the work really stops") {
    test::TestServer site;
    site.on("/hangs", test::silence());
    const Folder folder;
    Runtime runtime(folder, false, {{"EXTRACTION_TIMEOUT_MS", "3000"}, {"PLAYWRIGHT_NAV_TIMEOUT_MS", "60000"}});
    const auto id = runtime.save(site.url("/hangs"));
    const auto job = runtime.wait(id, "scheduled|failed|completed", 30s);
    INFO(boost::json::serialize(job));
    REQUIRE_FALSE(job.at("errors").get_array().empty());
    CHECK(text(job.at("errors").get_array().front().get_object(), "code") == "EXTRACTION_TIMEOUT");
    CHECK(text(job, "error").find("jobrt auth bootstrap") != std::string::npos);
}

TEST_CASE("the .env of the old app is read as it is, and what no longer works is named") {
    const Folder folder;
    auto variables = environment(folder);
    variables.erase("PORT");
    variables.erase("JOBRT_DOWNLOAD_DIR");
    variables["JOBRT_NONSENSE"] = "1";
    std::ofstream(folder / ".env") << "\xef\xbb\xbf# old\r\nexport PORT=\"0\"\r\nROLE='api'\r\nJOBRT_DOWNLOAD_DIR=films\r\n";
    Service service(folder, variables);
    CHECK(text(service.ready(), "role") == "api");
    CHECK(text(service.ready(), "downloads") == folder / "films");
    CHECK(service.port() != 4000);
    CHECK_MESSAGE(service.program().err().find("JOBRT_NONSENSE") != std::string::npos, service.program().err());
    CHECK_MESSAGE(service.program().err().find("127.0.0.0/8") != std::string::npos, "the opened guard is logged loudly");
}

TEST_CASE("a profile that another program holds is named, and its browser is left alone") {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    const Program holder({"chromium", "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
                          "--user-data-dir=" + folder / "profile", "--remote-debugging-port=0", "about:blank"},
                         environment(folder), folder.path());
    REQUIRE_MESSAGE(eventually(20s, [&] { return fs::is_symlink(folder / "profile/SingletonLock"); }), holder.err());
    Runtime runtime(folder, false);
    const auto job = runtime.wait(runtime.save(site.url("/page")), "failed|completed|scheduled", 30s);
    INFO(boost::json::serialize(job));
    CHECK(text(job, "errorCode") == "BROWSER_PROFILE_IN_USE");
    CHECK(text(job, "error").find("PLAYWRIGHT_USER_DATA_DIR") != std::string::npos);
    CHECK_FALSE(contents("/proc/" + std::to_string(holder.pid()) + "/cmdline").empty());
}

TEST_CASE("a profile that another worker holds is waited for, which the job says and is not charged for") {
    test::TestServer site;
    add_clip_page(site);
    std::atomic<bool> opened = false;
    site.on("/slow", [&, page = page_with("/clip.mp4")](const test::ServedConnection& connection, const test::ServedRequest& request) {
        eventually(60s, [&] { return opened.load(); });
        page(connection, request);
    });
    const Folder folder;
    auto variables = environment(folder);
    variables["JOBRT_CONCURRENCY"] = "1";
    Runtime runtime(folder, true, variables);
    variables["ROLE"] = "worker";
    Service other(folder, variables);
    const auto first = runtime.save(site.url("/slow"));
    auto asked = [&] {
        const auto requests = site.requests();
        return std::any_of(requests.begin(), requests.end(), [](auto& one) { return one.target == "/slow"; });
    };
    REQUIRE(eventually(40s, asked));
    const auto second = runtime.save(site.url("/page"));
    const auto waiting = runtime.wait(second, "scheduled|failed|completed", 30s);
    INFO(boost::json::serialize(waiting));
    CHECK(text(waiting, "status") == "scheduled");
    CHECK(text(waiting, "waitingFor").ends_with(": waits for the browser profile, which another jobrt process uses"));
    CHECK(waiting.at("attempt") == 0);
    CHECK(waiting.at("errors").get_array().empty());
    CHECK(runtime.status(first) == "running");
    // A log-in window would be one browser too many on the profile as well.
    auto visible = variables;
    visible["DISPLAY"] = ":0";
    const auto login = jobrt({"auth", "bootstrap", "x"}, visible, folder.path());
    CHECK(login.status.code == 1);
    CHECK_MESSAGE(login.err.find("BROWSER_PROFILE_IN_USE") != std::string::npos, login.err);

    opened = true;
    const auto done = runtime.wait(first, "completed|failed", 40s);
    REQUIRE(text(done, "status") == "completed");
    // The browser is kept warm for the next job; with its worker it goes, and the profile is free.
    auto holds = [&](Service& worker) { return !children_with(worker.program().pid(), "--user-data-dir").empty(); };
    auto& holder = holds(other) ? other : runtime.worker();
    CHECK(holder.program().stop().has_value());
    CHECK(http(runtime.port(), "POST", "/api/jobs/" + second + "/retry").status == 200);
    const auto saved = runtime.wait(second, "completed|failed", 40s);
    INFO(boost::json::serialize(saved));
    CHECK(text(saved, "status") == "completed");
    CHECK(saved.at("attempt") == 1);
}

}  // namespace
}  // namespace jobruntime::e2e
