// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <filesystem>
#include <fstream>

#include <doctest/doctest.h>

#include "e2e/stores.hpp"

// What doctor says of a machine where something is wrong, and of one where all is well.
namespace jobruntime::e2e {
namespace {

namespace fs = std::filesystem;

std::string findings(const Ended& ended) {
    boost::system::error_code code;
    const auto value = boost::json::parse(ended.out, code);
    CHECK_MESSAGE(!code, ended.out);
    return code ? std::string() : boost::json::serialize(value);
}

TEST_CASE("doctor names the program that holds the port, with its pid") {
    const test::TestServer foreigner;  // It is this process.
    const Folder folder;
    auto variables = environment(folder);
    variables["PORT"] = std::to_string(foreigner.port());
    const auto ended = jobrt({"doctor", "--json"}, variables, folder.path());
    REQUIRE(ended.in_time);
    CHECK(ended.status.code == 1);
    const auto said = findings(ended);
    INFO(said);
    CHECK(said.find("port " + std::to_string(foreigner.port()) + " is held by another program: pid " +
                    std::to_string(::getpid())) != std::string::npos);
    CHECK(said.find("PORT") != std::string::npos);
}

/// The kind of the finding that begins with this text; "" when there is none.
std::string kind_of(const Ended& ended, std::string_view beginning) {
    boost::system::error_code code;
    const auto value = boost::json::parse(ended.out, code);
    REQUIRE_MESSAGE(!code, ended.out);
    for (const auto& finding : value.at("findings").as_array())
        if (text(finding.get_object(), "text").starts_with(beginning)) return text(finding.get_object(), "kind");
    return {};
}

Ended checklist(const Folder& folder, Variables variables, int port) {
    variables["PORT"] = std::to_string(port);
    variables["ROLE"] = "";
    return jobrt({"doctor", "--checklist", "--json"}, variables, folder.path(), 90s);
}

void passes_the_checklist(const StoreKind& kind) {
    const Folder folder;
    const auto store = environment(folder, kind);
    Runtime runtime(folder, true, store);
    for (const std::string role : {"", "api", "worker"}) {
        CAPTURE(role);
        auto variables = store;
        variables["PORT"] = std::to_string(runtime.port());
        variables["ROLE"] = role;
        const auto ended = jobrt({"doctor", "--checklist", "--json"}, variables, folder.path(), 90s);
        INFO(findings(ended));
        CHECK(ended.status.code == 0);
        for (const auto* line :
             {"1. API and worker share", "2. the API listens", "3. every worker finds", "4. worker heartbeat is ok",
              "5. a submitted page with a clip reaches completed",
              "6. worker events appear at the API, in order: claimed, extraction started, download completed"})
            CHECK_MESSAGE(kind_of(ended, line) == "ok", line);
    }
    CHECK(http(runtime.port(), "GET", "/api/jobs").json().at("jobs").get_array().empty());
    std::error_code code;
    for (const auto& entry : fs::recursive_directory_iterator(folder / "downloads", code))
        CHECK_MESSAGE(!entry.is_regular_file(), entry.path());
}

TEST_CASE("the checklist passes on split roles and every store, asked as either role or as none, and leaves nothing behind") {
    for (const auto& kind : store_kinds()) {
        CAPTURE(kind.name);
        passes_the_checklist(kind);
    }
}

TEST_CASE("where no page of this machine may be saved, the checklist says that the media part was not tried") {
    const Folder folder;
    Runtime runtime(folder, false);
    auto variables = environment(folder);
    variables.erase("JOBRT_ALLOW_NETS");
    const auto ended = checklist(folder, variables, runtime.port());
    INFO(findings(ended));
    CHECK(ended.status.code == 0);
    CHECK(kind_of(ended, "5. a submitted demo.echo job reaches completed") == "ok");
    CHECK(kind_of(ended, "5. the media part was not tried: JOBRT_ALLOW_NETS") == "warning");
    CHECK(kind_of(ended, "6. worker events appear at the API, in order: claimed, completed") == "ok");
}

TEST_CASE("without a worker doctor says so, and so does the checklist's line") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    CHECK(http(api.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})").status == 201);
    variables["PORT"] = std::to_string(api.port());
    const auto said = findings(jobrt({"doctor", "--json"}, variables, folder.path()));
    INFO(said);
    CHECK(said.find("no worker is running; start one with ROLE=worker; 1 job waits, the oldest for ") != std::string::npos);
    // One on another store is none.
    auto other = variables;
    other["ROLE"] = "worker";
    other["JOBRT_STORE"] = "sqlite:" + folder / "other.db";
    const Service worker(folder, other);
    const auto ended = checklist(folder, variables, api.port());
    INFO(findings(ended));
    CHECK(ended.status.code == 1);
    CHECK(kind_of(ended, "1. no worker shares the store") == "problem");
    CHECK(kind_of(ended, "2. the API listens") == "ok");
    CHECK(kind_of(ended, "3. ") == "problem");
    CHECK(kind_of(ended, "4. worker heartbeat is not ok: No heartbeat recorded") == "problem");
    CHECK(kind_of(ended, "5. no job was submitted: no worker is running") == "problem");
    CHECK(kind_of(ended, "6. ") == "problem");
}

TEST_CASE("with no API and no store the checklist fails, line by line") {
    const Folder folder;
    const auto ended = checklist(folder, environment(folder), 1);
    INFO(findings(ended));
    CHECK(ended.status.code == 1);
    for (const auto* line : {"1. ", "2. ", "3. ", "4. ", "5. ", "6. "}) CHECK_MESSAGE(kind_of(ended, line) == "problem", line);
    CHECK_FALSE(fs::exists(folder / "jobs.db"));
}

TEST_CASE("the checklist sees another store, and a worker that lacks its browser") {
    const Folder folder;
    Runtime runtime(folder, true, {{"JOBRT_BROWSER", "/nonexistent/chromium"}});
    auto variables = environment(folder);
    const auto broken = checklist(folder, variables, runtime.port());
    INFO(findings(broken));
    CHECK(broken.status.code == 1);
    CHECK(kind_of(broken, "1. API and worker share") == "ok");
    CHECK(kind_of(broken, "3. a worker misses programs: pid " + std::to_string(runtime.worker().program().pid())) == "problem");
    CHECK(kind_of(broken, "5. a submitted page with a clip is failed: BROWSER_LAUNCH_FAILED") == "problem");
    CHECK(kind_of(broken, "6. ") == "problem");
    variables["JOBRT_STORE"] = "sqlite:" + folder / "other.db";
    variables.erase("JOBRT_ALLOW_NETS");
    const auto elsewhere = checklist(folder, variables, runtime.port());
    INFO(findings(elsewhere));
    CHECK(elsewhere.status.code == 1);
    CHECK(kind_of(elsewhere, "1. the API's store is ") == "problem");
}

/// Something that answers as an API whose worker does not do what it should.
class FalseApi {
public:
    explicit FalseApi(const std::string& store) {
        say("/api/health", R"({"ok":true,"service":"jobrt"})");
        say("/api/status", R"({"ok":true,"store":")" + store + "\"}");
        say("/api/worker/health", R"({"ok":true})");
        say("/api/workers", R"({"ok":true,"workers":[{"live":true,"pid":1,"host":"h","details":{"store":")" + store +
                                R"(-other"}}]})");
        say("/api/jobs", R"({"ok":true,"job":{"id":"j1","status":"queued"}})", 201);
        say("/api/jobs/j1", R"({"ok":true,"job":{"id":"j1","status":"completed"}})");
    }
    int port() const { return server_.port(); }
    void say(const std::string& path, const std::string& body, int code = 200) {
        server_.on(path, test::status(code, "Content-Type: application/json\r\n", body));
    }
    /// `late`: they show so long after the first question only.
    void events(const std::string& names, Millis late) {
        server_.on("/api/telemetry",
                   [names, late, begun = std::optional<std::chrono::steady_clock::time_point>()](
                       const test::ServedConnection& connection, const test::ServedRequest& request) mutable {
                       const auto now = std::chrono::steady_clock::now();
                       if (!begun) begun = now;
                       test::status(200, "Content-Type: application/json\r\n",
                                    R"({"ok":true,"events":[)" + (now - *begun < late ? "" : names) + "]}")(connection, request);
                   });
    }

private:
    test::TestServer server_;
};

TEST_CASE("the checklist's last lines see a job that is refused, events out of order, and events that come late") {
    const Folder folder;
    auto variables = environment(folder);
    variables.erase("JOBRT_ALLOW_NETS");  // So that it submits a demo.echo.
    FalseApi api(variables["JOBRT_STORE"]);
    const std::string claimed = R"({"event":"worker.job.claimed"})", done = R"({"event":"worker.job.completed"})";

    api.events(claimed + "," + done, 0ms);
    auto ended = checklist(folder, variables, api.port());
    INFO(findings(ended));
    CHECK(ended.status.code == 0);  // The control: nothing is wrong but a name.
    CHECK(kind_of(ended, "1. a worker calls the store ") == "warning");
    CHECK(kind_of(ended, "6. worker events appear at the API, in order") == "ok");

    api.events(done + "," + claimed, 0ms);
    ended = checklist(folder, variables, api.port());
    CHECK(ended.status.code == 1);
    CHECK(kind_of(ended, "5. a submitted demo.echo job reaches completed") == "ok");
    CHECK(kind_of(ended, "6. the API does not show the worker's events in order (claimed, completed): worker.job.completed "
                         "did not appear") == "problem");

    // Late, and the job is over later still, so that the events are waited for.
    api.events(claimed + "," + done, 5'500ms);
    api.say("/api/jobs/j1", R"({"ok":true,"job":{"id":"j1","status":"failed","errorCode":"DEMO","error":"why"}})");
    const auto begun = std::chrono::steady_clock::now();
    api.say("/api/worker/health", R"({"ok":false,"error":"Worker stopped"})");
    ended = checklist(folder, variables, api.port());
    CHECK(ended.status.code == 1);
    CHECK(std::chrono::steady_clock::now() - begun < 30s);
    CHECK(kind_of(ended, "4. worker heartbeat is not ok: Worker stopped") == "problem");
    CHECK(kind_of(ended, "5. a submitted demo.echo job is failed: DEMO: why") == "problem");
    CHECK(kind_of(ended, "6. ") == "problem");

    api.say("/api/jobs", R"({"ok":false,"code":"STORE_FULL","error":"no space"})", 507);
    ended = checklist(folder, variables, api.port());
    CHECK(ended.status.code == 1);
    CHECK(kind_of(ended, "5. no job could be submitted") == "problem");
    CHECK(kind_of(ended, "6. no events were looked for: no job could be submitted") == "problem");
}

TEST_CASE("the checklist shows its access token, and says where to put one") {
    const Folder folder;
    auto variables = environment(folder);
    variables["JOBRT_TOKEN_FILE"] = folder / "tokens";
    const auto made = jobrt({"token", "create", "doctor", "--role", "operate"}, variables, folder.path());
    REQUIRE(made.status.code == 0);
    std::ofstream(folder / "own-token") << made.out;
    Service service(folder, variables);
    variables.erase("JOBRT_ALLOW_NETS");
    const auto without = checklist(folder, variables, service.port());
    INFO(findings(without));
    CHECK(without.status.code == 1);
    CHECK(findings(without).find("JOBRT_API_TOKEN_FILE") != std::string::npos);
    CHECK(kind_of(without, "2. the API listens") == "ok");
    // Nobody told that no worker runs: there is one, and the API keeps it to itself.
    CHECK(findings(without).find("no worker is running") == std::string::npos);
    variables["JOBRT_API_TOKEN_FILE"] = folder / "own-token";
    const auto with = checklist(folder, variables, service.port());
    INFO(findings(with));
    CHECK(with.status.code == 0);
}

TEST_CASE("doctor sees that API and worker keep their telemetry in different places") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    variables["TELEMETRY_SINK"] = "memory";
    const Service api(folder, variables);
    variables["ROLE"] = "worker";
    variables["TELEMETRY_SINK"] = "store";
    const Service worker(folder, variables);
    const auto said = findings(jobrt({"doctor", "--json"}, environment(folder), folder.path()));
    INFO(said);
    CHECK(said.find("telemetry sinks differ: store in worker") != std::string::npos);
    CHECK(said.find("memory in api") != std::string::npos);
}

}  // namespace
}  // namespace jobruntime::e2e
