// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <jobruntime/net.hpp>

using namespace jobruntime;
using namespace jobruntime::net;

TEST_CASE("an accepted URL is rebuilt in its one canonical form") {
    struct Row {
        const char* given;
        const char* canonical;
    };
    const Row rows[] = {
        {"https://example.org", "https://example.org/"},
        {"HTTPS://Example.ORG/Path?Query#Frag", "https://example.org/Path?Query#Frag"},
        {"http://example.org:80/", "http://example.org/"},
        {"https://example.org:443", "https://example.org/"},
        {"http://example.org:443/", "http://example.org:443/"},
        {"http://example.org:1/", "http://example.org:1/"},
        {"http://example.org:65535/", "http://example.org:65535/"},
        {"http://localhost:4000/a", "http://localhost:4000/a"},
        {"http://127.0.0.1/", "http://127.0.0.1/"},
        {"http://0.0.0.0/", "http://0.0.0.0/"},
        {"http://255.255.255.255/", "http://255.255.255.255/"},
        {"http://xn--mnchen-3ya.de/", "http://xn--mnchen-3ya.de/"},
        {"http://1and1.com/", "http://1and1.com/"},
        {"http://1.2.3.4.com/", "http://1.2.3.4.com/"},
        {"http://a-b.example/", "http://a-b.example/"},
        {"http://example.org/a/./b/../c", "http://example.org/a/c"},
        {"http://example.org/../../etc/passwd", "http://example.org/etc/passwd"},
        {"http://example.org/%2e%2E/.%2e/x", "http://example.org/x"},
        {"http://example.org/a/..", "http://example.org/"},
        {"http://example.org/a/b/..", "http://example.org/a/"},
        {"http://example.org/a/.", "http://example.org/a/"},
        {"http://example.org/...", "http://example.org/..."},
        {"http://example.org/..a/.b", "http://example.org/..a/.b"},
        {"http://example.org//a//b", "http://example.org//a//b"},
        {"http://example.org/a%2Fb%20c", "http://example.org/a%2Fb%20c"},
        {"http://example.org?q", "http://example.org/?q"},
        {"http://example.org#f", "http://example.org/#f"},
        {"http://example.org/?", "http://example.org/?"},
        {"http://example.org/?u=http://user@host/", "http://example.org/?u=http://user@host/"},
        {"http://example.org/@name/video/1", "http://example.org/@name/video/1"},
        {"http://example.org/?a[]=1&b={x|y}", "http://example.org/?a[]=1&b={x|y}"},
        {"http://example.org/?..", "http://example.org/?.."},
    };
    for (const auto& row : rows) {
        CAPTURE(row.given);
        const auto url = parse_url(row.given);
        REQUIRE(url);
        CHECK(url->str() == row.canonical);
        CHECK(parse_url(url->str()).value() == *url);
    }
}

TEST_CASE("hostile and sloppy URLs are refused, with what is wrong") {
    const std::string rows[] = {
        "",
        " ",
        "example.org",
        "//example.org/",
        "/path",
        "?q",
        "#f",
        "http",
        "http:",
        "http:/",
        "http://",
        "http:///",
        "http:///path",
        "http:example.org",
        "http:/example.org",
        "http//example.org",
        "://example.org",
        "ftp://example.org/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:text/html,x",
        "gopher://x/",
        "ws://x/",
        "httpx://example.org/",
        "view-source:http://x/",
        "blob:http://x/",
        " http://example.org/",
        "http://example.org/ ",
        "http://exa mple.org/",
        "http://example.org/a b",
        "http://example.org/\ta",
        "http://example.org/\n",
        "http://example.org/\r\nHost: evil",
        std::string("http://example.org/\0x", 21),
        "http://example.org/\x7f",
        "http://ex\xc3\xa4mple.org/",
        "http://example.org/\xc3\xa4",
        "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/",
        "http://example\xe3\x80\x82org/",
        // Parsers disagree about these: see where each would go.
        "https://a@x.com@127.0.0.1/",
        "https://x.com\\@127.0.0.1/",
        "https://x.com@127.0.0.1/",
        "https://@x.com/",
        "https://user:pass@x.com/",
        "https://user%40x.com@evil.org/",
        "https://x.com\\.evil.org/",
        "https:\\\\x.com\\",
        "https://x.com:80@evil.org/",
        "https://evil.org\\x.com/",
        "http://127.0.0.1\\@x.com/",
        "http://2130706433/",
        "http://127.1/",
        "http://0x7f.1/",
        "http://0x7f000001/",
        "http://0177.0.0.1/",
        "http://127.0.0.01/",
        "http://127.0.0.256/",
        "http://127.0.0.1.5/",
        "http://127.0.1/",
        "http://1.2.3/",
        "http://0/",
        "http://0x/",
        "http://0X7F.0.0.1/",
        "http://example.0x7f/",
        "http://example.123/",
        "http://127.0.0.0x1/",
        "http://127.0.0.1./",
        "http://00.0.0.0/",
        "http://1e3.1/",
        "http://4294967296/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::1%25eth0]/",
        "http://::1/",
        "http://[v1.x]/",
        "http://[/",
        "http://example.org./",
        "http://./",
        "http://../",
        "http://.example.org/",
        "http://example..org/",
        "http://-example.org/",
        "http://example-.org/",
        "http://exa_mple.org/",
        "http://*.org/",
        "http://exa%6Dple.org/",
        "http://%31%32%37.0.0.1/",
        "http://exam!ple.org/",
        "http://a,b/",
        "http://a;b/",
        "http://a&b/",
        "http://a'b/",
        "http://a$b/",
        "http://(a)/",
        "http://a=b/",
        "http://a+b/",
        "http://a~b/",
        "http://example.org:/",
        "http://example.org:0/",
        "http://example.org:65536/",
        "http://example.org:99999999999/",
        "http://example.org:-1/",
        "http://example.org:+80/",
        "http://example.org:080/",
        "http://example.org:80a/",
        "http://example.org:0x50/",
        "http://example.org: 80/",
        "http://example.org:80:80/",
        "http://:80/",
        "http://example.org/%",
        "http://example.org/%2",
        "http://example.org/%zz",
        "http://example.org/?%g1",
        "http://example.org/#%",
        "http://example.org/%u0041",
        "http://example.org/<script>",
        "http://example.org/\"",
        "http://example.org/`id`",
        "http://example.org/a\\..\\b",
        "http://example.org?\\",
        "http://example.org#\\",
        "http://" + std::string(64, 'a') + ".org/",
    };
    for (const auto& row : rows) {
        CAPTURE(row);
        const auto url = parse_url(row);
        REQUIRE_FALSE(url);
        CHECK(url.error().code == Errc::invalid_argument);
        CHECK(url.error().name == "INVALID_URL");
        CHECK(url.error().message.find("this is not a URL we accept: ") == 0);
    }
}

TEST_CASE("lengths are limited") {
    const std::string base = "http://example.org/";
    CHECK(parse_url(base + std::string(max_user_url - base.size(), 'a')));
    CHECK_FALSE(parse_url(base + std::string(max_user_url - base.size() + 1, 'a')));
    CHECK(parse_url(base + std::string(max_user_url, 'a'), max_fetch_url));
    CHECK(parse_url("http://" + std::string(63, 'a') + ".org/"));
    std::string host;
    while (host.size() < 250) host += "a.";
    CHECK(parse_url("http://" + host + "org/"));         // 253 bytes
    CHECK_FALSE(parse_url("http://" + host + "aorg/"));  // 254 bytes
}

TEST_CASE("references are resolved as RFC 3986, 5.4 says") {
    const auto base = parse_url("http://a.example/b/c/d;p?q#old").value();
    struct Row {
        const char* reference;
        const char* result;
    };
    const Row rows[] = {
        {"g", "http://a.example/b/c/g"},
        {"./g", "http://a.example/b/c/g"},
        {"g/", "http://a.example/b/c/g/"},
        {"/g", "http://a.example/g"},
        {"//g.example", "http://g.example/"},
        {"?y", "http://a.example/b/c/d;p?y"},
        {"g?y", "http://a.example/b/c/g?y"},
        {"#s", "http://a.example/b/c/d;p?q#s"},
        {"g#s", "http://a.example/b/c/g#s"},
        {"g?y#s", "http://a.example/b/c/g?y#s"},
        {";x", "http://a.example/b/c/;x"},
        {"g;x", "http://a.example/b/c/g;x"},
        {"g;x?y#s", "http://a.example/b/c/g;x?y#s"},
        {"", "http://a.example/b/c/d;p?q"},
        {".", "http://a.example/b/c/"},
        {"./", "http://a.example/b/c/"},
        {"..", "http://a.example/b/"},
        {"../", "http://a.example/b/"},
        {"../g", "http://a.example/b/g"},
        {"../..", "http://a.example/"},
        {"../../", "http://a.example/"},
        {"../../g", "http://a.example/g"},
        {"../../../g", "http://a.example/g"},
        {"../../../../g", "http://a.example/g"},
        {"/./g", "http://a.example/g"},
        {"/../g", "http://a.example/g"},
        {"g.", "http://a.example/b/c/g."},
        {".g", "http://a.example/b/c/.g"},
        {"g..", "http://a.example/b/c/g.."},
        {"..g", "http://a.example/b/c/..g"},
        {"./../g", "http://a.example/b/g"},
        {"./g/.", "http://a.example/b/c/g/"},
        {"g/./h", "http://a.example/b/c/g/h"},
        {"g/../h", "http://a.example/b/c/h"},
        {"g;x=1/./y", "http://a.example/b/c/g;x=1/y"},
        {"g;x=1/../y", "http://a.example/b/c/y"},
        {"g?y/./x", "http://a.example/b/c/g?y/./x"},
        {"g#s/../x", "http://a.example/b/c/g#s/../x"},
        {"https://B.example:443", "https://b.example/"},
        {"a/b:c", "http://a.example/b/c/a/b:c"},
        {"1:2", "http://a.example/b/c/1:2"},
        {"//B.example:8080/x", "http://b.example:8080/x"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.reference);
        const auto url = resolve(base, row.reference);
        REQUIRE(url);
        CHECK(url->str() == row.result);
    }
    const auto secure = parse_url("https://a.example:8443").value();
    CHECK(resolve(secure, "x").value().str() == "https://a.example:8443/x");
    CHECK(resolve(secure, "//b.example").value().str() == "https://b.example/");
    for (const auto* hostile : {"http:g",
                                "http:",
                                "javascript:alert(1)",
                                "file:///etc/passwd",
                                "mailto:a@b",
                                "//user@host/",
                                "//",
                                "///x",
                                "\\\\evil.org",
                                "/\\evil.org",
                                "//127.1/",
                                "//[::1]/",
                                "a b",
                                "a\nb",
                                "%zz",
                                "g:h",
                                "//host:0/",
                                "about:blank",
                                "data:,x",
                                "//x.com\\@evil/"}) {
        CAPTURE(hostile);
        CHECK(resolve(base, hostile).error().name == "INVALID_URL");
    }
    CHECK_FALSE(resolve(base, std::string(max_fetch_url, 'x')));
    CHECK_FALSE(resolve(base, std::string(300, 'x'), 310));
}

TEST_CASE("hosts match exactly or below a dot") {
    CHECK(host_matches("x.com", "x.com"));
    CHECK(host_matches("www.x.com", "x.com"));
    CHECK_FALSE(host_matches("evilx.com", "x.com"));
    CHECK_FALSE(host_matches("x.com.evil.org", "x.com"));
    CHECK_FALSE(host_matches("com", "x.com"));
}

TEST_CASE("a slug is a harmless name, whatever it is made from") {
    struct Row {
        std::string given;
        const char* slug;
    };
    const Row rows[] = {
        {"Name_1", "name_1"},
        {"..", "unknown"},
        {".", "unknown"},
        {"", "unknown"},
        {"../../etc", "etc"},
        {"a/b", "a-b"},
        {"a..b", "a-b"},
        {"-rf", "rf"},
        {"--", "unknown"},
        {"a-", "a"},
        {"\xc3\xa4 b", "b"},
        {"www.x.com", "www-x-com"},
        {std::string("a\0b", 3), "a-b"},
        {"CON", "con"},
        {"a\nb", "a-b"},
        {"_", "_"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.given);
        CHECK(slug(row.given) == row.slug);
    }
    CHECK(slug(std::string(100, 'a')) == std::string(64, 'a'));
    CHECK(slug(std::string(63, 'a') + "-b") == std::string(63, 'a'));
    CHECK(slug("", "x") == "x");
}
