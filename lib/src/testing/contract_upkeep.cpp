// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

Retention keep_all() {
    Retention retention;
    retention.completed = retention.canceled = retention.failed = retention.sessions = retention.events =
        Duration{100LL * 365 * 24 * 3600 * 1000};
    return retention;
}

Result<void> prunes_by_age(Bench& bench) {
    struct Row {
        JobState state;
        Duration Retention::*age;
    };
    constexpr Row rows[] = {{JobState::completed, &Retention::completed},
                            {JobState::canceled, &Retention::canceled},
                            {JobState::failed, &Retention::failed}};
    std::vector<JobId> ids;
    for (std::size_t i = 0; i < job_state_count; ++i)
        ids.push_back(bench.in_state(static_cast<JobState>(i), bench.job("test." + std::to_string(i))));
    for (const auto& row : rows) {
        auto retention = keep_all();
        retention.*row.age = 1h;
        auto tended = must(bench.store().tend(retention, 10, noon + 59min));
        JR_EXPECT(tended.pruned.empty());
        tended = must(bench.store().tend(retention, 10, noon + 61min));
        JR_EXPECT(tended.pruned_jobs == 1);
        const auto gone = ids[static_cast<std::size_t>(row.state)];
        JR_EXPECT(only(tended.pruned) == gone);
        JR_EXPECT(!bench.exists(gone));
        JR_EXPECT(!tended.more);
    }
    for (std::size_t i = 0; i < 3; ++i) JR_EXPECT(bench.exists(ids[i]));
    JR_EXPECT(bench.last_event(ids[3]).name == "worker.job.completed");
    return {};
}

Result<void> budget_bounds_pruning(Bench& bench) {
    std::vector<JobId> ids;
    for (int i = 0; i < 5; ++i) ids.push_back(bench.in_state(JobState::completed));
    auto retention = keep_all();
    retention.completed = 1h;
    std::vector<JobId> pruned;
    bool more = true;
    for (int rounds = 0; more; ++rounds) {
        const auto tended = must(bench.store().tend(retention, 2, noon + 2h));
        JR_EXPECT(tended.pruned.size() <= 2);
        JR_EXPECT(tended.pruned.size() == tended.pruned_jobs);
        pruned.insert(pruned.end(), tended.pruned.begin(), tended.pruned.end());
        more = tended.more;
        JR_EXPECT(rounds < 10);
    }
    std::sort(pruned.begin(), pruned.end());
    JR_EXPECT(pruned == ids);
    JR_EXPECT(code_of(bench.store().tend(retention, 0, noon)) == Errc::invalid_argument);
    return {};
}

Result<void> promotes_due(Bench& bench) {
    std::vector<JobId> ids;
    for (int i = 1; i <= 5; ++i) {
        NewJob job = bench.job();
        job.run_at = noon + i * 1min;
        ids.push_back(bench.add(job));
    }
    auto tended = must(bench.store().tend(keep_all(), 10, noon));
    JR_EXPECT(tended.promoted == 0);
    JR_EXPECT(tended.next_due == noon + 1min);
    tended = must(bench.store().tend(keep_all(), 10, noon + 2min));
    JR_EXPECT(tended.promoted == 2);
    JR_EXPECT(!tended.more);
    JR_EXPECT(tended.next_due == noon + 3min);
    JR_EXPECT(bench.get(ids[1]).state == JobState::queued);
    JR_EXPECT(bench.get(ids[2]).state == JobState::scheduled);
    const auto event = bench.last_event(ids[1]);
    JR_EXPECT(event.name == "jobs.promoted");
    JR_EXPECT(field(event, "status") == "queued");
    tended = must(bench.store().tend(keep_all(), 2, noon + 1h));
    JR_EXPECT(tended.promoted == 2);
    JR_EXPECT(tended.more);
    tended = must(bench.store().tend(keep_all(), 2, noon + 1h));
    JR_EXPECT(tended.promoted == 1);
    JR_EXPECT(!tended.next_due);
    JR_EXPECT(bench.claim(10).jobs.size() == 5);
    return {};
}

Result<void> events_go(Bench& bench) {
    for (int i = 0; i < 4; ++i) {
        bench.add();
        bench.now += 1h;
    }
    const auto all = bench.events();
    JR_EXPECT(all.size() == 4);
    auto retention = keep_all();
    retention.events = 90min;
    auto tended = must(bench.store().tend(retention, 10, noon + 3h));
    JR_EXPECT(tended.pruned_events == 2);
    const auto left = bench.events();
    JR_EXPECT(left.size() == 2);
    JR_EXPECT(left[0].id == all[2].id);
    retention = keep_all();
    retention.event_count = 1;
    std::uint64_t pruned = 0;
    do {
        tended = must(bench.store().tend(retention, 1, noon + 3h));
        JR_EXPECT(tended.pruned_events <= 1);
        pruned += tended.pruned_events;
    } while (tended.more);
    JR_EXPECT(pruned == 1);
    JR_EXPECT(only(bench.events()).id == all[3].id);
    return {};
}

Result<void> sessions_go(Bench& bench) {
    const auto silent = bench.session();
    const auto stopped = bench.session();
    const auto dead = bench.session();
    for (const auto session : {silent, stopped, dead}) bench.beat(session);
    SessionFacts facts;
    facts.stopped = true;
    must(bench.store().beat(stopped, facts, noon));
    bench.lose(dead, Loss::crash);
    auto retention = keep_all();
    retention.sessions = 1h;
    must(bench.store().tend(retention, 10, noon + 30min));
    JR_EXPECT(must(bench.store().sessions()).size() == 4);
    must(bench.store().tend(retention, 10, noon + 2h));
    std::vector<SessionId> left;
    for (const auto& info : must(bench.store().sessions())) left.push_back(info.id);
    std::sort(left.begin(), left.end());
    JR_EXPECT(left == std::vector{bench.me, silent});
    return {};
}

}  // namespace

void add_upkeep_cases(Cases& cases) {
    cases.add("ended jobs go when they are older than their state is kept, and only they", prunes_by_age);
    cases.add("upkeep prunes no more than its budget and says when there is more", budget_bounds_pruning);
    cases.add("upkeep promotes due jobs and says when the next is due", promotes_due);
    cases.add("events go by age and by number", events_go);
    cases.add("rows of stopped and dead sessions go, of silent ones not", sessions_go);

    cases.add("kinds to be kept are never pruned", [](Bench& bench) -> Result<void> {
        const auto kept = bench.in_state(JobState::completed, bench.job("test.kept"));
        const auto other = bench.in_state(JobState::completed, bench.job("test.other"));
        auto retention = keep_all();
        retention.completed = 0s;
        retention.keep = {"test.kept"};
        const auto tended = must(bench.store().tend(retention, 10, noon + 1h));
        JR_EXPECT(only(tended.pruned) == other);
        JR_EXPECT(bench.exists(kept));
        JR_EXPECT(!tended.more);
        return {};
    });

    cases.add("a pruned job frees its keys", [](Bench& bench) -> Result<void> {
        NewJob job = bench.job();
        job.unique_key = "key";
        job.unique_states = {JobState::completed};
        job.idempotency_key = "request";
        bench.in_state(JobState::completed, job);
        auto retention = keep_all();
        retention.completed = 1h;
        must(bench.store().tend(retention, 10, noon + 2h));
        job.id = bench.id();
        JR_EXPECT(bench.insert(job).how == InsertAnswer::How::inserted);
        return {};
    });
}

void add_record_cases(Cases& cases) {
    cases.add("a record is written, read, changed and removed at its version only", [](Bench& bench) -> Result<void> {
        auto& store = bench.store();
        const auto first = must(store.put("queue/a", R"({"paused":true})", 0));
        JR_EXPECT(first > 0);
        JR_EXPECT(code_of(store.put("queue/a", "2", 0)) == Errc::conflict);
        JR_EXPECT(code_of(store.put("queue/a", "2", first + 1)) == Errc::conflict);
        JR_EXPECT(code_of(store.put("queue/a", std::nullopt, first + 1)) == Errc::conflict);
        JR_EXPECT(code_of(store.put("queue/b", "2", 1)) == Errc::conflict);
        auto record = only(must(store.records("queue/")));
        JR_EXPECT(record.key == "queue/a");
        JR_EXPECT(record.value == R"({"paused":true})");
        JR_EXPECT(record.version == first);
        const auto second = must(store.put("queue/a", "2", first));
        JR_EXPECT(second != first);
        JR_EXPECT(code_of(store.put("queue/a", "3", first)) == Errc::conflict);
        bench.reopen();
        record = only(must(bench.store().records("queue/a")));
        JR_EXPECT(record.value == "2");
        JR_EXPECT(record.version == second);
        JR_EXPECT(must(bench.store().put("queue/a", std::nullopt, second)) == 0);
        JR_EXPECT(must(bench.store().records("")).empty());
        JR_EXPECT(must(bench.store().put("queue/a", std::nullopt, 0)) == 0);
        JR_EXPECT(must(bench.store().put("queue/a", "4", 0)) > 0);
        return {};
    });

    cases.add("records are listed by prefix and in order, whatever characters they have", [](Bench& bench) -> Result<void> {
        for (const std::string_view key : {"b/2", "a%/1", "a_/1", "ab/1", "b/1", "a\xff/1", "b"})
            must(bench.store().put(key, key == "b" ? "1" : "0", 0));
        const auto keys = [&](std::string_view prefix) {
            std::vector<std::string> found;
            for (const auto& record : must(bench.store().records(prefix))) found.push_back(record.key);
            return found;
        };
        JR_EXPECT(keys("b/") == std::vector<std::string>{"b/1", "b/2"});
        JR_EXPECT(keys("a%") == std::vector<std::string>{"a%/1"});
        JR_EXPECT(keys("a_") == std::vector<std::string>{"a_/1"});
        JR_EXPECT(keys("a\xff") == std::vector<std::string>{"a\xff/1"});
        JR_EXPECT(keys("B").empty());
        JR_EXPECT(keys("") == std::vector<std::string>{"a%/1", "a_/1", "ab/1", "a\xff/1", "b", "b/1", "b/2"});
        return {};
    });

    cases.add("a record's key and value are bounded", [](Bench& bench) -> Result<void> {
        auto& store = bench.store();
        JR_EXPECT(code_of(store.put("", "1", 0)) == Errc::invalid_argument);
        JR_EXPECT(code_of(store.put(std::string(256, 'k'), "1", 0)) == Errc::invalid_argument);
        JR_EXPECT(code_of(store.put("k", std::string(64 * 1024 + 1, 'v'), 0)) == Errc::invalid_argument);
        must(store.put(std::string(255, 'k'), std::string(64 * 1024, 'v'), 0));
        JR_EXPECT(only(must(store.records("k"))).value.size() == 64 * 1024);
        return {};
    });
}

}  // namespace jobruntime::testing::contract
