// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/outcome.hpp>

#include <algorithm>
#include <cmath>
#include <utility>

namespace jobruntime {

Outcome completed(boost::json::value result) {
    Outcome outcome;
    outcome.result = std::move(result);
    return outcome;
}

Outcome retry(std::string code, std::string message, std::optional<Duration> after) {
    Outcome outcome;
    outcome.kind = Outcome::Kind::retry;
    outcome.code = std::move(code);
    outcome.message = std::move(message);
    outcome.after = after;
    return outcome;
}

Outcome snooze(Duration after, std::string reason) {
    Outcome outcome;
    outcome.kind = Outcome::Kind::snooze;
    outcome.message = std::move(reason);
    outcome.after = after;
    return outcome;
}

Outcome failed(std::string code, std::string message) {
    Outcome outcome;
    outcome.kind = Outcome::Kind::failed;
    outcome.code = std::move(code);
    outcome.message = std::move(message);
    return outcome;
}

Outcome canceled() {
    Outcome outcome;
    outcome.kind = Outcome::Kind::canceled;
    return outcome;
}

Duration Backoff::after(int attempt, double random01) const {
    // In floating point, where 2^n cannot overflow before the cap is taken.
    const double exact = std::ldexp(static_cast<double>(base.count()), std::clamp(attempt, 0, 1000));
    const double capped = std::clamp(exact, 0.0, static_cast<double>(std::max(cap.count(), Duration::rep{0})));
    const double spread = std::clamp(jitter, 0.0, 1.0) * (2.0 * std::clamp(random01, 0.0, 1.0) - 1.0);
    const double wait = std::min(capped * (1.0 + spread), 0x1.0p62);
    return Duration{static_cast<Duration::rep>(std::llround(wait))};
}

}  // namespace jobruntime
