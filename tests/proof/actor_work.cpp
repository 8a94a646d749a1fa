// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <csignal>
#include <cstdlib>
#include <memory>
#include <random>
#include <thread>
#include <vector>

#include <jobruntime/worker.hpp>

#include "proof/actor.hpp"
#include "proof/journal.hpp"

using namespace jobruntime;

namespace proof {
namespace {

/// Journal: "C id" when the store has accepted the end of an attempt as completed.
class Acknowledged final : public TelemetrySink {
public:
    explicit Acknowledged(Journal& journal) : journal_(journal) {}
    void emit(const Event& event, bool) noexcept override {
        if (event.name == "worker.job.completed") journal_.write('C', event.job.str());
    }

private:
    Journal& journal_;
};

std::string with_fence(const Job& job) {
    return job.id.str() + " " + std::to_string(static_cast<std::uint64_t>(job.fence));
}

/// Waits, but not past a stop; false when stopped.
bool pass(std::chrono::microseconds time, const std::stop_token& stop) {
    const auto until = std::chrono::steady_clock::now() + time;
    while (std::chrono::steady_clock::now() < until) {
        if (stop.stop_requested()) return false;
        std::this_thread::sleep_for(std::min<std::chrono::steady_clock::duration>(
            until - std::chrono::steady_clock::now(), std::chrono::milliseconds(5)));
    }
    return !stop.stop_requested();
}

}  // namespace

/// Journal: "S id fence" when a handler begins, "E id fence" when it ends by itself.
int work(const Script& script) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, nullptr);

    auto store = open_store(script);
    Journal journal(script.text("journal"), script.number("synced", 1) != 0);
    Acknowledged sink(journal);
    WorkerOptions options;
    options.queues = {{"default", static_cast<int>(script.number("concurrency", 4))}};
    options.heartbeat.lease = Duration{script.number("lease-ms", 30'000)};
    options.heartbeat.beat = options.heartbeat.lease / 5;
    options.heartbeat.watch = Duration{script.number("watch-ms", 100)};
    options.grace = Duration{script.number("grace-ms", 30'000)};
    options.poll = Duration{200};
    options.sink = &sink;
    const bool deaf = script.number("deaf", 0) != 0;  // Ignores its stop, as a frozen handler does.
    const long run_us = script.number("run-us", 1'000);  // On average, or always so long.
    const bool exact = script.number("exact", 0) != 0;
    const auto handle = [&](JobContext& job) {
        journal.write('S', with_fence(job.job()));
        if (const auto* poison = job.job().payload.if_contains("poison"); poison && poison->as_bool()) std::abort();
        thread_local std::mt19937_64 random{std::random_device{}()};
        const long up_to_twice = run_us == 0 ? 0 : static_cast<long>(random() % static_cast<unsigned long>(2 * run_us));
        const std::chrono::microseconds time(exact ? run_us : up_to_twice);
        if (!pass(time, deaf ? std::stop_token{} : job.stop())) return retry("INTERRUPTED", "asked to stop");
        journal.write('E', with_fence(job.job()));
        return completed();
    };
    // Each has a session of its own.
    std::vector<std::unique_ptr<Worker>> workers;
    for (long i = 0; i < script.number("workers", 1); ++i) {
        auto& worker = *workers.emplace_back(std::make_unique<Worker>(*store, options));
        worker.on("proof.job", handle,
                  {.deadline = std::nullopt, .backoff = {}, .max_prefetch = static_cast<int>(script.number("prefetch", 64))});
        if (auto started = worker.start(); !started) return 5;
    }
    int signal = 0;
    sigwait(&signals, &signal);
    for (auto& worker : workers) worker->stop();
    return 0;
}

}  // namespace proof
