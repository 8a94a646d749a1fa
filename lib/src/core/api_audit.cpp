// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <utility>

#include "core/api_impl.hpp"

namespace jobruntime {
namespace {

constexpr std::size_t most_path = 256;
constexpr std::size_t most_forwarded = 128;

/// The text behind `name` in a JSON answer; of those that need no escapes.
std::string text_in(const Response& response, std::string_view name) {
    const auto* text = std::get_if<std::string>(&response.body);
    const auto at = text ? text->find(name) : std::string::npos;
    if (at == std::string::npos) return {};
    const auto begin = at + name.size();
    return text->substr(begin, text->find('"', begin) - begin);
}

std::string member(const RouteMatch& match, std::string_view name) {
    const auto* value = match.body.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

/// The number behind `name` in a JSON answer.
std::optional<std::uint64_t> number_in(const Response& response, std::string_view name) {
    const auto* text = std::get_if<std::string>(&response.body);
    const auto at = text ? text->find(name) : std::string::npos;
    if (at == std::string::npos) return std::nullopt;
    const auto begin = at + name.size();
    return core::parse_number(std::string_view(*text).substr(begin, text->find_first_not_of("0123456789", begin) - begin), INT64_MAX);
}

bool by_worker(const Request& request) { return request.target.starts_with("/api/worker/"); }

/// Of what a worker does by HTTP: that its session begins or ends, and that an attempt ends. Claims that got jobs and kept steps
/// are told where they are made (api_worker.cpp); its other calls come by the second.
bool is_told(const RouteMatch& match, const Response& response) {
    if (response.status >= 400 || match.body.contains("outcome")) return true;
    const auto* stopped = match.body.if_contains("stopped");
    return response.status == 201 || (stopped && stopped->is_bool() && stopped->get_bool());
}

/// The job that was changed or made; zero when it is about none.
JobId job_of(const RouteMatch& match, const Response& response) {
    constexpr std::string_view jobs = "/api/jobs/";
    if (const auto id = match.path.find("id"); id != match.path.end()) return JobId::parse(id->second).value_or(JobId{});
    for (const auto& [name, value] : response.headers)
        if (name == "location" && value.starts_with(jobs)) return JobId::parse(value.substr(jobs.size())).value_or(JobId{});
    return JobId::parse(member(match, "jobId")).value_or(JobId{});
}

}  // namespace

std::string core::code_of(const Response& response) {
    return response.status >= 400 ? text_in(response, R"("code":")") : std::string();
}

bool core::is_change(std::string_view method) { return method != "GET" && method != "HEAD" && method != "OPTIONS"; }

void ApiRouter::Impl::audit(const Request& request, const RouteMatch& match, const Response& response, boost::json::object more) const {
    if (!options.sink) return;
    const bool done = response.status < 400;
    Event event;
    event.at = clock.wall();
    event.name = done ? "api.change.done" : "api.change.refused";
    event.level = done ? Level::info : Level::warn;
    event.job = job_of(match, response);
    event.trace_id = match.trace_id;
    event.fields["caller"] = redact(match.caller.name);
    if (!match.caller.id.empty()) event.fields["tokenId"] = match.caller.id;
    event.fields["callerRole"] = to_string(match.caller.role);
    event.fields["from"] = request.remote;
    // As a proxy says it, or whoever wants to be taken for one.
    if (const auto forwarded = request.header("x-forwarded-for"); !forwarded.empty())
        event.fields["forwardedFor"] = redact(forwarded.substr(0, most_forwarded));
    event.fields["method"] = request.method;
    event.fields["path"] = redact(std::string_view(request.target).substr(0, request.target.find('?'))).substr(0, most_path);
    event.fields["status"] = response.status;
    // Of many jobs at once: what was done, and to how many.
    if (const auto* action = match.body.if_contains("action"); action && action->is_string()) {
        event.fields["action"] = *action;
        if (const auto jobs = number_in(response, R"("done":)")) event.fields["done"] = *jobs;
    }
    if (by_worker(request)) {
        if (auto outcome = member(match, "outcome"); !outcome.empty()) event.fields["outcome"] = std::move(outcome);
        auto session = member(match, "session");
        if (session.empty()) session = text_in(response, R"("session":")");
        if (!session.empty()) event.fields["workerId"] = redact(session);
        if (const auto* stopped = match.body.if_contains("stopped"); stopped && stopped->is_bool()) event.fields["stopped"] = *stopped;
    }
    if (const auto* jobs = more.if_contains("jobIds"); jobs && jobs->get_array().size() == 1)
        event.job = JobId::parse(jobs->get_array()[0].get_string()).value_or(JobId{});
    for (auto& [name, value] : more) event.fields[name] = std::move(value);
    if (auto code = core::code_of(response); !code.empty()) event.fields["code"] = std::move(code);
    options.sink->emit(event, false);
}

/// Strangers change nothing: of those with a wrong token RefusedTokens tells.
void ApiRouter::Impl::audit_change(const Request& request, const RouteMatch& match, const Response& response) const {
    const bool told = !by_worker(request) || is_told(match, response);
    if (core::is_change(request.method) && match.caller.role != Role::anyone && told) audit(request, match, response);
}

}  // namespace jobruntime
