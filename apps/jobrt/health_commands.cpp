// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "commands.hpp"

#include <algorithm>
#include <iostream>

#include <jobruntime/clock.hpp>

namespace jobruntime::jobrt {
namespace {

/// Is there a live worker, by what the store says right now?
boost::json::object worker_health(const Invocation& in, const std::vector<SessionInfo>& sessions) {
    const auto stale = in.config.stale;
    const SessionInfo* freshest = nullptr;
    bool all_stopped = true;
    for (const auto& session : sessions) {
        if (!session.facts.works) continue;
        if (!freshest || session.beat_at > freshest->beat_at) freshest = &session;
        if (!session.facts.stopped && !session.declared_dead && !session.seen_dead) all_stopped = false;
    }
    if (!freshest)
        return {{"ok", false}, {"error", "No heartbeat recorded"}, {"lastHeartbeatAt", nullptr}, {"ageMs", nullptr},
                {"staleAfterMs", stale.count()}};
    const auto age = std::max(Duration{0}, system_clock().wall() - freshest->beat_at);
    boost::json::object answer{{"ok", !all_stopped && age <= stale}, {"lastHeartbeatAt", to_iso(freshest->beat_at)},
                               {"ageMs", age.count()}, {"staleAfterMs", stale.count()}};
    if (all_stopped) answer["error"] = "Worker stopped";
    return answer;
}

Result<boost::json::object> from_store(const Invocation& in) {
    auto store = existing_store(in);
    if (!store) return Error{Errc::unavailable, "STORE_UNAVAILABLE", "the store cannot be opened"};
    auto sessions = store->sessions();
    if (!sessions) return std::move(sessions).error();
    if (in.has("worker")) return worker_health(in, *sessions);
    return boost::json::object{{"ok", true}, {"status", "ok"}, {"service", in.setup.name},
                               {"timestamp", to_iso(system_clock().wall())}};
}

int health(const Invocation& in) {
    auto answer = in.has("api") ? get_api(in.text("api"), in.has("worker") ? "/api/worker/health" : "/api/health")
                                : from_store(in);
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
