// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Copies of a store that is in use.
#include <atomic>

#include "support.hpp"

using namespace jobruntime;
using namespace jobruntime::sqlite;
using namespace jobruntime::sqlite::test;

TEST_CASE("a backup made while jobs come and go is a whole store of one moment") {
    const Scratch scratch;
    auto store = open_store(scratch / "jobs.db");
    for (int i = 0; i < 200; ++i) insert_one(*store);
    const auto session = new_session();
    begin_session(*store, session);

    std::atomic<bool> over{false};
    std::atomic<int> rounds{0};
    std::thread busy([&] {
        while (!over) {
            insert_one(*store);
            for (const auto& job : claim_some(*store, session)) complete(*store, job);
            ++rounds;
        }
    });
    CHECK(soon([&] { return rounds > 5; }));
    std::vector<BackupFacts> made;
    for (int i = 0; i < 5; ++i)
        made.push_back(must(back_up(scratch / "jobs.db", scratch / ("copy" + std::to_string(i)))));
    const int after = rounds;
    CHECK(soon([&] { return rounds > after; }));  // Nobody was locked out.
    over = true;
    busy.join();

    for (int i = 0; i < 5; ++i) {
        const auto& facts = made[static_cast<std::size_t>(i)];
        CHECK(facts.path == scratch / ("copy" + std::to_string(i)));
        CHECK(facts.jobs > 200);
        CHECK(facts.bytes == std::filesystem::file_size(facts.path));
        auto copy = open_store(facts.path);
        CHECK(must(copy->count({}, CountBy::nothing)).front().count == facts.jobs);
        // Of each job what was one step is there as a whole: an ended job has the three events of its way.
        JobFilter ended;
        ended.states = {JobState::completed};
        for (const auto& job : must(copy->list(ended, JobOrder::newest_first, "", 20, 0)).jobs) {
            EventFilter its;
            its.job = job.id;
            CHECK(must(copy->events(EventId{0}, its, 10)).events.size() == 3);
        }
        const auto fresh = insert_one(*copy);
        CHECK(must(copy->get(fresh, 0)).has_value());
    }
    for (const auto& entry : std::filesystem::directory_iterator(scratch.path()))
        CHECK(entry.path().string().find(".copy") == std::string::npos);
}

TEST_CASE("what cannot be backed up is refused, and nothing is left or replaced") {
    const Scratch scratch;
    {
        auto store = open_store(scratch / "jobs.db");
        insert_one(*store);
    }
    std::ofstream(scratch / "taken") << "precious";
    const auto refused = [&](const std::string& from, const std::string& to, Errc code) {
        CAPTURE(from);
        CAPTURE(to);
        const auto made = back_up(scratch / from, to);
        REQUIRE_FALSE(made.has_value());
        CHECK_MESSAGE(made.error().code == code, name_of(made.error()));
    };
    refused("jobs.db", scratch / "taken", Errc::invalid_argument);
    CHECK(content(scratch / "taken") == "precious");
    refused("none.db", scratch / "new", Errc::not_found);
    refused("taken", scratch / "new", Errc::corrupt);
    Caller(scratch / "other.db").exec("CREATE TABLE mine(x)");
    refused("other.db", scratch / "new", Errc::unsupported);
    std::ofstream(scratch / "empty.db").close();
    refused("empty.db", scratch / "new", Errc::unsupported);
    CHECK_FALSE(back_up(scratch / "jobs.db", scratch / "no/such/folder/new").has_value());
    CHECK_FALSE(std::filesystem::exists(scratch / "new"));
    for (const auto& entry : std::filesystem::directory_iterator(scratch.path()))
        CHECK(entry.path().string().find(".copy") == std::string::npos);
}

TEST_CASE("a damaged file makes no backup that looks sound") {
    const Scratch scratch;
    {
        auto store = open_store(scratch / "jobs.db");
        for (int i = 0; i < 2000; ++i) insert_one(*store);
    }
    {
        std::fstream file(scratch / "jobs.db", std::ios::in | std::ios::out | std::ios::binary);
        const auto size = std::filesystem::file_size(scratch / "jobs.db");
        // Whole pages in the middle: keys and rows of a B-tree.
        file.seekp(static_cast<std::streamoff>(size / 2 / 4096 * 4096));
        file << std::string(8 * 4096, '\x5a');
    }
    const auto made = back_up(scratch / "jobs.db", scratch / "copy");
    REQUIRE_FALSE(made.has_value());
    CHECK_MESSAGE(made.error().code == Errc::corrupt, name_of(made.error()));
    CHECK_FALSE(std::filesystem::exists(scratch / "copy"));
}
