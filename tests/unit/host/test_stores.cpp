// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <filesystem>

#include "host/src/settings.hpp"
#include "host/src/stores.hpp"

using namespace jobruntime;
using namespace jobruntime::host;

namespace {

/// All ways to write a URI that a password may stand in, broken ones too.
constexpr const char* uris[] = {
    "mongodb://user:s3cret@db.example/jobs",
    "mongodb://user:s3cret@db1.example:27017,db2.example:27018/jobs?replicaSet=rs0&tls=true",
    "mongodb+srv://user:s3cret@cluster.example/jobs",
    "mongodb://user:s3%63ret%40s3cret@db.example",
    "mongodb://user:s3cret@s3cret@db.example/jobs",
    "mongodb://user:s3cret/s3cret@db.example/jobs",
    "mongodb://user:s3cret",
    "mongodb://user:s3cret@",
    "mongodb://:s3cret@db.example",
    "mongodb://db.example/jobs?authMechanismProperties=AWS_SESSION_TOKEN:s3cret",
    "mongodb://db.example/jobs?tlsCertificateKeyFilePassword=s3cret",
    "mongodb://user:s3cret@db.example:s3cret/jobs",
    "mongodb://user:s3cret@[::1]:27017/jobs",
    "mongodb://user:s3cret?s3cret@db.example/jobs",
};

}  // namespace

TEST_CASE("no way to write a URI makes its password public") {
    for (const auto* uri : uris) {
        CAPTURE(uri);
        const auto shown = public_address(uri);
        CAPTURE(shown);
        CHECK(shown.find("s3cret") == std::string::npos);
        CHECK(shown.find("user") == std::string::npos);
        CHECK(shown.starts_with("mongodb"));
        OpenOptions options;
        options.variable = "MONGODB_URI";
        auto opened = open_address(uri, std::move(options));
        if (opened) continue;
        CHECK(opened.error().message.find("s3cret") == std::string::npos);
        CHECK(opened.error().message.find("MONGODB_URI") != std::string::npos);
    }
    CHECK(public_address("mongodb://user:s3cret@db.example:27017/jobs").find("db.example:27017") !=
          std::string::npos);
    CHECK(public_address("sqlite:/srv/jobrt.db") == "sqlite:/srv/jobrt.db");
}

TEST_CASE("a store's address is read in each of its forms") {
    CHECK(*read_address("sqlite:jobs.db", "/srv", false) == "sqlite:/srv/jobs.db");
    CHECK(*read_address("sqlite:/abs/jobs.db", "/srv", false) == "sqlite:/abs/jobs.db");
    CHECK(*read_address("mongodb://h/db", "/srv", false) == "mongodb://h/db");
    CHECK(*read_address("mongodb+srv://h/db", "/srv", true) == "mongodb+srv://h/db");
    CHECK(*read_address("jobs.db", "/srv", true) == "sqlite:/srv/jobs.db");
    for (const auto* wrong : {"", "sqlite:", "postgres://h/db", "http://x"}) {
        CAPTURE(wrong);
        CHECK_FALSE(read_address(wrong, "/srv", true).has_value());
    }
    CHECK_FALSE(read_address("jobs.db", "/srv", false).has_value());
}

TEST_CASE("a broken URI is an error that names the variable and the host") {
    OpenOptions options;
    options.variable = "MONGODB_URI in /srv/.env";
    auto opened = open_address("mongodb://user:s3cret@db.example:27017/jobs?tls=perhaps&replicaSet",
                               std::move(options));
    if (!opened) {
        CHECK(opened.error().message.find("MONGODB_URI in /srv/.env") != std::string::npos);
        CHECK(opened.error().message.find("db.example:27017") != std::string::npos);
        CHECK(opened.error().message.find("s3cret") == std::string::npos);
    }
#ifndef JOBRUNTIME_HAS_MONGO
    REQUIRE_FALSE(opened.has_value());
    CHECK(opened.error().name == "STORE_UNSUPPORTED");
    CHECK(opened.error().message.find("without MongoDB") != std::string::npos);
#endif
}

TEST_CASE("whoever names the store is kept for messages") {
    const auto configured = [](const std::map<std::string, std::string>& environment) {
        auto settings = Settings::load({}, environment, "", "/nonexistent");
        REQUIRE(settings.has_value());
        auto config = Config::from(*settings, "/srv");
        REQUIRE(config.has_value());
        return *std::move(config);
    };
    CHECK(configured({}).store_variable == "JOBRT_STORE unset");
    CHECK(configured({{"JOBRT_STORE", "sqlite:a.db"}}).store_variable == "JOBRT_STORE");
    CHECK(configured({{"MONGODB_URI", "mongodb://h/d"}}).store_variable == "MONGODB_URI");
    CHECK(configured({{"MONGO_URI", "mongodb://h/d"}}).store_variable == "MONGO_URI");
    CHECK(configured({{"MONGO_URI", "mongodb://h/d"}}).store == "mongodb://h/d");
}
