// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/observer.hpp"

#include <algorithm>

#include "core/failpoint.hpp"

namespace jobruntime::core {

bool Observer::is_lost(const SessionInfo& session, Seen& seen, SteadyTime now, bool own_beats_fail) const {
    if (seen.settled) return false;
    // Somebody has begun to take its jobs; what is left is free for all.
    if (session.declared_dead) return true;
    if (session.seen_dead && !session.facts.stopped && !JOBRT_FAILPOINT("control.ignore_deaths")) return true;
    if (own_beats_fail) return false;
    return now - seen.since >= lease_;
}

Loss Observer::loss_of(const SessionInfo& session) const {
    if (given_up_.contains(session.id) || session.facts.stopped) return Loss::reboot;
    const auto& facts = session.facts;
    const bool rebooted = facts.host == own_.host && !facts.boot_id.empty() && !own_.boot_id.empty() &&
                          facts.boot_id != own_.boot_id;
    return rebooted ? Loss::reboot : Loss::crash;
}

std::vector<Observer::Lost> Observer::look(std::span<const SessionInfo> all, SessionId mine, SteadyTime now,
                                           bool own_beats_fail) {
    // After a long pause of ours (frozen, suspended) the others may have been paused with us.
    const bool anew = own_beats_fail || (last_look_ && now - *last_look_ > lease_ / 2);
    last_look_ = now;
    leader_.reset();
    std::vector<Lost> lost;
    std::map<SessionId, Seen> still_there;
    for (const auto& session : all) {
        const auto known = seen_.find(session.id);
        Seen seen = known == seen_.end() ? Seen{session.beat, now, false} : known->second;
        // A change of the counter, or of what was said with it, begins a new lease.
        if (seen.beat != session.beat || anew) seen = Seen{session.beat, now, seen.settled};
        const bool gone = session.id != mine && is_lost(session, seen, now, own_beats_fail);
        if (gone) lost.push_back({session, loss_of(session)});
        const bool lives = !gone && !seen.settled && !session.declared_dead && !session.facts.stopped;
        if (lives && session.facts.works && session.facts.role != remote_role && (!leader_ || session.id < *leader_)) leader_ = session.id;
        still_there.emplace(session.id, seen);
    }
    seen_ = std::move(still_there);
    std::erase_if(given_up_, [&](SessionId id) { return !seen_.contains(id) && id != mine; });
    return lost;
}

void Observer::settled(SessionId session) {
    const auto known = seen_.find(session);
    if (known != seen_.end()) known->second.settled = true;
}

}  // namespace jobruntime::core
