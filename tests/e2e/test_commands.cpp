// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <csignal>
#include <filesystem>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// The commands of jobrt, as a person or a script calls them.
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

TEST_CASE("save of a page without a video, and of no URL at all, ends with 1 and the code") {
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

TEST_CASE("jobs, events, health and doctor speak of a running process") {
    const Folder folder;
    Runtime runtime(folder, false);
    auto variables = environment(folder);
    variables["PORT"] = std::to_string(runtime.port());
    auto call = [&](std::vector<std::string> arguments) { return jobrt(std::move(arguments), variables, folder.path(), 40s); };
    auto good = [&](std::vector<std::string> arguments) {
        const auto ended = call(std::move(arguments));
        INFO(ended.err);
        CHECK(ended.status.code == 0);
        return object_of(ended);
    };
    const auto done = runtime.submit({{"kind", "demo.echo"}, {"payload", {{"n", 1}}}});
    const auto later = runtime.submit({{"kind", "demo.echo"}, {"delayMs", 3'600'000}});
    const auto foreign = runtime.submit({{"kind", "nobody.knows"}});
    REQUIRE(text(runtime.wait(done, "completed", 10s), "status") == "completed");

    CHECK(good({"jobs", "list", "--json"}).at("jobs").get_array().size() == 3);
    const auto completed = good({"jobs", "list", "--status", "completed", "--json"}).at("jobs").get_array();
    REQUIRE(completed.size() == 1);
    CHECK(text(completed.front().get_object(), "id") == done);
    CHECK(call({"jobs", "list", "--status", "nonsense"}).status.code == 2);
    const auto shown = good({"jobs", "show", done, "--json"}).at("job").get_object();
    CHECK(shown == runtime.job(done));
    CHECK(text(good({"jobs", "why", foreign, "--json"}), "reason").find("nobody.knows") != std::string::npos);
    CHECK(call({"jobs", "show", "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f"}).err.find("JOB_NOT_FOUND") != std::string::npos);
    CHECK(call({"jobs", "show", "no-id"}).status.code == 1);

    good({"jobs", "retry", later, "--json"});
    CHECK(text(runtime.wait(later, "completed", 10s), "status") == "completed");
    CHECK(text(good({"jobs", "cancel", foreign, "--json"}), "status") == "canceled");
    const auto twice = call({"jobs", "cancel", foreign, "--json"});
    CHECK(twice.status.code == 1);
    CHECK(text(object_of(twice), "code") == "INVALID_STATE");
    good({"jobs", "delete", foreign, "--json"});
    CHECK(http(runtime.port(), "GET", "/api/jobs/" + foreign).status == 404);

    const auto events = call({"events", "--job", done, "--json"});
    CHECK(events.status.code == 0);
    CHECK(events.out.find("worker.job.claimed") < events.out.find("worker.job.completed"));
    CHECK(events.out.find("worker.job.completed") != std::string::npos);

    const auto api = "http://127.0.0.1:" + variables["PORT"];
    CHECK(good({"health", "--json"}).at("ok") == true);
    CHECK(good({"health", "--worker", "--json"}).at("ok") == true);
    CHECK(good({"health", "--api", api, "--json"}).at("ok") == true);
    CHECK(good({"health", "--worker", "--api", api, "--json"}).at("ok") == true);
    CHECK(call({"health", "--api", "http://127.0.0.1:1"}).status.code == 1);
    CHECK(good({"doctor", "--json"}).at("ok") == true);
    const auto checklist = good({"doctor", "--checklist", "--json"});
    CHECK(checklist.at("ok") == true);
    const auto findings = boost::json::serialize(checklist);
    for (const auto* line : {"\"1. ", "\"2. ", "\"3. ", "\"4. ", "\"5. ", "\"6. "})
        CHECK(findings.find(line) != std::string::npos);
}

TEST_CASE("events --follow shows what happens from now on until it is stopped") {
    const Folder folder;
    Runtime runtime(folder, true);
    Program follower({JOBRT_PROGRAM, "events", "--follow", "--json"}, environment(folder), folder.path());
    REQUIRE(eventually(10s, [&] { return follower.out().find("worker.started") != std::string::npos; }));
    const auto id = runtime.submit({{"kind", "demo.echo"}});
    CHECK(eventually(5s, [&] {
        const auto at = follower.out().find("worker.job.completed");
        return at != std::string::npos && follower.out().find(id) < at;
    }));
    const auto ended = follower.stop(5s);
    REQUIRE(ended);
    CHECK(ended->code == 0);
}

TEST_CASE("commands that look make no store, and say that nothing runs") {
    const Folder folder;
    const auto variables = environment(folder);
    for (const std::vector<std::string>& arguments :
         {std::vector<std::string>{"jobs", "list"}, {"health"}, {"health", "--worker"}, {"events"}}) {
        CAPTURE(arguments.front());
        const auto ended = jobrt(arguments, variables, folder.path());
        CHECK(ended.status.code == 1);
        CHECK_FALSE(ended.err.empty());
    }
    CHECK_FALSE(fs::exists(folder / "jobs.db"));
}

TEST_CASE("config show names each setting and its source, and no password") {
    const Folder folder;
    auto variables = environment(folder);
    variables.erase("JOBRT_STORE");
    variables["MONGODB_URI"] = "mongodb://user:secret@db.example/jobs";
    const auto ended = jobrt({"config", "show", "--json"}, variables, folder.path());
    REQUIRE(ended.status.code == 0);
    const auto all = object_of(ended);
    CHECK(text(all.at("port").get_object(), "source") == "environment");
    CHECK(text(all.at("heartbeat").get_object(), "value") == "300");
    CHECK(text(all.at("grace").get_object(), "variable") == "JOBRT_GRACE_MS");
    CHECK(text(all.at("settle").get_object(), "source") == "environment");
    CHECK(text(all.at("nav-timeout").get_object(), "source") == "default");
    CHECK(ended.out.find("secret") == std::string::npos);
    CHECK(ended.err.find("secret") == std::string::npos);
}

TEST_CASE("every command explains itself with an example, and so does the man page") {
    const Folder folder;
    const auto variables = environment(folder);
    const auto man = jobrt({"man"}, variables, folder.path());
    CHECK(man.status.code == 0);
    CHECK(man.out.starts_with(".TH"));
    const std::vector<std::vector<std::string>> commands{
        {"save"}, {"jobs", "list"}, {"jobs", "show"}, {"jobs", "why"}, {"jobs", "retry"}, {"jobs", "cancel"},
        {"jobs", "delete"}, {"events"}, {"doctor"}, {"health"}, {"config", "show"}, {"bench"}, {"demo"}, {"man"}};
    for (auto command : commands) {
        std::string name;
        for (const auto& word : command) name += (name.empty() ? "" : " ") + word;
        CAPTURE(name);
        command.push_back("--help");
        const auto help = jobrt(command, variables, folder.path());
        CHECK(help.status.code == 0);
        CHECK_MESSAGE(help.out.find("jobrt " + name) != std::string::npos, help.out);
        const bool has_example = help.out.find("xample") != std::string::npos;
        CHECK_MESSAGE(has_example, help.out);
        CHECK(man.out.find(name) != std::string::npos);
    }
    const auto all = jobrt({"--help"}, variables, folder.path());
    CHECK(all.status.code == 0);
    for (const auto* word : {"save", "doctor", "JOBRT_STORE", "ROLE"}) CHECK(all.out.find(word) != std::string::npos);
    CHECK(jobrt({"nonsense"}, variables, folder.path()).status.code == 2);
    CHECK(jobrt({"jobs", "list", "--nonsense"}, variables, folder.path()).status.code == 2);
}

TEST_CASE("the demo saves its own page") {
    const Folder folder;
    auto variables = environment(folder);
    variables.erase("JOBRT_STORE");
    variables.erase("JOBRT_ALLOW_NETS");
    variables.erase("JOBRT_BROWSER_NO_SANDBOX");
    const auto ended = jobrt({"demo", "--exit", "--port", "0"}, variables, folder.path(), 90s);
    INFO(ended.err);
    REQUIRE(ended.in_time);
    CHECK(ended.status.code == 0);
    CHECK(ended.err.find("worker.job.completed") != std::string::npos);
    const auto at = ended.err.find("Saved: ");
    REQUIRE(at != std::string::npos);
    CHECK(fs::exists(ended.err.substr(at + 7, ended.err.find('\n', at) - at - 7)));
}

TEST_CASE("bench prints one JSON line for a workload") {
    const Folder folder;
    const auto ended = jobrt({"bench", "--scale", "1", "--workload", "W1_bulk1000"}, environment(folder), folder.path(), 60s);
    INFO(ended.err);
    REQUIRE(ended.status.code == 0);
    const auto line = object_of(ended);
    CHECK(text(line, "workload") == "W1_bulk1000");
    CHECK(text(line, "setting") == "full");
    CHECK(line.at("value").to_number<double>() > 0);
    for (const auto* name : {"unit", "p50_ms", "p99_ms", "n", "rss_mb"}) CHECK(line.contains(name));
    CHECK(fs::is_empty(folder.path()));
    const auto unknown = jobrt({"bench", "--workload", "W99"}, environment(folder), folder.path());
    CHECK(unknown.status.code == 2);
    CHECK(unknown.err.find("W1_bulk1000") != std::string::npos);
}

}  // namespace
}  // namespace jobruntime::e2e
