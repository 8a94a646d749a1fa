// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cstdio>
#include <utility>

#include <boost/json/serialize.hpp>

#include "core/api_impl.hpp"
#include "core/utf8.hpp"

namespace jobruntime {

std::string_view Request::header(std::string_view name) const {
    for (const auto& [key, value] : headers)
        if (key == name) return value;
    return {};
}

std::optional<std::string_view> RouteMatch::query_value(std::string_view name) const {
    const auto found = query.find(name);
    if (found == query.end() || found->second.empty()) return std::nullopt;
    return found->second;
}

Response Response::json(int status, boost::json::object object) {
    Response response;
    response.status = status;
    response.headers.emplace_back("content-type", "application/json; charset=utf-8");
    response.body = boost::json::serialize(object);
    return response;
}

Response Response::error(int status, std::string_view code, std::string_view message, boost::json::object more) {
    // A message may quote what was asked for, whose bytes need not be text.
    boost::json::object object{{"ok", false}, {"code", code}, {"error", core::valid_utf8(message)}};
    for (auto& [name, value] : more) object[name] = std::move(value);
    return json(status, std::move(object));
}

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space) {
    const auto digit = [](char c) {
        if (c >= '0' && c <= '9') return c - '0';
        if (c >= 'a' && c <= 'f') return c - 'a' + 10;
        if (c >= 'A' && c <= 'F') return c - 'A' + 10;
        return -1;
    };
    std::string decoded;
    decoded.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+' && plus_is_space) {
            decoded += ' ';
        } else if (text[i] != '%') {
            decoded += text[i];
        } else {
            if (i + 2 >= text.size()) return std::nullopt;
            const int high = digit(text[i + 1]);
            const int low = digit(text[i + 2]);
            if (high < 0 || low < 0) return std::nullopt;
            decoded += static_cast<char>(high * 16 + low);
            i += 2;
        }
    }
    return decoded;
}

namespace core {

Error invalid(std::string message, std::string name) {
    return {Errc::invalid_argument, std::move(name), std::move(message)};
}

Result<Target> parse_target(std::string_view target) {
    Target parsed;
    const auto question = target.find('?');
    std::string_view path = target.substr(0, question);
    std::string_view query = question == std::string_view::npos ? std::string_view{} : target.substr(question + 1);
    if (path.empty() || path.front() != '/') return invalid("the request target is not a path; it begins with /");
    for (std::string_view rest = path.substr(1);;) {
        const auto slash = rest.find('/');
        auto segment = percent_decode(rest.substr(0, slash), false);
        if (!segment) return invalid("the path has a bad percent escape");
        parsed.path.push_back(std::move(*segment));
        if (slash == std::string_view::npos) break;
        rest.remove_prefix(slash + 1);
    }
    while (!query.empty()) {
        const auto end = query.find('&');
        const std::string_view item = query.substr(0, end);
        query = end == std::string_view::npos ? std::string_view{} : query.substr(end + 1);
        if (item.empty()) continue;
        const auto equals = item.find('=');
        auto name = percent_decode(item.substr(0, equals), true);
        auto value = percent_decode(equals == std::string_view::npos ? "" : item.substr(equals + 1), true);
        if (!name || !value) return invalid("the query has a bad percent escape");
        parsed.query.emplace_back(std::move(*name), std::move(*value));
    }
    return parsed;
}

std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t most) {
    if (text.empty() || text.size() > 19) return std::nullopt;
    std::uint64_t number = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return std::nullopt;
        number = number * 10 + static_cast<std::uint64_t>(c - '0');
    }
    if (number > most) return std::nullopt;
    return number;
}

std::optional<Duration> parse_duration(std::string_view text) {
    constexpr std::uint64_t most = 999'999'999;
    if (!text.ends_with('s')) return std::nullopt;
    text.remove_suffix(1);
    const bool in_ms = text.ends_with('m');
    if (in_ms) text.remove_suffix(1);
    const auto number = parse_number(text, most);
    if (!number) return std::nullopt;
    return Duration{static_cast<std::int64_t>(*number) * (in_ms ? 1 : 1'000)};
}

int limit_of(const RouteMatch& match, int usual, int most) {
    const auto number = parse_number(match.query_value("limit").value_or(""), INT32_MAX);
    return number ? std::min(static_cast<int>(*number), most) : usual;
}

std::string fingerprint(std::string_view text) {
    // FNV-1a forwards and, with another offset and a final mix, backwards.
    std::uint64_t forwards = 0xcbf29ce484222325u;
    std::uint64_t backwards = 0x84222325cbf29ce4u ^ text.size();
    for (std::size_t i = 0; i < text.size(); ++i) {
        forwards = (forwards ^ static_cast<unsigned char>(text[i])) * 0x100000001b3u;
        backwards = (backwards ^ static_cast<unsigned char>(text[text.size() - 1 - i])) * 0x100000001b3u;
    }
    backwards = (backwards ^ (backwards >> 33)) * 0xff51afd7ed558ccdu;
    char digits[33];
    std::snprintf(digits, sizeof digits, "%016llx%016llx", static_cast<unsigned long long>(forwards),
                  static_cast<unsigned long long>(backwards ^ (backwards >> 29)));
    return digits;
}

std::string lower(std::string_view text) {
    std::string result(text);
    for (char& c : result)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
    return result;
}

bool same_ignoring_case(std::string_view left, std::string_view right) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return std::ranges::equal(left, right, {}, lower, lower);
}

bool has_header(const Response& response, std::string_view name) {
    return std::ranges::any_of(response.headers, [&](const auto& header) { return same_ignoring_case(header.first, name); });
}

void set_header(Response& response, std::string_view name, std::string value) {
    if (!has_header(response, name)) response.headers.emplace_back(std::string(name), std::move(value));
}

}  // namespace core
}  // namespace jobruntime
