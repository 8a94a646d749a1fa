// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <chrono>
#include <filesystem>
#include <optional>
#include <sstream>

#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/json/parse.hpp>

#include <jobruntime/media.hpp>
#include <jobruntime/net.hpp>

#include "clips.hpp"

using namespace jobruntime;
using namespace jobruntime::media;
using media_test::Clips;
using media_test::TempDir;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

namespace {

const JobId job = *JobId::parse("0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f");

/// Whether a process of this user may have a network of its own, which is then empty.
bool may_leave_the_network() {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(::unshare(CLONE_NEWNET) == 0 || ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 0 : 1);
    int status = 1;
    return ::waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

PublishRequest request_for(const WorkFolder& work, const std::string& clip) {
    const std::string input = work.path() + "/source-a";
    fs::copy_file(Clips::get()[clip], input);
    PublishRequest request{.input = input,
                           .job = job,
                           .fence = Fence{7},
                           .account = "Ada",
                           .source_url = "https://x.com/ada/status/1"};
    request.info.title = "A <b>title</b> \"quoted\"";
    request.info.author = "ada";
    return request;
}

/// A helper that takes much of the disk for what it writes and then is busy for long.
std::string greedy_helper(const TempDir& dir, std::uint64_t bytes) {
    const auto path = dir.path("greedy");
    media_test::write_file(path, "#!/bin/sh\nread request\nout=$(printf %s \"$request\" | sed 's/.*\"output\":\"\\([^\"]*\\)\".*/\\1/')\n"
                                 "fallocate -l " + std::to_string(bytes) + " \"$out\"\nexec sleep 60\n");
    fs::permissions(path, fs::perms::owner_all);
    return path;
}

/// Everything below a folder but its folders.
std::size_t files_below(const std::string& path) {
    std::size_t count = 0;
    for (const auto& entry : fs::recursive_directory_iterator(path)) count += entry.is_directory() ? 0 : 1;
    return count;
}

/// The one child of this process, whichever thread started it; 0 = there is none.
int only_child() {
    int found = 0;
    for (const auto& task : fs::directory_iterator("/proc/self/task")) {
        std::istringstream children(media_test::read_file(task.path() / "children"));
        for (int child = 0; children >> child;) found = child;
    }
    return found;
}

}  // namespace

TEST_CASE("a download becomes a video, a thumbnail and a JSON under one name") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const std::pair<const char*, const char*> table[] = {
        {"plain.mp4", "mp4"}, {"faststart.mp4", "mp4"}, {"vp8.webm", "webm"}};
    for (const auto& [clip, ext] : table) {
        CAPTURE(clip);
        const TempDir root;
        const Publisher publisher({.root = root.path("downloads"), .helper = {.program = helper}});
        std::optional<Published> done;
        {
            auto work = publisher.claim_work_folder(job, Fence{7});
            REQUIRE(work);
            auto published = publisher.publish(request_for(*work, clip), *work);
            REQUIRE_MESSAGE(published, published.error().message);
            done = *published;
            CHECK(fs::exists(work->path() + "/source-a"));  // A crash before settle need not download again.
        }
        CHECK(done->output_path == "ada/" + job.str() + "-7." + ext);
        CHECK(done->thumbnail_path == "ada/" + job.str() + "-7.jpg");
        const std::string base = root.path("downloads/");
        CHECK(files_below(base) == 3);
        CHECK(media_test::output_of("sha256sum < " + base + done->output_path).substr(0, 64) ==
              done->file.sha256);
        CHECK(media_test::ffprobe(base + done->thumbnail_path, "stream=codec_name") == "mjpeg");
        CHECK(media_test::read_file(base + done->json_path) == done->json);
        const auto json = boost::json::parse(done->json).as_object();
        CHECK(json.at("source") == "https://x.com/ada/status/1");
        CHECK(json.at("title") == "A <b>title</b> \"quoted\"");
        CHECK(json.at("published").is_null());
        CHECK(json.at("sha256").as_string() == std::string_view(done->file.sha256));
        CHECK(json.at("size").to_number<std::uint64_t>() == fs::file_size(base + done->output_path));
        CHECK(net::has_saved_file(base, job, done->output_path).value());
        CHECK(net::remove_saved_files(base, job, done->output_path).value() == 3);
        CHECK(files_below(base) == 0);
    }
}

TEST_CASE("names come from the account, else from the host, else from nobody") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const std::tuple<std::string, std::string, std::string> table[] = {
        {"../../etc", "https://x.com/1", "etc/"}, {"..", "https://Video.example.org/1", "video-example-org/"},
        {"日本", "https://x.com/1", "x-com/"},    {"", "", "video/"},
        {"/abs/path", "", "abs-path/"},           {std::string("a\0b", 3), "", "a-b/"}};
    for (const auto& [account, url, folder] : table) {
        CAPTURE(account);
        const TempDir root;
        const Publisher publisher({.root = root.path("downloads"), .helper = {.program = helper}});
        auto work = publisher.claim_work_folder(job, Fence{7});
        REQUIRE(work);
        PublishRequest request = request_for(*work, "faststart.mp4");
        request.account = account;
        request.source_url = url;
        request.nth = 2;
        const auto done = publisher.publish(request, *work);
        REQUIRE(done);
        CHECK(done->output_path == folder + job.str() + "-7-2.mp4");
        CHECK(fs::exists(root.path("downloads/" + done->output_path)));
    }
}

TEST_CASE("a file that is refused leaves nothing, and its bytes are not kept for a resume") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    for (const char* clip : {"page.mp4", "cut-faststart.mp4", "audio.m4a", "encrypted.mp4", "noise.mp4"}) {
        CAPTURE(clip);
        const TempDir root;
        const Publisher publisher({.root = root.path(), .helper = {.program = helper}});
        auto work = publisher.claim_work_folder(job, Fence{7});
        REQUIRE(work);
        CHECK_FALSE(publisher.publish(request_for(*work, clip), *work));
        CHECK(files_below(root.path()) == 0);
    }
}

TEST_CASE("an input outside the work folder is refused") {
    const TempDir root;
    const TempDir outside;
    media_test::write_file(outside.path("precious"), "x");
    const Publisher publisher({.root = root.path()});
    auto work = publisher.claim_work_folder(job, Fence{7});
    REQUIRE(work);
    for (const std::string& input :
         {outside.path("precious"), work->path() + "/../../precious", work->path(), work->path() + "/",
          work->path() + "/..", work->path() + "x/source", std::string("source")}) {
        CAPTURE(input);
        const auto done = publisher.publish({.input = input, .job = job, .fence = Fence{7}}, *work);
        REQUIRE_FALSE(done);
        CHECK(done.error().name == "PATH_REFUSED");
    }
    CHECK(fs::exists(outside.path("precious")));
}

TEST_CASE("an account's folder that is a link leads nowhere") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const TempDir root;
    const TempDir outside;
    fs::create_directory_symlink(outside.path(), root.path("ada"));
    const Publisher publisher({.root = root.path(), .helper = {.program = helper}});
    auto work = publisher.claim_work_folder(job, Fence{7});
    REQUIRE(work);
    const auto done = publisher.publish(request_for(*work, "plain.mp4"), *work);
    REQUIRE_FALSE(done);
    CHECK(done.error().name == "PATH_REFUSED");
    CHECK(fs::is_empty(outside.path()));
}

TEST_CASE("when the last rename fails, the first ones are taken back") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const TempDir root;
    const Publisher publisher({.root = root.path(), .helper = {.program = helper}});
    auto work = publisher.claim_work_folder(job, Fence{7});
    REQUIRE(work);
    fs::create_directories(root.path("ada/" + job.str() + "-7.mp4/in-the-way"));
    CHECK_FALSE(publisher.publish(request_for(*work, "plain.mp4"), *work));
    CHECK_FALSE(fs::exists(root.path("ada/" + job.str() + "-7.json")));
    CHECK_FALSE(fs::exists(root.path("ada/" + job.str() + "-7.jpg")));
}

TEST_CASE("a stop in the middle of the helper's work leaves no process and no file") {
    const std::string helper = media_test::helper_or_skip();
    if (helper.empty()) return;
    const TempDir root;
    const Publisher publisher({.root = root.path(), .helper = {.program = helper}});
    std::optional<Result<Published>> done;
    std::chrono::steady_clock::time_point asked;
    int child = 0;
    {
        auto work = publisher.claim_work_folder(job, Fence{7});
        REQUIRE(work);
        PublishRequest request = request_for(*work, "plain.mp4");
        // A film long enough to be caught in the middle: the clip repeated for an hour.
        media_test::ffmpeg("-stream_loop 600 -i '" + Clips::get()["plain.mp4"] + "' -c copy -f mp4 '" +
                           request.input + "'");
        std::stop_source stop;
        const auto stop_in_the_middle = [&](const Progress& at) {
            if (at.stage != "remux" || stop.stop_requested()) return;
            CHECK(fs::exists(work->path() + "/out.mp4"));
            child = only_child();
            const std::string process = "/proc/" + std::to_string(child);
            CHECK(media_test::read_file(process + "/limits").find("Max cpu time              600") !=
                  std::string::npos);
            const bool apart = fs::read_symlink(process + "/ns/net") != fs::read_symlink("/proc/self/ns/net");
            CHECK(apart == may_leave_the_network());
            if (!apart) MESSAGE("skipped: this kernel gives the helper no network namespace of its own");
            asked = std::chrono::steady_clock::now();
            stop.request_stop();
        };
        done = publisher.publish(request, *work, stop_in_the_middle, stop.get_token());
    }
    CHECK(std::chrono::steady_clock::now() - asked < 5s);  // The helper itself is over within a second: test_helper_client.
    REQUIRE_FALSE(*done);
    CHECK(done->error().code == Errc::canceled);
    CHECK(files_below(root.path()) == 0);
    CHECK(child > 0);
    CHECK(only_child() == 0);
}

TEST_CASE("the disk's floor is kept while a file is rewritten, too") {
    const TempDir dir;
    media_test::write_file(dir.path("film"), "film");
    constexpr std::uint64_t taken = std::uint64_t{2} << 30;
    const auto space = fs::space(dir.path());
    if (space.available < 2 * taken) {
        MESSAGE("skipped: the disk of temporary files has too little room");
        return;
    }
    const Publisher publisher({.root = dir.path("downloads"), .helper = {.program = greedy_helper(dir, taken)}});
    for (const bool from_the_start : {false, true}) {
        CAPTURE(from_the_start);
        auto work = publisher.claim_work_folder(job, Fence{7});
        REQUIRE(work);
        PublishRequest request{.input = work->path() + "/source-a", .job = job, .fence = Fence{7}};
        fs::copy_file(dir.path("film"), request.input);
        // Half of what it will take: others use the disk as well.
        request.min_free_bytes = from_the_start ? std::uint64_t{1} << 60 : space.available - taken / 2;
        const auto begun = std::chrono::steady_clock::now();
        const auto done = publisher.publish(request, *work);
        REQUIRE_FALSE(done.has_value());
        CHECK_MESSAGE(done.error().name == "DISK_FULL", done.error().message);
        CHECK(std::chrono::steady_clock::now() - begun < 30s);
        // What was fetched stays for the next attempt.
        CHECK(files_below(dir.path("downloads")) == 1);
        fs::remove(request.input);
    }
}
