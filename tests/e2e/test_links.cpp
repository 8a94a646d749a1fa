// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <string>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// Each program carries only what its role needs: hostile media meets libav in the helper alone, the API
// has no browser and no media code, the worker no server.
namespace jobruntime::e2e {
namespace {

struct Row {
    std::string program;  // CAPTURE shows a char* as an address.
    bool libav, media, extract, http, curl;
};

TEST_CASE("what each program links") {
    const Row rows[] = {{"jobrt-api", false, false, false, true, true},
                        {"jobrt-worker", false, true, true, false, true},
                        {"jobrt-combined", false, true, true, true, true},
                        {"jobrt", false, true, true, true, true},
                        {"jobrt-media", true, false, false, false, false}};
    const Folder folder;
    for (const auto& row : rows) {
        CAPTURE(row.program);
        const auto path = tests::program(row.program);
        const auto libraries = run({"ldd", path}, environment(folder), folder.path());
        REQUIRE(libraries.status.success());
        const auto links = [&](const char* library) {
            return libraries.out.find(library) != std::string::npos;
        };
        CHECK(links("libavformat") == row.libav);
        CHECK(links("libavcodec") == row.libav);
        CHECK(links("libcurl") == row.curl);
        // Static or shared, a role that has the component names its symbols.
        const auto symbols = run({"nm", "-C", path}, environment(folder), folder.path(), 60s);
        REQUIRE(symbols.status.success());
        const auto names = [&](const char* component) {
            return symbols.out.find(component) != std::string::npos;
        };
        CHECK(names("jobruntime::media::") == row.media);
        CHECK(names("jobruntime::extract::") == row.extract);
        CHECK(names("jobruntime::http::") == row.http);
        if (!row.media) CHECK_FALSE(links("libjobruntime_media"));
        if (!row.extract) CHECK_FALSE(links("libjobruntime_extract"));
        if (!row.http) CHECK_FALSE(links("libjobruntime_http"));
    }
}

}  // namespace
}  // namespace jobruntime::e2e
