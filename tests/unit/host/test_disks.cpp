// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <filesystem>

#include <boost/json/object.hpp>

#include "host/src/disks.hpp"

using namespace jobruntime::host;

TEST_CASE("a disk is low while less than twice its floor is free") {
    const auto folder = std::filesystem::temp_directory_path().string();
    const auto available = std::filesystem::space(folder).available;
    REQUIRE(available > 200'000'000);
    const auto low = [&](std::uint64_t floor) {
        const auto facts = disk_facts("downloads", folder, floor);
        REQUIRE(facts.size() == 1);
        CHECK(facts.at(0).at("of") == "downloads");
        CHECK(facts.at(0).at("floorBytes") == floor);
        CHECK(facts.at(0).at("freeBytes").to_number<std::uint64_t>() > 0);
        return facts.at(0).at("low").as_bool();
    };
    CHECK_FALSE(low(0));
    CHECK_FALSE(low(available / 4));
    CHECK(low(available));
    CHECK(disk_facts("downloads", folder + "/nowhere", 0).empty());
}

TEST_CASE("only a store in a file has a disk") {
    Config config;
    config.store = "sqlite:" + (std::filesystem::temp_directory_path() / "jobs.db").string();
    CHECK(store_disk(config, config.min_free_bytes).size() == 1);
    config.store = "mongodb://db.example/jobs";
    CHECK(store_disk(config, config.min_free_bytes).empty());
}
