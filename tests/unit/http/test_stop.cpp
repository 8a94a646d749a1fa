// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http_fixture.hpp"

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "http/hub.hpp"

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

const std::string echo_job = R"({"kind":"demo.echo"})";

std::string post_head(const std::string& more) {
    return "POST /api/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(echo_job.size()) + "\r\n" + more + "\r\n";
}

/// Begins a request; half of its body has been read when this returns, or at least its head.
void send_half(Client& client) {
    client.send(post_head("Expect: 100-continue\r\n"));
    REQUIRE(client.read_to("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
    client.send(echo_job.substr(0, echo_job.size() / 2));
}

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

TEST_CASE("a stop gives half a request no more than its second, also when nobody looked for a while") {
    Hold hold;
    http::Options options;
    options.head_timeout = 4s;  // Nobody has looked for long after two seconds, and gets four more otherwise.
    options.grace = 30s;
    Host host(options, nullptr, hold.options());
    const int port = host.start();
    Client idle(port), half(port), holder(port);
    CHECK(idle.get("/api/health")->status == 200);
    half.send(post_head("Authorization: Bearer any\r\nExpect: 100-continue\r\n"));
    REQUIRE(half.read_to("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
    const auto head = post_head("Authorization: Bearer hold\r\n");
    holder.send(head.substr(0, 20));
    CHECK(Client(port).get("/api/health")->status == 200);  // Both have been read as far as they came.
    std::thread stopper([&] { host.server.stop(); });
    CHECK(idle.is_closed());
    holder.send(head.substr(20));
    hold.inside.wait(false);
    std::this_thread::sleep_for(2'300ms);
    hold.finish();
    const auto since = std::chrono::steady_clock::now();
    (void)half.read_all();
    CHECK(std::chrono::steady_clock::now() - since < 3s);
    stopper.join();
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

TEST_CASE("a request of which a part has come when the server stops is read to its end and answered") {
    Host host;
    const int port = host.start();
    Client half(port), idle(port);
    send_half(half);
    CHECK(idle.get("/api/health")->status == 200);
    std::thread stopper([&] { host.server.stop(); });
    CHECK(idle.is_closed());
    half.send(echo_job.substr(echo_job.size() / 2));
    const auto reply = half.read_reply();
    stopper.join();
    REQUIRE(reply);
    CHECK(reply->status == 201);
    CHECK(reply->headers.at("connection") == "close");
    CHECK(half.is_closed());
}

TEST_CASE("whoever sends the rest of a request too slowly does not hold up the stop") {
    http::Options options;
    options.head_timeout = options.grace = 10min;
    Host host(options);
    Client half(host.start());
    send_half(half);
    std::thread stopper([&] { host.server.stop(); });
    const auto reply = half.read_reply();
    stopper.join();
    REQUIRE(reply);
    CHECK(reply->status == 408);
}

TEST_CASE("requests that nobody has read yet when the server stops are answered") {
    Hold hold;
    Host host({}, nullptr, hold.options());
    const int port = host.start();
    const std::string token = "Authorization: Bearer any\r\n";
    Client known(port), stream(port), holder(port);
    CHECK(known.get("/api/jobs", token)->status == 200);
    stream.send("GET /api/telemetry/stream HTTP/1.1\r\nHost: localhost\r\n" + token + "\r\n");
    REQUIRE(stream.read_reply()->status == 200);
    holder.send(post_head("Authorization: Bearer hold\r\n"));
    hold.inside.wait(false);
    std::vector<std::unique_ptr<Client>> fresh;  // More than are let in at a time.
    while (fresh.size() < 200) fresh.push_back(std::make_unique<Client>(port));
    std::vector<Client*> clients{&known, &holder};
    for (const auto& client : fresh) clients.push_back(client.get());
    for (auto* client : clients)
        if (client != &holder) client->send("GET /api/jobs HTTP/1.1\r\nHost: localhost\r\n" + token + "\r\n");
    holder.send(echo_job);
    std::thread stopper([&] { host.server.stop(); });
    CHECK(stream.read_all().find("event: shutdown") != std::string::npos);  // It stops now.
    hold.finish();
    for (auto* client : clients) {
        const auto reply = client->read_reply();
        CHECK(reply);
        if (!reply) continue;
        CHECK(reply->status == (client == &holder ? 201 : 200));
        CHECK(reply->headers.at("connection") == "close");
        CHECK(client->is_closed());
    }
    stopper.join();
}

TEST_CASE("a request that came behind another is answered when the server stops, and nothing behind it costs an answer") {
    Host host;
    Slow slow(host);
    const int port = host.start();
    Client running(port), idle(port);
    // With the second, more than is read at once, so that some of it is unread to the end.
    const std::string ask_list = "GET /api/jobs HTTP/1.1\r\nHost: localhost\r\n\r\n";
    std::string many;
    while (many.size() < 40'000) many += ask_list;
    running.send(slow_request + many);
    slow.inside.wait(false);
    CHECK(idle.get("/api/health")->status == 200);
    std::thread stopper([&] { host.server.stop(); });
    CHECK(idle.is_closed());
    slow.finish();
    const auto first = running.read_reply(), second = running.read_reply();
    CHECK(running.is_closed());
    stopper.join();
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(running.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
    REQUIRE(first);
    CHECK(first->body == R"({"slow":true})");
    CHECK_FALSE(first->headers.contains("connection"));  // There is more to come.
    REQUIRE(second);
    CHECK(second->status == 200);
    CHECK(second->headers.at("connection") == "close");
    CHECK(error == 0);  // No reset came, before which a client elsewhere may lose what it has not read.
}

TEST_CASE("a stream that was granted just before the hub has gone begins and ends in order") {
    const auto store = memory::open({"test", "api"});
    const http::Options options;
    http::Hub hub(*store, options, system_clock());
    hub.start();
    hub.stop(0ms);
    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
    const http::Fd client(ends[0]);
    hub.add(http::Fd(ends[1]), "HTTP/1.1 200 OK\r\n\r\n", {}, {});
    std::string text(4'096, '\0');
    const auto size = recv(client.get(), text.data(), text.size(), 0);
    REQUIRE(size > 0);
    text.resize(static_cast<std::size_t>(size));
    CHECK(text.starts_with("HTTP/1.1 200 OK\r\n\r\nevent: shutdown\n"));
    CHECK(text.ends_with("\n\n"));
    CHECK(recv(client.get(), text.data(), text.size(), 0) == 0);
}
