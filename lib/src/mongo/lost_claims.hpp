// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <map>
#include <set>
#include <string>

#include <jobruntime/store.hpp>

namespace jobruntime::mongo {

/// Claims whose answer was lost or said too little: whatever jobs carry their token, and were not adopted, no handler ever saw.
/// A job that is never given back would run for as long as its session lives, so none of these is forgotten before its time,
/// and when there are too many no more claims are made. Not thread-safe.
class LostClaims {
public:
    using Moment = std::chrono::steady_clock::time_point;

    /// `adopted`: those of it that were found at once, and are worked on.
    void add(SessionId session, std::string token, std::set<JobId> adopted, Moment now);
    /// What each token's claim has adopted.
    std::map<std::string, std::set<JobId>> of(SessionId session) const;
    /// All that was looked for at `looked_at` was given back, behind a write that a majority has confirmed: with it all
    /// that came before. What no command can still bring is forgotten.
    void looked(SessionId session, Moment looked_at);
    /// For a claim of this session; not before those of others that nobody beats for any more are forgotten.
    bool full(SessionId session, Moment now);

private:
    void forget_forsaken(Moment now, SessionId except);

    struct Claim {
        std::string token;
        std::set<JobId> adopted;
        Moment since;
    };
    std::multimap<SessionId, Claim> claims_;
};

}  // namespace jobruntime::mongo
