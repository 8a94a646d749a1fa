// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>

#include "core/api_impl.hpp"

namespace jobruntime::core {
namespace {

struct HostPort {
    std::string_view host;  ///< With brackets for IPv6.
    std::string_view port;  ///< Empty = none given.
};

std::optional<HostPort> split_host(std::string_view text) {
    HostPort split;
    if (text.starts_with('[')) {
        const auto end = text.find(']');
        if (end == std::string_view::npos) return std::nullopt;
        split.host = text.substr(0, end + 1);
        text.remove_prefix(end + 1);
    } else {
        const auto end = std::min(text.find(':'), text.size());
        split.host = text.substr(0, end);
        text.remove_prefix(end);
    }
    if (split.host.empty()) return std::nullopt;
    if (text.empty()) return split;
    split.port = text.substr(1);
    if (text.front() != ':' || !parse_number(split.port, 65'535)) return std::nullopt;
    return split;
}

/// 127.0.0.0/8 in its canonical spelling only.
bool is_loopback_quad(std::string_view host) {
    if (!host.starts_with("127.")) return false;
    int parts = 0;
    while (true) {
        const auto dot = std::min(host.find('.'), host.size());
        const std::string_view part = host.substr(0, dot);
        if (!parse_number(part, 255) || (part.size() > 1 && part.front() == '0')) return false;
        ++parts;
        if (dot == host.size()) return parts == 4;
        host.remove_prefix(dot + 1);
    }
}

/// A name that only this machine's own programs and people use for it, so that another site's name which
/// resolves to 127.0.0.1 (DNS rebinding) is not one of ours.
bool is_loopback_name(std::string_view host) {
    return same_ignoring_case(host, "localhost") || host == "[::1]" || is_loopback_quad(host);
}

bool host_allowed(std::string_view text, const std::vector<std::string>& allowed) {
    const auto given = split_host(text);
    if (!given) return false;
    if (is_loopback_name(given->host)) return true;
    return std::ranges::any_of(allowed, [&](const std::string& entry) {
        const auto known = split_host(entry);
        return known && same_ignoring_case(known->host, given->host) &&
               (known->port.empty() || known->port == given->port);
    });
}

bool origin_listed(std::string_view origin, const std::vector<std::string>& allowed) {
    return std::ranges::any_of(allowed, [&](const std::string& entry) { return same_ignoring_case(entry, origin); });
}

/// The origin of the request's own host: a page that this server gave out.
bool origin_is_own(std::string_view origin, std::string_view host) {
    for (const std::string_view scheme : {"http://", "https://"})
        if (origin.starts_with(scheme) && same_ignoring_case(origin.substr(scheme.size()), host)) return true;
    return false;
}

/// A browser says where a request comes from; a program says nothing, and is believed.
bool from_foreign_page(const Request& request, const ApiAllowed& allowed) {
    const auto origin = request.header("origin");
    if (!origin.empty() && (origin_listed(origin, allowed.origins) || may_read(origin, allowed))) return false;
    const auto site = request.header("sec-fetch-site");
    if (!site.empty()) return site != "same-origin" && site != "none";
    return !origin.empty() && !origin_is_own(origin, request.header("host"));
}

bool names_json(std::string_view content_type) {
    std::string_view type = content_type.substr(0, std::min(content_type.find(';'), content_type.size()));
    while (!type.empty() && (type.back() == ' ' || type.back() == '\t')) type.remove_suffix(1);
    if (same_ignoring_case(type, "application/json")) return true;
    return type.size() > 17 && same_ignoring_case(type.substr(0, 12), "application/") &&
           same_ignoring_case(type.substr(type.size() - 5), "+json");
}

/// A link, a form or an address that somebody typed, which fills a whole tab. A page that embeds another (iframe, object) has it
/// navigate, too, and says so in the destination; browsers too old to name one are believed.
bool is_visit(const Request& request) {
    const auto destination = request.header("sec-fetch-dest");
    return request.header("sec-fetch-mode") == "navigate" && (destination.empty() || destination == "document");
}

/// Without a script a browser cannot send JSON: these two routes take its form too.
bool takes_form(const Request& request) { return request.target == "/login" || request.target == "/logout"; }

}  // namespace

bool only_reads(const Request& request, const ApiAllowed& allowed) {
    const auto origin = request.header("origin");
    return !origin.empty() && may_read(origin, allowed) && !origin_listed(origin, allowed.origins) &&
           !origin_is_own(origin, request.header("host"));
}

bool is_form(const Request& request) {
    const auto type = request.header("content-type");
    return same_ignoring_case(type.substr(0, type.find(';')), "application/x-www-form-urlencoded");
}

std::optional<Response> refuse_request(const Request& request, const ApiAllowed& allowed, bool any_host) {
    if (!any_host && !host_allowed(request.header("host"), allowed.hosts))
        return Response::error(421, "MISDIRECTED_REQUEST",
                               "This server does not answer for that Host name; use a loopback name, or add the name "
                               "to JOBRT_ALLOWED_HOSTS");
    // Health is for everybody. A link or a bookmark may lead here from anywhere; a page that fetches, embeds or holds
    // streams open may not: it would read nothing, but it could take all the streams.
    const bool changes = is_change(request.method);
    const bool is_free = (!changes && is_visit(request)) || (any_host && !changes) || request.method == "OPTIONS";
    if (!is_free && from_foreign_page(request, allowed))
        return Response::error(403, "FORBIDDEN",
                               "A page of another origin may not use this server; add its origin to "
                               "JOBRT_ALLOWED_ORIGINS if it should");
    if (!changes) return std::nullopt;
    const auto type = request.header("content-type");
    if ((!request.body.empty() || !type.empty()) && !names_json(type) && !(is_form(request) && takes_form(request)))
        return Response::error(415, "UNSUPPORTED_MEDIA_TYPE", "The body must be JSON: send content-type: application/json");
    return std::nullopt;
}

}  // namespace jobruntime::core
