// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What another process wrote is on the primary and meets us there, but a majority of the members does not
// have it yet, so that safe reads do not show it.
#include <algorithm>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using namespace std::chrono_literals;

namespace {

Note loose(std::string name) {
    Event event;
    event.name = std::move(name);
    event.at = noon;
    Note note;
    note.events.push_back(std::move(event));
    return note;
}

bool blames_a_document(const Two& stores) {
    return std::any_of(stores.said.begin(), stores.said.end(),
                       [](const std::string& line) { return line.find("delete it") != line.npos; });
}

}  // namespace

TEST_CASE("a batch of the log that a majority does not have yet is waited for") {
    Two stores(60s);  // However slow the server is.
    must(stores.second->note(std::vector{loose("test.zero")}, noon));
    add(*stores.first, noon);
    // In the second's eyes the log still ends before it.
    const Failpoint behind("mongo.tail_lags", 8);
    const auto note = loose("test.one");
    CHECK(must(stores.second->note({&note, 1}, noon)).front() == NoteAnswer::done);
    const auto page = must(stores.first->events(EventId{0}, {}, 10));
    REQUIRE(page.events.size() == 3);
    CHECK(page.events.back().name == "test.one");
    CHECK(!blames_a_document(stores));
}

TEST_CASE("a reader who has seen more of the log than a new primary knows to be confirmed reads on") {
    Two stores;
    must(stores.first->note(std::vector{loose("test.one")}, noon));
    must(stores.first->note(std::vector{loose("test.two")}, noon));
    const auto seen = must(stores.second->events(EventId{0}, {}, 10)).next;
    {
        const Failpoint behind("mongo.tail_lags", 1);
        const auto page = must(stores.second->events(seen, {}, 10));
        CHECK_FALSE(page.truncated);
        CHECK(page.events.empty());
        CHECK(page.next == seen);
    }
    must(stores.first->note(std::vector{loose("test.three")}, noon));
    const auto page = must(stores.second->events(seen, {}, 10));
    CHECK_FALSE(page.truncated);
    REQUIRE(page.events.size() == 1);
    CHECK(page.events.front().name == "test.three");
    CHECK(must(stores.second->events(page.next + 1, {}, 10)).truncated);  // Nobody can have seen that one here.
}

TEST_CASE("a majority that stays behind is no foreign document: nobody is told to delete one") {
    Two stores(300ms);
    add(*stores.first, noon);
    const auto note = loose("test.one");
    {
        const Failpoint behind("mongo.tail_lags", 100'000);
        const auto answer = stores.second->note({&note, 1}, noon);
        REQUIRE(!answer.has_value());
        CHECK(answer.error().code == Errc::unavailable);
        CHECK(answer.error().message.find("majority") != std::string::npos);
        CHECK(!blames_a_document(stores));
    }
    CHECK(must(stores.second->note({&note, 1}, noon)).front() == NoteAnswer::done);
    CHECK(must(stores.first->events(EventId{0}, {}, 10)).events.size() == 2);
}

TEST_CASE(
    "a job whose key is held by one that a majority does not have yet waits for it, and is not refused") {
    auto held = new_job(noon), late = new_job(noon);
    held.unique_key = late.unique_key = "post:1";
    SUBCASE("until it is there") {
        Two stores(60s);  // However slow the server is.
        must(stores.first->insert({&held, 1}, noon));
        const Failpoint behind("mongo.holders_lag", 23);
        const auto answer = must(stores.second->insert({&late, 1}, noon)).front();
        CHECK(!answer.refused);
        CHECK(answer.how == InsertAnswer::How::existing);
        CHECK(answer.id == held.id);
    }
    SUBCASE("or answers that it may be tried again") {
        Two stores(300ms);
        must(stores.first->insert({&held, 1}, noon));
        const Failpoint behind("mongo.holders_lag", 100'000);
        const auto answer = stores.second->insert({&late, 1}, noon);
        REQUIRE(!answer.has_value());
        CHECK(answer.error().code == Errc::unavailable);
    }
}

TEST_CASE("what a claim took unseen, because its answer was lost and a majority is behind, comes back") {
    Two stores;
    for (int i = 0; i < 5; ++i) add(*stores.first, noon);
    const auto session = begin(*stores.first, noon);
    std::vector<Job> mine;
    {
        const Failpoint lost("mongo.commit_answer", 1);
        const Failpoint behind("mongo.look_lags", 2);  // Three of the five are found, two are not.
        mine = must(claim(*stores.first, session, noon)).jobs;
    }
    REQUIRE(mine.size() == 3);
    const auto running = [&] {
        JobFilter filter;
        filter.states = {JobState::running};
        return must(stores.second->count(filter, CountBy::nothing)).front().count;
    };
    CHECK(running() == 5);
    SUBCASE("with the next beat, no attempt spent, and those that are worked on stay") {
        must(stores.first->beat(session, {}, noon));
        CHECK(running() == 3);
        JobFilter waits;
        waits.states = {JobState::queued};
        for (const auto& job : must(stores.second->list(waits, JobOrder::oldest_first, "", 10, 0)).jobs)
            CHECK(job.attempt == 0);
        for (const auto& job : mine) {
            const auto settlement = completed(job);
            CHECK(must(stores.first->settle({&settlement, 1}, noon)).front().done);
        }
    }
    SUBCASE("with the next claim") {
        const auto more = must(claim(*stores.first, session, noon)).jobs;
        CHECK(more.size() == 2);
        for (const auto& job : more) CHECK(job.attempt == 1);
        must(stores.first->beat(session, {}, noon));
        CHECK(running() == 5);
    }
}

TEST_CASE("a claim that arrives late, when its token was looked for already, is given back, too") {
    Two stores;
    const auto id = add(*stores.first, noon);
    const auto session = begin(*stores.first, noon);
    {
        const Failpoint answer("mongo.commit_answer", 1);
        const Failpoint look("mongo.commit_look", 1);
        REQUIRE(!claim(*stores.first, session, noon).has_value());
    }
    must(stores.first->beat(session, {}, noon));
    CHECK(must(stores.second->get(id, 0))->state == JobState::queued);
    // As if one more document of that claim became visible only now.
    edit(stores.database, "jobrt_jobs", id,
         std::move(mongo::Doc()
                       .doc("$set", mongo::Doc().text("status", "running"))
                       .doc("$inc", mongo::Doc().number("rev", 1).integer("attempt", 1))));
    must(stores.first->beat(session, {}, noon));
    CHECK(must(stores.second->get(id, 0))->state == JobState::queued);
}

TEST_CASE("a job of a session whose row a majority is not known to have is not taken for one of a vanished process") {
    Two stores;
    const auto id = add(*stores.first, noon);
    const auto job = must(claim(*stores.first, begin(*stores.first, noon), noon)).jobs.at(0);
    {
        const Failpoint behind("mongo.sessions_lag", 1);
        must(stores.second->tend({}, 100, noon));
    }
    CHECK(must(stores.second->get(id, 0))->state == JobState::running);
    const auto settlement = completed(job);
    CHECK(must(stores.first->settle({&settlement, 1}, noon)).front().done);
}
