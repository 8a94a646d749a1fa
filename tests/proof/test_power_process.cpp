// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include <jobruntime/sqlite.hpp>

#include "core/failpoint.hpp"
#include "core/ids.hpp"
#include "proof/actors.hpp"
#include "proof/checker.hpp"
#include "proof/journal.hpp"
#include "proof/power_image.hpp"
#include "proof/scene.hpp"
#include "support/places.hpp"

using namespace jobruntime;
using namespace proof;

namespace {

/// What the shim has recorded, as a disk; a half record at the end was never written.
DiskImage read_log(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    const std::string log = text.str();
    DiskImage image;
    for (std::size_t at = 0; at + 21 <= log.size();) {
        std::uint32_t name_length = 0;
        std::uint64_t offset = 0, length = 0;
        std::memcpy(&name_length, log.data() + at + 1, 4);
        std::memcpy(&offset, log.data() + at + 5, 8);
        std::memcpy(&length, log.data() + at + 13, 8);
        if (at + 21 + name_length + length > log.size()) break;
        const std::string name = log.substr(at + 21, name_length);
        const std::string_view data(log.data() + at + 21 + name_length, length);
        switch (log[at]) {
            case 'W': image.write(name, offset, data); break;
            case 'T': image.truncate(name, offset); break;
            case 'S':
                image.sync(name);
                image.sync_folder(name);
                break;
            case 'U': image.remove(name); break;
        }
        at += 21 + name_length + length;
    }
    return image;
}

/// The newest fence that a handler has seen, and the newest event that a reader has seen, must stay the
/// newest.
void check_numbers(const std::string& database, const std::string& worked, const std::string& tailed,
                   Findings& findings) {
    std::uint64_t fence = 0;
    EventId event = 0;
    for (const auto& line : read_journal(worked))
        if (line.word == 'S') fence = std::max<std::uint64_t>(fence, std::stoull(line.rest.at(1)));
    for (const auto& line : read_journal(tailed))
        if (line.word == 'V') event = std::max<EventId>(event, std::stoull(line.rest.at(0)));
    auto store = sqlite::open(database);
    REQUIRE(store.has_value());
    const auto now = system_clock().wall();
    core::IdSource ids(7);
    NewJob fresh;
    fresh.id = ids.job(now);
    fresh.kind = "fresh";
    const auto session = ids.session(now);
    const Want want{"default", {"fresh"}, 1};
    REQUIRE((*store)->beat(session, {}, now).has_value());
    REQUIRE((*store)->insert({&fresh, 1}, now).has_value());
    auto claimed = (*store)->claim({&want, 1}, session, ClaimMode::ordinary, now);
    REQUIRE(claimed.has_value());
    REQUIRE(claimed->jobs.size() == 1);
    if (static_cast<std::uint64_t>(claimed->jobs.front().fence) <= fence)
        findings.complain("fence: a fencing token was handed out again");
    // What the insert above has written is the newest event, or the claim.
    auto page = (*store)->events(std::nullopt, {}, 1);
    REQUIRE(page.has_value());
    if (page->events.empty() || page->events.back().id <= event)
        findings.complain("number: an event id was used again");
}

/// What a machine is doing when its power goes.
enum class Moment {
    all_at_once,  ///< Jobs come, run and end, so that every claim is soon written with what is acknowledged after it.
    only_claims,  ///< All jobs are there, and then claimed: nothing after that has to be on the disk.
};

/// Enqueuer, worker and a reader of the log on one disk, until everything stops at once.
class Machine {
public:
    Machine(const std::string& durability, Moment moment) : moment_(moment) {
        std::filesystem::create_directories(disk_);
        const std::vector<std::string> environment{"LD_PRELOAD=" + tests::program("libproof_preload.so"), "PROOF_POWER_DIR=" + disk_,
                                                   "PROOF_POWER_LOG=" + log()};
        const auto database = disk_ + "/jobs.db";
        const auto act = [&](std::vector<std::string> words) {
            words.insert(words.end(), {"--db", database, "--durability", durability});
            actors_.emplace_back(std::move(words), environment);
        };
        if (moment == Moment::only_claims) {
            act({"enqueue", "--journal", enqueued(), "--pause-us", "0", "--limit", "20"});
            act({"work", "--journal", worked(), "--run-us", "60000000", "--exact", "1", "--concurrency", "20"});
        } else {
            act({"enqueue", "--journal", enqueued(), "--pause-us", "300"});
            act({"work", "--journal", worked(), "--run-us", "200"});
        }
        act({"tail", "--journal", tailed(), "--poll-ms", "1"});
    }
    void run(std::chrono::milliseconds time) {
        for (auto& actor : actors_) {
            actor.start();
            if (moment_ == Moment::only_claims && &actor == &actors_.front()) REQUIRE(eventually([&] { return actor.ended(); }));
        }
        REQUIRE(
            eventually([&] { return !read_journal(worked()).empty() && !read_journal(tailed()).empty(); }));
        std::this_thread::sleep_for(time);
        // Stopped first, so that all end at the same moment of the log.
        for (auto& actor : actors_) actor.signal(SIGSTOP);
        for (auto& actor : actors_) actor.kill();
    }
    /// What a power cut at that moment would have left; the path of the database there.
    std::string cut(std::mt19937_64& random) {
        const auto after = folder_ / "after";
        std::filesystem::create_directories(after);
        auto image = read_log(log());
        for (const auto& [name, bytes] : image.cut(random)) {
            const auto file = std::filesystem::path(name);
            if (file.parent_path() == disk_ && !bytes.empty())
                std::ofstream(after + "/" + file.filename().string(), std::ios::binary) << bytes;
        }
        unsynced = image.unsynced();
        dropped = image.dropped();
        return after + "/jobs.db";
    }
    std::string enqueued() const { return folder_ / "enqueued"; }
    std::string worked() const { return folder_ / "worked"; }
    std::string tailed() const { return folder_ / "tailed"; }
    long unsynced = 0, dropped = 0;  ///< Operations, at the cut.

private:
    std::string log() const { return folder_ / "log"; }
    Moment moment_;
    Folder folder_;
    std::string disk_ = folder_ / "disk";
    std::vector<ActorProcess> actors_;
};

Findings cut_machine(int times, const std::string& durability,
                     const char* what = "power cuts of whole processes", Moment moment = Moment::all_at_once) {
    Findings all;
    std::mt19937_64 random(11);
    std::string each;
    long unsynced = 0, dropped = 0;
    for (int i = 0; i < times; ++i) {
        Machine machine(durability, moment);
        machine.run(std::chrono::milliseconds(20 + random() % 200));
        const auto database = machine.cut(random);
        unsynced += machine.unsynced;
        dropped += machine.dropped;
        each += " " + std::to_string(machine.dropped) + "/" + std::to_string(machine.unsynced);
        auto findings = check(database, {{machine.enqueued()}, {machine.worked()}, {}, false});
        if (durability.empty() && findings.sound())
            check_numbers(database, machine.worked(), machine.tailed(), findings);
        all.acknowledged += findings.acknowledged;
        all.completed += findings.completed;
        all.runs += findings.runs;
        all.events += findings.events;
        all.complained += findings.complained;
        all.complaints.insert(all.complaints.end(), findings.complaints.begin(), findings.complaints.end());
    }
    std::printf("counts: %s, %d times: %s; %ld of %ld unsynced operations dropped\n", what, times,
                all.counts().c_str(), dropped, unsynced);
    std::printf("dropped of the unsynced, each cut:%s\n", each.c_str());
    for (std::size_t i = 0; i < all.complaints.size() && i < 10; ++i)
        std::printf("  %s\n", all.complaints[i].c_str());
    return all;
}

}  // namespace

TEST_CASE(
    "power cuts of whole processes lose nothing that was acknowledged and never repeat a fence or an event "
    "id") {
    const int times = scaled(50, 3);
    const auto findings = cut_machine(times, "");
    CHECK(findings.sound());
    CHECK(findings.acknowledged > times);
    CHECK(findings.runs > times);
}

TEST_CASE("power cuts of processes that only claim repeat neither a fence nor an event id") {
    const int times = scaled(20, 2);
    const auto findings = cut_machine(times, "", "power cuts amid claims", Moment::only_claims);
    CHECK(findings.sound());
    CHECK(findings.acknowledged >= 20 * times);
}

TEST_CASE("control: with durability lowered the checker complains of lost jobs") {
    CHECK(cut_machine(10, "process_crash", "control: with durability lowered").complains_of("lost"));
}

TEST_CASE("control: without a new epoch fences and event ids come again after a power cut") {
    core::set_failpoint("control.keep_epoch", [] { return true; });
    bool fence = false, number = false;
    const bool seen = noticed([&] {
        const auto findings = cut_machine(5, "", "control: without a new epoch", Moment::only_claims);
        fence |= findings.complains_of("fence");
        number |= findings.complains_of("number");
        return fence && number;
    });
    core::clear_failpoints();
    CHECK(seen);
}
