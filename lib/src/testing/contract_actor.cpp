// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

const Actor ada{.caller = "ada", .token_id = "a1b2c3d4", .from = "192.0.2.7"};

/// What the newest event of a job says of who asked; its name must be this one.
Result<void> told_of(Bench& bench, JobId id, std::string_view name, const Actor& by) {
    const auto event = last_of(bench.events_of(id));
    JR_EXPECT(event.name == name);
    const auto text = [](const std::string& given) { return given.empty() ? "-" : given; };
    JR_EXPECT(field(event, "caller") == text(by.caller));
    JR_EXPECT(field(event, "tokenId") == text(by.token_id));
    JR_EXPECT(field(event, "from") == text(by.from));
    // Beside what it says otherwise.
    JR_EXPECT(field(event, "kind") == "test.a");
    return {};
}

Result<void> who_made_it(Bench& bench) {
    for (const bool reopened : {false, true}) {
        NewJob job = bench.job();
        job.by = ada;
        job.unique_key = reopened ? "b" : "a";
        bench.add(job);
        NewJob other = bench.job();
        other.unique_key = job.unique_key;
        other.on_conflict = OnConflict::replace;
        other.by = {.caller = "grace"};
        if (reopened) bench.reopen();
        JR_TRY(told_of(bench, job.id, "jobs.create.queued", ada));
        JR_EXPECT(bench.insert(other).how == InsertAnswer::How::replaced);
        JR_TRY(told_of(bench, job.id, "jobs.create.replaced", other.by));
        // Who asks for it again has changed nothing.
        NewJob again = job;
        again.by = {.caller = "nobody"};
        JR_EXPECT(bench.insert(again).how == InsertAnswer::How::inserted);
        JR_TRY(told_of(bench, job.id, "jobs.create.replaced", other.by));
        bench.change(job.id, Action::remove);
    }
    return {};
}

struct ActorRow {
    std::string_view name;
    Action action;
    JobState from;
};

constexpr ActorRow actor_rows[] = {
    {"worker.job.canceled", Action::cancel, JobState::queued},
    {"jobs.cancel.requested", Action::cancel, JobState::running},
    {"jobs.retried", Action::retry, JobState::failed},
    {"jobs.promoted", Action::retry, JobState::scheduled},
    {"jobs.promoted", Action::promote, JobState::scheduled},
    {"jobs.moved", Action::move, JobState::queued},
    {"jobs.reprioritised", Action::reprioritise, JobState::queued},
    {"jobs.deleted", Action::remove, JobState::completed},
};

Change change_of(const ActorRow& row, const Actor& by) {
    Change change;
    change.action = row.action;
    change.queue = "elsewhere";
    change.priority = 7;
    change.by = by;
    return change;
}

Result<void> who_changed_it(Bench& bench) {
    for (const auto& row : actor_rows) {
        // What waits now would be claimed in place of the next.
        const auto tidy = [&](JobId id) {
            if (bench.exists(id) && bench.get(id).state != JobState::running) bench.change(id, Action::remove);
        };
        for (const auto& by : {ada, Actor{}}) {
            const auto id = bench.in_state(row.from);
            bench.change(id, change_of(row, by));
            JR_TRY(told_of(bench, id, row.name, by));
            tidy(id);
        }
        NewJob job = bench.job();
        job.tags = {std::string(row.name)};
        const auto id = bench.in_state(row.from, job);
        JobFilter filter;
        filter.tag = job.tags.front();
        const Actor from_there{.from = "::1"};
        must(bench.store().change(filter, change_of(row, from_there), 10, {}, bench.now));
        JR_TRY(told_of(bench, id, row.name, from_there));
        tidy(id);
    }
    return {};
}

/// Only who asked for it: what comes of the request is told without.
Result<void> no_further_event(Bench& bench) {
    NewJob job = bench.job();
    job.by = ada;
    bench.add(job);
    const auto claimed = bench.claim_one();
    JR_TRY(told_of(bench, job.id, "worker.job.claimed", {}));
    Change cancel;
    cancel.by = ada;
    bench.change(job.id, cancel);
    cancel.by = {.caller = "grace"};
    bench.change(job.id, cancel);
    JR_TRY(told_of(bench, job.id, "jobs.cancel.requested", ada));
    bench.end(claimed, Verdict::canceled);
    JR_TRY(told_of(bench, job.id, "worker.job.canceled", {}));
    JR_EXPECT(bench.event_names(job.id).size() == 4);
    EventFilter filter;
    filter.name_prefix = "{";
    JR_EXPECT(bench.events(filter).empty());
    return {};
}

Result<void> as_it_may_be_kept(Bench& bench) {
    NewJob job = bench.job();
    job.by.caller = std::string(limits::actor - 1, 'x') + "\xc3\xa9";
    job.by.token_id = "\"\n\\ \xff";
    job.by.from = "https://ada:secret@site.example/?token=secret";
    bench.add(job);
    const auto event = last_of(bench.events_of(job.id));
    JR_EXPECT(field(event, "caller") == std::string(limits::actor - 1, 'x'));
    JR_EXPECT(field(event, "tokenId") == "\"\n\\ \xEF\xBF\xBD");
    JR_EXPECT(field(event, "from").find("secret") == std::string::npos);
    JR_EXPECT(field(event, "from").find("site.example") != std::string::npos);
    return {};
}

}  // namespace

void add_actor_cases(Cases& cases) {
    cases.add("the event of a new or replaced job says who asked for it", who_made_it);
    cases.add("the event of each change says who asked for it, also of a change by filter; with nobody given nothing",
              who_changed_it);
    cases.add("who asked is told once, and not with what comes of it", no_further_event);
    cases.add("who asked is kept cut, in UTF-8 and without secrets", as_it_may_be_kept);
}

}  // namespace jobruntime::testing::contract
