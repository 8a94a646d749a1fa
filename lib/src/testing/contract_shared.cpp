// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

Result<void> see_each_other(Bench& bench) {
    const auto other = bench.another({.process = "other", .role = "api"});
    NewJob job = bench.job();
    JR_EXPECT(only(must(other->insert({&job, 1}, noon))).how == InsertAnswer::How::inserted);
    const auto claimed = bench.claim_one();
    JR_EXPECT(claimed.id == job.id);
    auto seen = must(other->get(job.id, 0));
    JR_EXPECT(seen->state == JobState::running);
    JR_EXPECT(seen->session == bench.me);
    Change cancel;
    cancel.action = Action::cancel;
    JR_EXPECT(only(must(other->change(std::vector{job.id}, cancel, 1, "", noon)).answers).how ==
              ChangeAnswer::How::requested);
    JR_EXPECT(only(must(bench.store().beat(bench.me, {}, noon)).cancels).job == job.id);
    // The session is the database's, so any store may settle for it.
    const auto settlement = bench.settlement(claimed, Verdict::canceled);
    JR_EXPECT(only(must(other->settle({&settlement, 1}, noon))).done);
    JR_EXPECT(!bench.settle(settlement).done);
    JR_EXPECT(bench.get(job.id).state == JobState::canceled);
    const auto events = bench.events_of(job.id);
    const std::string_view sources[] = {"other", "bench", "other", "other"};
    JR_EXPECT(events.size() == 4);
    for (std::size_t i = 0; i < 4; ++i) {
        JR_EXPECT(events[i].source == sources[i]);
        JR_EXPECT(events[i].role == (sources[i] == "bench" ? "worker" : "api"));
    }
    JR_EXPECT(must(other->events(EventId{0}, {}, 100)).events == bench.events());
    const auto version = must(other->put("key", "1", 0));
    JR_EXPECT(only(must(bench.store().records("key"))).version == version);
    JR_EXPECT(code_of(bench.store().put("key", "2", 0)) == Errc::conflict);
    return {};
}

/// Waits until a hint with all of `wanted` came.
class Bell {
public:
    explicit Bell(Store& store)
        : subscription_(store.on_change([this](unsigned hints) {
              const std::lock_guard lock(mutex_);
              hints_ |= hints;
              rung_.notify_all();
          })) {}

    bool heard(unsigned wanted) {
        std::unique_lock lock(mutex_);
        const bool came = rung_.wait_for(lock, std::chrono::seconds(5), [&] { return (hints_ & wanted) == wanted; });
        hints_ = 0;
        return came;
    }

private:
    std::mutex mutex_;
    std::condition_variable rung_;
    unsigned hints_ = 0;         // Guarded by mutex_.
    Subscription subscription_;  // Last: it calls back as long as it is there.
};

Result<void> hints_come(Store& writer, Store& listener, Bench& bench) {
    Bell bell(listener);
    NewJob job = bench.job();
    must(writer.insert({&job, 1}, noon));
    JR_EXPECT(bell.heard(hint_jobs | hint_events));
    const Want want = Bench::want();
    auto claimed = only(must(writer.claim({&want, 1}, bench.me, ClaimMode::ordinary, noon)).jobs);
    JR_EXPECT(bell.heard(hint_events));
    Change cancel;
    cancel.action = Action::cancel;
    must(writer.change(std::vector{job.id}, cancel, 1, "", noon));
    JR_EXPECT(bell.heard(hint_cancel | hint_events));
    const auto settlement = bench.settlement(claimed, Verdict::canceled);
    must(writer.settle({&settlement, 1}, noon));
    JR_EXPECT(bell.heard(hint_settled | hint_events));
    must(writer.put("key", "1", 0));
    JR_EXPECT(bell.heard(hint_records));
    return {};
}

Result<void> subscriptions_end(Bench& bench) {
    std::atomic<int> calls = 0;
    {
        const auto subscription = bench.store().on_change([&](unsigned) { ++calls; });
        bench.add();
        Bell bell(bench.store());
        bench.add();
        JR_EXPECT(bell.heard(hint_jobs));
    }
    const int before = calls;
    Bell bell(bench.store());
    bench.add();
    JR_EXPECT(bell.heard(hint_jobs));
    JR_EXPECT(calls == before);
    return {};
}

/// Claims and settles until nothing is left, and notes which jobs it ended.
void drain(Store& store, SessionId session, std::vector<JobId>& ended, std::atomic<int>& failures) {
    const Want want = Bench::want("default", 3);
    while (true) {
        auto claimed = store.claim({&want, 1}, session, ClaimMode::ordinary, noon);
        if (!claimed) {
            ++failures;
            return;
        }
        if (claimed->jobs.empty()) return;
        std::vector<Settlement> settlements;
        for (const auto& job : claimed->jobs) settlements.push_back(Bench::settlement(job, Verdict::completed));
        auto answers = store.settle(settlements, noon);
        if (!answers) {
            ++failures;
            return;
        }
        for (std::size_t i = 0; i < answers->size(); ++i)
            if ((*answers)[i].done) ended.push_back(settlements[i].job);
    }
}

Result<void> drained_together(Bench& bench, std::vector<Store*> stores) {
    constexpr int jobs = 200;
    std::vector<NewJob> made;
    for (int i = 0; i < jobs; ++i) made.push_back(bench.job());
    must(bench.store().insert(made, noon));
    std::atomic<int> failures = 0;
    std::vector<std::vector<JobId>> ended(stores.size());
    {
        std::vector<std::jthread> threads;
        for (std::size_t i = 0; i < stores.size(); ++i) {
            const auto session = bench.session();
            bench.beat(session);
            threads.emplace_back([&, i, session] { drain(*stores[i], session, ended[i], failures); });
        }
    }
    JR_EXPECT(failures == 0);
    std::vector<JobId> all;
    for (const auto& part : ended) all.insert(all.end(), part.begin(), part.end());
    std::sort(all.begin(), all.end());
    JR_EXPECT(all.size() == jobs);
    for (std::size_t i = 0; i < all.size(); ++i) JR_EXPECT(all[i] == made[i].id);
    JobFilter done;
    done.states = {JobState::completed};
    JR_EXPECT(must(bench.store().count(done, CountBy::nothing)).front().count == jobs);
    EventId last = 0;
    const auto events = bench.events();
    JR_EXPECT(events.size() == 3 * jobs);
    for (const auto& event : events) {
        JR_EXPECT(event.id > last);
        last = event.id;
    }
    return {};
}

Result<void> inserted_together(Bench& bench, std::vector<Store*> stores) {
    std::vector<NewJob> made;
    for (std::size_t i = 0; i < 20 * stores.size(); ++i) {
        made.push_back(bench.job());
        made.back().unique_key = "key " + std::to_string(i % 20);
    }
    std::atomic<int> inserted = 0;
    {
        std::vector<std::jthread> threads;
        for (std::size_t t = 0; t < stores.size(); ++t)
            threads.emplace_back([&, t] {
                for (std::size_t i = 0; i < 20; ++i) {
                    auto answers = stores[t]->insert({&made[t * 20 + i], 1}, noon);
                    if (answers && answers->front().how == InsertAnswer::How::inserted) ++inserted;
                }
            });
    }
    JR_EXPECT(inserted == 20);
    JR_EXPECT(must(bench.store().count({}, CountBy::nothing)).front().count == 20);
    return {};
}

}  // namespace

void add_shared_cases(Cases& cases) {
    cases.add("hints tell of new jobs, cancels, ends, records and events", [](Bench& bench) {
        return hints_come(bench.store(), bench.store(), bench);
    });
    cases.add("a subscription that has ended is not called again", subscriptions_end);
    cases.add("threads that drain one queue through one store end every job exactly once", [](Bench& bench) {
        return drained_together(bench, std::vector<Store*>(4, &bench.store()));
    });
    cases.add("of threads that insert one key at once exactly one is first", [](Bench& bench) {
        return inserted_together(bench, std::vector<Store*>(4, &bench.store()));
    });
    cases.add_shared("two stores on one database see each other's work", see_each_other);
    cases.add_shared("hints reach the other stores on the database", [](Bench& bench) {
        const auto other = bench.another();
        return hints_come(bench.store(), *other, bench);
    });
    cases.add_shared("stores that drain one queue together end every job exactly once", [](Bench& bench) {
        const auto second = bench.another();
        const auto third = bench.another();
        return drained_together(bench, {&bench.store(), second.get(), third.get(), &bench.store()});
    });
    cases.add_shared("of stores that insert one key at once exactly one is first", [](Bench& bench) {
        const auto second = bench.another();
        return inserted_together(bench, {&bench.store(), second.get(), second.get(), &bench.store()});
    });
}

}  // namespace jobruntime::testing::contract
