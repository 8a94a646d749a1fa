// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <atomic>
#include <thread>

#include <doctest/doctest.h>

#include <jobruntime/testing/faulty_store.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/testing/harness.hpp>

#include "core/observer.hpp"

using namespace jobruntime;
using namespace std::chrono_literals;
using testing::Harness;
using testing::ManualClock;

namespace {

SessionInfo row_of(int n, std::uint64_t beats = 1) {
    SessionInfo info;
    info.id.bytes[15] = static_cast<std::uint8_t>(n);
    info.facts.works = true;
    info.facts.host = "here";
    info.facts.boot_id = "boot";
    info.beat = beats;
    return info;
}

SessionFacts own_facts() {
    SessionFacts facts;
    facts.host = "here";
    facts.boot_id = "boot";
    return facts;
}

WorkerOptions on(ManualClock& clock, std::uint64_t seed) {
    WorkerOptions options;
    options.clock = &clock;
    options.seed = seed;
    return options;
}

}  // namespace

TEST_CASE("a worker that comes by HTTP is lost as any other, and never leads: nobody is there who could do the upkeep") {
    core::Observer observer(30s, own_facts());
    const auto mine = row_of(9).id;
    std::vector<SessionInfo> all = {row_of(1), row_of(9)};
    all[0].facts.role = "remote";
    CHECK(observer.look(all, mine, SteadyTime{1h}, false).empty());
    CHECK(observer.leader() == mine);
    for (auto t = 10s; t < 30s; t += 10s) CHECK(observer.look(all, mine, SteadyTime{1h} + t, false).empty());
    const auto lost = observer.look(all, mine, SteadyTime{1h} + 30s, false);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].session.id == row_of(1).id);
}

TEST_CASE("a session is lost when its counter stood still for a whole lease of the observer's own clock") {
    core::Observer observer(30s, own_facts());
    const auto mine = row_of(9).id;
    const SteadyTime start{1h};
    std::vector<SessionInfo> all = {row_of(1, 7), row_of(2, 3), row_of(9)};
    for (auto t = 0s; t < 30s; t += 10s) {
        all[1].beat += 1;
        CHECK(observer.look(all, mine, start + t, false).empty());
    }
    CHECK(observer.leader() == row_of(1).id);
    all[1].beat += 1;
    const auto lost = observer.look(all, mine, start + 30s, false);
    REQUIRE(lost.size() == 1);
    CHECK(lost[0].session.id == row_of(1).id);
    CHECK(lost[0].session.beat == 7);
    CHECK(lost[0].loss == Loss::crash);
    CHECK(observer.leader() == row_of(2).id);
    observer.settled(row_of(1).id);
    all[1].beat += 1;
    CHECK(observer.look(all, mine, start + 40s, false).empty());
}

TEST_CASE("what the observer makes of a session") {
    struct Row {
        const char* name;
        std::function<void(SessionInfo&)> edit;
        bool at_once;       // Lost at the first look.
        bool after_lease;   // Lost when nothing changes for a lease.
        Loss loss;
        bool own_beats_fail = false;
    };
    const std::vector<Row> rows = {
        {"silent", [](SessionInfo&) {}, false, true, Loss::crash},
        {"seen dead", [](SessionInfo& s) { s.seen_dead = true; }, true, true, Loss::crash},
        {"seen dead while our beats fail", [](SessionInfo& s) { s.seen_dead = true; }, true, true, Loss::crash, true},
        {"frozen: its process is there", [](SessionInfo& s) { s.seen_alive = true; }, false, true, Loss::crash},
        {"full disk: nobody can beat", [](SessionInfo& s) { s.seen_alive = true; }, false, false, Loss::crash, true},
        {"outage: silence proves nothing", [](SessionInfo&) {}, false, false, Loss::crash, true},
        {"rebooted", [](SessionInfo& s) { s.facts.boot_id = "before"; s.seen_dead = true; }, true, true, Loss::reboot},
        {"same name, other machine, lives", [](SessionInfo& s) { s.facts.boot_id = "other"; }, false, true, Loss::reboot},
        {"another host", [](SessionInfo& s) { s.facts.host = "there"; s.facts.boot_id = "other"; }, false, true, Loss::crash},
        {"stopped", [](SessionInfo& s) { s.facts.stopped = true; s.seen_dead = true; }, false, true, Loss::reboot},
        {"declared dead by others", [](SessionInfo& s) { s.declared_dead = true; }, true, true, Loss::crash},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        core::Observer observer(30s, own_facts());
        auto other = row_of(1);
        row.edit(other);
        const std::vector<SessionInfo> all = {other, row_of(2)};
        const SteadyTime start{1h};
        CHECK(observer.look(all, row_of(2).id, start, row.own_beats_fail).empty() == !row.at_once);
        CHECK(observer.look(all, row_of(2).id, start + 10s, row.own_beats_fail).empty() == !row.at_once);
        observer.look(all, row_of(2).id, start + 20s, row.own_beats_fail);
        const auto lost = observer.look(all, row_of(2).id, start + 30s, row.own_beats_fail);
        CHECK(lost.empty() == !row.after_lease);
        for (const auto& one : lost) CHECK(one.loss == row.loss);
    }
}

TEST_CASE("an observer that slept gives everybody a new lease") {
    core::Observer observer(30s, own_facts());
    const std::vector<SessionInfo> all = {row_of(1), row_of(2)};
    const SteadyTime start{1h};
    CHECK(observer.look(all, row_of(2).id, start, false).empty());
    CHECK(observer.look(all, row_of(2).id, start + 5min, false).empty());
    for (auto t = 10s; t < 30s; t += 10s) CHECK(observer.look(all, row_of(2).id, start + 5min + t, false).empty());
    CHECK(observer.look(all, row_of(2).id, start + 5min + 30s, false).size() == 1);
}

TEST_CASE("another worker takes over a frozen one's job, and the late end of the frozen one changes nothing") {
    ManualClock clock;
    auto store = memory::open();
    Worker rescuer(*store, on(clock, 2));
    Worker frozen(*store, on(clock, 1));
    bool first = true;
    int rescued = 0;
    rescuer.on("k", [&](JobContext&) {
        ++rescued;
        return completed("rescued");
    });
    frozen.on("k", [&](JobContext& job) -> Outcome {
        REQUIRE(std::exchange(first, false));
        // It stands still, and does not beat, while the other one goes on.
        for (int i = 0; i < 5; ++i) {
            clock.advance(10s);
            CHECK(rescuer.run_one());
            if (rescued) break;
        }
        const auto step = job.step("s", []() -> Result<boost::json::value> { return boost::json::value(1); });
        CHECK(step.error().code == Errc::canceled);
        return completed("late");
    });
    JobQueue queue(*store, {.clock = &clock, .seed = 3});
    CHECK_FALSE(rescuer.run_one().value());
    const auto before = frozen.session();
    const auto id = queue.enqueue("k", {}).value().id;
    CHECK(frozen.run_one().value());
    const auto job = queue.get(id).value().value();
    CHECK(job.state == JobState::completed);
    CHECK(job.result == "rescued");
    CHECK(job.attempt == 1);
    CHECK(frozen.stats().conflicts == 1);
    CHECK(frozen.stats().completed == 0);
    // It finds out, and goes on as a new session.
    CHECK_FALSE(frozen.run_one().value());
    CHECK(frozen.session() != before);
}

TEST_CASE("a heartbeat that cannot get through for two thirds of a lease says so and begins a new session") {
    ManualClock clock;
    auto inner = memory::open();
    testing::FaultyStore store(*inner);
    int errors = 0;
    std::vector<SessionId> lost;
    Heartbeat::Callbacks callbacks;
    callbacks.on_error = [&](const Error&) { ++errors; };
    callbacks.on_lost = [&](SessionId session) { lost.push_back(session); };
    Heartbeat heartbeat(store, {.clock = &clock, .seed = 1}, callbacks);
    CHECK_FALSE(heartbeat.holds_lease());
    REQUIRE(heartbeat.run_once());
    CHECK(heartbeat.holds_lease());
    const auto session = heartbeat.session();
    store.fail_next(Errc::unavailable, 1000);
    clock.advance(10s);
    CHECK_FALSE(heartbeat.run_once());
    CHECK(lost.empty());
    clock.advance(9999ms);
    CHECK(heartbeat.holds_lease());
    clock.advance(1ms);
    CHECK_FALSE(heartbeat.holds_lease());
    CHECK_FALSE(heartbeat.run_once());
    CHECK(lost == std::vector{session});
    CHECK(heartbeat.session() != session);
    CHECK_FALSE(heartbeat.run_once());
    CHECK(lost.size() == 1);
    store.heal();
    CHECK(heartbeat.run_once());
    CHECK(heartbeat.holds_lease());
    CHECK(errors == 3);
}

TEST_CASE("a full disk does not cost the lease, because nobody can beat then") {
    ManualClock clock;
    auto inner = memory::open();
    testing::FaultyStore store(*inner);
    bool lost = false;
    Heartbeat::Callbacks callbacks;
    callbacks.on_lost = [&](SessionId) { lost = true; };
    Heartbeat heartbeat(store, {.clock = &clock, .seed = 1}, callbacks);
    REQUIRE(heartbeat.run_once());
    for (int i = 0; i < 12; ++i) {
        clock.advance(10s);
        store.fail_next(Errc::full, 1);
        CHECK_FALSE(heartbeat.run_once());
        CHECK(heartbeat.holds_lease());
    }
    CHECK_FALSE(lost);
}

TEST_CASE("the jobs of a session that we gave up ourselves are taken back without counting a crash") {
    ManualClock clock;
    auto inner = memory::open();
    testing::FaultyStore store(*inner);
    Worker worker(store, on(clock, 1));
    worker.on("k", [&](JobContext& job) {
        store.fail_next(Errc::unavailable, 100'000);
        for (int i = 0; i < 3; ++i) {
            clock.advance(10s);
            static_cast<void>(worker.heartbeat().run_once());
        }
        CHECK(job.stop_reason() == StopReason::lease_lost);
        return retry("STOPPED", "asked to stop");
    });
    JobQueue queue(*inner, {.clock = &clock, .seed = 3});
    const auto id = queue.enqueue("k", {}).value().id;
    CHECK(worker.run_one().value());
    CHECK(queue.get(id).value()->state == JobState::running);
    // The outage lasts until the end of the attempt is given up; then silence speaks.
    clock.advance(2min);
    static_cast<void>(worker.run_one());
    store.heal();
    Worker other(*inner, on(clock, 2));
    other.on("k", [](JobContext&) { return completed(); });
    worker.begin_drain();
    for (int i = 0; i < 5 && queue.get(id).value()->state == JobState::running; ++i) {
        clock.advance(10s);
        REQUIRE(worker.heartbeat().run_once());
    }
    const auto job = queue.get(id).value().value();
    CHECK(job.state == JobState::queued);
    CHECK(job.crashes == 0);
    CHECK(job.attempt == 0);
}

TEST_CASE("a job that went down with two processes runs alone, and one that does so alone twice is given up") {
    Harness jobs;
    int ran = 0;
    jobs.on("k", [&](JobContext&) {
        ++ran;
        return completed();
    });
    const auto poison = jobs.enqueue("k");
    auto& store = jobs.store();
    // Sessions that claim and vanish.
    for (int crash = 1; crash <= 4; ++crash) {
        SessionId victim;
        victim.bytes[0] = 0xff;
        victim.bytes[15] = static_cast<std::uint8_t>(crash);
        SessionFacts facts;
        facts.works = true;
        REQUIRE(store.beat(victim, facts, jobs.clock().wall()));
        const Want want{"default", {"k"}, 1};
        const auto mode = crash <= 2 ? ClaimMode::ordinary : ClaimMode::solitary;
        const auto claimed = store.claim({&want, 1}, victim, mode, jobs.clock().wall());
        REQUIRE(claimed);
        REQUIRE(claimed->jobs.size() == 1);
        REQUIRE(store.recover(victim, 1, Loss::crash, 10, jobs.clock().wall()));
        jobs.advance(2min);
        if (crash == 3) {
            const auto job = jobs.job(poison);
            CHECK(job.crashes == 3);
            CHECK(job.attempt == 0);
        }
    }
    CHECK(jobs.job(poison).state == JobState::failed);
    CHECK(jobs.job(poison).errors.back().code == "CRASH_LIMIT");
    CHECK_FALSE(jobs.run_one());
    CHECK(ran == 0);
}

TEST_CASE("a silent session is taken over also where the lease is short against the usual look round") {
    const auto store = memory::open();
    const auto silent = row_of(1).id;
    SessionFacts facts;
    facts.host = "elsewhere";
    facts.works = true;
    REQUIRE(store->beat(silent, facts, system_clock().wall()));
    HeartbeatOptions options;
    options.beat = Duration{100};
    options.lease = Duration{600};  // watch stays at its 500 ms.
    std::atomic<bool> taken{false};
    Heartbeat heartbeat(*store, options,
                        {.on_recovered = [&](const SessionInfo& dead, std::size_t) { taken = dead.id == silent; }});
    REQUIRE(heartbeat.start());
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (!taken && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(10ms);
    CHECK(taken);
}

TEST_CASE("a worker for one job takes no other, and says that nobody may count on it") {
    const auto store = memory::open();
    JobQueue queue(*store);
    const auto first = queue.enqueue("k", {});
    const auto wanted = queue.enqueue("k", {});
    REQUIRE((first && wanted));
    WorkerOptions options;
    options.only = wanted->id;
    options.started = {{"missing", "a browser"}};
    Worker worker(*store, options);
    worker.on("k", [](JobContext&) { return completed(); });
    SUBCASE("by its threads") {
        REQUIRE(worker.start());
        const auto done = queue.wait(wanted->id, 10s);
        REQUIRE_MESSAGE(done, done.error().message);
        worker.stop();
        const auto events = store->events(0, {.name_prefix = "worker.started"}, 10);
        REQUIRE(events);
        REQUIRE(events->events.size() == 1);
        CHECK(events->events.front().fields.at("missing") == "a browser");
        CHECK(events->events.front().fields.contains("workerId"));
    }
    SUBCASE("by hand") {
        CHECK(worker.run_one().value());
        CHECK_FALSE(worker.run_one().value());
    }
    CHECK(queue.get(wanted->id).value()->state == JobState::completed);
    CHECK(queue.get(first->id).value()->state == JobState::queued);
    const auto sessions = store->sessions();
    REQUIRE(sessions);
    REQUIRE(sessions->size() == 1);
    CHECK_FALSE(sessions->front().facts.works);
}
