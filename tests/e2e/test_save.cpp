// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include <jobruntime/sqlite.hpp>
#include <jobruntime/worker.hpp>

#include "e2e/support.hpp"

// `jobrt save` on the store itself: alone, beside workers, and watched by a person.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

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

TEST_CASE("save prints the path of the file, also when the post is there already") {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    const auto variables = environment(folder);
    const auto first = jobrt({"save", site.url("/page")}, variables, folder.path(), 60s);
    INFO(first.err);
    REQUIRE(first.in_time);
    REQUIRE(first.status.code == 0);
    const auto path = line_of(first.out);
    CHECK(path.starts_with(folder / "downloads/"));
    CHECK(contents(path).size() > 1000);
    CHECK_MESSAGE(first.err.find("\x1b[") == std::string::npos, "no terminal codes into a pipe");
    const auto fetched = site.requests().size();
    const auto again = jobrt({"save", site.url("/page")}, variables, folder.path());
    CHECK(again.status.code == 0);
    CHECK(line_of(again.out) == path);
    CHECK(site.requests().size() == fetched);
    const auto json = object_of(jobrt({"save", site.url("/page"), "--json"}, variables, folder.path()));
    CHECK(text(json, "path") == path);
    CHECK(json.at("ok") == true);
    CHECK(json.at("alreadySaved") == true);
    SUBCASE("a file that is gone is fetched again") {
        fs::remove(path);
        const auto back = jobrt({"save", site.url("/page")}, variables, folder.path(), 60s);
        INFO(back.err);
        CHECK(back.status.code == 0);
        CHECK(fs::exists(line_of(back.out)));
    }
}

TEST_CASE("save of a page without a video, and of no URL at all, ends with 1 and the code" * doctest::skip(on_mongo())) {
    test::TestServer site;
    site.on("/empty", test::status(200, "Content-Type: text/html\r\n", "<!doctype html><title>Words</title>"));
    const Folder folder;
    const auto failed = jobrt({"save", site.url("/empty")}, environment(folder), folder.path(), 60s);
    CHECK(failed.status.code == 1);
    CHECK(failed.out.empty());
    CHECK_MESSAGE(failed.err.find("NO_MEDIA: ") != std::string::npos, failed.err);
    const auto json = jobrt({"save", site.url("/empty"), "--json"}, environment(folder), folder.path(), 60s);
    CHECK(json.status.code == 1);
    CHECK(object_of(json).at("ok") == false);
    const auto refused = jobrt({"save", "http://user:pw@a.example/"}, environment(folder), folder.path());
    CHECK(refused.status.code == 1);
    CHECK_MESSAGE(refused.err.find("INVALID_URL") != std::string::npos, refused.err);
    CHECK(refused.err.find("pw") == std::string::npos);
    CHECK(jobrt({"save"}, environment(folder), folder.path()).status.code == 2);
}

TEST_CASE("save leaves the work to a live worker") {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    Runtime runtime(folder, true);
    const auto saved = jobrt({"save", site.url("/page"), "--json"}, environment(folder), folder.path(), 60s);
    INFO(saved.err);
    REQUIRE(saved.status.code == 0);
    const auto id = text(object_of(saved).at("job").get_object(), "id");
    CHECK(text(runtime.job(id), "status") == "completed");
    CHECK(http(runtime.port(), "GET", "/api/worker/health").json().at("workers") == 1);
}

/// Puts jobs in while nobody works.
void put_in(const Folder& folder, const std::vector<boost::json::object>& bodies) {
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    for (const auto& body : bodies) CHECK(http(api.port(), "POST", "/api/jobs", boost::json::serialize(body)).status == 201);
    CHECK(api.program().stop().has_value());
}

std::vector<std::string> kinds_in(const Folder& folder, const std::string& status) {
    std::vector<std::string> kinds;
    const auto listed = object_of(jobrt({"jobs", "list", "--status", status, "--json"}, environment(folder), folder.path()));
    for (const auto& job : listed.at("jobs").get_array()) kinds.push_back(text(job.get_object(), "kind"));
    return kinds;
}

TEST_CASE("save without a worker does its own job and no other, also when the post was waiting already") {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    const boost::json::object sleeper{{"kind", "demo.sleep"}, {"payload", {{"ms", 60'000}}}, {"priority", -100}};
    const boost::json::object other{{"url", site.url("/other")}, {"priority", -100}};
    SUBCASE("a new one") { put_in(folder, {sleeper, other}); }
    SUBCASE("one that waits") { put_in(folder, {sleeper, other, {{"url", site.url("/page")}}}); }
    const auto saved = jobrt({"save", site.url("/page")}, environment(folder), folder.path(), 50s);
    INFO(saved.err);
    REQUIRE(saved.in_time);
    REQUIRE(saved.status.code == 0);
    CHECK(fs::exists(line_of(saved.out)));
    CHECK(kinds_in(folder, "completed") == std::vector<std::string>{"media.save"});
    CHECK(kinds_in(folder, "queued").size() == 2);
    for (const auto& request : site.requests()) CHECK(request.target != "/other");
}

TEST_CASE("save with a configuration that its own worker refuses puts no job in") {
    const Folder folder;
    auto variables = environment(folder);
    std::string named;
    SUBCASE("an extractor of somebody's") {
        variables["JOBRT_CONFIG"] = folder / "own.json";
        std::ofstream(folder / "own.json") << R"({"platforms":{"web":{"extractors":["nobodys"]}}})";
        named = "nobodys";
    }
    SUBCASE("a profile that cannot be") {
        std::ofstream(folder / "file");
        variables["PLAYWRIGHT_USER_DATA_DIR"] = named = folder / "file/profile-%i";
        named.resize(named.size() - 2);
    }
    const auto refused = jobrt({"save", "http://127.0.0.1:9/page"}, variables, folder.path());
    CHECK(refused.status.code == 1);
    CHECK_MESSAGE(refused.err.find("INVALID_CONFIGURATION") != std::string::npos, refused.err);
    CHECK(refused.err.find(named) != std::string::npos);
    const auto listed = object_of(jobrt({"jobs", "list", "--json"}, environment(folder), folder.path()));
    CHECK(listed.at("jobs").get_array().empty());
}

TEST_CASE("save does not count on a worker that takes no such job" * doctest::skip(on_mongo())) {
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    auto store = sqlite::open(folder / "jobs.db");
    REQUIRE_MESSAGE(store, store.error().message);
    WorkerOptions options;
    std::string kind = "somebody.else";
    SUBCASE("it knows another kind") { options.queues = {{"media", 1}}; }
    SUBCASE("it serves another queue") { kind = "media.save"; }
    Worker worker(**store, options);
    worker.on(kind, [](JobContext&) { return completed(); });
    REQUIRE(worker.start());
    const auto saved = jobrt({"save", site.url("/page")}, environment(folder), folder.path(), 50s);
    INFO(saved.err);
    REQUIRE(saved.in_time);
    CHECK(saved.status.code == 0);
    worker.stop();
    CHECK(worker.stats().claimed == 0);
}

TEST_CASE("save does the job itself after all when the worker that it counted on is killed") {
    test::TestServer site;
    add_clip_page(site);
    site.on("/slow.mp4", test::slowly({.bytes = made_clip()}, 1000, 200ms));
    site.on("/slow", page_with("/slow.mp4"));
    const Folder folder;
    auto variables = environment(folder);
    put_in(folder, {{{"url", site.url("/slow")}}});
    variables["ROLE"] = "worker";
    variables["JOBRT_CONCURRENCY"] = "1";
    Service worker(folder, variables);
    // It has no hand free for what is submitted now.
    const auto busy = [&] {
        const auto requests = site.requests();
        return std::any_of(requests.begin(), requests.end(), [](const auto& one) { return one.target == "/slow.mp4"; });
    };
    REQUIRE(eventually(40s, busy));
    Program saving({tests::program("jobrt"), "save", site.url("/page")}, environment(folder), folder.path());
    REQUIRE(eventually(20s, [&] { return saving.err().find("queued") != std::string::npos; }));
    worker.program().signal(SIGKILL);
    const auto ended = saving.wait(60s);
    INFO(saving.err());
    REQUIRE(ended);
    CHECK(ended->code == 0);
    CHECK(saving.err().find("queued: no worker is running") != std::string::npos);
    REQUIRE(eventually(20s, [&] { return saving.out().ends_with('\n'); }));
    CHECK(fs::exists(line_of(saving.out())));
}

TEST_CASE("Ctrl-C ends a save at any moment, and the job stays in the queue") {
    test::TestServer site;
    site.on("/clip.mp4", test::slowly({.bytes = made_clip()}, 1000, 100ms));
    site.on("/page", page_with("/clip.mp4"));
    const Folder folder;
    auto variables = environment(folder);
    variables["JOBRT_GRACE_MS"] = "60000";
    Program saving({tests::program("jobrt"), "save", site.url("/page")}, variables, folder.path());
    REQUIRE(eventually(40s, [&] { return saving.err().find("download") != std::string::npos; }));
    saving.signal(SIGINT);
    const auto ended = saving.wait(20s);
    REQUIRE(ended);
    CHECK(ended->code == 130);
    CHECK_MESSAGE(saving.err().find("stays in the queue") != std::string::npos, saving.err());
    CHECK(saving.out().empty());
    CHECK(kinds_in(folder, "queued") == std::vector<std::string>{"media.save"});
}

TEST_CASE("on a terminal save shows a bar in one line, and on stdout the path only" * doctest::skip(on_mongo())) {
    test::TestServer site;
    site.on("/clip.mp4", test::slowly({.bytes = made_clip()}, made_clip().size() / 20, 100ms));
    site.on("/page", page_with("/clip.mp4"));
    const Folder folder;
    const Terminal terminal;
    Program saving({tests::program("jobrt"), "save", site.url("/page")}, environment(folder), folder.path(), &terminal);
    const auto ended = saving.wait(60s);
    REQUIRE(ended);
    const auto shown = terminal.text();
    INFO(shown);
    CHECK(ended->code == 0);
    CHECK(shown.find("\r\033[Kdownload [#") != std::string::npos);
    CHECK(shown.find(" %\r\033[K") != std::string::npos);
    CHECK(shown.find("] 100 %\r\n") == std::string::npos);
    REQUIRE(eventually(20s, [&] { return saving.out().ends_with('\n'); }));
    const auto path = line_of(saving.out());
    CHECK(path.find('\n') == std::string::npos);
    CHECK(fs::exists(path));
}

}  // namespace
}  // namespace jobruntime::e2e
