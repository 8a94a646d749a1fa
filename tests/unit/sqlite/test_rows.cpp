// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What lies where: side tables, counters, and every way a listing may take.
#include <algorithm>
#include <map>
#include <random>

#include "core/failpoint.hpp"
#include "support.hpp"

using namespace jobruntime;
using namespace jobruntime::sqlite;
using namespace jobruntime::sqlite::test;

namespace {

/// Jobs in all states, mostly completed ones of one kind, so that listings take their different ways.
void fill(jobruntime::Store& store) {
    const auto session = new_session();
    begin_session(store, session);
    std::vector<NewJob> batch;
    for (int i = 0; i < 1'500; ++i) {
        auto job = new_job(i % 50 == 0 ? "rare.kind" : "test.kind");
        if (i % 60 == 0) job.queue = "rare";
        if (i % 70 == 0) job.tags = {"tagged", "also"};
        if (i % 80 == 0) job.trace_id = "trace";
        if (i % 90 == 0) job.run_at = noon + 1h;
        job.priority = static_cast<std::int16_t>(i % 7);
        batch.push_back(job);
    }
    static_cast<void>(must(store.insert(batch, noon)));
    std::vector<Settlement> ends;
    auto claimed = claim_some(store, session, 1'300);
    for (std::size_t i = 20; i < claimed.size(); ++i) {
        Settlement end{.job = claimed[i].id, .fence = claimed[i].fence};
        if (i % 40 == 0) {
            end.verdict = Verdict::failed;
            end.code = i % 80 == 0 ? "E_ONE" : "E_TWO";
            end.message = "as asked";
        }
        ends.push_back(end);
    }
    static_cast<void>(must(store.settle(ends, noon)));
    static_cast<void>(must(store.change(JobFilter{.kinds = {"rare.kind"}}, {.action = Action::cancel}, 10, "", noon)));
}

bool matches(const JobFilter& filter, const Job& job) {
    const auto among = [](const std::vector<std::string>& names, const std::string& name) {
        return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
    };
    if (!filter.states.empty() && !filter.states.has(job.state)) return false;
    if (!among(filter.kinds, job.kind) || !among(filter.queues, job.queue)) return false;
    if (!filter.tag.empty() && std::find(job.tags.begin(), job.tags.end(), filter.tag) == job.tags.end()) return false;
    if (!filter.trace_id.empty() && job.trace_id != filter.trace_id) return false;
    if (!filter.error_code.empty() && (job.errors.empty() || job.errors.back().code != filter.error_code)) return false;
    if (filter.session && job.session != filter.session) return false;
    return true;
}

std::vector<Job> all_of(jobruntime::Store& store, const JobFilter& filter, JobOrder order, int limit) {
    std::vector<Job> jobs;
    std::string cursor;
    do {
        auto page = must(store.list(filter, order, cursor, limit, all_parts));
        CHECK(page.jobs.size() <= static_cast<std::size_t>(limit));
        std::move(page.jobs.begin(), page.jobs.end(), std::back_inserter(jobs));
        cursor = page.next_cursor;
    } while (!cursor.empty());
    return jobs;
}

}  // namespace

TEST_CASE("every filter answers what looking at each job answers, in both orders, listed and counted") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    fill(*store);
    // With small bounds each way to the jobs is taken, and ends before all were looked at.
    bool bounded = false;
    SUBCASE("as it is") {}
    SUBCASE("where a call looks at fifty jobs") { bounded = true; }
    core::set_failpoint("sqlite.short_looks", [bounded] { return bounded; });
    const auto everything = all_of(*store, {}, JobOrder::oldest_first, 1'000);
    REQUIRE(everything.size() == 1'500);
    std::mt19937 random(7);
    std::size_t checked = 0;
    for (int round = 0; round < 250; ++round) {
        JobFilter filter;
        filter.states.bits = static_cast<std::uint8_t>(round < 6 ? 1u << round : random() % 3 ? random() % 64 : 0);
        if (random() % 3 == 0) filter.kinds = {random() % 2 ? "rare.kind" : "test.kind"};
        if (random() % 9 == 0) filter.kinds = {"no.such.kind"};
        if (random() % 3 == 0) filter.queues = {random() % 2 ? "rare" : "default"};
        if (random() % 6 == 0) filter.tag = "also";
        if (random() % 6 == 0) filter.trace_id = "trace";
        if (random() % 6 == 0) filter.error_code = random() % 2 ? "E_ONE" : "E_TWO";
        if (random() % 8 == 0) filter.session = everything[random() % everything.size()].session;
        if (round % 40 == 39) filter.created_after = noon + 1ms;
        std::vector<Job> expected;
        if (!filter.created_after)
            std::copy_if(everything.begin(), everything.end(), std::back_inserter(expected),
                         [&](const Job& job) { return matches(filter, job); });
        CAPTURE(round);
        checked += expected.size();
        CHECK(all_of(*store, filter, JobOrder::oldest_first, 700) == expected);
        CHECK(must(store->count(filter, CountBy::nothing)).front().count == expected.size());
        std::uint64_t sliced = 0;
        std::string cursor;
        std::size_t slices = 0;
        do {
            const auto slice = must(store->rough_count(filter, CountBy::nothing, cursor));
            sliced += slice.rows.front().count;
            REQUIRE(++slices <= everything.size());
            cursor = slice.next_cursor;
        } while (!cursor.empty());
        CHECK(sliced == expected.size());
        std::map<std::pair<std::string, JobState>, std::uint64_t> by_hand;
        for (const auto& job : expected) ++by_hand[{job.queue, job.state}];
        const auto counted = must(store->count(filter, CountBy::queue_and_state));
        REQUIRE(counted.size() == by_hand.size());
        for (const auto& row : counted) CHECK(row.count == by_hand[{row.key, *row.state}]);
        std::reverse(expected.begin(), expected.end());
        CHECK(all_of(*store, filter, JobOrder::newest_first, 90) == expected);
    }
    core::set_failpoint("sqlite.short_looks", {});
    MESSAGE(checked << " matches");
}

TEST_CASE("the counters agree with the rows after everything that moves jobs") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    fill(*store);
    static_cast<void>(must(store->change(JobFilter{.states = {JobState::failed}}, {.action = Action::retry}, 5, "", noon)));
    static_cast<void>(must(store->change(JobFilter{.states = {JobState::scheduled}}, {.action = Action::move, .queue = "new"}, 5, "", noon)));
    static_cast<void>(must(store->change(JobFilter{.states = {JobState::completed}}, {.action = Action::remove}, 100, "", noon)));
    Retention retention;
    retention.completed = Duration{0};
    static_cast<void>(must(store->tend(retention, 200, noon + 2h)));
    Caller look(store->path());
    CHECK(look.number("SELECT count(*) FROM (SELECT queue, kind, state, n FROM jobrt_tally WHERE n <> 0 EXCEPT "
                      "SELECT queue, kind, state, count(*) FROM jobrt_job GROUP BY 1, 2, 3)") == 0);
    CHECK(look.number("SELECT count(*) FROM (SELECT queue, kind, state, count(*) FROM jobrt_job GROUP BY 1, 2, 3 EXCEPT "
                      "SELECT queue, kind, state, n FROM jobrt_tally)") == 0);
    CHECK(look.number("SELECT (SELECT events FROM jobrt_state) - (SELECT count(*) FROM jobrt_event)") == 0);
    CHECK(look.number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1);
}

TEST_CASE("large payloads and results lie in tables of their own, and go with their job") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    const auto session = new_session();
    begin_session(*store, session);
    auto job = new_job();
    job.payload = "{\"a\":\"" + std::string(100'000, 'p') + "\"}";
    job.tags = {"one", "two \"quoted\""};
    insert_one(*store, job);
    const auto claimed = claim_some(*store, session);
    REQUIRE(claimed.size() == 1);
    CHECK(claimed[0].payload.at("a").as_string().size() == 100'000);
    Note note{.job = job.id, .fence = claimed[0].fence, .progress = Progress{50.0, "stage", "words"}};
    note.step_name = "first";
    note.step_value = "{\"n\":1}";
    static_cast<void>(must(store->note({&note, 1}, noon)));
    const Settlement done{.job = job.id, .fence = claimed[0].fence, .result = "\"" + std::string(5'000, 'r') + "\""};
    CHECK(must(store->settle({&done, 1}, noon)).front().done);
    const auto read = *must(store->get(job.id, all_parts));
    CHECK(read.result.as_string().size() == 5'000);
    CHECK(read.steps.size() == 1);
    CHECK(read.progress.stage == "stage");
    CHECK(read.tags == job.tags);
    const std::vector<JobId> ids{job.id};
    CHECK(must(store->change(ids, {.action = Action::remove}, 1, "", noon)).answers[0].how == ChangeAnswer::How::done);
    Caller look(store->path());
    for (const char* table : {"job", "payload", "result", "step", "tag", "progress", "error"}) {
        CAPTURE(table);
        CHECK(look.number("SELECT count(*) FROM jobrt_" + std::string(table)) == 0);
    }
    // Its events still know it, until they are pruned.
    const auto page = must(store->events(EventId{0}, {.job = job.id}, 10));
    CHECK(page.events.size() == 4);
    CHECK(page.events.back().name == "jobs.deleted");
    CHECK(page.events.front().fields.at("kind") == "test.kind");
    static_cast<void>(must(store->tend({}, 100, noon + Duration{8LL * 24 * 3600 * 1000})));
    static_cast<void>(must(store->tend({}, 100, noon + Duration{8LL * 24 * 3600 * 1000})));
    CHECK(look.number("SELECT count(*) FROM jobrt_gone") == 0);
}

TEST_CASE("a cursor that this listing did not make is refused") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    for (int i = 0; i < 3; ++i) insert_one(*store);
    const auto cursor = must(store->list({}, JobOrder::newest_first, "", 1, 0)).next_cursor;
    auto changed = cursor;
    changed[10] = changed[10] == '1' ? '2' : '1';
    for (const auto& wrong : {std::string("x"), std::string(25, 'n'), changed, cursor + "0"})
        CHECK(store->list({}, JobOrder::newest_first, wrong, 1, 0).error().code == Errc::invalid_argument);
    CHECK(store->list({}, JobOrder::oldest_first, cursor, 1, 0).error().code == Errc::invalid_argument);
    CHECK(store->change(JobFilter{}, {.action = Action::cancel}, 1, cursor, noon).error().code == Errc::invalid_argument);
}

TEST_CASE("due jobs of many kinds come in one order") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    const auto session = new_session();
    begin_session(*store, session);
    for (int i = 0; i < 60; ++i) {
        auto job = new_job("kind." + std::to_string(i % 5));
        job.priority = static_cast<std::int16_t>((i * 7) % 4);
        if (i % 3 == 0) job.run_at = noon + Duration{i};
        insert_one(*store, job);
    }
    const std::vector<Want> wants{{"default", {"kind.0", "kind.1", "kind.2", "kind.3", "none"}, 100}};
    const auto claimed = must(store->claim(wants, session, ClaimMode::ordinary, noon + 1s)).jobs;
    CHECK(claimed.size() == 48);
    CHECK(std::is_sorted(claimed.begin(), claimed.end(), [](const Job& a, const Job& b) {
        return std::tie(a.priority, a.run_at, a.id) < std::tie(b.priority, b.run_at, b.id);
    }));
}

TEST_CASE("what a job's steps held is not in the closed file any more once they are forgotten, by whatever forgets them") {
    const std::string word = "canary-in-a-step";
    struct Row {
        const char* what;
        bool gone;
    };
    for (const Row& row : {Row{"nothing", false}, Row{"an end that keeps them", false}, Row{"an end", true}, Row{"a note", true},
                           Row{"another value", true}, Row{"a fresh retry", true}, Row{"a fresh retry of one that waits", true}, Row{"a removal", true}}) {
        CAPTURE(row.what);
        const std::string_view what = row.what;
        const Scratch scratch;
        const auto path = scratch / "jobs.db";
        {
            auto store = open_store(path);
            const auto session = new_session();
            begin_session(*store, session);
            const auto id = insert_one(*store);
            const auto job = claim_some(*store, session).at(0);
            Note note{.job = job.id, .fence = job.fence};
            // On pages of its own, and within one.
            for (const std::size_t size : {20'000u, 10u}) {
                note.step_name = std::to_string(size);
                note.step_value = "\"" + std::string(size, 'x') + word + "\"";
                static_cast<void>(must(store->note({&note, 1}, noon)));
            }
            if (what == "a note") {
                for (const auto* name : {"20000", "10"}) {
                    Note forget{.job = job.id, .fence = job.fence};
                    forget.forget_step = name;
                    static_cast<void>(must(store->note({&forget, 1}, noon)));
                }
            }
            if (what == "another value") {
                for (const auto* name : {"20000", "10"}) {
                    note.step_name = name;
                    note.step_value = "1";
                    static_cast<void>(must(store->note({&note, 1}, noon)));
                }
            }
            Settlement end{.job = job.id, .fence = job.fence};
            end.forget_steps = what == "an end";
            if (what == "a fresh retry of one that waits") {
                end.verdict = Verdict::retry;
                end.run_at = noon + 1h;
            }
            if (what != "nothing") static_cast<void>(must(store->settle({&end, 1}, noon)));
            Change change{.action = what == "a removal" ? Action::remove : Action::retry, .fresh = true};
            if (what == "a removal" || what.starts_with("a fresh retry")) static_cast<void>(must(store->change(std::vector{id}, change, 1, "", noon)));
        }
        CHECK_FALSE(std::filesystem::exists(path + "-wal"));
        CHECK((content(path).find(word) == std::string::npos) == row.gone);
    }
}
