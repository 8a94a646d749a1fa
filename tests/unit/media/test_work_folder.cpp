// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <filesystem>

#include <sys/stat.h>

#include <jobruntime/media.hpp>

#include "clips.hpp"

using namespace jobruntime;
using namespace jobruntime::media;
using media_test::read_file;
using media_test::TempDir;
using media_test::write_file;
namespace fs = std::filesystem;

namespace {
const JobId job = *JobId::parse("0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f");
const JobId other_job = *JobId::parse("0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e60");
}  // namespace

TEST_CASE("a work folder is private, and gone when it ends") {
    const TempDir root;
    const Publisher publisher({.root = root.path("downloads")});
    std::string path;
    {
        auto work = publisher.claim_work_folder(job, Fence{1});
        REQUIRE(work);
        path = work->path();
        CHECK(path == root.path("downloads/.jobrt-tmp/") + job.str() + "-1");
        struct stat facts {};
        REQUIRE(::stat(path.c_str(), &facts) == 0);
        CHECK((facts.st_mode & 0777) == 0700);
        write_file(path + "/source-a.part", "half");
        auto moved = std::move(*work);
        CHECK(fs::exists(path));
    }
    CHECK_FALSE(fs::exists(path));
}

TEST_CASE("the next attempt goes on with what the last has fetched, not with what it was making") {
    const TempDir root;
    const Publisher publisher({.root = root.path()});
    {
        auto work = publisher.claim_work_folder(job, Fence{1});
        REQUIRE(work);
        write_file(work->path() + "/source-a.part", "half");
        write_file(work->path() + "/out.mp4", "half-made");
        fs::create_directory(work->path() + "/extract");
        work->keep();
    }
    auto work = publisher.claim_work_folder(job, Fence{2});
    REQUIRE(work);
    CHECK(read_file(work->path() + "/source-a.part") == "half");
    CHECK_FALSE(fs::exists(work->path() + "/out.mp4"));
    CHECK(fs::exists(work->path() + "/extract"));  // May hold the file of a stored extraction.
    CHECK_FALSE(fs::exists(root.path(".jobrt-tmp/") + job.str() + "-1"));

    auto stranger = publisher.claim_work_folder(other_job, Fence{3});
    REQUIRE(stranger);
    CHECK(fs::is_empty(stranger->path()));
}

TEST_CASE("a late worker keeps its own folder, and cannot come after a newer attempt") {
    const TempDir root;
    const Publisher publisher({.root = root.path()});
    auto late = publisher.claim_work_folder(job, Fence{1});
    REQUIRE(late);
    write_file(late->path() + "/source-a.part", "late");
    auto current = publisher.claim_work_folder(job, Fence{2});
    REQUIRE(current);
    CHECK(fs::is_empty(current->path()));
    write_file(late->path() + "/source-a.part", "later");
    CHECK(fs::is_empty(current->path()));

    const auto twice = publisher.claim_work_folder(job, Fence{2});
    REQUIRE_FALSE(twice);
    CHECK(twice.error().code == Errc::conflict);
    const auto stale = publisher.claim_work_folder(job, Fence{1});
    REQUIRE_FALSE(stale);
    CHECK(stale.error().code == Errc::conflict);
}

TEST_CASE("links on the way are refused, and what they point to is left alone") {
    const TempDir root;
    const TempDir outside;
    const Publisher publisher({.root = root.path()});
    fs::create_directory_symlink(outside.path(), root.path(".jobrt-tmp"));
    const auto work = publisher.claim_work_folder(job, Fence{1});
    REQUIRE_FALSE(work);
    CHECK(work.error().name == "PATH_REFUSED");
    CHECK(fs::is_empty(outside.path()));

    fs::remove(root.path(".jobrt-tmp"));
    fs::create_directory(root.path(".jobrt-tmp"));
    write_file(outside.path("precious"), "keep me");
    fs::create_directory_symlink(outside.path(), root.path(".jobrt-tmp/") + job.str() + "-1");
    auto next = publisher.claim_work_folder(job, Fence{2});
    REQUIRE(next);
    CHECK(fs::is_empty(next->path()));
    CHECK(read_file(outside.path("precious")) == "keep me");
}

TEST_CASE("a download folder that cannot be one is an error with a remedy") {
    const TempDir root;
    write_file(root.path("file"), "");
    const auto work = Publisher({.root = root.path("file")}).claim_work_folder(job, Fence{1});
    REQUIRE_FALSE(work);
    CHECK(work.error().name == "DOWNLOAD_DIR_UNUSABLE");
}

TEST_CASE("sweeping removes dead attempts of known jobs and nothing else") {
    const TempDir root;
    const Publisher publisher({.root = root.path(), .forgotten_after = std::chrono::hours(1)});
    const std::string a = job.str();
    fs::create_directory(root.path("ada"));
    const auto file = [&](const std::string& name) {
        write_file(root.path(name), "x");
        return root.path(name);
    };
    const std::string dead[] = {file("ada/" + a + "-1.mp4"), file("ada/" + a + "-1.jpg"),
                                file("ada/" + a + "-1-2.json")};
    const std::string kept[] = {file("ada/" + a + "-2.mp4"), file("ada/" + other_job.str() + "-1.mp4"),
                                file("ada/holiday.mp4"),     file("ada/" + a + "-1.mp4.bak"),
                                file(a + "-1.mp4"),          file("ada/" + a + "-1.txt")};
    const TempDir outside;
    write_file(outside.path(a + "-1.mp4"), "x");
    fs::create_directory_symlink(outside.path(), root.path("link"));

    auto live = publisher.claim_work_folder(job, Fence{1});  // Dead by the store, but its worker still lives.
    REQUIRE(live);
    const std::string tmp = root.path(".jobrt-tmp/");
    fs::create_directory(tmp + a + "-3");
    fs::create_directory(tmp + other_job.str() + "-4");
    fs::create_directory(tmp + other_job.str() + "-5");
    fs::last_write_time(tmp + other_job.str() + "-5",
                        fs::file_time_type::clock::now() - std::chrono::hours(2));
    fs::create_directory(tmp + "notes");

    const auto removed = publisher.sweep([&](JobId id, Fence fence, bool work_folder) {
        if (id != job) return Verdict::unknown;
        return fence == Fence{1} || (work_folder && fence == Fence{3}) ? Verdict::dead : Verdict::keep;
    });
    REQUIRE(removed);
    CHECK(*removed == 5);
    for (const auto& path : dead) CHECK_FALSE(fs::exists(path));
    for (const auto& path : kept) CHECK(fs::exists(path));
    CHECK(fs::exists(outside.path(a + "-1.mp4")));
    CHECK(fs::exists(live->path()));
    CHECK_FALSE(fs::exists(tmp + a + "-3"));
    CHECK(fs::exists(tmp + other_job.str() + "-4"));
    CHECK_FALSE(fs::exists(tmp + other_job.str() + "-5"));
    CHECK(fs::exists(tmp + "notes"));
}
