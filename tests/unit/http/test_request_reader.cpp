// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include "http/request_reader.hpp"

using jobruntime::http::ReaderLimits;
using jobruntime::http::RequestReader;
using State = RequestReader::State;

namespace {

const std::string host = "Host: localhost\r\n";

RequestReader read(std::string text, ReaderLimits limits = {}) {
    RequestReader reader(limits);
    reader.read(text);
    return reader;
}

/// The same, one byte at a time: what is decided must not depend on how the bytes come.
RequestReader drip(const std::string& text, ReaderLimits limits = {}) {
    RequestReader reader(limits);
    std::string bytes;
    for (const char c : text) {
        bytes += c;
        reader.read(bytes);
    }
    return reader;
}

}  // namespace

TEST_CASE("a whole request is read, however its bytes come, and the rest is left for the next one") {
    const std::string text = "POST /api/jobs?x=1 HTTP/1.1\r\n" + host + "X-Trace-Id:  abc\t \r\nContent-Length: 5\r\n\r\nhello";
    for (auto reader : {read(text), drip(text)}) {
        REQUIRE(reader.state() == State::done);
        CHECK(reader.request().method == "POST");
        CHECK(reader.request().target == "/api/jobs?x=1");
        CHECK(reader.request().header("x-trace-id") == "abc");
        CHECK(reader.request().body == "hello");
        CHECK(reader.keep_alive());
    }
    RequestReader reader({});
    std::string bytes = text + "GET / HTTP/1.1\r\n";
    reader.read(bytes);
    CHECK(bytes == "GET / HTTP/1.1\r\n");
}

TEST_CASE("a chunked body is decoded; extensions and trailers are passed over") {
    const std::string head = "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: Chunked\r\n\r\n";
    for (const auto& body : {std::string("5\r\nhello\r\n0\r\n\r\n"), std::string("2;ext=\"v\"\r\nhe\r\n003\r\nllo\r\n0\r\nX-T: v\r\n\r\n")})
        for (auto reader : {read(head + body), drip(head + body)}) {
            REQUIRE(reader.state() == State::done);
            CHECK(reader.request().body == "hello");
        }
}

TEST_CASE("a head that two readers could understand differently is refused") {
    struct Row {
        const char* what;
        std::string text;
        int status;
    };
    const std::string get = "GET / HTTP/1.1\r\n";
    const std::string post = "POST / HTTP/1.1\r\n" + host;
    const std::string chunked = post + "Transfer-Encoding: chunked\r\n";
    const std::vector<Row> rows{
        {"no Host", get + "\r\n", 400},
        {"an empty Host", get + "Host:\r\n\r\n", 400},
        {"two Hosts", get + host + "Host: other\r\n\r\n", 400},
        {"Transfer-Encoding and Content-Length", chunked + "Content-Length: 5\r\n\r\n", 400},
        {"Content-Length and Transfer-Encoding", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {"two lengths", post + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
        {"a list of lengths", post + "Content-Length: 5, 5\r\n\r\n", 400},
        {"a negative length", post + "Content-Length: -1\r\n\r\n", 400},
        {"a signed length", post + "Content-Length: +5\r\n\r\n", 400},
        {"a length in hexadecimal", post + "Content-Length: 0x5\r\n\r\n", 400},
        {"an empty length", post + "Content-Length:\r\n\r\n", 400},
        {"a length over all numbers", post + "Content-Length: 99999999999999999999999\r\n\r\n", 413},
        {"an unknown coding", post + "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {"a coding that looks like chunked", post + "Transfer-Encoding: xchunked\r\n\r\n", 501},
        {"two codings", chunked + "Transfer-Encoding: chunked\r\n\r\n", 400},
        {"chunked in HTTP/1.0", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n", 400},
        {"a bare line feed", "GET / HTTP/1.1\n" + host + "\r\n", 400},
        {"a header ended by a bare line feed", get + "Host: a\n\r\n", 400},
        {"a bare carriage return", get + "Host: a\rX: b\r\n\r\n", 400},
        {"a folded header", get + host + "X: a\r\n b\r\n\r\n", 400},
        {"a blank before the colon", get + "Host : a\r\n\r\n", 400},
        {"a header without a colon", get + host + "nonsense\r\n\r\n", 400},
        {"a header without a name", get + host + ": x\r\n\r\n", 400},
        {"a NUL in a header", get + host + std::string("X: a\0b\r\n\r\n", 10), 400},
        {"an escape in a header", get + host + "X: \x1b[2J\r\n\r\n", 400},
        {"two Origins", get + host + "Origin: a\r\nOrigin: b\r\n\r\n", 400},
        {"an unknown expectation", post + "Expect: miracles\r\n\r\n", 417},
        {"no version", "GET /\r\n" + host + "\r\n", 400},
        {"another version", "GET / HTTP/2.0\r\n" + host + "\r\n", 505},
        {"a malformed version", "GET / HTTP/1.10\r\n" + host + "\r\n", 400},
        {"two blanks", "GET  / HTTP/1.1\r\n" + host + "\r\n", 400},
        {"a blank in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", 400},
        {"a tab in the target", "GET /a\tb HTTP/1.1\r\n" + host + "\r\n", 400},
        {"a fragment", "GET /#x HTTP/1.1\r\n" + host + "\r\n", 400},
        {"a byte above ASCII", "GET /\xc3\xbc HTTP/1.1\r\n" + host + "\r\n", 400},
        {"a method with a separator", "GE(T / HTTP/1.1\r\n" + host + "\r\n", 400},
        {"an authority as the target", "CONNECT localhost:1 HTTP/1.1\r\n" + host + "\r\n", 400},
        {"a star for GET", "GET * HTTP/1.1\r\n" + host + "\r\n", 400},
        {"another scheme", "GET ftp://localhost/ HTTP/1.1\r\n" + host + "\r\n", 400},
        {"user information", "GET http://a@localhost/ HTTP/1.1\r\n" + host + "\r\n", 400},
        {"a TLS hello", "\x16\x03\x01\x02\r\n", 400},
        {"a chunk size with a sign", chunked + "\r\n-5\r\nhello\r\n", 400},
        {"a chunk size with 0x", chunked + "\r\n0x5\r\nhello\r\n", 400},
        {"an empty chunk size", chunked + "\r\n\r\nhello\r\n", 400},
        {"a chunk size over all numbers", chunked + "\r\nfffffffffffffffff\r\n", 400},
        {"a chunk longer than its size", chunked + "\r\n3\r\nhello\r\n", 400},
        {"a chunk size ended by a bare line feed", chunked + "\r\n5\nhello\r\n", 400},
        {"a malformed trailer", chunked + "\r\n0\r\nnonsense\r\n\r\n", 400},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        for (auto& reader : {read(row.text), drip(row.text)}) {
            CHECK(reader.state() == State::failed);
            CHECK(reader.failure().status == row.status);
            CHECK_FALSE(reader.keep_alive());
        }
    }
}

TEST_CASE("sizes are bounded, also of what has no end") {
    const ReaderLimits limits{1'024, 1'000, 10};
    const auto status = [&](const std::string& text) {
        const auto whole = read(text, limits);
        CHECK(drip(text, limits).failure().status == whole.failure().status);
        return whole.state() == State::failed ? whole.failure().status : 0;
    };
    const std::string get = "GET / HTTP/1.1\r\n" + host;
    const std::string post = "POST / HTTP/1.1\r\n" + host;
    CHECK(status("GET /" + std::string(2'000, 'x')) == 414);
    CHECK(status(std::string(2'000, '\r')) == 414);
    CHECK(status(get + "X: " + std::string(2'000, 'x')) == 431);
    CHECK(status(get + "A: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n") == 431);
    CHECK(status(post + "Content-Length: 1001\r\n\r\n") == 413);
    CHECK(status(post + "Transfer-Encoding: chunked\r\n\r\n3e9\r\n") == 413);
    CHECK(status(post + "Transfer-Encoding: chunked\r\n\r\n1f4\r\n" + std::string(500, 'x') + "\r\n1f5\r\n") == 413);
    CHECK(status(post + "Transfer-Encoding: chunked\r\n\r\n1;" + std::string(300, 'x')) == 400);
    CHECK(status(post + "Transfer-Encoding: chunked\r\n\r\n0\r\nX: " + std::string(5'000, 'x')) == 400);
}

TEST_CASE("a connection goes on after HTTP/1.1 unless it says close, and after HTTP/1.0 only if it asks") {
    const auto keeps = [](const std::string& line, const std::string& more) {
        return read(line + "\r\n" + host + more + "\r\n").keep_alive();
    };
    CHECK(keeps("GET / HTTP/1.1", ""));
    CHECK_FALSE(keeps("GET / HTTP/1.1", "Connection: close\r\n"));
    CHECK_FALSE(keeps("GET / HTTP/1.1", "Connection: upgrade, Close\r\n"));
    CHECK_FALSE(keeps("GET / HTTP/1.0", ""));
    CHECK(keeps("GET / HTTP/1.0", "Connection: Keep-Alive\r\n"));
}

TEST_CASE("an absolute target is a path, and its authority is the Host") {
    auto reader = read("GET HTTP://evil.example:1/a?b HTTP/1.1\r\n" + host + "\r\n");
    REQUIRE(reader.state() == State::done);
    CHECK(reader.request().target == "/a?b");
    CHECK(reader.request().header("host") == "evil.example:1");
    CHECK(read("GET http://localhost?b HTTP/1.1\r\n" + host + "\r\n").request().target == "/?b");
}

TEST_CASE("100 Continue is due once, when a body is to come") {
    auto reader = read("POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    CHECK(reader.take_continue());
    CHECK_FALSE(reader.take_continue());
    CHECK_FALSE(read("POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx").take_continue());
}
