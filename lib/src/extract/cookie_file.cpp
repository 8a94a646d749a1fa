// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/cookie_file.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>

#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace {

constexpr std::size_t max_cookies = 5000;

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

bool path_matches(std::string_view path, std::string_view cookie_path) {
    if (!path.starts_with(cookie_path)) return false;
    return path.size() == cookie_path.size() || cookie_path.ends_with('/') || path[cookie_path.size()] == '/';
}

}  // namespace

Result<std::vector<Cookie>> parse_cookie_file(std::string_view text) {
    std::vector<Cookie> cookies;
    int number = 0;
    const auto bad = [&](const std::string& what) {
        return Error{Errc::invalid_argument, "INVALID_COOKIE_FILE",
                     "line " + std::to_string(number) + " " + what +
                         "; a Netscape cookie file has seven fields with tabs between: domain, TRUE or FALSE, path, TRUE or "
                         "FALSE, expiry, name, value"};
    };
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
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
        cookie.domain = lower(fields[0]);
        cookie.subdomains = fields[1] == "TRUE" || cookie.domain.starts_with('.');
        if (cookie.domain.starts_with('.')) cookie.domain.erase(0, 1);
        cookie.path = fields[2];
        cookie.secure = fields[3] == "TRUE";
        double expires = 0;
        const auto [last, failed] = std::from_chars(fields[4].data(), fields[4].data() + fields[4].size(), expires);
        if (failed != std::errc{} || last != fields[4].data() + fields[4].size()) return bad("has no number as its expiry");
        cookie.expires = static_cast<std::int64_t>(std::clamp(expires, 0.0, 253'402'300'799.0));
        cookie.name = fields[5];
        cookie.value = fields[6];
        if (cookie.domain.empty() || !is_plain(cookie.domain, "/: ") || !cookie.path.starts_with('/') ||
            cookie.name.empty() || !is_plain(cookie.name, "=; ") || !is_plain(cookie.value, ";"))
            return bad("is no cookie");
        if (cookies.size() == max_cookies) return bad("is one cookie too many");
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

std::string cookie_header_for(const std::vector<Cookie>& cookies, const net::Url& url) {
    std::string header;
    const auto now = static_cast<std::int64_t>(std::time(nullptr));
    for (const auto& cookie : cookies) {
        const bool domain = cookie.subdomains ? net::host_matches(url.host, cookie.domain) : url.host == cookie.domain;
        if (!domain || !path_matches(url.path, cookie.path) || (cookie.secure && url.scheme != "https") ||
            (cookie.expires != 0 && cookie.expires < now))
            continue;
        header += (header.empty() ? "" : "; ") + cookie.name + "=" + cookie.value;
    }
    return header;
}

}  // namespace jobruntime::extract
