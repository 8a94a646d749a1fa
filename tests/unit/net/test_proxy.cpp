// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <cstdio>
#include <functional>
#include <mutex>
#include <optional>

#include <jobruntime/net.hpp>

#include "net/lookup.hpp"
#include "net/proxy.hpp"
#include "net/proxy_head.hpp"
#include "test_server.hpp"
#include "unit/extract/canary.hpp"

using namespace jobruntime;
using namespace jobruntime::net;
using namespace std::chrono_literals;

namespace {

/// A client on a bare socket, which can say what no good client would.
class Client {
public:
    explicit Client(int port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        address.sin_port = htons(static_cast<std::uint16_t>(port));
        const timeval limit{10, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
        REQUIRE(::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    }
    ~Client() { ::close(fd_); }
    Client(const Client&) = delete;
    Client& operator=(const Client&) = delete;

    void send(std::string_view bytes) const {
        while (!bytes.empty()) {
            const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) return;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
    }
    void end() const { ::shutdown(fd_, SHUT_WR); }
    /// Until `mark` has come, or the end.
    std::string read(std::string_view mark = {}) const {
        std::string text;
        char chunk[16 * 1024];
        while (mark.empty() || text.find(mark) == std::string::npos) {
            const auto got = ::recv(fd_, chunk, sizeof chunk, 0);
            if (got <= 0) break;
            text.append(chunk, static_cast<std::size_t>(got));
        }
        return text;
    }

private:
    int fd_;
};

/// "Basic …" of the proxy's own user and password.
std::string credential(const Proxy& proxy) {
    const std::string text = proxy.user() + ":" + proxy.password();
    const std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string out;
    unsigned bits = 0;
    int count = 0;
    for (const unsigned char c : text) {
        bits = bits << 8 | c;
        for (count += 8; count >= 6; count -= 6) out += digits[bits >> (count - 6) & 63];
    }
    if (count > 0) out += digits[bits << (6 - count) & 63];
    while (out.size() % 4 != 0) out += '=';
    return "Basic " + out;
}

std::unique_ptr<Proxy> make_proxy(std::string_view nets, ProxyOptions options = {}) {
    options.allow_nets = Network::parse_list(nets).value();
    auto proxy = Proxy::start(std::move(options));
    REQUIRE(proxy);
    return *std::move(proxy);
}

std::string ask(const Proxy& proxy, const std::string& line, const std::string& more = "", const std::string& body = "") {
    const Client client(proxy.port());
    client.send(line + " HTTP/1.1\r\nHost: ignored\r\nProxy-Authorization: " + credential(proxy) + "\r\n" + more +
                "\r\n" + body);
    return client.read();
}

std::string status_of(const std::string& answer) { return answer.size() < 12 ? answer : answer.substr(9, 3); }

}  // namespace

TEST_CASE("heads are read strictly, and written anew") {
    const auto get = read_request(
        "GET http://Example.org:8080/a?b=1#c HTTP/1.1\r\nHost: other\r\nProxy-Authorization: Basic x\r\n"
        "Proxy-Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: x\r\nAccept: */*\r\nContent-Length: 3\r\n\r\n");
    CHECK(get.refusal == 0);
    CHECK_FALSE(get.tunnel);
    CHECK(get.to == Authority{"example.org", 8080});
    CHECK(get.body == 3);
    CHECK(get.credential == "Basic x");
    CHECK(get.head == "GET /a?b=1 HTTP/1.1\r\nHost: example.org:8080\r\nAccept: */*\r\nContent-Length: 3\r\n"
                      "Connection: close\r\n\r\n");
    const auto tunnel = read_request("CONNECT [::1]:443 HTTP/1.1\n\n");
    CHECK(tunnel.tunnel);
    CHECK(tunnel.to == Authority{"::1", 443});
    CHECK(tunnel.to.str() == "[::1]:443");
    const std::pair<const char*, int> refused[] = {
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET http://a@127.0.0.1/ HTTP/1.1\r\n\r\n", 400},
        {"GET http://x\\@127.0.0.1/ HTTP/1.1\r\n\r\n", 400},
        {"GET http://[fe80::1%25lo]/ HTTP/1.1\r\n\r\n", 400},
        {"GET http://a:0/ HTTP/1.1\r\n\r\n", 400},
        {"GET http://a:65536/ HTTP/1.1\r\n\r\n", 400},
        {"GET https://a/ HTTP/1.1\r\n\r\n", 501},
        {"GET ftp://a/ HTTP/1.1\r\n\r\n", 400},
        {"CONNECT a HTTP/1.1\r\n\r\n", 400},
        {"CONNECT a:b HTTP/1.1\r\n\r\n", 400},
        {"GET http://a/ HTTP/2\r\n\r\n", 400},
        {"POST http://a/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411},
        {"POST http://a/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400},
        {"POST http://a/ HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\nContent Length: 1\r\n\r\n", 400},
        {"GET http://a/ HTTP/1.1\r\nX: a\rY: b\r\n\r\n", 400},
        {"", 400},
    };
    for (const auto& [head, status] : refused) {
        CAPTURE(head);
        CHECK(read_request(head).refusal == status);
    }
    CHECK(head_size("GET / HTTP/1.1\r\nA: b\r\n") == 0);
    CHECK(head_size("A\r\n\r\nbody") == 5);
    CHECK(head_size("A\n\nbody") == 3);
    CHECK(authority_of("wss://[::1]/x") == Authority{"::1", 443});
    CHECK_FALSE(authority_of("about:blank"));
    CHECK(rewrite_response("HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"jobruntime\"\r\nA: b\r\n\r\n") ==
          "HTTP/1.1 403 No\r\nA: b\r\nConnection: close\r\n\r\n");
    CHECK(rewrite_response("HTTP/1.0 200 OK\nTransfer-Encoding: chunked\nConnection: keep-alive\n\n") ==
          "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    CHECK(rewrite_response("HTTP/1.1 103 Early\r\n\r\n") == "");
    for (const auto* junk : {"hello\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 2 x\r\n\r\n", "HTTP/1.1 101 S\r\n\r\n",
                             "xHTTP/1.1 407 No\r\n\r\n"})
        CHECK_FALSE(rewrite_response(junk));
}

TEST_CASE("who does not know the credential gets nothing, and reaches nobody") {
    const auto proxy = make_proxy("127.0.0.0/8");
    test::TestServer server;
    const auto good = credential(*proxy);
    for (const auto& line : {std::string(), std::string("Proxy-Authorization: Basic abc\r\n"),
                             "Proxy-Authorization: " + good.substr(0, good.size() - 1) + "x\r\n",
                             "Authorization: " + good + "\r\n"}) {
        CAPTURE(line);
        for (const auto& request : {"GET " + server.url("/"), "GET " + proxy->check_url(),
                                    "CONNECT 127.0.0.1:" + std::to_string(server.port()), std::string("GET /")}) {
            const Client client(proxy->port());
            client.send(request + " HTTP/1.1\r\n" + line + "\r\n");
            const auto answer = client.read();
            CHECK(status_of(answer) == "407");
            CHECK(answer.find("\r\nProxy-Authenticate: Basic realm=\"jobruntime\"\r\n") != std::string::npos);
        }
    }
    CHECK(server.connections() == 0);
    CHECK(proxy->stats().unauthorized == 16);
    CHECK(proxy->stats().denied == 0);
    CHECK(status_of(ask(*proxy, "GET " + proxy->check_url())) == "204");
    CHECK(proxy->password().size() >= 32);
    CHECK(make_proxy("")->password() != proxy->password());
}

TEST_CASE("a plain request, with a body too, is handed on without the credential; its answer too") {
    const auto proxy = make_proxy("127.0.0.0/8");
    test::TestServer server;
    server.on("/a", test::status(200, "Content-Type: text/plain\r\n", "hello"));
    server.on("/wants-proxy", test::status(407, "Proxy-Authenticate: Basic realm=\"jobruntime\"\r\n", "no"));
    server.on("/interim", test::say("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 407 No\r\nContent-Length: 0\r\n\r\n"));
    server.on("/junk", test::say("\r\n\r\nHTTP/1.1 407 No\r\n\r\n"));
    const auto answer = ask(*proxy, "GET " + server.url("/a?q=1"));
    CHECK(status_of(answer) == "200");
    CHECK(answer.ends_with("\r\n\r\nhello"));
    const std::string body(300'000, 'b');
    CHECK(status_of(ask(*proxy, "POST " + server.url("/a"), "Content-Length: 300000\r\n", body)) == "200");
    const auto seen = server.requests();
    REQUIRE(seen.size() == 2);
    CHECK(seen[0].target == "/a?q=1");
    CHECK(seen[0].header("proxy-authorization").empty());
    CHECK(seen[0].header("connection") == "close");
    CHECK(seen[0].header("host") == "127.0.0.1:" + std::to_string(server.port()));
    CHECK(seen[1].body == body);
    CHECK(status_of(ask(*proxy, "GET " + server.url("/wants-proxy"))) == "403");
    CHECK(status_of(ask(*proxy, "GET " + server.url("/interim"))) == "403");
    CHECK(status_of(ask(*proxy, "GET " + server.url("/junk"))) == "502");
    // What stands behind a request without a body is not handed on.
    CHECK(status_of(ask(*proxy, "GET " + server.url("/a"), "", "GET /b HTTP/1.1\r\n\r\n")) == "200");
    CHECK(server.requests().back().body.empty());
}

TEST_CASE("a tunnel carries bytes both ways, to its end, however many") {
    const auto proxy = make_proxy("127.0.0.0/8");
    test::TestServer server;
    const auto bytes = test::pattern(5'000'000);
    server.on("/big", test::serve({.bytes = bytes}));
    const Client client(proxy->port());
    client.send("CONNECT localhost:" + std::to_string(server.port()) + " HTTP/1.1\r\nProxy-Authorization: " +
                credential(*proxy) + "\r\n\r\nGET /big HTTP/1.1\r\n\r\n");
    const auto answer = client.read();
    CHECK(status_of(answer) == "200");
    CHECK(answer.ends_with(bytes));
    CHECK(proxy->stats().tunnels == 1);
}

TEST_CASE("addresses are vetted however they are written, and nothing reaches those that are refused") {
    const auto proxy = make_proxy("127.0.0.1");
    test::TestServer server;
    const auto port = ":" + std::to_string(server.port());
    const std::string hosts[] = {"127.0.0.2", "127.2",           "2130706434",        "0x7f.2",   "0177.0.0.2",
                                 "[::1]",     "[::ffff:7f00:1]", "[::ffff:127.0.0.1]", "0.0.0.0",  "0",
                                 "10.0.0.1",  "169.254.169.254", "[64:ff9b::7f00:1]", "[fe80::1]", "[::]"};
    for (const auto& host : hosts) {
        CAPTURE(host);
        CHECK(status_of(ask(*proxy, "CONNECT " + host + port)) == "403");
        const auto url = "http://" + host + port + "/";
        CHECK(status_of(ask(*proxy, "GET " + url)) == "403");
        const auto why = proxy->trouble(url);
        REQUIRE(why);
        CHECK(why->name == "SSRF_BLOCKED");
        CHECK_MESSAGE(why->message.find("JOBRT_ALLOW_NETS") != std::string::npos, why->message);
    }
    CHECK(server.connections() == 0);
    CHECK(proxy->stats().denied == 2 * std::size(hosts));
    CHECK_FALSE(proxy->stats().last_denial.empty());
    // The control: what is allowed is reached, in every notation; of localhost only what is allowed.
    for (const auto* host : {"127.0.0.1", "127.1", "2130706433", "0x7f.1", "localhost", "LOCALHOST.", "a.localhost"}) {
        CAPTURE(host);
        CHECK(status_of(ask(*proxy, std::string("GET http://") + host + port + "/")) == "404");
        CHECK_FALSE(proxy->trouble(std::string("http://") + host + port + "/"));
    }
    CHECK(server.connections() == 7);
    const auto itself = "http://127.0.0.1:" + std::to_string(proxy->port()) + "/";
    CHECK(status_of(ask(*proxy, "GET " + itself)) == "403");
    CHECK(status_of(ask(*proxy, "CONNECT 127.0.0.1:" + std::to_string(proxy->port()))) == "403");
}

TEST_CASE("of a name's addresses those that are refused are not tried when the others do not answer") {
    const extract_test::Canary canary;  // On [::1], not on 127.0.0.1: both are localhost.
    if (!canary.has_v6()) return;
    const auto host = "CONNECT localhost:" + std::to_string(canary.port());
    CHECK(status_of(ask(*make_proxy("127.0.0.1"), host)) == "502");
    CHECK(canary.connections() == 0);
    const auto open = make_proxy("127.0.0.1 ::1");
    const Client client(open->port());
    client.send(host + " HTTP/1.1\r\nProxy-Authorization: " + credential(*open) + "\r\n\r\n");
    CHECK(status_of(client.read("\r\n\r\n")) == "200");
}

TEST_CASE("a server that is not there is told by name, and forgotten once it is there") {
    const auto proxy = make_proxy("127.0.0.0/8");
    CHECK(status_of(ask(*proxy, "CONNECT 127.0.0.1:9")) == "502");
    auto why = proxy->trouble("https://127.0.0.1:9/x");
    REQUIRE(why);
    CHECK(why->name == "NETWORK");
    CHECK(status_of(ask(*proxy, "GET http://no-such-name.invalid/")) == "502");
    why = proxy->trouble("http://no-such-name.invalid");
    REQUIRE(why);
    CHECK_MESSAGE(why->message.find("not known") != std::string::npos, why->message);
}

TEST_CASE("time-outs, the limit of connections, and the end are kept") {
    ProxyOptions options;
    options.head_timeout = 300ms;
    options.idle_timeout = 300ms;
    options.max_connections = 2;
    const auto proxy = make_proxy("127.0.0.0/8", options);
    test::TestServer server;
    server.on("/silent", test::silence());
    server.on("/a", test::status(200, "", "hello"));
    const auto begin = std::chrono::steady_clock::now();
    {
        const Client mute(proxy->port());
        const Client half(proxy->port());
        half.send("GET http://a/ HTTP/1.1\r\n");
        // The third waits until one of these has had its time.
        CHECK(status_of(ask(*proxy, "GET " + server.url("/a"))) == "200");
        CHECK(mute.read().empty());
        CHECK(half.read().empty());
    }
    CHECK(ask(*proxy, "GET " + server.url("/silent")).empty());
    const Client long_head(proxy->port());
    long_head.send("GET http://a/ HTTP/1.1\r\nX: " + std::string(70'000, 'x'));
    CHECK(status_of(long_head.read()) == "431");
    CHECK(std::chrono::steady_clock::now() - begin < 9s);

    auto lasting = make_proxy("127.0.0.0/8");
    const Client held(lasting->port());
    held.send("CONNECT 127.0.0.1:" + std::to_string(server.port()) + " HTTP/1.1\r\nProxy-Authorization: " +
              credential(*lasting) + "\r\n\r\n");
    CHECK(status_of(held.read("\r\n\r\n")) == "200");
    const auto end = std::chrono::steady_clock::now();
    lasting.reset();
    CHECK(std::chrono::steady_clock::now() - end < 10s);
    CHECK(held.read().empty());
}

TEST_CASE("a name that is known only after its client was refused is dialled for nobody") {
    std::mutex mutex;
    std::function<void(Addresses)> late;  // Guarded by mutex.
    ProxyOptions options;
    options.connect_timeout = 200ms;
    options.ask_name = [&](const std::string& host, std::function<void(Addresses)> done) {
        if (host == "soon.test") return done(known_addresses("127.0.0.2").value());
        const std::lock_guard lock(mutex);
        late = std::move(done);
    };
    const auto proxy = make_proxy("127.0.0.0/8", options);
    const extract_test::Canary canary;
    const auto to = ":" + std::to_string(canary.port()) + "/";
    const Client client(proxy->port());
    client.send("GET http://late.test" + to + " HTTP/1.1\r\nProxy-Authorization: " + credential(*proxy) + "\r\n\r\n");
    CHECK(status_of(client.read("\r\n\r\n")) == "504");
    // It has its answer and has not hung up yet: the name comes now.
    {
        const std::lock_guard lock(mutex);
        REQUIRE(late);
        late(known_addresses("127.0.0.2").value());
    }
    // What comes after it, of a name and to the same server, shows that nothing was before.
    CHECK(status_of(ask(*proxy, "GET http://soon.test" + to)) == "200");
    CHECK(canary.connections() == 1);
    CHECK(client.read().empty());
    // For who asks now it is known.
    CHECK(status_of(ask(*proxy, "GET http://late.test" + to)) == "200");
}

TEST_CASE("many at once, with clients that leave in the middle") {
    const auto proxy = make_proxy("127.0.0.0/8");
    test::TestServer server;
    server.on("/a", test::serve({.bytes = test::pattern(300'000)}));
    std::atomic<int> whole = 0;
    std::vector<std::thread> threads;
    for (int thread = 0; thread < 8; ++thread)
        threads.emplace_back([&, thread] {
            for (int i = 0; i < 10; ++i) {
                if ((thread + i) % 3 == 0) {
                    const Client leaves(proxy->port());
                    leaves.send("GET " + server.url("/a") + " HTTP/1.1\r\nProxy-Authorization: " +
                                credential(*proxy) + "\r\n\r\n");
                    (void)leaves.read("\r\n\r\n");
                } else if (ask(*proxy, "GET " + server.url("/a")).ends_with(test::pattern(300'000))) {
                    ++whole;
                }
            }
        });
    for (auto& thread : threads) thread.join();
    CHECK(whole == 53);
}
