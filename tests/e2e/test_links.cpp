// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <filesystem>
#include <iostream>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// Each program carries only what its role needs: hostile media meets libav in the helper alone, the API
// has no browser, the worker no server.
namespace jobruntime::e2e {
namespace {

struct Row {
    const char* program;
    bool libav, extract, http, curl;
};

TEST_CASE("what each program links") {
    const Row rows[] = {{"jobrt-api", false, false, true, true},
                        {"jobrt-worker", false, true, false, true},
                        {"jobrt-combined", false, true, true, true},
                        {"jobrt", false, true, true, true},
                        {"jobrt-media", true, false, false, false}};
    int seen = 0;
    const Folder folder;
    for (const auto& row : rows) {
        CAPTURE(row.program);
        const auto path = std::string(JOBRT_BIN) + "/" + row.program;
        if (!std::filesystem::exists(path)) {
            std::cout << "skipped: " << path << " is not built\n";
            continue;
        }
        ++seen;
        const auto libraries = run({"ldd", path}, environment(folder), folder.path());
        REQUIRE(libraries.status.success());
        CHECK((libraries.out.find("libavformat") != std::string::npos) == row.libav);
        CHECK((libraries.out.find("libavcodec") != std::string::npos) == row.libav);
        CHECK((libraries.out.find("libcurl") != std::string::npos) == row.curl);
        // Static or shared, a role that has the component names its symbols.
        const auto symbols = run({"nm", "-C", path}, environment(folder), folder.path(), 60s);
        REQUIRE(symbols.status.success());
        CHECK((symbols.out.find("jobruntime::extract::") != std::string::npos) == row.extract);
        CHECK((symbols.out.find("jobruntime::http::") != std::string::npos) == row.http);
        if (!row.extract) CHECK(libraries.out.find("libjobruntime_extract") == std::string::npos);
        if (!row.http) CHECK(libraries.out.find("libjobruntime_http") == std::string::npos);
    }
    CHECK(seen >= 2);
}

}  // namespace
}  // namespace jobruntime::e2e
