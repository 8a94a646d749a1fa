// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Who else lives in the database, and what hands have done to it.
#include <set>

#include "mongo/driver.hpp"
#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using namespace std::chrono_literals;
using mongo::Doc;
using mongo::List;
using mongo::View;

namespace {

}  // namespace

TEST_CASE("the old application shares the database: its claims never see our jobs, nor ours its") {
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    Doc theirs;
    theirs.text("tweetUrl", "https://x.com/a/status/1").text("canonicalUrl", "https://x.com/a/status/1");
    theirs.text("status", "queued").text("kind", "test.a").text("queue", "default").time("createdAt", noon);
    server.insert(database, "jobs", theirs);
    auto store = open_store(server.uri(database));
    const auto mine = add(*store, noon);

    Doc claim_theirs;
    claim_theirs.text("findAndModify", "jobs").doc("query", Doc().text("status", "queued"));
    claim_theirs.doc("sort", Doc().integer("createdAt", 1))
        .doc("update", Doc().doc("$set", Doc().text("status", "running")));
    auto answer = server.run(database, claim_theirs);
    REQUIRE(View(answer).doc("value").has_value());
    CHECK(View(answer).doc("value")->text("tweetUrl") == "https://x.com/a/status/1");
    answer = server.run(database, claim_theirs);
    CHECK(!View(answer).doc("value").has_value());

    const auto claimed = must(claim(*store, begin(*store, noon), noon));
    REQUIRE(claimed.jobs.size() == 1);
    CHECK(claimed.jobs[0].id == mine);
    must(store->put("key", "1", 0));
    must(store->tend({}, 100, noon + 24h * 365));
    CHECK(server.find(database, "jobs", Doc()).size() == 1);

    const auto listed =
        server.run(database, std::move(Doc().integer("listCollections", 1).flag("nameOnly", true)));
    std::set<std::string> names;
    View(listed).doc("cursor")->list("firstBatch")->each_doc([&](const View& one) {
        names.insert(one.text_or("name"));
    });
    CHECK(names ==
          std::set<std::string>{"jobs", "jobrt_jobs", "jobrt_log", "jobrt_records", "jobrt_sessions"});
}

TEST_CASE("documents are there for people: names of the API, states in words, payloads as documents") {
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    auto store = open_store(server.uri(database));
    auto job = new_job(noon);
    job.payload = R"({"to":"ada"})";
    job.unique_key = "welcome:ada";
    must(store->insert({&job, 1}, noon));
    const auto docs = server.find(database, "jobrt_jobs", Doc());
    REQUIRE(docs.size() == 1);
    const View doc(docs[0]);
    CHECK(doc.text("_id") == job.id.str());
    CHECK(doc.text("status") == "queued");
    CHECK(doc.text("kind") == "test.a");
    CHECK(doc.doc("payload")->text("to") == "ada");
    CHECK(doc.time("runAt") == noon);
    CHECK(doc.text("uniqueKey") == "welcome:ada");
    CHECK(doc.number("attempt") == 0);
}

TEST_CASE("documents that make no sense are skipped, told of once, and stand in nobody's way") {
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    std::vector<std::string> said;
    mongo::Options options;
    options.log = [&](std::string_view line) { said.emplace_back(line); };
    auto store = open_store(server.uri(database), options);
    const auto session = begin(*store, noon);
    std::vector<JobId> ids;
    for (int i = 0; i < 12; ++i) ids.push_back(add(*store, noon));
    // Each of the first ten broken in another way; they stand first in the line.
    const Doc changes[] = {
        std::move(Doc().doc("$set", Doc().text("attempt", "many"))),
        std::move(Doc().doc("$set", Doc().integer("priority", 1'000'000).integer("attempt", -3))),
        std::move(Doc().doc("$unset", Doc().integer("rev", 1))),
        std::move(Doc().doc("$set", Doc().text("fence", "x"))),
        std::move(Doc().doc("$unset", Doc().integer("payload", 1))),
        std::move(Doc().doc("$set", Doc().text("payload", "no object"))),
        std::move(Doc().doc("$set", Doc().text("runAt", "soon"))),
        std::move(Doc().doc("$unset", Doc().integer("createdAt", 1))),
        std::move(Doc().doc("$set", Doc().doc("crashes", Doc()))),
        std::move(Doc().doc("$set", Doc().time("finishedAt", noon))),
    };
    for (std::size_t i = 0; i < std::size(changes); ++i) edit(database, "jobrt_jobs", ids[i], changes[i]);
    edit(database, "jobrt_jobs", ids[11],
         std::move(Doc().doc("$set", Doc().text("progress", "half").text("tags", "a").text("errors", "b"))));

    std::set<JobId> got;
    for (int i = 0; i < 5; ++i)
        for (const auto& job : must(claim(*store, session, noon, 3)).jobs) got.insert(job.id);
    CHECK(got == std::set<JobId>{ids[10], ids[11]});
    CHECK(said.size() >= 8);
    const auto before = said.size();
    must(claim(*store, session, noon, 3));
    CHECK(said.size() == before);
    // Reading one by its id says what is wrong; lists leave it out; nothing crashes.
    const auto one = store->get(ids[0], all_parts);
    REQUIRE(!one.has_value());
    CHECK(one.error().code == Errc::corrupt);
    CHECK(one.error().message.find(ids[0].str()) != std::string::npos);
    std::set<JobId> listed;
    std::string cursor;
    do {
        const auto page = must(store->list({}, JobOrder::oldest_first, cursor, 2, all_parts));
        for (const auto& job : page.jobs) listed.insert(job.id);
        cursor = page.next_cursor;
    } while (!cursor.empty());
    CHECK(listed.contains(ids[10]));
    CHECK(!listed.contains(ids[0]));
    must(store->count({}, CountBy::queue_and_state));
    // Nor can one be stored again under such an id; its neighbours can.
    std::vector<NewJob> again{new_job(noon), new_job(noon)};
    again[0].id = ids[0];
    const auto answers = must(store->insert(again, noon));
    REQUIRE(answers[0].refused.has_value());
    CHECK(answers[0].refused->code == Errc::corrupt);
    CHECK(answers[0].refused->message.find(ids[0].str()) != std::string::npos);
    CHECK(!answers[1].refused);
    Change cancel;
    for (const auto& id : ids) must(store->change(std::vector{id}, cancel, 1, "", noon));
    must(store->tend({}, 100, noon));
}

TEST_CASE("foreign documents in our collections harm nobody") {
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    auto store = open_store(server.uri(database));
    add(*store, noon);
    Doc foreign;
    foreign.text("name", "foreign").integer("status", 5).text("workerId", "me");
    server.insert(database, "jobrt_jobs", foreign);
    server.insert(database, "jobrt_sessions", foreign);
    server.insert(database, "jobrt_records", foreign);
    Doc log;
    log.integer("last", 7).text("keys", "foreign");
    server.insert(database, "jobrt_log", log);
    Doc wrong_state;
    wrong_state.text("_id", "not-a-job").text("status", "running").integer("workerId", 3);
    server.insert(database, "jobrt_jobs", wrong_state);

    const auto session = begin(*store, noon);
    CHECK(must(claim(*store, session, noon)).jobs.size() == 1);
    CHECK(must(store->list({}, JobOrder::newest_first, "", 10, all_parts)).jobs.size() == 1);
    CHECK(must(store->sessions()).size() == 1);
    CHECK(must(store->records("")).empty());
    CHECK(must(store->events(EventId{0}, {}, 100)).events.size() == 2);
    must(store->put("key", "1", 0));
    must(store->tend({}, 100, noon));
    CHECK(server.find(database, "jobrt_jobs", Doc()).size() == 3);
}

TEST_CASE(
    "a log document that is not ours and stands where the next batch goes is named, and nothing is lost") {
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    std::vector<std::string> said;
    mongo::Options options;
    options.log = [&](std::string_view line) { said.emplace_back(line); };
    auto store = open_store(server.uri(database), options);
    add(*store, noon);
    Doc foreign;
    foreign.number("_id", 2).text("name", "foreign");
    server.insert(database, "jobrt_log", foreign);
    const auto id = add(*store, noon);
    CHECK(must(store->get(id, 0)).has_value());
    REQUIRE(!said.empty());
    CHECK(said.back().find("document 2 in jobrt_log") != std::string::npos);
    Doc remove, one;
    one.doc("q", Doc().number("_id", 2)).integer("limit", 1);
    remove.text("delete", "jobrt_log").list("deletes", List().doc(one).made());
    server.run(database, remove);
    must(store->tend({}, 100, noon));
    CHECK(names_of(*store, id) == std::vector<std::string>{"jobs.create.queued"});
}
