// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include "fuzz.hpp"
#include "http/request_reader.hpp"

namespace jobruntime::fuzz {
namespace {

using http::RequestReader;
using State = RequestReader::State;

constexpr http::ReaderLimits reader_limits{.head = 600, .body = 500, .headers = 8};

/// What was read from a connection: whole requests, and what became of the last one.
struct Reading {
    std::vector<Request> requests;
    State state = State::line;
    int status = 0;
    std::size_t left = 0;
};

Reading read(std::string_view bytes, std::size_t piece) {
    Reading reading;
    std::string waiting;
    RequestReader reader(reader_limits);
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        waiting += bytes.substr(at, piece);
        while (true) {
            const auto state = reader.read(waiting);
            expect(state == State::failed || waiting.size() <= std::max(piece, reader_limits.head), "bytes pile up");
            if (state == State::failed) {
                reading.state = State::failed;
                reading.status = reader.failure().status;
                return reading;
            }
            if (state != State::done) break;
            reading.requests.push_back(std::move(reader.request()));
            reader = RequestReader(reader_limits);
        }
    }
    reading.state = reader.state();
    reading.left = waiting.size();
    return reading;
}

bool same(const Request& left, const Request& right) {
    return left.method == right.method && left.target == right.target && left.headers == right.headers && left.body == right.body;
}

/// A request that was taken, as the strictest of clients would have sent it.
std::string written(const Request& request) {
    std::string text = request.method + " " + request.target + " HTTP/1.1\r\n";
    for (const auto& [name, value] : request.headers)
        if (name != "content-length" && name != "transfer-encoding" && name != "expect") text += name + ": " + value + "\r\n";
    return text + "content-length: " + std::to_string(request.body.size()) + "\r\n\r\n" + request.body;
}

void expect_good(const Request& request) {
    expect(request.headers.size() <= reader_limits.headers && request.body.size() <= reader_limits.body, "more than is allowed was read");
    expect(request.target.starts_with('/') || request.target == "*", "a target that is no path: " + request.target);
    std::size_t hosts = 0;
    std::size_t lengths = 0;
    for (const auto& [name, value] : request.headers) {
        expect(!name.empty() && std::ranges::none_of(name, [](char c) { return c >= 'A' && c <= 'Z'; }), "a name in capitals");
        expect(value.find_first_of(std::string_view("\r\n\0", 3)) == std::string::npos, "a header has more than one line");
        hosts += name == "host" ? 1 : 0;
        lengths += name == "content-length" || name == "transfer-encoding" ? 1 : 0;
    }
    expect(hosts == 1 && lengths <= 1, "a request for two hosts, or with two lengths");
    RequestReader reader({.head = 4'096, .body = reader_limits.body, .headers = reader_limits.headers + 1});
    auto text = written(request);
    auto again = request;
    std::erase_if(again.headers, [](const auto& header) {
        return header.first == "content-length" || header.first == "transfer-encoding" || header.first == "expect";
    });
    again.headers.emplace_back("content-length", std::to_string(request.body.size()));
    expect(reader.read(text) == State::done && text.empty() && same(reader.request(), again),
           "a request is another one when it is written again:\n" + written(request));
}

}  // namespace

/// What a client sends on one connection. A line's end serves as CRLF after a first byte that is one, so that the kept
/// inputs can be read.
void http_request(std::string_view input) {
    std::string lines;
    if (input.starts_with('\n')) {
        for (const char c : input.substr(1)) lines += c == '\n' ? "\r\n" : std::string(1, c);
        input = lines;
    }
    const auto whole = read(input, input.size() + 1);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}}) {
        const auto other = read(input, piece);
        expect(other.state == whole.state && other.status == whole.status && other.left == whole.left &&
                   std::ranges::equal(other.requests, whole.requests, same),
               "how the bytes come decides what they ask for");
    }
    expect(whole.state != State::failed || (whole.status >= 400 && whole.status < 600), "a refusal without a status");
    for (const auto& request : whole.requests) expect_good(request);
}

}  // namespace jobruntime::fuzz
