// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include <unistd.h>

#include "e2e/support.hpp"

using namespace jobruntime;
using namespace jobruntime::e2e;

namespace {

std::string program(const Folder& folder, const std::string& name, const std::string& text) {
    const auto path = folder / name;
    std::ofstream(path) << text;
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
    return path;
}

boost::json::object object_in(const std::string& text) { return boost::json::parse(text).as_object(); }

}  // namespace

TEST_CASE("extract asks a program, prints what it found, and shows no cookie unless told to") {
    const Folder folder;
    const auto variables = environment(folder);
    program(folder, "my.sh", "#!/bin/sh\necho looking >&2\necho 'Cookie: sid=secret-3' >&2\necho '{\"title\":\"T\",\"formats\":[{\"url\":\"http://127.0.0.1/a.mp4\","
                             "\"http_headers\":{\"Cookie\":\"secret=1\",\"authorization\":\"Bearer secret-2\",\"Referer\":\"http://127.0.0.1/\"}}]}'\n");
    auto ended = jobrt({"extract", "http://127.0.0.1/talk", "--command", "./my.sh"}, variables, folder.path());
    REQUIRE_MESSAGE(ended.status.success(), ended.err);
    const auto info = object_in(ended.out);
    CHECK(info.at("title") == "T");
    CHECK(info.at("formats").at(0).at("http_headers").as_object().size() == 1);
    CHECK(ended.err.find("my.sh: looking") != std::string::npos);
    CHECK(ended.err.find("my.sh: Cookie: ***") != std::string::npos);
    ended = jobrt({"extract", "http://127.0.0.1/talk", "--command", "./my.sh", "--cookies"}, variables, folder.path());
    CHECK(ended.out.find("secret=1") != std::string::npos);
    CHECK(ended.out.find("secret-2") != std::string::npos);
    program(folder, "gone.sh", "#!/bin/sh\necho '{\"type\":\"error\",\"code\":\"NO_MEDIA\",\"message\":\"none at http://127.0.0.1/?token=secret-4\"}'\n");
    for (const auto* json : {"--json", "--cookies"}) {
        ended = jobrt({"extract", "http://127.0.0.1/talk", "--command", "./gone.sh", json}, variables, folder.path());
        CHECK((ended.out + ended.err).find("none at http://127.0.0.1/?token=***") != std::string::npos);
    }
    ended = jobrt({"extract", "http://127.0.0.1/talk", "--extractor", "nobody", "--json"}, variables, folder.path());
    CHECK(ended.status.code == 1);
    CHECK(object_in(ended.out).at("code") == "INVALID_ARGUMENT");
}

TEST_CASE("extract records what it was told, and replays it without the site, the program or a secret") {
    const Folder folder;
    auto variables = environment(folder);
    const auto path = program(folder, "my.sh",
                              "#!/bin/sh\necho looking >&2\necho "
                              "'{\"title\":\"T\",\"formats\":[{\"url\":\"http://127.0.0.1/a.mp4\","
                              "\"http_headers\":{\"Cookie\":\"secret=1\"}}]}'\n");
    const auto live = jobrt({"extract", "http://127.0.0.1/talk", "--command", "./my.sh", "--record", "case"},
                            variables, folder.path());
    REQUIRE_MESSAGE(live.status.success(), live.err);
    CHECK_MESSAGE(live.err.find("recorded in case") != std::string::npos, live.err);
    // That a folder is taken is said before anybody is asked.
    auto ended =
        jobrt({"extract", "http://127.0.0.1/talk", "--command", "./my.sh", "--record", "case", "--json"},
              variables, folder.path());
    CHECK(object_in(ended.out).at("code") == "RECORDING_NOT_WRITTEN");
    CHECK_MESSAGE(ended.err.find("looking") == std::string::npos, ended.err);
    std::filesystem::remove(path);
    variables["JOBRT_ALLOW_NETS"] = "";
    const auto replayed = jobrt({"extract", "--replay", "case"}, variables, folder.path());
    REQUIRE_MESSAGE(replayed.status.success(), replayed.err);
    CHECK(replayed.out == live.out);
    CHECK(replayed.out == contents(folder / "case/answer.json"));
    CHECK(replayed.err.find("my.sh: looking") != std::string::npos);

    // What else a person may get wrong.
    ended = jobrt({"extract", "--replay", "nothing", "--json"}, variables, folder.path());
    CHECK(object_in(ended.out).at("code") == "RECORDING_UNREADABLE");
    for (const auto& words : {std::vector<std::string>{"extract"},
                              {"extract", "http://127.0.0.1/", "--replay", "case"},
                              {"extract", "--replay", "case", "--record", "other"}}) {
        ended = jobrt(words, variables, folder.path());
        CHECK(ended.status.code == 2);
        CHECK_MESSAGE(ended.err.starts_with("jobrt: "), ended.err);
    }
    ended = jobrt({"extractor", "check"}, variables, folder.path());
    CHECK(ended.status.code == 2);
    CHECK_MESSAGE(ended.err.starts_with("jobrt: PROGRAM is required"), ended.err);
}

TEST_CASE("the configuration file's platforms and extractors are used, shown, and refused when wrong") {
    const Folder folder;
    auto variables = environment(folder);
    variables["JOBRT_CONFIG"] = folder / "jobrt.json";
    program(folder, "talks.sh", "#!/bin/sh\nread line; echo \"$line\" >&2\necho '{\"type\":\"error\",\"code\":\"NO_MEDIA\",\"message\":\"text only\"}'\n");
    std::ofstream(folder / "jobrt.json") << R"({
        // A site of our own.
        "extractors": {"talks": {"command": ["./talks.sh"]}},
        "platforms": {"talks": {"hosts": ["127.0.0.1"], "posts": ["/t/{id}"], "canonical": "http://127.0.0.1/t/{id}", "extractors": ["talks"]}},
    })";
    auto ended = jobrt({"extract", "http://127.0.0.1/t/77?share=1", "--json"}, variables, folder.path());
    CHECK(ended.status.code == 1);
    REQUIRE_MESSAGE(!ended.out.empty(), ended.err);
    CHECK(object_in(ended.out).at("code") == "NO_MEDIA");
    CHECK(ended.err.find(R"("url":"http://127.0.0.1/t/77","postId":"77")") != std::string::npos);
    // A recording has what they said, and not how they are set up.
    ended = jobrt({"extract", "http://127.0.0.1/t/77", "--record", "case"}, variables, folder.path());
    CHECK(ended.err.find("recorded in case") != std::string::npos);
    ended = jobrt({"extract", "--replay", "case", "--json"}, variables, folder.path());
    CHECK(object_in(ended.out).at("code") == "NO_MEDIA");
    ended = jobrt({"extract", "--replay", "case", "--json"}, environment(folder), folder.path());
    CHECK(object_in(ended.out).at("code") == "UNSUPPORTED_SOURCE");
    CHECK_MESSAGE(text(object_in(ended.out), "error").find("JOBRT_CONFIG") != std::string::npos, ended.out);
    ended = jobrt({"config", "show", "--json"}, variables, folder.path());
    const auto shown = object_in(ended.out);
    CHECK(shown.at("platforms").at("talks").at("extractors").at(0).at("use") == "talks");
    CHECK(shown.at("extractors").at("talks").at("command").at(0) == boost::json::string(folder / "talks.sh"));
    std::ofstream(folder / "jobrt.json") << R"({"platforms": {"x": {"extractors": ["talks"]}}})";
    // A program of ours may have one of that name: shown with a warning, and refused by who would have to run it.
    const std::string names = "jobrt.json: platforms.x.extractors names \"talks\"";
    ended = jobrt({"config", "show"}, variables, folder.path());
    CHECK(ended.status.code == 0);
    CHECK(ended.err.find(names) != std::string::npos);
    ended = jobrt({"extract", "https://x.com/a/status/1"}, variables, folder.path());
    CHECK(ended.status.code == 1);
    CHECK(ended.err.find(names) != std::string::npos);
}

TEST_CASE("extractor check says what a program does wrong") {
    const Folder folder;
    const auto variables = environment(folder);
    struct Row {
        const char* name;
        std::string text;
        const char* fails;  // Empty = it passes.
        const char* timeout = "2000";
    };
    const std::string good = "echo '{\"url\":\"http://127.0.0.1/a.mp4\"}'\n";
    // Out of its process group, and with nothing of ours in its hands: nobody would end it.
    const std::string nap = "987." + std::to_string(::getpid());  // Nobody else's.
    const std::string leaves = "setsid sh -c \"mkdir left; exec sleep " + nap + "\" </dev/null >/dev/null 2>&1 &\n"
                               "until [ -d left ]; do sleep 0.02; done\n";
    const Row rows[] = {
        {"good.sh", "#!/bin/sh\n" + good, ""},
        // One that is at work when it is asked to stop.
        {"slow.sh", "#!/bin/sh\ntrap 'echo stopped >>" + (folder / "stopped") + "; exit' TERM\nread -r request\nsleep 1 & wait\n" + good,
         "", "30000"},
        {"says_no.sh", "#!/bin/sh\necho '{\"type\":\"error\",\"code\":\"NO_MEDIA\"}'\n", ""},
        {"twice.sh", "#!/bin/sh\n" + good + good, "two results"},
        {"garbage.sh", "#!/bin/sh\necho hello\n", "garbage"},
        {"hangs.sh", "#!/bin/sh\nexec sleep 100\n", "hang"},
        {"floods.sh", "#!/bin/sh\nhead -c 3000000 /dev/zero | tr '\\0' x\n", "flood"},
        {"stubborn.sh", "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.2; done\n", "cancel"},
        {"stubborn_but_answers.sh", "#!/bin/sh\ntrap '' TERM\nsleep 3\n" + good, "cancel", "30000"},
        {"leaves.sh", "#!/bin/sh\n" + leaves + good, "processes"},
        {"leaves_when_stopped.sh", "#!/bin/sh\ntrap '" + leaves + "exit' TERM\nsleep 1 & wait\n" + good, "processes", "30000"},
        {"silent.sh", "#!/bin/sh\nexit 0\n", "answer"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto path = program(folder, row.name, row.text);
        const auto ended =
            jobrt({"extractor", "check", path, "--timeout", row.timeout, "--json"}, variables, folder.path(), 60s);
        REQUIRE_MESSAGE(!ended.out.empty(), ended.err);
        const auto report = object_in(ended.out);
        CAPTURE(ended.out);
        CHECK(report.at("ok").as_bool() == (*row.fails == '\0'));
        CHECK(ended.status.code == (*row.fails == '\0' ? 0 : 1));
        bool named = *row.fails == '\0';
        std::string cancel;
        for (const auto& check : report.at("checks").as_array()) {
            named = named || (check.at("check") == row.fails && !check.at("ok").as_bool());
            if (check.at("check") == "cancel") cancel = check.at("detail").as_string();
        }
        CHECK(named);
        // Also of one that answers at once it was seen.
        CHECK(cancel.starts_with("asked to stop "));
        CHECK(children_with(0, nap).empty());
    }
    CHECK(contents(folder / "stopped") == "stopped\n");
}

TEST_CASE("auth import puts cookies into the profile, and auth status knows them") {
    const Folder folder;
    const auto variables = environment(folder);
    auto ended = jobrt({"auth", "status", "x", "--json"}, variables, folder.path());
    CHECK(ended.status.code == 1);
    CHECK(object_in(ended.out).at("platforms").at("x").at("loggedIn") == false);
    std::ofstream(folder / "cookies.txt") << "#HttpOnly_.x.com\tTRUE\t/\tTRUE\t4102444800\tauth_token\tsecret-value\n"
                                             ".bank.example\tTRUE\t/\tTRUE\t4102444800\tsession\tnot-for-us\n"
                                             ".notx.com\tTRUE\t/\tTRUE\t4102444800\tauth_token\tnot-for-us\n";
    ended = jobrt({"auth", "import", "x", "cookies.txt"}, variables, folder.path(), 90s);
    REQUIRE_MESSAGE(ended.status.success(), ended.err);
    CHECK(ended.out.find("secret-value") == std::string::npos);
    CHECK_MESSAGE(ended.out.find("1 cookies of x are") != std::string::npos, ended.out);
    CHECK_MESSAGE(ended.out.find("2 of other hosts were left out") != std::string::npos, ended.out);
    CHECK_MESSAGE(ended.out.find("The cookie of a log-in is among them") != std::string::npos, ended.out);
    // The storage state of a browser that Playwright drove.
    std::ofstream(folder / "state.json")
        << R"({"cookies":[{"name":"sessionid","value":"secret-value","domain":".tiktok.com","path":"/","expires":-1,)"
           R"("httpOnly":true,"secure":true,"sameSite":"Lax"},{"name":"theme","value":"dark","domain":"other.example",)"
           R"("path":"/","expires":4102444800.5,"httpOnly":false,"secure":false,"sameSite":"None"}],"origins":[]})";
    ended = jobrt({"auth", "import", "tiktok", "state.json", "--json"}, variables, folder.path(), 90s);
    REQUIRE_MESSAGE(ended.status.success(), ended.err);
    const auto said = object_in(ended.out);
    CHECK(said.at("cookies") == 1);
    CHECK(said.at("leftOut") == 1);
    CHECK(said.at("loggedIn") == true);
    const auto kept = folder / "profile/jobrt-cookies.txt";
    CHECK((std::filesystem::status(kept).permissions() & std::filesystem::perms::all) ==
          (std::filesystem::perms::owner_read | std::filesystem::perms::owner_write));
    CHECK_MESSAGE(contents(kept).find("auth_token") != std::string::npos, "the other platform's log-in stays");
    CHECK(contents(kept).find("sessionid") != std::string::npos);
    CHECK(contents(kept).find("not-for-us") == std::string::npos);
    CHECK(contents(kept).find("other.example") == std::string::npos);
    // The profile alone must know them: the browser is what most jobs use.
    std::filesystem::remove(kept);
    ended = jobrt({"auth", "status", "--json"}, variables, folder.path());
    CHECK_MESSAGE(ended.status.success(), ended.out);
    CHECK(object_in(ended.out).at("platforms").at("x").at("loggedIn") == true);
    CHECK(object_in(ended.out).at("platforms").at("tiktok").at("loggedIn") == true);
}

TEST_CASE("auth import says what is wrong with a file, and whether a log-in is in it") {
    const Folder folder;
    const auto variables = environment(folder);
    std::ofstream(folder / "guest.txt") << "x.com\tFALSE\t/\tTRUE\t4102444800\tguest_id\tv1\n"
                                           ".x.com\tTRUE\t/\tTRUE\t1000000000\tauth_token\tran-out\n";
    auto ended = jobrt({"auth", "import", "x", "guest.txt"}, variables, folder.path(), 90s);
    CHECK_MESSAGE(ended.status.success(), ended.err);
    CHECK_MESSAGE(ended.out.find("No cookie of a log-in that is still good is among them (auth_token@x.com)") != std::string::npos,
                  ended.out);
    ended = jobrt({"auth", "import", "tiktok", "guest.txt"}, variables, folder.path());
    CHECK(ended.status.code == 1);
    CHECK_MESSAGE(ended.err.find("has no cookie of tiktok, but 2 of other hosts") != std::string::npos, ended.err);
    CHECK(jobrt({"auth", "import", "nonsense", "guest.txt"}, variables, folder.path()).status.code == 2);
    CHECK(jobrt({"auth", "import", "guest.txt"}, variables, folder.path()).status.code == 2);
    std::ofstream(folder / "state.json") << R"({"cookies":[{"name":"a","value":"secret-value"}]})";
    ended = jobrt({"auth", "import", "x", "state.json"}, variables, folder.path());
    CHECK(ended.status.code == 1);
    CHECK_MESSAGE(ended.err.find("INVALID_COOKIE_FILE: cookies[0]") != std::string::npos, ended.err);
    CHECK(ended.err.find("secret-value") == std::string::npos);
    std::ofstream(folder / "bad.txt") << "x.com\tTRUE\tsecret-value\n";
    ended = jobrt({"auth", "import", "x", "bad.txt"}, variables, folder.path());
    CHECK(ended.status.code == 1);
    CHECK(ended.err.find("INVALID_COOKIE_FILE: line 1") != std::string::npos);
    CHECK(ended.err.find("secret-value") == std::string::npos);
}
