// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <fstream>
#include <sstream>

#include "host/src/settings.hpp"
#include "support/places.hpp"

using namespace jobruntime::host;

TEST_CASE("docs/configuration.md shows the table of settings as it is") {
    std::ostringstream text;
    text << std::ifstream(jobruntime::tests::source("docs/configuration.md")).rdbuf();
    const std::string doc = text.str();
    REQUIRE_FALSE(doc.empty());
    std::size_t rows = 0;
    for (const auto& setting : settings_table()) {
        std::string row = "| `" + std::string(setting.variable) + "`";
        if (!setting.alias.empty()) row += " (`" + std::string(setting.alias) + "`)";
        row += " | `--" + std::string(setting.key) + "` | " + std::string(setting.who) + " | " +
               (setting.fallback.empty() ? "unset" : "`" + std::string(setting.fallback) + "`") + " | " +
               (setting.live ? "SIGHUP" : "restart") + " | " + std::string(setting.meaning) + " |";
        CAPTURE(row);
        CHECK(doc.find(row) != std::string::npos);
        ++rows;
    }
    // No row too many: every other line of a table with a flag in it would be one that the program does not know.
    std::size_t shown = 0;
    for (std::size_t at = doc.find("` | `--"); at != std::string::npos; at = doc.find("` | `--", at + 1)) ++shown;
    for (std::size_t at = doc.find("`) | `--"); at != std::string::npos; at = doc.find("`) | `--", at + 1)) ++shown;
    CHECK(shown == rows);
}
