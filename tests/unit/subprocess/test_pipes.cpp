// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <signal.h>

#include <thread>

#include <doctest/doctest.h>

#include <jobruntime/subprocess.hpp>

#include "support/mostly.hpp"
#include "unit/subprocess/process_probe.hpp"

using namespace jobruntime;
using namespace jobruntime::test;

namespace {

/// A pipe that holds `text` and has ended.
Pipe holding(std::string_view text) {
    auto pipe = make_pipe();
    REQUIRE(pipe);
    REQUIRE(write_all(pipe->write_end.get(), text, in(10s)));
    pipe->write_end.reset();
    return std::move(*pipe);
}

}  // namespace

TEST_CASE("lines come one by one, the last one also without its end") {
    const auto pipe = holding("one\n\nthree");
    LineReader lines(pipe.read_end.get());
    CHECK(lines.next().value() == "one");
    CHECK(lines.next().value() == "");
    CHECK(lines.next().value() == "three");
    CHECK(lines.next().value() == std::nullopt);
    CHECK(lines.next().value() == std::nullopt);
}

TEST_CASE("messages may end with a NUL byte") {
    const auto pipe = holding(std::string_view("{\"a\":\n1}\0{}\0", 12));
    LineReader lines(pipe.read_end.get(), {.delimiter = '\0'});
    CHECK(lines.next().value() == "{\"a\":\n1}");
    CHECK(lines.next().value() == "{}");
    CHECK(lines.next().value() == std::nullopt);
}

TEST_CASE("a line that is too long is refused, whether it has an end or not") {
    for (const auto& text : {std::string(11, 'x') + "\n", std::string(11, 'x')}) {
        const auto pipe = holding(text);
        LineReader lines(pipe.read_end.get(), {.max_line = 10});
        const auto line = lines.next();
        REQUIRE_FALSE(line);
        CHECK(line.error().name == "OUTPUT_TOO_LARGE");
    }
    const auto pipe = holding(std::string(10, 'x') + "\n");
    CHECK(LineReader(pipe.read_end.get(), {.max_line = 10}).next().value() == std::string(10, 'x'));
}

TEST_CASE("an endless line and an endless output end at their limits") {
    auto child = Subprocess::spawn({.argv = {"/bin/cat", "/dev/zero"}, .out = Stdio::pipe});
    REQUIRE(child);
    LineReader lines(child->out().get());
    CHECK(lines.next(in(20s)).error().code == Errc::full);

    auto yes = Subprocess::spawn({.argv = {"yes"}, .out = Stdio::pipe});
    REQUIRE(yes);
    LineReader many(yes->out().get(), {.max_total = 100'000});
    std::size_t bytes = 0;
    auto line = many.next(in(20s));
    for (; line && *line; line = many.next(in(20s))) bytes += (*line)->size() + 1;
    REQUIRE_FALSE(line);
    CHECK(line.error().name == "OUTPUT_TOO_LARGE");
    CHECK(bytes < 100'000 + 2 * 16 * 1024);
    CHECK(read_all(yes->out().get(), 1000, in(20s)).error().name == "OUTPUT_TOO_LARGE");
}

TEST_CASE("a stop cuts a read within 100 ms") {
    auto pipe = make_pipe();
    REQUIRE(pipe);
    LineReader lines(pipe->read_end.get());
    CHECK(tests::mostly_within(100ms, [&] {
        std::stop_source source;
        std::chrono::steady_clock::time_point asked;
        std::jthread stopper([&] {
            std::this_thread::sleep_for(30ms);
            asked = std::chrono::steady_clock::now();
            source.request_stop();
        });
        CHECK(lines.next(forever, source.get_token()).error().code == Errc::canceled);
        const auto ended = std::chrono::steady_clock::now();
        stopper.join();
        CHECK(lines.next(forever, source.get_token()).error().code == Errc::canceled);
        return ended - asked;
    }));
}

TEST_CASE("a read and a blocked write end at their deadline") {
    auto pipe = make_pipe();
    REQUIRE(pipe);
    CHECK(LineReader(pipe->read_end.get()).next(in(20ms)).error().code == Errc::timed_out);
    CHECK(write_all(pipe->write_end.get(), std::string(1u << 20, 'x'), in(50ms)).error().code ==
          Errc::timed_out);
    std::stop_source source;
    source.request_stop();
    CHECK(write_all(pipe->write_end.get(), "x", forever, source.get_token()).error().code == Errc::canceled);
}

TEST_CASE("writing to a dead child is an error and never SIGPIPE") {
    struct sigaction before {};
    ::sigaction(SIGPIPE, nullptr, &before);
    REQUIRE((before.sa_handler == SIG_DFL));  // Or the test would prove nothing.
    auto child = Subprocess::spawn({.argv = {"/bin/true"}, .in = Stdio::pipe});
    REQUIRE(child);
    REQUIRE(child->wait(in(10s)));
    const auto written = write_all(child->in().get(), "hello", in(10s));
    REQUIRE_FALSE(written);
    CHECK(written.error().name == "PIPE_CLOSED");
    sigset_t pending;
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGPIPE) == 0);
}

TEST_CASE("a SIGPIPE that was pending before stays pending") {
    sigset_t pipe_signal;
    sigset_t mask;
    sigemptyset(&pipe_signal);
    sigaddset(&pipe_signal, SIGPIPE);
    ::pthread_sigmask(SIG_BLOCK, &pipe_signal, &mask);
    ::raise(SIGPIPE);
    auto pipe = make_pipe();
    REQUIRE(pipe);
    pipe->read_end.reset();
    CHECK(write_all(pipe->write_end.get(), "x").error().name == "PIPE_CLOSED");
    sigset_t pending;
    sigpending(&pending);
    CHECK(sigismember(&pending, SIGPIPE) == 1);
    const timespec now{};
    ::sigtimedwait(&pipe_signal, nullptr, &now);
    ::pthread_sigmask(SIG_SETMASK, &mask, nullptr);
}
