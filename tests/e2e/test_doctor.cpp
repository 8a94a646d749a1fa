// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include "e2e/support.hpp"

// What doctor says of a machine where something is wrong, and of one where all is well.
namespace jobruntime::e2e {
namespace {

std::string findings(const Ended& ended) {
    boost::system::error_code code;
    const auto value = boost::json::parse(ended.out, code);
    CHECK_MESSAGE(!code, ended.out);
    return code ? std::string() : boost::json::serialize(value);
}

TEST_CASE("doctor names the program that holds the port, with its pid") {
    const test::TestServer foreigner;  // It is this process.
    const Folder folder;
    auto variables = environment(folder);
    variables["PORT"] = std::to_string(foreigner.port());
    const auto ended = jobrt({"doctor", "--json"}, variables, folder.path());
    REQUIRE(ended.in_time);
    CHECK(ended.status.code == 1);
    const auto said = findings(ended);
    INFO(said);
    CHECK(said.find("port " + std::to_string(foreigner.port()) + " is held by another program: pid " +
                    std::to_string(::getpid())) != std::string::npos);
    CHECK(said.find("PORT") != std::string::npos);
}

TEST_CASE("the checklist passes on split roles, asked as either role or as none") {
    const Folder folder;
    Runtime runtime(folder, true);
    for (const std::string role : {"", "api", "worker"}) {
        CAPTURE(role);
        auto variables = environment(folder);
        variables["PORT"] = std::to_string(runtime.port());
        variables["ROLE"] = role;
        const auto ended = jobrt({"doctor", "--checklist", "--json"}, variables, folder.path(), 60s);
        const auto said = findings(ended);
        INFO(said);
        CHECK(ended.status.code == 0);
        for (const auto* line : {"\"1. ", "\"2. ", "\"3. ", "\"4. ", "\"5. ", "\"6. "})
            CHECK(said.find(line) != std::string::npos);
    }
}

TEST_CASE("without a worker doctor says so, and so does the checklist's line") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    CHECK(http(api.port(), "POST", "/api/jobs", R"({"kind":"demo.echo"})").status == 201);
    variables["PORT"] = std::to_string(api.port());
    const auto said = findings(jobrt({"doctor", "--json"}, variables, folder.path()));
    INFO(said);
    CHECK(said.find("no worker is running; start one with ROLE=worker") != std::string::npos);
}

}  // namespace
}  // namespace jobruntime::e2e
