// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <functional>
#include <set>
#include <thread>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/memory.hpp>
#include <jobruntime/testing/faulty_store.hpp>

#include "gate.hpp"

using namespace jobruntime;
using namespace std::chrono_literals;

namespace {

SessionId session_of(int n) {
    SessionId id;
    id.bytes[15] = static_cast<std::uint8_t>(n);
    return id;
}

void beat_as(Store& store, int n, std::vector<std::string> kinds, std::vector<std::string> queues, int places, Time now) {
    SessionFacts facts;
    facts.works = true;
    facts.kinds = std::move(kinds);
    facts.queues = std::move(queues);
    facts.details["concurrency"] = {{"default", places}};
    REQUIRE(store.beat(session_of(n), facts, now));
}

Job claim(Store& store, int n, Time now) {
    const Want want{"default", {"k"}, 1};
    auto claimed = store.claim({&want, 1}, session_of(n), ClaimMode::ordinary, now);
    REQUIRE(claimed);
    REQUIRE(claimed->jobs.size() == 1);
    return claimed->jobs.front();
}

Settlement completed_settlement(const Job& job) {
    Settlement settlement;
    settlement.job = job.id;
    settlement.fence = job.fence;
    settlement.result = "42";
    return settlement;
}

}  // namespace

TEST_CASE("what is out of bounds is refused by name and nothing is stored") {
    auto store = memory::open();
    JobQueue queue(*store);
    struct Row {
        const char* name;
        std::string kind;
        EnqueueOptions options;
    };
    const std::vector<Row> rows = {
        {"no kind", "", {}},
        {"bad kind", "Mail Welcome", {}},
        {"long kind", std::string(65, 'k'), {}},
        {"bad queue", "k", {.queue = "a/b"}},
        {"delay and time", "k", {.delay = 1s, .run_at = Time{}}},
        {"negative delay", "k", {.delay = -1s}},
        {"no attempts", "k", {.max_attempts = 0}},
        {"too many attempts", "k", {.max_attempts = 1001}},
        {"long unique key", "k", {.unique = std::string(513, 'u')}},
        {"long idempotency key", "k", {.idempotency_key = std::string(256, 'u')}},
        {"long trace id", "k", {.trace_id = std::string(121, 't')}},
        {"empty tag", "k", {.tags = {""}}},
        {"long tag", "k", {.tags = {std::string(65, 't')}}},
        {"too many tags", "k", {.tags = std::vector<std::string>(17, "t")}},
    };
    for (const auto& row : rows) {
        CAPTURE(row.name);
        const auto made = queue.enqueue(row.kind, {}, row.options);
        REQUIRE_FALSE(made);
        CHECK(made.error().code == Errc::invalid_argument);
        CHECK(made.error().name == "INVALID_ARGUMENT");
    }
    const auto large = queue.enqueue("k", {{"x", std::string(limits::payload, 'x')}});
    CHECK(large.error().name == "PAYLOAD_TOO_LARGE");
    CHECK(queue.count()->empty());
}

namespace {

/// Lets the store's inserts fail from the first accepted job on.
struct Breaker final : TelemetrySink {
    explicit Breaker(testing::FaultyStore& store) : store_(store) {}
    void emit(const Event&, bool) noexcept override { store_.fail_next(testing::Verb::insert, Errc::unavailable, 1'000'000); }
    testing::FaultyStore& store_;
};

}  // namespace

TEST_CASE("when a later trip fails, the jobs of earlier ones are answered, and only the others have the error") {
    auto inner = memory::open();
    testing::FaultyStore store(*inner);
    Breaker breaker(store);
    JobQueue queue(store, {.sink = &breaker});
    std::vector<JobSpec> specs(limits::batch_items * 2 + 10, JobSpec{"k", {}, {}});
    specs[1].kind = "no name";
    specs[limits::batch_items + 5].kind = "no name";
    const auto made = queue.enqueue_many(specs);
    REQUIRE(made);
    REQUIRE(made->size() == specs.size());
    std::size_t accepted = 0, away = 0;
    for (std::size_t i = 0; i < specs.size(); ++i) {
        const auto& one = (*made)[i];
        if (one) ++accepted;
        else if (one.error().code == Errc::unavailable) ++away;
        else CHECK(specs[i].kind == "no name");
        // All of the first trip, and nothing else.
        if (specs[i].kind == "k") CHECK(one.has_value() == (i <= limits::batch_items));
    }
    CHECK(accepted == limits::batch_items);
    CHECK(away == specs.size() - 2 - accepted);
    CHECK(inner->count({}, CountBy::nothing)->front().count == accepted);
    // Nothing was accepted: then the call itself fails.
    const auto none = queue.enqueue_many(specs);
    REQUIRE_FALSE(none);
    CHECK(none.error().code == Errc::unavailable);
}

TEST_CASE("a lost answer stays one, whatever the second try meets: the first may have stored the job") {
    auto inner = memory::open();
    testing::FaultyStore store(*inner);
    JobQueue queue(store);
    store.fail_next(testing::Verb::insert, Errc::unavailable);
    store.fail_next(Errc::full);  // Comes second.
    const auto made = queue.enqueue("k", {});
    REQUIRE_FALSE(made);
    CHECK(made.error().code == Errc::unavailable);
    CHECK(made.error().message.find("a fault was put into insert") != std::string::npos);
    CHECK(store.failures() == 2);
    store.fail_next(Errc::full);
    CHECK(queue.enqueue("k", {}).error().code == Errc::full);
}

TEST_CASE("a job has what it was given, and a trace id of its own when none was") {
    auto store = memory::open();
    JobQueue queue(*store);
    const auto plain = queue.enqueue("k", {{"a", 1}});
    REQUIRE(plain);
    const auto job = queue.get(plain->id).value().value();
    CHECK(job.payload == boost::json::object{{"a", 1}});
    CHECK(job.trace_id.size() == 32);
    CHECK(job.state == JobState::queued);
    const auto later = queue.enqueue("k", {}, {.queue = "q", .delay = 1h, .priority = -3, .max_attempts = 7, .trace_id = "t", .tags = {"x", "y"}});
    REQUIRE(later);
    const auto second = queue.get(later->id).value().value();
    CHECK(second.state == JobState::scheduled);
    CHECK(second.run_at - second.created_at == 1h);
    CHECK(second.queue == "q");
    CHECK(second.priority == -3);
    CHECK(second.max_attempts == 7);
    CHECK(second.trace_id == "t");
    CHECK(second.tags == std::vector<std::string>{"x", "y"});
    const auto never = queue.enqueue("k", {}, {.delay = Duration::max()});
    REQUIRE(never);
    CHECK(queue.get(never->id).value()->state == JobState::scheduled);
    const auto past = queue.enqueue("k", {}, {.run_at = Time{}});
    REQUIRE(past);
    CHECK(queue.get(past->id).value()->state == JobState::queued);
}

TEST_CASE("one seed makes the same ids") {
    auto first = memory::open();
    auto second = memory::open();
    struct Still final : Clock {
        Time wall() const override { return Time{1s}; }
        SteadyTime steady() const override { return SteadyTime{}; }
        Woken wait_until(SteadyTime, Wakeup&, std::stop_token) override { return Woken::deadline; }
    } clock;
    JobQueue one(*first, {.clock = &clock, .seed = 7});
    JobQueue two(*second, {.clock = &clock, .seed = 7});
    JobQueue three(*second, {.clock = &clock, .seed = 8});
    for (int i = 0; i < 3; ++i) CHECK(one.enqueue("k", {})->id == two.enqueue("k", {})->id);
    CHECK(one.enqueue("k", {})->id != three.enqueue("k", {})->id);
}

TEST_CASE("many at once: bad ones are refused by themselves, more than one trip's worth gets in") {
    auto store = memory::open();
    JobQueue queue(*store);
    std::vector<JobSpec> specs;
    for (int i = 0; i < 4500; ++i) specs.push_back({i % 1000 == 500 ? "Bad Kind" : "k", {{"n", i}}, {}});
    for (int i = 0; i < 60; ++i) specs.push_back({"large", {{"x", std::string(200'000, 'x')}}, {}});
    const auto made = queue.enqueue_many(specs);
    REQUIRE(made);
    REQUIRE(made->size() == specs.size());
    std::set<std::string> ids;
    std::size_t refused = 0;
    for (std::size_t i = 0; i < specs.size(); ++i) {
        if ((*made)[i]) ids.insert((*made)[i]->id.str());
        else ++refused;
        CHECK((*made)[i].has_value() == (specs[i].kind != "Bad Kind"));
    }
    CHECK(refused == 4);
    CHECK(ids.size() == specs.size() - 4);
    CHECK(queue.count({}, CountBy::nothing)->front().count == specs.size() - 4);
    CHECK(queue.enqueue_many({})->empty());
}

TEST_CASE("a unique key is held by one job at a time, also against racing callers") {
    auto store = memory::open();
    std::set<std::string> ids;
    std::mutex mutex;
    std::vector<std::thread> callers;
    for (int i = 0; i < 4; ++i)
        callers.emplace_back([&] {
            JobQueue queue(*store);
            for (int n = 0; n < 200; ++n) {
                const auto made = queue.enqueue("k", {}, {.unique = "u" + std::to_string(n)});
                const std::lock_guard lock(mutex);
                if (made && made->inserted()) ids.insert(made->id.str());
            }
        });
    for (auto& caller : callers) caller.join();
    CHECK(ids.size() == 200);
    JobQueue queue(*store);
    const auto again = queue.enqueue("k", {{"new", true}}, {.unique = "u7", .on_conflict = OnConflict::replace});
    REQUIRE(again);
    CHECK(again->how == InsertAnswer::How::replaced);
    CHECK(queue.get(again->id).value()->payload.contains("new"));
    CHECK(queue.count({}, CountBy::nothing)->front().count == 200);
}

TEST_CASE("wait ends with the job, the time, the stop or the reason") {
    auto store = memory::open();
    JobQueue queue(*store);
    const Time now = system_clock().wall();
    beat_as(*store, 1, {"k"}, {"default"}, 1, now);
    const auto id = queue.enqueue("k", {})->id;
    CHECK(queue.wait(id, 0s).error().code == Errc::timed_out);
    CHECK(queue.wait(id, 10ms).error().code == Errc::timed_out);
    CHECK(queue.wait(JobId{}, 1s).error().code == Errc::not_found);
    std::stop_source stop;
    stop.request_stop();
    CHECK(queue.wait(id, Duration::max(), stop.get_token()).error().code == Errc::canceled);
    const auto job = claim(*store, 1, now);
    std::thread finisher([&] {
        const auto end = completed_settlement(job);
        CHECK(store->settle({&end, 1}, now));
    });
    const auto done = queue.wait(id, 20s);
    finisher.join();
    REQUIRE(done);
    CHECK(done->state == JobState::completed);
    CHECK(done->result == 42);
}

TEST_CASE("why a job is not running, in words") {
    auto store = memory::open();
    JobQueue queue(*store);
    const Time now = system_clock().wall();
    const auto id = queue.enqueue("k", {})->id;
    const auto why = [&](JobId of) { return queue.waiting_for(*queue.get(of).value()).value(); };
    CHECK(why(id) == "no worker is running; start one with ROLE=worker");
    beat_as(*store, 2, {"k"}, {"default"}, 1, now - 10min);
    CHECK(why(id) == "no worker is running; start one with ROLE=worker");
    beat_as(*store, 3, {"other"}, {"default"}, 1, now);
    CHECK(why(id) == "no live worker has a handler for k");
    beat_as(*store, 1, {"k"}, {"default"}, 1, now);
    CHECK(why(id) == "next in line");
    const auto elsewhere = queue.enqueue("k", {}, {.queue = "slow"})->id;
    CHECK(why(elsewhere) == "no live worker serves queue slow");
    const auto job = claim(*store, 1, now);
    CHECK(why(id).empty());
    const auto second = queue.enqueue("k", {})->id;
    beat_as(*store, 3, {"other"}, {"slow"}, 1, now);
    CHECK(why(second) == "all 1 places of queue default are busy");
    REQUIRE(queue.pause("default"));
    CHECK(why(second) == "queue default is paused");
    REQUIRE(queue.resume("default"));
    const Time at = now + 1h;
    const auto later = queue.enqueue("k", {}, {.run_at = at})->id;
    CHECK(why(later) == "waits until " + to_iso(at));
    Settlement snooze;
    snooze.job = job.id;
    snooze.fence = job.fence;
    snooze.verdict = Verdict::snooze;
    snooze.run_at = at;
    snooze.message = "profile in use";
    REQUIRE(store->settle({&snooze, 1}, now)->front().done);
    CHECK(why(id) == "waits until " + to_iso(at) + ": profile in use");
    for (int crash = 11; crash <= 12; ++crash) {
        beat_as(*store, crash, {"k"}, {"default"}, 1, now);
        CHECK(claim(*store, crash, now).id == second);
        REQUIRE(store->recover(session_of(crash), 1, Loss::crash, 10, now));
    }
    CHECK(why(second).find("runs alone, after 2 crashes") != std::string::npos);
    REQUIRE(queue.change(second, Change{.action = Action::promote}));
    CHECK(why(second) == "waits to run alone after 2 crashes");
    REQUIRE(queue.cancel(second));
    CHECK(why(second).empty());
}

TEST_CASE("changes say what came of them, to one job and to many") {
    auto store = memory::open();
    JobQueue queue(*store);
    CHECK(queue.cancel(JobId{}).error().code == Errc::not_found);
    const auto id = queue.enqueue("k", {}, {.delay = 1h})->id;
    CHECK(queue.change(id, Change{.action = Action::move, .queue = "Bad Name"}).error().code == Errc::invalid_argument);
    CHECK(queue.change(id, Change{.action = Action::move, .queue = "other"})->how == ChangeAnswer::How::done);
    CHECK(queue.get(id).value()->queue == "other");
    CHECK(queue.change(id, Change{.action = Action::promote})->state == JobState::queued);
    CHECK(queue.cancel(id)->state == JobState::canceled);
    CHECK(queue.cancel(id)->how == ChangeAnswer::How::invalid_state);
    CHECK(queue.retry(id)->state == JobState::queued);
    CHECK(queue.remove(id)->how == ChangeAnswer::How::done);
    CHECK_FALSE(queue.get(id).value());

    std::vector<JobSpec> specs(1300, JobSpec{"k", {}, {}});
    REQUIRE(queue.enqueue_many(specs));
    const auto some = queue.change_all({.states = {JobState::queued}}, Change{.action = Action::cancel}, 600);
    CHECK(some->done == 600);
    const auto rest = queue.change_all({}, Change{.action = Action::cancel});
    CHECK(rest->done == 700);
    CHECK(rest->refused == 600);
    CHECK(queue.change_all({}, Change{.action = Action::remove})->done == 1300);
    CHECK(queue.list()->jobs.empty());
}

TEST_CASE("pausing keeps a queue's other settings, and a queue whose name begins the same is another") {
    auto store = memory::open();
    JobQueue queue(*store);
    REQUIRE(store->put("queue/mail", R"({"limit":3})", 0));
    REQUIRE(store->put("queue/mail2", R"({"paused":true})", 0));
    REQUIRE(store->put("queue/odd", "not json", 0));
    REQUIRE(queue.pause("mail"));
    CHECK(queue.paused().value() == std::vector<std::string>{"mail", "mail2"});
    REQUIRE(queue.resume("mail"));
    CHECK(queue.paused().value() == std::vector<std::string>{"mail2"});
    CHECK(store->records("queue/mail").value().front().value == R"({"limit":3,"paused":false})");
    CHECK(queue.pause("Bad Name").error().code == Errc::invalid_argument);
}
