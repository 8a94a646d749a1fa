// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What attempts note while they run, when the answer is lost.
#include <algorithm>
#include <utility>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using namespace std::chrono_literals;

namespace {

const Time noon = std::chrono::sys_days{std::chrono::year{2026} / 3 / 1} + 12h;

}  // namespace

TEST_CASE("a note whose answer was lost is written once") {
    Two stores;
    const auto id = add(*stores.first, noon);
    const auto job = must(claim(*stores.first, begin(*stores.first, noon), noon)).jobs.at(0);
    Note note;
    note.job = id;
    note.fence = job.fence;
    note.step_name = "step";
    note.step_value = "17";
    Event event;
    event.name = "worker.job.log";
    event.at = noon;
    note.events.push_back(event);
    {
        const Failpoint answer("mongo.commit_answer", 1);
        CHECK(must(stores.first->note({&note, 1}, noon)).front() == NoteAnswer::done);
    }
    CHECK(names_of(*stores.second, id).size() == 3);
    CHECK(must(stores.second->get(id, part_steps))->steps.size() == 1);
}

TEST_CASE("log lines of which nothing was heard are told once when they are sent again, whoever wrote in between") {
    Two stores;
    const auto id = add(*stores.first, noon);
    const auto job = must(claim(*stores.first, begin(*stores.first, noon), noon)).jobs.at(0);
    std::vector<Note> notes(2);
    for (std::size_t i = 0; i < notes.size(); ++i) {
        notes[i].job = id;
        notes[i].fence = job.fence;
        notes[i].events.emplace_back();
        notes[i].events.back().name = "worker.job.log";
        notes[i].events.back().at = noon;
        notes[i].events.back().fields = {{"line", i}};
    }
    const auto lines = [&] {
        must(stores.second->tend({}, 100, noon));
        const auto names = names_of(*stores.second, id);
        return std::count(names.begin(), names.end(), "worker.job.log");
    };
    const auto cancel = [&] {
        Change change;
        change.action = Action::cancel;
        must(stores.second->change(std::vector{id}, change, 1, "", noon));
    };
    SUBCASE("one call after the other") {
        {
            const Failpoint answer("mongo.commit_answer", 1);
            const Failpoint look("mongo.commit_look", 1);
            CHECK(!stores.first->note(notes, noon).has_value());
        }
        CHECK(must(stores.first->note(notes, noon)).back() == NoteAnswer::done);
        CHECK(lines() == 2);
        must(stores.first->note(notes, noon));
        CHECK(lines() == 4);  // The same words once more, with nothing lost.
    }
    SUBCASE("one note of the call first") {
        {
            const Failpoint answer("mongo.commit_answer", 1);
            const Failpoint look("mongo.commit_look", 1);
            CHECK(!stores.first->note(notes, noon).has_value());
        }
        cancel();
        for (const auto& note : notes) CHECK(must(stores.first->note({&note, 1}, noon)).front() == NoteAnswer::done);
        CHECK(lines() == 2);
    }
    SUBCASE("within one call") {
        bool once = false;
        const Failpoint answer("mongo.commit_answer", [&] {
            if (std::exchange(once, true)) return false;
            cancel();
            return true;
        });
        CHECK(must(stores.first->note(notes, noon)).front() == NoteAnswer::done);
        CHECK(lines() == 2);
    }
    SUBCASE("and what was not written is") {
        {
            const Failpoint before("mongo.before_commit", 1);
            CHECK(!stores.first->note(notes, noon).has_value());
        }
        CHECK(must(stores.first->note(notes, noon)).front() == NoteAnswer::done);
        CHECK(lines() == 2);
    }
}

TEST_CASE("an event of a job that is told of in two ways at once stands in the log once") {
    Two stores;
    const auto id = add(*stores.first, noon);
    const auto job = must(claim(*stores.first, begin(*stores.first, noon), noon)).jobs.at(0);
    std::vector<Note> notes(2);
    for (auto& note : notes) {
        note.job = id;
        note.events.emplace_back();
        note.events.back().at = noon;
    }
    notes[0].fence = job.fence;
    notes[0].events.back().name = "worker.job.log";
    notes[1].events.back().name = "test.from_outside";  // Of no attempt: behind all that the job's outbox holds.
    must(stores.first->note(notes, noon));
    CHECK(names_of(*stores.second, id) ==
          std::vector<std::string>{"jobs.create.queued", "worker.job.claimed", "worker.job.log",
                                   "test.from_outside"});
}
