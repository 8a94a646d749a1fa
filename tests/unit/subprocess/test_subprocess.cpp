// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <thread>

#include <doctest/doctest.h>

#include <jobruntime/subprocess.hpp>

#include "support/mostly.hpp"
#include "support/places.hpp"
#include "unit/subprocess/process_probe.hpp"

using namespace jobruntime;
using namespace jobruntime::test;

TEST_CASE("a child's output and exit code arrive") {
    auto child = Subprocess::spawn(shell("echo hello; exit 3"));
    REQUIRE(child);
    CHECK(read_all(child->out().get(), 100, in(10s)).value() == "hello\n");
    const auto status = child->wait(in(10s));
    REQUIRE(status);
    CHECK(*status == ExitStatus{.code = 3});
    CHECK(to_string(*status) == "exit status 3");
    CHECK(child->wait().value() == ExitStatus{.code = 3});
    CHECK(child->terminate(1s).value() == ExitStatus{.code = 3});
}

TEST_CASE("death by a signal is told") {
    auto child = Subprocess::spawn(shell("kill -SEGV $$"));
    REQUIRE(child);
    const auto status = child->wait(in(10s));
    REQUIRE(status);
    CHECK(status->signal == SIGSEGV);
    CHECK_FALSE(status->success());
    CHECK(to_string(*status) == "killed by signal 11 (Segmentation fault)");
}

TEST_CASE("stdin, stdout and stderr are pipes when asked for") {
    auto options = shell("cat; echo problem >&2");
    options.in = Stdio::pipe;
    options.err = Stdio::pipe;
    auto child = Subprocess::spawn(options);
    REQUIRE(child);
    REQUIRE(write_all(child->in().get(), "to the child", in(10s)));
    child->in().reset();
    CHECK(read_all(child->out().get(), 100, in(10s)).value() == "to the child");
    CHECK(read_all(child->err().get(), 100, in(10s)).value() == "problem\n");
    CHECK(child->wait(in(10s)).value().success());
}

TEST_CASE("the environment and the directory are exactly what was given") {
    SpawnOptions options{.argv = {"env"}, .env = {"PATH=/usr/bin:/bin", "ONLY=this one"}, .out = Stdio::pipe};
    auto child = Subprocess::spawn(options);
    REQUIRE(child);
    CHECK(read_all(child->out().get(), 10'000, in(10s)).value() == "PATH=/usr/bin:/bin\nONLY=this one\n");

    auto there = shell("pwd");
    there.cwd = "/usr";
    auto second = Subprocess::spawn(there);
    REQUIRE(second);
    CHECK(read_all(second->out().get(), 100, in(10s)).value() == "/usr\n");
}

TEST_CASE("arguments never pass a shell") {
    SpawnOptions options{.argv = {"/bin/echo", "$(id)", "a b", "`x`;"}, .out = Stdio::pipe};
    auto child = Subprocess::spawn(options);
    REQUIRE(child);
    CHECK(read_all(child->out().get(), 100, in(10s)).value() == "$(id) a b `x`;\n");
}

TEST_CASE("what cannot run is an error with a name") {
    const auto name_of = [](SpawnOptions options) {
        const auto child = Subprocess::spawn(options);
        REQUIRE_FALSE(child);
        return child.error().name + "/" + std::string(to_string(child.error().code));
    };
    CHECK(name_of({.argv = {"/no/such/program"}}) == "PROGRAM_NOT_FOUND/not_found");
    CHECK(name_of({.argv = {"no-such-program-here"}}) == "PROGRAM_NOT_FOUND/not_found");
    CHECK(name_of({.argv = {"sh"}, .env = {"PATH="}}) == "PROGRAM_NOT_FOUND/not_found");
    CHECK(name_of({.argv = {"/etc/passwd"}}) == "PROGRAM_NOT_EXECUTABLE/unsupported");
    CHECK(name_of({.argv = {"/bin/true"}, .cwd = "/no/such/folder"}) == "DIRECTORY_NOT_FOUND/not_found");
    CHECK(name_of({}) == "/invalid_argument");
    CHECK(name_of({.argv = {std::string("/bin/true\0x", 11)}}) == "/invalid_argument");
    CHECK(name_of({.argv = {"/bin/true"}, .fds = {{999, 3}}}) == "/invalid_argument");
    CHECK(name_of({.argv = {"/bin/true"}, .fds = {{0, 2}}}) == "/invalid_argument");
    CHECK(name_of({.argv = {"/bin/true"}, .fds = {{0, 3}, {1, 3}}}) == "/invalid_argument");
}

TEST_CASE("descriptors arrive under their numbers, also crosswise, and no other does") {
    auto to_child = make_pipe();
    auto from_child = make_pipe();
    REQUIRE(to_child);
    REQUIRE(from_child);
    // Our ends sit on 3 and 4 the wrong way round: a careless dup2 would overwrite one with the other.
    const int read_4 = ::fcntl(to_child->read_end.get(), F_DUPFD_CLOEXEC, 500);
    const int write_3 = ::fcntl(from_child->write_end.get(), F_DUPFD_CLOEXEC, 501);
    auto options = shell("cat <&3 >&4; ls /proc/self/fd | tr '\\n' ' '");
    options.fds = {{read_4, 3}, {write_3, 4}};
    const Fd leak(::fcntl(0, F_DUPFD, 600));  // Not close-on-exec: the child must not see it all the same.
    auto child = Subprocess::spawn(options);
    REQUIRE(child);
    ::close(read_4);
    ::close(write_3);
    from_child->write_end.reset();
    to_child->read_end.reset();
    REQUIRE(write_all(to_child->write_end.get(), "through", in(10s)));
    to_child->write_end.reset();
    CHECK(read_all(from_child->read_end.get(), 100, in(10s)).value() == "through");
    // 5 is ls's own handle on the folder.
    CHECK(read_all(child->out().get(), 1000, in(10s)).value() == "0 1 2 3 4 5 ");
}

TEST_CASE("a mapping may exchange two numbers that are open here") {
    auto first = make_pipe();
    auto second = make_pipe();
    REQUIRE(first);
    REQUIRE(second);
    const int a = first->write_end.get();
    const int b = second->write_end.get();
    REQUIRE(a >= 3);
    REQUIRE(b >= 3);
    if (a > 9 || b > 9) {
        MESSAGE("skipped: the shell knows descriptors up to 9 only");
        return;
    }
    auto options = shell("echo one >&" + std::to_string(b) + "; echo two >&" + std::to_string(a));
    options.fds = {{a, b}, {b, a}};
    auto child = Subprocess::spawn(options);
    REQUIRE(child);
    first->write_end.reset();
    second->write_end.reset();
    CHECK(read_all(first->read_end.get(), 100, in(10s)).value() == "one\n");
    CHECK(read_all(second->read_end.get(), 100, in(10s)).value() == "two\n");
}

TEST_CASE("terminate lets a child end by itself within the grace time") {
    auto child = Subprocess::spawn(shell("trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done"));
    REQUIRE(child);
    LineReader lines(child->out().get());
    REQUIRE(lines.next(in(10s)).value() == "ready");
    CHECK(child->terminate(10s).value() == ExitStatus{.code = 7});
}

TEST_CASE("terminate kills what ignores SIGTERM, with its children") {
    auto child = Subprocess::spawn(shell("trap '' TERM; sleep 1000 & echo $!; while :; do sleep 0.01; done"));
    REQUIRE(child);
    const int grandchild = read_pid(*child);
    REQUIRE(grandchild > 0);
    const auto before = std::chrono::steady_clock::now();
    CHECK(child->terminate(100ms).value() == ExitStatus{.signal = SIGKILL});
    CHECK(std::chrono::steady_clock::now() - before < 10s);
    CHECK(ends_within(grandchild, 0ms));
}

TEST_CASE("a stopped child is killed as well") {
    auto child = Subprocess::spawn({.argv = {"/bin/sleep", "1000"}});
    REQUIRE(child);
    child->signal_group(SIGSTOP);
    siginfo_t stopped{};
    REQUIRE(::waitid(P_PID, static_cast<id_t>(child->pid()), &stopped, WSTOPPED) == 0);
    CHECK(child->terminate(50ms).value() == ExitStatus{.signal = SIGKILL});
}

TEST_CASE("what is left of the group when the child ends is killed") {
    auto child = Subprocess::spawn(shell("sleep 1000 & echo $!"));
    REQUIRE(child);
    const int grandchild = read_pid(*child);
    REQUIRE(grandchild > 0);
    CHECK(child->wait(in(10s)).value().success());
    CHECK(ends_within(grandchild, 0ms));
}

TEST_CASE("the destructor leaves no process behind") {
    int grandchild = 0;
    int direct = 0;
    {
        auto child = Subprocess::spawn(shell("sleep 1000 & echo $!; wait"));
        REQUIRE(child);
        direct = child->pid();
        grandchild = read_pid(*child);
        REQUIRE(grandchild > 0);
    }
    CHECK(ends_within(grandchild, 0ms));
    CHECK((::waitpid(direct, nullptr, WNOHANG) == -1 && errno == ECHILD));
}

TEST_CASE("waiting ends at its deadline and at a stop, and the child goes on") {
    auto child = Subprocess::spawn({.argv = {"/bin/sleep", "1000"}});
    REQUIRE(child);
    CHECK(child->wait(in(20ms)).error().code == Errc::timed_out);
    CHECK(tests::mostly_within(100ms, [&] {
        std::stop_source source;
        std::chrono::steady_clock::time_point asked;
        std::jthread stopper([&] {
            std::this_thread::sleep_for(30ms);
            asked = std::chrono::steady_clock::now();
            source.request_stop();
        });
        CHECK(child->wait(forever, source.get_token()).error().code == Errc::canceled);
        const auto ended = std::chrono::steady_clock::now();
        stopper.join();
        return ended - asked;
    }));
    CHECK_FALSE(ends_within(child->pid(), 0ms));
}

TEST_CASE("a foreign child of the host is never reaped") {
    const pid_t foreign = ::fork();
    if (foreign == 0) ::_exit(5);
    auto child = Subprocess::spawn({.argv = {"/bin/true"}});
    REQUIRE(child);
    CHECK(child->wait(in(10s)).value().success());
    int status = 0;
    CHECK(::waitpid(foreign, &status, 0) == foreign);
    CHECK(WEXITSTATUS(status) == 5);
}

TEST_CASE("the end of a child interrupts nothing that the host waits for") {
    struct sigaction at_death {};
    ::sigaction(SIGCHLD, nullptr, &at_death);
    const bool standard = at_death.sa_handler == SIG_DFL;
    REQUIRE(standard);  // As most programs have it.
    std::array<int, 2> ends{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) == 0);
    const timeval limit{20, 0};
    REQUIRE(::setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    std::jthread family([end = ends[1]] {
        for (const bool die_with_parent : {true, false})
            for (int i = 0; i < 5; ++i) {
                auto child = Subprocess::spawn({.argv = {"/bin/true"}, .die_with_parent = die_with_parent});
                if (child) (void)child->wait(in(10s));
            }
        ::close(end);
    });
    char byte = 0;
    const auto got = ::recv(ends[0], &byte, 1, 0);
    CHECK_MESSAGE(got == 0, "recv: " << std::string(std::strerror(errno)));
    family.join();
    ::close(ends[0]);
}

TEST_CASE("a host that reaps any child is told so") {
    auto child = Subprocess::spawn({.argv = {"/bin/true"}});
    REQUIRE(child);
    REQUIRE(::waitpid(child->pid(), nullptr, 0) == child->pid());
    CHECK(child->wait(in(10s)).error().code == Errc::internal);
}

TEST_CASE("the child starts with default signals and an empty mask") {
    struct sigaction ignored {};
    struct sigaction before {};
    ignored.sa_handler = SIG_IGN;
    ::sigaction(SIGUSR1, &ignored, &before);
    sigset_t blocked;
    sigset_t mask;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &blocked, &mask);
    for (const bool die_with_parent : {true, false}) {
        SpawnOptions options{.argv = {"/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"},
                             .out = Stdio::pipe};
        options.die_with_parent = die_with_parent;
        auto child = Subprocess::spawn(options);
        REQUIRE(child);
        CHECK(read_all(child->out().get(), 1000, in(10s)).value() ==
              "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
    }
    sigset_t now;
    ::pthread_sigmask(SIG_SETMASK, &mask, &now);
    CHECK(sigismember(&now, SIGTERM) == 1);
    CHECK(sigismember(&now, SIGUSR1) == 0);
    ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("limits hold in the child") {
    auto options = shell("ulimit -v; ulimit -t; ulimit -f; ulimit -n; ulimit -c");
    options.limits = {
        .address_space_bytes = 512u << 20, .cpu_seconds = 5, .file_size_bytes = 1u << 20, .open_files = 64};
    auto child = Subprocess::spawn(options);
    REQUIRE(child);
    CHECK(read_all(child->out().get(), 1000, in(10s)).value() == "524288\n5\n2048\n64\n0\n");
}

TEST_CASE("a child that computes too long is ended by its limit") {
    auto options = shell("while :; do :; done");
    options.limits.cpu_seconds = 1;
    auto child = Subprocess::spawn(options);
    REQUIRE(child);
    CHECK(child->wait(in(30s)).value().signal == SIGXCPU);
}

TEST_CASE("the child outlives the thread that started it and dies with the process") {
    auto parent = Subprocess::spawn({.argv = {tests::program("subprocess_parent")}, .out = Stdio::pipe});
    REQUIRE(parent);
    const int grandchild = read_pid(*parent);
    REQUIRE(grandchild > 0);
    CHECK_FALSE(ends_within(grandchild, 50ms));  // Its spawning thread has ended before the line was printed.
    // The grandchild leads a group of its own, so only the parent dies of this.
    parent->signal_group(SIGKILL);
    CHECK(ends_within(grandchild, 20'000ms));
    CHECK(parent->wait(in(10s)).value().signal == SIGKILL);
}

TEST_CASE("no descriptor leaks, and no process, whatever happens") {
    const auto once = [] {
        auto good = Subprocess::spawn(shell("echo x"));
        REQUIRE(good);
        CHECK(good->wait(in(10s)).value().success());
        CHECK_FALSE(Subprocess::spawn({.argv = {"/no/such/program"}, .in = Stdio::pipe, .out = Stdio::pipe}));
        auto killed = Subprocess::spawn({.argv = {"/bin/sleep", "1000"}, .in = Stdio::pipe});
        REQUIRE(killed);
        std::stop_source source;
        CHECK(killed->wait(in(1ms), source.get_token()).error().code == Errc::timed_out);
    };
    once();
    const auto before = open_descriptors();
    for (int i = 0; i < 10; ++i) once();
    CHECK(open_descriptors() == before);
    CHECK((::waitpid(-1, nullptr, WNOHANG) == -1 && errno == ECHILD));
}

TEST_CASE("many threads start children at once") {
    std::vector<std::jthread> threads;
    std::atomic<int> good = 0;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&good] {
            for (int i = 0; i < 10; ++i) {
                auto child = Subprocess::spawn(shell("echo " + std::to_string(i)));
                if (child &&
                    read_all(child->out().get(), 100, in(20s)).value_or("") == std::to_string(i) + "\n" &&
                    child->wait(in(20s)))
                    ++good;
            }
        });
    threads.clear();
    CHECK(good == 40);
}
