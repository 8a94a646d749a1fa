// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include "host/src/settings.hpp"

using namespace jobruntime::host;

namespace {

jobruntime::Result<Config> config_of(const std::map<std::string, std::string>& environment) {
    auto settings = Settings::load({}, environment, "", "/nowhere");
    if (!settings) return std::move(settings).error();
    return Config::from(*settings, "/nowhere");
}

}  // namespace

TEST_CASE("combined needs nothing, and every path is absolute") {
    auto config = config_of({});
    REQUIRE(config.has_value());
    CHECK(config->role == ProcessRole::combined);
    CHECK(config->store == "sqlite:/nowhere/jobrt.db");
    CHECK(config->download_dir == "/nowhere/downloads");
    CHECK(config->profile_dir == "/nowhere/.playwright-profile");
    CHECK(config->port == 4000);
    CHECK_FALSE(config->enable_x.has_value());
    auto given = config_of({{"JOBRT_STORE", "sqlite:data/../jobs.db"}, {"JOBRT_DOWNLOAD_DIR", "/srv/videos"}});
    REQUIRE(given.has_value());
    CHECK(given->store == "sqlite:/nowhere/jobs.db");
    CHECK(given->download_dir == "/srv/videos");
}

TEST_CASE("a split role without a store is refused and names both variables") {
    for (const auto* role : {"api", "worker"}) {
        CAPTURE(role);
        auto config = config_of({{"ROLE", role}});
        REQUIRE_FALSE(config.has_value());
        CHECK(config.error().message.find("JOBRT_STORE") != std::string::npos);
        CHECK(config.error().message.find("MONGODB_URI") != std::string::npos);
        CHECK(config_of({{"ROLE", role}, {"JOBRT_STORE", "sqlite:a.db"}}).has_value());
        CHECK(config_of({{"ROLE", role}, {"MONGO_URI", "mongodb://h/db"}}).has_value());
    }
}

TEST_CASE("two different stores, and stores that cannot be meant, are refused") {
    CHECK_FALSE(config_of({{"JOBRT_STORE", "sqlite:a.db"}, {"MONGODB_URI", "mongodb://h/db"}}).has_value());
    CHECK(config_of({{"JOBRT_STORE", "mongodb://h/db"}, {"MONGODB_URI", "mongodb://h/db"}}).has_value());
    for (const auto* store : {"a.db", "sqlite:", "postgres://h", "SQLITE:a.db"}) {
        CAPTURE(store);
        CHECK_FALSE(config_of({{"JOBRT_STORE", store}}).has_value());
    }
    CHECK_FALSE(config_of({{"MONGODB_URI", "http://h"}}).has_value());
}

TEST_CASE("each bad value names its variable and what is accepted") {
    const std::tuple<std::string, std::string, std::string> rows[] = {
        {"ROLE", "both", "combined, api, worker"},
        {"PORT", "65536", "0 to 65535"},
        {"JOBRT_ALLOWED_ORIGINS", "ops.example", "https://ops.example"},
        {"JOBRT_ALLOWED_ORIGINS", "https://ops.example, https://ops.example/", "without a path"},
        {"JOBRT_CORS_ORIGINS", "*", "https://ops.example"},
        {"JOBRT_CORS_ORIGINS", "https://", "https://ops.example"},
        {"JOBRT_LOG_LEVEL", "debug", "info, warn, error"},
        {"PORT", "4000x", "whole number"},
        {"PLAYWRIGHT_HEADLESS", "maybe", "1/true/yes/on"},
        {"TELEMETRY_SINK", "redis", "store, sqlite"},
        {"JOBRT_GRACE_MS", "-1", "0 to"},
        {"JOBRT_LOG_FORMAT", "xml", "text, json"},
        {"JOBRT_CONCURRENCY", "5000", "4096"},
        {"ENABLE_X", "2", "0/false/no/off"},
        {"JOBRT_SOCKET_MODE", "0x1ff", "octal"},
        {"JOBRT_SOCKET_MODE", "1777", "octal"},
        {"JOBRT_MAX_CONNECTIONS", "0", "1 to"},
        {"JOBRT_RATE_LIMIT", "-1", "0 to"},
        {"JOBRT_MAX_RATE", "-1", "0 to"},
        {"JOBRT_BROWSER_RECYCLE", "0", "1 to"},
    };
    for (const auto& [variable, value, accepted] : rows) {
        CAPTURE(variable);
        auto config = config_of({{variable, value}});
        REQUIRE_FALSE(config.has_value());
        CHECK(config.error().code == jobruntime::Errc::invalid_argument);
        CHECK(config.error().message.find(variable) != std::string::npos);
        CHECK(config.error().message.find(value) != std::string::npos);
        CHECK(config.error().message.find(accepted) != std::string::npos);
    }
}

TEST_CASE("flags are read as people write them") {
    for (const auto* yes : {"1", "true", "TRUE", "yes", "On"}) CHECK(config_of({{"ENABLE_X", yes}})->enable_x == true);
    for (const auto* no : {"0", "false", "No", "off"}) CHECK(config_of({{"ENABLE_X", no}})->enable_x == false);
}

TEST_CASE("a lease shorter than three heartbeats is refused") {
    // Under the sanitizers: what is refused is not calculated with either.
    CHECK_FALSE(config_of({{"JOBRT_HEARTBEAT_MS", "9108236912688219932"}}).has_value());
    CHECK_FALSE(config_of({{"JOBRT_HEARTBEAT_MS", "1000"}, {"JOBRT_LEASE_MS", "2999"}}).has_value());
    CHECK(config_of({{"JOBRT_HEARTBEAT_MS", "1000"}, {"JOBRT_LEASE_MS", "3000"}}).has_value());
}

TEST_CASE("a telemetry sink of another store's kind is warned of, and memory is told apart") {
    CHECK_FALSE(config_of({{"TELEMETRY_SINK", "mongodb"}})->sink_warning.empty());
    CHECK(config_of({{"TELEMETRY_SINK", "sqlite"}})->sink_warning.empty());
    CHECK(config_of({{"TELEMETRY_SINK", "memory"}})->memory_telemetry);
    CHECK_FALSE(config_of({})->memory_telemetry);
}

TEST_CASE("lists are split at commas and lose their blanks") {
    auto config = config_of({{"JOBRT_ALLOW_NETS", " 127.0.0.0/8 , 10.0.0.0/8,"}, {"JOBRT_ALLOWED_HOSTS", "a.example"}});
    REQUIRE(config.has_value());
    CHECK(config->allow_nets == std::vector<std::string>{"127.0.0.0/8", "10.0.0.0/8"});
    CHECK(config->allowed_hosts == std::vector<std::string>{"a.example"});
    config = config_of({{"JOBRT_HOST", "127.0.0.1, unix:/run/a.sock"}, {"JOBRT_SOCKET_MODE", "660"}});
    REQUIRE(config.has_value());
    CHECK(config->bind_addresses == std::vector<std::string>{"127.0.0.1", "unix:/run/a.sock"});
    CHECK(config->socket_mode == 0660);
}
