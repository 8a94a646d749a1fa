// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <fstream>
#include <set>

#include <doctest/doctest.h>

#include "e2e/support.hpp"

// Every curl line of docs/api.md, as it stands there, against a running jobrt.
namespace jobruntime::e2e {
namespace {

struct Example {
    std::string section;   ///< "GET /api/health", or the heading's words.
    std::string command;
    std::string expected;  ///< "409 INVALID_STATE" of the comment behind it; empty = it succeeds.
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// The commands of the blocks ```sh, each with what the comment behind it says.
std::vector<Example> examples(const std::string& path) {
    std::vector<Example> list;
    std::ifstream file(path);
    std::string section;
    bool inside = false;
    bool fresh = false;  // The line before was a command.
    for (std::string line; std::getline(file, line);) {
        if (line.starts_with("#") && !inside) section = line.substr(line.find_first_not_of("#` "));
        if (line.starts_with("```")) {
            inside = line == "```sh";
            continue;
        }
        if (!inside || line.empty()) continue;
        if (line.starts_with("# ")) {
            if (fresh && line.size() > 4 && is_digit(line[2]) && line.find('{') != 6) list.back().expected = line.substr(2);
            fresh = false;
            continue;
        }
        if (!list.empty() && list.back().command.ends_with("\\")) {
            list.back().command.pop_back();
            list.back().command += line;
        } else {
            list.push_back({section.substr(0, section.find('`')), line, {}});
        }
        fresh = true;
    }
    return list;
}

void replace(std::string& text, std::string_view what, const std::string& with) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) text.replace(at, what.size(), with);
}

/// A job in the state that the section's change wants.
std::string job_for(const std::string& section, int port) {
    const auto made = http(port, "POST", "/api/jobs", R"({"kind":"demo.echo","delayMs":3600000})").json();
    REQUIRE(made.contains("job"));
    const std::string id(made.at("job").at("id").as_string());
    if (section.find("retry") != std::string::npos || section.find("bulk") != std::string::npos)
        REQUIRE(http(port, "POST", "/api/jobs/" + id + "/cancel").status == 200);
    return id;
}

TEST_CASE("every curl line of docs/api.md works as it stands there") {
    const Folder folder;
    auto variables = environment(folder);
    variables["ROLE"] = "api";
    Service api(folder, variables);
    const int port = api.port();
    const auto list = examples(SOURCE_DIR "/docs/api.md");
    REQUIRE(list.size() > 20);
    for (int i = 0; i < 2; ++i) REQUIRE(http(port, "POST", "/api/jobs", R"({"kind":"demo.sleep"})").status == 201);
    const std::string cursor(http(port, "GET", "/api/jobs?limit=1").json().at("nextCursor").as_string());
    REQUIRE(http(port, "POST", "/api/jobs", R"({"kind":"demo.greet","payload":{"name":"Ada"}})").status == 201);
    std::set<std::string> codes;
    std::string session, held, fence;  // Of the worker by HTTP, from its answers before.
    for (const auto& example : list) {
        const auto at = example.command.find("curl -s");
        if (at == std::string::npos) continue;
        auto command = example.command;
        replace(command, "http://127.0.0.1:4000", "http://127.0.0.1:" + std::to_string(port));
        replace(command, "cursor=…", "cursor=" + cursor);
        replace(command, "\"session\":\"0190f3c2-…\"", "\"session\":\"" + session + "\"");
        replace(command, "\"jobId\":\"…\"", "\"jobId\":\"" + held + "\"");
        replace(command, "\"fence\":\"4294967297\"", "\"fence\":\"" + fence + "\"");
        if (command.find("/downloads/") == std::string::npos)
            replace(command, "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f", job_for(example.section, port));
        // A stream has no end.
        const std::string limit = command.substr(at, 8) == "curl -sN" ? "1" : "20";
        command.insert(at + 4, " --max-time " + limit + " -w '\n%{http_code}'");
        CAPTURE(command);
        const auto ended = run({"/bin/bash", "-c", command}, {{"PATH", "/usr/bin:/bin"}}, folder.path());
        const auto line = ended.out.rfind('\n');
        REQUIRE(line != std::string::npos);
        const auto status = ended.out.substr(line + 1);
        CAPTURE(ended.out.substr(0, 500));
        if (example.section == "POST /api/worker/beat")
            session = boost::json::parse(ended.out.substr(0, line)).at("session").as_string();
        if (example.section == "POST /api/worker/claim") {
            const auto job = boost::json::parse(ended.out.substr(0, line)).at("jobs").at(0);
            held = job.at("id").as_string();
            fence = job.at("fence").as_string();
        }
        if (example.expected.empty()) {
            // Nothing was saved here, and where no token is asked for, the log-in page leads on.
            const bool elsewhere = (status == "404" && command.find("/downloads/") != std::string::npos) ||
                                   (status == "303" && command.ends_with("/login"));
            CHECK((status[0] == '2' || elsewhere));
            continue;
        }
        CHECK(status == example.expected.substr(0, 3));
        const auto code = example.expected.substr(4, example.expected.find_first_of(" :", 4) - 4);
        CHECK(ended.out.find("\"code\":\"" + code + "\"") != std::string::npos);
        codes.insert(code);
    }
    CHECK(codes.size() >= 10);
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
