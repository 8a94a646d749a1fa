// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <atomic>
#include <latch>
#include <thread>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;

TEST_CASE("operations that wait at the same time travel to the server together") {
    constexpr int callers = 16, each = 10;
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    mongo::Options options;
    options.change_streams = false;
    auto store = open_store(server.uri(database), options);
    must(store->count({}, CountBy::nothing));
    std::atomic<int> stored{0};
    {
        std::latch ready(callers);
        std::vector<std::jthread> threads;
        for (int i = 0; i < callers; ++i)
            threads.emplace_back([&] {
                ready.arrive_and_wait();
                for (int k = 0; k < each; ++k) {
                    const auto now = system_clock().wall();
                    auto job = new_job(now);
                    if (store->insert({&job, 1}, now)) ++stored;
                }
            });
    }
    CHECK(stored == callers * each);
    CHECK(must(store->count({}, CountBy::nothing)).front().count == callers * each);
    // One batch of the log is one trip of a group.
    const auto trips = server.find(database, "jobrt_log", mongo::Doc()).size();
    MESSAGE((callers * each) << " inserts of " << callers << " threads in " << trips << " trips");
    CHECK(trips < callers * each / 3);
    CHECK(must(store->events(EventId{0}, {}, 1000)).events.size() == callers * each);
}
