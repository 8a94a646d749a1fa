// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http_fixture.hpp"

#include <atomic>
#include <cerrno>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "core/failpoint.hpp"

// What may go wrong before a request is read: accept() fails, or nobody has looked for a while.
using namespace http_test;

namespace {

const std::string any_token = "Authorization: Bearer any\r\n";
const std::string listing = "GET /api/jobs HTTP/1.1\r\nHost: localhost\r\n" + any_token + "\r\n";

/// Has the thread that reads requests wait until finish().
std::unique_ptr<Client> keep(Hold& hold, int port) {
    auto holder = std::make_unique<Client>(port);
    holder->send("POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
                 "Authorization: Bearer hold\r\n\r\n");
    hold.inside.wait(false);
    holder->send("{}");
    return holder;
}

std::vector<std::unique_ptr<Client>> connect(int count, int port) {
    std::vector<std::unique_ptr<Client>> clients;
    for (int i = 0; i < count; ++i) clients.push_back(std::make_unique<Client>(port));
    return clients;
}

}  // namespace

#ifdef JOBRUNTIME_FAILPOINTS
TEST_CASE("one who has left before he was let in keeps out nobody who waits behind him") {
    for (const int error : {EINTR, ECONNABORTED, EPROTO, ENETUNREACH}) {
        CAPTURE(error);
        std::atomic<int> calls = 0;
        Hold hold;
        Host host({}, nullptr, hold.options());
        const int port = host.start();
        Client stream(port);
        stream.send("GET /api/telemetry/stream HTTP/1.1\r\nHost: localhost\r\n" + any_token + "\r\n");
        REQUIRE(stream.read_reply()->status == 200);
        const auto holder = keep(hold, port);
        const auto clients = connect(50, port);
        for (const auto& client : clients) client->send(listing);
        core::set_failpoint("http.accept", [&, error] {
            errno = error;
            return ++calls % 2 == 1;
        });
        std::thread stopper([&] { host.server.stop(); });
        CHECK(stream.read_all().find("event: shutdown") != std::string::npos);  // Nobody is let in later than now.
        hold.finish();
        stopper.join();
        core::clear_failpoints();
        for (const auto& client : clients) {
            const auto reply = client->read_reply();
            CHECK(reply);
            if (reply) CHECK(reply->status == 200);
        }
        CHECK(host.lines().empty());
    }
}

TEST_CASE("while nobody can be let in those who come wait, which is said once, and the door is tried now and then") {
    const std::pair<int, const char*> rows[] = {{EMFILE, "http: out of file descriptors; new connections wait"},
                                                {ENFILE, "http: out of file descriptors; new connections wait"},
                                                {ENOMEM, "http: Cannot allocate memory; new connections wait"},
                                                {EPERM, "http: Operation not permitted; new connections wait"}};
    for (const auto& [error, line] : rows) {
        CAPTURE(error);
        http::Options options;
        options.head_timeout = 200ms;  // A quarter of it is how often the door is tried.
        Host host(options);
        const int port = host.start();
        std::atomic<int> calls = 0;
        std::chrono::steady_clock::time_point second, last;
        core::set_failpoint("http.accept", [&, error = error] {
            if (++calls > 5) return false;
            last = std::chrono::steady_clock::now();
            if (calls == 2) second = last;
            errno = error;
            return true;
        });
        Client client(port);
        const auto reply = client.get("/api/jobs");
        core::clear_failpoints();
        REQUIRE(reply);
        CHECK(reply->status == 200);
        CHECK(last - second >= 100ms);  // The first may have been just before it was time.
        CHECK(host.lines() == std::vector<std::string>{line});
    }
}

TEST_CASE("the last descriptor is for who came for it, and nobody goes or waits for one who is not there") {
    Host host;
    const int port = host.start();
    std::atomic<int> calls = 0;
    core::set_failpoint("http.accept", [&] {
        errno = EMFILE;  // As the system has it once the last one is taken.
        return ++calls % 2 == 0;
    });
    for (int i = 1; i <= 3; ++i) {
        Client client(port);
        while (calls < 2 * i) std::this_thread::yield();
        const auto reply = client.get("/api/jobs");
        REQUIRE(reply);
        CHECK(reply->status == 200);
    }
    core::clear_failpoints();
    CHECK(host.lines().empty());
}
#endif

TEST_CASE("what came while nobody looked is read, however late that is") {
    Hold hold;
    http::Options options;
    options.head_timeout = 4s;
    Host host(options, nullptr, hold.options());
    const int port = host.start();
    const auto clients = connect(200, port);  // More than are looked at in one turn.
    CHECK(Client(port).get("/api/health")->status == 200);  // The others have come in before it.
    const auto holder = keep(hold, port);
    for (const auto& client : clients) client->send(listing);
    std::this_thread::sleep_for(options.head_timeout + 300ms);
    hold.finish();
    for (const auto& client : clients) {
        const auto reply = client->read_reply();
        CHECK(reply);
        if (reply) CHECK(reply->status == 200);
    }
}
