// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <jobruntime/testing/harness.hpp>

#include <stdexcept>

#include <jobruntime/memory.hpp>

namespace jobruntime::testing {
namespace {

WorkerOptions worker_options(const HarnessOptions& options, Clock& clock, TelemetrySink& sink) {
    WorkerOptions worker;
    worker.queues = options.queues;
    worker.clock = &clock;
    worker.sink = &sink;
    worker.seed = options.seed;
    worker.grace = Duration{0};
    return worker;
}

[[noreturn]] void give_up(const Error& error) { throw std::runtime_error("jobruntime harness: " + error.message); }

}  // namespace

struct Harness::Impl {
    std::unique_ptr<Store> own_store;
    std::unique_ptr<ManualClock> own_clock;
    Store& store;
    ManualClock& clock;
    RecordingSink sink;
    JobQueue queue;
    Worker worker;

    explicit Impl(const HarnessOptions& options)
        : own_store(options.store ? nullptr : memory::open()),
          own_clock(options.clock ? nullptr : std::make_unique<ManualClock>()),
          store(options.store ? *options.store : *own_store),
          clock(options.clock ? *options.clock : *own_clock),
          queue(store, {.clock = &clock, .sink = &sink, .seed = options.seed + 1}),
          worker(store, worker_options(options, clock, sink)) {}
};

Harness::Harness(HarnessOptions options) : impl_(std::make_unique<Impl>(options)) {}
Harness::~Harness() = default;

void Harness::on(std::string_view kind, Handler handler, KindOptions options) {
    impl_->worker.on(kind, std::move(handler), std::move(options));
}

JobId Harness::enqueue(std::string_view kind, boost::json::object payload, EnqueueOptions options) {
    auto made = impl_->queue.enqueue(kind, std::move(payload), std::move(options));
    if (!made) give_up(made.error());
    return made->id;
}

bool Harness::run_one() {
    const auto ran = impl_->worker.run_one();
    if (!ran) give_up(ran.error());
    return *ran;
}

int Harness::drain(int most) {
    int ran = 0;
    while (run_one())
        if (++ran > most)
            throw std::runtime_error("jobruntime harness: still not empty after " + std::to_string(ran) + " jobs");
    return ran;
}

void Harness::advance(Duration by) { impl_->clock.advance(by); }

Job Harness::job(JobId id) {
    auto job = impl_->queue.get(id);
    if (!job) give_up(job.error());
    if (!*job) give_up({Errc::not_found, "there is no job " + id.str()});
    return std::move(**job);
}

ManualClock& Harness::clock() { return impl_->clock; }
RecordingSink& Harness::sink() { return impl_->sink; }
Store& Harness::store() { return impl_->store; }
JobQueue& Harness::queue() { return impl_->queue; }
Worker& Harness::worker() { return impl_->worker; }

}  // namespace jobruntime::testing
