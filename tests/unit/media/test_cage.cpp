// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What the helper that parses hostile media can still do once it is in its cage, and what it could do before.
#include <fcntl.h>
#include <linux/landlock.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <thread>

#include <doctest/doctest.h>

#include <jobruntime/media.hpp>

#include "clips.hpp"
#include "core/sanitizers.hpp"
#include "sandbox.hpp"
#include "unit/net/test_server.hpp"

namespace jobruntime::media_test {
namespace {

/// Bits of what a child could do.
enum Could : int { read_input = 1, write_output = 2, open_socket = 4, reach_server = 8, read_stranger = 16, write_elsewhere = 32 };

bool opens(const std::string& path, int flags) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, 0600);
    if (fd >= 0) ::close(fd);
    return fd >= 0;
}

/// A child with one thread, as the helper is. Nothing of doctest's runs in it.
template <class Body>
int in_a_child(Body body) {
    const pid_t child = ::fork();
    if (child == 0) ::_exit(body());
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CAPTURE(status);
    REQUIRE(WIFEXITED(status));
    return WEXITSTATUS(status);
}

int tries(const helper::Request& request, const std::string& stranger, int port) {
    int could = 0;
    if (opens(request.input, O_RDONLY)) could |= read_input;
    if (opens(request.output, O_WRONLY | O_CREAT)) could |= write_output;
    if (opens(stranger, O_RDONLY)) could |= read_stranger;
    if (opens(stranger + ".new", O_WRONLY | O_CREAT)) could |= write_elsewhere;
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return could;
    could |= open_socket;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) could |= reach_server;
    return could;
}

bool has_landlock() {
    // With a sanitizer the helper leaves it out, for the leak checker reads /proc.
    if (core::in_address_sanitizer || core::in_thread_sanitizer) return false;
    return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

bool may_filter_calls() {
    return ::access("/proc/sys/kernel/seccomp/actions_avail", F_OK) == 0;
}

}  // namespace

TEST_CASE("in its cage the helper opens no socket and no file but its own; before it does both") {
    const TempDir own;
    const TempDir other;
    test::TestServer server;
    write_file(own.path("input"), "media");
    write_file(other.path("secret"), "of somebody else");
    helper::Request request;
    request.op = "finish";
    request.input = own.path("input");
    request.output = own.path("output");
    const auto stranger = other.path("secret");

    const int before = in_a_child([&] { return tries(request, stranger, server.port()); });
    CHECK(before == (read_input | write_output | open_socket | reach_server | read_stranger | write_elsewhere));
    std::filesystem::remove(own.path("output"));
    std::filesystem::remove(stranger + ".new");

    const int inside = in_a_child([&] {
        helper::enter(request);
        return tries(request, stranger, server.port());
    });
    CHECK((inside & read_input) != 0);
    CHECK((inside & write_output) != 0);
    if (may_filter_calls()) {
        CHECK((inside & open_socket) == 0);
    } else {
        MESSAGE("skipped: this kernel has no seccomp, so only the network namespace keeps the helper from the network");
    }
    CHECK((inside & reach_server) == 0);
    // The control's, which the server may not have taken from the kernel yet.
    for (int tries = 0; tries < 1000 && server.connections() < 1; ++tries) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    CHECK(server.connections() == 1);
    if (has_landlock()) {
        CHECK((inside & read_stranger) == 0);
        CHECK((inside & write_elsewhere) == 0);
    } else {
        MESSAGE("skipped: this kernel has no Landlock, so the helper sees other files");
    }
}

TEST_CASE("no media file has the helper ask a server for anything, though ffprobe would") {
    const std::string program = helper_or_skip();
    if (program.empty()) return;
    const TempDir folder;
    test::TestServer server;
    const auto at = server.url("/x.ts");
    const std::pair<const char*, std::string> files[] = {
        {"list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n" + at + "\n#EXT-X-ENDLIST\n"},
        {"list.ffconcat", "ffconcat version 1.0\nfile '" + at + "'\n"},
        {"list.mpd", "<?xml version=\"1.0\"?><MPD type=\"static\" mediaPresentationDuration=\"PT1S\"><Period><AdaptationSet "
                     "mimeType=\"video/mp4\"><Representation id=\"1\" bandwidth=\"1\"><BaseURL>" + at +
                         "</BaseURL></Representation></AdaptationSet></Period></MPD>"}};
    for (const auto& [name, text] : files) {
        CAPTURE(name);
        write_file(folder.path(name), text);
        // Both by what it is called and as a download, whose name tells nothing.
        write_file(folder.path("source-a"), text);
        for (const auto* file : {name, "source-a"})
            CHECK_FALSE(media::HelperClient({.program = program}).probe(folder.path(file)));
    }
    CHECK(server.connections() == 0);
    const auto control = "ffprobe -v quiet -allowed_extensions ALL -protocol_whitelist file,http,tcp -i '" +
                         folder.path("list.m3u8") + "' >/dev/null 2>&1 || true";
    output_of(control);
    CHECK(server.connections() > 0);
}

}  // namespace jobruntime::media_test
