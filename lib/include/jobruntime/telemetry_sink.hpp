// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <vector>

#include <jobruntime/event.hpp>
#include <jobruntime/export.hpp>

namespace jobruntime {

class Store;
class Clock;

/// Where events go as they happen. Thread-safe; never blocks for long and never throws: a
/// sink that is slow or broken loses its own copies, not the job.
///
/// An event with `logged` true is one the store writes by itself together with a state change;
/// sinks that write to the store leave it alone.
class JOBRUNTIME_API TelemetrySink {
public:
    virtual ~TelemetrySink() = default;
    virtual void emit(const Event& event, bool logged) noexcept = 0;
    /// Returns once everything emitted before is where it belongs, or cannot get there.
    virtual void flush() noexcept {}
    /// False while it could lose the event of the next change (api.change.done): ApiRouter then refuses changes, so that none is
    /// made that nobody is told of.
    virtual bool has_room() noexcept { return true; }
};

/// Emits to each of `sinks`, in order; they outlive it.
JOBRUNTIME_API std::unique_ptr<TelemetrySink> fan_out(std::vector<TelemetrySink*> sinks);

/// Forwards what is not logged yet to the store's event log: progress is already coalesced by the worker.
/// Writes from one thread of its own, at once and then at most every 20 ms; at most 1,000 events wait. Beyond that, and while the store is
/// unavailable, it drops the oldest and reports how many ("telemetry.dropped") once it can. Those of changes that were done
/// (api.change.done) go last: it has no room from 700 of them on, and drops none as long as whoever makes changes asks for that
/// and the store takes them. Destroyed while the store is away, it loses what waits.
JOBRUNTIME_API std::unique_ptr<TelemetrySink> store_sink(Store& store, Clock& clock);

/// Replaces secrets in place: passwords in URIs, Authorization and Cookie values, signatures and tokens
/// in URL queries (names containing sig, signature, token, key, secret, password, auth, policy, credential), access tokens
/// of jobrt's own (jrt_…). The one door: JobQueue and Worker pass every event, error and log line through it.
JOBRUNTIME_API std::string redact(std::string_view text);

}  // namespace jobruntime
