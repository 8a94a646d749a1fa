// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Documents that hands wrote or broke, in numbers: whatever stands in front, the work behind it goes on.
#include <algorithm>
#include <set>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using namespace std::chrono_literals;
using mongo::Doc;
using mongo::List;

namespace {

struct Bench {
    Bench() : database(MongoServer::shared().fresh_database()) {
        mongo::Options options;
        options.change_streams = false;
        options.log = [this](std::string_view line) { said.emplace_back(line); };
        store = open_store(MongoServer::shared().uri(database), options);
        session = begin(*store, noon);
    }

    /// Documents that look like jobs, stand before all others, and make no sense. Without ids they get an
    /// ObjectId, as insertOne does it in the shell.
    void nonsense(int count, std::string_view status, bool with_ids) {
        List list;
        for (int i = 0; i < count; ++i) {
            Doc doc;
            if (with_ids) doc.text("_id", ids().job(noon - 2h).str());
            doc.text("status", status).text("kind", "test.a").text("queue", "default").flag("alone", false);
            doc.integer("priority", -1000).time("runAt", noon - 1h).time("createdAt", noon - 1h);
            list.doc(doc);
        }
        Doc command;
        command.text("insert", "jobrt_jobs").list("documents", list.made());
        MongoServer::shared().run(database, command);
    }

    std::vector<JobId> listed(JobOrder order, int limit) {
        std::vector<JobId> found;
        std::string cursor;
        int pages = 0;
        do {
            const auto page = must(store->list({}, order, cursor, limit, all_parts));
            for (const auto& job : page.jobs) found.push_back(job.id);
            cursor = page.next_cursor;
        } while (!cursor.empty() && ++pages < 100);
        CHECK(pages < 100);
        return found;
    }

    const std::string database;
    std::vector<std::string> said;
    std::unique_ptr<Store> store;
    SessionId session;
};

}  // namespace

TEST_CASE("documents that a hand inserted without a job's id stop neither lists nor claims") {
    Bench bench;
    bench.nonsense(3, "queued", false);
    const auto job = add(*bench.store, noon);
    for (const auto order : {JobOrder::oldest_first, JobOrder::newest_first})
        CHECK(bench.listed(order, 1) == std::vector{job});
    CHECK(must(bench.store->count({}, CountBy::nothing)).front().count == 1);
    const auto claimed = must(claim(*bench.store, bench.session, noon, 1));
    REQUIRE(claimed.jobs.size() == 1);
    CHECK(claimed.jobs[0].id == job);
}

TEST_CASE("however many documents without sense stand in front, lists end and claims find the jobs behind") {
    Bench bench;
    bench.nonsense(600, "queued", true);
    std::vector<JobId> jobs;
    for (int i = 0; i < 3; ++i) jobs.push_back(add(*bench.store, noon + i * 1ms));
    CHECK(bench.listed(JobOrder::oldest_first, 2) == jobs);
    const auto told = bench.said.size();
    // Of each once, and of no more than are of use to anybody.
    CHECK(told > 400);
    CHECK(told < 520);
    CHECK(bench.listed(JobOrder::oldest_first, 2) == jobs);
    std::reverse(jobs.begin(), jobs.end());
    CHECK(bench.listed(JobOrder::newest_first, 2) == jobs);
    std::set<JobId> got;
    for (int i = 0; i < 3; ++i)
        for (const auto& job : must(claim(*bench.store, bench.session, noon + 1s, 1)).jobs)
            got.insert(job.id);
    CHECK(got == std::set<JobId>(jobs.begin(), jobs.end()));
    CHECK(bench.said.size() == told);
}

TEST_CASE("however many documents without sense are due, jobs behind them are promoted") {
    Bench bench;
    bench.nonsense(600, "scheduled", true);
    bench.nonsense(3, "scheduled", false);
    auto later = new_job(noon - 1h);
    later.run_at = noon;
    auto next = new_job(noon - 1h);
    next.run_at = noon + 1h;
    must(bench.store->insert(std::vector{later, next}, noon - 2h));
    const auto promotes = [&] {
        const auto tended = must(bench.store->tend({}, 100, noon));
        CHECK(tended.promoted == 1);
        CHECK(!tended.more);
        CHECK(tended.next_due == next.run_at);
    };
    SUBCASE("by upkeep with a small budget") { promotes(); }
    SUBCASE("by the next claim") {
        const auto claimed = must(claim(*bench.store, bench.session, noon, 1));
        REQUIRE(claimed.jobs.size() == 1);
        CHECK(claimed.jobs[0].id == later.id);
        CHECK(claimed.next_due == next.run_at);
    }
}

TEST_CASE("documents without sense that claim to run here do not keep a lost session's jobs") {
    Bench bench;
    bench.nonsense(12, "running", true);
    bench.nonsense(3, "running", false);
    Doc all, command;
    all.doc("q", Doc().text("status", "running")).flag("multi", true);
    all.doc("u", Doc().doc("$set", Doc().text("workerId", bench.session.str()).number("fence", 1)));
    command.text("update", "jobrt_jobs").list("updates", List().doc(all).made());
    MongoServer::shared().run(bench.database, command);
    std::set<JobId> jobs;
    for (int i = 0; i < 3; ++i) jobs.insert(add(*bench.store, noon));
    REQUIRE(must(claim(*bench.store, bench.session, noon)).jobs.size() == 3);
    std::set<JobId> lost;
    bool more = true;
    for (int i = 0; i < 5 && more; ++i) {
        const auto recovered = must(bench.store->recover(bench.session, 1, Loss::crash, 2, noon));
        REQUIRE(recovered.mine);
        for (const auto& job : recovered.jobs) lost.insert(job.id);
        more = recovered.more;
    }
    CHECK(!more);
    CHECK(lost == jobs);
    must(bench.store->tend({}, 2, noon));
}

TEST_CASE("a document that was mended is a job again") {
    Bench bench;
    const auto job = add(*bench.store, noon);
    edit(bench.database, "jobrt_jobs", job, std::move(Doc().doc("$set", Doc().text("attempt", "many"))));
    CHECK(must(claim(*bench.store, bench.session, noon)).jobs.empty());
    CHECK(bench.listed(JobOrder::oldest_first, 10).empty());
    CHECK(bench.said.size() == 1);
    edit(bench.database, "jobrt_jobs", job, std::move(Doc().doc("$set", Doc().integer("attempt", 0))));
    CHECK(bench.listed(JobOrder::oldest_first, 10) == std::vector{job});
    CHECK(must(claim(*bench.store, bench.session, noon)).jobs.size() == 1);
}

namespace {

/// To which no event can be added any more: MongoDB refuses each change of it, and only of it.
void spoil(const Bench& bench, JobId job) {
    edit(bench.database, "jobrt_jobs", job, std::move(Doc().doc("$set", Doc().text("outbox", "none"))));
}

Note progress_of(const Job& job) {
    Note note;
    note.job = job.id;
    note.fence = job.fence;
    Event event;
    event.name = "worker.job.log";
    event.at = noon;
    note.events.push_back(event);
    return note;
}

bool named(const Bench& bench, JobId job) {
    return std::any_of(bench.said.begin(), bench.said.end(),
                       [&](const std::string& line) { return line.find(job.str()) != line.npos; });
}

}  // namespace

TEST_CASE("a job whose document takes no change stands in the way of no other that is claimed or promoted") {
    Bench bench;
    std::set<JobId> jobs;
    const auto bad = add(*bench.store, noon - 1h);
    for (int i = 0; i < 3; ++i) jobs.insert(add(*bench.store, noon));
    auto later = new_job(noon - 1h);
    later.run_at = noon;
    must(bench.store->insert({&later, 1}, noon - 1h));
    auto spoiled = new_job(noon - 1h);
    spoiled.run_at = noon - 30min;
    must(bench.store->insert({&spoiled, 1}, noon - 1h));
    spoil(bench, bad);
    spoil(bench, spoiled.id);
    jobs.insert(later.id);
    std::set<JobId> got;
    for (int i = 0; i < 5; ++i)
        for (const auto& job : must(claim(*bench.store, bench.session, noon, 1)).jobs) got.insert(job.id);
    CHECK(got == jobs);
    CHECK(named(bench, bad));
    CHECK(named(bench, spoiled.id));
    CHECK(must(bench.store->tend({}, 100, noon)).promoted == 0);
}

TEST_CASE("what is refused of one job is answered to it alone") {
    Bench bench;
    for (int i = 0; i < 3; ++i) add(*bench.store, noon);
    const auto jobs = must(claim(*bench.store, bench.session, noon)).jobs;
    REQUIRE(jobs.size() == 3);
    spoil(bench, jobs[1].id);
    std::vector<Note> notes;
    std::vector<Settlement> settlements;
    std::vector<JobId> all;
    for (const auto& job : jobs) {
        notes.push_back(progress_of(job));
        settlements.push_back(completed(job));
        all.push_back(job.id);
    }
    CHECK(must(bench.store->note(notes, noon)) ==
          std::vector{NoteAnswer::done, NoteAnswer::refused, NoteAnswer::done});
    const auto changed = must(bench.store->change(all, {}, 3, "", noon));
    CHECK(changed.answers[0].how == ChangeAnswer::How::requested);
    CHECK(changed.answers[1].how == ChangeAnswer::How::not_found);
    CHECK(changed.answers[2].how == ChangeAnswer::How::requested);
    SUBCASE("ends, of which each is asked for alone when not all were taken") {
        const auto together = bench.store->settle(settlements, noon);
        REQUIRE(!together.has_value());
        CHECK(together.error().message.find(jobs[1].id.str()) != std::string::npos);
        CHECK(must(bench.store->settle({&settlements[0], 1}, noon)).front().done);
        CHECK(!bench.store->settle({&settlements[1], 1}, noon).has_value());
        CHECK(must(bench.store->settle({&settlements[2], 1}, noon)).front().done);
        CHECK(names_of(*bench.store, jobs[2].id).back() == "worker.job.completed");
    }
    SUBCASE("the recovery of a lost session") {
        const auto recovered = must(bench.store->recover(bench.session, 1, Loss::crash, 10, noon));
        CHECK(recovered.jobs.size() == 2);
        CHECK(!recovered.more);
    }
}

TEST_CASE("while the event log is blocked, a job's log lines go before its document is full") {
    Bench bench;
    const auto id = add(*bench.store, noon);
    const auto job = must(claim(*bench.store, bench.session, noon)).jobs.at(0);
    Doc foreign;
    foreign.number("_id", 3).text("name", "foreign");
    MongoServer::shared().insert(bench.database, "jobrt_log", foreign);
    auto note = progress_of(job);
    note.events.front().fields["line"] = std::string(200'000, 'x');
    for (int i = 0; i < 12; ++i) CHECK(must(bench.store->note({&note, 1}, noon)).front() == NoteAnswer::done);
    Doc one;
    one.text("_id", id.str());
    CHECK(MongoServer::shared().find(bench.database, "jobrt_jobs", one).at(0).size() < 2u << 20);
    CHECK(named(bench, id));
    const auto settlement = completed(job);
    CHECK(must(bench.store->settle({&settlement, 1}, noon)).front().done);
    Doc remove, which;
    which.doc("q", Doc().number("_id", 3)).integer("limit", 1);
    remove.text("delete", "jobrt_log").list("deletes", List().doc(which).made());
    MongoServer::shared().run(bench.database, remove);
    must(bench.store->tend({}, 100, noon));
    const auto names = names_of(*bench.store, id);
    CHECK(names.size() == 3 + 6);
    CHECK(names.back() == "worker.job.completed");
}
