// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "session_watch.hpp"

#include <algorithm>
#include <array>
#include <map>

#include <unistd.h>

namespace jobruntime::host {
namespace {

constexpr Duration between_looks{100};
constexpr Duration tolerable_skew{2'000};

std::string detail(const SessionInfo& session, std::string_view name) {
    const auto* value = session.facts.details.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::string name_of(const SessionInfo& session) {
    return session.facts.role + " (pid " + std::to_string(session.facts.pid) + " on " + session.facts.host +
           ")";
}

bool ended(const SessionInfo& session) {
    return session.facts.stopped || session.declared_dead || session.seen_dead;
}

}  // namespace

std::string own_host_name() {
    std::array<char, 256> name{};
    return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

Result<std::vector<LiveProcess>> live_processes(Store& store, Clock& clock, const WatchOptions& options) {
    auto all = store.sessions();
    if (!all) return std::move(all).error();
    std::vector<LiveProcess> live;
    std::map<SessionId, std::uint64_t> watched;  // Elsewhere: the counter as first seen.
    for (const auto& session : *all) {
        if (ended(session)) continue;
        if (session.facts.host != options.own_host && !session.seen_alive) {
            watched.emplace(session.id, session.beat);
        } else if (seems_alive(session, clock.wall(), options.lease)) {
            live.push_back({session, std::nullopt});
        }
    }
    Wakeup nobody_rings;
    const auto until = clock.steady() + options.heartbeat * 6 / 5;
    while (!watched.empty() && clock.steady() < until) {
        clock.wait_until(std::min(until, clock.steady() + between_looks), nobody_rings, {});
        all = store.sessions();
        if (!all) return std::move(all).error();
        const auto now = clock.wall();
        for (const auto& session : *all) {
            const auto known = watched.find(session.id);
            if (known == watched.end()) continue;
            if (!ended(session) && session.beat == known->second) continue;
            if (!ended(session))
                live.push_back({session, std::chrono::duration_cast<Duration>(session.beat_at - now)});
            watched.erase(known);
        }
    }
    std::sort(live.begin(), live.end(), [](const LiveProcess& a, const LiveProcess& b) {
        return a.session.started_at < b.session.started_at;
    });
    return live;
}

std::vector<std::string> mismatches(const std::vector<LiveProcess>& live, const std::string& own_version) {
    std::vector<std::string> lines;
    // Each is compared with the first that says anything; silence is no difference.
    const auto differ = [&](std::string_view what, auto&& said_by, std::string first,
                            std::string first_name) {
        for (const auto& process : live) {
            const std::string said = said_by(process.session);
            if (said.empty() || said == first) continue;
            if (first.empty()) {
                first = said;
                first_name = name_of(process.session);
                continue;
            }
            lines.push_back(std::string(what) + " differ: " + said + " in " + name_of(process.session) +
                            ", " + first + " in " + first_name);
        }
    };
    differ(
        "versions", [](const SessionInfo& session) { return session.facts.version; }, own_version,
        "this program");
    differ(
        "stores", [](const SessionInfo& session) { return detail(session, "store"); }, "", "");
    differ(
        "telemetry sinks", [](const SessionInfo& session) { return detail(session, "telemetrySink"); }, "",
        "");
    for (const auto& process : live) {
        if (!process.ahead || std::chrono::abs(*process.ahead) <= tolerable_skew) continue;
        lines.push_back(
            "the clock of " + process.session.facts.host + " is " +
            std::to_string(std::chrono::abs(*process.ahead).count()) + " ms " +
            (process.ahead->count() > 0 ? "ahead of" : "behind") +
            " this machine's (the time in its beat against ours when the beat was seen); schedules go by "
            "it, leases do not: run NTP on both");
    }
    return lines;
}

}  // namespace jobruntime::host
