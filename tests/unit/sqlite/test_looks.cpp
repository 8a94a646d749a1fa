// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What the dashboard asks for looks at few rows however many there are: SQLite counts the steps of each statement.
#include <algorithm>
#include <map>
#include <string>
#include <utility>

#include <jobruntime/testing/store_contract.hpp>

#include "core/failpoint.hpp"
#include "sqlite/reads.hpp"
#include "support.hpp"

using namespace jobruntime;
using namespace jobruntime::sqlite;
using namespace jobruntime::sqlite::test;

namespace {

constexpr int all_jobs = 20'000;
/// A look at each job takes several steps of SQLite's machine; with the small bounds nothing comes near.
constexpr long most_steps = all_jobs / 2;

/// Ended jobs above all. What is rare, and what waits, is older than everything else.
void fill_badly(jobruntime::Store& store) {
    std::vector<Job> batch;
    for (int n = 0; n < all_jobs; ++n) {
        Job job;
        job.id = new_job().id;
        job.kind = n == 1500 ? "kind.one" : n < 200 ? "kind.old" : n % 2 ? "kind.a" : "kind.b";
        job.queue = n % 3 ? "default" : "other";
        job.created_at = job.run_at = noon + Duration{n};
        job.tags = {"often"};
        if (n % 1000 == 0) job.tags.push_back("rare");
        if (n % 5 == 0) job.trace_id = "large";
        job.unique_key = n % 4 ? "" : "periodic";
        if (n < 1000) {
            job.state = n % 10 ? JobState::queued : JobState::scheduled;
            job.unique_key.clear();
            if (job.state == JobState::scheduled) job.run_at += 24h;
        } else {
            job.state = n % 50 ? JobState::completed : JobState::failed;
            job.started_at = job.finished_at = job.created_at + 5s;
            if (job.state == JobState::failed) job.errors.push_back({*job.finished_at, 1, "NETWORK", "no"});
        }
        batch.push_back(std::move(job));
        if (batch.size() < 2000) continue;
        for (const auto& answer : must(store.restore(batch, noon))) REQUIRE_FALSE(answer.refused);
        batch.clear();
    }
}

/// A reading connection whose steps are counted.
class Counted {
public:
    explicit Counted(const std::string& path)
        : connection(Connection::open(path, SQLITE_OPEN_READONLY, "")), words(connection) {
        sqlite3_trace_v2(connection.raw(), SQLITE_TRACE_PROFILE, &Counted::add, this);
    }

    template <class Use>
    long steps(Use use) {
        steps_ = 0;
        use();
        return steps_;
    }

    Connection connection;
    Words words;

private:
    static int add(unsigned, void* self, void* statement, void*) {
        static_cast<Counted*>(self)->steps_ +=
            sqlite3_stmt_status(static_cast<sqlite3_stmt*>(statement), SQLITE_STMTSTATUS_VM_STEP, 1);
        return 0;
    }
    long steps_ = 0;
};

std::map<std::string, JobFilter> filters() {
    std::map<std::string, JobFilter> all;
    all["nothing"] = {};
    for (const auto state : {JobState::scheduled, JobState::queued, JobState::running, JobState::completed, JobState::failed})
        all[std::string("state ") + std::string(to_string(state))] = {.states = {state}};
    all["kind"] = {.kinds = {"kind.a"}};
    all["old kind"] = {.kinds = {"kind.old"}};
    all["kind of one job"] = {.kinds = {"kind.one"}};
    all["queue"] = {.queues = {"other"}};
    all["tag"] = {.tag = "often"};
    all["rare tag"] = {.tag = "rare"};
    all["no such tag"] = {.tag = "none"};
    all["trace"] = {.trace_id = "large"};
    all["trace of a job's own digits"] = {.trace_id = "0190f3c27b1a7c3e9d550a1b2c3d4e5f"};
    all["unique key"] = {.unique_key = "periodic"};
    all["error code"] = {.error_code = "NETWORK"};
    all["state, kind"] = {.states = {JobState::completed}, .kinds = {"kind.old"}};
    all["state, tag"] = {.states = {JobState::queued}, .tag = "often"};
    all["kind, queue, tag"] = {.kinds = {"kind.a"}, .queues = {"other"}, .tag = "rare"};
    all["tag, trace"] = {.tag = "rare", .trace_id = "large"};
    all["tag, error"] = {.tag = "rare", .error_code = "NETWORK"};
    all["created before"] = {.created_before = noon + 1ms};
    all["created after"] = {.created_after = noon + Duration{all_jobs}};
    return all;
}

}  // namespace

TEST_CASE("lists, counts, details and events look at few rows, however many there are and however they lie") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    fill_badly(*store);
    core::set_failpoint("sqlite.short_looks", [] { return true; });
    Counted reader(scratch / "jobs.db");
    const auto first = must(store->list({}, JobOrder::oldest_first, "", 1, 0)).jobs.front();
    const auto middle = [&] {
        Query row = reader.connection.cached("SELECT seq FROM jobrt_job ORDER BY seq LIMIT 1 OFFSET 10000").query();
        REQUIRE(row.next());
        return row.number(0);
    }();
    std::pair<long, std::string> worst;
    const auto check = [&](const std::string& what, auto use) {
        const auto steps = reader.steps(use);
        worst = std::max(worst, {steps, what});
        CHECK_MESSAGE(steps < most_steps, what << " took " << steps << " steps");
    };
    for (const auto& [name, filter] : filters()) {
        for (const auto order : {JobOrder::newest_first, JobOrder::oldest_first}) {
            const auto list = [&, &filter = filter](std::optional<std::int64_t> from) {
                list_jobs(reader.connection, reader.words, filter, order, from, 50, 0);
            };
            check("list by " + name, [&] { list({}); });
            check("list on by " + name, [&] { list(middle); });
        }
        for (const auto from : {std::optional<std::int64_t>{}, std::optional<std::int64_t>{middle}})
            check("count by " + name, [&, &filter = filter] {
                count_jobs(reader.connection, reader.words, filter, CountBy::state, Effort::bounded, from);
            });
    }
    check("queues", [&] { count_jobs(reader.connection, reader.words, {}, CountBy::queue_and_state, Effort::all, {}); });
    check("job", [&] { CHECK(read_job(reader.connection, reader.words, first.id, all_parts).has_value()); });
    check("sessions", [&] { read_sessions(reader.connection); });
    check("records", [&] { read_records(reader.connection, "queue/"); });
    check("last events", [&] { read_events(reader.connection, reader.words, {}, {}, 200); });
    check("events of a job", [&] { read_events(reader.connection, reader.words, {}, {.job = first.id}, 200); });
    check("last events of a trace", [&] { read_events(reader.connection, reader.words, {}, {.trace_id = "large"}, 200); });
    check("the next events", [&] { read_events(reader.connection, reader.words, EventId{1}, {}, 200); });
    for (const auto level : {Level::warn, Level::error})
        for (const auto after : {std::optional<EventId>{}, std::optional<EventId>{1}})
            check("events of a level", [&] { read_events(reader.connection, reader.words, after, {.level = level}, 200); });
    // The control: what does look at every job is seen to.
    CHECK(reader.steps([&] {
        count_jobs(reader.connection, reader.words, {.tag = "often"}, CountBy::state, Effort::all, {});
    }) > most_steps);
    core::set_failpoint("sqlite.short_looks", {});
    MESSAGE("at most " << worst.first << " steps, for " << worst.second);
}

TEST_CASE("the last events of a trace are those of its newest jobs, and those after an id are of all") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    fill_badly(*store);
    const EventFilter large{.trace_id = "large"};
    const auto all_of = [&] {
        std::vector<Event> all;
        for (EventId after = 0;;) {
            const auto page = must(store->events(after, large, 1000));
            all.insert(all.end(), page.events.begin(), page.events.end());
            if (page.events.empty()) return all;
            after = page.next;
        }
    };
    const auto all = all_of();
    CHECK(all.size() == all_jobs / 5);
    const auto last = [&](std::size_t n) { return std::vector<Event>(all.end() - static_cast<long>(n), all.end()); };
    CHECK(must(store->events({}, large, 2000)).events == last(2000));
    CHECK(must(store->events({}, large, 7)).events == last(7));
    core::set_failpoint("sqlite.short_looks", [] { return true; });
    CHECK(must(store->events({}, large, 2000)).events == last(50));
    CHECK(all_of() == all);
    core::set_failpoint("sqlite.short_looks", {});
}

TEST_CASE("a count that was cut says where it goes on, and is at least as much as it says") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    fill_badly(*store);
    const auto exact = must(store->count({.tag = "often"}, CountBy::nothing)).front().count;
    CHECK(exact == all_jobs);
    const auto usual = must(store->rough_count({.tag = "often"}, CountBy::nothing, ""));
    CHECK(usual.next_cursor != "");
    CHECK(usual.rows.front().count == 10'000);
    core::set_failpoint("sqlite.short_looks", [] { return true; });
    const auto rough = must(store->rough_count({.tag = "often"}, CountBy::nothing, ""));
    CHECK(rough.next_cursor != "");
    CHECK(rough.rows.front().count == 50);
    // The tally and what an index finds are whole in any case.
    const auto tallied = must(store->rough_count({.states = {JobState::queued}}, CountBy::nothing, ""));
    CHECK(tallied.rows.front().count == 900);
    CHECK(tallied.next_cursor == "");
    const auto rare = must(store->rough_count({.tag = "rare"}, CountBy::nothing, ""));
    CHECK(rare.next_cursor == "");
    CHECK(rare.rows.front().count == 20);
    core::set_failpoint("sqlite.short_looks", {});
}

TEST_CASE("a count in slices comes to as many as there are, after as many slices as it looks at jobs for one") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    fill_badly(*store);
    const auto slices = [&](const JobFilter& filter) {
        const auto exact = must(store->count(filter, CountBy::nothing)).front().count;
        std::uint64_t sum = 0;
        int asked = 0;
        std::string cursor;
        do {
            const auto slice = must(store->rough_count(filter, CountBy::nothing, cursor));
            sum += slice.rows.front().count;
            cursor = slice.next_cursor;
            REQUIRE(++asked <= all_jobs / 50);
        } while (!cursor.empty());
        CHECK(sum == exact);
        return asked;
    };
    // As many rows as an answer looks at; one that looks at the table in order looks at more.
    CHECK(slices({.tag = "often"}) == all_jobs / 10'000);
    CHECK(slices({.created_after = noon}) == 1);
    core::set_failpoint("sqlite.short_looks", [] { return true; });
    CHECK(slices({.tag = "often"}) == all_jobs / 50);
    CHECK(slices({.created_after = noon + Duration{all_jobs}}) == all_jobs / 50);
    // Once a slice was cut, what the tally knows to be fewer is looked at instead of the key's.
    CHECK(slices({.kinds = {"kind.one"}, .tag = "often"}) == 2);
    core::set_failpoint("sqlite.short_looks", {});
}

TEST_CASE("what the store contract says of slices and pages holds where each answer looks at few jobs, too") {
    core::set_failpoint("sqlite.short_looks", [] { return true; });
    int rules = 0;
    for (const auto& rule : testing::store_contract()) {
        if (!rule.name.starts_with("the slices of a count") && !rule.name.starts_with("paging ")) continue;
        const Scratch scratch;
        CAPTURE(rule.name);
        const auto kept = rule.run({.open = [&](Origin origin) -> std::unique_ptr<jobruntime::Store> {
            auto options = small_options();
            options.origin = std::move(origin);
            return open_store(scratch / "jobs.db", std::move(options));
        }});
        CHECK_MESSAGE(kept.has_value(), (kept ? "" : kept.error().message));
        ++rules;
    }
    CHECK(rules == 2);
    core::set_failpoint("sqlite.short_looks", {});
}

TEST_CASE("where what fits is rare, pages are short, and following them finds all of it") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    fill_badly(*store);
    core::set_failpoint("sqlite.short_looks", [] { return true; });
    const JobFilter filter{.created_before = noon + 3ms};
    std::string cursor;
    std::size_t pages = 0, found = 0;
    do {
        const auto page = must(store->list(filter, JobOrder::newest_first, cursor, 50, 0));
        found += page.jobs.size();
        cursor = page.next_cursor;
        ++pages;
    } while (!cursor.empty());
    CHECK(found == 3);
    CHECK(pages == all_jobs / 50);
    core::set_failpoint("sqlite.short_looks", {});
}
