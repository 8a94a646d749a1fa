// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

Note step(const Job& job, std::string name, std::string value) {
    Note note = Bench::note_of(job);
    note.step_name = std::move(name);
    note.step_value = std::move(value);
    return note;
}

Event event(std::string name) {
    Event made;
    made.at = noon + 1s;
    made.name = std::move(name);
    made.level = Level::warn;
    made.fields["line"] = "hello";
    return made;
}

Result<void> late_notes(Bench& bench) {
    const auto id = bench.add();
    const auto first = bench.claim_one();
    bench.note(step(first, "kept", "1"));
    bench.end(first, Verdict::released);
    const auto conflict = [&](const Job& stale) -> Result<void> {
        const auto before = bench.get(id);
        const auto events = bench.events().size();
        Note note = bench.note_of(stale);
        note.progress = Progress{50.0, "late", ""};
        JR_EXPECT(bench.note(note) == NoteAnswer::conflict);
        note = bench.note_of(stale);
        note.forget_step = "kept";
        JR_EXPECT(bench.note(note) == NoteAnswer::conflict);
        note = step(stale, "new", "2");
        note.events.push_back(event("worker.job.log"));
        JR_EXPECT(bench.note(note) == NoteAnswer::conflict);
        JR_EXPECT(bench.get(id) == before);
        JR_EXPECT(bench.events().size() == events);
        return {};
    };
    JR_TRY(conflict(first));
    auto second = bench.claim_one();
    JR_TRY(conflict(first));
    Job nobody = second;
    nobody.fence = Fence::none;
    JR_TRY(conflict(nobody));
    bench.end(second, Verdict::completed);
    JR_TRY(conflict(second));
    return {};
}

Result<void> steps_live(Bench& bench) {
    const auto id = bench.add();
    auto claimed = bench.claim_one();
    JR_EXPECT(bench.note(step(claimed, "extract", R"({"url":"x"})")) == NoteAnswer::done);
    JR_EXPECT(bench.note(step(claimed, "download", "17")) == NoteAnswer::done);
    JR_EXPECT(bench.note(step(claimed, "extract", R"({"url":"y"})")) == NoteAnswer::done);
    bench.end(claimed, Verdict::retry);
    bench.now += 2h;
    bench.reopen();
    claimed = bench.claim_one();
    JR_EXPECT(claimed.steps.size() == 2);
    JR_EXPECT(claimed.steps[0].name == "extract");
    JR_EXPECT(claimed.steps[0].value.at("url") == "y");
    JR_EXPECT(claimed.steps[1].name == "download");
    JR_EXPECT(claimed.steps[1].value == 17);
    JR_EXPECT(bench.get(id).steps == claimed.steps);
    Note forget = bench.note_of(claimed);
    forget.forget_step = "extract";
    JR_EXPECT(bench.note(forget) == NoteAnswer::done);
    JR_EXPECT(bench.note(forget) == NoteAnswer::done);
    JR_EXPECT(only(bench.get(id).steps).name == "download");
    return {};
}

/// Only an end that says so, and only when the job ends completed by it.
Result<void> steps_gone(Bench& bench) {
    for (const auto verdict : {Verdict::completed, Verdict::failed, Verdict::retry, Verdict::canceled, Verdict::released}) {
        for (const bool asked : {false, true}) {
            const auto id = bench.add();
            const auto other = bench.add();
            const auto jobs = bench.claim(2).jobs;
            JR_EXPECT(jobs.size() == 2);
            for (const auto& job : jobs)
                for (const auto* name : {"extract", "download"}) JR_EXPECT(bench.note(step(job, name, "17")) == NoteAnswer::done);
            auto end = Bench::settlement(jobs[jobs[0].id == id ? 0 : 1], verdict);
            end.forget_steps = asked;
            JR_EXPECT(bench.settle(end).done);
            const bool gone = asked && verdict == Verdict::completed;
            JR_EXPECT(bench.get(id).steps.size() == (gone ? 0u : 2u));
            if (gone) bench.reopen();
            JR_EXPECT(bench.get(other).steps.size() == 2);
            bench.end(jobs[jobs[0].id == id ? 1 : 0], Verdict::canceled);
            if (verdict == Verdict::completed) bench.change(id, Action::retry);
            if (!gone) {
                bench.change(id, Action::remove);
                continue;
            }
            // What comes after begins anew.
            const auto again = bench.claim_one();
            JR_EXPECT(again.id == id);
            JR_EXPECT(again.steps.empty());
            JR_EXPECT(bench.note(step(again, "download", "18")) == NoteAnswer::done);
            JR_EXPECT(only(bench.get(id).steps).value == 18);
            auto too_large = Bench::settlement(again, Verdict::completed);
            too_large.result = '"' + std::string(limits::result, 'x') + '"';
            too_large.forget_steps = true;
            JR_EXPECT(bench.settle(too_large).state == JobState::failed);
            JR_EXPECT(bench.get(id).steps.size() == 1);
        }
    }
    return {};
}

}  // namespace

void add_note_cases(Cases& cases) {
    cases.add("an end that completes the job forgets its checkpoints when it says so, and no other end does", steps_gone);
    cases.add("a note with a fence that no longer holds the job is a conflict and changes nothing", late_notes);
    cases.add("checkpoints are kept, replaced, forgotten, and come back with the next claim", steps_live);

    cases.add("progress is kept, also for the next attempt", [](Bench& bench) -> Result<void> {
        const auto id = bench.add();
        const auto claimed = bench.claim_one();
        Note note = bench.note_of(claimed);
        note.progress = Progress{12.5, "download", "3 of 24 MiB"};
        JR_EXPECT(bench.note(note) == NoteAnswer::done);
        JR_EXPECT(bench.get(id).progress == *note.progress);
        bench.end(claimed, Verdict::retry);
        JR_EXPECT(bench.get(id).progress == *note.progress);
        bench.now += 2h;
        const auto again = bench.claim_one();
        JR_EXPECT(again.progress == *note.progress);
        note = bench.note_of(again);
        note.progress = Progress{std::nullopt, "probe", ""};
        bench.note(note);
        JR_EXPECT(bench.get(id).progress == *note.progress);
        return {};
    });

    cases.add("one checkpoint more than a job may have is refused, replacing one is not", [](Bench& bench) -> Result<void> {
        const auto id = bench.add();
        const auto claimed = bench.claim_one();
        for (std::size_t i = 0; i < limits::steps; ++i)
            JR_EXPECT(bench.note(step(claimed, "step-" + std::to_string(i), "0")) == NoteAnswer::done);
        Note over = step(claimed, "one-more", "0");
        over.progress = Progress{99.0, "over", ""};
        JR_EXPECT(bench.note(over) == NoteAnswer::refused);
        JR_EXPECT(bench.get(id).progress == Progress{});
        JR_EXPECT(bench.note(step(claimed, "step-0", "1")) == NoteAnswer::done);
        JR_EXPECT(bench.get(id).steps.size() == limits::steps);
        return {};
    });

    cases.add("each note of a batch stands for itself", [](Bench& bench) -> Result<void> {
        const auto id = bench.add();
        const auto claimed = bench.claim_one();
        std::vector<Note> notes{step(claimed, "a", "1"), step(claimed, "b", "2"), step(claimed, "c", "3")};
        notes[1].fence = Fence::none;
        const auto answers = must(bench.store().note(notes, noon));
        JR_EXPECT(answers.size() == 3);
        JR_EXPECT(answers[0] == NoteAnswer::done);
        JR_EXPECT(answers[1] == NoteAnswer::conflict);
        JR_EXPECT(answers[2] == NoteAnswer::done);
        const auto steps = bench.get(id).steps;
        JR_EXPECT(steps.size() == 2);
        JR_EXPECT(steps[1].name == "c");
        return {};
    });

    cases.add("events of an attempt carry its job and trace id", [](Bench& bench) -> Result<void> {
        NewJob job = bench.job();
        job.trace_id = "trace";
        bench.add(job);
        Note note = bench.note_of(bench.claim_one());
        note.events = {event("worker.job.log"), event("worker.job.log")};
        note.events[1].trace_id = "own";
        JR_EXPECT(bench.note(note) == NoteAnswer::done);
        const auto events = bench.events_of(job.id);
        JR_EXPECT(events.size() == 4);
        JR_EXPECT(events[2].name == "worker.job.log");
        JR_EXPECT(events[2].at == noon + 1s);
        JR_EXPECT(events[2].level == Level::warn);
        JR_EXPECT(events[2].trace_id == "trace");
        JR_EXPECT(field(events[2], "line") == "hello");
        JR_EXPECT(events[3].trace_id == "own");
        JR_EXPECT(events[3].id > events[2].id);
        return {};
    });

    cases.add("events without a fence are taken about a job in any state, and about none", [](Bench& bench) -> Result<void> {
        const auto id = bench.in_state(JobState::completed);
        Note note;
        note.job = id;
        note.events = {event("media.file.missing")};
        JR_EXPECT(bench.note(note) == NoteAnswer::done);
        JR_EXPECT(bench.last_event(id).name == "media.file.missing");
        Note free;
        free.events = {event("worker.started")};
        JR_EXPECT(bench.note(free) == NoteAnswer::done);
        const auto last = last_of(bench.events());
        JR_EXPECT(last.name == "worker.started");
        JR_EXPECT(!last.job);
        return {};
    });

    cases.add("an event with bytes that are no text keeps its other fields", [](Bench& bench) -> Result<void> {
        const auto id = bench.add();
        auto note = bench.note_of(bench.claim_one());
        note.events = {event("worker.job.log")};
        note.events[0].fields = {{"line", "caf\xe9 au lait"}, {"n", 7}};
        bench.note(note);
        note.job = {};
        note.fence = Fence::none;
        bench.note(note);
        for (const auto& told : {bench.last_event(id), last_of(bench.events())}) {
            JR_EXPECT(field(told, "line") == "caf\xef\xbf\xbd au lait");
            JR_EXPECT(field(told, "n") == "7");
        }
        return {};
    });

    cases.add("a checkpoint that is no JSON is refused, and changes nothing", [](Bench& bench) -> Result<void> {
        const auto id = bench.add();
        auto note = bench.note_of(bench.claim_one());
        note.step_name = "s";
        for (const std::string_view bad : {"{", "NaN", "\"caf\xe9\"", "1 2"}) {
            note.step_value = bad;
            JR_EXPECT(bench.note(note) == NoteAnswer::refused);
        }
        JR_EXPECT(bench.get(id).steps.empty());
        return {};
    });

    cases.add("the fields of an event keep their types", [](Bench& bench) -> Result<void> {
        Note note;
        note.events = {event("test.types")};
        note.events[0].fields = {{"text", "t"}, {"whole", -3}, {"large", 9007199254740991}, {"real", 0.5},
                                 {"yes", true}, {"nothing", nullptr}};
        bench.note(note);
        JR_EXPECT(last_of(bench.events()).fields == note.events[0].fields);
        return {};
    });
}

}  // namespace jobruntime::testing::contract
