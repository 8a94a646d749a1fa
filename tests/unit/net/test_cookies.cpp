// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include <doctest/doctest.h>

#include <jobruntime/net.hpp>

#include "net/site.hpp"
#include "unit/net/test_server.hpp"

using namespace jobruntime;
using namespace jobruntime::net;
using namespace jobruntime::test;

namespace {

Url url_of(const std::string& text) {
    auto url = parse_url(text);
    REQUIRE(url);
    return *url;
}

}  // namespace

TEST_CASE("a cookie goes to its own hosts, paths and schemes, and nowhere else") {
    const struct {
        const char* what;
        Cookie cookie;
        const char* url;
        bool sent;
    } table[] = {
        {"its host", {.domain = "a.org", .name = "n", .value = "v"}, "http://a.org/x", true},
        {"on another port", {.domain = "a.org", .name = "n", .value = "v"}, "http://a.org:8080/x", true},
        {"host-only, below", {.domain = "a.org", .name = "n", .value = "v"}, "http://cdn.a.org/", false},
        {"below", {.domain = "a.org", .subdomains = true, .name = "n", .value = "v"}, "http://cdn.a.org/", true},
        {"above", {.domain = "cdn.a.org", .subdomains = true, .name = "n", .value = "v"}, "http://a.org/", false},
        {"ends alike", {.domain = "a.org", .subdomains = true, .name = "n", .value = "v"}, "http://evila.org/", false},
        {"another", {.domain = "a.org", .subdomains = true, .name = "n", .value = "v"}, "http://a.org.evil.net/", false},
        {"part of an address", {.domain = "0.0.1", .subdomains = true, .name = "n", .value = "v"}, "http://127.0.0.1/", false},
        {"plain for secure", {.domain = "a.org", .secure = true, .name = "n", .value = "v"}, "http://a.org/", false},
        {"secure", {.domain = "a.org", .secure = true, .name = "n", .value = "v"}, "https://a.org/", true},
        {"its path", {.domain = "a.org", .path = "/v", .name = "n", .value = "v"}, "http://a.org/v", true},
        {"below its path", {.domain = "a.org", .path = "/v", .name = "n", .value = "v"}, "http://a.org/v/1", true},
        {"a path that begins alike", {.domain = "a.org", .path = "/v", .name = "n", .value = "v"}, "http://a.org/vx", false},
        {"run out", {.domain = "a.org", .expires = 1, .name = "n", .value = "v"}, "http://a.org/", false},
        {"a line break", {.domain = "a.org", .name = "n", .value = "v\r\nX: y"}, "http://a.org/", false},
        {"a second cookie in one", {.domain = "a.org", .name = "n", .value = "v; s=1"}, "http://a.org/", false}};
    for (const auto& row : table) {
        CAPTURE(row.what);
        const CookieJar jar({row.cookie});
        CHECK(jar.header_for(url_of(row.url)) == (row.sent ? "n=v" : ""));
    }
}

TEST_CASE("what answers set is kept as browsers keep it") {
    const struct {
        const char* from;
        const char* line;
        const char* to;
        const char* sent;
    } table[] = {
        {"http://a.org/v/1", "n=v", "http://a.org/v/2", "n=v"},
        {"http://a.org/v/1", "n=v", "http://a.org/w", ""},
        {"http://a.org/v/1", "n=v; path=/", "http://a.org/w", "n=v"},
        {"http://a.org/", "n=v", "http://b.a.org/", ""},
        {"http://b.a.org/", "n = v ; Domain=.A.org", "http://c.a.org/", "n=v"},
        {"http://b.a.org/", "n=v; Domain=c.a.org", "http://c.a.org/", ""},
        {"http://a.org/", "n=v; Domain=x.net", "http://x.net/", ""},
        {"http://a.org/", "n=v; Domain=org", "http://b.org/", ""},
        {"http://a.co.uk/", "n=v; Domain=co.uk", "http://b.co.uk/", ""},
        {"http://a.co.uk/", "n=v; Domain=a.co.uk", "http://w.a.co.uk/", "n=v"},
        {"http://m.ok.ru/", "n=v; Domain=ok.ru", "http://vd.ok.ru/", "n=v"},
        {"http://127.0.0.1/", "n=v; Domain=0.0.1", "http://127.0.0.1/", ""},
        {"http://127.0.0.1/", "n=v; Domain=127.0.0.1", "http://127.0.0.1/", "n=v"},
        {"http://a.org/", "n=v; Max-Age=0", "http://a.org/", ""},
        {"http://a.org/", "n=v; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://a.org/", "n=v"},
        {"http://a.org/", "n=v; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "http://a.org/", ""},
        {"http://a.org/", "n=v; Secure", "https://a.org/", ""},
        {"https://a.org/", "n=v; Secure", "https://a.org/", "n=v"},
        {"https://a.org/", "n=v; Secure", "http://a.org/", ""},
        {"https://a.org/", "__Host-n=v; Secure; Path=/", "https://a.org/x", "__Host-n=v"},
        {"https://a.org/", "__Host-n=v; Path=/", "https://a.org/x", ""},
        {"https://b.a.org/", "__Host-n=v; Secure; Path=/; Domain=a.org", "https://a.org/x", ""},
        {"http://a.org/", "=v", "http://a.org/", ""},
        {"http://a.org/", "words", "http://a.org/", ""}};
    for (const auto& row : table) {
        CAPTURE(row.line);
        CookieJar jar;
        jar.take(url_of(row.from), row.line);
        CHECK(jar.header_for(url_of(row.to)) == row.sent);
    }
}

TEST_CASE("a newer cookie takes the older one's place, and too many are not kept") {
    CookieJar jar({{.domain = "a.org", .secure = true, .name = "s", .value = "secret"}});
    const auto plain = url_of("http://a.org/");
    const auto secure = url_of("https://a.org/");
    jar.take(plain, "n=1; Path=/");
    jar.take(plain, "n=2; Path=/");
    jar.take(plain, "s=mine; Path=/");
    CHECK(jar.header_for(plain) == "n=2");
    CHECK(jar.header_for(secure) == "s=secret; n=2");
    jar.take(plain, "n=; Path=/; Max-Age=-1");
    CHECK(jar.header_for(plain).empty());
    jar.take(secure, "deep=1; Path=/v/w");
    CHECK(jar.header_for(url_of("https://a.org/v/w/x")) == "deep=1; s=secret");
    for (int i = 0; i < 1000; ++i) jar.take(plain, "c" + std::to_string(i) + "=" + std::string(200, 'x'));
    CHECK(jar.cookies().size() <= 302);
    CHECK(jar.header_for(plain).size() <= 8192);
    jar.take(plain, "long=" + std::string(5000, 'x'));
    for (const auto& cookie : jar.cookies()) CHECK(cookie.name != "long");
}

TEST_CASE("hosts of one owner are told from those of another") {
    CHECK(site_of("www.x.com") == "x.com");
    CHECK(site_of("a.b.example.co.uk") == "example.co.uk");
    CHECK(site_of("t.co") == "t.co");
    CHECK(site_of("vd123.ok.ru") == "ok.ru");
    CHECK(site_of("localhost") == "localhost");
    CHECK(site_of("127.0.0.1") == "127.0.0.1");
    CHECK(site_of("127.0.0.2") != site_of("127.0.0.1"));
}

TEST_CASE("a jar goes along with redirects, each host gets its own, and what is set on the way is sent from then on") {
    TestServer server;
    TestServer other;
    const auto there = "http://localhost:" + std::to_string(other.port()) + "/end";
    server.on("/a", status(302, "Location: /b\r\nSet-Cookie: seen=a; Path=/\r\n"));
    server.on("/b", redirect(there));
    other.on("/end", status(302, "Location: " + server.url("/back") + "\r\nSet-Cookie: theirs=1; Path=/\r\n"));
    server.on("/back", serve({.bytes = "there"}));
    const Fetcher fetcher({.allow_nets = Network::parse_list("127.0.0.0/8, ::1").value(), .user_agent = {}});
    CookieJar jar({{.domain = "127.0.0.1", .name = "mine", .value = "1"},
                   {.domain = "localhost", .name = "cdn", .value = "2"},
                   {.domain = "example.org", .subdomains = true, .name = "no", .value = "3"}});
    const auto response = fetcher.get({.url = server.url("/a"), .headers = {{"Cookie", "own=0"}}, .cookies = &jar});
    REQUIRE_MESSAGE(response, response.error().message);
    CHECK(response->body == "there");
    const auto seen = server.requests();
    REQUIRE(seen.size() == 3);
    CHECK(seen[0].header("cookie") == "mine=1; own=0");
    CHECK(seen[1].header("cookie") == "mine=1; seen=a; own=0");
    CHECK(seen[2].header("cookie") == "mine=1; seen=a");  // The header of its own left with the first origin.
    REQUIRE(other.requests().size() == 1);
    CHECK(other.requests()[0].header("cookie") == "cdn=2");
    CHECK(jar.header_for(url_of(there)) == "cdn=2; theirs=1");
}
