// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "api_fixture.hpp"

#include <algorithm>
#include <set>

using namespace api_test;
using Type = RouteField::Type;

namespace {

/// A path of that row, with something in the place of each name.
std::string path_of(const Route& route) {
    std::string path;
    bool in_name = false;
    for (const char c : route.path) {
        if (c == '/') in_name = false;
        if (c == ':') path += "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f";
        in_name = in_name || c == ':';
        if (!in_name) path += c;
    }
    return path;
}

/// JSON of a type that the field does not take.
std::string wrong_json(const RouteField& field) {
    if (field.several) return "7";
    return field.type == Type::number || field.type == Type::boolean || field.type == Type::object ? R"("wrong value")" : "7";
}

/// Every "$ref" in it.
void collect_references(const boost::json::value& value, std::set<std::string>& found) {
    if (const auto* list = value.if_array())
        for (const auto& item : *list) collect_references(item, found);
    if (const auto* object = value.if_object())
        for (const auto& member : *object) {
            if (member.key() == "$ref") found.insert(text(member.value()));
            collect_references(member.value(), found);
        }
}

/// What a required member may be.
std::string right_json(const RouteField& field) {
    std::string one = R"("some")";
    if (field.type == Type::id) one = R"("0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f")";
    if (field.type == Type::choice) one = "\"" + field.choices.front() + "\"";
    return field.several ? "[" + one + "]" : one;
}

}  // namespace

TEST_CASE("what a row's query may not hold is refused, and the refusal names it") {
    Api api;
    for (const auto& route : api.router.routes()) {
        CAPTURE(route.path);
        const auto unknown = api.call(route.method, path_of(route) + "?surprise=1");
        CHECK(unknown.code() == "INVALID_ARGUMENT");
        for (const auto& field : route.query) {
            if (field.type == Type::text || field.type == Type::any) continue;
            CAPTURE(field.name);
            for (const auto* wrong : {"wrong+value", "-1!", "%00"}) {
                const auto answer = api.call(route.method, path_of(route) + "?" + field.name + "=" + wrong);
                CHECK(answer.code() == "INVALID_ARGUMENT");
                CHECK(text(answer.body.at("error")).find(field.name) == 0);
            }
        }
    }
}

TEST_CASE("what a row's body may not hold is refused, and the refusal names it") {
    Api api;
    for (const auto& route : api.router.routes()) {
        if (!route.body) continue;
        CAPTURE(route.path);
        CHECK(api.call(route.method, path_of(route), "[]").code() == "INVALID_JSON");
        CHECK(api.call(route.method, path_of(route), R"({"surprise":1})").code() == "INVALID_ARGUMENT");
        for (const auto& field : *route.body) {
            if (field.type == Type::any) continue;
            CAPTURE(field.name);
            std::string others;
            for (const auto& other : *route.body)
                if (other.required && other.name != field.name) others += ",\"" + other.name + "\":" + right_json(other);
            const auto body = "{\"" + field.name + "\":" + wrong_json(field) + others + "}";
            const auto answer = api.call(route.method, path_of(route), body);
            CHECK(answer.code() == field.code);
            CHECK(text(answer.body.at("error")).find(field.name) == 0);
            if (!field.required) continue;
            CHECK(api.call(route.method, path_of(route), "{}").code() == field.code);
        }
    }
}

TEST_CASE("a program's own route is checked by its row as core's are") {
    Api api;
    api.router.add({.method = "POST", .path = "/shelf/:place/:job", .role = Role::operate, .summary = "Puts it there.",
                    .query = {{.name = "from", .type = Type::time, .required = true}},
                    .handle = [](const Request&, const RouteMatch& match) { return Response::json(200, match.body); },
                    .names = {{.name = "place", .type = Type::number, .least = 1, .most = 9}, {.name = "job", .type = Type::id}},
                    .body = std::vector<RouteField>{
                        {.name = "colours", .type = Type::choice, .required = true, .several = true, .most_items = 2, .choices = {"red", "blue"}},
                        {.name = "size", .type = Type::object, .members = {{.name = "wide", .type = Type::number, .required = true, .most = 10}}},
                        {.name = "price", .type = Type::real, .code = "BAD_PRICE"}}});
    const std::string id = "0190f3c2-7b1a-7c3e-9d55-0a1b2c3d4e5f";
    const auto good = "/shelf/3/" + id + "?from=2026-03-01T12:00:00Z";
    CHECK(api.post(good, R"({"colours":["red"],"size":{"wide":10},"price":1.5})").status == 200);
    const std::tuple<std::string, std::string, std::string> rows[] = {
        {"/shelf/0/" + id + "?from=2026-03-01T12:00:00Z", "{}", "NOT_FOUND"},
        {"/shelf/3/nobody?from=2026-03-01T12:00:00Z", "{}", "JOB_NOT_FOUND"},
        {"/shelf/3/" + id, R"({"colours":["red"]})", "INVALID_ARGUMENT"},
        {"/shelf/3/" + id + "?from=noon", R"({"colours":["red"]})", "INVALID_ARGUMENT"},
        {good, "{}", "INVALID_ARGUMENT"},
        {good, R"({"colours":"red"})", "INVALID_ARGUMENT"},
        {good, R"({"colours":["red","blue","red"]})", "INVALID_ARGUMENT"},
        {good, R"({"colours":["green"]})", "INVALID_ARGUMENT"},
        {good, R"({"colours":[],"size":{}})", "INVALID_ARGUMENT"},
        {good, R"({"colours":[],"size":{"wide":11}})", "INVALID_ARGUMENT"},
        {good, R"({"colours":[],"size":{"wide":1,"deep":1}})", "INVALID_ARGUMENT"},
        {good, R"({"colours":[],"price":"dear"})", "BAD_PRICE"},
        {good, R"({"colours":[],"colours":[]})", "INVALID_JSON"},
    };
    for (const auto& [target, body, code] : rows) {
        CAPTURE(target);
        CAPTURE(body);
        CHECK(api.post(target, body).code() == code);
    }
    CHECK(text(api.post(good, R"({"colours":[],"size":{"wide":11}})").body.at("error")) ==
          "size.wide must be a whole number from 0 to 10");
    CHECK(api.get("/shelf/3/" + id).header("allow") == "OPTIONS, POST");
}

TEST_CASE("the table as OpenAPI: each route, its parameters, answers and errors, and no reference into nothing") {
    Api api;
    api.router.add({404, "NO_SHELF", "there is no such shelf"});
    api.router.add({.method = "PATCH", .path = "/shelf/*rest", .role = Role::admin, .summary = "Mine.",
                    .handle = [](const Request&, const RouteMatch&) { return Response::json(200, {}); },
                    .answers = {{204, "Done.", {}, ""}}, .errors = {"NO_SHELF"}});
    const auto answer = api.get("/openapi.json");
    REQUIRE(answer.status == 200);
    const auto& document = answer.body;
    CHECK(document.at("openapi") == "3.1.0");
    CHECK_FALSE(document.at("info").at("version").as_string().empty());
    std::set<std::string> operations;
    std::size_t shown = 0;
    for (const auto& path : document.at("paths").as_object()) {
        for (const auto& item : path.value().as_object()) {
            CAPTURE(std::string(path.key()));
            const auto& operation = item.value().as_object();
            CHECK(operations.insert(text(operation.at("operationId"))).second);
            CHECK(operation.at("responses").as_object().contains("default"));
            CHECK_FALSE(operation.contains("security"));  // Nobody is asked for a token here.
            ++shown;
        }
    }
    CHECK(shown == api.router.routes().size());
    const auto& mine = document.at("paths").at("/shelf/{rest}").at("patch").as_object();
    CHECK(mine.at("x-role") == "admin");
    CHECK(mine.at("parameters").at(0).at("in") == "path");
    CHECK(mine.at("responses").as_object().contains("204"));
    CHECK(mine.at("responses").as_object().contains("404"));
    for (const auto* path : {"/api/jobs", "/api/jobs/counts", "/api/jobs/{id}"}) {
        CAPTURE(path);
        CHECK_FALSE(document.at("paths").at(path).at("get").at("responses").at("304").as_object().contains("content"));
    }
    CHECK(document.at("paths").at("/api/queues/{name}/pause").at("post").at("responses").as_object().contains("404"));
    const auto& list = document.at("paths").at("/api/jobs").at("get").at("parameters").as_array();
    CHECK(list.front().at("name") == "status");
    CHECK(list.front().at("schema").at("items").at("enum").as_array().size() == 6);
    CHECK(list.front().at("explode") == false);
    const auto& body = document.at("paths").at("/api/jobs").at("post").at("requestBody").at("content").at("application/json").at("schema");
    CHECK(body.at("additionalProperties") == false);
    CHECK(body.at("properties").at("priority").at("minimum") == -32768);
    std::set<std::string> references;
    collect_references(document, references);
    CHECK(references.size() > 3);
    for (const auto& reference : references) {
        CAPTURE(reference);
        REQUIRE(reference.starts_with("#/components/"));
        const auto slash = reference.find('/', 13);
        CHECK(document.at("components").at(reference.substr(13, slash - 13)).as_object().contains(reference.substr(slash + 1)));
    }
    ApiOptions options;
    options.authenticate = [](std::string_view) { return Caller{"1", "ada", Role::admin}; };
    Api guarded(options);
    const auto locked = guarded.call("GET", "/openapi.json", "", {{"authorization", "Bearer x"}}).body;
    CHECK(locked.at("paths").at("/api/jobs").at("get").as_object().contains("security"));
    CHECK_FALSE(locked.at("paths").at("/api/health").at("get").as_object().contains("security"));
}

TEST_CASE("every answer of a job, a list and the events has the members that its shape says") {
    Api api;
    const auto worker = api.beat(1);
    const auto id = api.create(R"({"kind":"demo.echo","tags":["a"]})");
    api.settle(api.claim(worker), Verdict::retry, "SMTP_DOWN", "refused");
    const auto holds = [&](const boost::json::value& value, std::string_view name) {
        const auto shape = std::ranges::find(api.router.shapes(), name, &RouteShape::name);
        REQUIRE(shape != api.router.shapes().end());
        for (const auto& field : shape->members) {
            CAPTURE(field.name);
            const auto* member = value.as_object().if_contains(field.name);
            CHECK((member || !field.required));
            if (member && member->is_null()) CHECK((field.nullable || field.type == Type::any));
        }
        for (const auto& member : value.as_object()) {
            CAPTURE(std::string(member.key()));
            if (name == "Job")
                CHECK(std::ranges::find(shape->members, std::string_view(member.key()), &RouteField::name) != shape->members.end());
        }
    };
    holds(api.get("/api/jobs/" + id).body.at("job"), "Job");
    holds(api.get("/api/jobs").body.at("jobs").at(0), "Job");
    holds(api.get("/api/workers").body.at("workers").at(0), "Session");
    holds(api.get("/api/telemetry").body.at("events").at(0), "Event");
    holds(api.get("/nowhere").body, "Error");
}
