// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>

#include <jobruntime/clock.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/heartbeat.hpp>
#include <jobruntime/job.hpp>
#include <jobruntime/outcome.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>
#include <jobruntime/telemetry_sink.hpp>

namespace jobruntime {

/// Why a handler was asked to stop.
enum class StopReason : std::uint8_t {
    none,
    cancel,      ///< Somebody asked for it; the job ends canceled unless it completes after all.
    lease_lost,  ///< Others may run the job already; nothing this attempt writes counts any more.
    drain,       ///< The worker stops and the grace time is over; the job will run again, no attempt spent.
    deadline,    ///< The attempt took too long; ends as retry with DEADLINE.
};

/// What a handler may know and do about the attempt it runs. Only valid during the call; its
/// members may be called from any thread the handler uses.
class JOBRUNTIME_API JobContext {
public:
    const Job& job() const;
    Fence fence() const { return job().fence; }
    /// Requested once, whatever the reason. Hand it to everything that can wait.
    std::stop_token stop() const;
    StopReason stop_reason() const;
    /// When the attempt's time is up; unset = no limit.
    std::optional<SteadyTime> deadline() const;

    /// Tells how far it is. Written at most four times a second; the newest always arrives.
    void progress(std::optional<double> percent, std::string_view stage, std::string_view message = {});
    /// A line for the job's log, shown live and kept as event worker.job.log. Bounded (limits::log_lines).
    void log(std::string_view line, Level level = Level::info);
    /// An event of the job's own, e.g. "worker.job.extraction.started", with flat fields.
    void event(std::string_view name, boost::json::object fields = {}, Level level = Level::info);

    /// Runs `body` unless an earlier attempt stored its result under `name`; then returns that. A result is
    /// on disk before this returns it; a crash before that repeats the body. Errors of the body are passed on
    /// and nothing is stored; so it is with a value that cannot be kept as JSON (INVALID_RESULT). Errc::canceled when the lease is lost meanwhile; the handler should then return.
    Result<boost::json::value> step(std::string_view name, const std::function<Result<boost::json::value>()>& body);
    /// Removes a stored step, so that it runs again.
    Result<void> forget(std::string_view name);

private:
    friend class WorkerImpl;
    explicit JobContext(struct Attempt& attempt) : attempt_(attempt) {}
    struct Attempt& attempt_;
};

/// Runs one attempt. An exception counts as retry("EXCEPTION", its text).
using Handler = std::function<Outcome(JobContext&)>;

/// How jobs of one kind are run.
struct KindOptions {
    std::optional<Duration> deadline{};  ///< For one attempt; unset = none. Then the stop token fires; ten seconds later
                                       ///< (WorkerOptions::stuck) the thread counts as lost.
    Backoff backoff{};
    int max_prefetch = 64;             ///< Claimed ahead at most; the worker itself keeps it small for slow kinds. 0 = none.
    bool retry_exceptions = true;      ///< False: an exception fails the job at once.
};

struct QueueOptions {
    std::string name = "default";
    int concurrency = 0;               ///< Handlers at once; 0 = 2 × cores.
};

struct WorkerOptions {
    std::vector<QueueOptions> queues = {QueueOptions{}};
    Duration poll{1'000};              ///< How often to ask the store when no hint came.
    Duration grace{30'000};            ///< Drain: how long running handlers may finish before their stop tokens fire.
    Duration stuck{10'000};            ///< How long after a stop a handler may go on before its thread counts as lost.
    Retention retention{};
    Duration upkeep{60'000};           ///< Between two rounds of upkeep, when this process leads.
    HeartbeatOptions heartbeat{};
    Clock* clock = nullptr;            ///< nullptr = system_clock().
    TelemetrySink* sink = nullptr;     ///< Events as they happen: those of jobs are `logged` already, the worker's own
                                       ///< (worker.started, .stopped, .thread.lost) are not, so put a store_sink beside
                                       ///< yours. nullptr = all into the store's log. It outlives the worker.
    bool store_progress = true;        ///< False: progress and log lines go to the sink only, not into the store.
    boost::json::object started{};     ///< Further fields of worker.started, flat. With one named `missing` (what this
                                       ///< machine lacks, in words) the event is a warning.
    /// Not zero: claims this job and no other, for a program that does one job of a store it shares. Nobody may count
    /// on such a worker, so its session does not say that it works, and it does no upkeep.
    JobId only{};
    std::optional<std::uint64_t> seed{}; ///< For ids and jitter; one seed, one exact run.
    /// What an operator may want to read; empty = nowhere. This and the next two come from threads of the worker, and
    /// must be quick; what they throw is ignored.
    std::function<void(std::string_view line)> log{};
    std::function<void(int lost)> on_thread_lost{};  ///< A handler ignored its stop; `lost` so far.
    std::function<void(const std::vector<JobId>&)> on_pruned{};  ///< Upkeep removed these jobs.
};

/// Runs jobs: claims what it has handlers for, runs them on its threads, settles them. One per process is
/// usual; several may share a store. Handlers run on several threads at once. Register them before start().
///
/// Crash rule (store.hpp, recover): a job that went down with two processes is run alone: the worker claims
/// nothing else, in any queue, until what it runs has ended and that job has run.
///
/// A handler that ignores its stop keeps its thread, its captures, and the clock in use after the worker is gone.
///
/// While the store does not answer or is full, ends of jobs are kept and written again, as long as the session lives and
/// for two leases at least; whether they still count is the fence's decision. Jobs that the store gave to this session in
/// an answer that was lost are found and given back. Nothing has to be restarted.
class JOBRUNTIME_API Worker {
public:
    explicit Worker(Store& store, WorkerOptions options = {});
    /// As stop(): drains for the grace time.
    ~Worker();

    void on(std::string_view kind, Handler handler, KindOptions options = {});
    /// A described struct with `static constexpr auto kind`. A payload that does not fit fails with INVALID_PAYLOAD.
    /// Needs typed.hpp.
    template <class T, class Function>
    void on(Function handler, KindOptions options = {}) {
        on(T::kind,
           [handler = std::move(handler)](JobContext& context) -> Outcome {
               auto payload = Typed<T>::from_payload(context.job().payload);
               if (!payload) return failed("INVALID_PAYLOAD", payload.error().message);
               return handler(*payload, context);
           },
           std::move(options));
    }

    /// Begins the session and the threads. When the store is unavailable it still starts and keeps trying with
    /// back-off. Errc::invalid_argument: no handler, a bad name, concurrency out of 1–4096, started before.
    Result<void> start();
    /// Stops claiming, gives back what has not started, waits the grace time for the running, then fires their
    /// stop tokens; what they interrupt goes back to the queue, no attempt spent. Returns when all is settled, except for
    /// lost threads; a store that does not answer is waited for during one lease. WorkerOptions::log hears what is waited
    /// for: how many jobs, which, and for how long. Idempotent. Not from a handler or a callback of this worker.
    void stop();
    /// As stop() without grace: for a second signal. May be called while stop() waits.
    void stop_now();
    /// Stops claiming and gives back what has not started; what runs goes on.
    void begin_drain();

    /// Claims one job, runs it in this thread and settles it: true when there was one. Beats and promotes by
    /// itself as due. For tests and simulations, without start().
    Result<bool> run_one();

    struct Stats {
        std::uint64_t claimed = 0, completed = 0, failed = 0, retried = 0, snoozed = 0, canceled = 0, released = 0,
                      conflicts = 0;
        int running = 0;
        int lost_threads = 0;
    };
    Stats stats() const;
    SessionId session() const;
    Heartbeat& heartbeat();

private:
    std::unique_ptr<class WorkerImpl> impl_;
};

}  // namespace jobruntime
