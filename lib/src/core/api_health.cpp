// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <utility>

#include <boost/json/array.hpp>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

using Session = core::StoreProbe::Session;

bool is_gone(const SessionInfo& info) { return info.facts.stopped || info.declared_dead || info.seen_dead; }

/// Both health routes need no token, so they say no more than this.
Response store_down() {
    auto response = Response::json(503, {{"ok", false}, {"status", "unavailable"}, {"error", "The store does not answer"}});
    core::set_header(response, "retry-after", "2");
    return response;
}

/// The worker whose beat is the newest; of those that live, when any does.
const Session* freshest_worker(std::span<const Session> sessions) {
    const Session* best = nullptr;
    for (const auto& session : sessions) {
        if (!session.info.facts.works) continue;
        if (!best || std::pair(is_gone(session.info), session.age) < std::pair(is_gone(best->info), best->age))
            best = &session;
    }
    return best;
}

boost::json::array strings(const std::vector<std::string>& list) { return boost::json::array(list.begin(), list.end()); }

boost::json::object session_json(const Session& session, Duration lease) {
    const SessionFacts& facts = session.info.facts;
    return {{"id", session.info.id.str()},
            {"host", facts.host},
            {"pid", facts.pid},
            {"role", facts.role},
            {"version", facts.version},
            {"startedAt", to_iso(session.info.started_at)},
            {"beatAgeMs", session.age.count()},
            {"running", facts.running},
            {"live", session.age <= lease},
            {"works", facts.works},
            {"kinds", strings(facts.kinds)},
            {"queues", strings(facts.queues)},
            {"details", facts.details}};
}

boost::json::array sessions_json(const std::vector<Session>& sessions, bool workers_only, Duration lease) {
    boost::json::array list;
    for (const auto& session : sessions)
        if (!is_gone(session.info) && (session.info.facts.works || !workers_only))
            list.push_back(session_json(session, lease));
    return list;
}

}  // namespace

boost::json::object worker_health(std::span<const AgedSession> sessions, Duration stale_after, Duration lease) {
    const Session* worker = freshest_worker(sessions);
    if (!worker)
        return {{"ok", false},
                {"error", "No heartbeat recorded"},
                {"lastHeartbeatAt", nullptr},
                {"ageMs", nullptr},
                {"staleAfterMs", stale_after.count()},
                {"workers", 0}};
    const SessionInfo& info = worker->info;
    std::string_view error;
    if (info.facts.stopped) error = "Worker stopped";
    else if (is_gone(info)) error = "Worker died";
    else if (worker->age > stale_after) error = "Heartbeat is too old";
    const auto live = std::ranges::count_if(sessions, [&](const Session& session) {
        return session.info.facts.works && !is_gone(session.info) && session.age <= lease;
    });
    boost::json::object object{{"ok", error.empty()}};
    if (!error.empty()) object["error"] = error;
    object["lastHeartbeatAt"] = to_iso(info.beat_at);
    object["ageMs"] = worker->age.count();
    object["staleAfterMs"] = stale_after.count();
    object["workers"] = live;
    object["startedAt"] = to_iso(info.started_at);
    return object;
}

void ApiRouter::Impl::add_health_routes() {
    on("GET", "/api/health", [this](const Request&, const RouteMatch& match) {
        if (!match.at_once && !probe.answers()) return store_down();
        return Response::json(200, {{"ok", true},
                                    {"status", "ok"},
                                    {"service", options.service},
                                    {"timestamp", to_iso(clock.wall())}});
    });
    on("GET", "/api/worker/health", [this](const Request&, const RouteMatch&) {
        const auto sessions = probe.sessions();
        if (!sessions) return store_down();
        return Response::json(200, worker_health(*sessions, options.stale_after, options.lease));
    });
    on("GET", "/api/workers", [this](const Request&, const RouteMatch&) {
        const auto sessions = probe.sessions();
        if (!sessions) return self.error_response(sessions.error());
        return Response::json(200, {{"ok", true}, {"workers", sessions_json(*sessions, true, options.lease)}});
    });
    on("GET", "/api/status", [this](const Request&, const RouteMatch&) {
        const auto sessions = probe.sessions();
        if (!sessions) return self.error_response(sessions.error());
        boost::json::object object{{"ok", true},
                                   {"role", options.role},
                                   {"version", options.version},
                                   {"store", queue.store().describe()},
                                   {"startedAt", to_iso(started_at)}};
        for (const auto& [name, value] : options.status) object[name] = value;
        if (options.status_now) options.status_now(object);
        object["sessions"] = sessions_json(*sessions, false, options.lease);
        return Response::json(200, std::move(object));
    });
}

}  // namespace jobruntime
