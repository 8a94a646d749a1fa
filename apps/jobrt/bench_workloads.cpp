// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "bench.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <fstream>
#include <iostream>
#include <latch>
#include <mutex>
#include <thread>
#include <unordered_map>

#include <unistd.h>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>
#include <jobruntime/subprocess.hpp>
#include <jobruntime/worker.hpp>

#include "stores.hpp"

namespace jobruntime::jobrt {
namespace {

constexpr std::string_view bench_kind = "bench.noop";

std::vector<JobSpec> specs(int count) {
    std::vector<JobSpec> jobs;
    jobs.reserve(static_cast<std::size_t>(count));
    for (int i = 0; i < count; ++i) jobs.push_back({std::string(bench_kind), {{"n", i}}, {}});
    return jobs;
}

Result<void> fill(JobQueue& queue, int count) {
    for (int done = 0; done < count;) {
        const int slice = std::min(1000, count - done);
        const auto jobs = specs(slice);
        auto answers = queue.enqueue_many(jobs);
        if (!answers) return std::move(answers).error();
        done += slice;
    }
    return {};
}

/// A worker whose only kind counts down; wait() returns when all have been run and durably completed.
class Drain {
public:
    Drain(Store& store, int concurrency, int prefetch) : worker_(store, options(concurrency)) {
        worker_.on(bench_kind, [](JobContext&) { return completed(); },
                   {.deadline = std::nullopt, .backoff = {}, .max_prefetch = prefetch});
    }
    Result<double> run(long jobs) {
        const auto begin = BenchClock::now();
        JR_TRY(worker_.start());
        while (static_cast<long>(worker_.stats().completed) < jobs) std::this_thread::sleep_for(std::chrono::milliseconds(2));
        const double seconds = seconds_since(begin);
        worker_.stop();
        return seconds;
    }

private:
    static WorkerOptions options(int concurrency) {
        WorkerOptions options;
        options.queues = {{"default", concurrency}};
        return options;
    }
    Worker worker_;
};

Result<BenchFigure> bulk(const BenchPlan& plan) {
    auto store = open_bench_store(plan.address("bulk"), plan.full);
    if (!store) return std::move(store).error();
    JobQueue queue(**store);
    BenchFigure figure;
    figure.n = plan.count(50'000);
    const auto begin = BenchClock::now();
    JR_TRY(fill(queue, static_cast<int>(figure.n)));
    figure.value = static_cast<double>(figure.n) / seconds_since(begin);
    return figure;
}

Result<BenchFigure> singles(const BenchPlan& plan, int threads, int jobs) {
    auto store = open_bench_store(plan.address("single"), plan.full);
    if (!store) return std::move(store).error();
    JobQueue queue(**store);
    const int each = plan.count(jobs) / threads;
    std::vector<std::vector<double>> times(static_cast<std::size_t>(threads));
    std::atomic<bool> failed{false};
    std::latch ready(threads + 1);
    std::vector<std::jthread> callers;
    for (int t = 0; t < threads; ++t) {
        callers.emplace_back([&, t] {
            auto& mine = times[static_cast<std::size_t>(t)];
            mine.reserve(static_cast<std::size_t>(each));
            ready.arrive_and_wait();
            for (int i = 0; i < each; ++i) {
                const auto begin = BenchClock::now();
                if (!queue.enqueue(bench_kind, {{"n", i}})) failed = true;
                mine.push_back(seconds_since(begin) * 1000);
            }
        });
    }
    ready.arrive_and_wait();
    const auto begin = BenchClock::now();
    callers.clear();
    const double seconds = seconds_since(begin);
    if (failed) return Error{Errc::unavailable, "an enqueue of the benchmark was refused; is the disk full?"};
    std::vector<double> all;
    for (auto& mine : times) all.insert(all.end(), mine.begin(), mine.end());
    BenchFigure figure;
    figure.n = static_cast<long>(all.size());
    figure.value = static_cast<double>(figure.n) / seconds;
    percentiles(all, figure);
    return figure;
}

Result<BenchFigure> drain(const BenchPlan& plan, int concurrency, int prefetch) {
    auto store = open_bench_store(plan.address("drain"), plan.full);
    if (!store) return std::move(store).error();
    JobQueue queue(**store);
    BenchFigure figure;
    figure.n = plan.count(50'000);
    JR_TRY(fill(queue, static_cast<int>(figure.n)));
    Drain worker(**store, concurrency, prefetch);
    auto seconds = worker.run(figure.n);
    if (!seconds) return std::move(seconds).error();
    figure.value = static_cast<double>(figure.n) / *seconds;
    return figure;
}

/// Pick-up times by job id, whichever side is known first.
class PickUps {
public:
    void started(JobId id) { note(id, BenchClock::now(), true); }
    void committed(JobId id, BenchClock::time_point at) { note(id, at, false); }
    bool wait_for(std::size_t count) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return ms_.size() >= count; });
    }
    std::vector<double> take() { return std::move(ms_); }

private:
    void note(JobId id, BenchClock::time_point at, bool start) {
        const std::lock_guard lock(mutex_);
        auto [entry, fresh] = half_.try_emplace(id, at);
        if (fresh) return;
        const auto ms = std::chrono::duration<double, std::milli>(start ? at - entry->second : entry->second - at).count();
        ms_.push_back(ms);  // Below zero: the handler began before the enqueuer had its answer.
        changed_.notify_all();
    }
    std::mutex mutex_;
    std::condition_variable changed_;
    std::unordered_map<JobId, BenchClock::time_point> half_;  // Guarded by mutex_.
    std::vector<double> ms_;                                  // Guarded by mutex_.
};

WorkerOptions idle_worker() {
    WorkerOptions options;
    options.queues = {{"default", 2}};
    return options;
}

BenchFigure pickup_figure(PickUps& pickups) {
    auto ms = pickups.take();
    BenchFigure figure;
    figure.n = static_cast<long>(ms.size());
    figure.unit = "ms";
    percentiles(ms, figure);
    figure.value = figure.p50_ms.value_or(0);
    return figure;
}

Result<BenchFigure> pickup(const BenchPlan& plan) {
    auto store = open_bench_store(plan.address("pickup"), plan.full);
    if (!store) return std::move(store).error();
    PickUps pickups;
    Worker worker(**store, idle_worker());
    worker.on(bench_kind, [&](JobContext& job) {
        pickups.started(job.job().id);
        return completed();
    });
    JR_TRY(worker.start());
    JobQueue queue(**store);
    const int jobs = plan.count(1000);
    for (int i = 0; i < jobs; ++i) {
        auto job = queue.enqueue(bench_kind, {{"n", i}});
        if (!job) return std::move(job).error();
        pickups.committed(job->id, BenchClock::now());
        if (!pickups.wait_for(static_cast<std::size_t>(i) + 1))
            return Error{Errc::timed_out, "a job of the benchmark was not picked up within 10 s"};
        std::this_thread::sleep_for(std::chrono::milliseconds(3));  // The worker is idle again.
    }
    worker.stop();
    return pickup_figure(pickups);
}

Result<BenchFigure> pickup_between_processes(const BenchPlan& plan) {
    const auto address = plan.address("xproc");
    auto store = open_bench_store(address, plan.full);
    if (!store) return std::move(store).error();
    PickUps pickups;
    Worker worker(**store, idle_worker());
    worker.on(bench_kind, [&](JobContext& job) {
        pickups.started(job.job().id);
        return completed();
    });
    JR_TRY(worker.start());
    const int jobs = plan.count(1000);
    SpawnOptions spawn;
    spawn.argv = {plan.program, "bench", "--enqueuer", address, "--jobs", std::to_string(jobs)};
    spawn.out = Stdio::pipe;
    spawn.err = Stdio::inherit;
    auto child = Subprocess::spawn(spawn);
    if (!child) return std::move(child).error();
    LineReader lines(child->out().get());
    const auto until = BenchClock::now() + std::chrono::seconds(120);
    for (int i = 0; i < jobs; ++i) {
        auto line = lines.next(until);
        if (!line) return std::move(line).error();
        if (!*line) return Error{Errc::internal, "the second process of the benchmark ended early"};
        const auto id = JobId::parse(std::string_view(**line).substr(0, 36));
        if (!id || (*line)->size() < 38) return Error{Errc::internal, "the second process of the benchmark printed nonsense"};
        pickups.committed(*id, BenchClock::time_point(std::chrono::nanoseconds(std::stoll((*line)->substr(37)))));
    }
    if (!pickups.wait_for(static_cast<std::size_t>(jobs)))
        return Error{Errc::timed_out, "a job of the benchmark was not picked up within 10 s"};
    (void)child->wait(until).has_value();
    worker.stop();
    return pickup_figure(pickups);
}

/// Speed of draining 50,000 with a history and a crowd in the store, as a ratio to the same without.
Result<BenchFigure> crowded(const BenchPlan& plan) {
    auto alone = drain(plan, 64, 1024);
    if (!alone) return alone;
    auto store = open_bench_store(plan.address("crowded"), plan.full);
    if (!store) return std::move(store).error();
    JobQueue queue(**store);
    JR_TRY(fill(queue, plan.count(500'000)));
    if (auto ended = Drain(**store, 64, 1024).run(plan.count(500'000)); !ended) return std::move(ended).error();
    std::vector<JobSpec> waiting = specs(1000);
    for (auto& job : waiting) {
        job.kind = "bench.waiting";
        job.options.delay = Duration{24 * 3600 * 1000};
    }
    for (int done = 0; done < plan.count(500'000); done += 1000) {
        // Half of them wait for their time, half in the queue behind the others for a kind that nobody runs.
        if (done == plan.count(250'000))
            for (auto& job : waiting) job.options.delay.reset();
        if (auto answers = queue.enqueue_many(waiting); !answers) return std::move(answers).error();
    }
    BenchFigure figure;
    figure.n = plan.count(50'000);
    JR_TRY(fill(queue, static_cast<int>(figure.n)));
    auto seconds = Drain(**store, 64, 1024).run(figure.n);
    if (!seconds) return std::move(seconds).error();
    figure.value = static_cast<double>(figure.n) / *seconds / alone->value;
    figure.unit = "ratio";
    return figure;
}

}  // namespace

const std::vector<BenchWorkload>& bench_workloads() {
    static const std::vector<BenchWorkload> all = {
        {"W1_bulk1000", bulk, raw_bulk, minimal_bulk},
        {"W2_single_c1", [](const BenchPlan& plan) { return singles(plan, 1, 8'000); }, raw_single, minimal_single},
        {"W2_single_c8", [](const BenchPlan& plan) { return singles(plan, 8, 40'000); }, raw_grouped_by_8,
         minimal_grouped_by_8},
        {"W2_single_c64", [](const BenchPlan& plan) { return singles(plan, 64, 80'000); }, nullptr, nullptr},
        {"W3_drain_best", [](const BenchPlan& plan) { return drain(plan, 64, 1024); }, raw_drain_by_1000,
         minimal_drain_by_1000},
        {"W3_drain_c10", [](const BenchPlan& plan) { return drain(plan, 10, 64); }, raw_drain_by_10, minimal_drain_by_10},
        {"W4_pickup", pickup, nullptr, nullptr},
        {"W4_pickup_xproc", pickup_between_processes, nullptr, nullptr},
        {"W5_crowded", crowded, nullptr, nullptr},
    };
    return all;
}

std::string BenchPlan::address(std::string_view name) const {
    if (mongo.empty()) return folder + "/" + std::string(name) + ".db";
    // Checked by the command before the first workload.
    return *with_database(mongo, "jobrt_bench_" + number + "_" + std::string(name));
}

Result<std::string> with_database(const std::string& uri, const std::string& database) {
    const auto scheme = uri.find("://");
    const auto hosts_end = uri.find_first_of("/?", scheme == uri.npos ? 0 : scheme + 3);
    const bool slash = hosts_end != uri.npos && uri[hosts_end] == '/';
    const auto at = hosts_end == uri.npos ? uri.size() : hosts_end + (slash ? 1 : 0);
    if (at < uri.size() && uri[at] != '?')
        return Error{Errc::invalid_argument, "the URI names a database; leave it out, because each workload gets a new one"};
    return uri.substr(0, at) + (slash ? "" : "/") + database + uri.substr(at);
}

Result<std::unique_ptr<Store>> open_bench_store(const std::string& address, bool full) {
    if (host::is_mongo(address)) return host::open_address(address, {.variable = "--store", .origin = {}, .log = {}});
    sqlite::Options options;
    options.durability = full ? sqlite::Durability::full : sqlite::Durability::process_crash;
    auto store = sqlite::open(address, options);
    if (!store) return std::move(store).error();
    return std::unique_ptr<Store>(std::move(*store));
}

int bench_enqueuer(const std::string& address, int jobs) {
    auto store = open_bench_store(address, true);
    if (!store) return 1;
    JobQueue queue(**store);
    for (int i = 0; i < jobs; ++i) {
        auto job = queue.enqueue(bench_kind, {{"n", i}});
        const auto at = BenchClock::now().time_since_epoch();
        if (!job) return 1;
        std::cout << job->id.str() << " " << std::chrono::nanoseconds(at).count() << std::endl;
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return 0;
}

double seconds_since(BenchClock::time_point begin) {
    return std::chrono::duration<double>(BenchClock::now() - begin).count();
}

void percentiles(std::vector<double>& ms, BenchFigure& figure) {
    if (ms.empty()) return;
    std::sort(ms.begin(), ms.end());
    auto at = [&](double share) { return ms[static_cast<std::size_t>(share * static_cast<double>(ms.size() - 1))]; };
    figure.p50_ms = at(0.5);
    figure.p99_ms = at(0.99);
}

double resident_mb() {
    std::ifstream in("/proc/self/statm");
    long total = 0, resident = 0;
    in >> total >> resident;
    return static_cast<double>(resident) * static_cast<double>(sysconf(_SC_PAGESIZE)) / (1 << 20);
}

}  // namespace jobruntime::jobrt
