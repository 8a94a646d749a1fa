// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <csignal>
#include <fstream>
#include <memory>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// A user's own program whose handlers throw, block for ever, or take the process down: what the others see of
// it.
namespace jobruntime::e2e {
namespace {

std::string code_of_first_error(const boost::json::object& job) {
    const auto& errors = job.at("errors").get_array();
    return errors.empty() ? std::string() : text(errors.front().get_object(), "code");
}

TEST_CASE(
    "a handler that blocks for ever ends with DEADLINE and its thread is replaced; after two the program "
    "ends with 70") {
    const Folder folder;
    auto variables = environment(folder);
    variables["JOBRT_CONCURRENCY"] = "1";  // What runs beside a lost thread runs on its replacement.
    Service service(folder, variables, 20s, {tests::program("e2e_handlers_program")});
    auto put = [&](const std::string& kind) {
        const auto made =
            http(service.port(), "POST", "/api/jobs", R"({"kind":")" + kind + R"(","maxAttempts":1})");
        CHECK(made.status == 201);
        return text(made.json().at("job").get_object(), "id");
    };
    auto job = [&](const std::string& id) {
        return http(service.port(), "GET", "/api/jobs/" + id).json().at("job").get_object();
    };
    const auto stuck = put("test.block");
    CHECK(eventually(30s, [&] { return text(job(stuck), "status") == "running"; }));
    const auto behind = put("test.good");
    REQUIRE(eventually(20s, [&] { return text(job(stuck), "status") == "failed"; }));
    CHECK(text(job(stuck), "errorCode") == "DEADLINE");
    CHECK(eventually(30s, [&] { return text(job(behind), "status") == "completed"; }));
    CHECK_FALSE(service.program().wait(0ms));
    CHECK(http(service.port(), "GET", "/api/worker/health").json().at("ok") == true);

    const auto second = put("test.block");
    const auto ended = service.program().wait(30s);
    REQUIRE(ended);
    CHECK(ended->code == 70);
    CHECK(service.program().err().find("threads lost") != std::string::npos);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    const auto last = http(api.port(), "GET", "/api/jobs/" + second).json().at("job").get_object();
    CHECK(code_of_first_error(last) == "DEADLINE");
}

TEST_CASE("a configuration that names a program's own extractor is shared with jobrt, which runs no worker with it") {
    const Folder folder;
    std::ofstream(folder / "shared.json") << R"({"platforms":{"web":{"extractors":["mine"]}}})";
    auto variables = environment(folder);
    variables["JOBRT_CONFIG"] = folder / "shared.json";
    variables["ROLE"] = "api";
    Service api(folder, variables);
    REQUIRE_FALSE(api.ready().empty());
    for (const auto* role : {"worker", "combined"}) {
        variables["ROLE"] = role;
        const auto refused = jobrt({}, variables, folder.path());
        CHECK(refused.status.code == 2);
        for (const auto* part : {"shared.json", "names \"mine\"", "ROLE=api"})
            CHECK_MESSAGE(refused.err.find(part) != std::string::npos, refused.err);
    }
    const auto extract = jobrt({"extract", "https://films.example/1"}, variables, folder.path());
    CHECK(extract.status.code == 1);
    CHECK_MESSAGE(extract.err.find("names \"mine\"") != std::string::npos, extract.err);
    const auto shown = jobrt({"config", "show"}, variables, folder.path());
    CHECK(shown.status.code == 0);
    CHECK_MESSAGE(shown.err.find("names \"mine\"") != std::string::npos, shown.err);
    for (const auto* command : {"jobs list", "events"}) {
        const std::string words(command);
        const auto space = words.find(' ');
        const auto asked = jobrt(space == std::string::npos ? std::vector<std::string>{words} : std::vector<std::string>{words.substr(0, space), words.substr(space + 1)},
                                 variables, folder.path());
        CHECK_MESSAGE(asked.status.code == 0, asked.err);
    }
    variables["ROLE"] = "worker";
    variables["TEST_EXTRACTORS"] = "mine";
    Service worker(folder, variables, 20s, {tests::program("e2e_handlers_program")});
    const auto made = http(api.port(), "POST", "/api/jobs", R"({"url":"http://films.example/1"})");
    REQUIRE(made.status == 201);
    const auto id = text(made.json().at("job").get_object(), "id");
    boost::json::object job;
    CHECK(eventually(20s, [&] {
        job = http(api.port(), "GET", "/api/jobs/" + id).json().at("job").get_object();
        return text(job, "status") == "failed";
    }));
    CHECK_MESSAGE(boost::json::serialize(job).find("mine was asked") != std::string::npos, boost::json::serialize(job));
}

TEST_CASE("a program whose two extractors have one name does not start, and says which") {
    const Folder folder;
    auto variables = environment(folder);
    variables["TEST_EXTRACTORS"] = "mine other mine";
    const auto refused = run({tests::program("e2e_handlers_program")}, variables, folder.path(), 20s);
    REQUIRE(refused.in_time);
    CHECK(refused.status.code == 2);
    CHECK_MESSAGE(refused.err.find("two extractors of this program are named \"mine\"") != std::string::npos, refused.err);
}

TEST_CASE(
    "a handler that takes its process down is convicted by the crash rule, alone, and its neighbours "
    "complete") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    variables["ROLE"] = "worker";
    variables["JOBRT_CONCURRENCY"] = "4";
    auto put = [&](const std::string& kind) {
        const auto made = http(api.port(), "POST", "/api/jobs", R"({"kind":")" + kind + R"("})");
        CHECK(made.status == 201);
        return text(made.json().at("job").get_object(), "id");
    };
    auto job = [&](const std::string& id) {
        const auto answer = http(api.port(), "GET", "/api/jobs/" + id);
        REQUIRE_MESSAGE(answer.status == 200, answer.body);
        return answer.json().at("job").get_object();
    };
    std::vector<std::string> good;
    for (int i = 0; i < 6; ++i) good.push_back(put("test.good"));
    const auto poison = put("test.abort");
    for (int i = 0; i < 6; ++i) good.push_back(put("test.good"));

    // A supervisor that starts the worker again whenever it dies, which it may do before it says that it is ready.
    std::unique_ptr<Program> worker;
    int deaths = 0;
    const auto supervise = [&] {
        if (worker) {
            const auto ended = worker->wait(0ms);
            if (!ended) return;
            INFO(worker->err());
            CHECK(ended->signal == SIGABRT);
            ++deaths;
        }
        worker = std::make_unique<Program>(std::vector<std::string>{tests::program("e2e_handlers_program")}, variables, folder.path());
    };
    // The back-off of whoever was there when it died twice is longer than a test; what counts is how often it runs.
    const auto state = [&](const std::string& id) {
        supervise();
        const auto now = text(job(id), "status");
        if (now == "scheduled") http(api.port(), "POST", "/api/jobs/" + id + "/retry");
        return now;
    };
    CHECK(eventually(90s, [&] { return state(poison) == "failed"; }));
    const auto convicted = job(poison);
    INFO(boost::json::serialize(convicted));
    CHECK(text(convicted, "errorCode") == "CRASH_LIMIT");
    CHECK(deaths >= 2);
    CHECK(deaths <= 5);
    for (const auto& id : good) {
        CAPTURE(id);
        CHECK(eventually(20s, [&] { return state(id) == "completed"; }));
        CHECK(job(id).at("attempt") == 1);
    }
}

TEST_CASE("an exception is an error of the attempt with its text, and the worker goes on") {
    const Folder folder;
    Service service(folder, environment(folder), 20s, {tests::program("e2e_handlers_program")});
    const auto made = http(service.port(), "POST", "/api/jobs", R"({"kind":"test.throw","maxAttempts":1})");
    REQUIRE(made.status == 201);
    const auto id = text(made.json().at("job").get_object(), "id");
    auto job = [&] { return http(service.port(), "GET", "/api/jobs/" + id).json().at("job").get_object(); };
    CHECK(eventually(30s, [&] { return text(job(), "status") == "failed"; }));
    CHECK(text(job(), "errorCode") == "EXCEPTION");
    CHECK(text(job(), "error").find("the handler's own words") != std::string::npos);
    CHECK_FALSE(service.program().wait(0ms));
}

TEST_CASE("canceling a running job twice is accepted twice, as long as its handler has not ended") {
    const Folder folder;
    Service service(folder, environment(folder), 20s, {tests::program("e2e_handlers_program")});
    const auto asked_twice = folder / "asked-twice";
    const boost::json::object late{{"kind", "test.late"}, {"payload", {{"until", asked_twice}}}};
    const auto made = http(service.port(), "POST", "/api/jobs", boost::json::serialize(late));
    REQUIRE(made.status == 201);
    const auto id = text(made.json().at("job").get_object(), "id");
    auto job = [&] { return http(service.port(), "GET", "/api/jobs/" + id).json().at("job").get_object(); };
    REQUIRE(eventually(30s, [&] { return text(job(), "status") == "running"; }));
    for (int round = 0; round < 2; ++round) {
        const auto asked = http(service.port(), "POST", "/api/jobs/" + id + "/cancel");
        INFO(asked.body);
        CHECK(asked.status == 202);
        CHECK(asked.json().at("cancelRequested") == true);
        CHECK_FALSE(asked.json().at("job").get_object().at("cancelRequestedAt").is_null());
    }
    std::ofstream(asked_twice) << "now it may end\n";
    CHECK(eventually(30s, [&] { return text(job(), "status") == "canceled"; }));
    CHECK(http(service.port(), "POST", "/api/jobs/" + id + "/cancel").status == 409);
}

}  // namespace
}  // namespace jobruntime::e2e
