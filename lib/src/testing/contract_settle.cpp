// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

/// docs/states.md, "How an attempt ends".
struct SettleRow {
    Verdict verdict;
    bool cancel;
    JobState state;
    int attempt;       ///< Of a job on its first attempt.
    bool error;        ///< One is kept.
    std::string_view event;
};

constexpr SettleRow settle_rows[] = {
    {Verdict::completed, false, JobState::completed, 1, false, "worker.job.completed"},
    {Verdict::completed, true, JobState::completed, 1, false, "worker.job.completed"},
    {Verdict::retry, false, JobState::scheduled, 1, true, "worker.job.retry_scheduled"},
    {Verdict::retry, true, JobState::canceled, 1, true, "worker.job.canceled"},
    {Verdict::snooze, false, JobState::scheduled, 0, false, "worker.job.snoozed"},
    {Verdict::snooze, true, JobState::canceled, 0, false, "worker.job.canceled"},
    {Verdict::failed, false, JobState::failed, 1, true, "worker.job.failed"},
    {Verdict::failed, true, JobState::canceled, 1, true, "worker.job.canceled"},
    {Verdict::canceled, false, JobState::canceled, 1, false, "worker.job.canceled"},
    {Verdict::canceled, true, JobState::canceled, 1, false, "worker.job.canceled"},
    {Verdict::released, false, JobState::queued, 0, false, "worker.job.released"},
    {Verdict::released, true, JobState::canceled, 0, false, "worker.job.canceled"},
};

std::string_view name_of(Verdict verdict) {
    constexpr std::string_view names[] = {"completed", "retry", "snooze", "failed", "canceled", "released"};
    return names[static_cast<std::size_t>(verdict)];
}

Result<void> settles_by(const SettleRow& row, Bench& bench) {
    const auto id = bench.add();
    const auto claimed = bench.claim_one();
    if (row.cancel) JR_EXPECT(bench.change(id, Action::cancel).how == ChangeAnswer::How::requested);
    bench.now += 30s;
    const auto answer = bench.end(claimed, row.verdict);
    JR_EXPECT(answer.done);
    JR_EXPECT(answer.state == row.state);
    const auto job = bench.get(id);
    JR_EXPECT(job.state == row.state);
    JR_EXPECT(job.attempt == row.attempt);
    JR_EXPECT(job.errors.size() == (row.error ? 1 : 0));
    JR_EXPECT(job.finished_at == (is_final(row.state) ? std::optional(bench.now) : std::nullopt));
    JR_EXPECT(job.started_at == noon);
    if (row.state == JobState::scheduled) JR_EXPECT(job.run_at == noon + 1h);
    if (row.state == JobState::scheduled) JR_EXPECT(job.wait_reason != "");
    if (row.state == JobState::completed) JR_EXPECT(job.result.at("ok") == true);
    if (row.state != JobState::completed) JR_EXPECT(job.result.is_null());
    const auto event = bench.last_event(id);
    JR_EXPECT(event.name == row.event);
    JR_EXPECT(event.at == bench.now);
    JR_EXPECT(field(event, "status") == to_string(row.state));
    JR_EXPECT(field(event, "attempt") == std::to_string(row.attempt));
    JR_EXPECT(field(event, "workerId") == bench.me.str());
    JR_EXPECT(field(event, "code") == (row.error ? "TEST" : "-"));
    JR_EXPECT(field(event, "error") == (row.error ? "it went wrong" : "-"));
    JR_EXPECT(field(event, "runAt") == (row.state == JobState::scheduled ? to_iso(noon + 1h) : "-"));
    if (row.event == "worker.job.snoozed") JR_EXPECT(field(event, "reason") == "not now");
    return {};
}

Result<void> late_settles(Bench& bench) {
    const auto id = bench.add();
    const auto first = bench.claim_one();
    bench.end(first, Verdict::released);
    const auto conflict = [&](const Job& stale) -> Result<void> {
        for (const auto& row : settle_rows) {
            const auto before = bench.get(id);
            const auto events = bench.events().size();
            const auto answer = bench.end(stale, row.verdict);
            JR_EXPECT(!answer.done);
            JR_EXPECT(bench.get(id) == before);
            JR_EXPECT(bench.events().size() == events);
        }
        return {};
    };
    JR_TRY(conflict(first));
    const auto second = bench.claim_one();
    JR_TRY(conflict(first));
    JR_EXPECT(bench.end(second, Verdict::completed).done);
    JR_TRY(conflict(first));
    JR_TRY(conflict(second));
    bench.change(id, Action::retry);
    JR_TRY(conflict(second));
    auto forged = bench.claim_one();
    forged.fence = Fence::none;
    JR_TRY(conflict(forged));
    forged.fence = static_cast<Fence>(static_cast<std::uint64_t>(second.fence) + 1'000'000);
    JR_TRY(conflict(forged));
    return {};
}

Result<void> batch_is_per_item(Bench& bench) {
    for (int i = 0; i < 4; ++i) bench.add();
    const auto jobs = bench.claim(4).jobs;
    JR_EXPECT(jobs.size() == 4);
    std::vector<Settlement> settlements;
    for (const auto& job : jobs) settlements.push_back(bench.settlement(job, Verdict::completed));
    settlements[1].fence = Fence::none;
    settlements[2].job = bench.id();
    settlements.push_back(settlements[0]);
    const auto answers = must(bench.store().settle(settlements, noon));
    JR_EXPECT(answers.size() == 5);
    const bool done[] = {true, false, false, true, false};
    for (std::size_t i = 0; i < 5; ++i) JR_EXPECT(answers[i].done == done[i]);
    JR_EXPECT(bench.get(jobs[0].id).state == JobState::completed);
    JR_EXPECT(bench.get(jobs[1].id).state == JobState::running);
    JR_EXPECT(bench.get(jobs[2].id).state == JobState::running);
    JR_EXPECT(bench.get(jobs[3].id).state == JobState::completed);
    return {};
}

Result<void> errors_are_bounded(Bench& bench) {
    NewJob job = bench.job();
    job.max_attempts = 1000;
    bench.add(job);
    const int tries = static_cast<int>(limits::errors) + 5;
    for (int i = 1; i <= tries; ++i) {
        bench.now += 2h;
        const auto claimed = bench.claim_one();
        JR_EXPECT(claimed.attempt == i);
        auto settlement = bench.settlement(claimed, Verdict::retry);
        settlement.run_at = bench.now;
        settlement.code = "CODE_" + std::to_string(i);
        bench.settle(settlement);
    }
    const auto errors = bench.get(job.id).errors;
    JR_EXPECT(errors.size() == limits::errors);
    for (std::size_t i = 0; i < errors.size(); ++i) {
        const int attempt = static_cast<int>(i) + 6;
        JR_EXPECT(errors[i].attempt == attempt);
        JR_EXPECT(errors[i].code == "CODE_" + std::to_string(attempt));
        JR_EXPECT(errors[i].message == "it went wrong");
        JR_EXPECT(errors[i].at == noon + 2h * attempt);
    }
    return {};
}

}  // namespace

void add_settle_cases(Cases& cases) {
    for (const auto& row : settle_rows)
        cases.add("an attempt that ends " + std::string(name_of(row.verdict)) +
                      (row.cancel ? " after cancel was asked" : "") + " leaves the job " +
                      std::string(to_string(row.state)),
                  [&row](Bench& bench) { return settles_by(row, bench); });
    cases.add("a settlement with a fence that no longer holds the job is a conflict and changes nothing", late_settles);
    cases.add("each settlement of a batch stands for itself", batch_is_per_item);
    cases.add("a job keeps its last errors only", errors_are_bounded);

    cases.add("a result of the largest size is kept, a larger one fails the job", [](Bench& bench) -> Result<void> {
        const auto fits = bench.add();
        auto settlement = bench.settlement(bench.claim_one(), Verdict::completed);
        settlement.result = "\"" + std::string(limits::result - 2, 'r') + "\"";
        JR_EXPECT(bench.settle(settlement).state == JobState::completed);
        JR_EXPECT(bench.get(fits).result.as_string().size() == limits::result - 2);
        const auto large = bench.add();
        settlement = bench.settlement(bench.claim_one(), Verdict::completed);
        settlement.result = "\"" + std::string(limits::result - 1, 'r') + "\"";
        JR_EXPECT(bench.settle(settlement).state == JobState::failed);
        JR_EXPECT(last_of(bench.get(large).errors).code == "RESULT_TOO_LARGE");
        JR_EXPECT(bench.get(large).result.is_null());
        return {};
    });

    cases.add("a result that is no JSON fails its job, and not its neighbour", [](Bench& bench) -> Result<void> {
        for (const std::string_view bad : {"{", "NaN", "\"caf\xe9\"", "1 2"}) {
            const auto spoiled = bench.add();
            const auto sound = bench.add();
            auto jobs = bench.claim(2).jobs;
            JR_EXPECT(jobs.size() == 2u);
            Settlement ends[] = {bench.settlement(jobs[0], Verdict::completed), bench.settlement(jobs[1], Verdict::completed)};
            ends[0].result = bad;
            ends[1].result = "1";
            const auto answers = must(bench.store().settle(ends, bench.now));
            JR_EXPECT(answers.size() == 2u);
            JR_EXPECT(answers[0].done);
            JR_EXPECT(answers[0].state == JobState::failed);
            JR_EXPECT(answers[1].state == JobState::completed);
            JR_EXPECT(last_of(bench.get(spoiled).errors).code == "INVALID_RESULT");
            JR_EXPECT(bench.get(spoiled).result.is_null());
            JR_EXPECT(bench.get(sound).result == 1);
        }
        return {};
    });

    cases.add("an empty result is null", [](Bench& bench) -> Result<void> {
        const auto id = bench.add();
        auto settlement = bench.settlement(bench.claim_one(), Verdict::completed);
        settlement.result.clear();
        bench.settle(settlement);
        JR_EXPECT(bench.get(id).result.is_null());
        return {};
    });

    cases.add("a long error message is cut, between characters", [](Bench& bench) -> Result<void> {
        const auto id = bench.add();
        auto settlement = bench.settlement(bench.claim_one(), Verdict::failed);
        settlement.message = "x";
        while (settlement.message.size() < 2 * limits::message) settlement.message += "\xe6\x97\xa5";
        bench.settle(settlement);
        const auto message = last_of(bench.get(id).errors).message;
        JR_EXPECT(message.size() <= limits::message);
        JR_EXPECT(message.size() > limits::message - 4);
        JR_EXPECT(message.size() % 3 == 1);
        return {};
    });

    cases.add("the reason why a job waits goes when it is claimed", [](Bench& bench) -> Result<void> {
        const auto id = bench.add();
        bench.end(bench.claim_one(), Verdict::snooze);
        JR_EXPECT(bench.get(id).wait_reason == "not now");
        bench.now += 2h;
        JR_EXPECT(bench.claim_one().wait_reason == "");
        JR_EXPECT(bench.get(id).wait_reason == "");
        return {};
    });

    cases.add("a snooze costs no attempt, a retry does", [](Bench& bench) -> Result<void> {
        bench.add();
        for (int i = 0; i < 3; ++i) {
            const auto claimed = bench.claim_one();
            JR_EXPECT(claimed.attempt == 1);
            bench.end(claimed, Verdict::snooze);
            bench.now += 2h;
        }
        bench.end(bench.claim_one(), Verdict::retry);
        bench.now += 2h;
        JR_EXPECT(bench.claim_one().attempt == 2);
        return {};
    });

    cases.add("an attempt that ends by itself sets the crashes to zero, a released one does not",
              [](Bench& bench) -> Result<void> {
                  for (const auto& row : settle_rows) {
                      if (row.cancel) continue;
                      const auto id = bench.add();
                      bench.crash(id, 1);
                      bench.end(bench.claim_one(), row.verdict);
                      JR_EXPECT(bench.get(id).crashes == (row.verdict == Verdict::released ? 1 : 0));
                      if (!is_final(row.state)) bench.change(id, Action::cancel);
                  }
                  return {};
              });
}

}  // namespace jobruntime::testing::contract
