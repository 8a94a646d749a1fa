// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <map>

#include <boost/json/array.hpp>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

struct QueueFacts {
    std::vector<CountRow> rows;
    bool paused = false;
    int workers = 0;
    std::int64_t concurrency = 0;
};

boost::json::object queue_json(const std::string& name, const QueueFacts& facts, Time now) {
    std::optional<Time> oldest;
    for (const auto& row : facts.rows)
        if (row.oldest && *row.oldest <= now && (!oldest || *row.oldest < *oldest)) oldest = row.oldest;
    boost::json::object object{{"queue", name}, {"paused", facts.paused}, {"counts", core::counts_json(facts.rows)}};
    object["oldestDueAt"] = oldest ? boost::json::value(to_iso(*oldest)) : boost::json::value(nullptr);
    object["oldestDueMs"] = oldest ? boost::json::value((now - *oldest).count()) : boost::json::value(nullptr);
    object["workers"] = facts.workers;
    object["concurrency"] = facts.concurrency;
    return object;
}

/// Adds what a living worker says about the queues it serves.
void add_worker(std::map<std::string, QueueFacts>& queues, const SessionFacts& facts) {
    const auto* places = facts.details.if_contains("concurrency");
    for (const auto& name : facts.queues) {
        auto& queue = queues[name];
        ++queue.workers;
        const auto* own = places && places->is_object() ? places->get_object().if_contains(name) : nullptr;
        if (own && own->is_int64()) queue.concurrency += own->get_int64();
    }
}

}  // namespace

Response ApiRouter::Impl::list_queues() {
    const auto rows = queue.count({}, CountBy::queue_and_state);
    if (!rows) return self.error_response(rows.error());
    const auto paused = queue.paused();
    if (!paused) return self.error_response(paused.error());
    const auto sessions = probe.sessions();
    if (!sessions) return self.error_response(sessions.error());
    std::map<std::string, QueueFacts> queues;
    for (const auto& row : *rows) queues[row.key].rows.push_back(row);
    for (const auto& name : *paused) queues[name].paused = true;
    for (const auto& [info, age] : *sessions)
        if (info.facts.works && !info.facts.stopped && !info.declared_dead && !info.seen_dead && age <= options.lease)
            add_worker(queues, info.facts);
    boost::json::array list;
    const auto now = clock.wall();
    for (const auto& [name, facts] : queues) list.push_back(queue_json(name, facts, now));
    return Response::json(200, {{"ok", true}, {"queues", std::move(list)}});
}

Response ApiRouter::Impl::pause(const RouteMatch& match, bool paused) const {
    const auto& name = match.path.find("name")->second;
    const auto done = paused ? queue.pause(name, match.by) : queue.resume(name, match.by);
    if (!done) return self.error_response(done.error());
    return Response::json(200, {{"ok", true}, {"queue", name}, {"paused", paused}});
}

Response ApiRouter::Impl::stats(const RouteMatch& match) {
    if (auto looked = keeper.look(); !looked) return self.error_response(looked.error());
    const auto rows = queue.count({}, CountBy::state);
    if (!rows) return self.error_response(rows.error());
    const auto minutes = core::parse_number(match.query_value("minutes").value_or(""), core::StatsKeeper::most_minutes);
    boost::json::object object{{"ok", true}, {"counts", core::counts_json(*rows)}};
    for (auto& member : keeper.report(minutes ? static_cast<int>(*minutes) : 60)) object[member.key()] = std::move(member.value());
    return Response::json(200, std::move(object));
}

void ApiRouter::Impl::add_queue_routes() {
    on("GET", "/api/stats", [this](const Request&, const RouteMatch& match) { return stats(match); });
    on("GET", "/api/queues", [this](const Request&, const RouteMatch&) { return list_queues(); });
    on("POST", "/api/queues/:name/pause", [this](const Request&, const RouteMatch& match) { return pause(match, true); });
    on("POST", "/api/queues/:name/resume", [this](const Request&, const RouteMatch& match) { return pause(match, false); });
}

}  // namespace jobruntime
