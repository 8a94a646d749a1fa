// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Several stores on one file: doorbell, sessions' lock files, fork.
#include <atomic>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

#include "child.hpp"
#include "core/observer.hpp"
#include "sqlite/files_linux.hpp"
#include "sqlite/session_locks.hpp"
#include "support.hpp"

using namespace jobruntime;
using namespace jobruntime::sqlite;
using namespace jobruntime::sqlite::test;

namespace {

/// A store that hears of others by the doorbell only: its poll comes too late to be taken for it.
Options deaf_to_polls() {
    auto options = small_options();
    options.poll = Duration{3'600'000};
    return options;
}

struct Heard {
    explicit Heard(jobruntime::Store& store)
        : subscription(store.on_change([this](unsigned hints) { bits |= hints; })) {}
    bool soon_has(unsigned hint) {
        return soon([&] { return (bits & hint) != 0; });
    }
    std::atomic<unsigned> bits{0};
    Subscription subscription;
};

SessionFacts facts_here() {
    SessionFacts facts;
    facts.host = host_name();
    facts.boot_id = boot_id();
    return facts;
}

std::optional<SessionInfo> look(jobruntime::Store& store, SessionId id) {
    for (auto& info : must(store.sessions()))
        if (info.id == id) return info;
    return std::nullopt;
}

}  // namespace

TEST_CASE("a change is heard in the process that made it, by the time the verb returns") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db", deaf_to_polls());
    Heard heard(*store);
    insert_one(*store);
    CHECK((heard.bits & (hint_jobs | hint_events)) == (hint_jobs | hint_events));
    heard.bits = 0;
    static_cast<void>(must(store->put("a", "1", 0)));
    CHECK((heard.bits & hint_records) != 0);
    heard.subscription = {};
    heard.bits = 0;
    insert_one(*store);
    CHECK(heard.bits == 0);
}

TEST_CASE("the doorbell rings in another store of this process") {
    const Scratch scratch;
    auto one = open_store(scratch / "jobs.db", deaf_to_polls());
    auto two = open_store(scratch / "jobs.db", deaf_to_polls());
    Heard heard(*two);
    insert_one(*one);
    CHECK(heard.soon_has(hint_jobs));
}

TEST_CASE("the doorbell rings in another process, and the last of many rings is not lost") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db", deaf_to_polls());
    Heard heard(*store);
    Child child({"insert-for", scratch / "jobs.db", "100"});
    REQUIRE(child.line() == "ready");
    const int inserted = std::stoi(child.line());
    CHECK(heard.soon_has(hint_jobs));
    CHECK(must(store->count({}, CountBy::nothing)).front().count == static_cast<std::uint64_t>(inserted));
    for (int i = 0; i < 5; ++i) {
        auto other = open_store(scratch / "jobs.db", deaf_to_polls());
        for (int n = 0; n < 3; ++n) insert_one(*other);
        heard.bits = 0;
        static_cast<void>(must(other->put("key" + std::to_string(i), "1", 0)));  // Within a millisecond of the last.
        CHECK(heard.soon_has(hint_records));
    }
}

TEST_CASE("a dead neighbour's doorbell is taken away") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db", deaf_to_polls());
    const auto bells = [&] {
        int count = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(scratch / "jobs.db-jobrt/bells")) ++count;
        return count;
    };
    Child child({"stay", scratch / "jobs.db"});
    REQUIRE(child.line() == "open");
    CHECK(bells() == 2);
    child.signal(SIGKILL);
    child.wait();
    CHECK(bells() == 2);
    CHECK(soon([&] {
        insert_one(*store);
        return bells() == 1;
    }));
}

TEST_CASE("what was written without a ring is found by looking") {
    const Scratch scratch;
    auto options = small_options();
    options.poll = 20ms;
    auto store = open_store(scratch / "jobs.db", options);
    Heard heard(*store);
    std::this_thread::sleep_for(60ms);
    heard.bits = 0;
    Caller(scratch / "jobs.db").exec("INSERT INTO jobrt_record VALUES('a', '1', 1)");
    CHECK(heard.soon_has(hint_records));
}

TEST_CASE("a session is seen alive while its process lives, and dead at once when that is killed") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    const auto id = new_session();
    Child child({"session", scratch / "jobs.db", id.str()});
    REQUIRE(child.line() == "beating");
    auto info = look(*store, id);
    REQUIRE(info.has_value());
    CHECK(info->seen_alive);
    CHECK(!info->seen_dead);
    child.signal(SIGKILL);
    child.wait();
    info = look(*store, id);
    REQUIRE(info.has_value());
    CHECK(!info->seen_alive);
    CHECK(info->seen_dead);
    CHECK(std::filesystem::exists(scratch / ("jobs.db-jobrt/sessions/" + id.str() + ".lock")));

    CHECK(must(store->recover(id, info->beat, Loss::crash, 10, noon)).mine);
    const auto later = noon + Duration{48LL * 3600 * 1000};
    static_cast<void>(must(store->tend({}, 100, later)));
    CHECK(!look(*store, id).has_value());
    CHECK(!std::filesystem::exists(scratch / ("jobs.db-jobrt/sessions/" + id.str() + ".lock")));
}

TEST_CASE("sessions of this process and of its other stores are alive until they stop") {
    const Scratch scratch;
    auto one = open_store(scratch / "jobs.db");
    auto two = open_store(scratch / "jobs.db");
    const auto mine = new_session(), theirs = new_session();
    auto facts = facts_here();
    static_cast<void>(must(one->beat(mine, facts, noon)));
    static_cast<void>(must(two->beat(theirs, facts, noon)));
    CHECK(look(*one, mine)->seen_alive);
    CHECK(look(*one, theirs)->seen_alive);
    facts.stopped = true;
    static_cast<void>(must(two->beat(theirs, facts, noon)));
    CHECK(!look(*one, theirs)->seen_alive);
    CHECK(look(*one, theirs)->facts.stopped);
    two.reset();
    CHECK(look(*one, mine)->seen_alive);
}

TEST_CASE("sessions of workers that come by HTTP cost no descriptor and no file, and are not seen alive through this process") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    const auto entries = [](const std::string& folder) {
        return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
    };
    auto facts = facts_here();
    facts.role = core::remote_role;
    static_cast<void>(must(store->beat(new_session(), facts, noon)));
    const auto open_before = entries("/proc/self/fd");
    for (int i = 0; i < 50; ++i) static_cast<void>(must(store->beat(new_session(), facts, noon)));
    CHECK(entries("/proc/self/fd") == open_before);
    CHECK(entries(scratch / "jobs.db-jobrt/sessions") == 0);
    for (const auto& info : must(store->sessions())) {
        CHECK_FALSE(info.seen_alive);
        CHECK_FALSE(info.seen_dead);
    }
}

TEST_CASE("a session that another host or an unlocked process wrote is never called dead") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    const auto far = new_session(), unlocked = new_session();
    auto facts = facts_here();
    facts.host = "elsewhere";
    {
        auto other = open_store(scratch / "jobs.db");
        static_cast<void>(must(other->beat(far, facts, noon)));
        static_cast<void>(must(other->beat(unlocked, facts_here(), noon)));
    }
    Caller(scratch / "jobs.db").exec("UPDATE jobrt_session SET locked = 0");
    std::filesystem::remove_all(scratch / "jobs.db-jobrt/sessions");
    for (const auto id : {far, unlocked}) {
        CHECK(!look(*store, id)->seen_dead);
        CHECK(!look(*store, id)->seen_alive);
    }
}

TEST_CASE("after fork() the child's verbs are refused, and the parent goes on") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    const auto id = insert_one(*store);
    const auto session = new_session();
    static_cast<void>(must(store->beat(session, facts_here(), noon)));
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const auto job = new_job();
        bool refused = store->get(id, 0).error().code == Errc::invalid_argument;
        const auto answers = store->insert({&job, 1}, noon);
        refused = refused && !answers && answers.error().code == Errc::invalid_argument;
        refused = refused && !store->begin(nullptr) && !store->sessions();
        store.reset();
        ::_exit(refused ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WEXITSTATUS(status) == 0);
    CHECK(must(store->get(id, 0)).has_value());
    insert_one(*store);
    CHECK(look(*store, session)->seen_alive);
    CHECK(std::filesystem::exists(scratch / "jobs.db-wal"));  // The child's end has closed nothing.
}

TEST_CASE("a fork never copies the list of lock files while it changes") {
    const Scratch scratch;
    SessionLocks locks(scratch.path());
    std::atomic<bool> begun{false}, held{false};
    locks.before_fork();
    std::thread other([&] {
        begun = true;
        locks.hold(new_session());
        held = true;
    });
    CHECK(soon([&] { return begun.load(); }));
    // Given time, it would be through if it could.
    CHECK_FALSE(soon([&] { return held.load(); }, 100ms));
    locks.after_fork();
    other.join();
    CHECK(held);
}

TEST_CASE("forks beside threads that begin and end sessions leave every child whole, and the parent at work") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    std::jthread busy([&](std::stop_token stop) {
        while (!stop.stop_requested()) {
            const auto session = new_session();
            SessionFacts facts;
            static_cast<void>(store->beat(session, facts, noon).has_value());
            facts.stopped = true;
            static_cast<void>(store->beat(session, facts, noon).has_value());
        }
    });
    for (int i = 0; i < 50; ++i) {
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) ::_exit(store->get(JobId{}, 0) ? 1 : 0);
        int status = 0;
        CHECK(::waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0);
    }
    busy.request_stop();
    busy.join();
    CHECK(must(store->sessions()).size() > 0);
}
