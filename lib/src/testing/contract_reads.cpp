// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <map>
#include <utility>

#include "testing/contract.hpp"

namespace jobruntime::testing::contract {

namespace {

std::vector<JobId> matching(Bench& bench, const JobFilter& filter) {
    return ids_of(must(bench.store().list(filter, JobOrder::oldest_first, "", 100, 0)).jobs);
}

/// Each field of a filter by itself: which of four jobs it finds, in list, count and change alike.
Result<void> every_filter_field(Bench& bench) {
    NewJob a = bench.job("test.a");
    a.tags = {"red", "green"};
    a.trace_id = "trace-a";
    NewJob b = bench.job("test.b");
    b.queue = "other";
    b.unique_key = "key-b";
    NewJob c = bench.job("test.c");
    c.idempotency_key = "request-c";
    c.tags = {"green"};
    NewJob d = bench.job("test.d");
    d.run_at = noon + 4h;
    bench.add(a);
    bench.now += 1min;
    bench.add(b);
    bench.now += 1min;
    bench.add(c);
    bench.now += 1min;
    bench.add(d);
    const auto other = bench.session();
    bench.beat(other);
    const Want want = Bench::want("default", 1, {"test.c"});
    const auto claimed = only(must(bench.store().claim({&want, 1}, other, ClaimMode::ordinary, bench.now)).jobs);
    bench.end(claimed, Verdict::failed);

    struct Row {
        JobFilter filter;
        std::vector<JobId> found;
    };
    std::vector<Row> rows(14);
    rows[0].found = {a.id, b.id, c.id, d.id};
    rows[1] = {{.states = {JobState::queued, JobState::failed}}, {a.id, b.id, c.id}};
    rows[2] = {{.kinds = {"test.a", "test.d", "test.x"}}, {a.id, d.id}};
    rows[3] = {{.queues = {"other"}}, {b.id}};
    rows[4] = {{.tag = "green"}, {a.id, c.id}};
    rows[5] = {{.trace_id = "trace-a"}, {a.id}};
    rows[6] = {{.unique_key = "key-b"}, {b.id}};
    rows[7] = {{.idempotency_key = "request-c"}, {c.id}};
    rows[8] = {{.error_code = "TEST"}, {c.id}};
    rows[9] = {{.session = other}, {c.id}};
    rows[10] = {{.created_before = noon + 2min}, {a.id, b.id}};
    rows[11] = {{.created_after = noon + 2min}, {c.id, d.id}};
    rows[12] = {{.kinds = {"test.a"}, .tag = "red", .created_before = noon + 1h}, {a.id}};
    rows[13] = {{.kinds = {"test.b"}, .tag = "red"}, {}};
    Change idle;  // It leaves a job as it was, or is refused.
    idle.action = Action::reprioritise;
    for (const auto& row : rows) {
        JR_EXPECT(matching(bench, row.filter) == row.found);
        JR_EXPECT(must(bench.store().count(row.filter, CountBy::nothing)).front().count == row.found.size());
        const auto rough = must(bench.store().rough_count(row.filter, CountBy::nothing, ""));
        JR_EXPECT(rough.rows.front().count <= row.found.size());
        if (rough.next_cursor.empty()) JR_EXPECT(rough.rows.front().count == row.found.size());
        std::vector<JobId> changed;
        for (const auto& answer : must(bench.store().change(row.filter, idle, 100, "", bench.now)).answers)
            changed.push_back(answer.job);
        JR_EXPECT(changed == row.found);
    }
    return {};
}

Result<void> pages_are_stable(Bench& bench) {
    std::vector<JobId> first;
    for (int i = 0; i < 7; ++i) first.push_back(bench.add());
    for (const auto order : {JobOrder::oldest_first, JobOrder::newest_first}) {
        auto wanted = first;
        if (order == JobOrder::newest_first) std::reverse(wanted.begin(), wanted.end());
        std::vector<JobId> seen;
        std::string cursor;
        int pages = 0;
        do {
            const auto page = must(bench.store().list({.kinds = {"test.a"}}, order, cursor, 2, 0));
            JR_EXPECT(page.jobs.size() <= 2);
            for (const auto& job : page.jobs) seen.push_back(job.id);
            cursor = page.next_cursor;
            // Others come and go between the pages.
            bench.now += 1s;
            bench.change(bench.add(bench.job("test.b")), Action::remove);
            bench.add(bench.job("test.b"));
            if (pages == 1) bench.reopen();
            JR_EXPECT(++pages <= 4);
        } while (!cursor.empty());
        JR_EXPECT(seen == wanted);
    }
    return {};
}

Result<void> parts_as_asked(Bench& bench) {
    NewJob job = bench.job();
    job.payload = R"({"n":1})";
    bench.add(job);
    auto claimed = bench.claim_one();
    bench.end(claimed, Verdict::retry);
    bench.now += 2h;
    claimed = bench.claim_one();
    Note note = bench.note_of(claimed);
    note.step_name = "step";
    note.step_value = "1";
    bench.note(note);
    bench.end(claimed, Verdict::completed);
    for (unsigned parts = 0; parts <= all_parts; ++parts) {
        const auto got = must(bench.store().get(job.id, parts));
        const auto listed = only(must(bench.store().list({}, JobOrder::newest_first, "", 10, parts)).jobs);
        JR_EXPECT(got.has_value());
        JR_EXPECT(*got == listed);
        JR_EXPECT(got->payload.empty() == ((parts & part_payload) == 0));
        JR_EXPECT(got->result.is_null() == ((parts & part_result) == 0));
        JR_EXPECT(got->errors.empty() == ((parts & part_errors) == 0));
        JR_EXPECT(got->steps.empty() == ((parts & part_steps) == 0));
    }
    return {};
}

Result<void> counts(Bench& bench) {
    NewJob early = bench.job("test.a");
    early.run_at = noon - 1h;
    bench.add(early);
    bench.add(bench.job("test.a"));
    NewJob later = bench.job("test.b");
    later.queue = "other";
    later.run_at = noon + 1h;
    bench.add(later);
    bench.in_state(JobState::completed, bench.job("test.c"));
    const auto rows = [&](CountBy by) { return must(bench.store().count({}, by)); };
    const auto is = [](const CountRow& row, std::string_view key, std::optional<JobState> state, std::uint64_t count,
                       std::optional<Time> oldest) {
        return row.key == key && row.state == state && row.count == count && row.oldest == oldest;
    };
    auto all = rows(CountBy::nothing);
    JR_EXPECT(all.size() == 1);
    JR_EXPECT(is(all[0], "", std::nullopt, 4, noon - 1h));
    auto by_state = rows(CountBy::state);
    JR_EXPECT(by_state.size() == 3);
    JR_EXPECT(is(by_state[0], "", JobState::scheduled, 1, noon + 1h));
    JR_EXPECT(is(by_state[1], "", JobState::queued, 2, noon - 1h));
    JR_EXPECT(is(by_state[2], "", JobState::completed, 1, std::nullopt));
    auto by_kind = rows(CountBy::kind);
    JR_EXPECT(by_kind.size() == 3);
    JR_EXPECT(is(by_kind[0], "test.a", std::nullopt, 2, noon - 1h));
    JR_EXPECT(is(by_kind[1], "test.b", std::nullopt, 1, noon + 1h));
    JR_EXPECT(is(by_kind[2], "test.c", std::nullopt, 1, std::nullopt));
    auto by_queue = rows(CountBy::queue);
    JR_EXPECT(by_queue.size() == 2);
    JR_EXPECT(is(by_queue[0], "default", std::nullopt, 3, noon - 1h));
    JR_EXPECT(is(by_queue[1], "other", std::nullopt, 1, noon + 1h));
    auto both = rows(CountBy::queue_and_state);
    JR_EXPECT(both.size() == 3);
    JR_EXPECT(is(both[0], "default", JobState::queued, 2, noon - 1h));
    JR_EXPECT(is(both[1], "default", JobState::completed, 1, std::nullopt));
    JR_EXPECT(is(both[2], "other", JobState::scheduled, 1, noon + 1h));
    // By states, kinds and queues nothing is ever left out.
    const auto rough = must(bench.store().rough_count({.kinds = {"test.a"}, .queues = {"default"}}, CountBy::state, ""));
    JR_EXPECT(rough.next_cursor == "");
    JR_EXPECT(rough.rows.size() == 1);
    JR_EXPECT(is(rough.rows[0], "", JobState::queued, 2, noon - 1h));
    JobFilter none;
    none.kinds = {"test.x"};
    all = must(bench.store().count(none, CountBy::nothing));
    JR_EXPECT(all.size() == 1);
    JR_EXPECT(is(all[0], "", std::nullopt, 0, std::nullopt));
    JR_EXPECT(must(bench.store().count(none, CountBy::state)).empty());
    return {};
}

using Sums = std::map<std::pair<std::string, std::optional<JobState>>, std::pair<std::uint64_t, std::optional<Time>>>;

void add(Sums& sums, const std::vector<CountRow>& rows) {
    for (const auto& row : rows) {
        auto& [count, oldest] = sums[{row.key, row.state}];
        count += row.count;
        if (row.oldest && (!oldest || *row.oldest < *oldest)) oldest = row.oldest;
    }
}

/// More jobs than a store looks at for one slice, where a test has it look at few.
Result<void> slices_add_up(Bench& bench) {
    constexpr int jobs = 120;
    std::vector<NewJob> batch;
    for (int i = 0; i < jobs; ++i) {
        auto job = bench.job(i % 3 ? "test.a" : "test.b");
        job.queue = i % 4 ? "default" : "other";
        job.tags = {"all"};
        if (i % 10 == 0) job.tags.push_back("some");
        job.run_at = bench.now + (i % 2 ? 1h : 0h) - std::chrono::seconds(i);
        batch.push_back(std::move(job));
    }
    JR_EXPECT(must(bench.store().insert(batch, bench.now)).size() == batch.size());
    for (int i = 0; i < 3; ++i) bench.end(bench.claim_one(), Verdict::failed);
    const std::vector<JobFilter> filters{{},
                                         {.kinds = {"test.b"}},
                                         {.tag = "all"},
                                         {.tag = "some"},
                                         {.tag = "none"},
                                         {.error_code = "TEST"},
                                         {.states = {JobState::scheduled, JobState::failed}, .tag = "all"},
                                         {.queues = {"other"}, .tag = "all"},
                                         {.states = {JobState::queued}, .created_before = bench.now + 1h},
                                         {.created_after = bench.now}};
    const auto late = [&] {
        auto job = bench.job("test.b");
        job.queue = "other";
        job.tags = {"all", "some"};
        return job;
    };
    for (const auto& filter : filters) {
        for (const auto by : {CountBy::nothing, CountBy::state, CountBy::kind, CountBy::queue, CountBy::queue_and_state}) {
            Sums whole, sums;
            add(whole, must(bench.store().count(filter, by)));
            std::string cursor;
            int slices = 0;
            do {
                const auto slice = must(bench.store().rough_count(filter, by, cursor));
                JR_EXPECT((by != CountBy::nothing || slice.rows.size() == 1));
                add(sums, slice.rows);
                cursor = slice.next_cursor;
                // What comes meanwhile is in none of them, and a cursor outlives the store that made it.
                if (slices == 0) bench.add(late());
                if (slices == 0 && by == CountBy::nothing) bench.reopen();
                JR_EXPECT(++slices <= jobs);
            } while (!cursor.empty());
            JR_EXPECT(sums == whole);
        }
    }
    for (const std::string_view cursor : {"x", "-1", "99999999999999999999999999", "\xff", " "})
        JR_EXPECT(code_of(bench.store().rough_count({.tag = "all"}, CountBy::nothing, cursor)) == Errc::invalid_argument);
    return {};
}

Result<void> stamps_change(Bench& bench) {
    auto known = bench.store().stamp();
    if (!known) return {};
    const auto moved = [&] { return std::exchange(known, bench.store().stamp()) != known && known; };
    bench.add();
    JR_EXPECT(moved());
    const auto job = bench.claim_one();
    JR_EXPECT(moved());
    bench.end(job, Verdict::completed);
    JR_EXPECT(moved());
    bench.beat(bench.session());
    JR_EXPECT(moved());
    must(bench.store().put("stamp/a", "1", 0));
    JR_EXPECT(moved());
    known = bench.store().stamp();
    const auto other = bench.another();
    must(other->put("stamp/b", "1", 0));
    JR_EXPECT(moved());
    return {};
}

}  // namespace

void add_read_cases(Cases& cases) {
    cases.add("every field of a filter chooses the same jobs in list, count and change", every_filter_field);
    cases.add("paging misses and repeats nothing while jobs come and go", pages_are_stable);
    cases.add("the parts of a job are read when asked for, and only then", parts_as_asked);
    cases.add("jobs are counted by state, kind and queue, with the oldest that waits", counts);
    cases.add("the slices of a count add up to all of it", slices_add_up);

    cases.add_shared("a stamp, where a store has one, is another one after each change, by whichever instance", stamps_change);

    cases.add("an unknown id is no job and no error", [](Bench& bench) -> Result<void> {
        JR_EXPECT(!must(bench.store().get(bench.id(), all_parts)).has_value());
        JR_EXPECT(!must(bench.store().get(JobId{}, 0)).has_value());
        return {};
    });

    cases.add("a cursor that this store did not make is an invalid argument", [](Bench& bench) -> Result<void> {
        bench.add();
        for (const std::string_view cursor : {"x", "-1", "99999999999999999999999999", "\xff", "1;drop", " "})
            JR_EXPECT(code_of(bench.store().list({}, JobOrder::newest_first, cursor, 1, 0)) == Errc::invalid_argument);
        return {};
    });

    cases.add("a page has at least one place and at most a batch's", [](Bench& bench) -> Result<void> {
        bench.add();
        for (const int limit : {0, -1})
            JR_EXPECT(code_of(bench.store().list({}, JobOrder::newest_first, "", limit, 0)) == Errc::invalid_argument);
        JR_EXPECT(must(bench.store().list({}, JobOrder::newest_first, "", 1'000'000, 0)).jobs.size() == 1);
        return {};
    });

    cases.add("the last page has no next cursor", [](Bench& bench) -> Result<void> {
        for (int i = 0; i < 4; ++i) bench.add();
        auto page = must(bench.store().list({}, JobOrder::newest_first, "", 2, 0));
        JR_EXPECT(!page.next_cursor.empty());
        page = must(bench.store().list({}, JobOrder::newest_first, page.next_cursor, 2, 0));
        JR_EXPECT(page.jobs.size() == 2);
        JR_EXPECT(page.next_cursor == "");
        JR_EXPECT(must(bench.store().list({.queues = {"none"}}, JobOrder::newest_first, "", 2, 0)).next_cursor == "");
        return {};
    });

    cases.add("a store describes itself in words", [](Bench& bench) -> Result<void> {
        JR_EXPECT(!bench.store().describe().empty());
        return {};
    });
}

}  // namespace jobruntime::testing::contract
