// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cassert>
#include <exception>
#include <utility>

#include "core/api_impl.hpp"
#include "core/api_table.hpp"
#include "core/etag.hpp"

namespace jobruntime {
namespace {

constexpr std::string_view health_paths[] = {"/api/health", "/api/worker/health"};

bool is_health(std::string_view target) {
    const auto path = target.substr(0, target.find('?'));
    return std::ranges::find(health_paths, path) != std::end(health_paths);
}

/// "OPTIONS *" asks about the server and no path of it (RFC 9110, 9.3.7).
bool is_about_all(const Request& request) { return request.method == "OPTIONS" && request.target == "*"; }

std::vector<std::string_view> split_path(std::string_view path) {
    std::vector<std::string_view> parts;
    for (std::string_view rest = path.substr(1);;) {
        const auto slash = rest.find('/');
        parts.push_back(rest.substr(0, slash));
        if (slash == std::string_view::npos) return parts;
        rest.remove_prefix(slash + 1);
    }
}

/// A segment that cannot be part of a file's name below some folder.
bool is_tricky(std::string_view segment) {
    return segment.empty() || segment == "." || segment == ".." || segment.find('/') != std::string_view::npos ||
           segment.find('\\') != std::string_view::npos || segment.find('\0') != std::string_view::npos;
}

std::string allow_header(std::vector<std::string> methods) {
    if (std::ranges::find(methods, "GET") != methods.end()) methods.emplace_back("HEAD");
    methods.emplace_back("OPTIONS");
    std::ranges::sort(methods);
    methods.erase(std::unique(methods.begin(), methods.end()), methods.end());
    std::string text;
    for (const auto& method : methods) text += (text.empty() ? "" : ", ") + method;
    return text;
}

/// What every answer carries unless its route said otherwise. The policy fits JSON, which loads nothing; a page
/// brings its own.
void add_common_headers(Response& response, const std::string& trace_id) {
    response.headers.reserve(response.headers.size() + 8);
    core::set_header(response, "x-trace-id", trace_id);
    core::set_header(response, "cache-control", "no-store");
    core::set_header(response, "x-content-type-options", "nosniff");
    core::set_header(response, "x-frame-options", "DENY");
    core::set_header(response, "referrer-policy", "no-referrer");
    core::set_header(response, "cross-origin-resource-policy", "same-origin");
    core::set_header(response, "content-security-policy", "default-src 'none'; frame-ancestors 'none'");
}

bool is_hex(std::string_view text) {
    return std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// The trace id of a W3C traceparent; empty for one that is not well formed.
std::string_view trace_of_parent(std::string_view parent) {
    if (parent.size() < 55 || parent[2] != '-' || parent[35] != '-' || parent[52] != '-') return {};
    if (parent.size() > 55 && (parent.starts_with("00") || parent[55] != '-')) return {};
    const auto id = parent.substr(3, 32);
    const auto span = parent.substr(36, 16);
    if (!is_hex(parent.substr(0, 2)) || parent.starts_with("ff") || !is_hex(id) || !is_hex(span) ||
        !is_hex(parent.substr(53, 2)))
        return {};
    if (id.find_first_not_of('0') == std::string_view::npos || span.find_first_not_of('0') == std::string_view::npos)
        return {};
    return id;
}

}  // namespace

RoutePattern::RoutePattern(std::string_view path) {
    for (const auto part : split_path(path)) {
        if (part.starts_with(':')) segments.push_back({Kind::name, std::string(part.substr(1))});
        else if (part.starts_with('*')) segments.push_back({Kind::rest, std::string(part.substr(1))});
        else segments.push_back({Kind::literal, std::string(part)});
    }
}

int RoutePattern::score(const std::vector<std::string>& path) const {
    const bool open = !segments.empty() && segments.back().kind == Kind::rest;
    if (open ? path.size() < segments.size() : path.size() != segments.size()) return 0;
    int score = 1;
    for (std::size_t i = 0; i < segments.size(); ++i) {
        // Exact words go before names, and names before "all that follows", from left to right.
        score *= 3;
        switch (segments[i].kind) {
            case Kind::literal:
                if (segments[i].text != path[i]) return 0;
                score += 2;
                break;
            case Kind::name:
                if (path[i].empty()) return 0;
                score += 1;
                break;
            case Kind::rest:
                if (std::any_of(path.begin() + static_cast<std::ptrdiff_t>(i), path.end(), is_tricky)) return 0;
                break;
        }
    }
    return score;
}

void RoutePattern::fill(const std::vector<std::string>& path, RouteMatch& into) const {
    for (std::size_t i = 0; i < segments.size(); ++i) {
        const Segment& segment = segments[i];
        if (segment.kind == Kind::name) into.path[segment.text] = path[i];
        if (segment.kind != Kind::rest) continue;
        std::string& rest = into.path[segment.text];
        for (std::size_t j = i; j < path.size(); ++j) rest += (j == i ? "" : "/") + path[j];
    }
}

ApiRouter::Impl::Impl(ApiRouter& router, JobQueue& job_queue, ApiOptions given)
    : self(router), queue(job_queue), options(std::move(given)),
      who_may(std::make_shared<const ApiAllowed>(ApiAllowed{options.allowed_hosts, options.allowed_origins, options.cors_origins})),
      clock(options.clock ? *options.clock : system_clock()), started_at(clock.wall()), ids(options.seed),
      probe(job_queue.store(), clock), keeper(job_queue.store(), clock), codes(core::core_error_codes()), shapes(core::core_shapes(options)),
      refused_tokens(options.sink, clock) {}

ApiRouter::ApiRouter(JobQueue& queue, ApiOptions options)
    : impl_(std::make_unique<Impl>(*this, queue, std::move(options))) {
    for (auto& route : core::core_routes(impl_->options)) add(std::move(route));
    impl_->on("GET", "/openapi.json", [this](const Request&, const RouteMatch&) { return Response::json(200, openapi()); });
    impl_->add_health_routes();
    impl_->add_job_routes();
    impl_->add_queue_routes();
    impl_->add_telemetry_routes();
    impl_->add_login_routes();
    impl_->add_worker_routes();
    impl_->add_metrics_route();
    assert(std::ranges::all_of(impl_->routes, [](const Route& route) { return static_cast<bool>(route.handle); }));
}

ApiRouter::~ApiRouter() = default;

void ApiRouter::add(Route route) {
    RoutePattern pattern(route.path);
    for (std::size_t i = 0; i < impl_->routes.size(); ++i) {
        if (impl_->routes[i].method != route.method || impl_->routes[i].path != route.path) continue;
        impl_->routes[i] = std::move(route);
        return;
    }
    impl_->routes.push_back(std::move(route));
    impl_->patterns.push_back(std::move(pattern));
}

const std::vector<Route>& ApiRouter::routes() const { return impl_->routes; }

void ApiRouter::add(ErrorCode code) {
    const auto known = std::ranges::find(impl_->codes, code.code, &ErrorCode::code);
    if (known != impl_->codes.end()) *known = std::move(code);
    else impl_->codes.push_back(std::move(code));
}

const std::vector<ErrorCode>& ApiRouter::error_codes() const { return impl_->codes; }

const std::vector<RouteShape>& ApiRouter::shapes() const { return impl_->shapes; }

void ApiRouter::Impl::on(std::string_view method, std::string_view path, Handle handle) {
    for (auto& route : routes)
        if (route.method == method && route.path == path) route.handle = std::move(handle);
}

const Route* ApiRouter::find(std::string_view method, std::string_view path) const {
    for (const auto& route : impl_->routes)
        if (route.method == method && route.path == path) return &route;
    return nullptr;
}

void ApiRouter::set_allowed(ApiAllowed allowed) {
    auto fresh = std::make_shared<const ApiAllowed>(std::move(allowed));
    const std::lock_guard lock(impl_->mutex);
    impl_->who_may = std::move(fresh);
}

std::shared_ptr<const ApiAllowed> ApiRouter::Impl::allowed() const {
    const std::lock_guard lock(mutex);
    return who_may;
}

void ApiRouter::keep_stats() { impl_->keeper.start(); }

bool ApiRouter::is_guarded() const { return static_cast<bool>(impl_->options.authenticate); }

bool ApiRouter::is_prompt(const Request& request) const { return is_health(request.target); }

Response ApiRouter::handle(const Request& request) { return impl_->whole_answer(request, false); }

std::optional<Response> ApiRouter::answer_at_once(const Request& request) {
    const auto path = std::string_view(request.target).substr(0, request.target.find('?'));
    if (path == health_paths[0] && impl_->probe.is_fresh()) return impl_->whole_answer(request, true);
    return impl_->probe.is_hung() && !is_about_all(request) ? refuse_late(request, false) : std::nullopt;
}

Response ApiRouter::Impl::whole_answer(const Request& request, bool at_once) {
    const std::string trace_id = trace_id_of(request);
    Response response;
    try {
        response = answer(request, trace_id, at_once);
    } catch (const std::exception& error) {
        response = failure(request, trace_id, error.what());
    } catch (...) {
        response = failure(request, trace_id, "an exception of an unknown type");
    }
    if (std::holds_alternative<Later>(response.body)) {
        if (request.patience == Request::Patience::some) return response;  // No answer yet, so nothing to count or to dress.
        response = failure(request, trace_id, "a route has a request wait that may not");
    }
    core::add_tag(request, response);
    finish(request, response, trace_id);
    return response;
}

std::optional<Response> ApiRouter::refuse_early(const Request& head) {
    RouteMatch match;
    match.trace_id = impl_->trace_id_of(head);
    auto refused = is_about_all(head) ? core::refuse_request(head, *impl_->allowed(), false) : impl_->refuse_head_safely(head, match);
    if (refused) impl_->finish(head, *refused, match.trace_id);
    return refused;
}

/// In a host's own thread, which the exception of a program's ApiOptions::authenticate must not end.
std::optional<Response> ApiRouter::Impl::refuse_head_safely(const Request& head, RouteMatch& match, Way* way) {
    try {
        return refuse_head(head, match, way);
    } catch (const std::exception& error) {
        return failure(head, match.trace_id, error.what());
    } catch (...) {
        return failure(head, match.trace_id, "an exception of an unknown type");
    }
}

Response ApiRouter::refuse(const Request& request, int status, std::string_view code, std::string_view message) const {
    auto response = Response::error(status, code, message);
    impl_->finish(request, response, impl_->trace_id_of(request));
    return response;
}

/// Counts an answer and adds what every one carries.
void ApiRouter::Impl::finish(const Request& request, Response& response, const std::string& trace_id) const {
    // RFC 9110 and RFC 6585 want these with every such answer, whichever route gives it.
    if (response.status == 401) core::set_header(response, "www-authenticate", R"(Bearer realm="jobrt")");
    if (response.status == 429 || response.status == 503 || response.status == 507)
        core::set_header(response, "retry-after", "2");
    count(response);
    refused_tokens.tell_when_due();
    core::add_cors(request, response, *allowed());
    add_common_headers(response, trace_id);
}

Response ApiRouter::Impl::answer(const Request& request, const std::string& trace_id, bool at_once) {
    RouteMatch match;
    match.trace_id = trace_id;
    match.at_once = at_once;
    if (is_about_all(request)) {
        if (auto refused = core::refuse_request(request, *allowed(), false)) return std::move(*refused);
        Response response;
        response.status = 204;
        return response;
    }
    Way way;
    if (auto refused = refuse_head(request, match, &way)) return std::move(*refused);
    auto response = serve(request, *way.route, match, way.query);
    if (std::holds_alternative<Later>(response.body)) return response;
    // The log-in tells by itself who came.
    if (way.route->path != "/login") audit_change(request, match, response);
    return response;
}

/// All that can be refused before the body is known; else `way` is where the request goes and `match` who asks.
std::optional<Response> ApiRouter::Impl::refuse_head(const Request& head, RouteMatch& match, Way* way) {
    // Health is for everybody, and answered where nothing may be waited for: a look at tokens could be slow.
    const bool for_all = is_health(head.target) && !core::is_change(head.method);
    match.caller = for_all ? Caller{"", "", Role::anyone} : caller_of(head);
    if (auto refused = core::refuse_request(head, *allowed(), is_health(head.target))) {
        // A foreign page has no token with it, and is not to fill the log.
        if (!match.caller.id.empty()) audit_change(head, match, *refused);
        return refused;
    }
    Way found;
    if (auto refused = find_way(head, match, found)) return refused;
    if (auto refused = refuse_caller(head, *found.route, match)) {
        audit_change(head, match, *refused);
        return refused;
    }
    if (way) *way = std::move(found);
    return std::nullopt;
}

/// The route of a request, with what its path and query held; or 400, 404, 405, or the answer to OPTIONS.
std::optional<Response> ApiRouter::Impl::find_way(const Request& request, RouteMatch& match, Way& way) const {
    auto target = core::parse_target(request.target);
    if (!target) return self.error_response(target.error());
    const std::string_view method = request.method == "HEAD" ? "GET" : std::string_view(request.method);
    // First the path, then the method, as OpenAPI has it: /api/jobs/counts is no job, whatever the method.
    std::size_t best = routes.size();
    int best_score = 0;
    std::vector<std::string> methods;
    for (std::size_t i = 0; i < routes.size(); ++i) {
        const int score = patterns[i].score(target->path);
        if (score == 0 || score < best_score) continue;
        if (score > best_score) {
            methods.clear();
            best = routes.size();
            best_score = score;
        }
        methods.push_back(routes[i].method);
        if (routes[i].method == method) best = i;
    }
    if (methods.empty())
        return Response::error(404, "NOT_FOUND", "Nothing lives at this path; docs/api.md lists what there is");
    if (best == routes.size()) {
        Response response;
        if (method == "OPTIONS") response.status = 204;
        else response = Response::error(405, "METHOD_NOT_ALLOWED", "This path does not take that method");
        core::set_header(response, "allow", allow_header(std::move(methods)));
        return response;
    }
    patterns[best].fill(target->path, match);
    way.route = &routes[best];
    way.query = std::move(target->query);
    return std::nullopt;
}

/// The answer of this route, whose caller may use it, when its row lets the request through.
Response ApiRouter::Impl::serve(const Request& request, const Route& route, RouteMatch& match,
                              std::vector<std::pair<std::string, std::string>>& query) {
    for (auto& [name, value] : query) {
        if (std::ranges::find(route.query, name, &RouteField::name) == route.query.end())
            return self.error_response(core::invalid("the query name \"" + name.substr(0, 64) + "\" is not known here"));
        if (!match.query.emplace(name, std::move(value)).second)
            return self.error_response(core::invalid("the query names \"" + name.substr(0, 64) + "\" twice"));
    }
    if (auto nowhere = core::check_path(route, match)) return std::move(*nowhere);
    if (auto fits = core::check_query(route, match); !fits) return self.error_response(fits.error());
    if (route.body && !(route.form && core::is_form(request))) {
        auto body = core::parse_body(request.body);
        if (!body) return self.error_response(body.error());
        if (auto fits = core::check_members(*route.body, *body); !fits) return self.error_response(fits.error());
        core::make_whole(*route.body, *body);
        match.body = std::move(*body);
    }
    if (auto refused = refuse_waiting(route)) return std::move(*refused);
    if (core::is_change(request.method)) match.by = {match.caller.name, match.caller.id, request.remote};
    try {
        const auto begun = clock.steady();
        const auto stamp = route.steady ? queue.store().stamp() : std::nullopt;
        if (stamp)
            if (auto known = kept.find(request.target, *stamp, begun)) return *std::move(known);
        auto response = route.handle(request, match);
        if (stamp && response.status == 200) {
            core::set_tag(response);
            kept.keep(request.target, *stamp, begun, response);
        }
        say_if_unsure(route, response);
        return response;
    } catch (const std::exception& error) {
        return failure(request, match.trace_id, error.what());
    } catch (...) {
        return failure(request, match.trace_id, "an exception of an unknown type");
    }
}

std::string ApiRouter::Impl::trace_id_of(const Request& request) {
    std::string id;
    for (const char c : request.header("x-trace-id").substr(0, limits::trace_id))
        if (c > ' ' && c < 0x7f) id += c;
    if (id.empty()) id = trace_of_parent(request.header("traceparent"));
    if (id.find("jrt_") != std::string::npos) id = redact(id);  // It is shown everywhere; a token must not be.
    if (!id.empty()) return id;
    // 32 lower-case digits, so that it can go on as a traceparent.
    id.reserve(32);
    for (auto bits : {ids.random(), ids.random() | 1})
        for (int i = 0; i < 16; ++i, bits <<= 4) id += "0123456789abcdef"[bits >> 60];
    return id;
}

}  // namespace jobruntime
