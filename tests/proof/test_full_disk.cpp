// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <sys/mount.h>
#include <unistd.h>

#include <jobruntime/job_queue.hpp>
#include <jobruntime/sqlite.hpp>
#include <jobruntime/worker.hpp>

#include "proof/actors.hpp"

using namespace jobruntime;
using namespace proof;

namespace {

/// A disk of 32 MiB, where this process may mount one.
struct SmallDisk {
    SmallDisk() { mounted = mount("tmpfs", folder.path.c_str(), "tmpfs", 0, "size=32m") == 0; }
    ~SmallDisk() {
        if (mounted) umount2(folder.path.c_str(), MNT_DETACH);
    }
    Folder folder;
    bool mounted = false;
};

/// Fills what is left of the disk.
void fill(const std::string& path) {
    std::ofstream out(path, std::ios::binary | std::ios::app);
    const std::string block(4096, 'x');
    while (out.write(block.data(), static_cast<std::streamsize>(block.size())).flush()) {
    }
}

}  // namespace

TEST_CASE("on a full disk new jobs are refused by name, running ones finish, deleting works, and all is well when space returns") {
    SmallDisk disk;
    if (!disk.mounted) {
        MESSAGE("skipped: mounting a small disk is not allowed here; run as root to prove the full disk");
        return;
    }
    auto store = sqlite::open(disk.folder / "jobs.db");
    REQUIRE_MESSAGE(store.has_value(), (store ? "" : store.error().message));
    JobQueue queue(**store);
    std::atomic<bool> go{false};
    std::atomic<int> begun{0};
    Worker worker(**store, {.queues = {{"default", 4}}});
    worker.on("proof.job", [&](JobContext& job) {
        ++begun;
        while (!go && !job.stop().stop_requested()) usleep(1000);
        return completed();
    }, {.deadline = std::nullopt, .backoff = {}, .max_prefetch = 0});
    REQUIRE(worker.start().has_value());
    std::vector<JobId> running;
    for (int i = 0; i < 4; ++i) running.push_back(queue.enqueue("proof.job", boost::json::object{})->id);
    REQUIRE(eventually([&] { return begun == 4; }));

    fill(disk.folder / "filler");
    EnqueueOptions later;
    later.delay = Duration{3'600'000};
    std::vector<JobId> accepted;
    std::string refusal;
    for (int i = 0; i < 20'000 && refusal.empty(); ++i) {
        auto job = queue.enqueue("proof.other", {{"text", std::string(2000, 'y')}}, later);
        if (job)
            accepted.push_back(job->id);
        else
            refusal = job.error().name;
    }
    CHECK(refusal == "STORE_FULL");
    for (const auto id : accepted) {
        auto job = queue.get(id, 0);
        REQUIRE(job.has_value());
        CHECK(job->has_value());
    }

    go = true;
    for (const auto id : running) {
        auto ended = queue.wait(id, Duration{20'000});
        REQUIRE_MESSAGE(ended.has_value(), (ended ? "" : ended.error().message));
        CHECK(ended->state == JobState::completed);
    }
    auto removed = queue.remove(running.front());
    REQUIRE_MESSAGE(removed.has_value(), (removed ? "" : removed.error().message));
    CHECK(removed->how == ChangeAnswer::How::done);

    std::filesystem::remove(disk.folder / "filler");
    CHECK(eventually([&] { return queue.enqueue("proof.job", boost::json::object{}).has_value(); }, std::chrono::seconds(10)));
    auto after = queue.enqueue("proof.job", boost::json::object{});
    REQUIRE(after.has_value());
    auto ended = queue.wait(after->id, Duration{20'000});
    REQUIRE(ended.has_value());
    CHECK(ended->state == JobState::completed);
    worker.stop();
    std::printf("counts: full disk: %zu jobs accepted before %s, 4 running ones completed, space came back\n", accepted.size(),
                refusal.c_str());
}
