// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <boost/json/parse.hpp>

#include "host/src/reload.hpp"

using namespace jobruntime::host;

namespace {

Loaded loaded(const std::map<std::string, std::string>& environment, const char* structure = "{}") {
    auto settings = Settings::load({}, environment, "", "/nowhere");
    REQUIRE(settings.has_value());
    auto config = Config::from(*settings, "/nowhere");
    REQUIRE(config.has_value());
    config->structure = boost::json::parse(structure).as_object();
    return {*std::move(settings), *std::move(config)};
}

using Names = std::vector<std::string>;

}  // namespace

TEST_CASE("a reload tells apart what counts at once and what waits for a restart") {
    const auto before = loaded({{"ENABLE_X", "true"}, {"PORT", "4000"}});
    CHECK(changed_at_once(before.settings, before.config, before).empty());
    CHECK(wait_for_restart(before.settings, before).empty());
    const auto after = loaded({{"ENABLE_X", "false"}, {"PORT", "4001"}, {"ROLE", "api"}, {"JOBRT_STORE", "sqlite:a.db"},
                               {"JOBRT_LOG_LEVEL", "warn"}, {"JOBRT_ALLOWED_HOSTS", "a.example"}},
                              R"({"platforms": {"x": {"enabled": false}}})");
    CHECK(changed_at_once(before.settings, before.config, after) ==
          Names{"JOBRT_ALLOWED_HOSTS", "ENABLE_X", "JOBRT_LOG_LEVEL", "platforms"});
    CHECK(wait_for_restart(before.settings, after) == Names{"ROLE", "JOBRT_STORE", "PORT"});
    // Back to what it began with is a change, too.
    CHECK(changed_at_once(after.settings, after.config, before) ==
          Names{"JOBRT_ALLOWED_HOSTS", "ENABLE_X", "JOBRT_LOG_LEVEL", "platforms"});
}

TEST_CASE("a reload warns of what is new, not of what was said at the start") {
    const auto before = loaded({{"JOBRT_OLD", "1"}});
    const auto after = loaded({{"JOBRT_OLD", "1"}, {"JOBRT_NEW", "1"}});
    const auto lines = new_warnings(before.settings, after.settings);
    REQUIRE(lines.size() == 1);
    CHECK(lines.front().find("JOBRT_NEW") != std::string::npos);
}
