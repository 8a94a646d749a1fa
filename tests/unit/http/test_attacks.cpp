// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http_fixture.hpp"

#include <fstream>

#include "core/sanitizers.hpp"

using namespace http_test;

// Requests that are made to be taken for others, over real sockets: the request smuggled behind or inside each must never
// be answered.
namespace {

const std::string to_us = "Host: localhost\r\n";
const std::string get_session = "GET /api/session HTTP/1.1\r\n";
const std::string posted = "POST /echo HTTP/1.1\r\n" + to_us + "Content-Type: application/json\r\n";
const std::string chunked = posted + "Transfer-Encoding: chunked\r\n";
const std::string smuggled = "GET /smuggled HTTP/1.1\r\n" + to_us + "\r\n";

/// A host with a route that counts who was let in.
struct Target {
    Target() : host(options()) {
        for (const char* method : {"GET", "POST"})
            host.router.add({method, "/smuggled", Role::read, "Counts.", {{.name = "x"}}, [this](const Request&, const RouteMatch&) {
                                 ++smuggled;
                                 return Response::json(200, {{"smuggled", true}});
                             }});
        for (const char* method : {"GET", "POST"})
            host.router.add({method, "/echo", Role::read, "Says what it got.", {},
                             [this](const Request& request, const RouteMatch&) {
                                 ++echoed;
                                 return Response::json(200, {{"body", request.body}, {"remote", request.remote}});
                             }});
        port = host.start();
    }
    static http::Options options() {
        http::Options options;
        options.max_body = 100'000;
        options.head_timeout = 20s;
        return options;
    }

    Host host;
    int port = 0;
    std::atomic<int> smuggled{0}, echoed{0};
};

/// The statuses of all answers in what a connection gave until its end.
std::vector<int> statuses(std::string_view text) {
    std::vector<int> found;
    for (auto at = text.find("HTTP/1.1 "); at != std::string_view::npos; at = text.find("HTTP/1.1 ", at + 9))
        found.push_back(std::stoi(std::string(text.substr(at + 9, 3))));
    return found;
}

std::string repeated(std::string_view part, int count) {
    std::string all;
    for (int i = 0; i < count; ++i) all += part;
    return all;
}

std::string with_nul(std::string text) {
    for (char& c : text)
        if (c == '@') c = '\0';
    return text;
}

struct Row {
    const char* what;
    std::string bytes;
    int status;
};

/// One answer, with that status, the end of the connection, and nothing smuggled.
void refuse_each(const std::vector<Row>& rows) {
    Target target;
    for (const auto& row : rows) {
        CAPTURE(row.what);
        Client client(target.port);
        client.send(row.bytes + smuggled);
        CHECK(statuses(client.read_all()) == std::vector<int>{row.status});
        CHECK(target.smuggled == 0);
        CHECK(target.echoed == 0);
    }
    // The control: the same request by itself is answered.
    CHECK(Client(target.port).ask(smuggled)->status == 200);
    CHECK(target.smuggled == 1);
}

}  // namespace

TEST_CASE("a body whose length two readers could see differently ends the connection") {
    refuse_each({
        {"CL.TE", posted + "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400},
        {"TE.CL", posted + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n" + smuggled + "\r\n0\r\n\r\n", 400},
        {"a length of 0 and chunked", chunked + "Content-Length: 0\r\n\r\n0\r\n\r\n", 400},
        {"an unusable length and chunked", chunked + "Content-Length: x\r\n\r\n0\r\n\r\n", 400},
        {"two lengths", posted + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 400},
        {"twice the same length", posted + "Content-Length: 5\r\ncontent-length: 5\r\n\r\nhello", 400},
        {"a list of lengths", posted + "Content-Length: 5, 5\r\n\r\nhello", 400},
        {"a negative length", posted + "Content-Length: -1\r\n\r\n", 400},
        {"a negative length of many digits", posted + "Content-Length: -9223372036854775808\r\n\r\n", 400},
        {"a signed length", posted + "Content-Length: +5\r\n\r\nhello", 400},
        {"a length in hexadecimal", posted + "Content-Length: 0x5\r\n\r\nhello", 400},
        {"a length in octal digits and more", posted + "Content-Length: 5;\r\n\r\nhello", 400},
        {"a length with a blank inside", posted + "Content-Length: 1 0\r\n\r\nhello", 400},
        {"an empty length", posted + "Content-Length:\r\n\r\nhello", 400},
        {"a length with a fraction", posted + "Content-Length: 5.0\r\n\r\nhello", 400},
        {"a length over all numbers", posted + "Content-Length: 18446744073709551621\r\n\r\nhello", 413},
        {"a length over the limit", posted + "Content-Length: 100001\r\n\r\n", 413},
        {"a folded length", posted + "Content-Length:\r\n 5\r\n\r\nhello", 400},
        {"a coding twice", chunked + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"a coding and identity", posted + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 501},
        {"identity", posted + "Transfer-Encoding: identity\r\n\r\n", 501},
        {"an empty coding", posted + "Transfer-Encoding:\r\n\r\n", 501},
        {"another coding", posted + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
        {"what looks like chunked", posted + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501},
        {"chunked in quotes", posted + "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 501},
        {"chunked behind a vertical tab", posted + "Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n", 400},
        {"a blank before the colon", posted + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400},
        {"a tab before the colon", posted + "Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", 400},
        {"a folded coding", posted + "Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n", 400},
        {"a coding behind a bare line feed", posted + "X: a\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"a coding behind a bare carriage return", posted + "X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
        {"chunked in HTTP/1.0", "POST /echo HTTP/1.0\r\n" + to_us + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    });
}

TEST_CASE("a chunk that is not exactly as long as it says ends the connection") {
    refuse_each({
        {"a size with a sign", chunked + "\r\n+5\r\nhello\r\n0\r\n\r\n", 400},
        {"a negative size", chunked + "\r\n-5\r\nhello\r\n0\r\n\r\n", 400},
        {"a size with 0x", chunked + "\r\n0x5\r\nhello\r\n0\r\n\r\n", 400},
        {"a size with a blank before it", chunked + "\r\n 5\r\nhello\r\n0\r\n\r\n", 400},
        {"a size with a blank behind it", chunked + "\r\n5 \r\nhello\r\n0\r\n\r\n", 400},
        {"a size with an underscore", chunked + "\r\n1_0\r\nhello\r\n0\r\n\r\n", 400},
        {"no size", chunked + "\r\n\r\nhello\r\n0\r\n\r\n", 400},
        {"only an extension", chunked + "\r\n;a=b\r\nhello\r\n0\r\n\r\n", 400},
        {"a size over all numbers", chunked + "\r\n10000000000000005\r\nhello\r\n0\r\n\r\n", 400},
        {"a size over the limit", chunked + "\r\n7fffffff\r\nhello", 413},
        {"a size ended by a bare line feed", chunked + "\r\n5\nhello\r\n0\r\n\r\n", 400},
        {"a size ended by a bare carriage return", chunked + "\r\n5\rhello\r\n0\r\n\r\n", 400},
        {"a line feed in an extension", chunked + "\r\n5;a\nb\r\nhello\r\n0\r\n\r\n", 400},
        {"a carriage return in an extension", chunked + "\r\n5;a\rb\r\nhello\r\n0\r\n\r\n", 400},
        {"a NUL in an extension", with_nul(chunked + "\r\n5;@\r\nhello\r\n0\r\n\r\n"), 400},
        {"an endless extension", chunked + "\r\n5;" + std::string(1'000, 'x'), 400},
        {"more than it says", chunked + "\r\n3\r\nhello\r\n0\r\n\r\n", 400},
        {"less than it says", chunked + "\r\n7\r\nhello\r\n0\r\n\r\n", 400},
        {"no end of line behind it", chunked + "\r\n5\r\nhello0\r\n\r\n", 400},
        {"a bare line feed behind it", chunked + "\r\n5\r\nhello\n0\r\n\r\n", 400},
        {"the last one with a line feed", chunked + "\r\n5\r\nhello\r\n0\n\r\n", 400},
        {"a request where trailers are", chunked + "\r\n5\r\nhello\r\n0\r\n", 400},
        {"a request with a colon where trailers are", chunked + "\r\n0\r\nGET /smuggled?x=: HTTP/1.1\r\n\r\n", 400},
        {"a folded trailer", chunked + "\r\n0\r\nX: a\r\n b: c\r\n\r\n", 400},
        {"a trailer without a name", chunked + "\r\n0\r\n: a\r\n\r\n", 400},
        {"an endless trailer", chunked + "\r\n0\r\nX: " + std::string(10'000, 'x'), 400},
        {"endless trailers", chunked + "\r\n0\r\n" + repeated("X: a\r\n", 5'000), 400},
    });
}

TEST_CASE("a head that is not written as RFC 9112 wants it ends the connection") {
    const std::string line = get_session + to_us;
    refuse_each({
        {"bare line feeds", "GET /api/session HTTP/1.1\nHost: localhost\n\n", 400},
        {"a bare line feed behind the request line", "GET /api/session HTTP/1.1\n" + to_us + "\r\n", 400},
        {"a header ended by a bare line feed", get_session + "Host: localhost\n\r\n", 400},
        {"an empty line that is a bare line feed", line + "\n", 400},
        {"a bare carriage return", get_session + "Host: localhost\rX: a\r\n\r\n", 400},
        {"two carriage returns", get_session + "Host: localhost\r\r\n\r\n", 400},
        {"a folded header", line + "X: a\r\n b\r\n\r\n", 400},
        {"a header folded by a tab", line + "X: a\r\n\tGET /smuggled HTTP/1.1\r\n\r\n", 400},
        {"a blank before the first header", get_session + " " + to_us + "\r\n", 400},
        {"a header without a colon", line + "nonsense\r\n\r\n", 400},
        {"a header without a name", line + ": a\r\n\r\n", 400},
        {"a name with a blank", line + "X Y: a\r\n\r\n", 400},
        {"a name with a slash", line + "X/Y: a\r\n\r\n", 400},
        {"a name with a byte above ASCII", line + "X\xc3\xbc: a\r\n\r\n", 400},
        {"a NUL in a name", with_nul(line + "X@Y: a\r\n\r\n"), 400},
        {"a NUL in a value", with_nul(line + "X: a@b\r\n\r\n"), 400},
        {"a NUL in the target", with_nul("GET /api@ HTTP/1.1\r\n" + to_us + "\r\n"), 400},
        {"a NUL in the method", with_nul("G@T / HTTP/1.1\r\n" + to_us + "\r\n"), 400},
        {"an escape in a value", line + "X: \x1b[2J\r\n\r\n", 400},
        {"HTTP/0.9", "GET /api/session\r\n", 400},
        {"HTTP/2.0", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"HTTP/1.2", "GET /api/session HTTP/1.2\r\n" + to_us + "\r\n", 505},
        {"a version in small letters", "GET /api/session http/1.1\r\n" + to_us + "\r\n", 400},
        {"two blanks", "GET  /api/session HTTP/1.1\r\n" + to_us + "\r\n", 400},
        {"a blank before the method", " GET /api/session HTTP/1.1\r\n" + to_us + "\r\n", 400},
        {"a blank behind the version", "GET /api/session HTTP/1.1 \r\n" + to_us + "\r\n", 400},
        {"tabs for blanks", "GET\t/api/session\tHTTP/1.1\r\n" + to_us + "\r\n", 400},
        {"a second request in the target", "GET /api/session HTTP/1.1 GET /smuggled HTTP/1.1\r\n" + to_us + "\r\n", 400},
        {"a TLS hello", "\x16\x03\x01\x02\x01\r\n", 400},
        {"no Host", get_session + "\r\n", 400},
        {"an empty Host", get_session + "Host: \r\n\r\n", 400},
        {"two Hosts", line + "Host: evil.example\r\n\r\n", 400},
        {"twice the same Host", line + to_us + "\r\n", 400},
        {"two Hosts in one", get_session + "Host: localhost, evil.example\r\n\r\n", 400},
        {"a Host with user information", get_session + "Host: evil.example:80@localhost\r\n\r\n", 400},
        {"a Host with a path", get_session + "Host: localhost/..\r\n\r\n", 400},
        {"a Host with a query", get_session + "Host: localhost?x\r\n\r\n", 400},
        {"a Host with a backslash", get_session + "Host: localhost\\evil.example\r\n\r\n", 400},
        {"a Host with a byte above ASCII", get_session + "Host: localh\xc3\xb6st\r\n\r\n", 400},
        {"a Host with half an escape", get_session + "Host: localhost%2\r\n\r\n", 400},
        {"a Host with an escape that is none", get_session + "Host: localhost%zz\r\n\r\n", 400},
        {"a port over all ports", get_session + "Host: localhost:65536\r\n\r\n", 400},
        {"a port that wraps", get_session + "Host: localhost:4294967376\r\n\r\n", 400},
        {"a negative port", get_session + "Host: localhost:-1\r\n\r\n", 400},
        {"two ports", get_session + "Host: localhost:80:80\r\n\r\n", 400},
        {"a Host that is but a port", get_session + "Host: :80\r\n\r\n", 400},
        {"an address without brackets", get_session + "Host: ::1\r\n\r\n", 400},
        {"an open bracket", get_session + "Host: [::1\r\n\r\n", 400},
        {"no address in brackets", get_session + "Host: [localhost]\r\n\r\n", 400},
        {"an IPv4 address in brackets", get_session + "Host: [127.0.0.1]\r\n\r\n", 400},
        {"something behind the brackets", get_session + "Host: [::1]evil.example\r\n\r\n", 400},
        {"a malformed Host for health, which answers any", "GET /api/health HTTP/1.1\r\nHost: localhost, evil.example\r\n\r\n", 400},
        {"a malformed Host beside a target with its own", "GET http://localhost/ HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"a target with a malformed port", "GET http://localhost:65536/ HTTP/1.1\r\n" + to_us + "\r\n", 400},
        {"two Authorizations", line + "Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400},
        {"an unknown expectation", posted + "Expect: 200-maybe\r\nContent-Length: 5\r\n\r\nhello", 417},
        {"a target for a proxy", "CONNECT localhost:80 HTTP/1.1\r\n" + to_us + "\r\n", 400},
        {"a target of another scheme", "GET gopher://localhost/ HTTP/1.1\r\n" + to_us + "\r\n", 400},
        {"a target with user information", "GET http://a@localhost/ HTTP/1.1\r\n" + to_us + "\r\n", 400},
        {"a target without a slash", "GET api/session HTTP/1.1\r\n" + to_us + "\r\n", 400},
        {"a star for GET", "GET * HTTP/1.1\r\n" + to_us + "\r\n", 400},
        {"an endless request line", "GET /" + std::string(20'000, 'x'), 414},
        {"endless empty lines", repeated("\r\n", 10'000), 414},
        {"an endless header", line + "X: " + std::string(20'000, 'x'), 431},
        {"5,000 headers", line + repeated("a:b\r\n", 5'000) + "\r\n", 431},
        {"101 short headers", line + repeated("a:b\r\n", 101) + "\r\n", 431},
    });
}

TEST_CASE("a Host that is not ours is misdirected, wherever it stands, and the connection goes on to nothing") {
    Target target;
    for (const auto* named : {"evil.example", "localhost.evil.example", "localhost,evil.example", "127.1", "2130706433",
                              "[::ffff:127.0.0.1]", "[::2]:80", "[fe80::1%eth0]:8080", "localhost:", "localhost%2eevil.example", "*"}) {
        CAPTURE(named);
        CHECK(Client(target.port).ask("GET /smuggled HTTP/1.1\r\nHost: " + std::string(named) + "\r\n\r\n")->status == 421);
    }
    // Health answers every name that is one.
    CHECK(Client(target.port).ask("GET /api/health HTTP/1.1\r\nHost: evil.example\r\n\r\n")->status == 200);
    CHECK(Client(target.port).ask("GET /smuggled HTTP/1.1\r\nHost: [::1]:4000\r\n\r\n")->status == 200);
    CHECK(target.smuggled.exchange(0) == 1);
    // The target's authority goes before the header (RFC 9112, 3.2.2).
    CHECK(Client(target.port).ask("GET http://evil.example/smuggled HTTP/1.1\r\n" + to_us + "\r\n")->status == 421);
    CHECK(target.smuggled == 0);
    CHECK(Client(target.port).ask("GET http://localhost/smuggled HTTP/1.1\r\nHost: evil.example\r\n\r\n")->status == 200);
    CHECK(target.smuggled == 1);
}

TEST_CASE("a body belongs to its request, whatever the method, and what follows is the next request") {
    Target target;
    const auto body = std::to_string(smuggled.size());
    for (const auto& [what, text, count] : std::vector<std::tuple<const char*, std::string, std::size_t>>{
             {"GET with a body", "GET /echo HTTP/1.1\r\n" + to_us + "Content-Length: " + body + "\r\n\r\n" + smuggled, 1},
             {"a body that looks like a request", posted + "Content-Length: " + body + "\r\n\r\n" + smuggled, 1},
             {"chunks that look like a request", chunked + "\r\n" + "8\r\nGET /smu\r\n9\r\nggled HTT\r\n0\r\n\r\n", 1},
             {"two in one packet", posted + "Content-Length: 2\r\n\r\n{}" + posted + "Content-Length: 2\r\n\r\n{}", 2},
             {"an upgrade that is not wanted",
              "GET /echo HTTP/1.1\r\n" + to_us + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n", 1},
             {"empty lines between requests", "\r\n\r\n" + posted + "Content-Length: 0\r\n\r\n", 1},
         }) {
        CAPTURE(what);
        Client client(target.port);
        client.send(text + "GET /nowhere HTTP/1.1\r\n" + to_us + "Connection: close\r\n\r\n");
        std::vector<int> wanted(count, 200);
        wanted.push_back(404);
        CHECK(statuses(client.read_all()) == wanted);
        CHECK(target.smuggled == 0);
    }
}

TEST_CASE("answers come in the order of the requests, and a bad one ends what follows it") {
    Target target;
    Client client(target.port);
    client.send(posted + "Content-Length: 3\r\n\r\n\"1\"" + posted + "Content-Length: 3\r\n\r\n\"2\"" + get_session + "\r\n" + smuggled);
    const auto text = client.read_all();
    CHECK(statuses(text) == std::vector<int>{200, 200, 400});
    CHECK(text.find("\\\"1\\\"") < text.find("\\\"2\\\""));
    CHECK(target.smuggled == 0);
    // What was promised to come after 100 Continue is judged as any body.
    Client waiting(target.port);
    waiting.send(chunked + "Expect: 100-continue\r\n\r\n");
    CHECK(waiting.read_to("\r\n\r\n") == "HTTP/1.1 100 Continue\r\n\r\n");
    waiting.send("5\r\nhello0\r\n\r\n" + smuggled);
    CHECK(statuses(waiting.read_all()) == std::vector<int>{400});
    CHECK(target.smuggled == 0);
}

TEST_CASE("no header says who the peer is, and TRACE and odd methods show nothing of a request") {
    Target target;
    for (const auto* name : {"REMOTE_ADDR", "REMOTE-ADDR", "X-Forwarded-For", "X-Real-IP", "Forwarded", "LOCAL_ADDR", "Client-IP"}) {
        CAPTURE(name);
        const auto reply = Client(target.port).get("/echo", std::string(name) + ": 6.6.6.6\r\n");
        REQUIRE(reply);
        CHECK(reply->body.find("\"remote\":\"127.0.0.1\"") != std::string::npos);
        CHECK(reply->body.find("6.6.6.6") == std::string::npos);
    }
    for (const auto* method : {"TRACE", "TRACK", "PUT", "get", "PROPFIND", "M-SEARCH"}) {
        CAPTURE(method);
        Client client(target.port);
        const auto reply = client.ask(std::string(method) + " /echo HTTP/1.1\r\n" + to_us + "X-Canary: not-shown\r\n\r\n");
        REQUIRE(reply);
        CHECK(reply->status == 405);
        CHECK(reply->body.find("not-shown") == std::string::npos);
    }
}

namespace {

// Sanitizers keep freed memory for a while.
constexpr bool memory_counts = !core::in_address_sanitizer && !core::in_thread_sanitizer;

/// Of this process, client and server.
std::size_t resident_kib() {
    std::ifstream status("/proc/self/status");
    for (std::string word; status >> word;)
        if (word == "VmRSS:") {
            std::size_t kib = 0;
            status >> kib;
            return kib;
        }
    return 0;
}

}  // namespace

TEST_CASE("what has no end costs no memory: lines, headers, chunks, trailers, requests that nobody reads the answers of") {
    Target target;
    struct Endless {
        const char* what;
        std::string begin, part;
    };
    const std::vector<Endless> rows{
        {"a request line", "GET /", std::string(65'536, 'x')},
        {"headers", get_session + to_us, repeated("a:b\r\n", 10'000)},
        {"a header", get_session + "X: ", std::string(65'536, 'x')},
        {"a body beyond its limit", posted + "Content-Length: 4000000000\r\n\r\n", std::string(65'536, 'x')},
        {"chunks", chunked + "\r\n", repeated("1\r\nx\r\n", 10'000)},
        {"a chunk's extension", chunked + "\r\n1;", std::string(65'536, 'x')},
        {"trailers", chunked + "\r\n0\r\n", repeated("a:b\r\n", 10'000)},
        {"pipelined requests", "", repeated("GET /nowhere HTTP/1.1\r\n" + to_us + "\r\n", 1'000)},
    };
    CHECK(Client(target.port).get("/echo")->status == 200);
    const auto before = resident_kib();
    for (const auto& row : rows) {
        CAPTURE(row.what);
        Client client(target.port);
        timeval limit{0, 300'000};
        setsockopt(client.fd(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
        client.send(row.begin);
        // Until the server takes no more, or has taken much more than it may keep.
        for (std::size_t sent = 0; sent < (32 << 20) && client.send(row.part); sent += row.part.size()) {
        }
        // Measured: 350 KiB after the chunks, and the others add nothing to it.
        if (memory_counts) CHECK(resident_kib() < before + 1'024);
        CHECK(Client(target.port).get("/echo")->status == 200);
    }
    CHECK(target.smuggled == 0);
}
