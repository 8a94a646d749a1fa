// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Who lives, as told by one look, whatever the clocks of the machines say.
#include <boost/json.hpp>

#include <jobruntime/api_router.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/testing/manual_clock.hpp>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using namespace std::chrono_literals;

namespace {

constexpr Duration lease{30'000};

SessionInfo only(Store& store) {
    const auto all = must(store.sessions());
    REQUIRE(all.size() == 1);
    return all.front();
}

SessionId beat(Store& store, Time at) {
    SessionFacts facts;
    facts.works = true;
    const auto session = ids().session(at);
    must(store.beat(session, facts, at));
    return session;
}

/// The server heard of it so long ago.
void age(const std::string& database, SessionId session, Duration by) {
    mongo::Doc one, command;
    one.doc("q", mongo::Doc().text("_id", session.str()));
    one.doc("u", mongo::Doc().doc("$set", mongo::Doc().time("heardAt", system_clock().wall() - by)));
    command.text("update", "jobrt_sessions").list("updates", mongo::List().doc(one).made());
    MongoServer::shared().run(database, command);
}

}  // namespace

TEST_CASE("a worker whose clock is ten minutes slow, or fast, seems alive for as long as it beats, and no longer") {
    for (const auto off : {-10min, 10min}) {
        CAPTURE(off.count());
        Two stores;
        const auto session = beat(*stores.first, system_clock().wall() + off);
        CHECK(seems_alive(only(*stores.second), system_clock().wall(), lease));
        age(stores.database, session, lease + 20s);
        CHECK_FALSE(seems_alive(only(*stores.second), system_clock().wall(), lease));
    }
}

TEST_CASE("a reader whose clock is ten minutes off says the same of the workers as all others") {
    for (const auto off : {-10min, 10min}) {
        CAPTURE(off.count());
        Two stores;
        const auto session = beat(*stores.first, system_clock().wall());
        testing::ManualClock clock(system_clock().wall() + off);
        JobQueue queue(*stores.second, {.clock = &clock});
        ApiOptions options;
        options.clock = &clock;
        const auto health = [&] {
            ApiRouter router(queue, options);
            Request request;
            request.target = "/api/worker/health";
            request.headers.emplace_back("host", "127.0.0.1:4000");
            const auto response = router.handle(request);
            return boost::json::parse(std::get<std::string>(response.body)).as_object();
        };
        const auto id = must(queue.enqueue("test.a", {})).id;
        const auto why = [&] { return must(queue.waiting_for(*must(queue.get(id)), lease)); };
        CHECK(why() == "next in line");
        CHECK(health().at("workers") == 1);
        age(stores.database, session, lease + 20s);
        CHECK(why() == "no worker is running; start one with ROLE=worker");
        CHECK(health().at("workers") == 0);
        CHECK(health().at("ageMs").to_number<std::int64_t>() < Duration(2min).count());
    }
}

TEST_CASE("a beat of an older program, which has no time of the server's, is as old as its own clock says") {
    Two stores;
    const auto session = beat(*stores.first, system_clock().wall());
    mongo::Doc one, command;
    one.doc("q", mongo::Doc().text("_id", session.str()));
    one.doc("u", mongo::Doc().doc("$unset", mongo::Doc().integer("heardAt", 1)));
    command.text("update", "jobrt_sessions").list("updates", mongo::List().doc(one).made());
    MongoServer::shared().run(stores.database, command);
    const auto info = only(*stores.second);
    CHECK_FALSE(info.age.has_value());
    CHECK(age_of(info, info.beat_at + 40s) == 40s);
}
