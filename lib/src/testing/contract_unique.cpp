// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

NewJob keyed(Bench& bench, StateSet also = {}, std::string key = "key") {
    NewJob job = bench.job();
    job.unique_key = std::move(key);
    job.unique_states = also;
    return job;
}

/// One job in each state, for each set of final states in which its key counts besides.
Result<void> every_mask(Bench& bench) {
    for (unsigned mask = 0; mask < 8; ++mask) {
        StateSet also;
        also.bits = static_cast<std::uint8_t>(mask << static_cast<unsigned>(JobState::completed));
        for (std::size_t i = 0; i < job_state_count; ++i) {
            const auto state = static_cast<JobState>(i);
            NewJob job = keyed(bench, also, "key " + std::to_string(mask) + std::to_string(i));
            job.kind = "test." + std::to_string(mask) + std::to_string(i);
            const auto holder = bench.in_state(state, job);
            NewJob next = bench.job(job.kind);
            next.unique_key = job.unique_key;
            next.run_at = noon + 2h;  // Out of the way of the claims to come.
            const auto answer = bench.insert(next);
            const bool counts = !is_final(state) || also.has(state);
            JR_EXPECT(answer.how == (counts ? InsertAnswer::How::existing : InsertAnswer::How::inserted));
            JR_EXPECT(answer.id == (counts ? holder : next.id));
            if (counts) JR_EXPECT(answer.state == state);
            JR_EXPECT(bench.exists(next.id) == !counts);
        }
    }
    return {};
}

Result<void> replace_gives_all_new(Bench& bench) {
    NewJob first = keyed(bench);
    first.payload = R"({"n":1})";
    first.trace_id = "first";
    first.tags = {"old"};
    bench.add(first);
    NewJob second = keyed(bench);
    second.on_conflict = OnConflict::replace;
    second.payload = R"({"n":2})";
    second.queue = "other";
    second.priority = 9;
    second.run_at = noon + 1h;
    second.max_attempts = 3;
    second.tags = {"new"};
    second.trace_id = "second";
    bench.now += 1min;
    auto answer = bench.insert(second);
    JR_EXPECT(answer.how == InsertAnswer::How::replaced);
    JR_EXPECT(answer.id == first.id);
    JR_EXPECT(answer.state == JobState::scheduled);
    JR_EXPECT(!bench.exists(second.id));
    const auto job = bench.get(first.id);
    JR_EXPECT(job.payload.at("n") == 2);
    JR_EXPECT(job.queue == "other");
    JR_EXPECT(job.priority == 9);
    JR_EXPECT(job.run_at == second.run_at);
    JR_EXPECT(job.state == JobState::scheduled);
    JR_EXPECT(job.max_attempts == 3);
    JR_EXPECT(job.tags == second.tags);
    JR_EXPECT(job.trace_id == "first");
    JR_EXPECT(job.created_at == noon);
    const auto event = bench.last_event(first.id);
    JR_EXPECT(event.name == "jobs.create.replaced");
    JR_EXPECT(event.trace_id == "first");
    JR_EXPECT(field(event, "status") == "scheduled");
    JR_EXPECT(field(event, "runAt") == to_iso(second.run_at));
    NewJob third = keyed(bench);
    third.on_conflict = OnConflict::replace;
    third.run_at = bench.now;
    answer = bench.insert(third);
    JR_EXPECT(answer.how == InsertAnswer::How::replaced);
    JR_EXPECT(answer.state == JobState::queued);
    JR_EXPECT(bench.claim_one().id == first.id);
    return {};
}

Result<void> replace_only_while_waiting(Bench& bench) {
    NewJob first = keyed(bench, {JobState::completed});
    bench.add(first);
    const auto running = bench.claim_one();
    NewJob next = keyed(bench);
    next.on_conflict = OnConflict::replace;
    next.payload = R"({"n":2})";
    auto answer = bench.insert(next);
    JR_EXPECT(answer.how == InsertAnswer::How::existing);
    JR_EXPECT(answer.state == JobState::running);
    bench.end(running, Verdict::completed);
    answer = bench.insert(next);
    JR_EXPECT(answer.how == InsertAnswer::How::existing);
    JR_EXPECT(answer.state == JobState::completed);
    JR_EXPECT(!bench.get(first.id).payload.contains("n"));
    return {};
}

Result<void> retry_conflict(Bench& bench) {
    for (const auto state : {JobState::completed, JobState::failed, JobState::canceled}) {
        NewJob first = keyed(bench, {}, "key " + std::string(to_string(state)));
        bench.in_state(state, first);
        NewJob second = bench.job();
        second.unique_key = first.unique_key;
        second.run_at = noon + 1h;
        bench.add(second);
        const auto events = bench.events().size();
        const auto refused = bench.change(first.id, Action::retry);
        JR_EXPECT(refused.how == ChangeAnswer::How::conflict);
        JR_EXPECT(refused.other == second.id);
        JR_EXPECT(refused.state == state);
        JR_EXPECT(bench.get(first.id).state == state);
        JR_EXPECT(bench.events().size() == events);
        JR_EXPECT(bench.change(second.id, Action::cancel).how == ChangeAnswer::How::done);
        JR_EXPECT(bench.change(first.id, Action::retry).how == ChangeAnswer::How::done);
        JR_EXPECT(bench.insert(keyed(bench, {}, first.unique_key)).id == first.id);
        bench.change(first.id, Action::cancel);
    }
    return {};
}

/// Retried together, as by one question about many, with neighbours that have no key.
Result<void> retry_together(Bench& bench) {
    std::vector<JobId> ids;
    for (int i = 0; i < 4; ++i) {
        ids.push_back(bench.in_state(JobState::failed, keyed(bench)));
        ids.push_back(bench.in_state(JobState::failed, bench.job()));
    }
    const auto answers = must(bench.store().change(ids, {.action = Action::retry}, 100, {}, bench.now)).answers;
    JR_EXPECT(answers.size() == ids.size());
    std::vector<JobId> taken;
    for (std::size_t i = 0; i < ids.size(); i += 2) {
        if (answers[i].how == ChangeAnswer::How::done) taken.push_back(ids[i]);
        JR_EXPECT(answers[i + 1].how == ChangeAnswer::How::done);
        JR_EXPECT(bench.get(ids[i + 1]).state == JobState::queued);
    }
    const auto holder = only(taken);
    for (std::size_t i = 0; i < ids.size(); i += 2) {
        JR_EXPECT(bench.get(ids[i]).state == (ids[i] == holder ? JobState::queued : JobState::failed));
        if (ids[i] == holder) continue;
        JR_EXPECT(answers[i].how == ChangeAnswer::How::conflict);
        JR_EXPECT(answers[i].other == holder);
        JR_EXPECT(answers[i].state == JobState::failed);
        JR_EXPECT(bench.event_names(ids[i]).back() != bench.event_names(holder).back());
    }
    return {};
}

}  // namespace

void add_unique_cases(Cases& cases) {
    cases.add("a unique key counts in scheduled, queued, running and the states asked for, and in no other", every_mask);
    cases.add("replacing gives the waiting job what was given now and keeps who it is", replace_gives_all_new);
    cases.add("a job that runs or has ended is never replaced", replace_only_while_waiting);
    cases.add("retrying a job whose key another holds is a conflict that names the other", retry_conflict);

    cases.add("of many jobs with one key that are retried together one is taken, and the others are conflicts that name it", retry_together);

    cases.add("a unique key counts for all kinds and queues", [](Bench& bench) -> Result<void> {
        const auto first = bench.add(keyed(bench));
        NewJob other = keyed(bench);
        other.kind = "test.b";
        other.queue = "other";
        JR_EXPECT(bench.insert(other).how == InsertAnswer::How::existing);
        other.on_conflict = OnConflict::replace;
        const auto answer = bench.insert(other);
        JR_EXPECT(answer.how == InsertAnswer::How::existing);
        JR_EXPECT(answer.id == first);
        JR_EXPECT(bench.get(first).kind == "test.a");
        return {};
    });

    cases.add("of many jobs with one key in a batch the first is inserted and the others see it",
              [](Bench& bench) -> Result<void> {
                  std::vector<NewJob> jobs;
                  for (int i = 0; i < 10; ++i) jobs.push_back(keyed(bench));
                  jobs[5].unique_key = "another";
                  const auto answers = must(bench.store().insert(jobs, noon));
                  JR_EXPECT(answers.size() == 10);
                  for (std::size_t i = 0; i < 10; ++i) {
                      const bool own = i == 0 || i == 5;
                      JR_EXPECT(answers[i].how == (own ? InsertAnswer::How::inserted : InsertAnswer::How::existing));
                      JR_EXPECT(answers[i].id == (own ? jobs[i].id : jobs[0].id));
                  }
                  JR_EXPECT(must(bench.store().count({}, CountBy::nothing)).front().count == 2);
                  return {};
              });

    cases.add("a deleted job frees its key", [](Bench& bench) -> Result<void> {
        const auto id = bench.in_state(JobState::completed, keyed(bench, {JobState::completed}));
        JR_EXPECT(bench.insert(keyed(bench)).how == InsertAnswer::How::existing);
        JR_EXPECT(bench.change(id, Action::remove).how == ChangeAnswer::How::done);
        JR_EXPECT(bench.insert(keyed(bench)).how == InsertAnswer::How::inserted);
        return {};
    });

    cases.add("a job keeps its key through retry, snooze and recovery", [](Bench& bench) -> Result<void> {
        const auto id = bench.add(keyed(bench));
        for (const auto verdict : {Verdict::retry, Verdict::snooze, Verdict::released}) {
            bench.now = std::max(bench.now, bench.get(id).run_at);
            bench.end(bench.claim_one(), verdict);
            JR_EXPECT(bench.insert(keyed(bench)).id == id);
        }
        bench.crash(id, 1);
        JR_EXPECT(bench.insert(keyed(bench)).id == id);
        return {};
    });

    cases.add("jobs without a key never meet", [](Bench& bench) -> Result<void> {
        bench.add();
        JR_EXPECT(bench.insert(bench.job()).how == InsertAnswer::How::inserted);
        JR_EXPECT(must(bench.store().count({}, CountBy::nothing)).front().count == 2);
        return {};
    });
}

}  // namespace jobruntime::testing::contract
