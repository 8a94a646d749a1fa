// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/id.hpp>

namespace jobruntime::core {

/// Where new ids and random numbers come from. One seed, and the same times, give the same
/// ids; without a seed the system's randomness starts it. Thread-safe.
///
/// An id is a UUIDv7 by method 1 of RFC 9562, 6.2: 48 bits of milliseconds, a counter of 26 bits
/// which starts at random below its middle, 48 random bits. So the ids of one source rise strictly,
/// also when the clock is turned back, up to 33 million a millisecond.
class JOBRUNTIME_API IdSource {
public:
    explicit IdSource(std::optional<std::uint64_t> seed = std::nullopt);

    JobId job(Time now) { return JobId{uuid(now)}; }
    SessionId session(Time now) { return SessionId{uuid(now)}; }
    std::uint64_t random();
    /// In [0, 1).
    double random01() { return static_cast<double>(random() >> 11) * 0x1.0p-53; }

private:
    std::array<std::uint8_t, 16> uuid(Time now);
    std::uint64_t next();  // With mutex_ held.

    std::mutex mutex_;
    std::uint64_t state_[4];       // Guarded by mutex_.
    std::uint64_t millisecond_ = 0;  // Guarded by mutex_.
    std::uint64_t counter_ = 0;      // Guarded by mutex_.
};

/// The trace id of a job that was given none: the digits of its id, 32 of them as in W3C trace context.
JOBRUNTIME_API std::string own_trace_id(JobId id);

}  // namespace jobruntime::core
