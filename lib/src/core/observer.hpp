// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::core {

/// Of sessions that come by HTTP: they work, and nobody is there who could do a leader's upkeep.
constexpr std::string_view remote_role = "remote";

/// Judges the other sessions by what one process sees of them on its own steady clock. Pure: it is
/// told the time and what the store said. For one thread.
///
/// - A session whose process the store sees gone is lost now.
/// - One whose counter stood still for a whole lease is lost, though its process may exist (it is frozen).
///   But while our own beats fail, or we were asleep, silence proves nothing: then everybody's time begins anew.
/// - What a stopped or declared dead session left behind is looked for once.
class JOBRUNTIME_API Observer {
public:
    struct Lost {
        SessionInfo session;
        Loss loss = Loss::crash;
    };

    Observer(Duration lease, SessionFacts own) : lease_(lease), own_(std::move(own)) {}

    /// `mine` is left out. `own_beats_fail`: the newest beat of this process was refused.
    std::vector<Lost> look(std::span<const SessionInfo> all, SessionId mine, SteadyTime now, bool own_beats_fail);
    /// Those of the last look that work and live, the smallest id; none when nobody works.
    std::optional<SessionId> leader() const { return leader_; }
    /// A session that this very process gave up: its jobs were stopped, so nothing counts against them.
    void gave_up(SessionId session) { given_up_.insert(session); }
    /// Everything of a lost session has been taken; it is not named again.
    void settled(SessionId session);

private:
    struct Seen {
        std::uint64_t beat = 0;
        SteadyTime since{};
        bool settled = false;
    };
    bool is_lost(const SessionInfo& session, Seen& seen, SteadyTime now, bool own_beats_fail) const;
    Loss loss_of(const SessionInfo& session) const;

    const Duration lease_;
    const SessionFacts own_;
    std::map<SessionId, Seen> seen_;
    std::set<SessionId> given_up_;
    std::optional<SteadyTime> last_look_;
    std::optional<SessionId> leader_;
};

}  // namespace jobruntime::core
