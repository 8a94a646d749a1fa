// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <string>

#include <jobruntime/api_router.hpp>
#include <jobruntime/clock.hpp>
#include <jobruntime/telemetry_sink.hpp>

namespace jobruntime::core {

/// Tells of wrong tokens with few events, however many are tried: strangers are not to fill the log. In a minute the first try
/// of each of some addresses is an event at once; the others are counted, and their sum is one more event when the minute is
/// over. Thread-safe.
class RefusedTokens {
public:
    RefusedTokens(TelemetrySink* sink, Clock& clock) : sink_(sink), clock_(clock) {}
    /// Tells of what is still only counted.
    ~RefusedTokens();
    RefusedTokens(const RefusedTokens&) = delete;
    RefusedTokens& operator=(const RefusedTokens&) = delete;

    void add(const Request& request, const std::string& trace_id);
    /// Tells the sum of a minute that is over. Costs next to nothing while nothing is counted, so each answer may ask for it.
    void tell_when_due();

private:
    void end_minute();  // With the mutex held.

    TelemetrySink* const sink_;
    Clock& clock_;
    std::atomic<bool> counting_{false};
    std::mutex mutex_;
    SteadyTime ends_{};              // Guarded by mutex_, as is all that follows.
    std::set<std::string> told_;     ///< Addresses that have had their event in this minute.
    std::uint64_t more_ = 0;         ///< Tries that have had none …
    Event last_;                     ///< … and what the last of them was.
};

}  // namespace jobruntime::core
