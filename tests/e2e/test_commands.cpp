// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <vector>

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
    Program follower({tests::program("jobrt"), "events", "--follow", "--json"}, environment(folder), folder.path());
    REQUIRE(eventually(30s, [&] { return follower.out().find("worker.started") != std::string::npos; }));
    const auto id = runtime.submit({{"kind", "demo.echo"}});
    CHECK(eventually(30s, [&] {
        const auto at = follower.out().find("worker.job.completed");
        return at != std::string::npos && follower.out().find(id) < at;
    }));
    const auto ended = follower.stop(5s);
    REQUIRE(ended);
    CHECK(ended->code == 0);
}

/// The events that a command has printed, one JSON object a line.
std::vector<boost::json::object> events_in(const std::string& lines) {
    std::vector<boost::json::object> events;
    std::istringstream in(lines);
    for (std::string line; std::getline(in, line);) {
        boost::system::error_code code;
        auto event = boost::json::parse(line, code);
        CHECK_MESSAGE((!code && event.is_object()), "not an event: " << line);
        if (!code && event.is_object()) events.push_back(std::move(event.get_object()));
    }
    return events;
}

std::size_t count_of(const std::vector<boost::json::object>& events, std::string_view name, std::string_view id) {
    return static_cast<std::size_t>(std::count_if(events.begin(), events.end(), [&](const boost::json::object& event) {
        return text(event, "event") == name && text(event, "jobId") == id;
    }));
}

TEST_CASE("events shows only what --trace and --level ask for, also when it follows") {
    const Folder folder;
    Runtime runtime(folder, false);
    const auto variables = environment(folder);
    const auto done = runtime.submit({{"kind", "demo.echo"}});
    const auto dropped = runtime.submit({{"kind", "demo.echo"}, {"delayMs", 3'600'000}});
    REQUIRE(text(runtime.wait(done, "completed", 10s), "status") == "completed");
    REQUIRE(http(runtime.port(), "POST", "/api/jobs/" + dropped + "/cancel").status == 200);
    const auto done_trace = text(runtime.job(done), "traceId");
    const auto dropped_trace = text(runtime.job(dropped), "traceId");
    REQUIRE(done_trace != dropped_trace);
    const auto shown = [&](std::vector<std::string> arguments) {
        arguments.insert(arguments.begin(), "events");
        arguments.insert(arguments.end(), {"--json", "--limit", "2000"});
        const auto ended = jobrt(std::move(arguments), variables, folder.path());
        INFO(ended.err);
        CHECK(ended.status.code == 0);
        return events_in(ended.out);
    };

    const auto traced = shown({"--trace", done_trace});
    for (const auto& event : traced) CHECK(text(event, "traceId") == done_trace);
    CHECK(count_of(traced, "jobs.create.queued", done) == 1);
    CHECK(count_of(traced, "worker.job.completed", done) == 1);
    CHECK(shown({"--trace", "nobody-has-it"}).empty());

    const auto warned = shown({"--level", "warn"});
    for (const auto& event : warned) CHECK(text(event, "level") == "warn");
    CHECK(count_of(warned, "worker.job.canceled", dropped) == 1);
    const auto told = shown({"--level", "info"});
    for (const auto& event : told) CHECK(text(event, "level") == "info");
    CHECK(count_of(told, "worker.job.completed", done) == 1);
    CHECK(count_of(told, "jobs.create.queued", dropped) == 1);
    CHECK(shown({"--level", "error"}).empty());
    const auto both = shown({"--trace", dropped_trace, "--level", "warn"});
    CHECK(both.size() == 1);
    CHECK(count_of(both, "worker.job.canceled", dropped) == 1);
    CHECK(shown({"--trace", done_trace, "--level", "warn"}).empty());
    CHECK(jobrt({"events", "--level", "loud"}, variables, folder.path()).status.code == 2);

    Program follower({tests::program("jobrt"), "events", "--follow", "--json", "--trace", "followed"}, variables, folder.path());
    const auto other = runtime.submit({{"kind", "demo.echo"}});
    REQUIRE(text(runtime.wait(other, "completed", 10s), "status") == "completed");
    const auto answer = http(runtime.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})", {{"x-trace-id", "followed"}});
    REQUIRE(answer.status == 201);
    CHECK(eventually(30s, [&] { return follower.out().find("worker.job.completed") != std::string::npos; }));
    const auto ended = follower.stop(5s);
    REQUIRE(ended);
    CHECK(ended->code == 0);
    const auto followed = events_in(follower.out());
    for (const auto& event : followed) CHECK(text(event, "traceId") == "followed");
    CHECK(count_of(followed, "worker.job.completed", text(answer.json().at("job").get_object(), "id")) == 1);
}

TEST_CASE("commands that look make no store, and say that nothing runs" * doctest::skip(on_mongo())) {
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

TEST_CASE("doctor finds jobrt-media beside jobrt or wherever PATH has it, and says when it is nowhere" * doctest::skip(on_mongo())) {
    const Folder folder;
    fs::create_directory(folder / "alone");
    fs::create_directory(folder / "elsewhere");
    fs::copy_file(tests::program("jobrt"), folder / "alone/jobrt");
    fs::create_symlink(tests::program("jobrt-media"), folder / "elsewhere/jobrt-media");
    auto variables = environment(folder);
    const auto helpers_missed = [&] {
        return run({folder / "alone/jobrt", "doctor"}, variables, folder.path()).out.find("jobrt-media is neither") !=
               std::string::npos;
    };
    CHECK(helpers_missed());
    variables["PATH"] += ":" + folder / "elsewhere";
    CHECK(!helpers_missed());
}

TEST_CASE("config show names each setting and its source, and no password" * doctest::skip(on_mongo())) {
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

TEST_CASE("every command explains itself with an example, and so does the man page" * doctest::skip(on_mongo())) {
    const Folder folder;
    const auto variables = environment(folder);
    const auto man = jobrt({"man"}, variables, folder.path());
    CHECK(man.status.code == 0);
    CHECK(man.out.starts_with(".TH"));
    auto page = man.out;
    std::erase(page, '\\');  // roff's way to write a hyphen.
    const auto table = object_of(jobrt({"man", "--json"}, variables, folder.path())).at("commands").get_array();
    CHECK(table.size() > 20);
    for (const auto& row : table) {
        const auto name = text(row.get_object(), "name");
        CAPTURE(name);
        std::vector<std::string> command;
        std::istringstream words(name);
        for (std::string word; words >> word;) command.push_back(word);
        command.push_back("--help");
        const auto help = jobrt(command, variables, folder.path());
        CHECK(help.status.code == 0);
        const auto examples = help.out.find("Examples:");
        REQUIRE_MESSAGE(examples != std::string::npos, help.out);
        CHECK_MESSAGE(help.out.find("jobrt " + name, examples) != std::string::npos, help.out);
        CHECK_MESSAGE(help.out.find("--json") != std::string::npos, help.out);
        CHECK(page.find("\n.B " + name) != std::string::npos);
    }
    // What a command says to itself is nobody else's.
    const auto bench = jobrt({"bench", "--help"}, variables, folder.path()).out;
    for (const auto& said : {bench, page, boost::json::serialize(table)})
        for (const auto* own : {"--inside", "--enqueuer", "--jobs "}) CHECK_MESSAGE(said.find(own) == std::string::npos, own);
    CHECK(bench.find("--workload") != std::string::npos);
    const auto all = jobrt({"--help"}, variables, folder.path());
    CHECK(all.status.code == 0);
    for (const auto* word : {"save", "doctor", "JOBRT_STORE", "ROLE"}) CHECK(all.out.find(word) != std::string::npos);
    CHECK(jobrt({"nonsense"}, variables, folder.path()).status.code == 2);
    CHECK(jobrt({"jobs", "list", "--nonsense"}, variables, folder.path()).status.code == 2);
}

TEST_CASE("the demo saves its own page, and under its looser rules nothing that was left over" * doctest::skip(on_mongo())) {
    const Folder folder;
    auto variables = environment(folder);
    const test::TestServer site;
    fs::create_directory(folder / "jobrt-demo");
    variables["JOBRT_STORE"] = "sqlite:" + folder / "jobrt-demo/jobrt.db";
    variables["ROLE"] = "api";
    {
        Service api(folder, variables);
        CHECK(http(api.port(), "POST", "/api/jobs", "{\"url\":\"" + site.url("/page") + "\"}").status == 201);
        CHECK(http(api.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})").status == 201);
        CHECK(api.program().stop().has_value());
    }
    const auto left = variables;
    for (const auto* name : {"JOBRT_STORE", "ROLE", "JOBRT_ALLOW_NETS", "JOBRT_BROWSER_NO_SANDBOX", "JOBRT_CONFIG"})
        variables.erase(name);
    const auto ended = jobrt({"demo", "--exit", "--port", "0", "--json"}, variables, folder.path(), 90s);
    INFO(ended.err);
    REQUIRE(ended.in_time);
    CHECK(ended.status.code == 0);
    CHECK(ended.err.find("worker.job.extraction.completed, by browser") != std::string::npos);
    CHECK(ended.err.find("worker.job.completed") != std::string::npos);
    CHECK(fs::exists(text(object_of(ended), "path")));
    const auto queued = object_of(jobrt({"jobs", "list", "--status", "queued", "--json"}, left, folder.path()));
    CHECK(queued.at("jobs").get_array().size() == 2);
    CHECK(site.requests().empty());
}

TEST_CASE("bench prints one JSON line for a workload" * doctest::skip(on_mongo())) {
    const Folder folder;
    const auto ended =
        jobrt({"bench", "--scale", "1", "--workload", "W1_bulk1000", "--json"}, environment(folder), folder.path(), 60s);
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

TEST_CASE("bench measures every workload, and the same rows by bare statements on our schema and on a minimal one" * doctest::skip(on_mongo())) {
    const Folder folder;
    const auto ended = jobrt({"bench", "--raw", "--scale", "1"}, environment(folder), folder.path(), 120s);
    INFO(ended.err);
    REQUIRE(ended.status.code == 0);
    std::vector<std::string> rows;
    std::istringstream lines(ended.out);
    for (std::string line; std::getline(lines, line);) {
        CAPTURE(line);
        const auto figure = boost::json::parse(line).as_object();
        rows.push_back(text(figure, "workload") + " " + text(figure, "setting"));
        CHECK(figure.at("n").to_number<int>() > 0);
        // Half of the handlers may have begun before those who put their jobs in heard of it.
        const bool pickup = text(figure, "unit") == "ms";
        CHECK(figure.at(pickup ? "p99_ms" : "value").to_number<double>() > 0);
    }
    std::vector<std::string> expected;
    for (const std::string name : {"W1_bulk1000", "W2_single_c1", "W2_single_c8", "W2_single_c64", "W3_drain_best",
                                   "W3_drain_c10", "W4_pickup", "W4_pickup_xproc", "W5_crowded"}) {
        expected.push_back(name + " full");
        if (name == "W2_single_c64" || name.starts_with("W4") || name.starts_with("W5")) continue;
        expected.push_back(name + " raw-full");
        expected.push_back(name + " minimal");
    }
    CHECK(rows == expected);
    CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("a signal ends bench at once, with all that it began" * doctest::skip(on_mongo())) {
    for (const int number : {SIGINT, SIGHUP}) {
        CAPTURE(number);
        const Folder folder;
        Program bench({tests::program("jobrt"), "bench", "--scale", "1000", "--workload", "W4_pickup_xproc"}, environment(folder),
                      folder.path());
        REQUIRE(eventually(20s, [&] { return !children_with(bench.pid(), "--enqueuer").empty(); }));
        bench.signal(number);
        const auto ended = bench.wait(10s);
        REQUIRE(ended);
        CHECK(ended->code == 130);
        CHECK(fs::is_empty(folder.path()));
        CHECK(eventually(2s, [&] { return children_with(0, folder.path()).empty(); }));
    }
}

TEST_CASE("a signal ends a command that does not wait for it" * doctest::skip(on_mongo())) {
    const Folder folder;
    test::TestServer silent;  // Its answer never comes.
    silent.on("/api/health", [](const auto& connection, const auto&) { connection.hold(); });
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        CAPTURE(number);
        const auto before = silent.requests().size();
        Program waiting({tests::program("jobrt"), "health", "--api", silent.url("")}, environment(folder), folder.path());
        REQUIRE(eventually(30s, [&] { return silent.requests().size() > before; }));
        waiting.signal(number);
        const auto ended = waiting.wait(10s);
        REQUIRE(ended);
        CHECK(ended->signal == number);
    }
}

}  // namespace
}  // namespace jobruntime::e2e
