// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/request_head.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstdint>

namespace jobruntime::core {
namespace {

/// Two of these would let two readers disagree about who asks for what.
constexpr std::array<std::string_view, 14> single_headers{
    "host",          "content-length",  "transfer-encoding", "content-type",   "content-encoding",
    "authorization", "origin",          "sec-fetch-site",    "last-event-id",  "idempotency-key",
    "range",         "if-range",        "expect",            "x-trace-id"};

bool is_token_char(char c) {
    if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
    return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

/// A port may be left empty behind its colon.
bool is_port(std::string_view text) {
    std::uint32_t port = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return false;
        port = port * 10 + static_cast<std::uint32_t>(c - '0');
        if (port > 65'535) return false;
    }
    return true;
}

/// The characters of RFC 3986's reg-name, which IPv4 addresses are made of, too.
bool is_name(std::string_view text) {
    constexpr std::string_view marks = "-._~!$&'()*+,;=";
    const auto is_hex = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); };
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || marks.find(c) != std::string_view::npos) continue;
        if (c != '%' || at + 2 >= text.size() || !is_hex(text[at + 1]) || !is_hex(text[at + 2])) return false;
        at += 2;
    }
    return !text.empty();
}

bool has(const Request& head, std::string_view name) {
    return std::ranges::any_of(head.headers, [&](const auto& header) { return header.first == name; });
}

/// The same word, in whatever case.
bool is_word(std::string_view text, std::string_view lower) {
    return std::ranges::equal(text, lower, {}, [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
}

HeadFault bad(std::string_view message) { return {400, "BAD_REQUEST", message}; }

std::optional<HeadFault> fault_of_length(const Request& head) {
    if (has(head, "transfer-encoding")) {
        if (has(head, "content-length")) return bad("The body has two lengths: Content-Length and Transfer-Encoding");
        if (!is_word(head.header("transfer-encoding"), "chunked"))
            return HeadFault{501, "NOT_IMPLEMENTED", "The only Transfer-Encoding known here is chunked"};
    }
    const auto length = head.header("content-length");
    const bool number = !length.empty() && std::ranges::all_of(length, [](char c) { return c >= '0' && c <= '9'; });
    if (has(head, "content-length") && !number) return bad("Content-Length is not a number");
    return std::nullopt;
}

}  // namespace

bool is_token(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_token_char); }

bool is_field_value(std::string_view text) {
    return std::ranges::all_of(text, [](char c) {
        const auto byte = static_cast<unsigned char>(c);
        return c == '\t' || (byte >= 0x20 && byte != 0x7f);
    });
}

bool is_target(std::string_view text) {
    return !text.empty() && std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7f && c != '#'; });
}

bool is_host(std::string_view text) {
    const bool literal = text.starts_with('[');
    const auto end = literal ? text.find(']') : std::min(text.find(':'), text.size());
    if (end == std::string_view::npos) return false;
    const auto port = text.substr(end + (literal ? 1 : 0));
    if (!port.empty() && (port.front() != ':' || !is_port(port.substr(1)))) return false;
    if (!literal) return is_name(text.substr(0, end));
    auto inside = text.substr(1, end - 1);
    inside = inside.substr(0, inside.find('%'));  // Some clients send the zone of a link-local address, too.
    in6_addr address{};
    return inet_pton(AF_INET6, std::string(inside).c_str(), &address) == 1;
}

bool is_single_header(std::string_view name) { return std::ranges::find(single_headers, name) != single_headers.end(); }

std::optional<HeadFault> fault_of(const Request& head, std::size_t most_bytes, std::size_t most_headers) {
    std::size_t bytes = head.method.size() + head.target.size();
    for (const auto& [name, value] : head.headers) bytes += name.size() + value.size() + 4;
    if (bytes > most_bytes) return HeadFault{431, "HEADERS_TOO_LARGE", "The headers are too large"};
    if (head.headers.size() > most_headers) return HeadFault{431, "HEADERS_TOO_LARGE", "There are too many headers"};
    if (!is_token(head.method) || !is_target(head.target)) return bad("The request line is malformed");
    for (auto at = head.headers.begin(); at != head.headers.end(); ++at) {
        const auto& [name, value] = *at;
        if (!is_token(name)) return bad("A header is malformed");
        if (!is_field_value(value)) return bad("A header has a control character");
        const auto same = [&given = name](const auto& other) { return other.first == given; };
        if (is_single_header(name) && std::any_of(head.headers.begin(), at, same)) return bad("A header that may come once comes twice");
    }
    const auto host = head.header("host");
    if (host.empty()) return bad("The Host header is missing");
    if (!is_host(host)) return bad("The Host header is malformed");
    if (has(head, "expect") && !is_word(head.header("expect"), "100-continue"))
        return HeadFault{417, "EXPECTATION_FAILED", "The only expectation known here is 100-continue"};
    return fault_of_length(head);
}

}  // namespace jobruntime::core
