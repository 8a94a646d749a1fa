// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Answers of the server other than yes, made by its own failpoints: which of them pass, and what they cost.
#include <atomic>
#include <condition_variable>
#include <mutex>

#include <jobruntime/worker.hpp>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using namespace std::chrono_literals;
using mongo::Doc;
using mongo::List;

namespace {

/// A server whose commands can be made to fail; nullptr where a real one is given, which need not allow it.
MongoServer* failing() {
    static const auto server = MongoServer::own({"--enable-test-commands"});
    if (!server) MESSAGE("skipped: a real server is given, which does not let tests make it fail");
    return server.get();
}

/// From now on, or `times` times, `commands` are answered with `code`.
void answer_with(MongoServer& server, std::initializer_list<std::string_view> commands, int code,
                 int times = 0) {
    List names;
    for (const auto name : commands) names.text(name);
    Doc command;
    command.text("configureFailPoint", "failCommand");
    if (times > 0)
        command.doc("mode", Doc().integer("times", times));
    else
        command.text("mode", "alwaysOn");
    command.doc("data", Doc().list("failCommands", names.made()).integer("errorCode", code));
    server.run("admin", command);
}

void answer_well(MongoServer& server) {
    server.run("admin", std::move(Doc().text("configureFailPoint", "failCommand").text("mode", "off")));
}

}  // namespace

TEST_CASE("what passes by itself is answered as unavailable, so that nobody takes it for an end") {
    auto* server = failing();
    if (!server) return;
    auto store = open_store(server->uri(server->fresh_database()));
    must(store->count({}, CountBy::nothing));
    for (const int code : {24, 43, 46, 134, 175, 202, 237, 11601}) {
        CAPTURE(code);
        answer_with(*server, {"aggregate"}, code);
        const auto answer = store->count({}, CountBy::nothing);
        REQUIRE(!answer.has_value());
        CHECK(answer.error().code == Errc::unavailable);
        answer_with(*server, {"update"}, code);
        const auto job = add(*store, noon);
        const auto changed = store->change(std::vector{job}, {}, 1, "", noon);
        REQUIRE(!changed.has_value());
        CHECK(changed.error().code == Errc::unavailable);
    }
    answer_well(*server);
}

TEST_CASE("new jobs whose answer was lost may be there, also when the server refuses the second try for good") {
    auto* server = failing();
    if (!server) return;
    const auto store = open_store(server->uri(server->fresh_database()));
    const auto job = new_job(noon);
    Error why;
    {
        int times = 0;
        const Failpoint lost("mongo.insert_answer", [&] {
            if (++times > 1) return false;
            answer_with(*server, {"insert"}, 13);  // Not authorized, from now on.
            return true;
        });
        const auto answers = store->insert({&job, 1}, noon);
        REQUIRE(!answers.has_value());
        why = answers.error();
        CHECK(times == 2);
    }
    answer_well(*server);
    CHECK(why.code == Errc::unavailable);
    CHECK(why.name == "CONNECTION_LOST");
    CHECK(why.message.find("was lost, and then: ") != std::string::npos);
    REQUIRE(must(store->get(job.id, 0)).has_value());
}

TEST_CASE("while rights or a password are changed, the end of a job waits: it does not become another end") {
    auto* server = failing();
    if (!server) return;
    int code = 0;
    SUBCASE("rights") { code = 13; }
    SUBCASE("credentials") { code = 18; }
    SUBCASE("a majority that cannot be read yet") { code = 134; }
    auto store = open_store(server->uri(server->fresh_database()));
    std::mutex mutex;
    std::condition_variable changed;
    bool refused = false;
    WorkerOptions options;
    options.queues = {{"default", 1}};
    options.poll = 50ms;
    options.log = [&](std::string_view line) {
        const std::scoped_lock lock(mutex);
        refused = refused || line.find("does not take what jobs did") != line.npos;
        changed.notify_all();
    };
    Worker worker(*store, options);
    worker.on("test.a", [&](JobContext&) -> Outcome {
        answer_with(*server, {"update"}, code);
        return completed();
    });
    REQUIRE(worker.start().has_value());
    const auto job = add(*store, system_clock().wall());
    {
        std::unique_lock lock(mutex);
        CHECK(changed.wait_for(lock, 60s, [&] { return refused; }));
    }
    answer_well(*server);
    const auto end = std::chrono::steady_clock::now() + 60s;
    while (!is_final(must(store->get(job, 0))->state) && std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(20ms);
    CHECK(must(store->get(job, 0))->state == JobState::completed);
}
