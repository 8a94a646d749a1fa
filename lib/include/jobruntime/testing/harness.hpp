// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include <boost/json/object.hpp>

#include <jobruntime/clock.hpp>
#include <jobruntime/job.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/store.hpp>
#include <jobruntime/testing/manual_clock.hpp>
#include <jobruntime/testing/recording_sink.hpp>
#include <jobruntime/worker.hpp>

namespace jobruntime::testing {

struct HarnessOptions {
    std::uint64_t seed = 1;                 ///< For ids and jitter: one seed, one exact run.
    std::vector<QueueOptions> queues = {QueueOptions{}};
    Store* store = nullptr;                 ///< nullptr = a memory store of its own. It outlives the harness.
    ManualClock* clock = nullptr;           ///< nullptr = a clock of its own (manual_clock.hpp says at what time).
};

/// Everything that a test of handlers needs, in one thread and without waiting: a memory store, a clock that
/// stands still until it is told otherwise, a queue, and a worker that is turned by hand.
///
///     testing::Harness jobs;
///     jobs.on<Welcome>(send_welcome);
///     auto id = jobs.enqueue(Welcome{"ada@example.org"});
///     jobs.run_one();
///     CHECK(jobs.job(id).state == JobState::scheduled);   // The mail server was down.
///     jobs.advance(1min);
///     jobs.drain();
///     CHECK(jobs.job(id).state == JobState::completed);
///
/// For any test framework: what cannot go wrong in a sound test (a bad name, an unknown id) throws
/// std::runtime_error with the reason. For one thread.
class JOBRUNTIME_API Harness {
public:
    explicit Harness(HarnessOptions options = {});
    ~Harness();
    Harness(const Harness&) = delete;
    Harness& operator=(const Harness&) = delete;

    void on(std::string_view kind, Handler handler, KindOptions options = {});
    /// Needs typed.hpp.
    template <class T, class Function>
    void on(Function handler, KindOptions options = {}) {
        worker().template on<T>(std::move(handler), std::move(options));
    }

    /// The new job's id, or that of the one that holds its unique key.
    JobId enqueue(std::string_view kind, boost::json::object payload = {}, EnqueueOptions options = {});
    /// Needs typed.hpp.
    template <class T>
        requires requires { T::kind; }
    JobId enqueue(const T& job, EnqueueOptions options = {}) {
        return enqueue(T::kind, Typed<T>::to_payload(job), std::move(options));
    }

    /// Runs one due job to its end: false when none is due.
    bool run_one();
    /// Runs due jobs until none is left; how many. Throws after `most`, because then something feeds itself.
    int drain(int most = 10'000);
    /// Lets time pass. Runs nothing by itself; what has become due is run by the next run_one() or drain().
    void advance(Duration by);

    /// The job with everything that is kept of it.
    Job job(JobId id);

    ManualClock& clock();
    RecordingSink& sink();     ///< Events of the queue and the worker, as they happened.
    Store& store();
    JobQueue& queue();
    Worker& worker();

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

}  // namespace jobruntime::testing
