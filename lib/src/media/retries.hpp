// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>

#include <jobruntime/result.hpp>

namespace jobruntime::media {

/// How one request of many is repeated before the whole download gives up.
struct RetryPolicy {
    int times = 5;
    std::chrono::milliseconds first_pause{250};  ///< Doubled each time, ± 20 %.
    std::chrono::milliseconds longest_pause{8'000};
    std::chrono::milliseconds longest_asked{60'000};  ///< A server that asks to wait longer ends the attempt.
};

/// Decides what becomes of one request's errors.
class Retries {
public:
    Retries(RetryPolicy policy, std::uint64_t salt) : policy_(policy), salt_(salt) {}

    /// True after the pause when it is worth asking again. What the server refuses (401, 403) is asked once
    /// more: content networks deny by mistake now and then.
    bool again(const Error& error, std::optional<std::chrono::seconds> asked, const std::stop_token& stop);

private:
    const RetryPolicy policy_;
    std::uint64_t salt_;
    int failures_ = 0;
};

}  // namespace jobruntime::media
