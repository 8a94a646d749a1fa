// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Servers and databases that the store cannot work with: each is refused by a name, and the refusal ends with
// its cause.
#include <sys/wait.h>
#include <unistd.h>

#include "support/old_server.hpp"
#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using mongo::Doc;
using mongo::List;

namespace {

/// What the first verb that needs the database says.
Error refusal(const std::string& uri) {
    auto store = open_store(uri);
    const auto answer = store->count({}, CountBy::nothing);
    REQUIRE(!answer.has_value());
    return answer.error();
}

}  // namespace

TEST_CASE("a database of a newer program is refused and left alone") {
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    Doc schema;
    schema.doc("_id", Doc().text("jobrt", "schema")).number("version", 99);
    server.insert(database, "jobrt_records", schema);
    const auto why = refusal(server.uri(database));
    CHECK(why.code == Errc::unsupported);
    CHECK(why.name == "STORE_TOO_NEW");
    CHECK(why.message.find("99") != std::string::npos);
    CHECK(server.find(database, "jobrt_jobs", Doc()).empty());
}

TEST_CASE("an index in the way is named, and the store works as soon as it is gone") {
    auto& server = MongoServer::shared();
    const auto database = server.fresh_database();
    Doc index, command;
    index.doc("key", Doc().integer("other", 1)).text("name", "jobrt_unique");
    command.text("createIndexes", "jobrt_jobs").list("indexes", List().doc(index).made());
    server.run(database, command);
    auto store = open_store(server.uri(database));
    const auto answer = store->count({}, CountBy::nothing);
    REQUIRE(!answer.has_value());
    CHECK(answer.error().code == Errc::conflict);
    CHECK(answer.error().name == "STORE_INDEX");
    Doc drop;
    drop.text("dropIndexes", "jobrt_jobs").text("index", "jobrt_unique");
    server.run(database, drop);
    CHECK(must(store->count({}, CountBy::nothing)).front().count == 0);
}

TEST_CASE("wrong credentials and missing rights are told apart, and no secret is said") {
    auto server = MongoServer::own();
    if (!server) {
        MESSAGE("skipped: a real server is given, whose users are not the test's to make");
        return;
    }
    const auto user = [&](std::string_view name, std::string_view password, std::string_view role) {
        Doc command;
        command.text("createUser", name).text("pwd", password).list("roles", List().text(role).made());
        server->run("app", command);
    };
    user("reader", "s3cret-1", "read");
    user("writer", "s3cret-2", "readWrite");
    server->kill();
    server->start({"--auth"});
    const auto uri = [&](const std::string& who) {
        return "mongodb://" + who + "127.0.0.1:" + std::to_string(server->port()) + "/app";
    };
    auto why = refusal(uri("writer:s3cret-wrong@"));
    CHECK(why.code == Errc::invalid_argument);
    CHECK(why.name == "STORE_CREDENTIALS");
    CHECK(why.message.find("s3cret") == std::string::npos);
    why = refusal(uri(""));
    CHECK(why.name == "STORE_RIGHTS");
    why = refusal(uri("reader:s3cret-1@"));
    CHECK(why.code == Errc::invalid_argument);
    CHECK(why.name == "STORE_RIGHTS");
    CHECK(why.message.find("app") != std::string::npos);
    CHECK(why.message.find("s3cret") == std::string::npos);
    auto store = open_store(uri("writer:s3cret-2@"));
    CHECK(must(store->count({}, CountBy::nothing)).front().count == 0);
}

TEST_CASE(
    "rights that forbid making indexes are enough where they are there, and named where one is missing") {
    auto server = MongoServer::own();
    if (!server) {
        MESSAGE("skipped: a real server is given, whose users are not the test's to make");
        return;
    }
    List roles;
    for (const std::string database : {"app", "bare"}) {
        must(open_store(server->uri(database))->count({}, CountBy::nothing));
        List actions;
        for (const auto* action : {"find", "insert", "update", "remove", "listIndexes", "changeStream"})
            actions.text(action);
        Doc privilege, role;
        privilege.doc("resource", Doc().text("db", database).text("collection", ""));
        privilege.list("actions", actions.made());
        role.text("createRole", "no_indexes").list("privileges", List().doc(privilege).made());
        role.list("roles", Doc());
        server->run(database, role);
        roles.doc(Doc().text("role", "no_indexes").text("db", database));
    }
    Doc drop, user;
    drop.text("dropIndexes", "jobrt_log").text("index", "jobrt_last");
    server->run("bare", drop);
    user.text("createUser", "worker").text("pwd", "s3cret-3").list("roles", roles.made());
    server->run("app", user);
    server->kill();
    server->start({"--auth"});
    const auto uri = [&](const std::string& database) {
        return "mongodb://worker:s3cret-3@127.0.0.1:" + std::to_string(server->port()) + "/" + database +
               "?authSource=app";
    };
    auto store = open_store(uri("app"));
    const auto now = system_clock().wall();
    const auto job = add(*store, now);
    CHECK(must(claim(*store, begin(*store, now), now)).jobs.at(0).id == job);
    const auto why = refusal(uri("bare"));
    CHECK(why.code == Errc::invalid_argument);
    CHECK(why.name == "STORE_RIGHTS");
    CHECK(why.message.find("make indexes") != std::string::npos);
    CHECK(why.message.find("s3cret") == std::string::npos);
}

TEST_CASE("a server that speaks too old a protocol is refused by name") {
    OldServer server;
    const auto why = refusal("mongodb://127.0.0.1:" + std::to_string(server.port) + "/app");
    CHECK(why.code == Errc::unsupported);
    CHECK(why.name == "SERVER_TOO_OLD");
    CHECK(why.message.find("4.2") != std::string::npos);
}

TEST_CASE("after fork() the child's store says so, and the parent's goes on") {
    auto& server = MongoServer::shared();
    auto store = open_store(server.uri(server.fresh_database()));
    must(store->count({}, CountBy::nothing));
    const pid_t child = ::fork();
    if (child == 0) {
        const auto answer = store->count({}, CountBy::nothing);
        const bool refused = !answer && answer.error().code == Errc::invalid_argument;
        store.reset();
        ::_exit(refused ? 0 : 1);
    }
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(status == 0);
    must(store->count({}, CountBy::nothing));
}
