// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <csignal>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// Bad input gets a clear error, nothing is lost, and what is canceled leaves nothing behind.
namespace jobruntime::e2e {
namespace {

std::string repeated(std::string_view part, std::size_t count) {
    std::string whole;
    for (std::size_t i = 0; i < count; ++i) whole += part;
    return whole;
}

TEST_CASE("hostile bodies are refused with a code, and the API goes on") {
    const Folder folder;
    Runtime runtime(folder, false);
    const int port = runtime.port();
    struct Row {
        std::string body;
        int status;
        const char* code;
    };
    const Row rows[] = {
        {"{", 400, "INVALID_JSON"},
        {"null", 400, "INVALID_JSON"},
        {"[1]", 400, "INVALID_JSON"},
        {"{\"url\":\"http://a.example/\"} x", 400, "INVALID_JSON"},
        {"\xff\xfe", 400, "INVALID_JSON"},
        {repeated("[", 5000), 400, "INVALID_JSON"},
        {"{\"kind\":\"demo.echo\",\"payload\":" + repeated("{\"a\":", 40) + "1" + repeated("}", 40) + "}", 400,
         "INVALID_JSON"},
        {"{\"kind\":\"demo.echo\",\"payload\":{\"a\":\"" + std::string(2u << 20, 'x') + "\"}}", 413, "PAYLOAD_TOO_LARGE"},
        {"{}", 400, "INVALID_ARGUMENT"},
        {R"({"kind":"Bad Kind"})", 400, "INVALID_ARGUMENT"},
        {R"({"kind":7})", 400, "INVALID_ARGUMENT"},
        {R"({"kind":"demo.echo","payload":[]})", 400, "INVALID_ARGUMENT"},
        {R"({"kind":"demo.echo","priority":"high"})", 400, "INVALID_ARGUMENT"},
        {R"({"kind":"demo.echo","priority":40000})", 400, "INVALID_ARGUMENT"},
        {R"({"kind":"demo.echo","delayMs":-1})", 400, "INVALID_ARGUMENT"},
        {R"({"kind":"demo.echo","delayMs":1,"runAt":"2030-01-01T00:00:00.000Z"})", 400, "INVALID_ARGUMENT"},
        {R"({"kind":"demo.echo","nonsense":1})", 400, "INVALID_ARGUMENT"},
        {R"({"kind":"demo.echo","url":"http://a.example/"})", 400, "INVALID_ARGUMENT"},
        {R"({"url":7})", 400, "INVALID_URL"},
        {R"({"url":null})", 400, "INVALID_URL"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.body.substr(0, 80));
        check_refusal(http(port, "POST", "/api/jobs", row.body), row.status, row.code);
    }
    CHECK(http(port, "POST", "/api/jobs", "{\"kind\":\"demo.echo\"}", {{"Content-Type", "text/plain"}}).status == 415);
    CHECK(http(port, "POST", "/api/jobs", "{\"kind\":\"demo.echo\"}", {{"Sec-Fetch-Site", "cross-site"}}).status == 403);
    CHECK(http(port, "POST", "/api/jobs", "{\"kind\":\"demo.echo\"}", {{"Origin", "http://evil.example"}}).status == 403);
    CHECK(http(port, "GET", "/api/jobs", {}, {{"Host", "evil.example"}}).status >= 400);
    CHECK(http(port, "GET", "/api/health", {}, {{"Host", "evil.example"}}).status == 200);
    const std::string nobody = "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f";
    check_refusal(http(port, "GET", "/api/jobs/" + nobody), 404, "JOB_NOT_FOUND");
    check_refusal(http(port, "POST", "/api/jobs/" + nobody + "/cancel"), 404, "JOB_NOT_FOUND");
    check_refusal(http(port, "DELETE", "/api/jobs/" + nobody), 404, "JOB_NOT_FOUND");
    check_refusal(http(port, "GET", "/api/nothing"), 404, "NOT_FOUND");
    check_refusal(http(port, "PUT", "/api/jobs", "{}"), 405, "METHOD_NOT_ALLOWED");
    for (const auto* path : {"/downloads/../jobs.db", "/downloads/%2e%2e/jobs.db", "/downloads//etc/passwd", "/downloads/"})
        CHECK(http(port, "GET", path).status >= 400);
    CHECK(http(port, "GET", "/api/jobs").json().at("jobs").get_array().empty());
    CHECK(http(port, "GET", "/api/health").status == 200);
}

TEST_CASE("hostile URLs are refused before a job is made") {
    const Folder folder;
    Runtime runtime(folder, false);
    const std::string urls[] = {"", "x", "ftp://a.example/", "file:///etc/passwd", "javascript:alert(1)", "http://",
                                "http://a.example:0/", "http://a.example:65536/", "http://a.example:/",
                                "http://user:pw@a.example/", "http://a.example\\@b.example/", "http://[::1]/",
                                "http://a.example./", "http://0x7f.1/", "http://2130706433/", "http://127.1/",
                                "http://127.0.0.01/", "http://ex\xc3\xa4mple.org/", "http://a b/", "http://a.example/\n",
                                "http://a.example/%zz", "https://x.com/somebody", "https://www.tiktok.com/@somebody",
                                "http://a.example/" + std::string(3000, 'a')};
    for (const auto& url : urls) {
        CAPTURE(url.substr(0, 80));
        check_refusal(http(runtime.port(), "POST", "/api/jobs", boost::json::serialize(boost::json::object{{"url", url}})),
                      400, "INVALID_URL");
    }
    CHECK(http(runtime.port(), "GET", "/api/jobs").json().at("jobs").get_array().empty());
}

TEST_CASE("a platform that is switched off is refused with 403") {
    const Folder folder;
    Runtime runtime(folder, false, {{"ENABLE_X", "false"}});
    check_refusal(http(runtime.port(), "POST", "/api/jobs", R"({"url":"https://x.com/a/status/1234567890"})"), 403,
                  "PLATFORM_DISABLED");
    const auto platforms = http(runtime.port(), "GET", "/api/capabilities").json().at("platforms").get_object();
    CHECK(platforms.at("x").get_object().at("enabled") == false);
    CHECK(platforms.at("web").get_object().at("enabled") == true);
}

TEST_CASE("pages that hold no video fail with the code that says why, at the first attempt") {
    test::TestServer site;
    site.on("/empty", test::status(200, "Content-Type: text/html\r\n", "<!doctype html><title>Words</title><p>Only words."));
    site.on("/login", test::status(401, "Content-Type: text/html\r\n", "<!doctype html><title>Log in</title>"));
    const Folder folder;
    Runtime runtime(folder, false);
    struct Row {
        const char *path, *code;
    };
    for (const auto& row : {Row{"/empty", "NO_MEDIA"}, Row{"/gone", "VIDEO_UNAVAILABLE"}, Row{"/login", "AUTH_REQUIRED"}}) {
        CAPTURE(row.path);
        const auto job = runtime.wait(runtime.save(site.url(row.path)), "failed|completed", 40s);
        INFO(boost::json::serialize(job));
        CHECK(text(job, "status") == "failed");
        CHECK(text(job, "errorCode") == row.code);
        CHECK_FALSE(text(job, "error").empty());
        CHECK(job.at("attempt") == 1);
        CHECK(job.at("outputPath").is_null());
    }
    CHECK(partial_files(folder / "downloads").empty());
}

TEST_CASE("a private address is refused by the worker unless it is allowed") {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    Runtime runtime(folder, false, {{"JOBRT_ALLOW_NETS", ""}});
    const auto job = runtime.wait(runtime.save(site.url("/page")), "failed|completed", 40s);
    INFO(boost::json::serialize(job));
    CHECK(text(job, "status") == "failed");
    CHECK(text(job, "errorCode") == "SSRF_BLOCKED");
    CHECK_MESSAGE(site.requests().empty(), "not one request may leave");
}

TEST_CASE("no browser, or a visible one without a display, fails at once with the remedy") {
    Variables more;
    SUBCASE("no such program") { more["JOBRT_BROWSER"] = "/nonexistent/chromium"; }
    SUBCASE("no display") { more["PLAYWRIGHT_HEADLESS"] = "false"; }
    const Folder folder;
    test::TestServer site;
    add_clip_page(site);
    Runtime runtime(folder, false, more);
    const auto begin = std::chrono::steady_clock::now();
    const auto job = runtime.wait(runtime.save(site.url("/page")), "failed|completed", 20s);
    INFO(boost::json::serialize(job));
    INFO(runtime.front().program().err());
    CHECK(text(job, "status") == "failed");
    CHECK(text(job, "errorCode") == "BROWSER_LAUNCH_FAILED");
    CHECK(job.at("attempt") == 1);
    CHECK(std::chrono::steady_clock::now() - begin < 5s);
    const auto* word = more.contains("JOBRT_BROWSER") ? "chromium" : "DISPLAY";
    CHECK(text(job, "error").find(word) != std::string::npos);
    CHECK_MESSAGE(runtime.front().program().err().find(word) != std::string::npos, "said at the worker's start too");
    const auto events = http(runtime.port(), "GET", "/api/telemetry?limit=500").json().at("events").get_array();
    const auto started = std::find_if(events.begin(), events.end(), [](const boost::json::value& event) {
        return text(event.get_object(), "event") == "worker.started";
    });
    REQUIRE(started != events.end());
    CHECK_MESSAGE(text(started->get_object(), "missing").find(word) != std::string::npos, boost::json::serialize(*started));
    // Doctor has no such settings here: what it says of the worker, the worker has told.
    const auto doctor = jobrt({"doctor", "--json"}, environment(folder), folder.path());
    const auto said = "pid " + std::to_string(runtime.front().program().pid()) + " misses: ";
    const auto at = doctor.out.find(said);
    REQUIRE_MESSAGE(at != std::string::npos, doctor.out);
    CHECK_MESSAGE(doctor.out.substr(at, 300).find(word) != std::string::npos, doctor.out);
}

TEST_CASE("a running job is canceled within two seconds") {
    const Folder folder;
    Runtime runtime(folder, true);
    const auto id = runtime.submit({{"kind", "demo.sleep"}, {"payload", {{"ms", 60000}}}});
    REQUIRE(text(runtime.wait(id, "running", 10s), "status") == "running");
    const auto asked = http(runtime.port(), "POST", "/api/jobs/" + id + "/cancel");
    CHECK(asked.status == 202);
    CHECK(asked.json().at("cancelRequested") == true);
    CHECK(text(runtime.wait(id, "canceled", 2s), "status") == "canceled");
    CHECK(told(runtime.port(), id, {"worker.job.claimed", "worker.job.canceled"}));
    check_refusal(http(runtime.port(), "POST", "/api/jobs/" + id + "/cancel"), 409, "INVALID_STATE");
}

TEST_CASE("cancel during the extraction: stopped within two seconds, its page is closed") {
    test::TestServer site;
    site.on("/hangs", test::silence());
    add_clip_page(site);
    const Folder folder;
    Runtime runtime(folder, true);
    const auto id = runtime.save(site.url("/hangs"));
    REQUIRE(eventually(20s, [&] { return !site.requests().empty(); }));
    CHECK(http(runtime.port(), "POST", "/api/jobs/" + id + "/cancel").status == 202);
    CHECK(text(runtime.wait(id, "canceled", 2s), "status") == "canceled");
    CHECK(partial_files(folder / "downloads").empty());
    // The warm browser may stay for the next job, which must not suffer; with the worker it goes.
    const auto next = runtime.wait(runtime.save(site.url("/page")), "completed|failed", 40s);
    INFO(boost::json::serialize(next));
    CHECK(text(next, "status") == "completed");
    const auto browsers = children_with(runtime.worker().program().pid(), "chrom");
    const auto ended = runtime.worker().program().stop();
    REQUIRE(ended);
    CHECK(ended->code == 0);
    for (const int browser : browsers)
        CHECK_MESSAGE(eventually(20s, [&] { return ::kill(browser, 0) != 0; }), "a browser outlives its worker");
}

TEST_CASE("cancel during a slow download: stopped within two seconds, no process and no partial file") {
    test::TestServer site;
    site.on("/clip.mp4", test::slowly({.bytes = made_clip()}, 2048, 100ms));
    site.on("/page", page_with("/clip.mp4"));
    const Folder folder;
    Runtime runtime(folder, true);
    const auto id = runtime.save(site.url("/page"));
    REQUIRE(eventually(40s, [&] { return in_order(events_of(runtime.port(), id), {"worker.job.download.started"}); }));
    REQUIRE_MESSAGE(eventually(30s, [&] { return !partial_files(folder / "downloads").empty(); }), "it is downloading");
    const auto twice = http(runtime.port(), "POST", "/api/jobs", "{\"url\":\"" + site.url("/page") + "\"}");
    check_refusal(twice, 409, "DUPLICATE_ACTIVE_JOB");
    CHECK(text(twice.json(), "existingJobId") == id);
    CHECK(text(twice.json(), "existingJobStatus") == "running");
    check_refusal(http(runtime.port(), "DELETE", "/api/jobs/" + id), 409, "INVALID_STATE");
    CHECK(http(runtime.port(), "POST", "/api/jobs/" + id + "/cancel").status == 202);
    CHECK(text(runtime.wait(id, "canceled", 2s), "status") == "canceled");
    CHECK(children_with(runtime.worker().program().pid(), "jobrt-media").empty());
    CHECK_MESSAGE(eventually(500ms, [&] { return partial_files(folder / "downloads").empty(); }),
                  partial_files(folder / "downloads").front());
}

}  // namespace
}  // namespace jobruntime::e2e
