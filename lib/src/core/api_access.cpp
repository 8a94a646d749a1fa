// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <array>
#include <utility>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

constexpr std::string_view cookie_name = "jobrt_token";
constexpr std::array<std::string_view, 4> role_names{"anyone", "read", "operate", "admin"};

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
    while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
    return text;
}

/// The value of `Authorization: Bearer …`. Another scheme is a proxy's own business and none of ours.
std::string_view bearer(std::string_view value) {
    constexpr std::string_view scheme = "bearer ";
    if (!core::same_ignoring_case(value.substr(0, scheme.size()), scheme)) return {};
    return trimmed(value.substr(scheme.size()));
}

std::string_view cookie(const Request& request) {
    for (const auto& [name, value] : request.headers) {
        if (name != "cookie") continue;
        for (std::string_view rest = value; !rest.empty();) {
            const auto end = std::min(rest.find(';'), rest.size());
            const auto item = trimmed(rest.substr(0, end));
            rest.remove_prefix(std::min(end + 1, rest.size()));
            if (item.starts_with(cookie_name) && item.substr(cookie_name.size()).starts_with('='))
                return item.substr(cookie_name.size() + 1);
        }
    }
    return {};
}

/// A person who opens a page is better served by the log-in than by a line of JSON.
bool is_page_visit(const Request& request) {
    return request.method == "GET" && request.header("sec-fetch-mode") == "navigate";
}

/// From that path to the root, as a relative address: a proxy may have put us under a path of its own.
std::string upwards(std::string_view target) {
    std::string way;
    for (const char c : target.substr(1, target.find('?') - 1))
        if (c == '/') way += "../";
    return way;
}

}  // namespace

std::string_view to_string(Role role) noexcept { return role_names[static_cast<std::size_t>(role)]; }

std::optional<Role> parse_role(std::string_view text) noexcept {
    for (std::size_t i = 1; i < role_names.size(); ++i)
        if (role_names[i] == text) return static_cast<Role>(i);
    return std::nullopt;
}

std::string_view core::token_of(const Request& request, const ApiAllowed& allowed) {
    const auto token = bearer(request.header("authorization"));
    // A browser sends the cookie with requests of other pages of the same site, too. Those that may read answers need a
    // token of their own; they do not act in the name of whoever looks at them.
    return token.empty() && !only_reads(request, allowed) ? cookie(request) : token;
}

std::string core::token_cookie(const Request& request, std::string_view token) {
    std::string header = std::string(cookie_name) + "=" + std::string(token) + "; Path=/; HttpOnly; SameSite=Strict";
    if (token.empty()) header += "; Max-Age=0";
    // Said by a proxy that speaks TLS; whoever forges it only keeps the cookie from himself.
    if (request.header("x-forwarded-proto") == "https") header += "; Secure";
    return header;
}

Caller ApiRouter::Impl::caller_of(const Request& request) const {
    if (!options.authenticate) return {};
    const auto token = core::token_of(request, *allowed());
    if (!token.empty())
        if (auto caller = options.authenticate(token)) return *std::move(caller);
    return {"", "", Role::anyone};
}

std::optional<Response> ApiRouter::Impl::refuse_caller(const Request& request, const Route& route,
                                                       const RouteMatch& match) const {
    const auto& caller = match.caller;
    if (caller.role >= route.role) return std::nullopt;
    const std::string needed(to_string(route.role));
    if (caller.role != Role::anyone) {
        auto response = Response::error(403, "FORBIDDEN",
                                        "This token has the role " + std::string(to_string(caller.role)) + ", and the route needs " +
                                            needed + "; use a token that has it (jobrt token create --role " + needed + ")");
        core::set_header(response, "www-authenticate", R"(Bearer realm="jobrt", error="insufficient_scope", scope=")" + needed + '"');
        return response;
    }
    const bool wrong = !core::token_of(request, *allowed()).empty();
    if (wrong) refused_tokens.add(request, match.trace_id);
    if (is_page_visit(request)) {
        Response response;
        response.status = 303;
        core::set_header(response, "location", upwards(request.target) + "login");
        return response;
    }
    auto response = Response::error(401, "UNAUTHORIZED",
                                    wrong ? "This access token is wrong or was revoked; get a new one (jobrt token create)"
                                          : "This needs an access token: send the header Authorization: Bearer TOKEN, or log in at "
                                            "/login (jobrt token create makes tokens)");
    core::set_header(response, "www-authenticate",
                     wrong ? R"(Bearer realm="jobrt", error="invalid_token")" : R"(Bearer realm="jobrt")");
    return response;
}

}  // namespace jobruntime
