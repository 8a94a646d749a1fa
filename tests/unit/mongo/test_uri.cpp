// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <chrono>
#include <string>

#include <doctest/doctest.h>

#include <jobruntime/mongo.hpp>

using namespace jobruntime;

namespace {

struct Good {
    const char* uri;
    const char* text;
    const char* database;
    bool tls;
};

const Good good[] = {
    {"mongodb://localhost", "mongodb://localhost:27017/jobruntime", "jobruntime", false},
    {"mongodb://db.example:27018/queue", "mongodb://db.example:27018/queue", "queue", false},
    {"mongodb://db1.example,db2.example:2/app?replicaSet=rs0",
     "mongodb://db1.example:27017,db2.example:2/app", "app", false},
    {"mongodb://ada:s3cret-word@db.example/app?authSource=admin", "mongodb://db.example:27017/app", "app",
     false},
    {"mongodb://ada:s3cret%40word%2F@db.example/app", "mongodb://db.example:27017/app", "app", false},
    {"mongodb://db.example/app?tls=true", "mongodb://db.example:27017/app", "app", true},
    {"mongodb://db.example/app?TLS=true", "mongodb://db.example:27017/app", "app", true},
    {"mongodb://ada:s3cret-word@db.example/app?appName=a@b", "mongodb://db.example:27017/app", "app", false},
    {"mongodb://[::1]:27017/app", "mongodb://[::1]:27017/app", "app", false},
    {"mongodb+srv://ada:s3cret-word@cluster.example.net/app", "mongodb+srv://cluster.example.net/app", "app",
     true},
};

const char* const bad[] = {
    "",
    "sqlite:jobs.db",
    "http://db.example/",
    "mongodb://",
    "mongodb:///app",
    "mongodb://ada:s3cret/word@db.example/app",
    "mongodb://ada:s3cret@word@db.example/app",
    "mongodb://ada:s3cret:word@db.example/app",
    "mongodb://ada:s3cret-word@/app",
    "mongodb://ada:12/s3cret@db.example",
    "mongodb://ada:12/s3cret@db.example/app",
    "mongodb://ada:12?s3cret@db.example/app",
    "mongodb://a@ada:12/s3cret@db.example",
    "mongodb://ada:s3cret@db.example/app?maxPoolSize=1",
    "mongodb://db.example:notaport/app",
    "mongodb://db.example:99999/app",
    "mongodb://db.example/a b$c",
    "mongodb://ada:s3cret-word@db.example/app?tls=perhaps&s3cret=1",
    "mongodb://ada:s3cret-word@db.example/app?TLS=yes",
    "mongodb://ada:s3cret-word@db.example/app?appName=a&Ssl=1",
};

}  // namespace

TEST_CASE("a URI in all its usual forms says where it leads, and not who comes") {
    for (const auto& row : good) {
        CAPTURE(row.uri);
        const auto place = mongo::check_uri(row.uri);
        REQUIRE_MESSAGE(place.has_value(), (place ? "" : place.error().message));
        CHECK(place->text == row.text);
        CHECK(place->database == row.database);
        CHECK(place->tls == row.tls);
        CHECK(place->text.find("s3cret") == std::string::npos);
        CHECK(place->text.find("ada") == std::string::npos);
    }
    mongo::Options options;
    options.database = "other";
    CHECK(mongo::check_uri("mongodb://localhost/", options)->database == "other");
    CHECK(mongo::check_uri("mongodb://localhost/app", options)->database == "app");
}

TEST_CASE("what is no URI is refused without repeating what it holds") {
    for (const std::string uri : bad) {
        CAPTURE(uri);
        const auto place = mongo::check_uri(uri);
        REQUIRE(!place.has_value());
        CHECK(place.error().code == Errc::invalid_argument);
        CHECK(place.error().name == "STORE_URI_INVALID");
        CAPTURE(place.error().message);
        CHECK(place.error().message.find("s3cret") == std::string::npos);
        CHECK(place.error().message.find("ada") == std::string::npos);
        CHECK(!mongo::open(uri).has_value());
    }
}

TEST_CASE("options that make no sense are refused by name") {
    mongo::Options options;
    options.connections = 1;
    CHECK(mongo::open("mongodb://localhost", options).error().message.find("connections") !=
          std::string::npos);
    options = {};
    options.poll = Duration{0};
    CHECK(mongo::open("mongodb://localhost", options).error().message.find("poll") != std::string::npos);
}

TEST_CASE("without a server a store can be opened, and each verb soon says which host does not answer") {
    mongo::Options options;
    options.server_selection = Duration{300};
    // Port 9 of the loopback: nobody answers there.
    auto store = mongo::open("mongodb://ada:s3cret-word@127.0.0.1:9/app", options);
    REQUIRE(store.has_value());
    CHECK((*store)->describe() == "mongodb://127.0.0.1:9/app");
    const auto begin = std::chrono::steady_clock::now();
    const auto answer = (*store)->count({}, CountBy::nothing);
    REQUIRE(!answer.has_value());
    CHECK(answer.error().code == Errc::unavailable);
    CHECK(answer.error().message.find("127.0.0.1:9") != std::string::npos);
    CHECK(answer.error().message.find("s3cret") == std::string::npos);
    CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(5));
    NewJob job;
    job.id.bytes[0] = 1;
    job.kind = "test.a";
    const auto inserted = (*store)->insert({&job, 1}, Time{});
    REQUIRE(!inserted.has_value());
    CHECK(inserted.error().code == Errc::unavailable);
}
