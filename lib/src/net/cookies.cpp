// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <ctime>

#include <jobruntime/net.hpp>

#include "net/site.hpp"
#include "net/text.hpp"

namespace jobruntime::net {
namespace {

constexpr std::size_t max_taken = 300;
constexpr std::size_t max_cookie = 4096;
constexpr std::size_t max_header = 8192;

/// The part before the first `mark`, which is taken from `rest` together with it.
std::string_view cut(std::string_view& rest, char mark) {
    const auto end = std::min(rest.find(mark), rest.size());
    const auto part = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return trimmed(part);
}

bool can_be_sent(const Cookie& cookie) {
    const auto plain = [](std::string_view text) {
        return std::none_of(text.begin(), text.end(),
                            [](unsigned char c) { return c < 0x20 || c == 0x7f || c == ';'; });
    };
    return !cookie.name.empty() && !cookie.domain.empty() && plain(cookie.name) && plain(cookie.value) &&
           cookie.name.size() + cookie.value.size() <= max_cookie;
}

/// RFC 6265, 5.1.3.
bool domain_matches(std::string_view host, const Cookie& cookie) {
    if (host == cookie.domain) return true;
    return cookie.subdomains && !is_numeric_host(host) && host_matches(host, cookie.domain);
}

/// RFC 6265, 5.1.4.
bool path_matches(std::string_view path, std::string_view cookie_path) {
    if (!path.starts_with(cookie_path)) return false;
    return path.size() == cookie_path.size() || cookie_path.ends_with('/') || path[cookie_path.size()] == '/';
}

std::string default_path(std::string_view path) {
    const auto slash = path.rfind('/');
    return slash == 0 || slash == std::string_view::npos ? "/" : std::string(path.substr(0, slash));
}

std::int64_t now() { return static_cast<std::int64_t>(std::time(nullptr)); }

/// What has run out is marked by a time long ago.
std::int64_t seconds_of(std::string_view max_age) {
    std::int64_t seconds = 0;
    const auto [end, failed] = std::from_chars(max_age.data(), max_age.data() + max_age.size(), seconds);
    if (failed == std::errc::invalid_argument || end != max_age.data() + max_age.size()) return 0;
    if (failed == std::errc::result_out_of_range) seconds = max_age.starts_with('-') ? -1 : 4'000'000'000;
    return seconds <= 0 ? 1 : now() + std::min<std::int64_t>(seconds, 4'000'000'000);
}

/// RFC 6265, 5.2 and 5.3, up to storing it.
std::optional<Cookie> read_cookie(const Url& url, std::string_view line) {
    auto pair = cut(line, ';');
    if (pair.find('=') == std::string_view::npos) return std::nullopt;
    Cookie cookie;
    cookie.name = cut(pair, '=');
    cookie.value = trimmed(pair);
    cookie.domain = url.host;
    cookie.path = default_path(url.path);
    bool has_age = false;
    while (!line.empty()) {
        auto rest = cut(line, ';');
        const auto name = lowered(cut(rest, '='));
        const auto value = trimmed(rest);
        if (name == "secure") cookie.secure = true;
        if (name == "httponly") cookie.http_only = true;
        if (name == "path" && value.starts_with('/')) cookie.path = value;
        if (name == "max-age" && !value.empty()) {
            cookie.expires = seconds_of(value);
            has_age = true;
        }
        if (name == "expires" && !has_age) {
            const auto when = curl_getdate(std::string(value).c_str(), nullptr);
            if (when != -1) cookie.expires = std::max<std::int64_t>(when, 1);
        }
        if (name == "domain" && !value.empty()) {
            cookie.domain = lowered(value.starts_with('.') ? value.substr(1) : value);
            cookie.subdomains = true;
        }
    }
    if (cookie.subdomains) {
        // The host itself may be such a suffix, or an address: its cookie is then for it alone.
        const bool alone = is_suffix(cookie.domain) || is_numeric_host(url.host);
        if (alone && cookie.domain != url.host) return std::nullopt;
        if (!domain_matches(url.host, cookie)) return std::nullopt;
        cookie.subdomains = !alone;
    }
    if (cookie.secure && url.scheme != "https") return std::nullopt;
    if (cookie.name.starts_with("__Secure-") && !cookie.secure) return std::nullopt;
    if (cookie.name.starts_with("__Host-") && (!cookie.secure || cookie.subdomains || cookie.path != "/"))
        return std::nullopt;
    return cookie;
}

}  // namespace

bool is_numeric_host(std::string_view host) {
    // The grammar lets a numeric last label stand in a dotted quad only.
    const auto last = host.substr(host.rfind('.') + 1);
    return !last.empty() && std::all_of(last.begin(), last.end(), [](char c) { return c >= '0' && c <= '9'; });
}

bool is_suffix(std::string_view domain) {
    const auto dot = domain.find('.');
    if (dot == std::string_view::npos) return true;
    if (domain.size() - dot != 3 || domain.find('.', dot + 1) != std::string_view::npos) return false;
    constexpr std::array<std::string_view, 16> second{"ac", "biz", "co",  "com", "ed",  "edu", "go", "gob",
                                                      "gov", "mil", "ne", "net", "nom", "or",  "org", "web"};
    return std::find(second.begin(), second.end(), domain.substr(0, dot)) != second.end();
}

std::string_view site_of(std::string_view host) {
    if (is_numeric_host(host)) return host;
    auto site = host;
    while (true) {
        const auto dot = site.find('.');
        if (dot == std::string_view::npos || is_suffix(site.substr(dot + 1))) return site;
        site.remove_prefix(dot + 1);
    }
}

CookieJar::CookieJar(const std::vector<Cookie>& cookies) {
    for (const auto& cookie : cookies)
        if (can_be_sent(cookie)) cookies_.push_back(cookie);
}

std::string CookieJar::header_for(const Url& url) const {
    const std::lock_guard lock(mutex_);
    std::vector<const Cookie*> fitting;
    for (const auto& cookie : cookies_)
        if (domain_matches(url.host, cookie) && path_matches(url.path, cookie.path) &&
            (!cookie.secure || url.scheme == "https") && (cookie.expires == 0 || cookie.expires > now()))
            fitting.push_back(&cookie);
    std::stable_sort(fitting.begin(), fitting.end(),
                     [](const auto* a, const auto* b) { return a->path.size() > b->path.size(); });
    std::string header;
    for (const auto* cookie : fitting) {
        if (header.size() + cookie->name.size() + cookie->value.size() + 3 > max_header) continue;
        header += (header.empty() ? "" : "; ") + cookie->name + "=" + cookie->value;
    }
    return header;
}

void CookieJar::take(const Url& url, std::string_view set_cookie) {
    auto fresh = read_cookie(url, set_cookie);
    if (!fresh || !can_be_sent(*fresh)) return;
    const std::lock_guard lock(mutex_);
    const auto same = [&](const Cookie& old) {
        return old.name == fresh->name && old.domain == fresh->domain && old.path == fresh->path &&
               old.subdomains == fresh->subdomains;
    };
    const auto old = std::find_if(cookies_.begin(), cookies_.end(), same);
    const bool gone = fresh->expires != 0 && fresh->expires <= now();
    if (old != cookies_.end()) {
        // Whoever sits on a plain connection cannot take a log-in's place.
        if (old->secure && url.scheme != "https") return;
        if (gone)
            cookies_.erase(old);
        else
            *old = *std::move(fresh);
        return;
    }
    if (gone || taken_ >= max_taken) return;
    ++taken_;
    cookies_.push_back(*std::move(fresh));
}

std::vector<Cookie> CookieJar::cookies() const {
    const std::lock_guard lock(mutex_);
    return cookies_;
}

}  // namespace jobruntime::net
