// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What attempts note while they run, when the answer is lost.
#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "unit/mongo/support.hpp"

using namespace jobruntime;
using namespace jobruntime::tests;
using namespace std::chrono_literals;

namespace {

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

namespace {

/// An attempt that notes lines, of which one test or another loses the answers.
struct Lines {
    explicit Lines(const Two& two) : stores(two), id(add(*stores.first, noon)) {
        job = must(claim(*stores.first, begin(*stores.first, noon), noon)).jobs.at(0);
        first = line(1);
        second = line(2);
        third = line(3);
    }

    Note line(int number) const {
        Note note;
        note.job = id;
        note.fence = job.fence;
        note.events.emplace_back();
        note.events.back().name = "worker.job.log";
        note.events.back().at = noon;
        note.events.back().fields = {{"line", number}};
        return note;
    }
    /// Written, or not; nothing is heard of it either way.
    void lose(std::vector<Note> notes, bool written) {
        const Failpoint answer(written ? "mongo.commit_answer" : "mongo.before_commit", 1);
        const Failpoint look("mongo.commit_look", 1);
        CHECK(!stores.first->note(notes, noon).has_value());
    }
    NoteAnswer send(const Note& note) { return must(stores.first->note({&note, 1}, noon)).front(); }
    /// As anybody reads them in the log.
    std::vector<int> told() {
        must(stores.second->tend({}, 100, noon));
        EventFilter filter;
        filter.job = id;
        std::vector<int> numbers;
        for (const auto& event : must(stores.second->events(EventId{0}, filter, 1000)).events)
            if (const auto* number = event.fields.if_contains("line"))
                numbers.push_back(static_cast<int>(number->to_number<std::int64_t>()));
        return numbers;
    }

    const Two& stores;
    const JobId id;
    Job job;
    Note first, second, third;
};

}  // namespace

TEST_CASE("a note of which nothing was heard is told once, also when others of its job were told before it is sent again") {
    const Two stores;
    using Numbers = std::vector<int>;
    // A database for all, since making one is what takes the time; a job for each.
    const auto with_job = [&](const std::string& what, const std::function<void(Lines&)>& body) {
        CAPTURE(what);
        Lines lines(stores);
        body(lines);
    };
    with_job("and it had been written", [](Lines& lines) {
        lines.lose({lines.first}, true);
        CHECK(lines.send(lines.second) == NoteAnswer::done);
        CHECK(lines.send(lines.third) == NoteAnswer::done);
        CHECK(lines.send(lines.first) == NoteAnswer::done);
        CHECK(lines.told() == Numbers{1, 2, 3});
        lines.send(lines.first);  // The same words once more, with nothing lost.
        CHECK(lines.told() == Numbers{1, 2, 3, 1});
    });
    with_job("and it had not", [](Lines& lines) {
        lines.lose({lines.first}, false);
        CHECK(lines.send(lines.second) == NoteAnswer::done);
        CHECK(lines.send(lines.first) == NoteAnswer::done);
        CHECK(lines.told() == Numbers{2, 1});
    });
    with_job("and the others' answers were lost, too", [](Lines& lines) {
        lines.lose({lines.first}, true);
        lines.lose({lines.second}, true);
        lines.lose({lines.third}, false);
        for (const auto& note : {lines.third, lines.second, lines.first}) CHECK(lines.send(note) == NoteAnswer::done);
        CHECK(lines.told() == Numbers{1, 2, 3});
    });
    with_job("and it was lost together with another of its call", [](Lines& lines) {
        lines.lose({lines.first, lines.second}, true);
        CHECK(lines.send(lines.third) == NoteAnswer::done);
        CHECK(lines.send(lines.second) == NoteAnswer::done);
        CHECK(lines.send(lines.first) == NoteAnswer::done);
        CHECK(lines.told() == Numbers{1, 2, 3});
    });
    with_job("and it was lost again with the one that overwrote it", [](Lines& lines) {
        lines.lose({lines.first}, true);
        lines.lose({lines.first, lines.second}, true);
        CHECK(lines.send(lines.third) == NoteAnswer::done);
        CHECK(must(lines.stores.first->note(std::vector{lines.first, lines.second}, noon)).back() == NoteAnswer::done);
        CHECK(lines.told() == Numbers{1, 2, 3});
    });
    with_job("and it says what another lost one says", [](Lines& lines) {
        lines.lose({lines.first, lines.first}, true);
        CHECK(lines.send(lines.second) == NoteAnswer::done);
        for (int i = 0; i < 2; ++i) CHECK(lines.send(lines.first) == NoteAnswer::done);
        CHECK(lines.told() == Numbers{1, 1, 2});
    });
    with_job("and a step was kept in between", [](Lines& lines) {
        lines.lose({lines.first}, true);
        Note step = lines.line(2);
        step.step_name = "step";
        step.step_value = "17";
        CHECK(lines.send(step) == NoteAnswer::done);
        CHECK(lines.send(lines.first) == NoteAnswer::done);
        CHECK(lines.told() == Numbers{1, 2});
    });
    with_job("and its step is not put back to what it was", [](Lines& lines) {
        Note step = lines.line(1), later = lines.line(2);
        step.step_name = later.step_name = "step";
        step.step_value = "1";
        later.step_value = "2";
        lines.lose({step}, true);
        CHECK(lines.send(later) == NoteAnswer::done);
        CHECK(lines.send(step) == NoteAnswer::done);
        CHECK(lines.told() == Numbers{1, 2});
        CHECK(must(lines.stores.second->get(lines.id, part_steps))->steps.at(0).value == 2);
    });
}

TEST_CASE("a note of which nothing was heard, sent again after its attempt has ended, is refused, and told if it was written") {
    const Two stores;
    for (const bool written : {true, false}) {
        CAPTURE(written);
        Lines lines(stores);
        lines.lose({lines.line(1)}, written);
        const auto end = completed(lines.job);
        CHECK(must(stores.first->settle({&end, 1}, noon)).front().done);
        CHECK(lines.send(lines.line(1)) == NoteAnswer::conflict);
        CHECK(lines.told() == (written ? std::vector<int>{1} : std::vector<int>{}));
    }
}

TEST_CASE("notes of several calls that travel together and are lost together are told once") {
    const Two stores;
    Lines lines(stores);
    const auto other = add(*stores.first, noon);
    // Whoever comes while one is on its way travels with the next; that two did is seen by there being one write of both.
    int next = 1;
    bool together = false;
    for (int round = 0; round < 50 && !together; ++round) {
        std::atomic<int> coming{0}, writes{0};
        const Failpoint hold("mongo.before_commit", [&] {
            if (writes.fetch_add(1) > 0) return false;
            while (coming < 2) std::this_thread::yield();
            std::this_thread::sleep_for(5ms * (round + 1));  // Nobody tells how far they are.
            return false;
        });
        const Failpoint answer("mongo.commit_answer", [&] { return writes > 1; });
        const Failpoint look("mongo.commit_look", [&] { return writes > 1; });
        std::vector<Note> pair{lines.line(next), lines.line(next + 1)};
        next += 2;
        std::vector<std::jthread> callers;
        callers.emplace_back([&] {
            Change change;
            change.action = Action::reprioritise;
            change.priority = static_cast<std::int16_t>(round + 1);
            static_cast<void>(lines.stores.first->change(std::vector{other}, change, 1, "", noon));
        });
        while (writes == 0) std::this_thread::yield();
        for (const auto& note : pair)
            callers.emplace_back([&] {
                ++coming;
                static_cast<void>(lines.stores.first->note({&note, 1}, noon));
            });
        callers.clear();
        together = writes == 2;
        core::set_failpoint("mongo.before_commit", {});
        core::set_failpoint("mongo.commit_answer", {});
        core::set_failpoint("mongo.commit_look", {});
        CHECK(lines.send(lines.line(1000 + round)) == NoteAnswer::done);
        for (const auto& note : pair) CHECK(lines.send(note) == NoteAnswer::done);
    }
    CHECK(together);
    auto told = lines.told();
    std::sort(told.begin(), told.end());
    CHECK(std::adjacent_find(told.begin(), told.end()) == told.end());
    CHECK(std::count_if(told.begin(), told.end(), [](int number) { return number < 1000; }) == next - 1);
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
