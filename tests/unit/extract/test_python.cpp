// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <algorithm>

#include <jobruntime/extract.hpp>

#include "page_server.hpp"
#include "support/places.hpp"

using namespace jobruntime;
using namespace std::chrono_literals;

namespace {

/// Runs a Python extractor of this text, with the shipped module beside it.
Result<MediaInfo> python(const std::string& text, std::vector<std::string>& log, int nth = 0) {
    const extract_test::TempFolder folder;
    std::filesystem::copy_file(tests::source("bindings/python/jobruntime_extractor.py"), folder / "jobruntime_extractor.py");
    std::ofstream(folder / "mine.py") << "#!/usr/bin/env python3\n" + text;
    std::filesystem::permissions(folder / "mine.py", std::filesystem::perms::owner_all);
    std::filesystem::create_directory(folder / "tmp");
    extract::CommandOptions options;
    options.name = "mine";
    options.argv = {folder / "mine.py"};
    options.environment = {"PATH=/usr/local/bin:/usr/bin:/bin"};
    options.allow_nets = net::Network::parse_list("127.0.0.0/8").value();
    ExtractRequest request;
    request.url = "https://example.org/talk/1";
    request.timeout = 20s;
    request.tmp_dir = folder / "tmp";
    request.nth = nth;
    request.log = [&](std::string_view line) { log.emplace_back(line); };
    return extract::CommandExtractor(options).extract(request, {});
}

}  // namespace

TEST_CASE("the Python module makes an extractor of a function") {
    std::vector<std::string> log;
    const auto info = python(R"(
from jobruntime_extractor import extractor, ExtractorError

@extractor
def extract(request):
    print("printed", request.post_id)
    request.progress(50, "half")
    request.log("logged")
    return {"title": request.url, "formats": [{"url": "http://127.0.0.1/a.mp4", "height": 720}]}
)", log);
    REQUIRE_MESSAGE(info.has_value(), info.error().message);
    CHECK(info->title == "https://example.org/talk/1");
    CHECK(info->sources.front().height == 720);
    std::sort(log.begin(), log.end());
    CHECK(log == std::vector<std::string>{"mine: logged", "mine: printed"});
}

TEST_CASE("it is told which video of a post is meant, and None where nobody says") {
    for (const auto& [nth, told] : {std::pair(0, "None"), std::pair(1, "1"), std::pair(12, "12")}) {
        std::vector<std::string> log;
        const auto info = python(R"(
from jobruntime_extractor import extractor

@extractor
def extract(request):
    return {"title": str(request.nth), "formats": [{"url": "http://127.0.0.1/a.mp4"}]}
)", log, nth);
        REQUIRE_MESSAGE(info.has_value(), info.error().message);
        CHECK(info->title == told);
    }
}

TEST_CASE("its errors, its exceptions and its mistakes are the job's errors") {
    struct Row {
        const char* body;
        const char* error;
    };
    const Row rows[] = {{"    raise ExtractorError('NO_MEDIA', 'text only')", "NO_MEDIA"},
                        {"    return {}['missing']", "EXTRACTOR_CRASHED"},
                        {"    return None", "EXTRACTOR_PROTOCOL"},
                        {"    import sys; sys.exit(3)", "EXTRACTOR_CRASHED"},
                        {"    return {'file': '/etc/passwd'}", "EXTRACTOR_PROTOCOL"}};
    for (const auto& row : rows) {
        CAPTURE(row.body);
        std::vector<std::string> log;
        const auto info = python("from jobruntime_extractor import *\n@extractor\ndef extract(request):\n" +
                                     std::string(row.body) + "\n",
                                 log);
        REQUIRE_FALSE(info.has_value());
        CHECK_MESSAGE(info.error().name == row.error, info.error().message);
    }
}
