// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What processes that died half-way and answers that never came leave behind, and how it is mended.
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/worker.hpp>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using namespace std::chrono_literals;

namespace {

void check_ids(Store& store) {
    EventId last = 0;
    for (const auto& event : must(store.events(EventId{0}, {}, 2000)).events) {
        CHECK(event.id == last + 1);
        last = event.id;
    }
}

}  // namespace

TEST_CASE("events of a process that died between a change and the log are told once, by whoever comes next") {
    Two stores;
    JobId id;
    {
        const Failpoint died("mongo.before_append", 100);
        id = add(*stores.first, noon);
        const auto session = begin(*stores.first, noon);
        const auto job = must(claim(*stores.first, session, noon)).jobs.at(0);
        const auto settlement = completed(job);
        CHECK(must(stores.first->settle({&settlement, 1}, noon)).front().done);
        CHECK(names_of(*stores.second, id).empty());
    }
    must(stores.second->tend({}, 100, noon));
    const std::vector<std::string> story{"jobs.create.queued", "worker.job.claimed", "worker.job.completed"};
    CHECK(names_of(*stores.second, id) == story);
    must(stores.first->tend({}, 100, noon));
    CHECK(names_of(*stores.first, id) == story);
    for (const auto& event : must(stores.second->events(EventId{0}, {}, 10)).events)
        CHECK(event.source == "first");
    check_ids(*stores.first);
}

TEST_CASE("events of a process that died between the log and its outbox are not told again") {
    Two stores;
    JobId id;
    {
        const Failpoint died("mongo.before_empty", 100);
        id = add(*stores.first, noon);
        CHECK(names_of(*stores.second, id).size() == 1);
    }
    must(stores.second->tend({}, 100, noon));
    must(stores.second->tend({}, 100, noon));
    // A change that brings what the outbox still held, too.
    const auto session = begin(*stores.second, noon);
    must(claim(*stores.second, session, noon));
    CHECK(names_of(*stores.second, id) ==
          std::vector<std::string>{"jobs.create.queued", "worker.job.claimed"});
    check_ids(*stores.second);
}

TEST_CASE("a deletion that stopped half-way hides the job at once and is ended later") {
    Two stores;
    const auto id = add(*stores.first, noon);
    {
        const Failpoint died("mongo.before_append", 100);
        Change remove;
        remove.action = Action::remove;
        must(stores.first->change(std::vector{id}, remove, 1, "", noon));
        CHECK(!must(stores.second->get(id, 0)).has_value());
        CHECK(must(stores.second->count({}, CountBy::nothing)).front().count == 0);
    }
    must(stores.second->tend({}, 100, noon));
    CHECK(names_of(*stores.second, id).back() == "jobs.deleted");
    mongo::Doc all;
    CHECK(MongoServer::shared().find(stores.database, "jobrt_jobs", all).empty());
}

TEST_CASE("a claim whose answer was lost is read back by its token") {
    Two stores;
    for (int i = 0; i < 5; ++i) add(*stores.first, noon);
    const auto session = begin(*stores.first, noon);
    const Failpoint lost("mongo.commit_answer", 1);
    const auto claimed = must(claim(*stores.first, session, noon, 3));
    CHECK(claimed.jobs.size() == 3);
    CHECK(must(claim(*stores.second, begin(*stores.second, noon), noon)).jobs.size() == 2);
}

TEST_CASE("a claim of which nothing was heard goes back into the queue, no attempt spent") {
    Two stores;
    const auto id = add(*stores.first, noon);
    const auto session = begin(*stores.first, noon);
    {
        const Failpoint answer("mongo.commit_answer", 1);
        const Failpoint look("mongo.commit_look", 1);
        const auto claimed = claim(*stores.first, session, noon);
        REQUIRE(!claimed.has_value());
        CHECK(claimed.error().code == Errc::unavailable);
    }
    CHECK(must(stores.second->get(id, 0))->state == JobState::running);
    SUBCASE("with the next claim") {
        const auto claimed = must(claim(*stores.first, session, noon));
        REQUIRE(claimed.jobs.size() == 1);
        CHECK(claimed.jobs[0].attempt == 1);
        CHECK(claimed.jobs[0].fence > Fence{1});
    }
    SUBCASE("with the next beat") {
        must(stores.first->beat(session, {}, noon));
        const auto job = must(stores.second->get(id, 0));
        CHECK(job->state == JobState::queued);
        CHECK(job->attempt == 0);
        CHECK(job->crashes == 0);
    }
}

TEST_CASE("a settlement of which nothing was heard is done when it is repeated, and done once") {
    Two stores;
    const auto id = add(*stores.first, noon);
    const auto job = must(claim(*stores.first, begin(*stores.first, noon), noon)).jobs.at(0);
    const auto settlement = completed(job);
    {
        const Failpoint answer("mongo.commit_answer", 1);
        const Failpoint look("mongo.commit_look", 1);
        CHECK(!stores.first->settle({&settlement, 1}, noon).has_value());
    }
    const auto again = must(stores.first->settle({&settlement, 1}, noon)).front();
    CHECK(again.done);
    CHECK(again.state == JobState::completed);
    CHECK(!must(stores.first->settle({&settlement, 1}, noon)).front().done);
    CHECK(!must(stores.second->settle({&settlement, 1}, noon)).front().done);
    must(stores.second->tend({}, 100, noon));
    CHECK(names_of(*stores.second, id) ==
          std::vector<std::string>{"jobs.create.queued", "worker.job.claimed", "worker.job.completed"});
}

TEST_CASE("jobs that a session got after it was declared dead run again") {
    Two stores;
    const auto id = add(*stores.first, noon);
    const auto session = begin(*stores.first, noon);
    const auto job = must(claim(*stores.first, session, noon)).jobs.at(0);
    // As if whoever declared it dead had died before it came to this job.
    mongo::Doc update;
    update.text("update", "jobrt_sessions");
    mongo::Doc one;
    one.doc("q", mongo::Doc().text("_id", session.str()));
    one.doc("u", mongo::Doc().doc("$set", mongo::Doc().flag("declaredDead", true).text("loss", "crash")));
    update.list("updates", mongo::List().doc(one).made());
    MongoServer::shared().run(stores.database, update);
    must(stores.second->tend({}, 100, noon));
    CHECK(must(stores.second->get(id, 0))->state == JobState::queued);
    CHECK(must(stores.second->get(id, 0))->crashes == 1);
    const auto late = completed(job);
    CHECK(!must(stores.first->settle({&late, 1}, noon)).front().done);
}

TEST_CASE("jobs that were pruned are named, though the answer was lost or what came behind them failed") {
    Two stores;
    std::set<JobId> jobs;
    for (int i = 0; i < 3; ++i) jobs.insert(add(*stores.first, noon));
    const auto session = begin(*stores.first, noon);
    for (const auto& job : must(claim(*stores.first, session, noon)).jobs) {
        const auto settlement = completed(job);
        must(stores.first->settle({&settlement, 1}, noon));
    }
    const auto later = noon + Retention{}.completed + 1h;
    std::vector<JobId> pruned;
    const auto upkeep = [&] {
        const auto tended = stores.first->tend({}, 100, later);
        if (!tended) return false;
        CHECK(tended->pruned_jobs == tended->pruned.size());
        pruned.insert(pruned.end(), tended->pruned.begin(), tended->pruned.end());
        return true;
    };
    SUBCASE("the answer, once") {
        const Failpoint lost("mongo.prune_answer", 1);
        CHECK(upkeep());
    }
    SUBCASE("the answer, and the connection stays away") {
        {
            const Failpoint lost("mongo.prune_answer", 1);
            const Failpoint look("mongo.prune_look", 1);
            CHECK(!upkeep());
        }
        CHECK(upkeep());
    }
    SUBCASE("the pruning of events failed") {
        {
            const Failpoint events("mongo.prune_events", 2);
            CHECK(!upkeep());
        }
        CHECK(upkeep());
    }
    CHECK(upkeep());
    CHECK(pruned.size() == 3);
    CHECK(std::set<JobId>(pruned.begin(), pruned.end()) == jobs);
}

TEST_CASE("an event about no attempt, told again because its answer was lost, is in the log once") {
    Two stores;
    const auto id = add(*stores.first, noon);
    std::vector<Note> notes(3);
    for (auto& note : notes) note.events.resize(1);
    for (auto& note : notes) note.events[0].at = noon;
    notes[0].events[0].name = notes[1].events[0].name = "test.twin";  // Two that say the same are two.
    notes[2].events[0].name = "test.of-a-job";
    notes[2].job = id;
    {
        const Failpoint lost("mongo.append_answer", 1);
        const auto told = stores.first->note(notes, noon);
        REQUIRE(!told.has_value());
        CHECK(told.error().code == Errc::unavailable);
    }
    for (const auto answer : must(stores.first->note(notes, noon))) CHECK(answer == NoteAnswer::done);
    CHECK(must(stores.second->events(EventId{0}, {}, 10)).events.size() == 4);
    // The same words later are another event.
    must(stores.first->note(notes, noon));
    CHECK(must(stores.second->events(EventId{0}, {}, 10)).events.size() == 7);
    check_ids(*stores.second);
}

TEST_CASE("a page of events that was pruned while it was read says so") {
    Two stores;
    for (int i = 0; i < 5; ++i) add(*stores.first, noon);
    int times = 1;
    // As the upkeep of another process does it, between two commands of the read.
    const Failpoint meanwhile("mongo.between_reads", [&] {
        if (times-- <= 0) return false;
        mongo::Doc remove, one, move, to;
        one.doc("q", mongo::Doc().doc("_id", mongo::Doc().number("$lte", 3))).integer("limit", 0);
        remove.text("delete", "jobrt_log").list("deletes", mongo::List().doc(one).made());
        to.doc("q", mongo::Doc().doc("_id", mongo::Doc().text("jobrt", "log"))).flag("upsert", true);
        to.doc("u", mongo::Doc().doc("$set", mongo::Doc().number("prunedThrough", 3)));
        move.text("update", "jobrt_records").list("updates", mongo::List().doc(to).made());
        MongoServer::shared().run(stores.database, move);
        MongoServer::shared().run(stores.database, remove);
        return false;
    });
    const auto page = must(stores.second->events(EventId{1}, {}, 10));
    CHECK(page.truncated);
    CHECK(page.oldest == 4);
    REQUIRE(page.events.size() == 2);
    CHECK(page.events.front().id == 4);
    const auto next = must(stores.second->events(page.next, {}, 10));
    CHECK(!next.truncated);
    CHECK(next.events.empty());
}

namespace {

/// A machine whose wall clock is wrong.
class Shifted final : public Clock {
public:
    explicit Shifted(Duration shift) : shift_(shift) {}
    Time wall() const override { return system_clock().wall() + shift_; }
    SteadyTime steady() const override { return system_clock().steady(); }
    Woken wait_until(SteadyTime deadline, Wakeup& wakeup, std::stop_token stop) override {
        return system_clock().wait_until(deadline, wakeup, stop);
    }

private:
    const Duration shift_;
};

}  // namespace

TEST_CASE("two workers whose clocks are ten minutes apart never steal from each other") {
    Two stores;
    Shifted behind(-5min), ahead(5min);
    std::mutex mutex;
    std::condition_variable changed;
    std::map<std::string, int> runs;
    bool let_go = false;
    const auto options = [](Clock& clock) {
        WorkerOptions made;
        made.queues = {{"default", 2}};
        made.poll = 50ms;
        made.clock = &clock;
        made.upkeep = 100ms;
        made.heartbeat.clock = &clock;
        made.heartbeat.beat = 100ms;
        made.heartbeat.lease = 5s;
        return made;
    };
    const auto handler = [&](JobContext& job) -> Outcome {
        std::unique_lock lock(mutex);
        ++runs[job.job().id.str()];
        changed.notify_all();
        changed.wait(lock, [&] { return let_go || job.stop().stop_requested(); });
        return completed();
    };
    Worker first(*stores.first, options(behind)), second(*stores.second, options(ahead));
    first.on("test.a", handler);
    second.on("test.a", handler);
    REQUIRE(first.start().has_value());
    REQUIRE(second.start().has_value());
    std::vector<JobId> jobs;
    for (int i = 0; i < 4; ++i) jobs.push_back(add(*stores.first, behind.wall()));
    {
        std::unique_lock lock(mutex);
        REQUIRE(changed.wait_for(lock, 60s, [&] { return runs.size() == 4; }));
        // More than a lease, in which each of them beats, watches the other, and does the upkeep.
        changed.wait_for(lock, 7s, [&] {
            for (const auto& [id, count] : runs)
                if (count > 1) return true;
            return false;
        });
        let_go = true;
        changed.notify_all();
    }
    const auto end = std::chrono::steady_clock::now() + 60s;
    JobFilter done;
    done.states = {JobState::completed};
    while (must(stores.first->count(done, CountBy::nothing)).front().count < 4 &&
           std::chrono::steady_clock::now() < end)
        std::this_thread::sleep_for(20ms);
    for (const auto id : jobs) {
        CHECK(runs[id.str()] == 1);
        CHECK(must(stores.first->get(id, 0))->crashes == 0);
        CHECK(must(stores.first->get(id, 0))->state == JobState::completed);
    }
}

TEST_CASE("where the server pushes changes, another store hears of them without polling") {
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    mongo::Options options;
    options.poll = 600s;  // Far longer than this test waits.
    auto writer = open_store(server.uri(database), options),
         listener = open_store(server.uri(database), options);
    must(listener->count({}, CountBy::nothing));
    std::mutex mutex;
    std::condition_variable rung;
    unsigned heard = 0;
    const auto subscription = listener->on_change([&](unsigned hints) {
        const std::scoped_lock lock(mutex);
        heard |= hints;
        rung.notify_all();
    });
    const auto comes = [&](unsigned wanted) {
        std::unique_lock lock(mutex);
        const bool came = rung.wait_for(lock, 60s, [&] { return (heard & wanted) == wanted; });
        heard = 0;
        return came;
    };
    // The first look of a listener tells of everything that may have been; the second comes when the stream
    // is there.
    REQUIRE(comes(hint_records | hint_jobs));
    must(writer->put("key", "1", 0));
    CHECK(comes(hint_records));
    add(*writer, noon);
    CHECK(comes(hint_jobs | hint_events));
}

TEST_CASE(
    "a job may be as large as the limits say, and checkpoints beyond what a document holds are refused") {
    Two stores;
    auto given = new_job(noon);
    given.payload = "{\"list\":[" + std::string(limits::payload - 12, '1') + "]}";
    for (std::size_t i = 10; i + 3 < given.payload.size(); i += 2) given.payload[i] = ',';
    must(stores.first->insert({&given, 1}, noon));
    const auto job = must(claim(*stores.first, begin(*stores.first, noon), noon)).jobs.at(0);
    const std::string large = "\"" + std::string(limits::result - 2, 's') + "\"";
    int kept = 0;
    for (int i = 0; i < 12; ++i) {
        Note note;
        note.job = job.id;
        note.fence = job.fence;
        note.step_name = "step-" + std::to_string(i);
        note.step_value = large;
        if (must(stores.first->note({&note, 1}, noon)).front() == NoteAnswer::done) ++kept;
    }
    CHECK(kept == 9);
    auto settlement = completed(job);
    settlement.result = "[1";
    while (settlement.result.size() + 3 < limits::result) settlement.result += ",1";
    settlement.result += "]";
    CHECK(must(stores.first->settle({&settlement, 1}, noon)).front().done);
    const auto read = must(stores.second->get(job.id, all_parts));
    CHECK(read->steps.size() == 9);
    CHECK(read->result.as_array().size() > 500'000);
    CHECK(read->payload.at("list").as_array().size() > 100'000);
}
