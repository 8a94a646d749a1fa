// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

/// A job as another store may have had it, with something in every member.
Job elsewhere(Bench& bench, JobState state) {
    Job job;
    job.id = bench.id();
    job.kind = "test.a";
    job.payload = {{"url", "https://example.org/1"}};
    job.state = state;
    job.priority = -3;
    job.run_at = state == JobState::scheduled ? noon + 1h : noon - 2h;
    job.attempt = 2;
    job.max_attempts = 7;
    job.fence = static_cast<Fence>(4711);
    job.session = bench.session();
    job.unique_key = "key of " + job.id.str();
    job.unique_states = live_states | StateSet{JobState::completed};
    job.idempotency_key = "request of " + job.id.str();
    job.idempotency_hash = "hash";
    job.trace_id = "trace";
    job.tags = {"old", "moved"};
    job.progress = {50.0, "download", "half of it"};
    job.errors = {{noon - 3h, 1, "NETWORK", "gone"}, {noon - 2h, 2, "LAST", "gone again"}};
    job.steps = {{"extract", {{"found", 1}}}, {"a-second", 17}};
    job.created_at = noon - 4h;
    job.started_at = noon - 3h;
    if (state == JobState::scheduled) job.wait_reason = "gone again";
    if (is_final(state)) job.finished_at = noon - 1h;
    if (state == JobState::completed) job.result = {{"outputPath", "a/b.mp4"}};
    return job;
}

InsertAnswer restore(Bench& bench, const Job& job) {
    return only(must(bench.store().restore({&job, 1}, bench.now)));
}

Result<void> as_given(Bench& bench) {
    std::vector<Job> jobs;
    for (const auto state :
         {JobState::scheduled, JobState::queued, JobState::completed, JobState::failed, JobState::canceled})
        jobs.push_back(elsewhere(bench, state));
    // Nothing but what a job must have.
    Job bare;
    bare.id = bench.id();
    bare.kind = "test.b";
    jobs.push_back(bare);
    // Texts that do not fit into a row.
    Job large = elsewhere(bench, JobState::completed);
    large.payload["text"] = std::string(100'000, 'p');
    large.result = std::string(200'000, 'r');
    jobs.push_back(large);
    const auto answers = must(bench.store().restore(jobs, bench.now));
    JR_EXPECT(answers.size() == jobs.size());
    for (int round = 0; round < 2; ++round) {
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            JR_EXPECT(!answers[i].refused);
            JR_EXPECT(answers[i].how == InsertAnswer::How::inserted);
            JR_EXPECT(answers[i].id == jobs[i].id);
            JR_EXPECT(answers[i].state == jobs[i].state);
            JR_EXPECT(bench.get(jobs[i].id) == jobs[i]);
            const auto event = only(bench.events_of(jobs[i].id));
            JR_EXPECT(event.name == "jobs.restored");
            JR_EXPECT(event.trace_id == jobs[i].trace_id);
            JR_EXPECT(field(event, "status") == to_string(jobs[i].state));
            JR_EXPECT(field(event, "kind") == jobs[i].kind);
        }
        bench.reopen();
    }
    return {};
}

Result<void> again(Bench& bench) {
    const auto job = elsewhere(bench, JobState::queued);
    restore(bench, job);
    const auto claimed = bench.claim_one();
    bench.end(claimed, Verdict::completed);
    const auto before = bench.get(job.id);
    const auto events = bench.events().size();
    const auto answer = restore(bench, job);
    JR_EXPECT(!answer.refused);
    JR_EXPECT(answer.how == InsertAnswer::How::inserted);
    JR_EXPECT(answer.state == JobState::completed);
    JR_EXPECT(bench.get(job.id) == before);
    JR_EXPECT(bench.events().size() == events);
    return {};
}

Result<void> goes_on(Bench& bench) {
    const auto job = elsewhere(bench, JobState::queued);
    auto later = elsewhere(bench, JobState::scheduled);
    later.run_at = noon + 1h;
    restore(bench, job);
    restore(bench, later);
    const auto settled_late = bench.settlement(job, Verdict::completed);
    JR_EXPECT(!bench.settle(settled_late).done);
    const auto claimed = bench.claim_one();
    JR_EXPECT(claimed.id == job.id);
    JR_EXPECT(claimed.attempt == 3);
    JR_EXPECT(static_cast<std::uint64_t>(claimed.fence) > static_cast<std::uint64_t>(job.fence));
    JR_EXPECT(claimed.steps == job.steps);
    JR_EXPECT(claimed.payload == job.payload);
    JR_EXPECT(!bench.settle(settled_late).done);
    JR_EXPECT(bench.end(claimed, Verdict::completed).done);
    JR_EXPECT(bench.claim().jobs.empty());
    bench.now = noon + 1h;
    JR_EXPECT(bench.claim_one().id == later.id);
    return {};
}

Result<void> ended_job_again(Bench& bench) {
    const auto job = elsewhere(bench, JobState::failed);
    restore(bench, job);
    JR_EXPECT(bench.claim().jobs.empty());
    JR_EXPECT(bench.change(job.id, Action::retry).how == ChangeAnswer::How::done);
    const auto claimed = bench.claim_one();
    JR_EXPECT(static_cast<std::uint64_t>(claimed.fence) > static_cast<std::uint64_t>(job.fence));
    JR_EXPECT(bench.end(claimed, Verdict::completed).done);
    JR_EXPECT(bench.get(job.id).errors == job.errors);
    return {};
}

Result<void> runs_alone(Bench& bench) {
    auto job = elsewhere(bench, JobState::queued);
    job.crashes = 2;
    restore(bench, job);
    const auto claimed = bench.claim();
    JR_EXPECT(claimed.jobs.empty());
    JR_EXPECT(claimed.solitary_waiting);
    JR_EXPECT(only(bench.claim_alone(bench.me).jobs).id == job.id);
    return {};
}

Result<void> unique_keys(Bench& bench) {
    auto done = elsewhere(bench, JobState::completed);
    done.unique_key = "post";
    restore(bench, done);
    NewJob fresh = bench.job();
    fresh.unique_key = "post";
    auto answer = bench.insert(fresh);
    JR_EXPECT(answer.how == InsertAnswer::How::existing);
    JR_EXPECT(answer.id == done.id);
    JR_EXPECT(answer.state == JobState::completed);

    auto second = elsewhere(bench, JobState::queued);
    second.unique_key = "post";
    answer = restore(bench, second);
    JR_EXPECT(!answer.refused);
    JR_EXPECT(answer.how == InsertAnswer::How::existing);
    JR_EXPECT(answer.id == done.id);
    JR_EXPECT(!bench.exists(second.id));
    JR_EXPECT(bench.events_of(second.id).empty());

    auto failed = elsewhere(bench, JobState::failed);
    failed.unique_key = "post";
    JR_EXPECT(restore(bench, failed).how == InsertAnswer::How::inserted);
    JR_EXPECT(bench.change(failed.id, Action::retry).how == ChangeAnswer::How::conflict);
    return {};
}

Result<void> idempotency_keys(Bench& bench) {
    const auto job = elsewhere(bench, JobState::canceled);
    restore(bench, job);
    NewJob fresh = bench.job();
    fresh.idempotency_key = job.idempotency_key;
    fresh.idempotency_hash = "another";
    auto answer = bench.insert(fresh);
    JR_EXPECT(answer.how == InsertAnswer::How::repeated);
    JR_EXPECT(answer.id == job.id);
    JR_EXPECT(answer.hash == "hash");
    auto second = elsewhere(bench, JobState::queued);
    second.idempotency_key = job.idempotency_key;
    answer = restore(bench, second);
    JR_EXPECT(answer.how == InsertAnswer::How::repeated);
    JR_EXPECT(answer.id == job.id);
    JR_EXPECT(!bench.exists(second.id));
    return {};
}

Result<void> refused_alone(Bench& bench) {
    std::vector<Job> jobs;
    const auto with = [&](JobState state, auto&& change) {
        jobs.push_back(elsewhere(bench, state));
        change(jobs.back());
    };
    with(JobState::queued, [](Job& job) { job.id = {}; });
    with(JobState::queued, [](Job& job) { job.kind.clear(); });
    with(JobState::queued, [](Job& job) { job.queue.clear(); });
    with(JobState::running, [](Job&) {});
    with(JobState::completed, [](Job& job) { job.finished_at.reset(); });
    with(JobState::queued, [](Job& job) { job.finished_at = noon; });
    with(JobState::queued, [](Job& job) { job.attempt = -1; });
    with(JobState::queued, [](Job& job) { job.crashes = -1; });
    with(JobState::queued, [](Job& job) { job.fence = static_cast<Fence>(~0ull); });
    with(JobState::queued, [](Job& job) { job.errors.resize(limits::errors + 1); });
    with(JobState::queued, [](Job& job) { job.steps.resize(limits::steps + 1); });
    with(JobState::queued, [](Job& job) { job.payload["x"] = std::string(limits::payload, 'x'); });
    with(JobState::completed, [](Job& job) { job.result = std::string(limits::result, 'x'); });
    const auto refused = jobs.size();
    with(JobState::queued, [](Job&) {});
    const auto answers = must(bench.store().restore(jobs, bench.now));
    JR_EXPECT(answers.size() == jobs.size());
    for (std::size_t i = 0; i < refused; ++i) {
        JR_EXPECT(answers[i].refused.has_value());
        JR_EXPECT(answers[i].refused->code == Errc::invalid_argument);
        JR_EXPECT(!bench.exists(jobs[i].id));
    }
    JR_EXPECT(!answers.back().refused);
    JR_EXPECT(bench.exists(jobs.back().id));
    JR_EXPECT(must(bench.store().count({}, CountBy::nothing)).front().count == 1);
    return {};
}

Result<void> found_and_pruned(Bench& bench) {
    const auto failed = elsewhere(bench, JobState::failed);
    auto old = elsewhere(bench, JobState::completed);
    old.finished_at = noon - 24h * 8;
    restore(bench, failed);
    restore(bench, old);
    const auto listed = [&](auto&& change) {
        JobFilter filter;
        change(filter);
        return must(bench.store().list(filter, JobOrder::newest_first, "", 10, 0)).jobs;
    };
    JR_EXPECT(only(listed([](auto& filter) {
                  filter.error_code = "LAST";
                  filter.states = {JobState::failed};
              })).id == failed.id);
    JR_EXPECT(listed([](auto& filter) { filter.tag = "moved"; }).size() == 2);
    JR_EXPECT(only(listed([&](auto& filter) { filter.unique_key = failed.unique_key; })).id == failed.id);
    JR_EXPECT(only(listed([&](auto& filter) { filter.session = failed.session; })).id == failed.id);
    for (const auto& row : must(bench.store().count({}, CountBy::state))) JR_EXPECT(row.count == 1);
    const auto tended = must(bench.store().tend({}, 100, bench.now));
    JR_EXPECT(only(tended.pruned) == old.id);
    JR_EXPECT(bench.exists(failed.id));
    return {};
}

Result<void> events_from_elsewhere(Bench& bench) {
    const auto job = elsewhere(bench, JobState::completed);
    const auto gone = bench.id();
    restore(bench, job);
    Note note;
    for (const auto about : {job.id, gone, JobId{}, gone}) {
        Event event;
        event.at = noon - 3h;
        event.name = "worker.job.completed";
        event.level = Level::warn;
        event.job = about;
        event.trace_id = "trace";
        event.source = "old-host-17";
        event.role = "combined";
        event.fields = {{"kind", "test.a"}, {"attempt", 2}};
        note.events.push_back(event);
    }
    JR_EXPECT(bench.note(note) == NoteAnswer::done);
    for (int round = 0; round < 2; ++round) {
        auto all = bench.events();
        JR_EXPECT(all.size() == 5);
        for (std::size_t i = 0; i < 4; ++i) {
            all[i + 1].id = 0;
            JR_EXPECT(all[i + 1].source == "old-host-17");
            JR_EXPECT(all[i + 1] == note.events[i]);
        }
        JR_EXPECT(bench.events_of(gone).size() == 2);
        bench.reopen();
    }
    return {};
}

}  // namespace

void add_restore_cases(Cases& cases) {
    cases.add("a job of another store is stored as it was, in every state but running", as_given);
    cases.add("restoring a job that is here already changes nothing", again);
    cases.add("a restored job goes on where it was, under a higher fence", goes_on);
    cases.add("a restored job that has ended can be retried", ended_job_again);
    cases.add("a restored job that took two processes down runs alone", runs_alone);
    cases.add("a restored job holds its unique key, and is not stored when another holds it", unique_keys);
    cases.add("a restored job answers for its idempotency key, and is not stored when another does",
              idempotency_keys);
    cases.add("a job that cannot be restored is refused without harm to its neighbours", refused_alone);
    cases.add("restored jobs are found, counted and pruned as others are", found_and_pruned);
    cases.add("events copied from elsewhere keep who wrote them, and the job even when it is gone",
              events_from_elsewhere);
    cases.add("the hash of a request is read back with its job", [](Bench& bench) -> Result<void> {
        NewJob job = bench.job();
        job.idempotency_key = "request";
        job.idempotency_hash = "hash of it";
        bench.add(job);
        JR_EXPECT(bench.get(job.id).idempotency_hash == "hash of it");
        JR_EXPECT(bench.claim_one().idempotency_hash == "hash of it");
        return {};
    });
}

}  // namespace jobruntime::testing::contract
