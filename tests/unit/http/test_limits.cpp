// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http_fixture.hpp"

#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "http/clients.hpp"

using namespace http_test;

namespace {

/// Answers with whom the request came from.
void add_who(Host& host) {
    host.router.add({"GET", "/who", Role::read, "Who.", {}, [](const Request& request, const RouteMatch&) {
                         return Response::json(200, {{"remote", request.remote}});
                     }});
}

std::string forwarded(const std::string& address) { return "X-Forwarded-For: " + address + "\r\n"; }

Request from(const std::vector<std::string>& headers) {
    Request request;
    for (const auto& value : headers) request.headers.emplace_back("x-forwarded-for", value);
    return request;
}

/// Asks until it is refused, which is that answer; at five a second, with twice as many at once.
std::optional<Reply> until_refused(const std::function<std::optional<Reply>(int)>& ask) {
    int good = 0;
    std::optional<Reply> refused;
    const auto begun = std::chrono::steady_clock::now();
    for (int i = 0; i < 100 && !refused; ++i) {
        auto reply = ask(i);
        REQUIRE(reply);
        if (reply->status == 200) ++good;
        else refused = std::move(reply);
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begun;
    REQUIRE(refused);
    CHECK(good >= 10);
    CHECK(good <= 11 + 5 * took.count());
    return refused;
}

}  // namespace

TEST_CASE("a client is an address, of IPv6 a network, and nobody on this machine") {
    CHECK(http::client_of("192.0.2.7") == "192.0.2.7");
    CHECK(http::client_of("::ffff:192.0.2.7") == "192.0.2.7");
    CHECK(http::client_of("2001:db8:1:2:3:4:5:6") == "2001:db8:1:2::");
    for (const char* own : {"127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "unix", ""}) CHECK(http::client_of(own).empty());
    CHECK(http::client_of("127.0.0.1", true) == "127.0.0.1");
    CHECK(http::client_of("unix", true).empty());
}

TEST_CASE("only a trusted proxy is believed whom it speaks for") {
    const auto nets = *http::PeerNets::parse({"10.0.0.0/8", "192.0.2.1", "2001:db8::/32", "unix"});
    struct Row {
        std::string peer;
        std::vector<std::string> headers;
        std::string sender;
    };
    const std::vector<Row> rows{
        {"203.0.113.5", {"198.51.100.1"}, "203.0.113.5"},
        {"10.1.2.3", {}, "10.1.2.3"},
        {"10.1.2.3", {"198.51.100.1"}, "198.51.100.1"},
        {"unix", {"198.51.100.1"}, "198.51.100.1"},
        {"192.0.2.1", {"198.51.100.1:4711"}, "198.51.100.1"},
        {"192.0.2.2", {"198.51.100.1"}, "192.0.2.2"},
        {"2001:db8::5", {"[2001:dead::7]:443"}, "2001:dead::7"},
        // What a client claims stands on the left; the proxies add on the right.
        {"10.1.2.3", {"127.0.0.1, 198.51.100.1"}, "198.51.100.1"},
        {"10.1.2.3", {"127.0.0.1", "198.51.100.1, 10.9.9.9"}, "198.51.100.1"},
        {"10.1.2.3", {"127.0.0.1, nonsense"}, "10.1.2.3"},
        {"10.1.2.3", {"10.4.4.4, 10.5.5.5"}, "10.4.4.4"},
        {"10.1.2.3", {""}, "10.1.2.3"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.peer);
        CAPTURE(row.sender);
        CHECK(http::sender_of(from(row.headers), row.peer, nets) == row.sender);
    }
    for (const char* wrong : {"10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "2001:db8::/129", "example.org", "10.0.0.0/8x"})
        CHECK_FALSE(http::PeerNets::parse({wrong}));
    CHECK(http::PeerNets::parse({"0.0.0.0/0"})->contains("8.8.8.8"));
    CHECK_FALSE(http::PeerNets::parse({"0.0.0.0/0"})->contains("2001:db8::1"));
}

TEST_CASE("a client's requests have a rate; others, health, and this machine itself are not slowed down") {
    http::Options options;
    options.limits.client_rate = 5;
    options.limits.trusted_proxies = {"127.0.0.1"};
    Host host(options);
    add_who(host);
    const int port = host.start();
    const auto refused = until_refused([&](int) { return Client(port).get("/who", forwarded("198.51.100.1")); });
    CHECK(refused->status == 429);
    CHECK(refused->headers.at("retry-after") == "1");
    CHECK(refused->body.find("RATE_LIMITED") != std::string::npos);
    CHECK(Client(port).get("/who", forwarded("198.51.100.2"))->body.find("198.51.100.2") != std::string::npos);
    CHECK(Client(port).get("/api/health", forwarded("198.51.100.1"))->status == 200);
    Client own(port);
    for (int i = 0; i < 50; ++i) CHECK(own.get("/who")->status == 200);
}

TEST_CASE("all requests together have a rate, this machine's too; health is not slowed down, and new limits count") {
    http::Options options;
    options.limits.client_rate = 0;
    options.limits.rate = 5;
    options.limits.trusted_proxies = {"127.0.0.1"};
    Host host(options);
    add_who(host);
    const int port = host.start();
    Client own(port);
    const auto refused = until_refused([&](int i) {
        return i % 2 ? own.get("/who") : Client(port).get("/who", forwarded("198.51.100." + std::to_string(i)));
    });
    CHECK(refused->status == 503);
    CHECK(refused->headers.at("retry-after") == "1");
    CHECK(refused->body.find("OVERLOADED") != std::string::npos);
    CHECK(Client(port).get("/api/health")->status == 200);
    http::Limits limits;
    limits.client_rate = 0;
    CHECK(host.server.set_limits(limits));
    while (Client(port).get("/who")->status != 200) std::this_thread::yield();
    Client unbound(port);
    for (int i = 0; i < 50; ++i) CHECK(unbound.get("/who")->status == 200);
    limits.rate = -1;
    CHECK(host.server.set_limits(limits).error().code == Errc::invalid_argument);
}

TEST_CASE("the rate comes back with time, and asks for as long a wait as it takes") {
    http::RateLimit limit;
    limit.set_rate(2);
    const http::RealTime now{1h};
    for (int i = 0; i < 4; ++i) CHECK(limit.take("a", now) == 0);
    CHECK(limit.take("a", now) == 1);
    CHECK(limit.take("b", now) == 0);
    CHECK(limit.take("", now) == 0);
    CHECK(limit.take("a", now + 499ms) == 1);
    CHECK(limit.take("a", now + 501ms) == 0);
    CHECK(limit.take("a", now + 502ms) == 1);
    limit.tidy(now + 10s);
    for (int i = 0; i < 4; ++i) CHECK(limit.take("a", now + 10s) == 0);
    CHECK(limit.take("a", now + 10s) == 1);
}

TEST_CASE("ever new addresses free nobody who has used up his requests, and cost no more memory than so many buckets") {
    http::RateLimit limit;
    limit.set_rate(2);
    const http::RealTime now{1h};
    const auto stranger = [](std::size_t i) { return "2001:db8:" + std::to_string(i) + "::"; };
    for (int i = 0; i < 4; ++i) CHECK(limit.take("greedy", now) == 0);
    CHECK(limit.take("greedy", now) == 1);
    for (int i = 0; i < 3; ++i) CHECK(limit.take("busy", now) == 0);
    for (std::size_t i = 0; i < 3 * http::RateLimit::most_buckets; ++i) {
        if (limit.take(stranger(i), now) != 0) FAIL("a stranger was refused");
    }
    CHECK(limit.size() == http::RateLimit::most_buckets);
    CHECK(limit.take("greedy", now) == 1);
    CHECK(limit.take("busy", now) == 0);
    CHECK(limit.take("busy", now) == 1);
    // Those that are full again are forgotten before any of these two.
    const auto later = now + 600ms;
    for (std::size_t i = 0; i < http::RateLimit::most_buckets; ++i) CHECK(limit.take("x" + std::to_string(i), later) == 0);
    CHECK(limit.take("greedy", later) == 0);
    CHECK(limit.take("greedy", later) == 1);
    limit.tidy(now + 10s);
    CHECK(limit.size() == 0);
}

TEST_CASE("one client has so many streams, and others have theirs") {
    http::Options options;
    options.limits.client_streams = 2;
    options.limits.trusted_proxies = {"127.0.0.1"};
    Host host(options);
    const int port = host.start();
    std::vector<std::unique_ptr<Client>> open;
    const auto ask = [&](const std::string& address) {
        open.push_back(std::make_unique<Client>(port));
        open.back()->send("GET /api/telemetry/stream HTTP/1.1\r\nHost: localhost\r\n" + forwarded(address) + "\r\n");
        return open.back()->read_reply()->status;
    };
    CHECK(ask("198.51.100.1") == 200);
    CHECK(ask("198.51.100.1") == 200);
    CHECK(ask("198.51.100.1") == 429);
    CHECK(ask("198.51.100.2") == 200);
    open.clear();
    while (ask("198.51.100.1") != 200) std::this_thread::yield();
}

TEST_CASE("one client has so many connections; new limits change how many, and what is closed gives its place back") {
    http::Options options;
    options.limit_own_machine = true;
    options.limits.client_connections = 2;
    Host host(options);
    const int port = host.start();
    std::vector<std::unique_ptr<Client>> open;
    const auto one_more = [&] {
        open.push_back(std::make_unique<Client>(port));
        return open.back()->get("/api/health")->status;
    };
    // Refused unasked, so that the reset of what it had not read yet cannot take the answer with it.
    const auto refused = [&] {
        Client client(port);
        auto reply = client.read_reply();
        REQUIRE(reply);
        CHECK(reply->status == 429);
        CHECK(reply->headers.contains("retry-after"));
        CHECK(reply->body.find("CLIENT_LIMIT") != std::string::npos);
        CHECK(client.is_closed());
    };
    CHECK(one_more() == 200);
    CHECK(one_more() == 200);
    refused();
    CHECK(open.front()->get("/api/health")->status == 200);  // What is open stays.
    http::Limits limits;
    limits.client_connections = 3;
    CHECK(host.server.set_limits(limits));
    while (one_more() != 200) open.pop_back();
    refused();
    open.pop_back();
    while (one_more() != 200) open.pop_back();
    limits.client_connections = 1;
    CHECK(host.server.set_limits(limits));
    CHECK(open.front()->get("/api/health")->status == 200);
    refused();
}

TEST_CASE("when all places are taken the longest idle connection goes; when none is idle, the new one is refused") {
    http::Options options;
    options.limits.connections = 2;
    Host host(options);
    const int port = host.start();
    auto one = std::make_unique<Client>(port);
    Client two(port);
    CHECK(one->get("/api/health")->status == 200);
    CHECK(two.get("/api/health")->status == 200);
    Client three(port);
    CHECK(three.get("/api/health")->status == 200);
    CHECK(one->is_closed());
    CHECK(two.get("/api/health")->status == 200);
    // Both have begun a request: nobody can go.
    two.send("GET /api/health HTTP/1.1\r\nHo");
    three.send("GET /api/health HTTP/1.1\r\nHo");
    Client four(port);
    const auto reply = four.read_reply();
    REQUIRE(reply);
    CHECK(reply->status == 503);
    CHECK(reply->headers.contains("retry-after"));
    CHECK(reply->body.find("TOO_MANY_CONNECTIONS") != std::string::npos);
    two.send("st: localhost\r\n\r\n");
    CHECK(two.read_reply()->status == 200);
}

TEST_CASE("answers that nobody takes have a bound together; small ones, and what tells of a change, come all the same") {
    http::Options options;
    const std::size_t large = 8 << 20;
    options.max_answer_memory = large + large / 2;
    Host host(options);
    for (const char* method : {"GET", "POST"})
        host.router.add({method, "/large", method == std::string("GET") ? Role::read : Role::operate, "Large.", {},
                         [](const Request&, const RouteMatch&) {
                             auto response = Response::json(200, {});
                             response.body = std::string(large, 'x');
                             return response;
                         }});
    const int port = host.start();
    Client deaf(port, 4'096);
    deaf.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
    REQUIRE(deaf.read_to("\r\n\r\n"));  // It is on its way.
    Client other(port);
    const auto refused = other.get("/large");
    REQUIRE(refused);
    CHECK(refused->status == 503);
    CHECK(refused->headers.contains("retry-after"));
    CHECK(refused->body.find("OVERLOADED") != std::string::npos);
    CHECK(other.get("/api/health")->status == 200);
    CHECK(other.get("/api/jobs")->status == 200);
    const auto told = other.ask("POST /large HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}");
    REQUIRE(told);
    CHECK(told->status == 200);
    CHECK(told->body.size() == large);
    // Taken, or given up: there is room again.
    REQUIRE(deaf.read_bytes(large));
    while (other.get("/large")->status != 200) std::this_thread::yield();
    {
        Client leaves(port, 4'096);
        leaves.send("GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n");
        REQUIRE(leaves.read_to("\r\n\r\n"));
        CHECK(other.get("/large")->status == 503);
    }
    while (other.get("/large")->status != 200) std::this_thread::yield();
}

TEST_CASE("an answer that nobody takes, or too slowly, is given up; a reader who is slow but goes on gets all of it") {
    http::Options options;
    const std::size_t large = 12 << 20;  // More than the kernel takes off our hands.
    options.max_answer_memory = large + large / 2;
    options.write_stall = 1s;
    Host host(options);
    host.router.add({"GET", "/large", Role::read, "Large.", {}, [](const Request&, const RouteMatch&) {
                         auto response = Response::json(200, {});
                         response.body = std::string(large, 'x');
                         return response;
                     }});
    const int port = host.start();
    const std::string request = "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n";
    Client other(port);
    for (const bool drips : {false, true}) {
        CAPTURE(drips);
        Client slow(port, 4'096);
        slow.send(request);
        REQUIRE(slow.read_to("\r\n\r\n"));
        std::size_t taken = 0;
        // There is room for another one as soon as this one is given up.
        while (other.get("/large")->status != 200) {
            std::this_thread::sleep_for(20ms);
            if (drips) REQUIRE(slow.read_bytes(1));
            taken += drips ? 1 : 0;
        }
        CHECK_FALSE(slow.read_bytes(large - taken));
    }
    Client steady(port, 4'096);
    steady.send(request);
    REQUIRE(steady.read_to("\r\n\r\n"));
    const auto begun = std::chrono::steady_clock::now();
    for (std::size_t left = large; left > 0; left -= large / 16) {
        REQUIRE(steady.read_bytes(large / 16));
        std::this_thread::sleep_for(100ms);
    }
    CHECK(std::chrono::steady_clock::now() - begun > options.write_stall);
}

TEST_CASE("new limits count from then on, and what makes no sense is refused") {
    http::Options options;
    options.limits.streams = 0;
    Host host(options);
    const int port = host.start();
    CHECK(Client(port).get("/api/telemetry/stream")->status == 503);
    http::Limits limits;
    limits.streams = 1;
    CHECK(host.server.set_limits(limits));
    Client stream(port);
    stream.send("GET /api/telemetry/stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK(stream.read_reply()->status == 200);
    limits.connections = 0;
    CHECK(host.server.set_limits(limits).error().code == Errc::invalid_argument);
    limits.connections = 1;
    limits.trusted_proxies = {"nobody"};
    CHECK(host.server.set_limits(limits).error().message.find("nobody") != std::string::npos);
}

TEST_CASE("a Unix socket has its mode, replaces what a dead server left, and never a living one or a file") {
    const auto folder = std::filesystem::temp_directory_path() / ("http-socket-" + std::to_string(getpid()));
    std::filesystem::create_directories(folder);
    const auto path = (folder / "api.sock").string();
    http::Options options;
    options.addresses = {"unix:" + path};
    options.socket_mode = 0660;
    {
        Host host(options);
        add_who(host);
        REQUIRE(host.server.start());
        CHECK(host.server.urls() == std::vector<std::string>{"unix:" + path});
        struct stat facts {};
        REQUIRE(stat(path.c_str(), &facts) == 0);
        CHECK((facts.st_mode & 0777) == 0660);
        CHECK(Client(path).get("/who")->body.find("unix") != std::string::npos);
        Host second(options);
        CHECK(second.server.start().error().name == "PORT_IN_USE");
        CHECK(Client(path).get("/who")->status == 200);
    }
    CHECK_FALSE(std::filesystem::exists(path));
    {
        // Bound, and gone without taking it away: what a killed server leaves.
        const http::Fd dead(::socket(AF_UNIX, SOCK_STREAM, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        REQUIRE(bind(dead.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    }
    {
        Host host(options);
        REQUIRE(host.server.start());
        CHECK(Client(path).get("/api/health")->status == 200);
    }
    std::ofstream(path) << "mine";
    Host host(options);
    CHECK(host.server.start().error().name == "ADDRESS_REFUSED");
    CHECK(std::filesystem::file_size(path) == 4);
    for (const auto& wrong : {std::string("unix:relative"), "unix:" + std::string(200, '/'), "unix:" + (folder / "none" / "s").string()}) {
        options.addresses = {wrong};
        Host refused(options);
        CHECK(refused.server.start().error().name == "ADDRESS_REFUSED");
    }
    std::filesystem::remove_all(folder);
}
