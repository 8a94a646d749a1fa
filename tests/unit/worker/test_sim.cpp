// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <cstdlib>
#include <map>
#include <random>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/testing/faulty_store.hpp>
#include <jobruntime/testing/manual_clock.hpp>
#include <jobruntime/worker.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;
using testing::FaultyStore;
using testing::ManualClock;

namespace {

/// Several workers on one store and one thread, turned in an order that the seed picks, while the store fails
/// and processes freeze or vanish. One seed is one exact run.
class Simulation {
public:
    explicit Simulation(std::uint64_t seed) : random_(seed) {
        for (std::size_t i = 0; i < 3; ++i) processes_.push_back(make_process());
    }

    void run() {
        JobQueue queue(*store_, {.clock = &clock_, .seed = random_()});
        for (int i = 0; i < 25; ++i) {
            EnqueueOptions options;
            options.priority = static_cast<std::int16_t>(random_() % 3);
            if (random_() % 4 == 0) options.delay = Duration{random_() % 60'000};
            jobs_.push_back(queue.enqueue("k", {{"n", i}}, options).value().id);
        }
        for (int turn = 0; turn < 6'000 && !all_final(); ++turn) step();
    }

    bool all_final() {
        const auto rows = store_->count({.states = live_states}, CountBy::nothing);
        return rows->front().count == 0;
    }

    /// Everything that happened, as the store's log has it.
    std::vector<Event> log() {
        std::vector<Event> events;
        EventId after = 0;
        while (true) {
            auto page = store_->events(after, {}, 1000);
            REQUIRE(page);
            REQUIRE_FALSE(page->truncated);
            for (auto& event : page->events) events.push_back(std::move(event));
            if (page->events.size() < 1000) return events;
            after = page->next;
        }
    }

    /// No job is lost, and each claim is left exactly once.
    void check() {
        CHECK(all_final());
        std::map<JobId, int> claims, ends;
        static constexpr std::string_view leaving[] = {"worker.job.completed", "worker.job.failed", "worker.job.canceled",
                                                       "worker.job.retry_scheduled", "worker.job.snoozed",
                                                       "worker.job.released", "worker.job.recovered"};
        for (const auto& event : log()) {
            if (event.name == "worker.job.claimed") ++claims[event.job];
            for (const auto name : leaving)
                if (event.name == name) ++ends[event.job];
        }
        for (const auto id : jobs_) {
            const auto job = store_->get(id, all_parts);
            REQUIRE((job && *job));
            CHECK(is_final((*job)->state));
            CHECK(claims[id] == ends[id]);
            CHECK(completions_[id] >= ((*job)->state == JobState::completed ? 1 : 0));
        }
    }

    int crashes() const { return crashes_; }
    int failures() const {
        int sum = 0;
        for (const auto& process : processes_) sum += process->store.failures();
        return sum;
    }

private:
    struct Process {
        Process(Store& shared, std::uint64_t seed) : store(shared, {.seed = seed, .before = 0.03, .after = 0.03}) {}
        FaultyStore store;
        bool dead = false;
        std::unique_ptr<Worker> worker;
    };

    std::unique_ptr<Process> make_process() {
        auto process = std::make_unique<Process>(*store_, random_());
        WorkerOptions options;
        options.clock = &clock_;
        options.seed = random_();
        options.grace = Duration{0};
        process->worker = std::make_unique<Worker>(process->store, options);
        process->worker->on("k", [this, own = process.get()](JobContext& job) { return handle(*own, job); });
        return process;
    }

    Outcome handle(Process& own, JobContext& job) {
        const auto dice = random_() % 100;
        if (dice < 3 && crashes_ < 12) {
            // The process vanishes under the job: nothing that it does from here on reaches the store.
            own.store.fail_next(Errc::unavailable, 1'000'000'000);
            own.dead = true;
            ++crashes_;
            return completed();
        }
        if (dice < 10) return retry("DICE", "bad luck", Duration{random_() % 20'000});
        if (dice < 15) return snooze(Duration{random_() % 20'000}, "later");
        if (dice < 25) {
            // Frozen for up to two leases, while the others go on.
            const auto rounds = random_() % 8;
            for (std::uint64_t i = 0; i < rounds; ++i) {
                clock_.advance(8s);
                for (auto& process : processes_)
                    if (process.get() != &own) static_cast<void>(process->worker->heartbeat().run_once());
            }
        }
        if (dice < 60)
            static_cast<void>(job.step("s", []() -> Result<boost::json::value> { return boost::json::value(1); }));
        ++completions_[job.job().id];
        return completed();
    }

    void step() {
        auto& process = processes_[random_() % processes_.size()];
        static_cast<void>(process->worker->run_one());
        clock_.advance(Duration{random_() % 4'000});
        if (!process->dead) return;
        gone_.push_back(std::move(process));  // Its session stays behind, and a new process starts.
        process = make_process();
    }

    std::mt19937_64 random_;
    ManualClock clock_;
    std::unique_ptr<Store> store_ = memory::open();
    std::vector<std::unique_ptr<Process>> processes_;
    std::vector<std::unique_ptr<Process>> gone_;
    std::vector<JobId> jobs_;
    std::map<JobId, int> completions_;
    int crashes_ = 0;
};

int seeds() {
    const char* percent = std::getenv("JOBRT_TEST_SCALE");
    return percent ? std::max(5, 2 * std::atoi(percent)) : 200;
}

}  // namespace

TEST_CASE("simulation: whatever the store and the processes do, no job is lost and no claim ends twice") {
    int crashes = 0;
    int failures = 0;
    for (int seed = 1; seed <= seeds(); ++seed) {
        CAPTURE(seed);
        Simulation simulation(static_cast<std::uint64_t>(seed));
        simulation.run();
        simulation.check();
        crashes += simulation.crashes();
        failures += simulation.failures();
    }
    MESSAGE("counts: " << seeds() << " seeds, " << crashes << " vanished workers, " << failures << " failed calls");
    CHECK(crashes > 0);
    CHECK(failures > 0);
}

TEST_CASE("simulation: one seed is one exact run") {
    const auto trace = [](std::uint64_t seed) {
        Simulation simulation(seed);
        simulation.run();
        auto events = simulation.log();
        for (auto& event : events) event.source.clear();
        return events;
    };
    CHECK(trace(5) == trace(5));
    CHECK(trace(5) != trace(6));
}
