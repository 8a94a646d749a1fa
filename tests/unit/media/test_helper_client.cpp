// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <chrono>
#include <csignal>
#include <filesystem>
#include <sstream>
#include <thread>
#include <vector>

#include <sys/types.h>

#include <jobruntime/media.hpp>

#include "clips.hpp"
#include "support/mostly.hpp"

using namespace jobruntime;
using namespace jobruntime::media;
using media_test::TempDir;
using media_test::write_file;
using namespace std::chrono_literals;

namespace {

/// A shell script in the helper's place.
class FakeHelper {
public:
    explicit FakeHelper(std::string_view body) {
        write_file(dir_.path("helper"), "#!/bin/sh\n" + std::string(body) + "\n");
        std::filesystem::permissions(dir_.path("helper"), std::filesystem::perms::owner_all);
    }
    HelperClient client(std::chrono::milliseconds timeout = 20s) const {
        return HelperClient({.program = dir_.path("helper"), .timeout = timeout});
    }
    std::string path(std::string_view name) const { return dir_.path(name); }

private:
    TempDir dir_;
};

const std::string good_facts =
    R"("container":"mp4","seconds":6.0,"bytes":100,"width":320,"height":240,)"
    R"("streams":[{"type":"video","codec":"h264","width":320,"height":240,"fps":25},{"type":"audio","codec":"aac"}])";
const std::string good_hash = std::string(64, 'a');

/// A process of the group that runs or sleeps; what is only waiting for init to take its status is dead.
bool group_lives(pid_t group) {
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string stat = media_test::read_file(entry.path() / "stat");
        const auto after_name = stat.rfind(')');
        if (after_name == std::string::npos) continue;
        char state = 0;
        int parent = 0;
        pid_t found = 0;
        std::istringstream(stat.substr(after_name + 1)) >> state >> parent >> found;
        if (found == group && state != 'Z' && state != 'X') return true;
    }
    return false;
}

std::string result_line(const std::string& members) {
    return "read line; echo '{\"type\":\"result\"," + members + "}'";
}

}  // namespace

TEST_CASE("an answer becomes a value, and progress arrives before it") {
    const FakeHelper fake(
        "read line; echo '{\"type\":\"progress\",\"stage\":\"remux\",\"percent\":40}'; echo "
        "'{\"type\":\"result\"," +
        good_facts + ",\"sha256\":\"" + good_hash +
        "\",\"ext\":\"mp4\",\"remuxed\":true,\"thumbnail\":true}'");
    double percent = 0;
    const auto done = fake.client().finish({.input = "/in", .output = "/out"}, [&](const Progress& at) {
        CHECK(at.stage == "remux");
        percent = at.percent;
    });
    REQUIRE(done);
    CHECK(percent == 40);
    CHECK(done->facts.video_codec == "h264");
    CHECK(done->facts.audio_codec == "aac");
    CHECK(done->facts.fps == 25);
    CHECK(done->facts.streams == 2);
    CHECK(done->sha256 == good_hash);
    CHECK(done->remuxed);
    CHECK(done->thumbnail);
}

TEST_CASE("the request carries the file and the limits, in one line") {
    const FakeHelper fake(
        "read line; printf '%s' \"$line\" > \"${0%/*}/request\"; echo "
        "'{\"type\":\"error\",\"code\":\"NO_VIDEO\",\"kind\":\"corrupt\",\"message\":\"none\"}'; exit 1");
    const auto done =
        fake.client().finish({.input = "/a b", .output = "/out", .thumbnail = "/t", .expected_seconds = 6});
    REQUIRE_FALSE(done);
    CHECK(done.error() == Error{Errc::corrupt, "NO_VIDEO", "none"});
    const std::string request = media_test::read_file(fake.path("request"));
    for (const char* part : {R"("op":"finish")", R"("input":"/a b")", R"("thumbnail":"/t")",
                             R"("cpuSeconds":600)", R"("memoryBytes":3221225472)"}) {
        CAPTURE(part);
        CHECK(request.find(part) != std::string::npos);
    }
}

TEST_CASE("whatever the helper does, the worker gets one error") {
    struct Row {
        const char* what;
        std::string script;
        const char* code;
    };
    const std::string no = ",\"sha256\":\"" + good_hash + "\"";
    const Row table[] = {
        {"dies of the file", "read line; kill -SEGV $$", "MEDIA_HELPER_CRASHED"},
        {"dies before it reads", "kill -ABRT $$", "MEDIA_HELPER_CRASHED"},
        {"dies after its answer", result_line(good_facts) + "; kill -SEGV $$", "MEDIA_HELPER_CRASHED"},
        {"says nothing", "read line; exit 0", "MEDIA_HELPER_CRASHED"},
        {"does not read and exits", "exit 3", "MEDIA_HELPER_CRASHED"},
        {"says garbage", "read line; echo hello", "MEDIA_HELPER_CRASHED"},
        {"says a number", "read line; echo 12", "MEDIA_HELPER_CRASHED"},
        {"says no type", "read line; echo '{}'", "MEDIA_HELPER_CRASHED"},
        {"answers twice",
         result_line(good_facts) + "; echo '{\"type\":\"error\",\"code\":\"NO_VIDEO\",\"message\":\"x\"}'",
         "MEDIA_HELPER_CRASHED"},
        {"succeeds and fails", result_line(good_facts) + "; exit 1", "MEDIA_HELPER_CRASHED"},
        {"floods", "read line; exec /usr/bin/yes '{\"type\":\"progress\"}'", "MEDIA_HELPER_CRASHED"},
        {"makes up a code",
         "read line; echo '{\"type\":\"error\",\"code\":\"HELLO\",\"message\":\"x\"}'; exit 1",
         "MEDIA_HELPER_CRASHED"},
        {"spends its CPU time", "kill -XCPU $$", "MEDIA_TIMEOUT"},
        {"gives no checksum", result_line(good_facts + ",\"ext\":\"mp4\""), "MEDIA_HELPER_CRASHED"},
        {"gives no facts", result_line("\"ext\":\"mp4\"" + no), "MEDIA_HELPER_CRASHED"},
        {"lies about the name", result_line(good_facts + no + ",\"ext\":\"mp4/../../x\""),
         "MEDIA_HELPER_CRASHED"},
        {"names a script", result_line(good_facts + no + ",\"ext\":\"html\""), "MEDIA_HELPER_CRASHED"},
    };
    for (const Row& row : table) {
        CAPTURE(row.what);
        const auto done = FakeHelper(row.script).client().finish({.input = "/in", .output = "/out"});
        REQUIRE_FALSE(done);
        CHECK(done.error().name == row.code);
        CHECK_FALSE(done.error().message.empty());
    }
}

TEST_CASE("a helper that hangs is killed at its time-out, with its children") {
    const FakeHelper fake("echo $$ > \"${0%/*}/pid\"; /bin/sleep 600 & wait");
    const auto before = std::chrono::steady_clock::now();
    const auto done = fake.client(300ms).probe("/in");
    CHECK(std::chrono::steady_clock::now() - before < 20s);
    REQUIRE_FALSE(done);
    CHECK(done.error().name == "MEDIA_TIMEOUT");
    const pid_t pid = std::stoi(media_test::read_file(fake.path("pid")));
    CHECK_FALSE(group_lives(pid));
}

TEST_CASE("a stop ends the helper within a second") {
    CHECK(tests::mostly_within(1s, [] {
        const FakeHelper fake(
            "read line; echo $$ > \"${0%/*}/pid.new\"; /bin/mv \"${0%/*}/pid.new\" \"${0%/*}/pid\"; exec "
            "/bin/sleep 600");
        std::stop_source stop;
        std::chrono::steady_clock::time_point asked;
        std::jthread asker([&] {
            while (!std::filesystem::exists(fake.path("pid"))) std::this_thread::yield();
            asked = std::chrono::steady_clock::now();
            stop.request_stop();
        });
        const auto done = fake.client().probe("/in", stop.get_token());
        const auto ended = std::chrono::steady_clock::now();
        asker.join();
        REQUIRE_FALSE(done);
        CHECK(done.error().code == Errc::canceled);
        CHECK_FALSE(group_lives(std::stoi(media_test::read_file(fake.path("pid")))));
        return ended - asked;
    }));
}

TEST_CASE("a helper that was started ahead does the work, and one that has ended meanwhile is not missed") {
    const FakeHelper fake("echo $$ >> \"${0%/*}/starts\"; " +
                          result_line(good_facts + ",\"sha256\":\"" + good_hash + "\",\"ext\":\"mp4\""));
    const auto starts = [&] {
        std::vector<pid_t> pids;
        std::istringstream text(media_test::read_file(fake.path("starts")));
        for (pid_t pid = 0; text >> pid;) pids.push_back(pid);
        return pids;
    };
    const auto started = [&](std::size_t count) {
        const auto end = std::chrono::steady_clock::now() + 20s;
        while (starts().size() < count && std::chrono::steady_clock::now() < end) std::this_thread::sleep_for(1ms);
        return starts().size() == count;
    };
    const auto client = fake.client();
    const FinishRequest wanted{.input = "/in", .output = "/out"};
    auto ahead = client.start_ahead();
    REQUIRE(started(1));
    CHECK(client.finish(wanted, {}, {}, std::move(ahead)));
    CHECK(starts().size() == 1);

    auto dead = client.start_ahead();
    REQUIRE(started(2));
    REQUIRE(::kill(starts().back(), SIGKILL) == 0);
    const auto end = std::chrono::steady_clock::now() + 20s;
    while (group_lives(starts().back()) && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    CHECK(client.finish(wanted, {}, {}, std::move(dead)));
    CHECK(starts().size() == 3);

    auto unused = client.start_ahead();
    REQUIRE(started(4));
    unused = {};
    CHECK_FALSE(group_lives(starts().back()));
    // What cannot be started is told by the call.
    const HelperClient missing({.program = "/nowhere/jobrt-media"});
    const auto done = missing.finish(wanted, {}, {}, missing.start_ahead());
    REQUIRE_FALSE(done);
    CHECK(done.error().name == "MEDIA_HELPER_NOT_FOUND");
}

TEST_CASE("a missing helper is named with its remedy") {
    for (const char* program : {"/nowhere/jobrt-media", "jobrt-media-that-is-not-installed"}) {
        const auto done = HelperClient({.program = program}).probe("/in");
        REQUIRE_FALSE(done);
        CHECK(done.error().name == "MEDIA_HELPER_NOT_FOUND");
        CHECK(done.error().message.find(program) != std::string::npos);
    }
}

TEST_CASE("every code has a remedy") {
    for (const CodeInfo& info : codes()) {
        CAPTURE(info.code);
        CHECK_FALSE(info.remedy.empty());
    }
}
