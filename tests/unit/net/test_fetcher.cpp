// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <sys/socket.h>

#include <cstdlib>
#include <filesystem>

#include <doctest/doctest.h>

#include <jobruntime/net.hpp>

#include "support/mostly.hpp"
#include "unit/net/test_server.hpp"

using namespace jobruntime;
using namespace jobruntime::net;
using namespace jobruntime::test;
using namespace std::chrono_literals;
using std::chrono::steady_clock;

namespace {

FetcherOptions loopback() {
    return {.allow_nets = Network::parse_list("127.0.0.0/8").value(), .user_agent = "test/1"};
}

/// Requests a stop as soon as the server has been asked for something.
class StopOnRequest {
public:
    explicit StopOnRequest(const TestServer& server)
        : thread_([this, &server] {
              while (server.requests().empty()) std::this_thread::sleep_for(1ms);
              asked_ = steady_clock::now();
              source_.request_stop();
          }) {}
    std::stop_token token() { return source_.get_token(); }
    /// How long before `ended` that was.
    steady_clock::duration before(steady_clock::time_point ended) {
        thread_.join();
        return ended - asked_;
    }

private:
    std::stop_source source_;
    steady_clock::time_point asked_;
    std::thread thread_;
};

}  // namespace

TEST_CASE("a resource is fetched with its headers") {
    TestServer server;
    server.on("/page", serve({.bytes = "<p>hello", .type = "text/html", .more = "X-Some: Thing \r\n"}));
    const Fetcher fetcher(loopback());
    const auto response = fetcher.get(
        {.url = server.url("/page?a=1#f"), .headers = {{"Referer", "http://r/"}, {"X-Empty", ""}}});
    REQUIRE(response);
    CHECK(response->status == 200);
    CHECK(response->body == "<p>hello");
    CHECK(response->header("x-some") == "Thing");
    CHECK(response->header("x-other") == std::nullopt);
    CHECK(response->final_url == server.url("/page?a=1#f"));
    const auto asked = server.requests().at(0);
    CHECK(asked.method == "GET");
    CHECK(asked.target == "/page?a=1");
    CHECK(asked.header("referer") == "http://r/");
    CHECK(asked.header("user-agent") == "test/1");
    CHECK(asked.headers.count("x-empty") == 1);
    CHECK(asked.header("host") == "127.0.0.1:" + std::to_string(server.port()));
}

TEST_CASE("every status is an answer, and has a meaning") {
    TestServer server;
    for (const int code : {404, 429, 500, 204})
        server.on("/" + std::to_string(code), status(code, "Retry-After: 7\r\n"));
    const Fetcher fetcher(loopback());
    for (const int code : {404, 429, 500, 204}) {
        const auto response = fetcher.get({.url = server.url("/" + std::to_string(code))});
        REQUIRE(response);
        CHECK(response->status == code);
        CHECK(retry_after(response->headers) == 7s);
    }
    struct Row {
        int status;
        bool wait;
        const char* name;
        Errc code;
    };
    for (const auto& row :
         {Row{404, false, "VIDEO_UNAVAILABLE", Errc::not_found},
          Row{410, false, "VIDEO_UNAVAILABLE", Errc::not_found},
          Row{401, false, "AUTH_REQUIRED", Errc::unsupported},
          Row{403, false, "AUTH_REQUIRED", Errc::unsupported},
          Row{451, false, "GEO_BLOCKED", Errc::unsupported},
          Row{429, false, "RATE_LIMITED", Errc::unavailable},
          Row{503, true, "RATE_LIMITED", Errc::unavailable}, Row{503, false, "NETWORK", Errc::unavailable},
          Row{500, true, "NETWORK", Errc::unavailable}, Row{408, false, "NETWORK", Errc::unavailable},
          Row{400, false, "UNSUPPORTED_SOURCE", Errc::unsupported},
          Row{304, false, "UNSUPPORTED_SOURCE", Errc::unsupported}}) {
        CAPTURE(row.status);
        const auto error = status_error(row.status, row.wait);
        REQUIRE(error);
        CHECK(error->name == row.name);
        CHECK(error->code == row.code);
    }
    for (const int good : {200, 204, 206}) CHECK_FALSE(status_error(good, true));
}

TEST_CASE("Retry-After is a number or a date, within a day") {
    const auto of = [](const char* value) { return retry_after({{"retry-after", value}}); };
    CHECK(of("0") == 0s);
    CHECK(of("120") == 120s);
    CHECK(of("-5") == 0s);
    CHECK(of("99999999999999999999999") == 86'400s);
    CHECK(of("Wed, 21 Oct 2015 07:28:00 GMT") == 0s);
    CHECK(of("Fri, 21 Oct 2095 07:28:00 GMT") == 86'400s);
    CHECK(of("soon") == std::nullopt);
    CHECK(of("") == std::nullopt);
    CHECK(retry_after({}) == std::nullopt);
}

TEST_CASE("HEAD asks for no body") {
    TestServer server;
    server.on("/file", serve({.bytes = pattern(1000)}));
    const auto response =
        Fetcher(loopback()).get({.url = server.url("/file"), .head = true, .max_bytes = 10});
    REQUIRE(response);
    CHECK(response->body.empty());
    CHECK(response->header("content-length") == "1000");
    CHECK(server.requests().at(0).method == "HEAD");
}

TEST_CASE("POST sends the body once, with the headers it was given") {
    TestServer server;
    server.on("/jobs", status(201, "Content-Type: application/json\r\n", "{\"ok\":true}"));
    server.on("/moved", status(307, "Location: /jobs\r\n", ""));
    const Fetcher fetcher(loopback());
    const std::string large = pattern(2u << 20);
    const std::string bodies[] = {"{\"n\":1}", "", std::string("a\0b", 3), large};
    for (const auto& body : bodies) {
        CAPTURE(body.size());
        const auto response = fetcher.post(
            {.url = server.url("/jobs"), .headers = {{"Content-Type", "application/json"}}}, body);
        REQUIRE(response);
        CHECK(response->status == 201);
        CHECK(response->body == "{\"ok\":true}");
        const auto seen = server.requests().back();
        CHECK(seen.method == "POST");
        CHECK(seen.body == body);
        CHECK(seen.header("content-type") == "application/json");
        CHECK(seen.header("expect").empty());
    }
    REQUIRE(fetcher.post({.url = server.url("/jobs")}, "x"));
    CHECK(server.requests().back().header("content-type").empty());
    const auto before = server.requests().size();
    const auto moved = fetcher.post({.url = server.url("/moved")}, "x");
    REQUIRE(moved);
    CHECK(moved->status == 307);
    CHECK(server.requests().size() == before + 1);
}

TEST_CASE("POST passes the same guard") {
    TestServer server;
    const auto refused = Fetcher().post({.url = server.url("/jobs")}, "x");
    REQUIRE_FALSE(refused);
    CHECK(refused.error().name == "SSRF_BLOCKED");
    CHECK(server.connections() == 0);
}

TEST_CASE("redirects are followed, each through the grammar, and counted") {
    TestServer server;
    TestServer other;
    server.on("/a", redirect("b?x=1"));
    server.on("/b", redirect("//127.0.0.1:" + std::to_string(other.port()) + "/end", 307));
    other.on("/end", serve({.bytes = "there"}));
    const Fetcher fetcher(loopback());
    const auto response =
        fetcher.get({.url = server.url("/a"),
                     .headers = {{"Cookie", "s=1"}, {"AUTHORIZATION", "Bearer t"}, {"X-Own", "kept"}}});
    REQUIRE(response);
    CHECK(response->body == "there");
    CHECK(response->final_url == other.url("/end"));
    CHECK(server.requests().at(1).header("cookie") == "s=1");  // The same origin still gets them.
    CHECK(other.requests().at(0).header("cookie").empty());
    CHECK(other.requests().at(0).header("authorization").empty());
    CHECK(other.requests().at(0).header("x-own") == "kept");

    const auto unfollowed = fetcher.get({.url = server.url("/a"), .max_redirects = 0});
    REQUIRE(unfollowed);
    CHECK(unfollowed->status == 302);
    CHECK(unfollowed->header("location") == "b?x=1");

    server.on("/loop", redirect("/loop"));
    const auto loop = fetcher.get({.url = server.url("/loop")});
    CHECK(loop.error().name == "UNSUPPORTED_SOURCE");
    const auto all = server.requests();
    CHECK(std::count_if(all.begin(), all.end(), [](const ServedRequest& r) { return r.target == "/loop"; }) ==
          6);
}

TEST_CASE("a redirect to where we do not go ends there") {
    TestServer server;
    const Fetcher fetcher(loopback());
    const std::string port = ":" + std::to_string(server.port());
    int n = 0;
    for (const std::string& location : std::initializer_list<std::string>{
             "file:///etc/passwd", "gopher://127.0.0.1/", "http://user@127.0.0.1" + port + "/",
             "http://127.1" + port + "/", "http://[::1]" + port + "/", "https://x.com\\@127.0.0.1/",
             "//2130706433/", "ftp://127.0.0.1/", "http://a b/"}) {
        CAPTURE(location);
        const auto path = "/" + std::to_string(n++);
        server.on(path, redirect(location));
        CHECK(fetcher.get({.url = server.url(path)}).error().name == "INVALID_URL");
    }
    for (const std::string location :
         {"http://10.0.0.1/", "http://169.254.169.254/latest/meta-data/", "http://192.168.0.1:80/"}) {
        CAPTURE(location);
        const auto path = "/" + std::to_string(n++);
        server.on(path, redirect(location));
        const auto blocked = fetcher.get({.url = server.url(path)});
        REQUIRE_FALSE(blocked);
        CHECK(blocked.error().name == "SSRF_BLOCKED");
        CHECK(blocked.error().code == Errc::invalid_argument);
    }
}

TEST_CASE("without an allowed network loopback is not even dialled, by number or by name") {
    TestServer server;
    server.on("/", serve({.bytes = "secret"}));
    const Fetcher guarded;
    CHECK(guarded.get({.url = server.url("/")}).error().name == "SSRF_BLOCKED");
    CHECK(guarded.get({.url = "http://localhost:" + std::to_string(server.port()) + "/"}).error().name ==
          "SSRF_BLOCKED");
    CHECK(server.connections() == 0);
}

TEST_CASE("no proxy of the environment is used") {
    TestServer server;
    server.on("/", serve({.bytes = "direct"}));
    ::setenv("http_proxy", "http://127.0.0.1:1/", 1);
    ::setenv("ALL_PROXY", "http://127.0.0.1:1/", 1);
    CHECK(Fetcher(loopback()).get({.url = server.url("/")}).value().body == "direct");
    ::unsetenv("http_proxy");
    ::unsetenv("ALL_PROXY");
}

TEST_CASE("hostile answers end with an error") {
    TestServer server;
    server.on("/large", serve({.bytes = pattern(2000)}));
    server.on("/endless", endless("text/html"));
    server.on("/headers", [](const ServedConnection& connection, const ServedRequest&) {
        bool there = connection.send("HTTP/1.1 200 OK\r\n");
        for (int i = 0; there && i < 100'000; ++i)
            there = connection.send("X-A" + std::to_string(i) + ": " + std::string(1000, 'b') + "\r\n");
    });
    server.on("/garbage", say("\x01\x02\x03 not http at all\r\n\r\n"));
    server.on("/short", drop_after({.bytes = pattern(2000)}, 1000));
    server.on("/nothing", say(""));
    const Fetcher fetcher(loopback());
    CHECK(fetcher.get({.url = server.url("/large"), .max_bytes = 1999}).error().name == "TOO_LARGE");
    CHECK(fetcher.get({.url = server.url("/large"), .max_bytes = 2000}).value().body == pattern(2000));
    CHECK(fetcher.get({.url = server.url("/endless")}).error().name == "TOO_LARGE");
    CHECK(fetcher.get({.url = server.url("/headers")}).error().name == "TOO_LARGE");
    for (const auto* path : {"/garbage", "/short", "/nothing"})
        CHECK_MESSAGE(fetcher.get({.url = server.url(path)}).error().name == "NETWORK", path);
}

TEST_CASE("a compressed answer is unpacked within the limit") {
    // printf '%0100000d' 0 | gzip -9n | xxd -i
    static const unsigned char packed[] = {
#include "unit/net/zeros.gz.inc"
    };
    const std::string body(reinterpret_cast<const char*>(packed), sizeof packed);
    TestServer server;
    server.on("/gz", status(200, "Content-Encoding: gzip\r\nContent-Type: text/plain\r\n", body));
    const Fetcher fetcher(loopback());
    CHECK(fetcher.get({.url = server.url("/gz")}).value().body == std::string(100'000, '0'));
    CHECK(fetcher.get({.url = server.url("/gz"), .max_bytes = 50'000}).error().name == "TOO_LARGE");
}

TEST_CASE("time runs out for the whole of it") {
    TestServer server;
    server.on("/silent", silence());
    server.on("/a", [](const ServedConnection& connection, const ServedRequest& request) {
        std::this_thread::sleep_for(40ms);
        redirect("/a")(connection, request);
    });
    const Fetcher fetcher(loopback());
    for (const auto* path : {"/silent", "/a"}) {
        const auto before = steady_clock::now();
        const auto response = fetcher.get({.url = server.url(path), .timeout = 150ms, .max_redirects = 1000});
        REQUIRE_FALSE(response);
        CHECK(response.error().code == Errc::timed_out);
        CHECK(response.error().name == "NETWORK");
        CHECK(steady_clock::now() - before < 10s);  // A thousand redirects take forty.
    }
}

TEST_CASE("a stop ends a fetch within 200 ms") {
    CHECK(tests::mostly_within(200ms, [] {
        TestServer server;
        server.on("/silent", silence());
        StopOnRequest stopper(server);
        const auto response = Fetcher(loopback()).get({.url = server.url("/silent")}, stopper.token());
        const auto ended = steady_clock::now();
        CHECK(response.error().code == Errc::canceled);
        return stopper.before(ended);
    }));
}

TEST_CASE("nobody listening, no such name, no TLS: the network's fault") {
    auto options = loopback();
    options.connect_timeout = 500ms;  // For a machine on which no name server answers.
    const Fetcher fetcher(options);
    const auto refused = fetcher.get({.url = "http://127.0.0.1:1/"});  // No test gets that port.
    CHECK(refused.error().name == "NETWORK");
    CHECK(refused.error().code == Errc::unavailable);
    CHECK(fetcher.get({.url = "http://no-such-host.invalid/"}).error().name == "NETWORK");
    TestServer plain;
    CHECK(fetcher.get({.url = "https://127.0.0.1:" + std::to_string(plain.port()) + "/"}).error().name ==
          "NETWORK");
}

TEST_CASE("a stop does not wait for a name server either") {
    CHECK(tests::mostly_within(220ms, [] {
        std::stop_source source;
        std::jthread stopper([&] {
            std::this_thread::sleep_for(20ms);
            source.request_stop();
        });
        const auto before = steady_clock::now();
        CHECK_FALSE(Fetcher(loopback()).get({.url = "http://no-such-host.invalid/"}, source.get_token()));
        return steady_clock::now() - before;
    }));
}

TEST_CASE("a fetch leaves no descriptor open") {
    const auto count = [] {
        std::size_t open = 0;
        for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
            ++open;
        return open;
    };
    const Fetcher fetcher(loopback());
    {
        TestServer server;
        server.on("/f", serve({.bytes = pattern(5000)}));
        REQUIRE(fetcher.get({.url = server.url("/f")}));  // What is opened once, by libraries, is open now.
    }
    const auto before = count();
    {
        TestServer server;
        server.on("/f", serve({.bytes = pattern(5000)}));
        server.on("/r", redirect("http://10.0.0.1/"));
        for (int i = 0; i < 10; ++i) {
            CHECK(fetcher.get({.url = server.url("/f")}));
            CHECK_FALSE(fetcher.get({.url = server.url("/r")}));
            CHECK_FALSE(fetcher.get({.url = server.url("/f"), .max_bytes = 10}));
        }
    }
    CHECK(count() == before);
}

TEST_CASE("what cannot be sent is refused before anything is") {
    TestServer server;
    const Fetcher fetcher(loopback());
    for (const auto& header : {std::pair<std::string, std::string>{"X", "a\r\nHost: evil"},
                               {"X: y", "z"},
                               {"", "z"},
                               {"X\n", "z"},
                               {"X", std::string("a\0b", 3)}})
        CHECK(fetcher.get({.url = server.url("/"), .headers = {header}}).error().code ==
              Errc::invalid_argument);
    CHECK(fetcher.get({.url = "file:///etc/passwd"}).error().name == "INVALID_URL");
    CHECK(server.connections() == 0);
}

TEST_CASE("one fetcher serves many threads") {
    TestServer server;
    server.on("/f", serve({.bytes = pattern(5000)}));
    const Fetcher fetcher(loopback());
    std::atomic<int> good = 0;
    const auto round = [&] {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 8; ++t)
            threads.emplace_back([&] {
                const auto response = fetcher.get({.url = server.url("/f")});
                if (response && response->body == pattern(5000)) ++good;
            });
    };
    round();
    round();
    CHECK(good == 16);
}
