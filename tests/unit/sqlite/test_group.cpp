// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Group commit, the turnstile, the full disk.
#include <atomic>
#include <latch>

#include "child.hpp"
#include "core/failpoint.hpp"
#include "sqlite/operation.hpp"
#include "sqlite/turnstile.hpp"
#include "support.hpp"
#include "support/small_disk.hpp"

using namespace jobruntime;
using namespace jobruntime::sqlite;
using namespace jobruntime::sqlite::test;

TEST_CASE("what waits while one group is executed becomes the next group") {
    std::latch began(1), go_on(1);
    std::vector<std::size_t> groups;  // Only one thread executes at a time.
    Combiner combiner([&](std::vector<Operation*>& group) {
        groups.push_back(group.size());
        if (groups.size() == 1) {
            began.count_down();
            go_on.wait();
        }
        for (auto* operation : group) operation->run();
        return 0u;
    }, std::chrono::microseconds{0});
    std::atomic<int> ran{0};
    const auto submit = [&] {
        Operation operation{.run = [&] { ++ran; }};
        combiner.submit(operation);
    };
    std::vector<std::jthread> threads;
    threads.emplace_back(submit);
    began.wait();
    std::atomic<int> arriving{0};
    for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&] {
            ++arriving;
            submit();
        });
    }
    REQUIRE(soon([&] { return arriving == 8; }));
    std::this_thread::sleep_for(20ms);
    go_on.count_down();
    threads.clear();
    CHECK(ran == 9);
    CHECK(groups[0] == 1);
    CHECK(groups.size() < 9);
}

TEST_CASE("a group is bounded by items and bytes, and one large operation still goes alone") {
    std::latch began(1), go_on(1);
    std::vector<std::size_t> groups;
    Combiner combiner([&](std::vector<Operation*>& group) {
        std::size_t items = 0;
        for (auto* operation : group) items += operation->items;
        groups.push_back(items);
        if (groups.size() == 1) {
            began.count_down();
            go_on.wait();
        }
        return 0u;
    }, std::chrono::microseconds{0});
    std::vector<std::jthread> threads;
    const auto submit = [&](std::size_t items) {
        Operation operation{.run = [] {}, .items = items};
        combiner.submit(operation);
    };
    threads.emplace_back(submit, 5'000);
    began.wait();
    for (int i = 0; i < 6; ++i) threads.emplace_back(submit, 900);
    std::this_thread::sleep_for(50ms);
    go_on.count_down();
    threads.clear();
    CHECK(groups[0] == 5'000);
    for (std::size_t i = 1; i < groups.size(); ++i) CHECK(groups[i] <= limits::batch_items);
}

TEST_CASE("many threads at once: each job is there once") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 8; ++t) {
            threads.emplace_back([&] {
                for (int i = 0; i < 50; ++i) {
                    const auto job = new_job();
                    const auto answers = store->insert({&job, 1}, noon);
                    if (!answers) std::abort();
                }
            });
        }
    }
    CHECK(must(store->count({}, CountBy::nothing)).front().count == 400);
}

TEST_CASE("a commit that fails fails the whole group and leaves nothing") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    insert_one(*store);
    core::set_failpoint("sqlite.before_commit", [] { return true; });
    const auto job = new_job("kind.never.seen");
    const auto answers = store->insert({&job, 1}, noon);
    core::clear_failpoints();
    REQUIRE(!answers.has_value());
    CHECK(answers.error().code == Errc::unavailable);
    CHECK(must(store->count({}, CountBy::nothing)).front().count == 1);
    // Names that were new in it are written again: their numbers were taken back.
    insert_one(*store, new_job("kind.other"));
    insert_one(*store, job);
    CHECK(must(store->get(job.id, 0))->kind == "kind.never.seen");
    CHECK(must(store->count({}, CountBy::kind)).size() == 3);
}

TEST_CASE("a process killed on either side of the commit") {
    const Scratch scratch;
    open_store(scratch / "jobs.db").reset();
    Child before({"insert", scratch / "jobs.db"}, "sqlite.before_commit=kill");
    CHECK(before.wait() == -SIGKILL);
    CHECK(must(open_store(scratch / "jobs.db")->count({}, CountBy::nothing)).front().count == 0);
    Child after({"insert", scratch / "jobs.db"}, "sqlite.after_commit=kill");
    CHECK(after.wait() == -SIGKILL);
    CHECK(must(open_store(scratch / "jobs.db")->count({}, CountBy::nothing)).front().count == 1);
}

TEST_CASE("two processes share the write turn") {
    const Scratch scratch;
    open_store(scratch / "jobs.db").reset();
    Child one({"insert-for", scratch / "jobs.db", "1500"}), two({"insert-for", scratch / "jobs.db", "1500"});
    REQUIRE(one.line() == "ready");
    REQUIRE(two.line() == "ready");
    const int first = std::stoi(one.line()), second = std::stoi(two.line());
    MESSAGE(first << " and " << second << " inserts");
    CHECK(first > 0);
    CHECK(second > 0);
    CHECK(std::min(first, second) * 4 > std::max(first, second));
}

TEST_CASE("whoever waits at the turnstile goes before who has just been through") {
    const Scratch scratch;
    auto first = must(Turnstile::open(scratch.path()));
    auto second = must(Turnstile::open(scratch.path()));
    const auto later = [] { return std::chrono::steady_clock::now() + 10s; };
    REQUIRE(first.enter(later()));
    CHECK(!second.enter(std::chrono::steady_clock::now() + 20ms));
    std::atomic<bool> inside{false};
    std::jthread waiting([&] {
        if (second.enter(later())) inside = true;
    });
    REQUIRE(soon([&] { return look_at_lock(scratch.path() + "/next") == LockSeen::held; }));
    CHECK(!inside);
    first.leave();
    // The other was first in line, and it never leaves.
    CHECK(!first.enter(std::chrono::steady_clock::now() + 200ms));
    CHECK(soon([&] { return inside.load(); }));
}

TEST_CASE("a process frozen in its write turn makes others answer unavailable, and they recover") {
    const Scratch scratch;
    auto options = small_options();
    options.busy_timeout = 300ms;
    auto store = open_store(scratch / "jobs.db", options);
    Child frozen({"insert", scratch / "jobs.db"}, "sqlite.before_commit=sleep:60000");
    const auto unavailable = [&] {
        const auto job = new_job();
        const auto answers = store->insert({&job, 1}, noon);
        return !answers && answers.error().code == Errc::unavailable;
    };
    REQUIRE(soon(unavailable));
    // On a busy machine that is so also while the other opens the file: then it is not yet at its commit.
    REQUIRE(soon([&] {
        frozen.signal(SIGSTOP);
        if (unavailable()) return true;
        frozen.signal(SIGCONT);
        return false;
    }));
    CHECK(store->get(new_job().id, 0).has_value());  // Reading goes on.
    frozen.signal(SIGKILL);
    frozen.wait();
    insert_one(*store);
}

TEST_CASE("a full disk: new jobs are refused by name, jobs still end, and all is well afterwards") {
    const Scratch scratch;
    auto how = tests::SmallDisk::How::any;
    SUBCASE("where mounting is allowed, on a disk of its own") {}
    SUBCASE("by the shim") { how = tests::SmallDisk::How::shim; }
    const tests::SmallDisk small(scratch / "disk", 32 << 20, how);
    const auto disk = scratch / "disk";
    {
        Options options;
        options.ballast_bytes = 3 << 20;
        auto store = open_store(disk + "/jobs.db", options);
        const auto session = new_session();
        begin_session(*store, session);
        std::vector<NewJob> jobs;
        for (int i = 0; i < 50; ++i) jobs.push_back(new_job());
        static_cast<void>(must(store->insert(jobs, noon)));
        const auto running = claim_some(*store, session, 25);
        REQUIRE(running.size() == 25);
        // To be forgotten with its end, which wipes what it held where there is room for that.
        Note step{.job = running[0].id, .fence = running[0].fence};
        step.step_value = "\"" + std::string(1'000'000, 's') + "\"";
        for (const char* name : {"one", "two", "three", "four"}) {
            step.step_name = name;
            static_cast<void>(must(store->note({&step, 1}, noon)));
        }
        small.fill("filler");

        Error refused;
        REQUIRE(soon([&] {
            auto large = new_job();
            large.payload = "{\"a\":\"" + std::string(200'000, 'p') + "\"}";
            const auto answers = store->insert({&large, 1}, noon);
            if (!answers) refused = answers.error();
            return !answers;
        }));
        CHECK(refused.code == Errc::full);
        CHECK(refused.name == "STORE_FULL");
        const Settlement forgetful{.job = running[0].id, .fence = running[0].fence, .forget_steps = true};
        CHECK(must(store->settle({&forgetful, 1}, noon)).at(0).done);
        for (std::size_t i = 1; i < running.size(); ++i) CHECK(complete(*store, running[i]));
        const auto removed = must(store->change(JobFilter{.states = {JobState::completed}}, {.action = Action::remove}, 100, "", noon));
        CHECK(removed.answers.size() == 25);
        const auto job = new_job();
        CHECK(store->insert({&job, 1}, noon).error().name == "STORE_FULL");

        std::filesystem::remove(disk + "/filler");
        CHECK(insert_one(*store, job) == job.id);
        CHECK(std::filesystem::exists(disk + "/jobs.db-jobrt/ballast"));
        Caller look(store->path());
        CHECK(look.number("SELECT count(*) FROM pragma_integrity_check WHERE integrity_check = 'ok'") == 1);
    }
}

TEST_CASE("below the floor of free space new jobs are refused") {
    const Scratch scratch;
    auto options = small_options();
    options.free_floor_bytes = UINT64_MAX;
    auto store = open_store(scratch / "jobs.db", options);
    const auto job = new_job();
    CHECK(store->insert({&job, 1}, noon).error().name == "STORE_FULL");
    begin_session(*store, new_session());
}
