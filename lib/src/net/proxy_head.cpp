// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "net/proxy_head.hpp"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include "net/text.hpp"

namespace jobruntime::net {
namespace {

constexpr std::string_view token_marks = "!#$%&'*+-.^_`|~";  // RFC 9110, 5.6.2.

bool is_alphanumeric(char c) { return is_digit(c) || is_letter(c); }

std::vector<std::string_view> lines_of(std::string_view head) {
    std::vector<std::string_view> lines;
    while (!head.empty()) {
        const auto end = std::min(head.find('\n'), head.size());
        auto line = head.substr(0, end);
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (!line.empty()) lines.push_back(line);
        head.remove_prefix(std::min(end + 1, head.size()));
    }
    return lines;
}

struct Field {
    std::string name;  // Lower case.
    std::string_view value;
};

/// Nothing for what is no field, or one that could be read in two ways.
std::optional<Field> field_of(std::string_view line) {
    const auto colon = line.find(':');
    if (colon == 0 || colon == std::string_view::npos) return std::nullopt;
    const auto name = line.substr(0, colon);
    const auto value = trimmed(line.substr(colon + 1));
    const bool good_name = std::all_of(name.begin(), name.end(), [](char c) {
        return is_alphanumeric(c) || token_marks.find(c) != std::string_view::npos;
    });
    const bool good_value =
        std::none_of(value.begin(), value.end(), [](char c) { return c == '\0' || c == '\r'; });
    if (!good_name || !good_value) return std::nullopt;
    return Field{lowered(name), value};
}

/// What concerns this connection only, RFC 9110, 7.6.1; and Expect, whose interim answer is left out.
bool is_hop_by_hop(std::string_view name) {
    constexpr std::string_view names[] = {"connection", "proxy-connection",    "keep-alive",
                                          "te",         "trailer",             "upgrade",
                                          "expect",     "proxy-authorization", "proxy-authenticate",
                                          "host"};
    return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

std::optional<Authority> split_authority(std::string_view text, std::uint16_t port) {
    Authority authority;
    authority.port = port;
    std::string_view host = text;
    std::string_view digits;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) return std::nullopt;
        host = text.substr(1, end - 1);
        if (text.size() > end + 1 && text[end + 1] != ':') return std::nullopt;
        digits = text.substr(std::min(end + 2, text.size()));
        if (host.empty() || host.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos)
            return std::nullopt;
    } else {
        const auto colon = text.find(':');
        host = text.substr(0, colon);
        if (colon != std::string_view::npos) digits = text.substr(colon + 1);
        const bool good = std::all_of(host.begin(), host.end(),
                                      [](char c) { return is_alphanumeric(c) || c == '-' || c == '.' || c == '_'; });
        if (host.empty() || host.size() > 255 || !good) return std::nullopt;
    }
    authority.host = lowered(host);
    if (!digits.empty()) {
        unsigned number = 0;
        const auto [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
        if (failed != std::errc{} || end != digits.data() + digits.size() || number == 0 || number > 65'535)
            return std::nullopt;
        authority.port = static_cast<std::uint16_t>(number);
    }
    if (authority.port == 0) return std::nullopt;
    return authority;
}

struct Absolute {
    Authority authority;
    std::string target;
    std::string scheme;
};

std::optional<Absolute> split_absolute(std::string_view url) {
    const auto colon = url.find("://");
    if (colon == std::string_view::npos) return std::nullopt;
    Absolute absolute;
    absolute.scheme = lowered(url.substr(0, colon));
    const bool secure = absolute.scheme == "https" || absolute.scheme == "wss";
    if (!secure && absolute.scheme != "http" && absolute.scheme != "ws") return std::nullopt;
    const auto rest = url.substr(colon + 3);
    const auto end = std::min(rest.find_first_of("/?#"), rest.size());
    auto authority = split_authority(rest.substr(0, end), secure ? 443 : 80);
    if (!authority) return std::nullopt;
    absolute.authority = *std::move(authority);
    const auto tail = rest.substr(end);
    absolute.target = (tail.starts_with('/') ? "" : "/") + std::string(tail.substr(0, tail.find('#')));
    return absolute;
}

/// The fields of a request, into `request` and, but for those of this connection, into `kept`.
int read_fields(const std::vector<std::string_view>& lines, ProxyRequest& request, std::string& kept) {
    std::optional<std::string_view> length;
    for (std::size_t i = 1; i < lines.size(); ++i) {
        const auto field = field_of(lines[i]);
        if (!field) return 400;
        if (field->name == "transfer-encoding") return 411;  // Browsers and yt-dlp know their bodies' sizes.
        if (field->name == "proxy-authorization") request.credential = std::string(field->value);
        if (field->name == "content-length") {
            if (length && *length != field->value) return 400;
            if (!length) kept.append("Content-Length: ").append(field->value).append("\r\n");
            length = field->value;
        } else if (!is_hop_by_hop(field->name)) {
            kept.append(lines[i].substr(0, lines[i].find(':'))).append(": ").append(field->value).append("\r\n");
        }
    }
    if (!length) return 0;
    const auto [end, failed] = std::from_chars(length->data(), length->data() + length->size(), request.body);
    return failed == std::errc{} && end == length->data() + length->size() ? 0 : 400;
}

}  // namespace

std::string Authority::str() const {
    const bool v6 = host.find(':') != std::string::npos;
    return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::optional<Authority> authority_of(std::string_view url) {
    auto absolute = split_absolute(url);
    if (!absolute) return std::nullopt;
    return std::move(absolute->authority);
}

std::size_t head_size(std::string_view bytes) {
    for (auto at = bytes.find('\n'); at != std::string_view::npos; at = bytes.find('\n', at + 1)) {
        if (bytes.substr(at + 1).starts_with("\r\n")) return at + 3;
        if (bytes.substr(at + 1).starts_with('\n')) return at + 2;
    }
    return 0;
}

ProxyRequest read_request(std::string_view head) {
    ProxyRequest request;
    const auto lines = lines_of(head);
    request.refusal = 400;
    if (lines.empty()) return request;
    const auto first = lines.front().find(' ');
    const auto second = lines.front().rfind(' ');
    if (first == std::string_view::npos || second <= first) return request;
    const auto method = lines.front().substr(0, first);
    const auto target = lines.front().substr(first + 1, second - first - 1);
    const auto version = lines.front().substr(second + 1);
    const bool plain = std::all_of(target.begin(), target.end(), [](char c) {
        return static_cast<unsigned char>(c) > 0x20 && c != 0x7f;
    });
    if (method.empty() || !std::all_of(method.begin(), method.end(), is_alphanumeric) || !plain ||
        (version != "HTTP/1.1" && version != "HTTP/1.0"))
        return request;
    std::string kept;
    if (const int status = read_fields(lines, request, kept); status != 0) {
        request.refusal = status;
        return request;
    }
    request.tunnel = method == "CONNECT";
    if (request.tunnel) {
        auto authority = split_authority(target, 0);
        if (!authority) return request;
        request.to = *std::move(authority);
        request.body = 0;
    } else {
        auto absolute = split_absolute(target);
        if (!absolute) return request;
        if (absolute->scheme != "http") {
            request.refusal = 501;
            return request;
        }
        request.to = std::move(absolute->authority);
        request.target = std::move(absolute->target);
        const auto host = request.to.port == 80 ? request.to.str().substr(0, request.to.str().rfind(':'))
                                                : request.to.str();
        request.head = std::string(method) + " " + request.target + " HTTP/1.1\r\nHost: " + host + "\r\n" +
                       kept + "Connection: close\r\n\r\n";
    }
    request.refusal = 0;
    return request;
}

std::optional<std::string> rewrite_response(std::string_view head) {
    const auto lines = lines_of(head);
    if (lines.empty() || !lines.front().starts_with("HTTP/1.")) return std::nullopt;
    const auto space = lines.front().find(' ');
    if (space == std::string_view::npos) return std::nullopt;
    const auto code = lines.front().substr(space + 1, 3);
    if (code.size() != 3 || !std::all_of(code.begin(), code.end(), is_digit)) return std::nullopt;
    if (code == "101") return std::nullopt;  // Nobody asked for another protocol.
    if (code.starts_with('1')) return std::string();
    std::string reason(lines.front().substr(space + 4));
    std::erase_if(reason, [](char c) { return c < 0x20 || c == 0x7f; });
    std::string text = "HTTP/1.1 " + std::string(code == "407" ? "403" : code) + reason + "\r\n";
    for (std::size_t i = 1; i < lines.size(); ++i) {
        const auto field = field_of(lines[i]);
        if (!field || is_hop_by_hop(field->name)) continue;
        text.append(lines[i].substr(0, lines[i].find(':'))).append(": ").append(field->value).append("\r\n");
    }
    return text + "Connection: close\r\n\r\n";
}

}  // namespace jobruntime::net
