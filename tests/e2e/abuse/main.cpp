// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
//
// Puts an API through what hostile or merely numerous clients do, and prints what became of it. Exit status 1 when an event
// was missed, memory or threads grew, somebody was not answered or not dropped in time, or health took 500 ms; at full size 100 ms, and when what has a rate was late.
#define DOCTEST_CONFIG_IMPLEMENT  // What the end-to-end tests share checks with it.
#include <doctest/doctest.h>

#include <sys/resource.h>

#include <cstdio>
#include <filesystem>
#include <iostream>
#include <thread>

#include "e2e/abuse/trials.hpp"
#include "support/places.hpp"

namespace jobruntime::abuse {
namespace {

using namespace std::chrono_literals;

/// One API, and what it is put through.
struct Trial {
    const char* name;
    bool tokens = false;  ///< It asks for them.
    bool room = false;    ///< For more connections than there are; else as many as unless set otherwise.
    bool streams = true;
};

constexpr Trial trials[] = {
    {"As it is unless set otherwise"},
    {.name = "With room for every connection", .room = true, .streams = false},
    {.name = "With tokens, and room for every connection", .tokens = true, .room = true},
};

/// Of what `jobrt token create` prints; "" when it failed.
std::string make_token(const std::string& program, const e2e::Variables& variables, const e2e::Folder& folder, const char* name) {
    const auto made = e2e::run({program, "token", "create", name, "--role", "operate"}, variables, folder.path());
    if (made.status.code != 0) std::cerr << "abuse: no token can be made: " << made.err;
    return made.out.substr(0, made.out.find('\n'));
}

int run(const std::string& program, const Size& size, const Trial& trial) {
    const e2e::Folder folder;
    auto variables = e2e::environment(folder);
    variables["ROLE"] = "api";
    variables["JOBRT_GRACE_MS"] = "30000";  // As it is unless set otherwise.
    variables["JOBRT_MAX_STREAMS"] = std::to_string(size.subscribers + 2 * size.deaf);
    if (trial.room) variables["JOBRT_MAX_CONNECTIONS"] = std::to_string(size.drips + size.idle + 1'000);
    Api api;
    std::string second;
    if (trial.tokens) {
        variables["JOBRT_TOKEN_FILE"] = folder / "tokens";
        api.token = make_token(program, variables, folder, "first");
        second = make_token(program, variables, folder, "second");
    }
    e2e::Service service(folder, variables, 30s, {program});
    if (service.ready().empty()) {
        std::cerr << "abuse: " << program << " does not start: " << service.program().err();
        return 2;
    }
    std::printf("%s\n", trial.name);
    api.port = service.port();
    HealthWatch health(api);
    // Every thread that the first requests start is there then.
    post_jobs(api, 10, 1);
    std::this_thread::sleep_for(500ms);
    health.take();
    Report report(service.program().pid(), size.full);
    std::this_thread::sleep_for(1s);
    report.row("alone", health.take());
    if (trial.streams) storm(size, api, health, report);
    std::this_thread::sleep_for(500ms);
    health.take();
    crowded(size, api, trial.room, health, report);
    // It waits for heartbeats.
    if (trial.tokens && size.full)
        revoked(size, {api.port, second}, [&] { e2e::run({program, "token", "revoke", second.substr(4, 8)}, variables, folder.path()); },
                health, report);
    health.stop();
    parting(size, api, service, report);
    return report.failed() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace jobruntime::abuse

int main(int argc, char** argv) {
    using namespace jobruntime::abuse;
    doctest::Context context;
    context.setAsDefaultForAssertsOutOfTestCases();
    std::string program = jobruntime::tests::program("jobrt");
    Size size;
    for (int i = 1; i < argc; ++i) {
        const std::string_view word(argv[i]);
        if (word == "--small") {
            size = small;
        } else if (word == "--program" && i + 1 < argc) {
            program = std::filesystem::absolute(argv[++i]).string();  // It runs in another folder.
        } else {
            std::cerr << "usage: abuse [--small] [--program JOBRT]\n";
            return 2;
        }
    }
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    const auto needed = static_cast<rlim_t>(size.subscribers + 2 * size.deaf + size.drips + size.idle + 200);
    if (limit.rlim_cur < needed) {
        std::cout << "skipped: this needs " << needed << " open files, and the system allows " << limit.rlim_cur << "\n";
        return 77;
    }
    int failed = 0;
    for (const auto& trial : trials) {
        if (trial.room && !trial.tokens && !size.full) continue;
        Size its = size;
        if (trial.room && !size.full) its.drips = 0;  // Those of the first trial have shown it, in ten seconds.
        const int status = run(program, its, trial);
        if (status == 2) return 2;
        failed += status;
    }
    std::printf("%s\n", failed == 0 ? "all bars are kept" : "some bars are missed");
    return failed == 0 ? 0 : 1;
}
