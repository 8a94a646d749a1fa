// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <algorithm>
#include <iostream>

#include <jobruntime/api_router.hpp>
#include <jobruntime/clock.hpp>

namespace jobruntime::jobrt {
namespace {

/// As the API says it; but one look sees no beat change.
boost::json::object health_of_workers(const Invocation& in, std::vector<SessionInfo> sessions) {
    const auto now = system_clock().wall();
    std::vector<AgedSession> aged;
    for (auto& session : sessions) {
        const auto age = age_of(session, now);
        aged.push_back({std::move(session), age});
    }
    return worker_health(aged, in.config.stale, in.config.lease);
}

Result<boost::json::object> from_store(const Invocation& in) {
    auto store = existing_store(in);
    if (!store) return Error{Errc::unavailable, "STORE_UNAVAILABLE", "the store cannot be opened"};
    auto sessions = store->sessions();
    if (!sessions) return std::move(sessions).error();
    if (in.has("worker")) return health_of_workers(in, *std::move(sessions));
    return boost::json::object{{"ok", true}, {"status", "ok"}, {"service", in.setup.name},
                               {"timestamp", to_iso(system_clock().wall())}};
}

/// Its words also when it is not well, which it says with 503.
Result<boost::json::object> from_api(const Invocation& in) {
    auto answer = call_api(in.text("api"), in.has("worker") ? "/api/worker/health" : "/api/health");
    if (!answer) return std::move(answer).error();
    if (answer->status >= 400 && answer->status != 503) return refused(*answer);
    return std::move(answer->body);
}

int health(const Invocation& in) {
    auto answer = in.has("api") ? from_api(in) : from_store(in);
    if (!answer) return fail(in, answer.error());
    const auto* ok = answer->if_contains("ok");
    const bool healthy = ok && ok->is_bool() && ok->get_bool();
    if (in.has("json")) {
        print_json(*answer);
    } else {
        const auto* error = answer->if_contains("error");
        std::cout << (healthy ? "ok" : "not ok")
                  << (error && error->is_string() ? ": " + std::string(error->get_string()) : std::string()) << "\n";
    }
    return healthy ? host::exit_ok : host::exit_failed;
}

}  // namespace

std::vector<Command> health_commands() {
    return {{"health", "Exit code 0 when all is well, for supervisors.",
             {{"--worker", "Ask for a live worker instead of the store."},
              {"--api URL", "Ask this API instead of the store."}, {"--json", "Print the answer as JSON."}},
             {"jobrt health", "jobrt health --worker", "jobrt health --api http://127.0.0.1:4000"}, health}};
}

}  // namespace jobruntime::jobrt
