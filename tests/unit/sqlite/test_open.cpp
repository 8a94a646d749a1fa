// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Opening: what is refused, and that it is left exactly as it was; migrations; epochs.
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.hpp"
#include "core/failpoint.hpp"
#include "sqlite/open.hpp"
#include "support.hpp"
#include "support/small_disk.hpp"

using namespace jobruntime;
using namespace jobruntime::sqlite;
using namespace jobruntime::sqlite::test;

namespace {

/// Refused for this reason, and nothing in its folder has changed.
void refused_untouched(const Scratch& scratch, const std::string& file, Errc code, Options options = small_options(),
                       const Internals& internals = {}) {
    const auto before = content(scratch / file);
    struct stat old_facts {}, new_facts {};
    REQUIRE(::stat((scratch / file).c_str(), &old_facts) == 0);
    const auto store = open_with(scratch / file, options, internals);
    REQUIRE(!store.has_value());
    CHECK_MESSAGE(store.error().code == code, name_of(store.error()));
    CHECK(store.error().message.find(file) != std::string::npos);
    CHECK(content(scratch / file) == before);
    REQUIRE(::stat((scratch / file).c_str(), &new_facts) == 0);
    CHECK(old_facts.st_mtim.tv_nsec == new_facts.st_mtim.tv_nsec);
    for (const auto& entry : std::filesystem::directory_iterator(scratch.path())) {
        CAPTURE(entry.path().string());
        const bool known = entry.path() == scratch / file || entry.path() == scratch / (file + "-jobrt");
        CHECK(known);
    }
}

/// All that is in a folder and below it.
std::set<std::string> names_in(const std::string& folder) {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) names.insert(entry.path().string());
    return names;
}

/// What a later version of the program would bring.
Internals next_version() {
    static const auto steps = [] {
        const auto now = schema_migrations();
        std::vector<Migration> all(now.begin(), now.end());
        all.push_back({"ALTER TABLE jobrt_job ADD COLUMN colour TEXT; CREATE TABLE jobrt_second(a)"});
        return all;
    }();
    Internals internals;
    internals.migrations = steps;
    return internals;
}

/// What the first version of the program was.
Internals first_version() {
    Internals internals;
    internals.migrations = schema_migrations().first(1);
    return internals;
}

}  // namespace

TEST_CASE("a path that names no file of its own is refused") {
    const Scratch scratch;
    CHECK(open(":memory:").error().code == Errc::unsupported);
    CHECK(open("").error().code == Errc::invalid_argument);
    CHECK(open(scratch.path()).error().code == Errc::invalid_argument);
    CHECK(open(scratch / "none/jobs.db").error().code == Errc::invalid_argument);
    CHECK(open(std::string("a\0b", 3)).error().code == Errc::invalid_argument);
    CHECK(open("/dev/null").error().code == Errc::invalid_argument);
    CHECK(std::filesystem::is_empty(scratch.path()));
}

TEST_CASE("network file systems are refused by name, and nothing is made there") {
    const Scratch scratch;
    for (const char* type : {"nfs", "nfs4", "cifs", "smb2", "fuse.sshfs", "9p", "ceph"}) {
        Internals internals;
        internals.filesystem = [&](const std::string&) { return std::string(type); };
        const auto store = open_with(scratch / "jobs.db", small_options(), internals);
        REQUIRE(!store.has_value());
        CHECK(store.error().code == Errc::unsupported);
        CHECK(store.error().message.find(type) != std::string::npos);
    }
    CHECK(std::filesystem::is_empty(scratch.path()));
    CHECK(!is_network_filesystem("fuse.fuse-overlayfs"));
    CHECK(!is_network_filesystem(""));
    CHECK(filesystem_of(scratch.path()).find("nfs") == std::string::npos);
}

TEST_CASE("another program's database is left as it is") {
    const Scratch scratch;
    SUBCASE("with tables") {
        Caller other(scratch / "app.db");
        other.exec("CREATE TABLE theirs(a); INSERT INTO theirs VALUES(1)");
    }
    SUBCASE("with a name of its own") {
        Caller other(scratch / "app.db");
        other.exec("PRAGMA application_id = 77");
    }
    SUBCASE("in WAL mode") {
        Caller other(scratch / "app.db");
        other.exec("PRAGMA journal_mode = WAL; CREATE TABLE theirs(a)");
    }
    refused_untouched(scratch, "app.db", Errc::unsupported);
}

TEST_CASE("a newer version's file is left as it is") {
    const Scratch scratch;
    {
        auto store = must(open_with(scratch / "jobs.db", small_options(), next_version()));
        insert_one(*store);
    }
    SUBCASE("beside its folder") {}
    SUBCASE("moved without it") { std::filesystem::remove_all(scratch / "jobs.db-jobrt"); }
    refused_untouched(scratch, "jobs.db", Errc::unsupported);
}

TEST_CASE("what is no sound database is left as it is") {
    const Scratch scratch;
    SUBCASE("text") { std::ofstream(scratch / "jobs.db") << std::string(5'000, 'x'); }
    SUBCASE("a short text") { std::ofstream(scratch / "jobs.db") << "hello"; }
    SUBCASE("cut off") {
        open_store(scratch / "jobs.db").reset();
        std::filesystem::remove_all(scratch / "jobs.db-jobrt");
        std::filesystem::resize_file(scratch / "jobs.db", 9'000);
    }
    refused_untouched(scratch, "jobs.db", Errc::corrupt);
}

TEST_CASE("a file locked by another program is left as it is") {
    const Scratch scratch;
    open_store(scratch / "jobs.db").reset();
    std::filesystem::remove_all(scratch / "jobs.db-jobrt");
    Caller other(scratch / "jobs.db");
    other.exec("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE");
    auto options = small_options();
    options.busy_timeout = 100ms;
    const auto before = std::chrono::steady_clock::now();
    const auto store = open(scratch / "jobs.db", options);
    REQUIRE(!store.has_value());
    CHECK_MESSAGE(store.error().code == Errc::unavailable, name_of(store.error()));
    CHECK(std::chrono::steady_clock::now() - before < 5s);
    CHECK(!std::filesystem::exists(scratch / "jobs.db-jobrt"));
    other.exec("ROLLBACK");
    open_store(scratch / "jobs.db");
}

TEST_CASE("a file on a read-only mount is refused") {
    const Scratch scratch;
    const tests::SmallDisk small(scratch / "disk", 4 << 20);
    if (!small.mounted()) {
        MESSAGE("skipped: mounting is not allowed here, and a shim cannot stand in for a mount that is read-only");
        return;
    }
    open_store(scratch / "disk/jobs.db").reset();
    REQUIRE(::mount(nullptr, (scratch / "disk").c_str(), nullptr, MS_REMOUNT | MS_RDONLY, nullptr) == 0);
    CHECK(open(scratch / "disk/jobs.db").error().code == Errc::invalid_argument);
    CHECK(open(scratch / "disk/new.db").error().code == Errc::invalid_argument);
}

TEST_CASE("a file that an ordinary user may not write is refused and left as it is") {
    const Scratch scratch;
    {
        auto store = open_store(scratch / "jobs.db");
        insert_one(*store);
    }
    mode_t folder_mode = 0755;
    SUBCASE("in a folder that he may not write either") {}
    SUBCASE("in a folder that he may write") { folder_mode = 0777; }
    SUBCASE("without the folder beside it") {
        std::filesystem::remove_all(scratch / "jobs.db-jobrt");
        folder_mode = 0777;
    }
    REQUIRE(::chmod((scratch / "jobs.db").c_str(), 0444) == 0);
    REQUIRE(::chmod(scratch.path().c_str(), folder_mode) == 0);
    const auto before = content(scratch / "jobs.db");
    const auto names = names_in(scratch.path());
    // Root may write whatever its mode says, so that a child takes the part of an ordinary user.
    const pid_t child = ::fork();
    if (child == 0) {
        if (::geteuid() == 0 && (::setgid(65534) != 0 || ::setuid(65534) != 0)) ::_exit(100);
        const auto store = open(scratch / "jobs.db", small_options());
        ::_exit(store ? 99 : static_cast<int>(store.error().code));
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == static_cast<int>(Errc::invalid_argument));
    CHECK(content(scratch / "jobs.db") == before);
    CHECK(names_in(scratch.path()) == names);
}

TEST_CASE("an older schema is migrated after a copy was made") {
    const Scratch scratch;
    JobId id;
    {
        auto store = open_store(scratch / "jobs.db");
        id = insert_one(*store);
    }
    {
        auto store = must(open_with(scratch / "jobs.db", small_options(), next_version()));
        CHECK(must(store->get(id, all_parts)).has_value());
        insert_one(*store);
        Caller look(store->path());
        CHECK(look.number("PRAGMA user_version") == static_cast<long>(schema_migrations().size()) + 1);
        CHECK(look.number("SELECT count(*) FROM jobrt_second") == 0);
    }
    CHECK(open(scratch / "jobs.db").error().code == Errc::unsupported);
    // The copy is a whole store of the old version.
    auto old = open_store(scratch / ("jobs.db.v" + std::to_string(schema_migrations().size()) + ".bak"));
    CHECK(must(old->get(id, all_parts)).has_value());
}

TEST_CASE("a store of the first version is brought up to date, and its events of a level are found") {
    const Scratch scratch;
    {
        auto store = must(open_with(scratch / "jobs.db", small_options(), first_version()));
        insert_one(*store);
        static_cast<void>(must(store->change(JobFilter{}, {.action = Action::cancel}, 1, "", noon)));
    }
    auto store = open_store(scratch / "jobs.db");
    const auto page = must(store->events({}, {.level = Level::warn}, 10));
    REQUIRE(page.events.size() == 1);
    CHECK(page.events.front().name == "worker.job.canceled");
}

TEST_CASE("a file that an older program has called its own again opens as what it is") {
    const Scratch scratch;
    const auto id = insert_one(*open_store(scratch / "jobs.db"));
    {
        Caller older(scratch / "jobs.db");
        older.exec("PRAGMA user_version = 1");
    }
    CHECK(must(open_store(scratch / "jobs.db")->get(id, 0)).has_value());
    CHECK(Caller(scratch / "jobs.db").number("PRAGMA user_version") == static_cast<long>(schema_migrations().size()));
}

TEST_CASE("what another program did to the file between the first look at it and the lock counts") {
    const Scratch scratch;
    const auto known = static_cast<long>(schema_migrations().size());
    const auto path = scratch / "jobs.db";
    bool once = false;
    const auto other_opens = [&](const Internals& other) {
        core::set_failpoint("sqlite.looked", [&, other] {
            if (!std::exchange(once, true)) must(open_with(path, small_options(), other)).reset();
            return false;
        });
    };
    const auto id = insert_one(*open_store(path));
    SUBCASE("a newer one has brought it up to date: this one leaves it alone") {
        other_opens(next_version());
        const auto store = sqlite::open(path, small_options());
        core::clear_failpoints();
        REQUIRE(!store.has_value());
        CHECK(store.error().code == Errc::unsupported);
        CHECK(!std::filesystem::exists(scratch / ("jobs.db.v" + std::to_string(known + 1) + ".bak")));
    }
    SUBCASE("one of the same version has: this one need not do it again") {
        other_opens(next_version());
        const auto store = open_with(path, small_options(), next_version());
        core::clear_failpoints();
        CHECK_MESSAGE(store.has_value(), (store ? "" : store.error().message));
    }
    CHECK(Caller(path).number("PRAGMA user_version") == known + 1);
    CHECK(must(must(open_with(path, small_options(), next_version()))->get(id, 0)).has_value());
}

TEST_CASE("a migration that fails changes nothing") {
    const Scratch scratch;
    const auto id = [&] { return insert_one(*open_store(scratch / "jobs.db")); }();
    core::set_failpoint("sqlite.migrate", [] { return true; });
    CHECK(!open_with(scratch / "jobs.db", small_options(), next_version()).has_value());
    core::clear_failpoints();
    CHECK(must(open_store(scratch / "jobs.db")->get(id, 0)).has_value());
    CHECK(open_with(scratch / "jobs.db", small_options(), next_version()).has_value());
}

TEST_CASE("a file that an older program still uses is not migrated under it") {
    const Scratch scratch;
    auto options = small_options();
    options.busy_timeout = 100ms;
    auto store = open_store(scratch / "jobs.db");
    const auto newer = open_with(scratch / "jobs.db", options, next_version());
    REQUIRE(!newer.has_value());
    CHECK(newer.error().code == Errc::unavailable);
    insert_one(*store);
}

TEST_CASE("numbers rise over openings, and only the first opener begins a new epoch") {
    const Scratch scratch;
    const auto newest = [](jobruntime::Store& store) { return must(store.events(std::nullopt, {}, 1)).next; };
    auto store = open_store(scratch / "jobs.db");
    insert_one(*store);
    const auto first = newest(*store);
    {
        auto second = open_store(scratch / "jobs.db");
        insert_one(*second);
        CHECK((newest(*second) >> 32) == (first >> 32));
    }
    store.reset();
    store = open_store(scratch / "jobs.db");
    insert_one(*store);
    CHECK((newest(*store) >> 32) == (first >> 32) + 1);
}

TEST_CASE("a closed store leaves no log behind, and odd paths work") {
    const Scratch scratch;
    const auto folder = scratch / ("a #?%20 b" + std::string(150, 'x'));
    std::filesystem::create_directory(folder);
    const auto path = folder + "/jobs ü.db";
    {
        auto store = open_store(path);
        insert_one(*store);
        CHECK(store->path() == std::filesystem::canonical(path));
        CHECK(store->describe() == "sqlite:" + store->path());
    }
    CHECK(std::filesystem::exists(path));
    CHECK(!std::filesystem::exists(path + "-wal"));
    std::filesystem::create_symlink(path, scratch / "link.db");
    auto store = open_store(scratch / "link.db");
    CHECK(store->path() == std::filesystem::canonical(path));
}

TEST_CASE("the store's file may hold a program's own tables") {
    const Scratch scratch;
    open_store(scratch / "app.db").reset();
    Caller(scratch / "app.db").exec("CREATE TABLE mine(a)");
    insert_one(*open_store(scratch / "app.db"));
}

TEST_CASE("two processes may make the file at the same time") {
    for (int round = 0; round < 20; ++round) {
        const Scratch scratch;
        Child one({"insert", scratch / "jobs.db"}), two({"insert", scratch / "jobs.db"});
        const auto said = one.line() + two.line();
        CAPTURE(said);
        CHECK(one.wait() == 0);
        CHECK(two.wait() == 0);
        CHECK(must(open_store(scratch / "jobs.db")->count({}, CountBy::nothing)).front().count == 2);
    }
}
