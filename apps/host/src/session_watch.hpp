// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <jobruntime/clock.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime::host {

/// A process that lives, as far as can be told from here.
struct LiveProcess {
    SessionInfo session;
    /// How far its wall clock is ahead of this machine's (behind: below zero); unset where nothing can be
    /// said.
    std::optional<Duration> ahead;
};

/// As sessions name this machine.
std::string own_host_name();

struct WatchOptions {
    Duration lease{30'000};
    Duration heartbeat{10'000};
    std::string own_host = own_host_name();  ///< Processes here share this machine's clock.
};

/// The live processes of a store. On this host the store sees them, or their beat is young by the one clock
/// they share with us. Of processes elsewhere no clock is trusted: they live when their counter rises while
/// we look, which takes up to one and a fifth of a heartbeat, and only when there are such rows. At the
/// moment a new beat is seen the time in it is compared with this machine's clock, so `ahead` is right to
/// within the tenth of a second between two looks plus the way of the beat through the store.
Result<std::vector<LiveProcess>> live_processes(Store& store, Clock& clock, const WatchOptions& options);

/// What does not fit together among live processes, a sentence each: versions (also to this program's own),
/// stores, telemetry sinks, and clocks that are more than two seconds off.
std::vector<std::string> mismatches(const std::vector<LiveProcess>& live, const std::string& own_version);

}  // namespace jobruntime::host
