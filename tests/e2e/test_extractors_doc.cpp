// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Every block of code in docs/extractors.md is run as it stands there, but for the names of its sites: they
// lead to a server of the test.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "e2e/support.hpp"

using namespace jobruntime;
using namespace jobruntime::e2e;

namespace {

const std::string document = tests::source("docs/extractors.md");

std::string code(const std::string& language, const std::string& which = "1") {
    const auto ended =
        run({"/bin/bash", tests::source("tests/project/document_code.sh"), document, language, which}, {}, "/");
    REQUIRE_MESSAGE(ended.status.success(), (language + " " + which));
    return ended.out;
}

void replace_all(std::string& text, const std::string& what, const std::string& with) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
        text.replace(at, what.size(), with);
}

/// The document's sites, on loopback.
struct Site {
    Site() {
        server.on("/talk.mp4", test::serve({.bytes = "film"}));
        server.on("/api/token", test::status(200, "Content-Type: application/json\r\n",
                                             R"({"access":{"token":"token-of-today"}})"));
        server.on("/api/talk", [](const test::ServedConnection& to, const test::ServedRequest& request) {
            const bool good = request.header("authorization") == "Bearer token-of-today";
            test::status(
                good ? 200 : 403, "Content-Type: application/json\r\n",
                R"({"talk":{"name":"A talk","speaker":{"name":"Ada"},"files":[)"
                R"({"href":"http://127.0.0.1/low.mp4","mime":"video/mp4","bps":100000,"height":240},)"
                R"({"href":"http://127.0.0.1/high.mp4","mime":"video/mp4","bps":900000,"height":720}]}})")(
                to, request);
        });
    }
    std::string here(std::string text) const {
        replace_all(text, "https://talks.example.org", server.url(""));
        replace_all(text, "https://example.org", server.url(""));
        replace_all(text, "talks.example.org", "127.0.0.1");
        return text;
    }
    test::TestServer server;
    Folder folder;
    Variables variables = environment(folder);

    Ended shell(const std::string& text) {
        variables["PATH"] = std::filesystem::path(tests::program("jobrt")).parent_path().string() + ":/usr/local/bin:/usr/bin:/bin";
        return run({"/bin/sh", "-eu", "-c", here(text)}, variables, folder.path(), 60s);
    }
    void program(const std::string& name, const std::string& text) const {
        std::ofstream(folder / name) << here(text);
        std::filesystem::permissions(folder / name, std::filesystem::perms::owner_all);
    }
};

boost::json::object first_object(const std::string& text) {
    return boost::json::parse(text.substr(0, text.find('\n'))).as_object();
}

}  // namespace

TEST_CASE("all its languages are known here") {
    for (const auto& [language, count] :
         {std::pair{"python", "1\n"}, {"sh", "3\n"}, {"json", "1\n"}, {"cpp", "1\n"}, {"cmake", "1\n"}})
        CHECK(code(language, "count") == count);
    std::ifstream in(document);
    std::size_t fences = 0;
    for (std::string line; std::getline(in, line);) fences += line.starts_with("```");
    CHECK(fences == 2 * 7);
}

TEST_CASE("the Python extractor and the commands that try it") {
    Site site;
    std::filesystem::copy_file(tests::source("bindings/python/jobruntime_extractor.py"),
                               site.folder / "jobruntime_extractor.py");
    site.program("my.py", code("python"));
    const auto ended = site.shell(code("sh", "2"));
    REQUIRE_MESSAGE(ended.status.success(), (ended.out + ended.err));
    const auto info = first_object(ended.out);
    CHECK(info.at("title") == "A talk");
    CHECK(info.at("formats").at(0).at("url") == boost::json::string(site.server.url("/talk.mp4")));
    CHECK_MESSAGE(ended.out.find("ok    cancel") != std::string::npos, ended.out);
}

TEST_CASE("the shell extractor, and its error") {
    Site site;
    site.program("my.sh", code("sh", "1"));
    auto ended = site.shell("jobrt extract https://example.org/talk/1 --command ./my.sh");
    REQUIRE_MESSAGE(ended.status.success(), ended.err);
    CHECK(first_object(ended.out).at("formats").at(0).at("url") == "video.mp4");
    site.server.on("/talk.mp4", test::status(500));
    ended = site.shell("jobrt extract https://example.org/talk/1 --command ./my.sh --json");
    CHECK(first_object(ended.out).at("code") == "NETWORK");
}

TEST_CASE("the rules for a page, recorded and replayed") {
    Site site;
    std::ofstream(site.folder / "jobrt.json") << site.here(code("json"));
    site.variables["JOBRT_CONFIG"] = site.folder / "jobrt.json";
    auto ended = site.shell("jobrt extract https://talks.example.org/talk/7");
    REQUIRE_MESSAGE(ended.status.success(), ended.err);
    const auto info = first_object(ended.out);
    CHECK(info.at("title") == "A talk");
    CHECK(info.at("uploader") == "Ada");
    CHECK(info.at("formats").at(0).at("height") == 720);
    ended = site.shell(code("sh", "3"));
    CHECK_MESSAGE(ended.status.success(), (ended.out + ended.err));
    // And it would notice.
    std::ofstream(site.folder / "talk-7/answer.json") << "{}\n";
    CHECK_FALSE(site.shell(code("sh", "3").substr(code("sh", "3").find('\n') + 1)).status.success());
}

TEST_CASE("the C++ program, built from the document, is one") {
    const Folder folder;
    const auto said = run({tests::program("talks"), "--version"}, environment(folder), folder.path());
    CHECK_MESSAGE(said.out.starts_with("talks "), (said.out + said.err));
}
