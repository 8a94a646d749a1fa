// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// The other process of the tests: does what its arguments say and prints what it has done.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <sqlite3.h>
#include <unistd.h>

#include <jobruntime/api_router.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>
#include <jobruntime/telemetry_sink.hpp>

#include "core/failpoint.hpp"
#include "core/ids.hpp"
#include "sqlite/files_linux.hpp"

using namespace jobruntime;

namespace {

constexpr Time noon{Duration{1'750'000'000'000}};

void say(const std::string& text) {
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
}

NewJob new_job() {
    static core::IdSource ids;
    NewJob job;
    job.id = ids.job(noon);
    job.kind = "test.kind";
    job.run_at = noon;
    return job;
}

bool insert(Inserter& store) {
    const auto job = new_job();
    const auto answers = store.insert({&job, 1}, noon);
    if (!answers) say("error " + answers.error().message);
    return answers.has_value();
}

/// Inserts until it has had its time; says how many.
int insert_for(sqlite::Store& store, int milliseconds) {
    say("ready");
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(milliseconds);
    int count = 0;
    while (std::chrono::steady_clock::now() < end)
        if (insert(store)) ++count;
    say(std::to_string(count));
    return 0;
}

int hold_session(sqlite::Store& store, const std::string& id) {
    SessionFacts facts;
    facts.host = sqlite::host_name();
    facts.boot_id = sqlite::boot_id();
    facts.works = true;
    if (!store.beat(*SessionId::parse(id), facts, noon)) return 1;
    say("beating");
    ::pause();
    return 0;
}

/// The caller's own row and a job in one transaction.
int transact(sqlite::Store& store) {
    sqlite3* db = nullptr;
    if (sqlite3_open(store.path().c_str(), &db) != SQLITE_OK) return 1;
    sqlite3_exec(db, "PRAGMA synchronous = FULL; BEGIN IMMEDIATE; INSERT INTO mine VALUES(1)", nullptr, nullptr, nullptr);
    auto transaction = store.begin(db);
    if (!transaction || !insert(**transaction)) return 1;
    if (JOBRT_FAILPOINT("test.before_commit")) return 1;
    if (sqlite3_exec(db, "COMMIT", nullptr, nullptr, nullptr) != SQLITE_OK) return 1;
    if (JOBRT_FAILPOINT("test.after_commit")) return 1;
    (*transaction)->committed();
    say("committed");
    sqlite3_close(db);
    return 0;
}

/// One request to the API, as ada, in a process that is killed right after its first commit.
int ask(sqlite::Store& store, const std::string& method, const std::string& target, const std::string& body) {
    const auto sink = store_sink(store, system_clock());
    JobQueue queue(store);
    ApiOptions options;
    options.sink = sink.get();
    options.authenticate = [](std::string_view) -> std::optional<Caller> { return Caller{"a1b2c3d4", "ada", Role::operate}; };
    ApiRouter router(queue, options);
    Request request{method, target, {{"host", "localhost"}, {"authorization", "Bearer any"}}, body, "192.0.2.9"};
    if (!body.empty()) request.headers.emplace_back("content-type", "application/json");
    if (!core::arm_failpoints("sqlite.after_commit=kill")) return 2;
    say("answered " + std::to_string(router.handle(request).status));
    return 1;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 3) return 2;
    if (const char* failpoints = std::getenv("JOBRT_FAILPOINTS"); failpoints && !core::arm_failpoints(failpoints)) return 2;
    sqlite::Options options;
    options.ballast_bytes = 0;
    auto store = sqlite::open(argv[2], options);
    if (!store) {
        say(store.error().message);
        return 3;
    }
    const std::string what = argv[1];
    if (what == "insert") return insert(**store) ? 0 : 1;
    if (what == "insert-for") return insert_for(**store, std::atoi(argv[3]));
    if (what == "session") return hold_session(**store, argv[3]);
    if (what == "transact") return transact(**store);
    if (what == "ask" && argc == 6) return ask(**store, argv[3], argv[4], argv[5]);
    if (what == "stay") {
        say("open");
        ::pause();
    }
    return 2;
}
