// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "host/src/settings.hpp"

using namespace jobruntime::host;

namespace {

/// A folder that is gone afterwards.
struct Folder {
    Folder() {
        std::string pattern = (std::filesystem::temp_directory_path() / "jobrt-settings-XXXXXX").string();
        path = mkdtemp(pattern.data());
    }
    ~Folder() { std::filesystem::remove_all(path); }
    void write(const std::string& name, std::string_view text) const {
        std::filesystem::create_directories(std::filesystem::path(path + "/" + name).parent_path());
        std::ofstream(path + "/" + name, std::ios::binary) << text;
    }
    std::string path;
};

using Variables = std::map<std::string, std::string>;

Settings load(const Folder& folder, const Variables& flags, const Variables& environment, const std::string& env_file = "") {
    auto loaded = Settings::load(flags, environment, env_file, folder.path);
    REQUIRE_MESSAGE(loaded.has_value(), (loaded ? "" : loaded.error().message));
    return *std::move(loaded);
}

bool warns_of(const Settings& settings, std::string_view word) {
    return std::any_of(settings.warnings().begin(), settings.warnings().end(),
                       [&](const std::string& line) { return line.find(word) != std::string::npos; });
}

}  // namespace

TEST_CASE("a stronger source wins, and each value says where it is from") {
    Folder folder;
    folder.write("jobrt.json", "// comment\n{\"port\": 5, \"grace\": 50, \"headless\": false, \"settle\": \"7\"}");
    folder.write(".env", "PORT=4\nJOBRT_GRACE_MS=40\nPLAYWRIGHT_HEADLESS=yes\n");
    const Variables environment{{"PORT", "3"}, {"JOBRT_GRACE_MS", "30"}, {"JOBRT_CONFIG", folder.path + "/jobrt.json"}};
    const auto settings = load(folder, {{"port", "2"}}, environment);
    CHECK(settings.text("port") == "2");
    CHECK(settings.find("port")->source == Source::flag);
    CHECK(settings.text("grace") == "30");
    CHECK(settings.find("grace")->source == Source::environment);
    CHECK(settings.text("headless") == "yes");
    CHECK(settings.find("headless")->source == Source::env_file);
    CHECK(settings.text("settle") == "7");
    CHECK(settings.find("settle")->source == Source::file);
    CHECK(settings.text("lease") == "30000");
    CHECK(settings.find("lease")->source == Source::fallback);
}

TEST_CASE("empty counts as unset, and aliases count") {
    Folder folder;
    folder.write(".env", "ROLE=worker\n");
    const auto settings = load(folder, {{"port", ""}}, {{"ROLE", ""}, {"PROCESS_ROLE", "api"}, {"PORT", ""}});
    CHECK(settings.text("role") == "api");
    CHECK(settings.text("port") == "4000");
    const auto from_file = load(folder, {}, {{"ROLE", ""}});
    CHECK(from_file.text("role") == "worker");
    CHECK(load(folder, {}, {{"ROLE", "api"}, {"PROCESS_ROLE", "api"}}).text("role") == "api");
    const auto torn = Settings::load({}, {{"MONGODB_URI", "mongodb://a:s3cret@h/a"}, {"MONGO_URI", "mongodb://h/b"}}, "", folder.path);
    REQUIRE_FALSE(torn.has_value());
    CHECK(torn.error().message.find("MONGODB_URI and MONGO_URI are both set and differ") == 0);
    CHECK(torn.error().message.find("s3cret") == std::string::npos);
}

TEST_CASE("the old program's .env is read as it is") {
    const auto parsed = parse_env_file("\xEF\xBB\xBFMONGODB_URI=\"mongodb://a:b@h/db\"\r\n# comment\r\n\r\n"
                                       "export PORT = 4001 # trailing\r\nQUOTED='a # b'\r\nLINES=\"one\ntwo\\nthree\"\r\n"
                                       "TICKS=`it's`\nEMPTY=\nSPACES=  a b  \n");
    REQUIRE(parsed.has_value());
    CHECK(parsed->at("MONGODB_URI") == "mongodb://a:b@h/db");
    CHECK(parsed->at("PORT") == "4001");
    CHECK(parsed->at("QUOTED") == "a # b");
    CHECK(parsed->at("LINES") == "one\ntwo\nthree");
    CHECK(parsed->at("TICKS") == "it's");
    CHECK(parsed->at("EMPTY").empty());
    CHECK(parsed->at("SPACES") == "a b");
    CHECK(parsed->size() == 7);
}

TEST_CASE("a broken .env names the line") {
    const std::pair<std::string, std::string> rows[] = {
        {"A=1\nno equals sign\n", "line 2"}, {"=x\n", "line 1"}, {"A=\"never closed\n", "line 1"}};
    for (const auto& [text, expected] : rows) {
        CAPTURE(text);
        auto parsed = parse_env_file(text);
        REQUIRE_FALSE(parsed.has_value());
        CHECK(parsed.error().message.find(expected) != std::string::npos);
    }
}

TEST_CASE("./server/.env is found with a notice, ./.env goes before it, --env-file before both") {
    Folder folder;
    folder.write("server/.env", "PORT=1111\n");
    const auto old_place = load(folder, {}, {});
    CHECK(old_place.text("port") == "1111");
    CHECK(warns_of(old_place, "server/.env"));
    folder.write(".env", "PORT=2222\n");
    CHECK(load(folder, {}, {}).text("port") == "2222");
    folder.write("other.env", "PORT=3333\n");
    CHECK(load(folder, {}, {}, folder.path + "/other.env").text("port") == "3333");
    CHECK_FALSE(Settings::load({}, {}, folder.path + "/missing.env", folder.path).has_value());
}

TEST_CASE("unknown and retired variables are named, tests' own are not") {
    Folder folder;
    const auto settings = load(folder, {}, {{"JOBRT_TYPO", "1"}, {"JOBRT_TEST_SCALE", "10"}, {"JOBRT_FIXTURES", "/x"},
                                            {"WORKER_POLL_MS", "5"}, {"PATH", "/bin"}, {"JOBRT_EMPTY_TYPO", ""}});
    CHECK(warns_of(settings, "JOBRT_TYPO"));
    CHECK(warns_of(settings, "WORKER_POLL_MS"));
    CHECK_FALSE(warns_of(settings, "JOBRT_TEST_SCALE"));
    CHECK_FALSE(warns_of(settings, "JOBRT_FIXTURES"));
    CHECK_FALSE(warns_of(settings, "JOBRT_EMPTY_TYPO"));
    CHECK_FALSE(warns_of(settings, "PATH"));
}

TEST_CASE("a configuration file that is wrong is refused by name") {
    Folder folder;
    const std::pair<std::string, std::string> rows[] = {
        {"{\"prot\": 1}", "prot"}, {"[1]", "object"}, {"{\"port\": {}}", "port"}, {"{oops", "JSON"},
        {"{\"config\": \"again.json\"}", "config"}};
    for (const auto& [text, expected] : rows) {
        CAPTURE(text);
        folder.write("c.json", text);
        auto loaded = Settings::load({{"config", folder.path + "/c.json"}}, {}, "", folder.path);
        REQUIRE_FALSE(loaded.has_value());
        CHECK(loaded.error().message.find(expected) != std::string::npos);
    }
    CHECK_FALSE(Settings::load({{"config", folder.path + "/none.json"}}, {}, "", folder.path).has_value());
}
