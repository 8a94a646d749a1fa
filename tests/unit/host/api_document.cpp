// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_document.hpp"

#include <algorithm>
#include <sstream>

#include "host/src/dashboard.hpp"

using namespace jobruntime;

namespace api_document {
namespace {

constexpr std::string_view begin_mark = "<!-- from the table: ";
constexpr std::string_view end_mark = "<!-- end -->\n";

std::string code(std::string_view text) { return "`" + std::string(text) + "`"; }

void row(std::string& text, const std::string& name, const std::string& where, const RouteField& field) {
    text += "| " + code(name) + " | " + where + " | " + expected(field, where == "query") + " | " + field.about;
    if (field.required && where != "path") text += std::string(field.about.empty() ? "" : "; ") + "needed";
    if (!field.fallback.empty()) text += std::string(field.about.empty() ? "" : "; ") + "default " + code(field.fallback);
    text += " |\n";
}

void rows(std::string& text, const std::vector<RouteField>& fields, const std::string& where, const std::string& before = {}) {
    for (const auto& field : fields) {
        row(text, before + field.name, where, field);
        if (!field.several) rows(text, field.members, where, before + field.name + ".");
    }
}

std::string parameters_of(const Route& route) {
    std::string text;
    rows(text, route.names, "path");
    rows(text, route.query, "query");
    rows(text, route.headers, "header");
    if (route.body) rows(text, *route.body, "body");
    return text.empty() ? text : "| name | in | what | |\n|---|---|---|---|\n" + text;
}

std::string part_of(const Route& route) {
    std::string text = "Role " + code(to_string(route.role)) + "; answers ";
    for (const auto& answer : route.answers) text += (&answer == &route.answers.front() ? "" : ", ") + std::to_string(answer.status);
    for (const auto& error : route.errors) text += (error == route.errors.front() ? "; errors of its own: " : ", ") + code(error);
    const auto parameters = parameters_of(route);
    return text + ".\n" + (parameters.empty() ? "" : "\n" + parameters);
}

std::string list_of_routes(const ApiRouter& router) {
    std::string text = "| route | role | |\n|---|---|---|\n";
    for (const auto& route : router.routes())
        text += "| " + code(route.method + " " + route.path) + " | " + std::string(to_string(route.role)) + " | " + route.summary + " |\n";
    return text;
}

std::string list_of_errors(const ApiRouter& router) {
    auto codes = router.error_codes();
    std::ranges::stable_sort(codes, {}, &ErrorCode::status);
    std::string text = "| status | code | when |\n|---|---|---|\n";
    for (const auto& error : codes) text += "| " + std::to_string(error.status) + " | " + code(error.code) + " | " + error.when + " |\n";
    return text;
}

/// What belongs between the marks of that name; empty for a name that the table does not have.
std::string part_named(const ApiRouter& router, std::string_view name) {
    if (name == "routes") return list_of_routes(router);
    if (name == "errors") return list_of_errors(router);
    for (const auto& route : router.routes())
        if (route.method + " " + route.path == name) return part_of(route);
    return {};
}

}  // namespace

Table::Table(TelemetrySink* sink) {
    ApiOptions options;
    options.sink = sink;
    media.prepare(options);
    router = std::make_unique<ApiRouter>(queue, options);
    media.add_routes(*router);
    host::add_dashboard(*router);
}

std::string refreshed(const ApiRouter& router, const std::string& document) {
    std::istringstream lines(document);
    std::string text;
    std::string pending;  // The heading of a section whose part has not come yet.
    const auto put = [&](const std::string& name) {
        text += std::string(begin_mark) + name + " -->\n" + part_named(router, name) + std::string(end_mark);
    };
    bool inside = false;
    for (std::string line; std::getline(lines, line);) {
        if (inside) {
            inside = line + "\n" != end_mark;
            continue;
        }
        if (line.starts_with(begin_mark)) {
            put(line.substr(begin_mark.size(), line.find(" -->") - begin_mark.size()));
            pending.clear();
            inside = true;
            continue;
        }
        if (!pending.empty() && !line.empty()) {
            put(pending);
            pending.clear();
            text += "\n";
        }
        if (line.starts_with("### `")) pending = line.substr(5, line.find('`', 5) - 5);
        text += line + "\n";
    }
    return text;
}

}  // namespace api_document
