// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "dashboard.hpp"

#include <string>
#include <utility>

namespace jobruntime::host {
namespace {

/// Everything comes from this server, nothing stands inline, and no text becomes markup.
constexpr std::string_view policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

constexpr std::string_view assets = "assets/";

bool names(std::string_view list, std::string_view tag) { return list == "*" || list.find(tag) != std::string_view::npos; }

Response answer(const Request& request, const DashboardFile& file) {
    Response response;
    // What the build names after its content never changes.
    const bool hashed = file.path.starts_with(assets) && !file.path.ends_with(".txt");
    response.headers = {
        {"content-type", std::string(file.content_type)},
        {"etag", std::string(file.etag)},
        {"cache-control", hashed ? "public, max-age=31536000, immutable" : "no-cache"},
        {"content-security-policy", std::string(policy)},
        // With no-referrer a browser calls the origin of this page's own forms "null".
        {"referrer-policy", "same-origin"},
    };
    if (file.gzip) response.headers.emplace_back("content-encoding", "gzip");
    if (names(request.header("if-none-match"), file.etag)) response.status = 304;
    else response.body = std::string(file.bytes);
    return response;
}

Response answer(const Request& request, std::string_view path) {
    for (const auto& file : dashboard_files())
        if (file.path == path) return answer(request, file);
    return Response::error(404, "NOT_FOUND", "the dashboard has no such part");
}

Route route(std::string path, Role role, std::string summary) {
    Route route;
    route.method = "GET";
    route.path = std::move(path);
    route.role = role;
    route.summary = std::move(summary);
    route.storeless = true;
    return route;
}

}  // namespace

void add_dashboard(ApiRouter& router) {
    auto page = route("/", Role::read, "The dashboard.");
    const std::vector<RouteField> condition{{.name = "If-None-Match", .about = "the ETag of an earlier answer"}};
    const RouteAnswer unchanged{304, "It is as If-None-Match knows it.", {}, ""};
    page.headers = condition;
    page.answers = {{200, "The page.", {}, "text/html"}, unchanged};
    page.handle = [](const Request& request, const RouteMatch&) { return answer(request, "index.html"); };
    router.add(std::move(page));
    auto parts = route("/assets/*rest", Role::anyone, "What the dashboard is made of.");
    parts.headers = condition;
    parts.answers = {{200, "The part.", {}, "*/*"}, unchanged};
    parts.errors = {"NOT_FOUND"};
    parts.handle = [](const Request& request, const RouteMatch& match) {
        const auto rest = match.path.find("rest");
        return answer(request, std::string(assets) + (rest == match.path.end() ? "" : rest->second));
    };
    router.add(std::move(parts));
}

}  // namespace jobruntime::host
