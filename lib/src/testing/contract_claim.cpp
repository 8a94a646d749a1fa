// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

Result<void> claims_in_order(Bench& bench) {
    struct Row {
        std::int16_t priority;
        Duration run_at;
    };
    // Already in the order in which they must come out; equal ones by their ids.
    const Row rows[] = {{-32768, 0s}, {-1, -2s}, {-1, -1s}, {0, -10s}, {0, -10s}, {0, 0s}, {1, -100s}, {32767, -200s}};
    std::vector<NewJob> jobs;
    for (const auto& row : rows) {
        jobs.push_back(bench.job());
        jobs.back().priority = row.priority;
        jobs.back().run_at = noon + row.run_at;
    }
    for (auto it = jobs.rbegin(); it != jobs.rend(); ++it) bench.add(*it);
    std::vector<JobId> wanted;
    for (const auto& job : jobs) wanted.push_back(job.id);
    auto got = ids_of(bench.claim(3).jobs);
    for (const auto& job : bench.claim(100).jobs) got.push_back(job.id);
    JR_EXPECT(got == wanted);
    return {};
}

Result<void> claims_by_queue_and_kind(Bench& bench) {
    std::vector<JobId> a;
    for (int i = 0; i < 3; ++i) {
        NewJob job = bench.job("test.a");
        job.queue = "one";
        a.push_back(bench.add(job));
        job = bench.job("test.b");
        job.queue = "one";
        bench.add(job);
        job = bench.job("test.a");
        job.queue = "two";
        bench.add(job);
    }
    const std::vector<Want> wants{Bench::want("two", 2, {"test.a"}), Bench::want("one", 10, {"test.a", "test.x"}),
                                  Bench::want("three", 10)};
    const auto claimed = must(bench.store().claim(wants, bench.me, ClaimMode::ordinary, noon));
    JR_EXPECT(claimed.jobs.size() == 5);
    for (std::size_t i = 0; i < 5; ++i) {
        JR_EXPECT(claimed.jobs[i].queue == (i < 2 ? "two" : "one"));
        JR_EXPECT(claimed.jobs[i].kind == "test.a");
    }
    JR_EXPECT(claimed.jobs[2].id == a[0]);
    JobFilter filter;
    filter.states = {JobState::queued};
    const auto left = must(bench.store().list(filter, JobOrder::oldest_first, "", 10, 0)).jobs;
    JR_EXPECT(left.size() == 4);
    return {};
}

Result<void> claim_fills_the_job(Bench& bench) {
    NewJob job = bench.job();
    job.payload = R"({"n":1})";
    job.trace_id = "trace";
    bench.add(job);
    bench.now += 5s;
    const auto claimed = bench.claim_one();
    JR_EXPECT(claimed.id == job.id);
    JR_EXPECT(claimed.state == JobState::running);
    JR_EXPECT(claimed.payload.at("n") == 1);
    JR_EXPECT(claimed.trace_id == "trace");
    JR_EXPECT(claimed.attempt == 1);
    JR_EXPECT(claimed.fence != Fence::none);
    JR_EXPECT(claimed.session == bench.me);
    JR_EXPECT(claimed.started_at == bench.now);
    const auto stored = bench.get(job.id);
    JR_EXPECT(stored.state == JobState::running);
    JR_EXPECT(stored.attempt == 1);
    JR_EXPECT(stored.fence == claimed.fence);
    JR_EXPECT(stored.session == bench.me);
    JR_EXPECT(stored.started_at == bench.now);
    const auto event = bench.last_event(job.id);
    JR_EXPECT(event.name == "worker.job.claimed");
    JR_EXPECT(event.at == bench.now);
    JR_EXPECT(field(event, "workerId") == bench.me.str());
    JR_EXPECT(field(event, "attempt") == "1");
    return {};
}

Result<void> fences_rise(Bench& bench) {
    const auto id = bench.add();
    Fence last = Fence::none;
    for (int i = 0; i < 5; ++i) {
        const auto claimed = bench.claim_one();
        JR_EXPECT(claimed.id == id);
        JR_EXPECT(claimed.fence > last);
        JR_EXPECT(claimed.attempt == 1);
        last = claimed.fence;
        bench.end(claimed, Verdict::released);
        if (i == 2) bench.reopen();
    }
    return {};
}

Result<void> solitary_rules(Bench& bench) {
    const auto poison = bench.add();
    bench.crash(poison, 2);
    JR_EXPECT(bench.get(poison).crashes == 2);
    JR_EXPECT(bench.get(poison).state == JobState::scheduled);
    const auto good = bench.add();
    auto claimed = bench.claim(10);
    JR_EXPECT(ids_of(claimed.jobs) == std::vector{good});
    JR_EXPECT(!claimed.solitary_waiting);
    JR_EXPECT(claimed.next_due == bench.get(poison).run_at);
    bench.now = bench.get(poison).run_at;
    claimed = bench.claim(10);
    JR_EXPECT(claimed.jobs.empty());
    JR_EXPECT(claimed.solitary_waiting);
    const Want others = Bench::want("default", 1, {"test.b"});
    JR_EXPECT(!must(bench.store().claim({&others, 1}, bench.me, ClaimMode::ordinary, bench.now)).solitary_waiting);
    const Want elsewhere = Bench::want("other");
    JR_EXPECT(!must(bench.store().claim({&elsewhere, 1}, bench.me, ClaimMode::ordinary, bench.now)).solitary_waiting);
    const auto another = bench.add();
    const auto alone = bench.claim_alone(bench.me);
    JR_EXPECT(ids_of(alone.jobs) == std::vector{poison});
    JR_EXPECT(bench.get(another).state == JobState::queued);
    JR_EXPECT(bench.claim_alone(bench.me).jobs.empty());
    return {};
}

Result<void> solitary_one_at_a_time(Bench& bench) {
    std::vector<JobId> poison;
    for (int i = 0; i < 2; ++i) poison.push_back(bench.add());
    // Both go down together, twice.
    for (int i = 0; i < 2; ++i) {
        const auto victim = bench.session();
        bench.beat(victim);
        JR_EXPECT(bench.claim_for(victim, 10).jobs.size() == 2);
        bench.lose(victim, Loss::crash);
    }
    bench.now += 1h;
    const std::vector<Want> wants{Bench::want("default", 10), Bench::want("default", 10)};
    const auto first = must(bench.store().claim(wants, bench.me, ClaimMode::solitary, bench.now));
    JR_EXPECT(first.jobs.size() == 1);
    JR_EXPECT(first.solitary_waiting);
    const auto second = bench.claim_alone(bench.me);
    JR_EXPECT(second.jobs.size() == 1);
    JR_EXPECT(!second.solitary_waiting);
    return {};
}

Result<void> claims_one_named_job(Bench& bench) {
    const auto poison = bench.add();
    bench.crash(poison, 2);
    std::vector<JobId> ids;
    for (int i = 0; i < 3; ++i) ids.push_back(bench.add());
    Want want = Bench::want("default", 10);
    want.only = ids[1];
    const auto ask = [&](ClaimMode mode) { return must(bench.store().claim({&want, 1}, bench.me, mode, bench.now)); };
    want.queue = "other";
    JR_EXPECT(ask(ClaimMode::ordinary).jobs.empty());
    want = Bench::want("default", 10, {"test.other"});
    want.only = ids[1];
    JR_EXPECT(ask(ClaimMode::ordinary).jobs.empty());
    want.kinds = Bench::want().kinds;
    JR_EXPECT(ask(ClaimMode::solitary).jobs.empty());
    JR_EXPECT(ids_of(ask(ClaimMode::ordinary).jobs) == std::vector{ids[1]});
    JR_EXPECT(ask(ClaimMode::ordinary).jobs.empty());
    JR_EXPECT(bench.get(ids[0]).state == JobState::queued);
    JR_EXPECT(bench.get(ids[2]).state == JobState::queued);

    bench.now = bench.get(poison).run_at;
    want.only = ids[0];
    JR_EXPECT(ask(ClaimMode::solitary).jobs.empty());
    JR_EXPECT(!ask(ClaimMode::solitary).solitary_waiting);
    want.only = poison;
    const auto seen = ask(ClaimMode::ordinary);
    JR_EXPECT(seen.jobs.empty());
    JR_EXPECT(seen.solitary_waiting);
    JR_EXPECT(ids_of(ask(ClaimMode::solitary).jobs) == std::vector{poison});
    JR_EXPECT(bench.get(ids[0]).state == JobState::queued);
    return {};
}

}  // namespace

void add_claim_cases(Cases& cases) {
    cases.add("jobs are claimed by priority, then run_at, then id", claims_in_order);
    cases.add("a claim takes only the queues, kinds and numbers that it asks for", claims_by_queue_and_kind);
    cases.add("a claim for one job takes that job where it fits, and no other", claims_one_named_job);
    cases.add("a claimed job has its payload, attempt, fence, session and time", claim_fills_the_job);
    cases.add("the fence of a job rises with every claim, also after the store was opened again", fences_rise);
    cases.add("a job with two crashes is claimed alone, and seen to wait by those who could", solitary_rules);
    cases.add("a solitary claim takes one job, whatever the wants", solitary_one_at_a_time);

    cases.add("nothing due is an empty answer", [](Bench& bench) -> Result<void> {
        const auto claimed = bench.claim(10);
        JR_EXPECT(claimed.jobs.empty());
        JR_EXPECT(!claimed.solitary_waiting);
        JR_EXPECT(!claimed.next_due);
        JR_EXPECT(must(bench.store().claim({}, bench.me, ClaimMode::ordinary, noon)).jobs.empty());
        return {};
    });

    cases.add("a scheduled job is claimed from its time on and not before", [](Bench& bench) -> Result<void> {
        NewJob job = bench.job();
        job.run_at = noon + 10s;
        bench.add(job);
        bench.now = job.run_at - 1ms;
        const auto early = bench.claim();
        JR_EXPECT(early.jobs.empty());
        JR_EXPECT(early.next_due == job.run_at);
        bench.now = job.run_at;
        const auto due = bench.claim();
        JR_EXPECT(only(due.jobs).id == job.id);
        JR_EXPECT(!due.next_due);
        return {};
    });

    cases.add("due scheduled jobs and queued ones stand in one line", [](Bench& bench) -> Result<void> {
        NewJob later = bench.job();
        later.run_at = noon + 1min;
        later.priority = -1;
        bench.add(later);
        const auto waiting = bench.add();
        bench.now += 2min;
        JR_EXPECT(ids_of(bench.claim(2).jobs) == std::vector{later.id, waiting});
        return {};
    });

    cases.add("next_due names the earliest job that waits for its time", [](Bench& bench) -> Result<void> {
        for (const auto delay : {3h, 1h, 2h}) {
            NewJob job = bench.job("test.unknown");
            job.run_at = noon + delay;
            bench.add(job);
        }
        JR_EXPECT(bench.claim().next_due == noon + 1h);
        bench.now = noon + 90min;
        JR_EXPECT(bench.claim().next_due == noon + 2h);
        return {};
    });

    cases.add("a session that is unknown or was declared dead cannot claim", [](Bench& bench) -> Result<void> {
        bench.add();
        const Want want = Bench::want();
        const auto stranger = bench.session();
        JR_EXPECT(code_of(bench.store().claim({&want, 1}, stranger, ClaimMode::ordinary, noon)) == Errc::conflict);
        bench.beat(stranger);
        bench.lose(stranger, Loss::crash);
        JR_EXPECT(code_of(bench.store().claim({&want, 1}, stranger, ClaimMode::ordinary, noon)) == Errc::conflict);
        JR_EXPECT(bench.claim(5).jobs.size() == 1);
        return {};
    });

    cases.add("a claimed job is claimed by nobody else", [](Bench& bench) -> Result<void> {
        bench.add();
        bench.claim_one();
        const auto other = bench.session();
        bench.beat(other);
        JR_EXPECT(bench.claim_for(other, 10).jobs.empty());
        return {};
    });
}

}  // namespace jobruntime::testing::contract
