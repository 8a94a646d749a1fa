// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

SessionInfo info_of(Bench& bench, SessionId session) {
    for (const auto& info : must(bench.store().sessions()))
        if (info.id == session) return info;
    broken("the session is not listed", JOBRUNTIME_HERE);
}

Result<void> facts_read_back(Bench& bench) {
    SessionFacts facts;
    facts.host = "host-1";
    facts.boot_id = "boot-1";
    facts.pid = 4'000'000'000;
    facts.role = "worker";
    facts.version = "1.2.3";
    facts.works = true;
    facts.kinds = {"test.a", "test.b"};
    facts.queues = {"default", "other"};
    facts.running = 3;
    facts.details = {{"sink", "store"}, {"missing", boost::json::array{"ffmpeg"}}};
    const auto id = bench.session();
    must(bench.store().beat(id, facts, noon));
    bench.reopen();
    auto info = info_of(bench, id);
    JR_EXPECT(info.facts.host == facts.host);
    JR_EXPECT(info.facts.boot_id == facts.boot_id);
    JR_EXPECT(info.facts.pid == facts.pid);
    JR_EXPECT(info.facts.role == facts.role);
    JR_EXPECT(info.facts.version == facts.version);
    JR_EXPECT(info.facts.works);
    JR_EXPECT(info.facts.kinds == facts.kinds);
    JR_EXPECT(info.facts.queues == facts.queues);
    JR_EXPECT(info.facts.running == 3);
    JR_EXPECT(!info.facts.stopped);
    JR_EXPECT(info.facts.details == facts.details);
    JR_EXPECT(info.started_at == noon);
    JR_EXPECT(info.beat_at == noon);
    JR_EXPECT(!info.declared_dead);
    facts.stopped = true;
    facts.running = 0;
    must(bench.store().beat(id, facts, noon + 10s));
    info = info_of(bench, id);
    JR_EXPECT(info.started_at == noon);
    JR_EXPECT(info.beat_at == noon + 10s);
    JR_EXPECT(info.facts.stopped);
    JR_EXPECT(info.facts.running == 0);
    return {};
}

Result<void> beat_brings_cancels(Bench& bench) {
    const auto other = bench.session();
    bench.beat(other);
    for (int i = 0; i < 3; ++i) bench.add();
    const auto mine = bench.claim(2).jobs;
    const auto theirs = bench.claim_for(other, 1).jobs;
    JR_EXPECT(mine.size() == 2);
    JR_EXPECT(theirs.size() == 1);
    bench.change(mine[1].id, Action::cancel);
    bench.change(theirs[0].id, Action::cancel);
    auto answer = must(bench.store().beat(bench.me, {}, noon));
    JR_EXPECT(answer.cancels.size() == 1);
    JR_EXPECT(answer.cancels[0].job == mine[1].id);
    JR_EXPECT(answer.cancels[0].fence == mine[1].fence);
    answer = must(bench.store().beat(bench.me, {}, noon));
    JR_EXPECT(answer.cancels.size() == 1);
    bench.end(mine[1], Verdict::canceled);
    answer = must(bench.store().beat(bench.me, {}, noon));
    JR_EXPECT(answer.cancels.empty());
    return {};
}

Result<void> wrong_beat_recovers_nothing(Bench& bench) {
    const auto session = bench.session();
    const auto seen = bench.beat(session);
    const auto id = bench.add();
    bench.claim_one_for(session);
    bench.beat(session);
    for (const auto beat : {seen, seen + 7}) {
        const auto recovered = must(bench.store().recover(session, beat, Loss::crash, 10, noon));
        JR_EXPECT(!recovered.mine);
        JR_EXPECT(recovered.jobs.empty());
    }
    JR_EXPECT(!must(bench.store().recover(bench.session(), 1, Loss::crash, 10, noon)).mine);
    JR_EXPECT(bench.get(id).state == JobState::running);
    JR_EXPECT(!info_of(bench, session).declared_dead);
    JR_EXPECT(!must(bench.store().beat(session, {}, noon)).declared_dead);
    return {};
}

Result<void> recovery_in_slices(Bench& bench) {
    const auto session = bench.session();
    const auto seen = bench.beat(session);
    for (int i = 0; i < 7; ++i) bench.add();
    const auto claimed = bench.claim_for(session, 7).jobs;
    JR_EXPECT(claimed.size() == 7);
    std::vector<std::size_t> sizes;
    bool more = true;
    while (more) {
        const auto slice = must(bench.store().recover(session, seen, Loss::crash, 3, noon));
        JR_EXPECT(slice.mine);
        for (const auto& job : slice.jobs) JR_EXPECT(job.state == JobState::queued);
        sizes.push_back(slice.jobs.size());
        more = slice.more;
        JR_EXPECT(sizes.size() <= 4);
    }
    JR_EXPECT(sizes == std::vector<std::size_t>{3, 3, 1});
    for (const auto& job : claimed) JR_EXPECT(bench.get(job.id).crashes == 1);
    JR_EXPECT(bench.claim(10).jobs.size() == 7);
    JR_EXPECT(code_of(bench.store().recover(session, seen, Loss::crash, 0, noon)) == Errc::invalid_argument);
    return {};
}

Result<void> late_session_changes_nothing(Bench& bench) {
    const auto session = bench.session();
    const auto seen = bench.beat(session);
    const auto id = bench.add();
    const auto first = bench.claim_one_for(session);
    JR_EXPECT(must(bench.store().recover(session, seen, Loss::crash, 10, noon)).mine);
    JR_EXPECT(!bench.end(first, Verdict::completed).done);
    const auto second = bench.claim_one();
    JR_EXPECT(second.id == id);
    JR_EXPECT(second.fence > first.fence);
    JR_EXPECT(!bench.end(first, Verdict::completed).done);
    Note note = bench.note_of(first);
    note.progress = Progress{1.0, "late", ""};
    JR_EXPECT(bench.note(note) == NoteAnswer::conflict);
    JR_EXPECT(bench.end(second, Verdict::completed).done);
    JR_EXPECT(bench.get(id).session == bench.me);
    const auto answer = must(bench.store().beat(session, {}, noon));
    JR_EXPECT(answer.declared_dead);
    JR_EXPECT(answer.beat == seen);
    JR_EXPECT(info_of(bench, session).declared_dead);
    return {};
}

}  // namespace

void add_session_cases(Cases& cases) {
    cases.add("a session reads back as it said with its last beat", facts_read_back);
    cases.add("a beat brings the cancel requests of its own running jobs, until they end", beat_brings_cancels);
    cases.add("a recovery that saw another beat takes nothing", wrong_beat_recovers_nothing);
    cases.add("a recovery goes in slices, and each job is lost once", recovery_in_slices);
    cases.add("a session that stopped beating loses its jobs, and its late writes are refused", late_session_changes_nothing);

    cases.add("each beat raises the counter by something", [](Bench& bench) -> Result<void> {
        const auto session = bench.session();
        auto last = bench.beat(session);
        JR_EXPECT(last > 0);
        for (int i = 0; i < 3; ++i) {
            const auto next = bench.beat(session);
            JR_EXPECT(next > last);
            JR_EXPECT(info_of(bench, session).beat == next);
            last = next;
        }
        return {};
    });

    cases.add("the zero session cannot beat", [](Bench& bench) -> Result<void> {
        JR_EXPECT(code_of(bench.store().beat(SessionId{}, {}, noon)) == Errc::invalid_argument);
        return {};
    });

    cases.add("a recovery of a session without jobs declares it dead", [](Bench& bench) -> Result<void> {
        const auto session = bench.session();
        bench.beat(session);
        const auto recovered = bench.lose(session, Loss::reboot);
        JR_EXPECT(recovered.mine);
        JR_EXPECT(!recovered.more);
        JR_EXPECT(must(bench.store().beat(session, {}, noon)).declared_dead);
        return {};
    });
}

// ---- what becomes of a job whose process is lost -------------------------------------------------

namespace {

/// docs/states.md, "When the process is lost".
struct LossRow {
    Loss loss;
    int crashes_before;
    bool cancel;
    JobState state;
    int crashes;
    Duration delay;
    std::string_view code;
    std::string_view event;
};

constexpr LossRow loss_rows[] = {
    {Loss::crash, 0, false, JobState::queued, 1, 0s, "PROCESS_CRASHED", "worker.job.recovered"},
    {Loss::crash, 1, false, JobState::scheduled, 2, 20s, "PROCESS_CRASHED", "worker.job.recovered"},
    {Loss::crash, 2, false, JobState::scheduled, 3, 40s, "PROCESS_CRASHED", "worker.job.recovered"},
    {Loss::crash, 3, false, JobState::failed, 4, 0s, "CRASH_LIMIT", "worker.job.failed"},
    {Loss::crash, 0, true, JobState::canceled, 1, 0s, "PROCESS_CRASHED", "worker.job.canceled"},
    {Loss::crash, 1, true, JobState::canceled, 2, 0s, "PROCESS_CRASHED", "worker.job.canceled"},
    {Loss::crash, 2, true, JobState::canceled, 3, 0s, "PROCESS_CRASHED", "worker.job.canceled"},
    {Loss::crash, 3, true, JobState::canceled, 4, 0s, "PROCESS_CRASHED", "worker.job.canceled"},
    {Loss::reboot, 0, false, JobState::queued, 0, 0s, "", "worker.job.recovered"},
    {Loss::reboot, 1, false, JobState::queued, 1, 0s, "", "worker.job.recovered"},
    {Loss::reboot, 2, false, JobState::queued, 2, 0s, "", "worker.job.recovered"},
    {Loss::reboot, 3, false, JobState::queued, 3, 0s, "", "worker.job.recovered"},
    {Loss::reboot, 0, true, JobState::canceled, 0, 0s, "", "worker.job.canceled"},
    {Loss::reboot, 1, true, JobState::canceled, 1, 0s, "", "worker.job.canceled"},
    {Loss::reboot, 2, true, JobState::canceled, 2, 0s, "", "worker.job.canceled"},
    {Loss::reboot, 3, true, JobState::canceled, 3, 0s, "", "worker.job.canceled"},
};

Result<void> loses_by(const LossRow& row, Bench& bench) {
    const auto id = bench.add();
    bench.crash(id, row.crashes_before);
    bench.now = std::max(bench.now, bench.get(id).run_at);
    const auto victim = bench.session();
    bench.beat(victim);
    auto taken = bench.claim_for(victim);
    if (taken.jobs.empty()) taken = bench.claim_alone(victim);
    JR_EXPECT(only(taken.jobs).attempt == 1);
    if (row.cancel) bench.change(id, Action::cancel);
    bench.now += 5s;
    const auto recovered = bench.lose(victim, row.loss);
    JR_EXPECT(recovered.mine);
    JR_EXPECT(!recovered.more);
    JR_EXPECT(only(recovered.jobs).id == id);
    JR_EXPECT(recovered.jobs[0].state == row.state);
    const auto job = bench.get(id);
    JR_EXPECT(job.state == row.state);
    JR_EXPECT(job.crashes == row.crashes);
    JR_EXPECT(job.attempt == 0);
    JR_EXPECT(job.finished_at == (is_final(row.state) ? std::optional(bench.now) : std::nullopt));
    if (row.state == JobState::scheduled) JR_EXPECT(job.run_at == bench.now + row.delay);
    const int errors = row.crashes_before + (row.code.empty() ? 0 : 1);
    JR_EXPECT(job.errors.size() == errors);
    if (!row.code.empty()) {
        JR_EXPECT(last_of(job.errors).code == row.code);
        JR_EXPECT(job.errors.back().attempt == 1);
        JR_EXPECT(!job.errors.back().message.empty());
    }
    const auto event = bench.last_event(id);
    JR_EXPECT(event.name == row.event);
    JR_EXPECT(field(event, "status") == to_string(row.state));
    JR_EXPECT(field(event, "attempt") == "0");
    JR_EXPECT(field(event, "workerId") == victim.str());
    JR_EXPECT(field(event, "code") == (row.code.empty() ? "-" : row.code));
    if (row.event == "worker.job.recovered") JR_EXPECT(field(event, "crashes") == std::to_string(row.crashes));
    if (row.state == JobState::scheduled) JR_EXPECT(field(event, "runAt") == to_iso(job.run_at));
    return {};
}

}  // namespace

void add_loss_cases(Cases& cases) {
    for (const auto& row : loss_rows)
        cases.add(std::string(row.loss == Loss::crash ? "a crash" : "a reboot") + " under a job with " +
                      std::to_string(row.crashes_before) + " crashes" + (row.cancel ? " and asked to cancel" : "") +
                      " leaves it " + std::string(to_string(row.state)),
                  [&row](Bench& bench) { return loses_by(row, bench); });

    cases.add("neighbours of a poison job are not convicted with it", [](Bench& bench) -> Result<void> {
        const auto poison = bench.add();
        const auto good = bench.add();
        for (int i = 0; i < 2; ++i) {
            const auto victim = bench.session();
            bench.beat(victim);
            JR_EXPECT(bench.claim_for(victim, 2).jobs.size() == 2);
            bench.lose(victim, Loss::crash);
        }
        for (int turn = 0; turn < 4; ++turn) {
            bench.now += 1h;
            JR_EXPECT(bench.claim(10).jobs.empty());
            const auto session = bench.session();
            bench.beat(session);
            const auto alone = bench.claim_alone(session).jobs;
            if (alone.empty()) break;
            if (only(alone).id == good)
                bench.end(alone.front(), Verdict::completed);
            else
                bench.lose(session, Loss::crash);
        }
        JR_EXPECT(bench.get(poison).state == JobState::failed);
        JR_EXPECT(last_of(bench.get(poison).errors).code == "CRASH_LIMIT");
        JR_EXPECT(bench.get(good).state == JobState::completed);
        JR_EXPECT(bench.get(good).attempt == 1);
        return {};
    });
}

}  // namespace jobruntime::testing::contract
