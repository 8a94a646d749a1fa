// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <fstream>
#include <future>
#include <memory>
#include <set>
#include <utility>

#include <doctest/doctest.h>

#include "e2e/example_stage.hpp"

// Every curl line of docs/api.md, as it stands there, against a running jobrt.
namespace jobruntime::e2e {
namespace {

struct Example {
    std::string section;   ///< "GET /api/health", or the heading's words.
    std::size_t block = 0; ///< Which of the document it stands in.
    std::string needs;     ///< Of its block: what jobrt is started with.
    std::string command;
    std::string expected;  ///< "409 INVALID_STATE" of the comment behind it; empty = it succeeds.

    std::string code() const { return expected.empty() ? "" : expected.substr(4, expected.find_first_of(" :", 4) - 4); }
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The commands of the blocks ```sh, each with what the comment behind it says.
std::vector<Example> examples(const std::string& path) {
    constexpr std::string_view with = "# jobrt with ";
    std::vector<Example> list;
    std::ifstream file(path);
    std::string section, needs;
    std::size_t block = 0;
    bool inside = false;
    bool fresh = false;  // The line before was a command.
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("#") && !inside) section = line.substr(line.find_first_not_of("#` "));
        if (line.starts_with("```")) {
            inside = line == "```sh";
            needs.clear();
            ++block;
            continue;
        }
        if (!inside || line.empty()) continue;
        if (line.starts_with(with)) {
            needs = line.substr(with.size());
        } else if (line.starts_with("# ")) {
            if (fresh && line.size() > 4 && is_digit(line[2]) && line.find('{') != 6) list.back().expected = line.substr(2);
            fresh = false;
        } else if (!list.empty() && list.back().command.ends_with("\\")) {
            list.back().command.pop_back();
            list.back().command += line;
        } else {
            list.push_back({section.substr(0, section.find('`')), block, needs, line, {}});
            fresh = true;
        }
    }
    return list;
}

/// The codes of a table whose heading begins so: those that stand in `its` cell.
std::set<std::string> codes_of_table(const std::string& path, std::string_view heading, std::size_t its) {
    std::set<std::string> codes;
    std::ifstream file(path);
    bool inside = false;
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with(heading)) inside = true;
        if (!line.starts_with("|")) inside = false;
        std::size_t at = 0;
        for (std::size_t i = 0; i < its && at != std::string::npos; ++i) at = line.find('|', at + 1);
        if (inside && at != std::string::npos && line.compare(at, 3, "| `") == 0)
            codes.insert(line.substr(at + 3, line.find('`', at + 3) - at - 3));
    }
    return codes;
}

/// Runs an example with that server; what it printed, and the status behind it.
struct Printed {
    std::string text;
    std::string status;
};
Printed try_example(const Stage& stage, const Example& example) {
    auto command = example.command;
    const auto at = command.find("curl -s");
    // A stream has no end.
    const std::string limit = command.substr(at, 8) == "curl -sN" ? "1" : "20";
    command.insert(at + 4, " --max-time " + limit + " -w '\n%{http_code}'");
    const auto out = run({"/bin/bash", "-c", command}, {{"PATH", "/usr/bin:/bin"}}, stage.folder()).out;
    const auto line = out.rfind('\n');
    if (line == std::string::npos) return {command + " printed: " + out, "no status"};
    return {out.substr(0, line), out.substr(line + 1)};
}

void check_printed(const Example& example, const Printed& printed) {
    CAPTURE(example.command);
    CAPTURE(printed.text.substr(0, 500));
    if (example.expected.empty()) {
        // Where no token is asked for, the log-in page leads on.
        CHECK((printed.status[0] == '2' || (printed.status == "303" && example.command.ends_with("/login"))));
        return;
    }
    CHECK(printed.status == example.expected.substr(0, 3));
    CHECK(printed.text.find("\"code\":\"" + example.code() + "\"") != std::string::npos);
}

const std::string document = tests::source("docs/api.md");

TEST_CASE("every curl line of docs/api.md works as it stands there") {
    const auto list = examples(document);
    REQUIRE(list.size() > 60);
    std::unique_ptr<Stage> stage, main_stage = std::make_unique<Stage>("");
    std::size_t block = 0;
    std::vector<std::pair<Example, std::future<Printed>>> slow;
    for (auto example : list) {
        if (example.command.find("curl -s") == std::string::npos) continue;
        CAPTURE(example.command);
        if (example.block != std::exchange(block, example.block)) {
            main_stage->forget_job();
            stage.reset();
            if (!example.needs.empty()) stage = std::make_unique<Stage>(example.needs);
        }
        Stage& here = stage ? *stage : *main_stage;
        if (!here.missing().empty()) {
            MESSAGE("skipped: " << example.expected << ", because " << here.missing());
            continue;
        }
        example.command = here.filled_in(example.section, example.command);
        if (example.code() == "REQUEST_TIMEOUT") {  // Others need not wait for it.
            slow.emplace_back(example, std::async(std::launch::async, [&here, example] { return try_example(here, example); }));
            continue;
        }
        const auto printed = try_example(here, example);
        check_printed(example, printed);
        if (example.expected.empty()) here.learn(example.command, printed.text);
    }
    for (auto& [example, printed] : slow) check_printed(example, printed.get());
}

TEST_CASE("docs/api.md has of every error code an example, or says why there is none") {
    const auto all = codes_of_table(document, "| status | code | when |", 1);
    const auto rest = codes_of_table(document, "| code | comes |", 0);
    REQUIRE(all.size() > 40);
    std::set<std::string> shown;
    for (const auto& example : examples(document))
        if (!example.expected.empty()) shown.insert(example.code());
    for (const auto& code : all) CHECK_MESSAGE(shown.contains(code) + rest.contains(code) == 1, code);
    for (const auto& code : shown) CHECK_MESSAGE(all.contains(code), code);
    for (const auto& code : rest) CHECK_MESSAGE(all.contains(code), code);
}

TEST_CASE("a packed answer is the same text once it is unpacked, and has the same tag") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    for (int i = 0; i < 20; ++i) REQUIRE(http(api.port(), "POST", "/api/jobs", R"({"kind":"demo.echo","delayMs":3600000})").status == 201);
    const auto ask = [&](const std::string& option) {
        return run({"/usr/bin/curl", "-s", "-D", "head" + option, "--max-time", "20", option.empty() ? "-s" : option,
                    "http://127.0.0.1:" + std::to_string(api.port()) + "/api/jobs"},
                   {}, folder.path()).out;
    };
    const auto head = [&](const std::string& option, const std::string& name) {
        std::ifstream file(folder / ("head" + option));
        for (std::string line; std::getline(file, line);)
            if (line.starts_with(name + ": ")) return line.substr(name.size() + 2, line.size() - name.size() - 3);
        return std::string();
    };
    const auto plain = ask("");
    const auto packed = ask("--compressed");
    CHECK(plain.size() > 5000);
    CHECK(packed == plain);
    CHECK(head("--compressed", "content-encoding") == "gzip");
    CHECK(std::stoul("0" + head("--compressed", "content-length")) < plain.size() / 4);
    CHECK(head("--compressed", "etag") == head("", "etag"));
    CHECK(head("", "content-encoding").empty());
    CHECK(head("", "vary") == "accept-encoding");
}

}  // namespace
}  // namespace jobruntime::e2e
