// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>

#include <unistd.h>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>
#include <jobruntime/worker.hpp>

#include "core/failpoint.hpp"
#include "core/ids.hpp"
#include "proof/actors.hpp"
#include "proof/checker.hpp"
#include "support/small_disk.hpp"

using namespace jobruntime;
using namespace proof;
using jobruntime::tests::SmallDisk;

namespace {

constexpr std::uint64_t disk_bytes = 32 << 20;
constexpr std::size_t at_once = 4;

/// A store and a worker with four jobs in their handlers, on a disk that is then filled to the last page.
class FullDisk {
public:
    FullDisk(SmallDisk::How how, const sqlite::Options& options, Duration lease)
        : disk_(folder_ / "disk", disk_bytes, how),
          store_(open(disk_ / "jobs.db", options)),
          queue_(*store_) {
        WorkerOptions worker;
        worker.queues = {{"default", static_cast<int>(at_once)}};
        worker.heartbeat.lease = lease;
        worker.heartbeat.beat = lease / 5;
        worker_.emplace(*store_, worker);
        worker_->on("proof.job",
                    [this](JobContext& job) {
                        {
                            const std::scoped_lock lock(mutex_);
                            ++runs_[job.job().id];
                        }
                        while (!go_ && !job.stop().stop_requested()) usleep(1000);
                        ++ended_;
                        return completed();
                    },
                    {.deadline = std::nullopt, .backoff = {}, .max_prefetch = 0});
        REQUIRE(worker_->start().has_value());
        for (std::size_t i = 0; i < at_once; ++i)
            running_.push_back(queue_.enqueue("proof.job", boost::json::object{})->id);
        REQUIRE(eventually([&] { return runs() >= at_once; }));
        disk_.fill("filler");
        // A little is left, so that some new jobs are still accepted.
        std::filesystem::resize_file(disk_ / "filler",
                                     std::filesystem::file_size(disk_ / "filler") - (256 << 10));
    }
    /// Enqueues until that is refused. Looks that what was accepted before is there.
    void refuse(Findings& findings) {
        EnqueueOptions later;
        later.delay = Duration{3'600'000};
        std::vector<JobId> accepted;
        for (int i = 0; i < 20'000 && refusal_.empty(); ++i) {
            auto job = queue_.enqueue("proof.other", {{"text", std::string(2000, 'y')}}, later);
            if (job)
                accepted.push_back(job->id);
            else
                refusal_ = job.error().name;
        }
        findings.acknowledged = static_cast<long>(accepted.size());
        if (refusal_ != "STORE_FULL") findings.complain("refused: by the name '" + refusal_ + "'");
        for (const auto id : accepted) {
            auto job = queue_.get(id, 0);
            if (!job || !*job) findings.complain("lost: an accepted job is not there");
        }
    }
    void finish_handlers() { go_ = true; }
    bool handlers_ended() const { return ended_ >= at_once; }
    /// `limit` is for all of them together.
    void look_ended(Findings& findings, Duration limit) {
        const auto until = std::chrono::steady_clock::now() + limit;
        for (const auto id : running_) {
            const auto left = std::chrono::duration_cast<Duration>(until - std::chrono::steady_clock::now());
            auto ended = queue_.wait(id, std::max(left, Duration{1}));
            if (!ended || ended->state != JobState::completed)
                findings.complain("end: a running job did not complete: " +
                                  (ended ? std::string(to_string(ended->state)) : ended.error().message));
            else
                ++findings.completed;
        }
    }
    void look_removable(Findings& findings) {
        auto removed = queue_.remove(running_.front());
        if (!removed)
            findings.complain("delete: " + removed.error().message);
        else if (removed->how != ChangeAnswer::How::done)
            findings.complain("delete: the job was not removed");
    }
    void look_recovered(Findings& findings) {
        std::filesystem::remove(disk_ / "filler");
        const auto accepts = [&] { return queue_.enqueue("proof.job", boost::json::object{}).has_value(); };
        if (!eventually(accepts))
            return findings.complain("space: still refused when space came back");
        auto after = queue_.enqueue("proof.job", boost::json::object{});
        auto ended = after ? queue_.wait(after->id, Duration{60'000}) : Result<Job>(after.error());
        if (!ended || ended->state != JobState::completed)
            findings.complain("space: a new job did not complete");
    }
    /// The last look: nothing runs, and the file is sound.
    void close(Findings& findings) {
        worker_->stop();
        JobFilter open;
        open.states = {JobState::running};
        auto left = queue_.list(open, {}, 10);
        if (!left || !left->jobs.empty())
            findings.complain("end: a job is still running though its worker has stopped");
        findings.runs = static_cast<long>(runs());
        worker_.reset();
        const auto path = disk_ / "jobs.db";
        store_.reset();
        const auto sound = check(path, {{}, {}, {}, false});
        for (const auto& complaint : sound.complaints)
            if (complaint.starts_with("integrity") || complaint.starts_with("stale"))
                findings.complain(complaint);
        findings.events = sound.events;
    }
    Store& store() { return *store_; }
    const SmallDisk& disk() const { return disk_; }
    const std::string& refusal() const { return refusal_; }
    std::size_t still_running() {
        JobFilter open;
        open.states = {JobState::running};
        auto left = queue_.list(open, {}, 10);
        return left ? left->jobs.size() : 0;
    }

private:
    static std::unique_ptr<Store> open(const std::string& path, const sqlite::Options& options) {
        auto store = sqlite::open(path, options);
        REQUIRE_MESSAGE(store.has_value(), (store ? "" : store.error().message));
        return *std::move(store);
    }
    std::size_t runs() {
        const std::scoped_lock lock(mutex_);
        std::size_t sum = 0;
        for (const auto& [id, times] : runs_) sum += static_cast<std::size_t>(times);
        return sum;
    }

    Folder folder_;
    SmallDisk disk_;
    std::unique_ptr<Store> store_;
    JobQueue queue_;
    std::atomic<bool> go_{false};
    std::atomic<std::size_t> ended_{0};
    std::mutex mutex_;
    std::map<JobId, int> runs_;  // Guarded by mutex_.
    std::vector<JobId> running_;
    std::string refusal_;
    std::optional<Worker> worker_;
};

void print(const char* what, const FullDisk& full, const Findings& findings, const std::string& more = "") {
    std::printf(
        "counts: %s on %s: %ld jobs accepted before %s, %ld running ones completed, %ld runs%s, "
        "%ld complaints\n",
        what, full.disk().name(), findings.acknowledged, full.refusal().c_str(), findings.completed,
        findings.runs, more.c_str(), findings.complained);
    for (const auto& complaint : findings.complaints) std::printf("  %s\n", complaint.c_str());
    std::fflush(stdout);
}

/// With the reserve that the store keeps: what runs can end while the disk is full.
Findings fill_disk(SmallDisk::How how, const char* what = "full disk", Duration patience = Duration{60'000}) {
    Findings findings;
    FullDisk full(how, {}, Duration{30'000});
    full.refuse(findings);
    CHECK(findings.acknowledged > 0);
    full.finish_handlers();
    full.look_ended(findings, patience);
    full.look_removable(findings);
    full.look_recovered(findings);
    full.close(findings);
    print(what, full, findings);
    return findings;
}

/// Without a reserve, and for longer than two leases: nothing can be written at all, no beat and no end of an
/// attempt.
Findings outlast_leases(SmallDisk::How how) {
    const Duration lease{2'000};  // Not to be lost on a busy machine while the disk is being filled.
    Findings findings;
    sqlite::Options options;
    options.ballast_bytes = 0;
    FullDisk full(how, options, lease);
    full.refuse(findings);
    // What is still free inside the files is used up by writes that say nothing.
    core::IdSource ids;
    const auto writer = ids.session(system_clock().wall());
    const auto refused = [&] {
        auto beaten = full.store().beat(writer, {}, system_clock().wall());
        return !beaten && beaten.error().code == Errc::full;
    };
    REQUIRE(eventually(refused));
    full.finish_handlers();
    REQUIRE(eventually([&] { return full.handlers_ended(); }));
    long failed = 0, went_through = 0;
    const auto until = std::chrono::steady_clock::now() + 5 * lease / 2;
    while (std::chrono::steady_clock::now() < until) {
        (refused() ? failed : went_through) += 1;
        usleep(50'000);
    }
    CHECK(failed > went_through);
    CHECK(full.still_running() == at_once);
    full.look_recovered(findings);
    full.look_ended(findings, Duration{60'000});
    full.close(findings);
    print("disk full for longer than two leases", full, findings,
          ", " + std::to_string(failed) + " beats refused");
    return findings;
}

}  // namespace

TEST_CASE(
    "on a full disk new jobs are refused by name, running ones finish, "
    "deleting works, and all is well when space returns") {
    SUBCASE("where mounting is allowed, on a disk of its own") {
        CHECK(fill_disk(SmallDisk::How::any).sound());
    }
    SUBCASE("by the shim") { CHECK(fill_disk(SmallDisk::How::shim).sound()); }
}

TEST_CASE(
    "jobs whose handlers end while the disk is full for longer than two leases end "
    "well when space returns") {
    SUBCASE("where mounting is allowed, on a disk of its own") {
        CHECK(outlast_leases(SmallDisk::How::any).sound());
    }
    SUBCASE("by the shim") { CHECK(outlast_leases(SmallDisk::How::shim).sound()); }
}

TEST_CASE("control: when the reserve is not given up the checker complains of jobs that cannot end") {
    core::set_failpoint("control.no_ballast", [] { return true; });
    const auto findings =
        fill_disk(SmallDisk::How::shim, "control: full disk, and no reserve given up", Duration{2'000});
    core::clear_failpoints();
    CHECK(findings.complains_of("end"));
    CHECK(findings.complains_of("delete"));
}
