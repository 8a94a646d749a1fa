// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <atomic>
#include <latch>
#include <thread>
#include <utility>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using namespace std::chrono_literals;

namespace {

}  // namespace

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

TEST_CASE("a job that is asked to stop before its claimer has found it is given back, and not left running") {
    Two stores;
    for (int i = 0; i < 2; ++i) add(*stores.first, noon);
    const auto session = begin(*stores.first, noon), other = begin(*stores.second, noon);
    JobId asked;
    {
        // Both are about to be claimed; somebody else is quicker with one, so that the answer is a total only.
        bool rival = false;
        const Failpoint quicker("mongo.before_commit", [&] {
            if (std::exchange(rival, true)) return false;
            CHECK(must(claim(*stores.second, other, noon, 1)).jobs.size() == 1);
            return false;
        });
        const Failpoint between("mongo.commit_look", [&] {
            JobFilter mine;
            mine.session = session;
            const auto page = must(stores.second->list(mine, JobOrder::oldest_first, "", 10, 0));
            CHECK(page.jobs.size() == 1);
            for (const auto& job : page.jobs) {
                asked = job.id;
                must(stores.second->change(std::vector{asked}, {}, 1, "", noon));
            }
            return false;
        });
        CHECK(must(claim(*stores.first, session, noon)).jobs.empty());
    }
    REQUIRE(asked);
    REQUIRE(must(stores.second->get(asked, 0))->state == JobState::running);
    must(stores.first->beat(session, {}, noon));
    CHECK(must(stores.second->get(asked, 0))->state == JobState::canceled);
    JobFilter runs;
    runs.states = {JobState::running};
    CHECK(must(stores.first->count(runs, CountBy::nothing)).front().count == 1);
}

TEST_CASE("many jobs with keys are retried by few questions to the server, and each that another is in the way of by one more") {
    constexpr int jobs = 40;
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    mongo::Options options;
    options.change_streams = false;
    auto store = open_store(server.uri(database), options);
    std::vector<JobId> ids;
    const auto insert = [&](int key) {
        auto job = new_job(noon);
        job.unique_key = "key " + std::to_string(key);
        CHECK(!must(store->insert({&job, 1}, noon)).front().refused);
        return job.id;
    };
    const auto change = [&](std::vector<JobId> which, Action action) {
        return must(store->change(std::move(which), {.action = action}, jobs, "", noon)).answers;
    };
    for (int i = 0; i < jobs; ++i) ids.push_back(insert(i));
    change(ids, Action::cancel);
    const auto other = insert(7);
    const auto questions = [&] {
        const auto said = server.run("admin", std::move(mongo::Doc().integer("serverStatus", 1)));
        const auto counters = mongo::View(said).doc("opcounters");
        REQUIRE(counters);
        return counters->number("query").value_or(-1);
    };
    const auto before = questions();
    const auto answers = change(ids, Action::retry);
    const auto asked = questions() - before;
    for (int i = 0; i < jobs; ++i)
        CHECK(answers[static_cast<std::size_t>(i)].how == (i == 7 ? ChangeAnswer::How::conflict : ChangeAnswer::How::done));
    CHECK(answers[7].other == other);
    MESSAGE("counts: ", jobs, " jobs retried by ", asked, " questions");
    CHECK(asked > 0);
    // Who else uses a real server asks meanwhile, too.
    CHECK(asked < jobs / 2);
}
