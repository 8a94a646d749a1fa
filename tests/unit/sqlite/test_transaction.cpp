// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Jobs inside a caller's own transaction.
#include "child.hpp"
#include "support.hpp"

using namespace jobruntime;
using namespace jobruntime::sqlite;
using namespace jobruntime::sqlite::test;

namespace {

std::uint64_t jobs_in(jobruntime::Store& store) { return must(store.count({}, CountBy::nothing)).front().count; }

}  // namespace

TEST_CASE("a job is there when the caller's transaction is, and only then") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    Caller caller(store->path());
    caller.exec("CREATE TABLE mine(a)");
    JobId id;
    SUBCASE("committed") {
        caller.exec("BEGIN IMMEDIATE; INSERT INTO mine VALUES(1)");
        auto transaction = must(store->begin(caller.raw()));
        id = insert_one(*transaction);
        CHECK(!must(store->get(id, 0)).has_value());
        caller.exec("COMMIT");
        unsigned heard = 0;
        const auto subscription = store->on_change([&](unsigned hints) { heard |= hints; });
        transaction->committed();
        CHECK((heard & hint_jobs) != 0);
        CHECK(must(store->get(id, 0)).has_value());
        CHECK(jobs_in(*store) == 1);
        CHECK(transaction->insert({}, noon).error().code == Errc::invalid_argument);
    }
    SUBCASE("rolled back") {
        caller.exec("BEGIN; INSERT INTO mine VALUES(1)");
        auto transaction = must(store->begin(caller.raw()));
        id = insert_one(*transaction, new_job("kind.only.here"));
        caller.exec("ROLLBACK");
        CHECK(!must(store->get(id, 0)).has_value());
        CHECK(jobs_in(*store) == 0);
        insert_one(*store, new_job("kind.another"));
        CHECK(must(store->count({}, CountBy::kind)).front().key == "kind.another");
    }
    SUBCASE("rolled back to a savepoint between two jobs") {
        caller.exec("BEGIN IMMEDIATE; SAVEPOINT here");
        auto transaction = must(store->begin(caller.raw()));
        id = insert_one(*transaction, new_job("kind.gone"));
        caller.exec("ROLLBACK TO here");
        const auto second = insert_one(*transaction, new_job("kind.kept"));
        caller.exec("COMMIT");
        CHECK(!must(store->get(id, 0)).has_value());
        CHECK(must(store->get(second, 0))->kind == "kind.kept");
        CHECK(jobs_in(*store) == 1);
    }
}

TEST_CASE("events and unique keys inside a caller's transaction are as outside") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    auto job = new_job();
    job.unique_key = "one";
    const auto first = insert_one(*store, job);
    Caller caller(store->path());
    caller.exec("BEGIN IMMEDIATE");
    auto transaction = must(store->begin(caller.raw()));
    auto again = new_job();
    again.unique_key = "one";
    const auto answers = must(transaction->insert({&again, 1}, noon));
    CHECK(answers[0].how == InsertAnswer::How::existing);
    CHECK(answers[0].id == first);
    const auto other = insert_one(*transaction);
    caller.exec("COMMIT");
    const auto page = must(store->events(EventId{0}, {.job = other}, 10));
    REQUIRE(page.events.size() == 1);
    CHECK(page.events[0].name == "jobs.create.queued");
    CHECK(page.events[0].fields.at("kind") == "test.kind");
}

TEST_CASE("begin refuses what would not be one transaction") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    const auto refused = [&](sqlite3* db) {
        const auto transaction = store->begin(db);
        REQUIRE(!transaction.has_value());
        CHECK(transaction.error().code == Errc::invalid_argument);
    };
    refused(nullptr);
    {
        Caller idle(store->path());
        refused(idle.raw());
    }
    {
        Caller other(scratch / "other.db");
        other.exec("BEGIN");
        refused(other.raw());
        other.exec("ROLLBACK; ATTACH '" + store->path() + "' AS jobs; BEGIN");
        refused(other.raw());
    }
    {
        Caller memory(":memory:");
        memory.exec("BEGIN");
        refused(memory.raw());
    }
    Caller weak(store->path());
    weak.exec("PRAGMA synchronous = NORMAL; BEGIN");
    refused(weak.raw());
    weak.exec("ROLLBACK; PRAGMA synchronous = FULL; BEGIN");
    CHECK(store->begin(weak.raw()).has_value());
    weak.exec("ROLLBACK; PRAGMA synchronous = NORMAL; BEGIN");
    auto options = small_options();
    options.durability = Durability::process_crash;
    CHECK(open_store(store->path(), options)->begin(weak.raw()).has_value());
    // By another name it is the same file.
    std::filesystem::create_hard_link(store->path(), scratch / "same.db");
    std::filesystem::create_symlink(store->path(), scratch / "link.db");
    Caller link(scratch / "link.db");
    link.exec("BEGIN");
    CHECK(store->begin(link.raw()).has_value());
}

TEST_CASE("a transaction that is over takes no more jobs") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    Caller caller(store->path());
    caller.exec("BEGIN");
    auto transaction = must(store->begin(caller.raw()));
    caller.exec("COMMIT");
    const auto job = new_job();
    CHECK(transaction->insert({&job, 1}, noon).error().code == Errc::invalid_argument);
    CHECK(jobs_in(*store) == 0);
}

TEST_CASE("the store waits for a caller's transaction, for busy_timeout") {
    const Scratch scratch;
    auto options = small_options();
    options.busy_timeout = 200ms;
    auto store = open_store(scratch / "jobs.db", options);
    options.busy_timeout = 60s;
    auto patient = open_store(scratch / "jobs.db", options);
    Caller caller(store->path());
    caller.exec("BEGIN IMMEDIATE");
    const auto job = new_job();
    CHECK(store->insert({&job, 1}, noon).error().code == Errc::unavailable);
    std::jthread late([&] {
        std::this_thread::sleep_for(250ms);
        caller.exec("COMMIT");
    });
    CHECK(insert_one(*patient, job) == job.id);
}

TEST_CASE("a caller killed on either side of its commit") {
    const Scratch scratch;
    open_store(scratch / "jobs.db").reset();
    Caller(scratch / "jobs.db").exec("CREATE TABLE mine(a)");
    struct Row {
        const char* failpoint;
        int kept;
    };
    for (const auto& [failpoint, kept] : {Row{"sqlite.transaction.inserted=kill", 0}, Row{"test.before_commit=kill", 0},
                                          Row{"test.after_commit=kill", 1}}) {
        CAPTURE(failpoint);
        const auto rows = [&] { return Caller(scratch / "jobs.db").number("SELECT count(*) FROM mine"); };
        const auto rows_before = rows();
        const auto jobs_before = jobs_in(*open_store(scratch / "jobs.db"));
        Child child({"transact", scratch / "jobs.db"}, failpoint);
        CHECK(child.wait() == -SIGKILL);
        CHECK(rows() - rows_before == kept);
        CHECK(jobs_in(*open_store(scratch / "jobs.db")) - jobs_before == static_cast<std::uint64_t>(kept));
    }
    Child child({"transact", scratch / "jobs.db"});
    CHECK(child.line() == "committed");
    CHECK(child.wait() == 0);
}
