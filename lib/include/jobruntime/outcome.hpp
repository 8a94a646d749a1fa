// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <string>

#include <boost/json/value.hpp>

#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>

namespace jobruntime {

/// How an attempt ended, as its handler says it. Make one with the functions below.
struct Outcome {
    enum class Kind {
        completed,  ///< Done; `result` is kept.
        retry,      ///< Try again later; costs an attempt, and fails when none is left.
        snooze,     ///< Not now; costs no attempt.
        failed,     ///< Never again without a person.
        canceled,   ///< Stopped as asked.
    };
    Kind kind = Kind::completed;
    boost::json::value result;
    std::string code;               ///< UPPER_SNAKE, for retry and failed.
    std::string message;            ///< For people.
    std::optional<Duration> after;  ///< retry: instead of the kind's back-off. snooze: how long.
    bool forget_steps = false;      ///< completed: the job's steps go in the same write, so that the store keeps what is in them no longer.
};

/// Done. `result` is kept with the job, at most 1 MiB as text; a larger one fails the job
/// with RESULT_TOO_LARGE, and one that cannot be kept as JSON (text that is not UTF-8, a number that is not finite,
/// nested deeper than 32) with INVALID_RESULT.
JOBRUNTIME_API Outcome completed(boost::json::value result = nullptr);
/// Try again after the kind's back-off, or after `after`.
JOBRUNTIME_API Outcome retry(std::string code, std::string message, std::optional<Duration> after = std::nullopt);
/// Not now: run again after `after`, no attempt spent. `reason` shows as the job's waitingFor.
JOBRUNTIME_API Outcome snooze(Duration after, std::string reason);
JOBRUNTIME_API Outcome failed(std::string code, std::string message);
JOBRUNTIME_API Outcome canceled();

/// The wait before attempt n+1 after the n-th charged one failed:
/// min(2^n × base, cap), then ± jitter of it at random. The default is
/// min(2^n × 5 s, 6 h) ± 10 %, which spreads 25 attempts over about three and a half days.
struct Backoff {
    Duration base{5'000};
    Duration cap{6 * 3600 * 1000};
    double jitter = 0.1;  ///< 0 to 1.
    /// `random01` in [0, 1) picks the jitter. Pure.
    JOBRUNTIME_API Duration after(int attempt, double random01) const;
};

}  // namespace jobruntime
