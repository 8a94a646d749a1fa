// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Rows that a hand or a disk has spoiled: each harms itself alone.
#include <algorithm>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/worker.hpp>

#include "support.hpp"

using namespace jobruntime;
using namespace jobruntime::sqlite;
using namespace jobruntime::sqlite::test;

namespace {

/// Writes over a column of a job as no store would.
void spoil(const std::string& path, JobId id, const std::string& assignment) {
    std::string hex = id.str();
    std::erase(hex, '-');
    Caller caller(path);
    caller.exec("UPDATE jobrt_job SET " + assignment + " WHERE id = x'" + hex + "'");
    REQUIRE(sqlite3_changes(caller.raw()) == 1);
}

constexpr const char* bad_payload = "payload = CAST(x'7b2261223a22636166e9227d' AS TEXT)";  // {"a":"caf\xe9"}

}  // namespace

TEST_CASE("a claimed job that cannot be read ends failed alone, and its neighbours are handed out") {
    const Scratch scratch;
    const auto path = scratch / "jobs.db";
    auto store = open_store(path);
    const auto session = new_session();
    begin_session(*store, session);
    std::vector<JobId> ids;
    for (int i = 0; i < 6; ++i) {
        auto job = new_job();
        job.priority = static_cast<std::int16_t>(i);
        ids.push_back(insert_one(*store, job));
    }
    spoil(path, ids[0], bad_payload);
    spoil(path, ids[2], "tags = '{'");
    const auto claimed = claim_some(*store, session, 3);
    REQUIRE(claimed.size() == 1);
    CHECK(claimed[0].id == ids[1]);
    for (const auto spoiled : {ids[0], ids[2]}) {
        const auto rows = must(store->count(JobFilter{.states = {JobState::failed}, .error_code = "CORRUPT"}, CountBy::nothing));
        CHECK(rows.front().count == 2);
        const auto events = must(store->events(0, {.job = spoiled, .name_prefix = "worker.job.failed"}, 10)).events;
        REQUIRE(events.size() == 1);
        CHECK(events[0].fields.at("code") == "CORRUPT");
    }
    // Behind one that cannot be read stands one that can: an answer without a job would say that nothing is due.
    spoil(path, ids[3], bad_payload);
    const auto next = claim_some(*store, session, 1);
    REQUIRE(next.size() == 1);
    CHECK(next[0].id == ids[4]);
    CHECK(complete(*store, next[0]));
}

TEST_CASE("an end that cannot be written for an unreadable job is written with a later claim") {
    const Scratch scratch;
    const auto path = scratch / "jobs.db";
    auto store = open_store(path);
    const auto session = new_session();
    begin_session(*store, session);
    const auto bad = insert_one(*store);
    const auto good = insert_one(*store);
    spoil(path, bad, bad_payload);
    Caller caller(path);
    caller.exec("CREATE TRIGGER no_end BEFORE UPDATE OF finished_at ON jobrt_job WHEN new.state = 4 "
                "BEGIN SELECT RAISE(ABORT, 'not now'); END");
    const auto claimed = claim_some(*store, session, 2);
    REQUIRE(claimed.size() == 1);
    CHECK(claimed[0].id == good);
    CHECK(must(store->get(bad, 0))->state == JobState::running);
    caller.exec("DROP TRIGGER no_end");
    CHECK(claim_some(*store, session, 1).empty());
    CHECK(must(store->get(bad, 0))->state == JobState::failed);
}

TEST_CASE("a listing shows the jobs that can be read, and names the others") {
    const Scratch scratch;
    const auto path = scratch / "jobs.db";
    auto store = open_store(path);
    std::vector<JobId> ids;
    for (int i = 0; i < 4; ++i) ids.push_back(insert_one(*store));
    spoil(path, ids[1], bad_payload);
    spoil(path, ids[2], "result = 'nonsense'");
    const auto page = must(store->list({}, JobOrder::oldest_first, "", 10, all_parts));
    REQUIRE(page.jobs.size() == 2);
    CHECK(page.jobs[0].id == ids[0]);
    CHECK(page.jobs[1].id == ids[3]);
    CHECK(page.unreadable == std::vector<JobId>{ids[1], ids[2]});
    const auto read = store->get(ids[1], all_parts);
    REQUIRE_FALSE(read);
    CHECK(read.error().code == Errc::corrupt);
    CHECK(read.error().message.find(ids[1].str()) != std::string::npos);
    CHECK(must(store->get(ids[1], 0))->id == ids[1]);
    // It can be got rid of.
    CHECK(must(store->change(std::vector<JobId>{ids[1]}, {.action = Action::remove}, 1, "", noon)).answers[0].how ==
          ChangeAnswer::How::done);
}

TEST_CASE("a worker runs what stands beside a job that cannot be read") {
    const Scratch scratch;
    const auto path = scratch / "jobs.db";
    auto store = open_store(path);
    JobQueue queue(*store);
    std::vector<JobId> ids;
    for (int i = 0; i < 20; ++i) ids.push_back(must(queue.enqueue("k", {{"n", i}})).id);
    for (std::size_t i = 0; i < ids.size(); i += 4) spoil(path, ids[i], bad_payload);
    Worker worker(*store);
    worker.on("k", [](JobContext&) { return completed(); });
    REQUIRE(worker.start());
    for (std::size_t i = 0; i < ids.size(); ++i) {
        CAPTURE(i);
        if (i % 4 != 0) CHECK(must(queue.wait(ids[i], 20s)).state == JobState::completed);
        else CHECK(soon([&] { return must(queue.get(ids[i], 0))->state == JobState::failed; }));
    }
    worker.stop();
}
