// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <charconv>

#include <jobruntime/net.hpp>

#include "net/text.hpp"

namespace jobruntime::net {
namespace {

bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

Error wrong(std::string what) {
    return Error{Errc::invalid_argument, "INVALID_URL", "this is not a URL we accept: " + std::move(what)};
}

/// What holds for every byte, wherever it stands.
Result<void> check_bytes(std::string_view text, std::size_t max_bytes) {
    if (text.size() > max_bytes) return wrong("it is longer than " + std::to_string(max_bytes) + " bytes");
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (c == ' ') return wrong("it contains a space; write %20");
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            return wrong("it contains a control character");
        if (static_cast<unsigned char>(c) >= 0x80)
            return wrong(
                "it contains a character that is not ASCII; write it percent-encoded, a host name in its "
                "xn-- form");
        if (c == '\\') return wrong("it contains a backslash");
        if (c == '"' || c == '<' || c == '>' || c == '`') return wrong(std::string("it contains ") + c);
        if (c == '%' && (i + 2 >= text.size() || !is_hex(text[i + 1]) || !is_hex(text[i + 2])))
            return wrong("a % is not followed by two hexadecimal digits");
    }
    return {};
}

bool all_digits(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_digit);
}

/// Browsers read a host whose last label is a number, 0x7f included, as an IPv4 address.
bool looks_numeric(std::string_view label) {
    if (all_digits(label)) return true;
    return label.starts_with("0x") && std::all_of(label.begin() + 2, label.end(), is_hex);
}

bool canonical_octet(std::string_view label) {
    if (!all_digits(label) || label.size() > 3 || (label.size() > 1 && label.front() == '0')) return false;
    int value = 0;
    std::from_chars(label.data(), label.data() + label.size(), value);
    return value <= 255;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
    std::vector<std::string_view> parts;
    while (true) {
        const auto end = text.find(separator);
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

/// `host` is in lower case.
Result<void> check_host(std::string_view host) {
    if (host.empty()) return wrong("it has no host");
    if (host.size() > 253) return wrong("its host is longer than 253 bytes");
    if (host.ends_with('.')) return wrong("its host ends with a dot");
    const auto labels = split(host, '.');
    for (const auto label : labels) {
        if (label.empty()) return wrong("its host has an empty label");
        if (label.size() > 63) return wrong("a label of its host is longer than 63 bytes");
        if (label.front() == '-' || label.back() == '-')
            return wrong("a label of its host begins or ends with a hyphen");
        for (const char c : label)
            if (!is_digit(c) && !is_letter(c) && c != '-')
                return wrong(std::string("its host contains ") + c + "; letters, digits and hyphens only");
    }
    if (looks_numeric(labels.back()) &&
        !(labels.size() == 4 && std::all_of(labels.begin(), labels.end(), canonical_octet)))
        return wrong("its host is a number but not an address of the form 192.0.2.1");
    return {};
}

Result<void> parse_authority(std::string_view authority, Url& url) {
    if (authority.find('@') != std::string_view::npos)
        return wrong("it contains a user name or an @ before the host");
    if (authority.find_first_of("[]") != std::string_view::npos) return wrong("its host is an IPv6 address");
    const auto colon = authority.find(':');
    url.host = lowered(authority.substr(0, colon));
    JR_TRY(check_host(url.host));
    url.port = url.scheme == "https" ? 443 : 80;
    if (colon == std::string_view::npos) return {};
    const auto digits = authority.substr(colon + 1);
    unsigned port = 0;
    if (!all_digits(digits) || digits.size() > 5 || digits.front() == '0' ||
        (std::from_chars(digits.data(), digits.data() + digits.size(), port), port > 65'535))
        return wrong("its port is not a number from 1 to 65535");
    url.port = static_cast<std::uint16_t>(port);
    return {};
}

/// How many characters of a dot segment's dot this is: 1 for ".", 3 for "%2e"; 0 = none.
std::size_t dot_length(std::string_view text) {
    if (text.starts_with('.')) return 1;
    if (text.size() >= 3 && text[0] == '%' && text[1] == '2' && lower(text[2]) == 'e') return 3;
    return 0;
}

/// 1 for "." and 2 for "..", also percent-encoded, as browsers see them; else 0.
int dots_in(std::string_view segment) {
    const auto first = dot_length(segment);
    if (first == 0) return 0;
    segment.remove_prefix(first);
    if (segment.empty()) return 1;
    const auto second = dot_length(segment);
    return second != 0 && second == segment.size() ? 2 : 0;
}

/// RFC 3986, 5.2.4, on an absolute path.
std::string without_dot_segments(std::string_view path) {
    std::vector<std::string_view> kept;
    const auto segments = split(path.substr(1), '/');
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const int dots = dots_in(segments[i]);
        const bool last = i + 1 == segments.size();
        if (dots == 2 && !kept.empty()) kept.pop_back();
        if (dots == 0) kept.push_back(segments[i]);
        if (dots != 0 && last) kept.emplace_back();  // "/a/.." is the folder: it keeps its slash.
    }
    std::string result;
    for (const auto segment : kept) result.append("/").append(segment);
    return result.empty() ? "/" : result;
}

struct Tail {
    std::string_view path;
    std::optional<std::string> query;
    std::optional<std::string> fragment;
};

Tail split_tail(std::string_view text) {
    Tail tail;
    if (const auto hash = text.find('#'); hash != std::string_view::npos) {
        tail.fragment = text.substr(hash + 1);
        text = text.substr(0, hash);
    }
    if (const auto mark = text.find('?'); mark != std::string_view::npos) {
        tail.query = text.substr(mark + 1);
        text = text.substr(0, mark);
    }
    tail.path = text;
    return tail;
}

/// What is handed on is the canonical text, which may be a little longer than what was given.
Result<Url> bounded(Url url, std::size_t max_bytes) {
    if (url.str().size() <= max_bytes) return url;
    return wrong("it is longer than " + std::to_string(max_bytes) + " bytes");
}

/// Everything after "scheme://". Bytes are checked already.
Result<Url> parse_rest(std::string scheme, std::string_view rest, std::size_t max_bytes) {
    Url url;
    url.scheme = std::move(scheme);
    const auto end = std::min(rest.find_first_of("/?#"), rest.size());
    JR_TRY(parse_authority(rest.substr(0, end), url));
    auto tail = split_tail(rest.substr(end));
    url.path = tail.path.empty() ? "/" : without_dot_segments(tail.path);
    url.query = std::move(tail.query);
    url.fragment = std::move(tail.fragment);
    return bounded(std::move(url), max_bytes);
}

/// The position of the colon that ends a scheme, or npos.
std::size_t scheme_end(std::string_view text) {
    if (text.empty() || !is_letter(text.front())) return std::string_view::npos;
    const auto end = std::find_if_not(text.begin(), text.end(), [](char c) {
        return is_letter(c) || is_digit(c) || c == '+' || c == '-' || c == '.';
    });
    return end != text.end() && *end == ':' ? static_cast<std::size_t>(end - text.begin())
                                            : std::string_view::npos;
}

}  // namespace

std::string Url::origin() const {
    return scheme + "://" + host + (default_port() ? "" : ":" + std::to_string(port));
}

std::string Url::target() const { return path + (query ? "?" + *query : ""); }

std::string Url::str() const { return origin() + target() + (fragment ? "#" + *fragment : ""); }

Result<Url> parse_url(std::string_view text, std::size_t max_bytes) {
    if (text.empty()) return wrong("it is empty");
    JR_TRY(check_bytes(text, max_bytes));
    const auto colon = scheme_end(text);
    if (colon == std::string_view::npos || text.substr(colon).find("://") != 0)
        return wrong("it does not begin with http:// or https://");
    std::string scheme = lowered(text.substr(0, colon));
    if (scheme != "http" && scheme != "https")
        return wrong("its scheme is " + scheme.substr(0, 32) + "; only http and https are allowed");
    return parse_rest(std::move(scheme), text.substr(colon + 3), max_bytes);
}

Result<Url> resolve(const Url& base, std::string_view reference, std::size_t max_bytes) {
    JR_TRY(check_bytes(reference, max_bytes));
    if (scheme_end(reference) != std::string_view::npos) return parse_url(reference, max_bytes);
    if (reference.starts_with("//")) return parse_rest(base.scheme, reference.substr(2), max_bytes);
    auto tail = split_tail(reference);
    Url url = base;
    url.fragment = std::move(tail.fragment);
    if (!tail.path.empty()) {
        const auto folder =
            tail.path.front() == '/' ? std::string() : base.path.substr(0, base.path.rfind('/') + 1);
        url.path = without_dot_segments(folder + std::string(tail.path));
        url.query = std::move(tail.query);
    } else if (tail.query) {
        url.query = std::move(tail.query);
    }
    return bounded(std::move(url), max_bytes);
}

bool host_matches(std::string_view host, std::string_view domain) {
    if (!host.ends_with(domain)) return false;
    return host.size() == domain.size() || host[host.size() - domain.size() - 1] == '.';
}

std::string slug(std::string_view text, std::string_view fallback) {
    std::string result;
    for (const char given : text) {
        const char c = lower(given);
        const bool kept = is_digit(c) || (c >= 'a' && c <= 'z') || c == '_';
        if (kept)
            result += c;
        else if (!result.empty() && result.back() != '-')
            result += '-';
        if (result.size() == 64) break;
    }
    while (result.ends_with('-')) result.pop_back();
    return result.empty() ? std::string(fallback) : result;
}

}  // namespace jobruntime::net
