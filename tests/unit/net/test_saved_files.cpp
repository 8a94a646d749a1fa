// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <filesystem>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <jobruntime/net.hpp>

#include "net/names.hpp"
#include "unit/media/clips.hpp"

using namespace jobruntime;
using namespace jobruntime::net;
using media_test::TempDir;
using media_test::write_file;
namespace fs = std::filesystem;

namespace {
const std::string id = "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f";
const JobId job = *JobId::parse(id);
const JobId other_job = *JobId::parse("0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e60");
}  // namespace

TEST_CASE("a published name reads back as it was written") {
    for (const FileName& name : {FileName{job, Fence{7}, 0, "mp4"}, FileName{job, Fence{7}, 2, "jpg"},
                                 FileName{job, Fence{18446744073709551615ULL}, 999, "json"}}) {
        CAPTURE(name.str());
        CHECK(FileName::parse(name.str()) == name);
    }
    CHECK(FileName{job, Fence{7}, 2, "mp4"}.str() == id + "-7-2.mp4");
}

TEST_CASE("names that are not exactly ours are not ours") {
    for (const auto& name :
         std::vector<std::string>{std::string(),
                                  std::string("holiday.mp4"),
                                  id + ".mp4",
                                  id + "-.mp4",
                                  id + "-7",
                                  id + "-7.",
                                  id + "-7.exe",
                                  id + "-7.mp4.exe",
                                  id + "-07.mp4",
                                  id + "-0.mp4",
                                  id + "--7.mp4",
                                  id + "-7-1.mp4",
                                  id + "-7-02.mp4",
                                  id + "-7-1000.mp4",
                                  id + "-18446744073709551616.mp4",
                                  id + "-7.MP4",
                                  id + "-7 .mp4",
                                  id + "-7/x.mp4",
                                  "x" + id + "-7.mp4",
                                  "0190F3C2-7B1A-7C3E-9D55-0A1B2C3D4E5F-7.mp4",
                                  std::string("00000000-0000-0000-0000-000000000000-7.mp4"),
                                  id + "-7.mp4" + std::string(1, '\0')}) {
        CAPTURE(name);
        CHECK_FALSE(FileName::parse(name));
    }
}

TEST_CASE("only a path that publishing can have made is read as one") {
    REQUIRE(parse_published("ada/" + id + "-7.mp4"));
    CHECK(parse_published("ada/" + id + "-7.mp4")->folder == "ada");
    for (const auto& path : std::vector<std::string>{
             id + "-7.mp4", "/ada/" + id + "-7.mp4", "../ada/" + id + "-7.mp4", "ada/../" + id + "-7.mp4",
             "ada//" + id + "-7.mp4", "./" + id + "-7.mp4", ".jobrt-tmp/" + id + "-7.mp4",
             "Ada/" + id + "-7.mp4", "ada/" + id + "-7.jpg", "ada/" + id + "-7.json",
             "ada/x/" + id + "-7.mp4", "ada\\" + id + "-7.mp4", "ada/" + id + "-7.mp4/",
             "ada/" + id + "-7.mp4/../../../etc/passwd", "ada/holiday.mp4", std::string("ada/")}) {
        CAPTURE(path);
        CHECK_FALSE(parse_published(path));
    }
}

TEST_CASE("removing takes the video, its thumbnail and its JSON, by names of ours only") {
    const TempDir root;
    const std::string base = "ada/" + job.str() + "-7";
    fs::create_directory(root.path("ada"));
    for (const char* ext : {".mp4", ".jpg", ".json", ".txt"}) write_file(root.path(base + ext), "x");
    CHECK(has_saved_file(root.path(), job, base + ".mp4").value());
    CHECK(remove_saved_files(root.path(), job, base + ".mp4").value() == 3);
    CHECK(remove_saved_files(root.path(), job, base + ".mp4").value() == 0);
    CHECK_FALSE(has_saved_file(root.path(), job, base + ".mp4").value());
    CHECK(fs::exists(root.path(base + ".txt")));
    CHECK(remove_saved_files(root.path(), job, "gone/" + job.str() + "-7.mp4").value() == 0);

    const TempDir outside;
    write_file(outside.path(job.str() + "-7.mp4"), "x");
    fs::create_directory_symlink(outside.path(), root.path("link"));
    for (const std::string& path :
         {"link/" + job.str() + "-7.mp4",
          "../" + fs::path(outside.path()).filename().string() + "/" + job.str() + "-7.mp4",
          outside.path(job.str() + "-7.mp4"), "ada/" + other_job.str() + "-7.mp4", base + ".txt",
          std::string("ada")}) {
        CAPTURE(path);
        const auto removed = remove_saved_files(root.path(), job, path);
        REQUIRE_FALSE(removed);
        CHECK(removed.error().name == "PATH_REFUSED");
        CHECK_FALSE(has_saved_file(root.path(), job, path));
    }
    CHECK(fs::exists(outside.path(job.str() + "-7.mp4")));
}
