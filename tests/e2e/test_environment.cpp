// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// What the variables of the operator's contract do to real processes.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

bool asked_for(const test::TestServer& site, std::string_view path) {
    const auto requests = site.requests();
    return std::any_of(requests.begin(), requests.end(), [&](const auto& one) { return one.target == path; });
}

boost::json::object first_error(const boost::json::object& job) {
    const auto& errors = job.at("errors").get_array();
    return errors.empty() ? boost::json::object() : errors.front().get_object();
}

std::int64_t running_at(int port) {
    const auto answer = http(port, "GET", "/api/workers").json();
    std::int64_t running = 0;
    if (const auto* workers = answer.if_contains("workers"))
        for (const auto& worker : workers->get_array())
            running += worker.get_object().at("running").to_number<std::int64_t>();
    return running;
}

TEST_CASE("DOWNLOAD_TIMEOUT_MS: a download without progress really stops, and is tried again later") {
    test::TestServer site;
    std::atomic<int> begun_downloads = 0, open_downloads = 0;
    std::atomic<Clock::time_point> begun = Clock::now();
    site.on("/clip.mp4", [&, stall = test::stall_after({.bytes = made_clip()}, made_clip().size() / 2)](
                             const test::ServedConnection& connection, const test::ServedRequest& request) {
        begun = Clock::now();
        ++begun_downloads;
        ++open_downloads;
        stall(connection, request);  // Returns when the client is gone.
        --open_downloads;
    });
    // The browser is told the address and does not fetch the film itself.
    site.on("/page", test::status(200, "Content-Type: text/html\r\n",
                                  "<!doctype html><title>A clip</title><video preload=none src=/clip.mp4></video>"));
    const Folder folder;
    Runtime runtime(folder, true, {{"DOWNLOAD_TIMEOUT_MS", "1000"}});
    const auto id = runtime.save(site.url("/page"));
    REQUIRE(eventually(40s, [&] { return in_order(events_of(runtime.port(), id), {"worker.job.download.started"}); }));
    const auto job = runtime.wait(id, "scheduled|failed|completed", 20s);
    INFO(boost::json::serialize(job));
    CHECK(Clock::now() - begun.load() >= 1000ms);
    CHECK(text(job, "status") == "scheduled");
    CHECK(text(first_error(job), "code") == "DOWNLOAD_STALLED");
    CHECK(begun_downloads > 0);
    CHECK_MESSAGE(eventually(20s, [&] { return open_downloads == 0; }), "the connection is closed");
    CHECK(children_with(runtime.worker().program().pid(), "jobrt-media").empty());
    CHECK(eventually(30s, [&] { return running_at(runtime.port()) == 0; }));
}

TEST_CASE("PLAYWRIGHT_NAV_TIMEOUT_MS alone ends the wait for a page that does not come" * doctest::skip(on_mongo())) {
    test::TestServer site;
    site.on("/hangs", test::silence());
    const Folder folder;
    Runtime runtime(folder, false, {{"PLAYWRIGHT_NAV_TIMEOUT_MS", "1500"}});
    const auto id = runtime.save(site.url("/hangs"));
    REQUIRE(eventually(30s, [&] { return asked_for(site, "/hangs"); }));
    const auto begun = Clock::now();
    const auto job = runtime.wait(id, "scheduled|failed|completed", 30s);
    INFO(boost::json::serialize(job));
    CHECK(text(first_error(job), "code") == "EXTRACTION_TIMEOUT");
    CHECK_MESSAGE(Clock::now() - begun < 15s, "the extraction's own limit is three minutes");
}

TEST_CASE("JOBRT_BROWSER_RECYCLE: a warm browser serves so many extractions, and then there is a new one" * doctest::skip(on_mongo())) {
    test::TestServer site;
    site.on("/clip.mp4", test::serve({.bytes = made_clip(), .type = "video/mp4"}));
    for (const char* page : {"/one", "/two"})
        site.on(page, test::status(200, "Content-Type: text/html\r\n",
                                   "<!doctype html><title>A clip</title><video preload=none src=/clip.mp4></video>"));
    for (const bool once : {true, false}) {
        CAPTURE(once);
        const Folder folder;
        Runtime runtime(folder, false, {{"JOBRT_BROWSER_RECYCLE", once ? "1" : "200"}});
        const auto browsers_after = [&](const char* page) {
            const auto job = runtime.wait(runtime.save(site.url(page)), "failed|completed", 60s);
            CHECK(text(job, "status") == "completed");
            return children_with(runtime.worker().program().pid(), "--remote-debugging-pipe");
        };
        const auto first = browsers_after("/one"), second = browsers_after("/two");
        const bool same = std::ranges::any_of(first, [&](int pid) { return std::ranges::find(second, pid) != second.end(); });
        CHECK(same == !once);
    }
}

TEST_CASE("a platform that its variable switches off takes no post, in the API of either mode") {
    struct Row {
        const char *variable, *platform, *url;
    };
    const Row rows[] = {{"ENABLE_X", "x", "https://x.com/a/status/1234567890"},
                        {"ENABLE_TIKTOK", "tiktok", "https://www.tiktok.com/@somebody/video/7123456789012345678"},
                        {"ENABLE_WEB", "web", "http://films.example/one"}};
    for (const auto& row : rows) {
        CAPTURE(row.variable);
        const Folder folder;
        auto variables = environment(folder);
        variables["ROLE"] = "api";
        variables[row.variable] = "false";
        Service api(folder, variables);
        for (const auto& each : rows) {
            CAPTURE(each.url);
            const auto answer = http(api.port(), "POST", "/api/jobs", std::string(R"({"url":")") + each.url + "\"}");
            INFO(answer.body);
            CHECK(answer.status == (&each == &row ? 403 : 201));
            if (&each == &row) CHECK(text(answer.json(), "code") == "PLATFORM_DISABLED");
        }
        const auto all = http(api.port(), "GET", "/api/capabilities").json().at("platforms").get_object();
        const auto& shown = all.at(row.platform).get_object();
        CHECK(shown.at("enabled") == false);
        CHECK(shown.at("locked") == true);
        CHECK(text(shown, "source") == "environment");
    }
}

TEST_CASE("TELEMETRY_SINK=memory keeps log lines and progress out of the store, and else they are in it") {
    test::TestServer site;
    site.on("/clip.mp4", test::slowly({.bytes = made_clip()}, 8192, 20ms));
    // Not in the page's text: its extractor gives up with a line in the log, and the browser is next.
    site.on("/scripted", test::status(200, "Content-Type: text/html\r\n",
                                      "<!doctype html><title>A clip</title><script>const v = document.createElement('video');"
                                      "v.src = '/clip' + '.mp4'; addEventListener('load', () => document.body.append(v));</script>"));
    for (const bool memory : {false, true}) {
        CAPTURE(memory);
        const Folder folder;
        std::ofstream(folder / "jobrt.json") << R"({"platforms":{"web":{"extractors":["page","browser"]}}})";
        Runtime runtime(folder, true,
                        {{"TELEMETRY_SINK", memory ? "memory" : "store"}, {"JOBRT_CONFIG", folder / "jobrt.json"}});
        const auto id = runtime.save(site.url("/scripted"));
        const auto job = runtime.wait(id, "completed|failed");
        INFO(boost::json::serialize(job));
        REQUIRE(text(job, "status") == "completed");
        CHECK(told(runtime.port(), id, {"worker.job.claimed", "worker.job.extraction.started", "worker.job.download.completed",
                                        "worker.job.completed"}));
        const auto names = events_of(runtime.port(), id);
        const auto has = [&](std::string_view name) { return std::count(names.begin(), names.end(), name) > 0; };
        CHECK(has("worker.job.log") != memory);
        CHECK(has("worker.job.download.progress") != memory);
    }
}

TEST_CASE("JOBRT_CONCURRENCY is how many jobs run at once, and the next one says so") {
    const Folder folder;
    Runtime runtime(folder, true, {{"JOBRT_CONCURRENCY", "3"}});
    std::vector<std::string> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(runtime.submit({{"kind", "demo.sleep"}, {"payload", {{"ms", 60000}}}}));
    auto running = [&] {
        return http(runtime.port(), "GET", "/api/jobs?status=running").json().at("jobs").get_array().size();
    };
    CHECK(eventually(30s, [&] { return running() == 3; }));
    CHECK(text(runtime.job(ids.back()), "waitingFor") == "all 3 places of queue default are busy");
    CHECK(eventually(30s, [&] { return running_at(runtime.port()) == 3; }));
    CHECK(running() == 3);
    // A place that comes free is taken, and no more than that.
    CHECK(http(runtime.port(), "POST", "/api/jobs/" + ids.front() + "/cancel").status == 202);
    CHECK(eventually(30s, [&] { return runtime.status(ids[3]) == "running"; }));
    CHECK(running() == 3);
    CHECK(runtime.status(ids.back()) == "queued");
}

TEST_CASE("./server/.env is read with a notice where there is no ./.env, and relative paths are shown absolute" *
          doctest::skip(on_mongo())) {
    const Folder folder;
    auto variables = environment(folder);
    for (const auto* name : {"PORT", "JOBRT_STORE", "JOBRT_DOWNLOAD_DIR"}) variables.erase(name);
    fs::create_directory(folder / "server");
    std::ofstream(folder / "server/.env") << "PORT=0\nROLE=api\nJOBRT_STORE=sqlite:data.db\nJOBRT_DOWNLOAD_DIR=films\n";
    {
        Service api(folder, variables);
        CHECK(text(api.ready(), "role") == "api");
        CHECK(text(api.ready(), "store") == "sqlite:" + folder / "data.db");
        const auto status = http(api.port(), "GET", "/api/status").json();
        CHECK(text(status, "store") == "sqlite:" + folder / "data.db");
        CHECK(text(status, "downloadDir") == folder / "films");
        const auto said = api.program().err();
        CHECK_MESSAGE(said.find("server/.env") != std::string::npos, said);
        CHECK_MESSAGE(said.find("move it to ./.env") != std::string::npos, said);
    }
    std::ofstream(folder / ".env") << "PORT=0\n";
    Service combined(folder, variables);
    CHECK(text(combined.ready(), "role") == "combined");
    CHECK_MESSAGE(text(combined.ready(), "store") == "sqlite:" + folder / "jobrt.db", "the store of combined by default");
    CHECK(text(combined.ready(), "downloads") == folder / "downloads");
    CHECK(combined.program().err().find("server/.env") == std::string::npos);
}

TEST_CASE("the old application's ./server/.env names the database, and the password in it is shown nowhere" *
          doctest::skip(!on_mongo())) {
    const Folder folder;
    auto variables = environment(folder);
    const auto uri = variables["MONGODB_URI"];
    variables.erase("MONGODB_URI");
    variables.erase("JOBRT_STORE");
    variables["ROLE"] = "api";
    fs::create_directory(folder / "server");
    std::ofstream(folder / "server/.env") << "MONGODB_URI=\"" << uri << "\"\r\n";
    {
        Service api(folder, variables);
        CHECK(uri.find(text(api.ready(), "store")) == 0);
        CHECK(text(http(api.port(), "GET", "/api/status").json(), "store") == text(api.ready(), "store"));
        CHECK_MESSAGE(api.program().err().find("server/.env") != std::string::npos, api.program().err());
        CHECK(http(api.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})").status == 201);
    }
    CHECK_MESSAGE(!fs::exists(folder / "jobrt.db"), "no file beside it");
    // A server that is away is no reason not to start, and what is said of it has no secret.
    std::ofstream(folder / "server/.env") << "MONGO_URI=mongodb://u:s3cret@127.0.0.1:1/jobs?authSource=admin\n";
    Service api(folder, variables);
    CHECK(text(api.ready(), "store").find("mongodb://127.0.0.1:1/jobs") == 0);
    CHECK(http(api.port(), "GET", "/api/health").status == 503);
    CHECK(boost::json::serialize(api.ready()).find("s3cret") == std::string::npos);
    CHECK(api.program().err().find("s3cret") == std::string::npos);
}

TEST_CASE("aliases count, and two names that say different things end the start" * doctest::skip(on_mongo())) {
    struct Row {
        Variables more;
        std::vector<std::string> said;
    };
    const Row rows[] = {
        {{{"ROLE", "api"}, {"PROCESS_ROLE", "worker"}}, {"ROLE", "PROCESS_ROLE"}},
        {{{"JOBRT_STORE", ""},
          {"MONGODB_URI", "mongodb://u:s3cret@127.0.0.1:1/a"},
          {"MONGO_URI", "mongodb://u:s3cret@127.0.0.1:1/b"}},
         {"MONGODB_URI", "MONGO_URI"}},
        {{{"MONGODB_URI", "mongodb://u:s3cret@127.0.0.1:1/a"}}, {"MONGODB_URI", "JOBRT_STORE"}},
        {{{"MONGO_URI", "mongodb://u:s3cret@127.0.0.1:1/a"}}, {"MONGODB_URI", "JOBRT_STORE"}},
        {{{"JOBRT_STORE", ""}, {"MONGO_URI", "postgres://u:s3cret@h/x"}}, {"MONGO_URI"}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.said.front());
        const Folder folder;
        auto variables = environment(folder);
        for (const auto& [name, value] : row.more) variables[name] = value;
        const auto ended = jobrt({}, variables, folder.path());
        REQUIRE(ended.in_time);
        CHECK(ended.status.code == 2);
        CHECK(ended.out.empty());
        for (const auto& name : row.said) CHECK_MESSAGE(ended.err.find(name) != std::string::npos, ended.err);
        CHECK(ended.err.find("s3cret") == std::string::npos);
        CHECK_MESSAGE(!fs::exists(folder / "jobs.db"), "nothing is started");
    }
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = variables["PROCESS_ROLE"] = "api";
    CHECK(text(Service(folder, variables).ready(), "role") == "api");
#ifdef E2E_HAS_MONGO
    variables["JOBRT_STORE"] = "";
    variables["MONGO_URI"] = "mongodb://127.0.0.1:1/jobs";
    CHECK(text(Service(folder, variables).ready(), "store").find("mongodb://127.0.0.1:1") == 0);
#endif
}

TEST_CASE("one warning for a network without IPv6, and the API serves IPv4" * doctest::skip(on_mongo())) {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    // A network of its own, whose IPv6 is switched off before jobrt starts.
    std::vector<std::string> apart{"unshare", "--net"};
    if (::geteuid() != 0) apart.push_back("--map-root-user");
    const std::string off =
        "ip link set lo up && echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6 || exit 77; exec \"$0\"";
    apart.insert(apart.end(), {"sh", "-c", off, tests::program("jobrt")});
    Program api(apart, variables, folder.path());
    REQUIRE(eventually(20s, [&] { return api.out().find('\n') != std::string::npos || api.wait(0ms); }));
    const auto ended = api.wait(0ms);
    if (ended && (ended->code == 77 || api.err().find("unshare") != std::string::npos)) {
        std::cout << "skipped: no network without IPv6 is to be had here: " << api.err() << "\n";
        return;
    }
    boost::system::error_code code;
    const auto ready = boost::json::parse(api.out().substr(0, api.out().find('\n')), code);
    REQUIRE(!code);
    CHECK(ready.at("http").as_array().size() == 1);
    CHECK(ready.at("http").as_array().front().as_string().find("127.0.0.1") != boost::json::string::npos);
    std::istringstream lines(api.err());
    int warnings = 0;
    for (std::string line; std::getline(lines, line);)
        if (line.find("[::1]") != std::string::npos) warnings += line.find(" warning ") != std::string::npos ? 1 : 100;
    CHECK_MESSAGE(warnings == 1, api.err());
    CHECK(api.stop().has_value());
}

}  // namespace
}  // namespace jobruntime::e2e
