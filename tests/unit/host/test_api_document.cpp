// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <fstream>
#include <set>
#include <sstream>

#include "api_document.hpp"
#include "support/places.hpp"

TEST_CASE("docs/api.md says of every route, parameter and code what the table has, and of no other") {
    std::ostringstream text;
    text << std::ifstream(jobruntime::tests::source("docs/api.md")).rdbuf();
    const std::string document = text.str();
    REQUIRE_FALSE(document.empty());
    const api_document::Table table;
    // `cmake --build build/dev --target api_document` writes it.
    CHECK(api_document::refreshed(*table.router, document) == document);
    std::set<std::string> sections;
    std::istringstream lines(document);
    for (std::string line; std::getline(lines, line);)
        if (line.starts_with("### `")) sections.insert(line.substr(5, line.find('`', 5) - 5));
    for (const auto& route : table.router->routes()) {
        CAPTURE(route.method);
        CAPTURE(route.path);
        CHECK(sections.erase(route.method + " " + route.path) == 1);
        CHECK_FALSE(route.summary.empty());
        CHECK_FALSE(route.answers.empty());
    }
    for (const auto& section : sections) FAIL_CHECK("a section about a route that is not there: " << section);
    for (const auto* list : {"<!-- from the table: routes -->", "<!-- from the table: errors -->"})
        CHECK(document.find(list) != std::string::npos);
}

TEST_CASE("a row that was changed by hand, and a new section, are made right again") {
    const api_document::Table table;
    const std::string document = "### `GET /api/jobs/:id`\n\nOne.\n\n<!-- from the table: routes -->\n| nonsense |\n<!-- end -->\nrest\n";
    const auto text = api_document::refreshed(*table.router, document);
    CHECK(text.find("nonsense") == std::string::npos);
    CHECK(text.find("| `id` | path | an id, 36 characters long | the job's id |\n") != std::string::npos);
    CHECK(text.find("Role `read`; answers 200, 304; errors of its own: `JOB_NOT_FOUND`, `TOO_MANY_STREAMS`.\n") != std::string::npos);
    CHECK(text.find("|\n<!-- end -->\n\nOne.\n") != std::string::npos);
    CHECK(text.ends_with("<!-- end -->\nrest\n"));
    CHECK(api_document::refreshed(*table.router, text) == text);
}
