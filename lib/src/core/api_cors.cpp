// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/api_impl.hpp"

namespace jobruntime::core {
namespace {

constexpr std::string_view request_headers =
    "authorization, content-type, idempotency-key, if-none-match, last-event-id, traceparent, x-trace-id";
constexpr std::string_view shown_headers = "etag, location, retry-after, x-trace-id";

}  // namespace

bool may_read(std::string_view origin, const ApiAllowed& allowed) {
    for (const auto& known : allowed.cors_origins)
        if (same_ignoring_case(known, origin)) return true;
    return false;
}

/// Tokens come in a header that a page's script sets; cookies are never asked for, so no credentials are allowed.
void add_cors(const Request& request, Response& response, const ApiAllowed& allowed) {
    if (allowed.cors_origins.empty()) return;
    response.headers.emplace_back("vary", "origin");
    const auto origin = request.header("origin");
    if (origin.empty() || !may_read(origin, allowed)) return;
    set_header(response, "access-control-allow-origin", std::string(origin));
    set_header(response, "cross-origin-resource-policy", "cross-origin");
    if (request.method != "OPTIONS" || request.header("access-control-request-method").empty()) {
        set_header(response, "access-control-expose-headers", std::string(shown_headers));
        return;
    }
    for (const auto& [name, value] : response.headers) {
        if (name != "allow") continue;
        std::string methods = value;
        set_header(response, "access-control-allow-methods", std::move(methods));
        set_header(response, "access-control-allow-headers", std::string(request_headers));
        set_header(response, "access-control-max-age", "600");
        return;
    }
}

}  // namespace jobruntime::core
