// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include <sqlite3.h>

#include <jobruntime/sqlite.hpp>

#include "core/failpoint.hpp"
#include "core/ids.hpp"
#include "proof/actors.hpp"
#include "proof/checker.hpp"
#include "proof/power_vfs.hpp"
#include "sqlite/open.hpp"

using namespace jobruntime;
using namespace proof;

namespace {

const Time noon{Duration{1'800'000'000'000}};

/// What a client was told before the power failed.
struct Told {
    std::set<JobId> inserted, completed, canceled;
    std::set<std::pair<JobId, std::string>> steps;
    std::uint64_t fence = 0;  // The newest that anybody has seen, told or not.
    EventId event = 0;
};

std::string slurp(const std::string& path) {
    std::ostringstream text;
    text << std::ifstream(path, std::ios::binary).rdbuf();
    return text.str();
}

/// A life of one process on the disk, by a seeded choice of verbs, until the power is cut.
class Life {
public:
    Life(Store& store, std::uint64_t seed, Told& told) : store_(store), random_(seed), ids_(seed), told_(told) {}
    void run(int verbs) {
        SessionFacts facts;
        facts.works = true;
        session_ = ids_.session(noon);
        (void)store_.beat(session_, facts, noon).has_value();
        for (int i = 0; i < verbs && !PowerDisk::instance().is_cut(); ++i) {
            switch (random_() % 8) {
                case 0: case 1: case 2: insert(); break;
                case 3: case 4: claim(); break;
                case 5: step(); break;
                case 6: settle(); break;
                default: look(); break;
            }
        }
    }

private:
    bool told() const { return !PowerDisk::instance().is_cut(); }
    void insert() {
        std::vector<NewJob> jobs(1 + random_() % 5);
        for (auto& job : jobs) {
            job.id = ids_.job(noon);
            job.kind = "k";
            job.payload = R"({"text":")" + std::string(random_() % 600, 'p') + "\"}";
        }
        if (!store_.insert(jobs, noon) || !told()) return;
        for (const auto& job : jobs) told_.inserted.insert(job.id);
    }
    void claim() {
        const Want want{"default", {"k"}, static_cast<int>(1 + random_() % 4)};
        auto claimed = store_.claim({&want, 1}, session_, ClaimMode::ordinary, noon);
        if (!claimed) return;
        for (auto& job : claimed->jobs) {
            told_.fence = std::max(told_.fence, static_cast<std::uint64_t>(job.fence));
            running_.push_back(std::move(job));
        }
    }
    void step() {
        if (running_.empty()) return;
        const auto& job = running_[random_() % running_.size()];
        Note note;
        note.job = job.id;
        note.fence = job.fence;
        note.step_name = "s" + std::to_string(random_() % 3);
        note.step_value = "1";
        auto noted = store_.note({&note, 1}, noon);
        if (noted && noted->front() == NoteAnswer::done && told()) told_.steps.emplace(job.id, *note.step_name);
    }
    void settle() {
        if (running_.empty()) return;
        Settlement done;
        done.job = running_.back().id;
        done.fence = running_.back().fence;
        running_.pop_back();
        auto settled = store_.settle({&done, 1}, noon);
        if (settled && settled->front().done && told()) told_.completed.insert(done.job);
    }
    void look() {
        auto page = store_.events(std::nullopt, {}, 5);
        if (page && !page->events.empty()) told_.event = std::max(told_.event, page->events.back().id);
    }

    Store& store_;
    std::mt19937_64 random_;
    core::IdSource ids_;
    Told& told_;
    SessionId session_;
    std::vector<Job> running_;
};

bool sound_file(const std::string& path) {
    sqlite3* db = nullptr;
    sqlite3_open_v2(path.c_str(), &db, SQLITE_OPEN_READWRITE, nullptr);
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v2(db, "PRAGMA integrity_check", -1, &statement, nullptr);
    const bool sound = statement && sqlite3_step(statement) == SQLITE_ROW &&
                       std::string(reinterpret_cast<const char*>(sqlite3_column_text(statement, 0))) == "ok";
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return sound;
}

/// Opens what the cut has left and compares it with what was told.
void inspect(const std::string& path, const Told& told, Findings& findings) {
    // A cut before the first page was durable leaves an empty file, or none.
    const bool there = std::filesystem::exists(path) && std::filesystem::file_size(path) > 0;
    if (there && !sound_file(path)) return findings.complain("integrity: the file is not sound");
    auto opened = sqlite::open(path, {.ballast_bytes = 0});
    if (!opened) return findings.complain("lost: it cannot be opened: " + opened.error().message);
    auto& store = **opened;
    for (const auto id : told.inserted) {
        auto job = store.get(id, part_steps);
        if (!job || !*job) {
            findings.complain("lost: an acknowledged job");
            continue;
        }
        if (told.completed.count(id) != 0 && (*job)->state != JobState::completed)
            findings.complain("lost: an acknowledged completion");
        for (const auto* name : {"s0", "s1", "s2"}) {
            if (told.steps.count({id, name}) == 0) continue;
            const auto& steps = (*job)->steps;
            if (std::none_of(steps.begin(), steps.end(), [&](const StepResult& step) { return step.name == name; }))
                findings.complain("lost: an acknowledged step");
        }
    }
    // New numbers must be above all that anybody has seen.
    core::IdSource ids(1ull << 40);  // No life has that seed.
    const auto session = ids.session(noon);
    SessionFacts facts;
    NewJob fresh;
    fresh.id = ids.job(noon);
    fresh.kind = "fresh";
    const Want want{"default", {"fresh"}, 1};
    if (!store.beat(session, facts, noon) || !store.insert({&fresh, 1}, noon))
        return findings.complain("lost: the store does not work any more");
    auto claimed = store.claim({&want, 1}, session, ClaimMode::ordinary, noon);
    if (!claimed) return findings.complain("lost: nothing can be claimed any more: " + claimed.error().message);
    if (claimed->jobs.size() != 1) return findings.complain("lost: a new job cannot be claimed");
    if (static_cast<std::uint64_t>(claimed->jobs.front().fence) <= told.fence)
        findings.complain("fence: a fencing token was handed out again");
    auto page = store.events(std::nullopt, {}, 1);
    if (!page || page->events.empty() || page->events.back().id <= told.event)
        findings.complain("fence: an event id was used again");
}

struct Trials {
    int count = 0;
    sqlite::Durability durability = sqlite::Durability::full;
    bool from_nothing = false;  ///< The file is made in the trial, too.
};

Findings cut_power(const Trials& trials) {
    register_power_vfs();
    // In memory: the image decides what is durable, not this machine's disk.
    Folder folder(std::filesystem::exists("/dev/shm") ? "/dev/shm" : "");
    const auto fresh = folder / "fresh.db";
    REQUIRE(sqlite::open(fresh, {.ballast_bytes = 0}).has_value());
    const auto empty = slurp(fresh);
    Findings findings;
    long told_jobs = 0, cuts = 0;
    for (int i = 0; i < trials.count; ++i) {
        const auto seed = static_cast<std::uint64_t>(i) + 1;
        const auto place = folder / "trial";
        std::filesystem::create_directories(place + "/after");
        const auto path = place + "/jobs.db";
        std::mt19937_64 random(seed);
        if (trials.from_nothing) {
            // Most while it is made; some after a checkpoint, which is when a journal that comes back does harm.
            PowerDisk::instance().start({}, 1 + static_cast<long>(random() % (i % 4 == 0 ? 6000 : 160)), seed);
        } else {
            std::ofstream(path, std::ios::binary) << empty;
            PowerDisk::instance().start({{path, empty}}, 1 + static_cast<long>(random() % 400), seed);
        }
        Told told;
        {
            sqlite::Options options;
            options.durability = trials.durability;
            options.ballast_bytes = 0;
            sqlite::Internals internals;
            internals.vfs = "power";
            auto store = sqlite::open_with(path, options, internals);
            if (store) Life(**store, seed, told).run(trials.from_nothing ? 500 : 60);
            cuts += PowerDisk::instance().is_cut();
            for (const auto& [name, bytes] : PowerDisk::instance().stop())
                if (!bytes.empty())
                    std::ofstream(place + "/after/" + std::filesystem::path(name).filename().string(), std::ios::binary) << bytes;
        }
        told_jobs += static_cast<long>(told.inserted.size());
        const auto before = findings.complained;
        inspect(place + "/after/jobs.db", told, findings);
        if (findings.complained != before && findings.complained < 5) std::printf("  seed %d\n", i + 1);
        std::filesystem::remove_all(place);
    }
    std::printf("counts: power cuts by VFS: %d trials, %ld cut in the middle, %ld jobs acknowledged, %ld complaints\n", trials.count,
                cuts, told_jobs, findings.complained);
    for (const auto& complaint : findings.complaints) std::printf("  %s\n", complaint.c_str());
    CHECK(told_jobs > (trials.from_nothing ? trials.count / 4 : trials.count));
    CHECK(cuts > trials.count / 4);
    return findings;
}

}  // namespace

TEST_CASE("power cuts at any write lose nothing acknowledged and never repeat a fence or an event id") {
    CHECK(cut_power({scaled(3000, 100)}).sound());
}

TEST_CASE("power cuts while the file is being made leave one that opens, with all that was acknowledged") {
    CHECK(cut_power({.count = scaled(1000, 100), .from_nothing = true}).sound());
}

TEST_CASE("control: with durability lowered the power cuts lose acknowledged jobs") {
    CHECK(cut_power({100, sqlite::Durability::process_crash}).complains_of("lost"));
}

TEST_CASE("control: without a new epoch fences or event ids come again") {
    core::set_failpoint("control.keep_epoch", [] { return true; });
    const auto findings = cut_power({300});
    core::clear_failpoints();
    CHECK(findings.complains_of("fence"));
}
