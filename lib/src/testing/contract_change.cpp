// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

struct ChangeRow {
    Action action;
    JobState state;
    ChangeAnswer::How how;
    JobState after;
    std::string_view event;  ///< Empty: none is written.
};

constexpr auto S = JobState::scheduled;
constexpr auto Q = JobState::queued;
constexpr auto R = JobState::running;
constexpr auto C = JobState::completed;
constexpr auto F = JobState::failed;
constexpr auto X = JobState::canceled;

/// docs/states.md, "What people may do": every action in every state.
constexpr ChangeRow change_rows[] = {
    {Action::cancel, S, ChangeAnswer::How::done, X, "worker.job.canceled"},
    {Action::cancel, Q, ChangeAnswer::How::done, X, "worker.job.canceled"},
    {Action::cancel, R, ChangeAnswer::How::requested, R, "jobs.cancel.requested"},
    {Action::cancel, C, ChangeAnswer::How::invalid_state, C, ""},
    {Action::cancel, F, ChangeAnswer::How::invalid_state, F, ""},
    {Action::cancel, X, ChangeAnswer::How::invalid_state, X, ""},
    {Action::retry, S, ChangeAnswer::How::done, Q, "jobs.promoted"},
    {Action::retry, Q, ChangeAnswer::How::invalid_state, Q, ""},
    {Action::retry, R, ChangeAnswer::How::invalid_state, R, ""},
    {Action::retry, C, ChangeAnswer::How::done, Q, "jobs.retried"},
    {Action::retry, F, ChangeAnswer::How::done, Q, "jobs.retried"},
    {Action::retry, X, ChangeAnswer::How::done, Q, "jobs.retried"},
    {Action::promote, S, ChangeAnswer::How::done, Q, "jobs.promoted"},
    {Action::promote, Q, ChangeAnswer::How::invalid_state, Q, ""},
    {Action::promote, R, ChangeAnswer::How::invalid_state, R, ""},
    {Action::promote, C, ChangeAnswer::How::invalid_state, C, ""},
    {Action::promote, F, ChangeAnswer::How::invalid_state, F, ""},
    {Action::promote, X, ChangeAnswer::How::invalid_state, X, ""},
    {Action::move, S, ChangeAnswer::How::done, S, "jobs.moved"},
    {Action::move, Q, ChangeAnswer::How::done, Q, "jobs.moved"},
    {Action::move, R, ChangeAnswer::How::invalid_state, R, ""},
    {Action::move, C, ChangeAnswer::How::invalid_state, C, ""},
    {Action::move, F, ChangeAnswer::How::invalid_state, F, ""},
    {Action::move, X, ChangeAnswer::How::invalid_state, X, ""},
    {Action::reprioritise, S, ChangeAnswer::How::done, S, "jobs.reprioritised"},
    {Action::reprioritise, Q, ChangeAnswer::How::done, Q, "jobs.reprioritised"},
    {Action::reprioritise, R, ChangeAnswer::How::invalid_state, R, ""},
    {Action::reprioritise, C, ChangeAnswer::How::invalid_state, C, ""},
    {Action::reprioritise, F, ChangeAnswer::How::invalid_state, F, ""},
    {Action::reprioritise, X, ChangeAnswer::How::invalid_state, X, ""},
    {Action::remove, S, ChangeAnswer::How::done, S, "jobs.deleted"},
    {Action::remove, Q, ChangeAnswer::How::done, Q, "jobs.deleted"},
    {Action::remove, R, ChangeAnswer::How::invalid_state, R, ""},
    {Action::remove, C, ChangeAnswer::How::done, C, "jobs.deleted"},
    {Action::remove, F, ChangeAnswer::How::done, F, "jobs.deleted"},
    {Action::remove, X, ChangeAnswer::How::done, X, "jobs.deleted"},
};

std::string_view name_of(Action action) {
    constexpr std::string_view names[] = {"cancel", "retry", "promote", "move", "reprioritise", "remove"};
    return names[static_cast<std::size_t>(action)];
}

Result<void> changes_by(const ChangeRow& row, Bench& bench) {
    NewJob job = bench.job();
    job.trace_id = "trace";
    const auto id = bench.in_state(row.state, job);
    const auto before = bench.get(id);
    const auto events = bench.events().size();
    bench.now += 10s;
    const auto answer = bench.change(id, row.action);
    JR_EXPECT(answer.job == id);
    JR_EXPECT(answer.how == row.how);
    JR_EXPECT(answer.state == row.after);
    if (row.how == ChangeAnswer::How::invalid_state) {
        JR_EXPECT(bench.get(id) == before);
        JR_EXPECT(bench.events().size() == events);
        return {};
    }
    const auto event = bench.last_event(id);
    JR_EXPECT(bench.events().size() == events + 1);
    JR_EXPECT(event.name == row.event);
    JR_EXPECT(event.at == bench.now);
    JR_EXPECT(event.trace_id == "trace");
    JR_EXPECT(field(event, "kind") == "test.a");
    JR_EXPECT(field(event, "status") == to_string(row.after));
    JR_EXPECT(field(event, "attempt") == std::to_string(before.attempt));
    JR_EXPECT(bench.exists(id) == (row.action != Action::remove));
    if (row.action == Action::remove) return {};
    const auto after = bench.get(id);
    JR_EXPECT(after.state == row.after);
    JR_EXPECT(field(event, "queue") == after.queue);
    if (row.action == Action::move) JR_EXPECT(after.queue == "elsewhere");
    if (row.action == Action::reprioritise) JR_EXPECT(after.priority == 7);
    if (row.action == Action::reprioritise) JR_EXPECT(field(event, "priority") == "7");
    if (row.how == ChangeAnswer::How::requested) JR_EXPECT(after.cancel_requested_at == bench.now);
    if (row.how == ChangeAnswer::How::requested) JR_EXPECT(field(event, "workerId") == bench.me.str());
    if (row.after == X) JR_EXPECT(after.finished_at == bench.now);
    if (row.state == S && row.after == Q) JR_EXPECT(after.run_at == bench.now);
    return {};
}

Result<void> retry_begins_anew(Bench& bench) {
    for (const bool fresh : {false, true}) {
        NewJob job = bench.job();
        job.max_attempts = 1;
        job.payload = R"({"n":1})";
        bench.add(job);
        auto claimed = bench.claim_one();
        Note note = bench.note_of(claimed);
        note.step_name = "step";
        note.step_value = "1";
        bench.note(note);
        bench.change(job.id, Action::cancel);
        bench.end(claimed, Verdict::completed);
        bench.now += 1min;
        Change again;
        again.action = Action::retry;
        again.fresh = fresh;
        JR_EXPECT(bench.change(job.id, again).how == ChangeAnswer::How::done);
        auto read = bench.get(job.id);
        JR_EXPECT(read.attempt == 1);
        JR_EXPECT(read.max_attempts == 2);
        JR_EXPECT(read.run_at == bench.now);
        JR_EXPECT(read.result.is_null());
        JR_EXPECT(!read.finished_at);
        JR_EXPECT(!read.cancel_requested_at);
        JR_EXPECT(read.steps.size() == (fresh ? 0 : 1));
        claimed = bench.claim_one();
        JR_EXPECT(claimed.id == job.id);
        JR_EXPECT(claimed.attempt == 2);
        JR_EXPECT(claimed.fence > Fence::none);
        JR_EXPECT(bench.end(claimed, Verdict::failed).state == JobState::failed);
        bench.change(job.id, Action::retry);
        read = bench.get(job.id);
        JR_EXPECT(read.max_attempts == 3);
        JR_EXPECT(read.errors.size() == 1);
        bench.change(job.id, Action::remove);
    }
    return {};
}

Result<void> retry_of_one_that_waits(Bench& bench) {
    for (const bool fresh : {false, true}) {
        const auto job = bench.job();
        bench.add(job);
        const auto claimed = bench.claim_one();
        Note note = bench.note_of(claimed);
        note.step_name = "step";
        note.step_value = "1";
        bench.note(note);
        JR_EXPECT(bench.end(claimed, Verdict::retry).state == JobState::scheduled);
        Change now;
        now.action = Action::retry;
        now.fresh = fresh;
        JR_EXPECT(bench.change(job.id, now).state == JobState::queued);
        JR_EXPECT(bench.get(job.id).steps.size() == (fresh ? 0 : 1));
        const auto again = bench.claim_one();
        JR_EXPECT(again.id == job.id);
        JR_EXPECT(again.steps.size() == (fresh ? 0 : 1));
        bench.end(again, Verdict::completed);
    }
    return {};
}

Result<void> changes_by_filter(Bench& bench) {
    std::vector<JobId> wanted;
    for (int i = 0; i < 7; ++i) {
        wanted.push_back(bench.add(bench.job("test.a")));
        bench.add(bench.job("test.b"));
    }
    JobFilter filter;
    filter.kinds = {"test.a"};
    Change cancel;
    cancel.action = Action::cancel;
    std::vector<JobId> seen;
    std::string cursor;
    int slices = 0;
    do {
        const auto slice = must(bench.store().change(filter, cancel, 3, cursor, noon));
        JR_EXPECT(slice.answers.size() <= 3);
        for (const auto& answer : slice.answers) {
            JR_EXPECT(answer.how == ChangeAnswer::How::done);
            seen.push_back(answer.job);
        }
        cursor = slice.next_cursor;
        JR_EXPECT(++slices <= 4);
    } while (!cursor.empty());
    JR_EXPECT(seen == wanted);
    filter.kinds = {"test.b"};
    filter.states = {JobState::queued};
    JR_EXPECT(must(bench.store().count(filter, CountBy::nothing)).front().count == 7);
    JR_EXPECT(code_of(bench.store().change(filter, cancel, 3, "no such cursor", noon)) == Errc::invalid_argument);
    JR_EXPECT(code_of(bench.store().change(filter, cancel, 0, "", noon)) == Errc::invalid_argument);
    return {};
}

}  // namespace

void add_change_cases(Cases& cases) {
    for (const auto& row : change_rows)
        cases.add(std::string(name_of(row.action)) + " of a " + std::string(to_string(row.state)) + " job " +
                      (row.how == ChangeAnswer::How::invalid_state ? "is refused and changes nothing"
                       : row.how == ChangeAnswer::How::requested   ? "asks it to stop"
                       : row.action == Action::remove ? "deletes it"
                                                      : "leaves it " + std::string(to_string(row.after))),
                  [&row](Bench& bench) { return changes_by(row, bench); });
    cases.add("retrying an ended job gives it one more attempt, and fresh forgets its checkpoints", retry_begins_anew);
    cases.add("retrying a job that waits has it run now, and fresh forgets its checkpoints", retry_of_one_that_waits);
    cases.add("a change by filter goes over all that match, in slices, oldest first", changes_by_filter);

    cases.add("a change by ids answers each in its place", [](Bench& bench) -> Result<void> {
        const auto queued = bench.add();
        const auto missing = bench.id();
        const auto ended = bench.in_state(JobState::completed, bench.job("test.b"));
        Change cancel;
        cancel.action = Action::cancel;
        const std::vector<JobId> ids{missing, queued, ended, queued};
        const auto changed = must(bench.store().change(ids, cancel, 1, "", noon));
        JR_EXPECT(changed.answers.size() == 4);
        const ChangeAnswer::How hows[] = {ChangeAnswer::How::not_found, ChangeAnswer::How::done, ChangeAnswer::How::invalid_state, ChangeAnswer::How::invalid_state};
        for (std::size_t i = 0; i < 4; ++i) {
            JR_EXPECT(changed.answers[i].job == ids[i]);
            JR_EXPECT(changed.answers[i].how == hows[i]);
        }
        JR_EXPECT(changed.next_cursor == "");
        const std::vector<JobId> many(limits::batch_items + 1, queued);
        JR_EXPECT(code_of(bench.store().change(many, cancel, 1, "", noon)) == Errc::invalid_argument);
        return {};
    });

    cases.add("a job that is not any more as it was seen is left alone", [](Bench& bench) -> Result<void> {
        const auto id = bench.add();
        const auto other = bench.add(bench.job("test.b"));
        const auto seen = bench.get(id).fence;
        bench.end(only(bench.claim(1).jobs), Verdict::completed);
        const auto ended = bench.get(id);
        JR_EXPECT(ended.fence != seen);
        Change remove;
        remove.action = Action::remove;
        remove.seen = {Seen{seen}, std::nullopt, Seen{}};
        const std::vector<JobId> ids{id, other, bench.id()};
        auto changed = must(bench.store().change(ids, remove, 1, "", noon));
        JR_EXPECT(changed.answers[0].how == ChangeAnswer::How::invalid_state);
        JR_EXPECT(changed.answers[0].state == JobState::completed);
        JR_EXPECT(changed.answers[1].how == ChangeAnswer::How::done);
        JR_EXPECT(changed.answers[2].how == ChangeAnswer::How::not_found);
        JR_EXPECT(bench.get(id) == ended);
        remove.seen = {Seen{ended.fence, JobState::failed}};
        JR_EXPECT(bench.change(id, remove).how == ChangeAnswer::How::invalid_state);
        remove.seen = {Seen{ended.fence, JobState::completed}, std::nullopt};
        JR_EXPECT(code_of(bench.store().change(std::vector{id}, remove, 1, "", noon)) == Errc::invalid_argument);
        JR_EXPECT(code_of(bench.store().change(JobFilter{}, remove, 1, "", noon)) == Errc::invalid_argument);
        remove.seen.pop_back();
        JR_EXPECT(bench.change(id, remove).how == ChangeAnswer::How::done);
        JR_EXPECT(!bench.exists(id));
        return {};
    });

    cases.add("asking a running job to cancel again asks nothing new", [](Bench& bench) -> Result<void> {
        const auto id = bench.in_state(JobState::running);
        bench.change(id, Action::cancel);
        const auto before = bench.get(id);
        const auto events = bench.events().size();
        bench.now += 1min;
        JR_EXPECT(bench.change(id, Action::cancel).how == ChangeAnswer::How::requested);
        JR_EXPECT(bench.get(id) == before);
        JR_EXPECT(bench.events().size() == events);
        return {};
    });

    cases.add("a moved or reprioritised job is claimed where it stands now", [](Bench& bench) -> Result<void> {
        const auto first = bench.add();
        const auto second = bench.add();
        const auto third = bench.add();
        Change change;
        change.action = Action::reprioritise;
        change.priority = -1;
        bench.change(third, change);
        change.action = Action::move;
        change.queue = "other";
        bench.change(first, change);
        const auto claimed = bench.claim(10).jobs;
        JR_EXPECT(claimed.size() == 2);
        JR_EXPECT(claimed[0].id == third);
        JR_EXPECT(claimed[1].id == second);
        const Want other = Bench::want("other");
        JR_EXPECT(only(must(bench.store().claim({&other, 1}, bench.me, ClaimMode::ordinary, noon)).jobs).id == first);
        return {};
    });

    cases.add("a move without a queue is an invalid argument", [](Bench& bench) -> Result<void> {
        Change move;
        move.action = Action::move;
        JR_EXPECT(code_of(bench.store().change(std::vector{bench.add()}, move, 1, "", noon)) == Errc::invalid_argument);
        return {};
    });

    cases.add("a retried poison job runs with others again", [](Bench& bench) -> Result<void> {
        const auto id = bench.add();
        bench.crash(id, 4);
        JR_EXPECT(bench.get(id).state == JobState::failed);
        JR_EXPECT(bench.change(id, Action::retry).how == ChangeAnswer::How::done);
        JR_EXPECT(bench.get(id).crashes == 0);
        JR_EXPECT(bench.claim_one().id == id);
        return {};
    });
}

}  // namespace jobruntime::testing::contract
