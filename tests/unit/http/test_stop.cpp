// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http_fixture.hpp"

#include <atomic>
#include <thread>

using namespace http_test;

namespace {

const std::string slow_request = "GET /slow HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// A request that is being routed until the test lets it go.
struct Slow {
    explicit Slow(Host& host) {
        Route route{"GET", "/slow", Role::read, "Slow.", {}, [this](const Request&, const RouteMatch&) {
                        inside = true;
                        inside.notify_all();
                        let_go.wait(false);
                        return Response::json(200, {{"slow", true}});
                    }};
        route.storeless = true;  // What waits for the store is given up before these tests are at their end.
        host.router.add(std::move(route));
    }
    void finish() {
        let_go = true;
        let_go.notify_all();
    }
    std::atomic<bool> inside{false}, let_go{false};
};

}  // namespace

TEST_CASE("stopping closes what is idle, ends streams at once, and lets a running request finish within the grace time") {
    Host host;
    Slow slow(host);
    const int port = host.start();
    Client idle(port), running(port), stream(port);
    CHECK(idle.get("/api/health")->status == 200);
    stream.send("GET /api/telemetry/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    REQUIRE(stream.read_reply()->status == 200);
    running.send(slow_request);
    slow.inside.wait(false);
    std::thread stopper([&] { host.server.stop(); });
    // Neither waits for the request.
    CHECK(stream.read_all().find("event: shutdown") != std::string::npos);
    CHECK(idle.is_closed());
    // Longer than the second that all had before.
    std::this_thread::sleep_for(1'500ms);
    slow.finish();
    CHECK(running.read_reply()->body == R"({"slow":true})");
    CHECK(running.is_closed());
    stopper.join();
    host.server.stop();
}

TEST_CASE("a request that takes longer than the grace time is left, and so is one when the stop is hurried") {
    for (const bool hurried : {false, true}) {
        CAPTURE(hurried);
        http::Options options;
        options.grace = hurried ? 60s : 200ms;
        Host host(options);
        Slow slow(host);
        const int port = host.start();
        Client running(port);
        running.send(slow_request);
        slow.inside.wait(false);
        std::thread stopper([&] { host.server.stop(); });
        if (hurried) {
            // Only once it stops: a new connection is refused then.
            const auto refuses = [&] {
                const http::Fd probe(::socket(AF_INET, SOCK_STREAM, 0));
                sockaddr_in address{};
                address.sin_family = AF_INET;
                address.sin_port = htons(static_cast<std::uint16_t>(port));
                address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
                return connect(probe.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0;
            };
            while (!refuses()) std::this_thread::yield();
            host.server.stop_now();
        }
        CHECK(running.is_closed());
        slow.finish();
        stopper.join();
    }
}
