// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <charconv>
#include <cmath>

#include <boost/json/parse.hpp>
#include <jobruntime/extract.hpp>

#include "extract/json_access.hpp"
#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace {

constexpr std::size_t max_cookies_of_file = 5000;

std::vector<std::string_view> fields_of(std::string_view line) {
    std::vector<std::string_view> fields;
    while (true) {
        const auto tab = line.find('\t');
        fields.push_back(line.substr(0, tab));
        if (tab == std::string_view::npos) return fields;
        line.remove_prefix(tab + 1);
    }
}

bool is_plain(std::string_view text, std::string_view forbidden) {
    return std::none_of(text.begin(), text.end(), [&](unsigned char c) {
        return c < 0x20 || c >= 0x7f || forbidden.find(static_cast<char>(c)) != std::string_view::npos;
    });
}

/// Takes the dot away that the domain of a cookie for the names below it begins with.
void take_domain(Cookie& cookie, std::string_view domain) {
    cookie.domain = lower(domain);
    if (!cookie.domain.starts_with('.')) return;
    cookie.subdomains = true;
    cookie.domain.erase(0, 1);
}

std::int64_t whole_seconds(double expires) {
    return static_cast<std::int64_t>(std::clamp(expires, 0.0, 253'402'300'799.0));
}

/// In lower case. A '#' in front would make its line in a file a comment.
bool is_domain(std::string_view text) {
    return !text.empty() && text.front() != '.' && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
    });
}

bool is_cookie(const Cookie& cookie) {
    return is_domain(cookie.domain) && cookie.path.starts_with('/') &&
           is_plain(cookie.path, "") && !cookie.name.empty() && is_plain(cookie.name, "=; ") &&
           is_plain(cookie.value, ";");
}

/// The storage state that Playwright writes: {"cookies":[{"name","value","domain","path","expires",…}],"origins":[…]}.
Result<std::vector<Cookie>> parse_storage_state(std::string_view text) {
    const auto bad = [](const std::string& what) {
        return Error{Errc::invalid_argument, "INVALID_COOKIE_FILE",
                     what + "; a storage state is a JSON object whose member cookies lists objects with name, value, "
                            "domain, path and expires"};
    };
    boost::system::error_code code;
    const auto value = boost::json::parse({text.data(), text.size()}, code);
    if (code) return bad("the file begins like JSON and is none");
    const auto* list = value.is_object() ? array_at(value.get_object(), "cookies") : nullptr;
    if (list == nullptr) return bad("the file has no list cookies");
    std::vector<Cookie> cookies;
    for (const auto& one : *list) {
        const auto place = "cookies[" + std::to_string(cookies.size()) + "]";
        if (cookies.size() == max_cookies_of_file) return bad(place + " is one cookie too many");
        const auto* object = one.if_object();
        if (object == nullptr || !object->contains("value") || !object->at("value").is_string())
            return bad(place + " is no cookie");
        Cookie cookie;
        take_domain(cookie, text_at(*object, "domain"));
        if (const auto path = text_at(*object, "path"); !path.empty()) cookie.path = path;
        cookie.secure = flag_at(*object, "secure");
        cookie.http_only = flag_at(*object, "httpOnly");
        cookie.expires = whole_seconds(number_at(*object, "expires"));  // -1: ends with the browser.
        cookie.name = text_at(*object, "name");
        cookie.value = text_at(*object, "value");
        if (!is_cookie(cookie)) return bad(place + " is no cookie");
        cookies.push_back(std::move(cookie));
    }
    return cookies;
}

}  // namespace

Result<std::vector<Cookie>> parse_cookie_file(std::string_view text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    const auto first = text.find_first_not_of(" \t\r\n");
    if (first != std::string_view::npos && text[first] == '{') return parse_storage_state(text);
    std::vector<Cookie> cookies;
    int number = 0;
    const auto bad = [&](const std::string& what) {
        return Error{Errc::invalid_argument, "INVALID_COOKIE_FILE",
                     "line " + std::to_string(number) + " " + what +
                         "; a Netscape cookie file has seven fields with tabs between: domain, TRUE or FALSE, path, TRUE or "
                         "FALSE, expiry, name, value"};
    };
    while (!text.empty()) {
        ++number;
        const auto end = std::min(text.find('\n'), text.size());
        auto line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        Cookie cookie;
        if (line.starts_with("#HttpOnly_")) {
            cookie.http_only = true;
            line.remove_prefix(10);
        } else if (line.empty() || line.starts_with('#')) {
            continue;
        }
        const auto fields = fields_of(line);
        if (fields.size() != 7) return bad("has " + std::to_string(fields.size()) + " fields");
        take_domain(cookie, fields[0]);
        cookie.subdomains = cookie.subdomains || fields[1] == "TRUE";
        cookie.path = fields[2];
        cookie.secure = fields[3] == "TRUE";
        double expires = 0;
        const auto [last, failed] = std::from_chars(fields[4].data(), fields[4].data() + fields[4].size(), expires);
        if (failed != std::errc{} || last != fields[4].data() + fields[4].size() || !std::isfinite(expires))
            return bad("has no number as its expiry");
        cookie.expires = whole_seconds(expires);
        cookie.name = fields[5];
        cookie.value = fields[6];
        if (!is_cookie(cookie)) return bad("is no cookie");
        if (cookies.size() == max_cookies_of_file) return bad("is one cookie too many");
        cookies.push_back(std::move(cookie));
    }
    return cookies;
}

std::string to_cookie_file(const std::vector<Cookie>& cookies) {
    std::string text = "# Netscape HTTP Cookie File\n";
    for (const auto& cookie : cookies)
        text += std::string(cookie.http_only ? "#HttpOnly_" : "") + (cookie.subdomains ? "." : "") + cookie.domain + "\t" +
                (cookie.subdomains ? "TRUE" : "FALSE") + "\t" + cookie.path + "\t" + (cookie.secure ? "TRUE" : "FALSE") +
                "\t" + std::to_string(cookie.expires) + "\t" + cookie.name + "\t" + cookie.value + "\n";
    return text;
}

}  // namespace jobruntime::extract
