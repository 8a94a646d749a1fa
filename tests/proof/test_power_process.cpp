// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include <jobruntime/sqlite.hpp>

#include "core/ids.hpp"
#include "proof/actors.hpp"
#include "proof/checker.hpp"
#include "proof/journal.hpp"
#include "proof/power_image.hpp"

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

/// The newest fence that a handler has seen must stay the newest.
void check_numbers(const std::string& database, const std::string& journal, Findings& findings) {
    std::uint64_t seen = 0;
    for (const auto& line : read_journal(journal))
        if (line.word == 'S') seen = std::max<std::uint64_t>(seen, std::stoull(line.rest.at(1)));
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
    if (static_cast<std::uint64_t>(claimed->jobs.front().fence) <= seen)
        findings.complain("fence: a fencing token was handed out again");
}

/// A whole machine: an enqueuer and a worker run for a moment, then everything stops at once.
Findings cut_machine(int times, const std::string& durability) {
    Findings all;
    std::mt19937_64 random(11);
    for (int i = 0; i < times; ++i) {
        Folder folder;
        const auto disk = folder / "disk";
        std::filesystem::create_directories(disk);
        const auto database = disk + "/jobs.db";
        const std::vector<std::string> environment{"LD_PRELOAD=" PROOF_PRELOAD, "PROOF_POWER_DIR=" + disk,
                                                   "PROOF_POWER_LOG=" + (folder / "log")};
        Actor enqueuer({"enqueue", "--db", database, "--journal", folder / "enqueued", "--pause-us", "300", "--durability",
                        durability},
                       environment);
        Actor worker({"work", "--db", database, "--journal", folder / "worked", "--run-us", "200", "--durability", durability},
                     environment);
        enqueuer.start();
        worker.start();
        REQUIRE(eventually([&] { return !read_journal(folder / "worked").empty(); }));
        std::this_thread::sleep_for(std::chrono::milliseconds(20 + random() % 200));
        // Stopped first, so that both end at the same moment of the log.
        enqueuer.signal(19);
        worker.signal(19);
        enqueuer.kill();
        worker.kill();
        const auto after = folder / "after";
        std::filesystem::create_directories(after);
        for (const auto& [name, bytes] : read_log(folder / "log").cut(random)) {
            const auto file = std::filesystem::path(name);
            if (file.parent_path() == disk && !bytes.empty())
                std::ofstream(after + "/" + file.filename().string(), std::ios::binary) << bytes;
        }
        auto findings = check(after + "/jobs.db", {{folder / "enqueued"}, {folder / "worked"}, {}, false});
        if (durability.empty() && findings.sound()) check_numbers(after + "/jobs.db", folder / "worked", findings);
        all.acknowledged += findings.acknowledged;
        all.completed += findings.completed;
        all.runs += findings.runs;
        all.events += findings.events;
        all.complained += findings.complained;
        all.complaints.insert(all.complaints.end(), findings.complaints.begin(), findings.complaints.end());
    }
    std::printf("counts: power cuts of whole processes, %d times%s: %s\n", times, durability.empty() ? "" : " (durability lowered)",
                all.counts().c_str());
    for (std::size_t i = 0; i < all.complaints.size() && i < 10; ++i) std::printf("  %s\n", all.complaints[i].c_str());
    return all;
}

}  // namespace

TEST_CASE("power cuts of whole processes lose nothing that was acknowledged") {
    const int times = scaled(50, 3);
    const auto findings = cut_machine(times, "");
    CHECK(findings.sound());
    CHECK(findings.acknowledged > times);
    CHECK(findings.runs > times);
}

TEST_CASE("control: with durability lowered the checker complains of lost jobs") {
    CHECK(cut_machine(10, "process_crash").complains_of("lost"));
}
