// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <jobruntime/memory.hpp>

#include "host/src/platforms.hpp"

using namespace jobruntime;
using namespace jobruntime::host;

TEST_CASE("false of the environment is final, else the store's flag wins, else the environment's, else on") {
    const std::optional<bool> unset;
    struct Row {
        std::optional<bool> environment, stored;
        bool enabled;
        std::string_view source;
        bool locked;
    };
    const Row rows[] = {
        {unset, unset, true, "default", false},    {unset, false, false, "store", false},
        {unset, true, true, "store", false},       {true, unset, true, "environment", false},
        {true, false, false, "store", false},      {true, true, true, "store", false},
        {false, unset, false, "environment", true}, {false, true, false, "environment", true},
        {false, false, false, "environment", true},
    };
    for (const auto& row : rows) {
        for (auto name : platform_names) {
            auto store = memory::open();
            Config config;
            (name == "x" ? config.enable_x : name == "tiktok" ? config.enable_tiktok : config.enable_web) = row.environment;
            const PlatformFlags flags(*store, config);
            if (row.stored) REQUIRE(flags.set(name, *row.stored).has_value());
            auto flag = flags.get(name);
            REQUIRE(flag.has_value());
            CAPTURE(name);
            CHECK(flag->enabled == row.enabled);
            CHECK(flag->source == row.source);
            CHECK(flag->locked == row.locked);
        }
    }
}

TEST_CASE("a flag can be changed again and again, and others stay as they are") {
    auto store = memory::open();
    const Config config;
    const PlatformFlags flags(*store, config);
    for (const bool on : {false, true, false}) {
        REQUIRE(flags.set("x", on).has_value());
        CHECK(flags.get("x")->enabled == on);
        CHECK(flags.get("web")->enabled);
    }
}

TEST_CASE("what the environment and the file say can be replaced while others ask") {
    auto store = memory::open();
    Config config;
    PlatformFlags flags(*store, config);
    CHECK(flags.get("x")->enabled);
    config.enable_x = false;
    config.structure = {{"platforms", {{"talks", {{"enabled", false}}}}}};
    CHECK(flags.get("x")->enabled);  // A copy was taken.
    flags.take(config);
    CHECK(flags.get("x")->locked);
    CHECK(flags.get("talks")->source == "file");
    CHECK_FALSE(flags.get("talks")->enabled);
    flags.take({});
    CHECK(flags.get("x")->source == "default");
    CHECK(flags.get("talks")->enabled);
}
