// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "http/request_reader.hpp"

#include <algorithm>
#include <utility>

#include "core/request_head.hpp"

namespace jobruntime::http {

using core::is_field_value;
using core::is_host;
using core::is_single_header;
using core::is_target;
using core::is_token;

namespace {

constexpr std::size_t chunk_line_limit = 256;
constexpr std::size_t trailer_limit = 4 << 10;

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    return result;
}

std::string_view trim(std::string_view text) {
    const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
    while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
    while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
    return text;
}

}  // namespace

RequestReader::State RequestReader::fail(int status, std::string_view code, std::string_view message) {
    failure_ = {status, code, message};
    keep_alive_ = false;
    return state_ = State::failed;
}

bool RequestReader::take_continue() { return in_body() && std::exchange(expects_continue_, false); }

RequestReader::State RequestReader::read(std::string& bytes) {
    std::size_t at = 0;
    bool stuck = false;
    while (!stuck && state_ != State::done && state_ != State::failed) step(bytes, at, stuck);
    bytes.erase(0, at);
    return state_;
}

/// A whole line, without its CRLF. False when it has not come yet, or when it is refused.
bool RequestReader::take_line(std::string_view bytes, std::size_t& at, std::string_view& line) {
    const std::size_t limit = state_ == State::chunk_size  ? chunk_line_limit
                              : state_ == State::trailers ? trailer_limit
                                                          : limits_.head;
    const auto end = bytes.find('\n', at);
    const std::size_t size = (end == std::string_view::npos ? bytes.size() : end + 1) - at;
    if (head_bytes_ + size > limit) {
        too_long();
        return false;
    }
    if (end == std::string_view::npos) return false;
    line = bytes.substr(at, size);
    at += size;
    head_bytes_ += size;
    if (line.size() < 2 || line[line.size() - 2] != '\r') {
        bad("A line of the request ends without a carriage return");
        return false;
    }
    line.remove_suffix(2);
    return true;
}

RequestReader::State RequestReader::too_long() {
    if (state_ == State::line) return fail(414, "URI_TOO_LONG", "The request line is too long");
    if (state_ == State::headers) return fail(431, "HEADERS_TOO_LARGE", "The headers are too large");
    return bad("A line of the chunked body is too long");
}

RequestReader::State RequestReader::step(std::string_view bytes, std::size_t& at, bool& stuck) {
    if (state_ == State::body || state_ == State::chunk_data) {
        stuck = at == bytes.size();
        return on_body(bytes, at);
    }
    std::string_view line;
    if (!take_line(bytes, at, line)) {
        stuck = true;
        return state_;
    }
    switch (state_) {
        case State::line:
            if (!line.empty()) return on_request_line(line);
            // An empty line before a request is forgiven, as RFC 9112, 2.2 wants; it still counts towards the limit.
            return state_;
        case State::headers: return line.empty() ? on_head_end() : on_header(line);
        case State::chunk_size: return on_chunk_size(line);
        case State::chunk_end:
            head_bytes_ = 0;
            return line.empty() ? state_ = State::chunk_size : bad("A chunk is longer than it says");
        case State::trailers:
            if (line.empty()) return state_ = State::done;
            // Its name is checked as a header's, though nobody reads it: what is none may be the next request's line.
            return is_field_value(line) && line.find(':') != std::string_view::npos && is_token(line.substr(0, line.find(':')))
                       ? state_
                       : bad("A trailer is malformed");
        default: return state_;
    }
}

RequestReader::State RequestReader::on_request_line(std::string_view line) {
    const auto first = line.find(' ');
    const auto last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) return bad("The request line is malformed");
    const auto method = line.substr(0, first);
    const auto target = line.substr(first + 1, last - first - 1);
    const auto version = line.substr(last + 1);
    if (!is_token(method) || method.size() > 32 || !is_target(target)) return bad("The request line is malformed");
    if (version.size() != 8 || !version.starts_with("HTTP/")) return bad("The request line is malformed");
    if (version != "HTTP/1.1" && version != "HTTP/1.0")
        return fail(505, "HTTP_VERSION_NOT_SUPPORTED", "This server speaks HTTP/1.1");
    http10_ = version == "HTTP/1.0";
    keep_alive_ = !http10_;
    request_.method = method;
    return on_target(target);
}

RequestReader::State RequestReader::on_target(std::string_view target) {
    if (target.starts_with('/') || (target == "*" && request_.method == "OPTIONS")) {
        request_.target = target;
        return state_ = State::headers;
    }
    if (!lower(target.substr(0, 7)).starts_with("http://")) return bad("The request target is neither a path nor an http URL");
    target.remove_prefix(7);
    const auto slash = std::min(target.find_first_of("/?"), target.size());
    authority_ = target.substr(0, slash);
    if (!is_host(authority_)) return bad("The request target is malformed");
    request_.target = target.substr(slash);
    if (!request_.target.starts_with('/')) request_.target.insert(0, "/");
    return state_ = State::headers;
}

RequestReader::State RequestReader::on_header(std::string_view line) {
    if (request_.headers.size() >= limits_.headers) return fail(431, "HEADERS_TOO_LARGE", "There are too many headers");
    const auto colon = line.find(':');
    // A folded line begins with a blank, which no name has.
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return bad("A header is malformed");
    const auto value = trim(line.substr(colon + 1));
    if (!is_field_value(value)) return bad("A header has a control character");
    auto name = lower(line.substr(0, colon));
    if (is_single_header(name) && std::ranges::any_of(request_.headers, [&](const auto& header) { return header.first == name; }))
        return bad("A header that may come once comes twice");
    if (name == "connection") read_connection(value);
    request_.headers.emplace_back(std::move(name), std::string(value));
    return state_;
}

RequestReader::State RequestReader::read_connection(std::string_view value) {
    while (!value.empty()) {
        const auto comma = std::min(value.find(','), value.size());
        const auto option = lower(trim(value.substr(0, comma)));
        if (option == "close") keep_alive_ = false;
        if (option == "keep-alive" && http10_) keep_alive_ = true;
        value.remove_prefix(std::min(comma + 1, value.size()));
    }
    return state_;
}

RequestReader::State RequestReader::on_head_end() {
    head_bytes_ = 0;
    const auto has = [this](std::string_view name) {
        return std::ranges::any_of(request_.headers, [&](const auto& header) { return header.first == name; });
    };
    const auto host = request_.header("host");
    if (!has("host") || (host.empty() && authority_.empty())) return bad("The Host header is missing");
    if (!host.empty() && !is_host(host)) return bad("The Host header is malformed");
    if (!authority_.empty())
        for (auto& [name, value] : request_.headers)
            if (name == "host") value = authority_;
    const auto expect = lower(request_.header("expect"));
    if (!expect.empty() && expect != "100-continue")
        return fail(417, "EXPECTATION_FAILED", "The only expectation known here is 100-continue");
    expects_continue_ = !expect.empty() && !http10_;
    if (has("transfer-encoding")) {
        if (has("content-length")) return bad("The body has two lengths: Content-Length and Transfer-Encoding");
        if (http10_) return bad("HTTP/1.0 has no Transfer-Encoding");
        if (lower(request_.header("transfer-encoding")) != "chunked")
            return fail(501, "NOT_IMPLEMENTED", "The only Transfer-Encoding known here is chunked");
        return state_ = State::chunk_size;
    }
    if (has("content-length")) return on_body_length(request_.header("content-length"));
    return state_ = State::done;
}

RequestReader::State RequestReader::on_body_length(std::string_view length) {
    if (length.empty() || !std::ranges::all_of(length, [](char c) { return c >= '0' && c <= '9'; }))
        return bad("Content-Length is not a number");
    std::uint64_t size = 0;
    for (const char c : length) {
        size = size * 10 + static_cast<std::uint64_t>(c - '0');
        if (size > limits_.body) return fail(413, "PAYLOAD_TOO_LARGE", "The body is too large");
    }
    left_ = size;
    if (size == 0) return state_ = State::done;
    return state_ = State::body;
}

RequestReader::State RequestReader::on_chunk_size(std::string_view line) {
    const auto end = std::min(line.find(';'), line.size());
    const auto digits = line.substr(0, end);
    if (digits.empty() || digits.size() > 8 || !is_field_value(line)) return bad("A chunk's size is malformed");
    std::uint64_t size = 0;
    for (const char c : digits) {
        const int digit = c >= '0' && c <= '9'   ? c - '0'
                          : c >= 'a' && c <= 'f' ? c - 'a' + 10
                          : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                 : -1;
        if (digit < 0) return bad("A chunk's size is malformed");
        size = size * 16 + static_cast<std::uint64_t>(digit);
    }
    if (request_.body.size() + size > limits_.body) return fail(413, "PAYLOAD_TOO_LARGE", "The body is too large");
    left_ = size;
    head_bytes_ = 0;
    return state_ = size == 0 ? State::trailers : State::chunk_data;
}

RequestReader::State RequestReader::on_body(std::string_view bytes, std::size_t& at) {
    const auto part = bytes.substr(at, static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size() - at)));
    request_.body += part;
    at += part.size();
    left_ -= part.size();
    if (left_ > 0) return state_;
    return state_ = state_ == State::body ? State::done : State::chunk_end;
}

}  // namespace jobruntime::http
