// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/id.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime {

struct HeartbeatOptions {
    Duration beat{10'000};        ///< Between two beats. A shorter one sees cancels sooner where there is no doorbell.
    Duration lease{30'000};       ///< Silence after which others take the jobs; at least 3 × beat.
    Duration watch{500};          ///< How often to look whether another process has died or fallen silent; a quarter of
                                  ///< the lease where that is shorter.
    Clock* clock = nullptr;       ///< nullptr = system_clock().
    std::optional<std::uint64_t> seed{};
    SessionFacts facts{};         ///< host, boot_id and pid are filled in when left empty.
};

/// Says that this process lives, whatever its jobs do: one session, one thread, one small write a beat. Also
/// watches the other sessions and takes over the jobs of the dead. Thread-safe.
///
/// A process without a successful beat for two thirds of a lease, counted from before it was sent, must stop
/// its jobs, because others may soon run them: `on_lost`. It then goes on under a new session id. A beat refused
/// with Errc::full counts as one that came through: a full disk silences every process, and none then takes over
/// from another because of silence.
///
/// Callbacks come from the heartbeat's thread or from the caller of start() and run_once(). They must be quick.
class JOBRUNTIME_API Heartbeat {
public:
    struct Callbacks {
        std::function<void(const std::vector<CancelRequest>&)> on_cancel;  ///< Jobs of this session asked to stop.
        std::function<void(SessionId lost)> on_lost;                     ///< Stop everything claimed under `lost`.
        std::function<void(const Error&)> on_error;                      ///< A beat failed; it goes on trying.
        std::function<void(const SessionInfo& dead, std::size_t jobs)> on_recovered;
    };
    Heartbeat(Store& store, HeartbeatOptions options = {}, Callbacks callbacks = {});
    /// As stop().
    ~Heartbeat();

    /// Beats once and begins the thread, which goes on trying whatever came of that beat; its error is passed on.
    /// Errc::invalid_argument: a lease shorter than three beats, or a beat or watch of nothing; no thread then.
    Result<void> start();
    /// Says "stopped" to the store and ends the thread. Idempotent. Not from a callback.
    void stop();

    /// One beat and one look round, in the caller's thread; for tests and simulations.
    Result<void> run_once();
    /// Beats soon, without waiting for the time: something in the facts has changed, or a cancel may wait.
    void nudge();

    SessionId session() const;
    /// False when two thirds of a lease have passed since the last successful beat, or before the first.
    bool holds_lease() const;
    /// This process is the one that does the upkeep: the live working session with the smallest id. Two may
    /// think so for a moment; upkeep is harmless twice.
    bool leads() const;
    /// How often its thread has gone round since start(): it rises at least every `watch`, or as slowly as the
    /// store answers, also while the store is down. One that stands still for minutes means that the thread hangs;
    /// for watchdogs.
    std::uint64_t rounds() const;
    /// Changes what the next beat says.
    void update(const std::function<void(SessionFacts&)>& edit);

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace jobruntime
