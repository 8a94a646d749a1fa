// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/lost_claims.hpp"

#include <utility>

namespace jobruntime::mongo {
namespace {

constexpr std::size_t most_claims = 1000;
/// No command is on its way for longer.
constexpr std::chrono::minutes late_command{10};
/// Nobody beats for such a session any more; its jobs are others' to recover.
constexpr std::chrono::hours forsaken{1};

}  // namespace

/// A session that lives has looked for its claims many times in that time.
void LostClaims::forget_forsaken(Moment now, SessionId except) {
    std::erase_if(claims_, [&](const auto& entry) { return entry.first != except && entry.second.since < now - forsaken; });
}

void LostClaims::add(SessionId session, std::string token, std::set<JobId> adopted, Moment now) {
    forget_forsaken(now, session);
    claims_.emplace(session, Claim{std::move(token), std::move(adopted), now});
}

std::map<std::string, std::set<JobId>> LostClaims::of(SessionId session) const {
    std::map<std::string, std::set<JobId>> tokens;
    const auto [first, last] = claims_.equal_range(session);
    for (auto it = first; it != last; ++it) tokens.emplace(it->second.token, it->second.adopted);
    return tokens;
}

void LostClaims::looked(SessionId session, Moment looked_at) {
    std::erase_if(claims_, [&](const auto& entry) {
        return entry.first == session && entry.second.since < looked_at - late_command;
    });
}

bool LostClaims::full(SessionId session, Moment now) {
    if (claims_.size() >= most_claims) forget_forsaken(now, session);
    return claims_.size() >= most_claims;
}

}  // namespace jobruntime::mongo
