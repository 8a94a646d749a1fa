// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <thread>

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <jobruntime/memory.hpp>
#include <jobruntime/testing/expect.hpp>
#include <jobruntime/testing/faulty_store.hpp>
#include <jobruntime/testing/manual_clock.hpp>
#include <jobruntime/testing/recording_sink.hpp>

using namespace jobruntime;
using namespace std::chrono_literals;
using testing::FaultyStore;
using testing::ManualClock;
using testing::Verb;

TEST_CASE("a manual clock moves only when told to, and both its times together") {
    ManualClock clock;
    const auto wall = clock.wall();
    const auto steady = clock.steady();
    clock.advance(90s);
    clock.advance(-5s);
    CHECK(clock.wall() == wall + 90s);
    CHECK(clock.steady() == steady + 90s);
    clock.set_wall(wall - 1h);
    CHECK(clock.wall() == wall - 1h);
    CHECK(clock.steady() == steady + 90s);
}

TEST_CASE("who waits at a manual clock is woken by the advance that reaches its time") {
    ManualClock clock;
    Wakeup wakeup;
    std::atomic<int> woken = 0;
    const auto deadline = clock.steady() + 10s;
    std::jthread waiter([&](std::stop_token stop) {
        if (clock.wait_until(deadline, wakeup, stop) == Woken::deadline) woken = 1;
    });
    REQUIRE(clock.await_waiters(1));
    clock.advance(9999ms);
    CHECK(woken == 0);
    clock.advance(1ms);
    waiter.join();
    CHECK(woken == 1);
    CHECK(!clock.await_waiters(1, 1ms));
}

TEST_CASE("rings and stops end a wait at either clock, stop before ring before deadline") {
    ManualClock manual;
    for (Clock* clock : std::initializer_list<Clock*>{&manual, &system_clock()}) {
        Wakeup wakeup;
        std::stop_source stop;
        const auto past = clock->steady();
        CHECK(clock->wait_until(past, wakeup, {}) == Woken::deadline);
        wakeup.ring();
        wakeup.ring();
        CHECK(clock->wait_until(past, wakeup, {}) == Woken::rung);
        CHECK(clock->wait_until(past, wakeup, {}) == Woken::deadline);
        wakeup.poke();
        CHECK(clock->wait_until(past, wakeup, {}) == Woken::deadline);
        std::jthread ringer([&] { wakeup.ring(); });
        CHECK(clock->wait_until(SteadyTime::max(), wakeup, stop.get_token()) == Woken::rung);
        std::jthread stopper([&] { stop.request_stop(); });
        CHECK(clock->wait_until(SteadyTime::max(), wakeup, stop.get_token()) == Woken::stopped);
        wakeup.ring();
        CHECK(clock->wait_until(past, wakeup, stop.get_token()) == Woken::stopped);
        CHECK(clock->wait_until(past, wakeup, {}) == Woken::rung);
    }
    Wakeup wakeup;
    CHECK(system_clock().wait_until(system_clock().steady() + 2ms, wakeup, {}) == Woken::deadline);
}

TEST_CASE("a recording sink finds, counts and waits") {
    testing::RecordingSink sink;
    Event event;
    event.name = "a";
    CHECK(!sink.find("a"));
    CHECK(!sink.wait_for("a", 1ms));
    std::jthread other([&] { sink.emit(event, true); });
    CHECK(sink.wait_for("a", 10s));
    other.join();
    event.job.bytes[0] = 1;
    sink.emit(event, false);
    CHECK(sink.count("a") == 2);
    CHECK(sink.find("a", event.job)->job == event.job);
    CHECK(!sink.find("b"));
    CHECK(sink.events().size() == 2);
    sink.clear();
    CHECK(sink.events().empty());
}

namespace {

bool insert_one(Store& store, std::uint8_t number) {
    NewJob job;
    job.id.bytes[0] = number;
    job.kind = "test";
    return store.insert({&job, 1}, Time{}).has_value();
}

}  // namespace

TEST_CASE("a faulty store fails by script, for one verb or for any") {
    const auto memory = memory::open();
    FaultyStore store(*memory);
    store.fail_next(Errc::unavailable, 2);
    CHECK(!insert_one(store, 1));
    CHECK(store.sessions().error().code == Errc::unavailable);
    CHECK(insert_one(store, 1));
    store.fail_next(Verb::count, Errc::full);
    CHECK(insert_one(store, 2));
    CHECK(store.count({}, CountBy::nothing).error().code == Errc::full);
    CHECK(store.count({}, CountBy::nothing)->front().count == 2);
    CHECK(store.failures() == 3);
}

TEST_CASE("a faulty store dies after a write that is there, until it is healed") {
    const auto memory = memory::open();
    FaultyStore store(*memory);
    store.die_after_write(Verb::insert);
    CHECK(store.count({}, CountBy::nothing).has_value());
    CHECK(!insert_one(store, 1));
    CHECK(store.dead());
    CHECK(memory->count({}, CountBy::nothing)->front().count == 1);
    CHECK(!store.sessions());
    CHECK(!insert_one(store, 2));
    CHECK(memory->count({}, CountBy::nothing)->front().count == 1);
    store.heal();
    CHECK(!store.dead());
    CHECK(insert_one(store, 2));
}

TEST_CASE("chance gives the same faults for the same seed, before and after the write") {
    const auto run = [](std::uint64_t seed) {
        const auto memory = memory::open();
        FaultyStore store(*memory, {.seed = seed, .before = 0.2, .after = 0.2});
        std::string story;
        for (std::uint8_t i = 0; i < 200; ++i) story += insert_one(store, i) ? '.' : 'x';
        const auto there = memory->count({}, CountBy::nothing)->front().count;
        const auto told = static_cast<std::uint64_t>(std::count(story.begin(), story.end(), '.'));
        CHECK(there > told);
        CHECK(there < 200);
        return story;
    };
    CHECK(run(1) == run(1));
    CHECK(run(1) != run(2));
}

TEST_CASE("an expectation says what it saw") {
    const auto broken = []() -> Result<void> {
        const int left = 3;
        JR_EXPECT(left == 4);
        return {};
    };
    const auto answer = broken();
    REQUIRE(!answer);
    CHECK(answer.error().message.find("left == 4 is false: 3 == 4") != std::string::npos);
    CHECK(answer.error().message.find("test_testing_kit.cpp:") != std::string::npos);
    const auto kept = []() -> Result<void> {
        const std::vector<int> list{1, 2};
        JR_EXPECT(list.size() == 2);
        JR_EXPECT(-1 < list.size());
        JR_EXPECT(list == std::vector{1, 2});
        JR_EXPECT(Result<void>{});
        return {};
    };
    CHECK(kept().has_value());
    CHECK(testing::show(std::optional<JobState>{JobState::queued}) == "queued");
    CHECK(testing::show(std::vector<std::string>{"a"}) == "[\"a\"]");
    CHECK(testing::show(Result<int>{Error{Errc::full, "no space"}}) == "full (no space)");
}

TEST_CASE("a memory store says that it is not the child's after fork") {
    const auto store = memory::open();
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const auto answer = store->sessions();
        ::_exit(!answer && answer.error().code == Errc::invalid_argument ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a subscription moves, and outlives its store") {
    auto store = memory::open();
    int calls = 0;
    Subscription first = store->on_change([&](unsigned) { ++calls; });
    Subscription second = std::move(first);
    CHECK(insert_one(*store, 1));
    CHECK(calls == 1);
    first = std::move(second);
    CHECK(insert_one(*store, 2));
    CHECK(calls == 2);
    first = Subscription{};
    CHECK(insert_one(*store, 3));
    CHECK(calls == 2);
    second = store->on_change([&](unsigned) { ++calls; });
    store.reset();
}
