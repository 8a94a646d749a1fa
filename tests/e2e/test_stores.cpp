// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <set>

#include <doctest/doctest.h>

#include "e2e/stores.hpp"

// Stores as operators handle them: shared, away, copied, backed up, and filled from the old application.
namespace jobruntime::e2e {
namespace {

boost::json::object output(const Ended& ended) {
    boost::system::error_code code;
    auto value = boost::json::parse(ended.out, code);
    CHECK_MESSAGE((!code && value.is_object()), ended.out << ended.err);
    return !code && value.is_object() ? value.get_object() : boost::json::object{};
}

std::int64_t number(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value && value->is_int64() ? value->get_int64() : -1;
}

boost::json::array list_of(int port, const std::string& path, std::string_view name) {
    const auto answer = http(port, "GET", path).json();
    const auto* list = answer.if_contains(name);
    return list && list->is_array() ? list->get_array() : boost::json::array{};
}

std::string submit(int port, const boost::json::object& body) {
    const auto answer = http(port, "POST", "/api/jobs", boost::json::serialize(body));
    CHECK_MESSAGE(answer.status == 201, answer.body);
    const auto json = answer.json();
    return json.contains("job") ? text(json.at("job").get_object(), "id") : std::string();
}

std::string status_of(int port, const std::string& id) {
    const auto answer = http(port, "GET", "/api/jobs/" + id).json();
    return answer.contains("job") ? text(answer.at("job").get_object(), "status") : std::string();
}

void several_of_each(const StoreKind& kind) {
    const Folder folder;
    auto variables = environment(folder, kind);
    variables["JOBRT_CONCURRENCY"] = "2";
    variables["ROLE"] = "api";
    Service first(folder, variables), second(folder, variables);
    variables["ROLE"] = "worker";
    Service one(folder, variables), other(folder, variables);
    REQUIRE_FALSE(first.ready().empty());
    REQUIRE_FALSE(other.ready().empty());

    const auto workers = [&](Service& api) { return list_of(api.port(), "/api/workers", "workers"); };
    for (auto* api : {&first, &second}) {
        CHECK(eventually(30s, [&] { return workers(*api).size() == 2; }));
        CHECK(number(http(api->port(), "GET", "/api/worker/health").json(), "workers") == 2);
        std::set<std::string> ids;
        std::set<std::int64_t> pids;
        for (const auto& worker : workers(*api)) {
            ids.insert(text(worker.get_object(), "id"));
            pids.insert(number(worker.get_object(), "pid"));
            for (const auto* member : {"host", "role", "version", "startedAt"})
                CHECK_FALSE(text(worker.get_object(), member).empty());
            CHECK(number(worker.get_object(), "beatAgeMs") >= 0);
            CHECK(number(worker.get_object(), "running") == 0);
        }
        CHECK(ids.size() == 2);
        CHECK(pids == std::set<std::int64_t>{one.program().pid(), other.program().pid()});
        CHECK(eventually(30s, [&] { return list_of(api->port(), "/api/status", "sessions").size() == 4; }));
    }

    // Submitted to either API, run by both workers, seen on the other API's stream: each once.
    Stream stream(second.port(), "/api/telemetry/stream?limit=1");
    std::vector<std::string> ids;
    for (int i = 0; i < 24; ++i)
        ids.push_back(submit(i % 2 == 0 ? first.port() : second.port(),
                             {{"kind", "demo.sleep"}, {"payload", {{"ms", 150}}}}));
    std::set<std::string> ran_by;
    for (const auto& id : ids) {
        CAPTURE(id);
        CHECK(eventually(30s, [&] { return status_of(first.port(), id) == "completed"; }));
        const auto job = http(second.port(), "GET", "/api/jobs/" + id).json().at("job").get_object();
        CHECK(number(job, "attempt") == 1);
        ran_by.insert(text(job, "workerId"));
        CHECK(eventually(30s, [&] {
            const auto names = stream.names(id);
            return std::count(names.begin(), names.end(), "worker.job.completed") == 1;
        }));
    }
    // Whoever could not beat for a while has another session, and id, after that.
    CHECK(ran_by.size() >= 2);

    // One is killed in its work: its job runs again, its row goes, health stays well.
    const auto long_job = submit(first.port(), {{"kind", "demo.sleep"}, {"payload", {{"ms", 2000}}}});
    CHECK(eventually(30s, [&] { return status_of(first.port(), long_job) == "running"; }));
    const auto job = http(first.port(), "GET", "/api/jobs/" + long_job).json().at("job").get_object();
    Service* victim = &one;
    for (const auto& worker : workers(first))
        if (text(worker.get_object(), "id") == text(job, "workerId") &&
            number(worker.get_object(), "pid") == other.program().pid())
            victim = &other;
    victim->program().signal(SIGKILL);
    CHECK(victim->program().wait(5s).has_value());
    CHECK(eventually(30s, [&] { return workers(first).size() == 1 && workers(second).size() == 1; }));
    CHECK(http(second.port(), "GET", "/api/worker/health").json().at("ok") == true);
    CHECK(eventually(30s, [&] { return status_of(second.port(), long_job) == "completed"; }));
    // And an API that goes takes nothing with it.
    first.program().signal(SIGKILL);
    CHECK(first.program().wait(5s).has_value());
    const auto last = submit(second.port(), {{"kind", "demo.echo"}, {"payload", {{"n", 1}}}});
    CHECK(eventually(30s, [&] { return status_of(second.port(), last) == "completed"; }));
}

TEST_CASE("several APIs and several workers share one store, and the dead leave the list") {
    for (const auto& kind : store_kinds()) {
        CAPTURE(kind.name);
        several_of_each(kind);
    }
}

TEST_CASE("doctor names every live process of a store") {
    for (const auto& kind : store_kinds()) {
        CAPTURE(kind.name);
        const Folder folder;
        auto variables = environment(folder, kind);
        variables["ROLE"] = "api";
        Service api(folder, variables);
        variables["ROLE"] = "worker";
        variables["TELEMETRY_SINK"] = "memory";
        Service worker(folder, variables);
        variables["TELEMETRY_SINK"] = "store";
        Service another(folder, variables);
        variables["PORT"] = std::to_string(api.port());
        variables["ROLE"] = "";
        std::string said;
        CHECK(eventually(30s, [&] {
            said = jobrt({"doctor"}, variables, folder.path()).out;
            return said.find("live process: api, pid " + std::to_string(api.program().pid())) !=
                       std::string::npos &&
                   said.find("live process: worker, pid " + std::to_string(worker.program().pid())) !=
                       std::string::npos;
        }));
        INFO(said);
        CHECK(said.find("version " + text(api.ready(), "version")) != std::string::npos);
        CHECK(said.find("store " + text(api.ready(), "store")) != std::string::npos);
        CHECK(said.find("warning: telemetry sinks differ: ") != std::string::npos);
        CHECK(said.find("clock") == std::string::npos);
    }
}

TEST_CASE("a running store is backed up, and the backup is a store") {
    const Folder folder;
    const auto variables = environment(folder);
    std::string id;
    {
        Runtime runtime(folder, true);
        id = runtime.submit({{"kind", "demo.echo"}, {"payload", {{"n", 1}}}});
        CHECK(text(runtime.wait(id, "completed"), "status") == "completed");
        const auto made = jobrt({"store", "backup", "copy.db", "--json"}, variables, folder.path());
        CHECK(made.status.code == 0);
        const auto report = output(made);
        CHECK(text(report, "file") == folder / "copy.db");
        CHECK(number(report, "jobs") == 1);
        CHECK(number(report, "events") >= 3);
        const auto again = jobrt({"store", "backup", "copy.db"}, variables, folder.path());
        CHECK(again.status.code == 1);
        CHECK(again.err.find("there already") != std::string::npos);
        const auto next = runtime.submit({{"kind", "demo.echo"}, {"payload", {{"n", 2}}}});
        CHECK(text(runtime.wait(next, "completed"), "status") == "completed");
    }
    auto restored = variables;
    restored["JOBRT_STORE"] = "sqlite:copy.db";
    Runtime runtime(folder, false, restored);
    CHECK(runtime.status(id) == "completed");
    CHECK(list_of(runtime.port(), "/api/jobs", "jobs").size() == 1);
}

void copies_and_goes_on(const StoreKind& from, const StoreKind& to) {
    const Folder here, there;
    const auto source = environment(here, from);
    auto target = environment(there, to);
    target["JOBRT_DOWNLOAD_DIR"] = source.at("JOBRT_DOWNLOAD_DIR");
    const auto address = [](const Variables& variables) {
        const auto uri = variables.find("MONGODB_URI");
        return uri == variables.end() ? variables.at("JOBRT_STORE") : uri->second;
    };
    const std::vector<std::string> copy{"store", "copy", address(source), address(target), "--json"};
    std::string done, later;
    {
        Runtime runtime(here, true, source);
        done = runtime.submit(
            {{"kind", "demo.echo"}, {"payload", {{"n", 1}}}, {"uniqueKey", "only-one"}, {"tags", {"kept"}}});
        later = runtime.submit({{"kind", "demo.echo"}, {"delayMs", 3'600'000}});
        CHECK(text(runtime.wait(done, "completed"), "status") == "completed");
        const auto refused = jobrt(copy, source, here.path());
        CHECK(refused.status.code == 1);
        CHECK(text(output(refused), "code") == "STORE_IN_USE");
        CHECK(runtime.worker().program().stop());
        CHECK(runtime.front().program().stop());
    }
    const auto first = jobrt(copy, source, here.path());
    CHECK(first.status.code == 0);
    auto report = output(first);
    INFO(boost::json::serialize(report));
    CHECK(number(report, "jobs") == 2);
    CHECK(number(report, "jobsCopied") == 2);
    CHECK(number(report, "eventsCopied") >= 4);
    CHECK(number(report, "events") == number(report, "eventsCopied"));
    CHECK(number(report, "eventsGone") == 0);
    CHECK(number(report, "records") == number(report, "recordsCopied"));
    {
        Runtime runtime(there, false, target);
        CHECK(text(runtime.job(done), "status") == "completed");
        CHECK(runtime.status(later) == "scheduled");
        CHECK(told(runtime.port(), done,
                       {"jobs.create.queued", "worker.job.claimed", "worker.job.completed"}));
        CHECK(http(runtime.port(), "POST", "/api/jobs/" + later + "/retry").status == 200);
        CHECK(text(runtime.wait(later, "completed"), "status") == "completed");
    }
    report = output(jobrt(copy, source, here.path()));
    CHECK(number(report, "jobsCopied") == 0);
    CHECK(number(report, "jobsKnown") == 2);
    CHECK(number(report, "eventsCopied") == 0);
    auto words = copy;
    words.pop_back();
    const auto said = jobrt(words, source, here.path());
    CHECK(said.status.code == 0);
    CHECK_MESSAGE(said.out.find("events: 0 copied; verified: all " + std::to_string(number(report, "events")) + " of the source") !=
                      std::string::npos,
                  said.out);
    CHECK(said.out.find("records: 0 copied") != std::string::npos);
    Runtime runtime(there, false, target);
    CHECK(runtime.status(later) == "completed");
}

TEST_CASE("a store is copied to another and goes on there; a second copy changes nothing") {
    const auto kinds = store_kinds();
    for (const auto& from : kinds)
        for (const auto& to : kinds) {
            CAPTURE(from.name);
            CAPTURE(to.name);
            copies_and_goes_on(from, to);
        }
}

TEST_CASE("what the old application has saved is served, and not saved again") {
    for (const auto& kind : store_kinds()) {
        CAPTURE(kind.name);
        const Folder folder;
        const auto variables = environment(folder, kind);
        std::filesystem::create_directories(folder / "old/ada");
        std::ofstream(folder / "old/ada/1001.mp4") << "the film";
        std::ofstream(folder / "jobs.json")
            << R"({"_id":{"$oid":"65a000000000000000000001"},"tweetUrl":"https://twitter.com/Ada/status/1001",)"
            << R"("canonicalUrl":"https://x.com/ada/status/1001","status":"completed","accountHandle":"Ada",)"
            << R"("accountSlug":"ada","createdAt":{"$date":"2024-01-11T10:00:00.000Z"},)"
            << R"("completedAt":{"$date":"2024-01-11T10:01:00.000Z"},"outputPath":"ada/1001.mp4"})"
            << "\n";
        const std::vector<std::string> import{"import",      "x-dl", "--file", "jobs.json",
                                              "--downloads", "old",  "--json"};
        auto dry = import;
        dry.push_back("--dry-run");
        const auto rehearsed = jobrt(dry, variables, folder.path());
        CHECK(number(output(rehearsed), "completed") == 1);
        const auto real = jobrt(import, variables, folder.path());
        CHECK(real.status.code == 0);
        CHECK(number(output(real), "completed") == 1);
        CHECK(number(output(real), "files") == 1);
        CHECK(number(output(jobrt(import, variables, folder.path())), "known") == 1);

        Runtime runtime(folder, false, variables);
        const auto answer =
            http(runtime.port(), "POST", "/api/jobs", R"({"url":"https://x.com/ADA/status/1001?s=20"})");
        CHECK(answer.status == 409);
        CHECK(text(answer.json(), "code") == "DUPLICATE_COMPLETED_JOB");
        const auto job = runtime.job(text(answer.json(), "existingJobId"));
        CHECK(text(job, "url") == "https://twitter.com/Ada/status/1001");
        CHECK(text(job, "canonicalUrl") == "https://x.com/ada/status/1001");
        CHECK(text(job, "createdAt") == "2024-01-11T10:00:00.000Z");
        CHECK(text(job, "finishedAt") == "2024-01-11T10:01:00.000Z");
        const auto file = http(runtime.port(), "GET", "/downloads/" + text(job, "outputPath"));
        CHECK(file.status == 200);
        CHECK(file.body == "the film");
    }
}

TEST_CASE("an import that cannot be is refused with what to do") {
    const Folder folder;
    const auto variables = environment(folder);
    const auto none = jobrt({"import", "x-dl"}, variables, folder.path());
    CHECK(none.status.code == 2);
    CHECK(none.err.find("--from mongodb://") != std::string::npos);
    const auto two = jobrt({"import", "x-dl", "--file", "none.json", "--from", "mongodb://127.0.0.1:1/x"}, variables, folder.path());
    CHECK(two.status.code == 2);
    // Before anything is read: whatever is wrong with the source is not heard of.
    const auto nowhere = jobrt({"import", "x-dl", "--file", "none.json", "--downloads", "nowhere"}, variables, folder.path());
    CHECK(nowhere.status.code == 2);
    CHECK(nowhere.err.find("--downloads \"nowhere\"") != std::string::npos);
    CHECK(nowhere.err.find("none.json") == std::string::npos);
    const auto missing = jobrt({"import", "x-dl", "--file", "none.json"}, variables, folder.path());
    CHECK(missing.status.code == 1);
    CHECK(missing.err.find("none.json") != std::string::npos);
    const auto away =
        jobrt({"import", "x-dl", "--from", "mongodb://user:s3cret@127.0.0.1:1/x"}, variables, folder.path());
    CHECK(away.status.code == 1);
    CHECK(away.err.find("s3cret") == std::string::npos);
    CHECK(away.err.find("127.0.0.1:1") != std::string::npos);
}

#ifndef E2E_HAS_MONGO
TEST_CASE("without MongoDB built in, its address is refused in words") {
    const Folder folder;
    auto variables = environment(folder);
    variables["JOBRT_STORE"] = "";
    variables["MONGODB_URI"] = "mongodb://user:s3cret@db.example/jobs";
    const auto ended = jobrt({}, variables, folder.path());
    REQUIRE(ended.in_time);
    CHECK(ended.status.code == 2);
    CHECK(ended.err.find("without MongoDB") != std::string::npos);
    CHECK(ended.err.find("MONGODB_URI") != std::string::npos);
    CHECK(ended.err.find("s3cret") == std::string::npos);
}
#else
TEST_CASE("an unreachable MongoDB delays nobody's start, and its password is nowhere") {
    const Folder folder;
    auto variables = environment(folder);
    variables["JOBRT_STORE"] = "";
    variables["MONGODB_URI"] = "mongodb://user:s3cret@127.0.0.1:1/jobs";
    variables["ROLE"] = "worker";
    Service worker(folder, variables);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    REQUIRE_FALSE(worker.ready().empty());
    REQUIRE_FALSE(api.ready().empty());
    CHECK(text(api.ready(), "store").find("127.0.0.1:1") != std::string::npos);
    std::string seen = boost::json::serialize(api.ready()) + boost::json::serialize(worker.ready());
    const auto begun = std::chrono::steady_clock::now();
    const auto health = http(api.port(), "GET", "/api/health");
    CHECK(std::chrono::steady_clock::now() - begun < 2s);
    CHECK(health.status == 503);
    CHECK(http(api.port(), "GET", "/api/worker/health").status == 503);
    const auto refused = http(api.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})");
    CHECK(refused.status == 503);
    CHECK(text(refused.json(), "code") == "STORE_UNAVAILABLE");
    CHECK(refused.body.find("MONGODB_URI") != std::string::npos);
    CHECK(refused.body.find("127.0.0.1:1") != std::string::npos);
    seen += health.body + refused.body;
    for (const std::vector<std::string>& command : {std::vector<std::string>{"config", "show"},
                                                    {"doctor"},
                                                    {"jobs", "list"},
                                                    {"store", "backup", "x.db"}}) {
        const auto ended = jobrt(command, variables, folder.path());
        seen += ended.out + ended.err;
        if (command[0] == "doctor") {
            CHECK(ended.status.code == 1);
            CHECK(ended.out.find("MONGODB_URI") != std::string::npos);
        }
    }
    CHECK(worker.program().stop());
    CHECK(api.program().stop());
    seen += worker.program().err() + api.program().err() + worker.program().out();
    CHECK(seen.find("s3cret") == std::string::npos);
    CHECK(seen.find("does not answer") != std::string::npos);
}

TEST_CASE("a broken MongoDB address ends the start, naming the variable and not the password") {
    for (const std::string uri :
         {"mongodb://user:s3cret@db.example:99999999/jobs", "mongodb://user:s3cret@",
          "mongodb://user:s3cret@s3cret@/x", "mongodb://", "mongo://user:s3cret@db.example/jobs"}) {
        CAPTURE(uri);
        const Folder folder;
        auto variables = environment(folder);
        variables["JOBRT_STORE"] = "";
        variables["MONGODB_URI"] = uri;
        const auto ended = jobrt({}, variables, folder.path());
        REQUIRE(ended.in_time);
        CHECK(ended.status.code == 2);
        CHECK(ended.err.find("MONGODB_URI") != std::string::npos);
        CHECK(ended.err.find("s3cret") == std::string::npos);
        CHECK(ended.out.empty());
    }
}
#endif

}  // namespace
}  // namespace jobruntime::e2e
