// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>

#include "core/api_impl.hpp"
#include "core/api_table.hpp"

namespace jobruntime {
namespace {

using boost::json::array;
using boost::json::object;
using Type = RouteField::Type;

object reference(std::string_view part, std::string_view name) {
    return {{"$ref", "#/components/" + std::string(part) + "/" + std::string(name)}};
}

object members_schema(const std::vector<RouteField>& fields, bool is_request);

/// JSON Schema counts characters where we count bytes, so a bound it gives is the looser of the two.
object value_schema(const RouteField& field, bool is_request) {
    if (!field.shape.empty()) return reference("schemas", field.shape);
    object schema;
    switch (field.type) {
        case Type::text:
            schema["type"] = "string";
            if (field.least > 0) schema["minLength"] = field.least;
            if (field.most < RouteField::largest) schema["maxLength"] = field.most;
            break;
        case Type::name:
            schema["type"] = "string";
            schema["pattern"] = "^[a-z0-9._-]{1,64}$";
            break;
        case Type::choice:
            schema["type"] = "string";
            if (!field.choices.empty()) schema["enum"] = array(field.choices.begin(), field.choices.end());
            break;
        case Type::number:
            schema["type"] = "integer";
            schema["minimum"] = field.least;
            schema["maximum"] = field.most;
            break;
        case Type::real: schema["type"] = "number"; break;
        case Type::boolean: schema["type"] = "boolean"; break;
        case Type::time:
            schema["type"] = "string";
            schema["format"] = "date-time";
            break;
        case Type::duration:
            schema["type"] = "string";
            schema["pattern"] = "^[0-9]{1,9}m?s$";
            break;
        case Type::id:
            schema["type"] = "string";
            schema["format"] = "uuid";
            break;
        case Type::object:
            if (field.members.empty()) schema["type"] = "object";
            else schema = members_schema(field.members, is_request);
            break;
        case Type::any: break;
    }
    return schema;
}

object schema_of(const RouteField& field, bool is_request) {
    auto schema = value_schema(field, is_request);
    if (field.several) {
        object list{{"type", "array"}, {"items", std::move(schema)}};
        if (field.most_items > 0) list["maxItems"] = field.most_items;
        schema = std::move(list);
    }
    if (field.nullable) {
        if (auto* type = schema.if_contains("type")) *type = array{*type, "null"};
        else if (!schema.empty()) schema = {{"anyOf", array{std::move(schema), object{{"type", "null"}}}}};
        if (auto* choices = schema.if_contains("enum")) choices->as_array().emplace_back(nullptr);
    }
    if (!field.fallback.empty()) {
        boost::system::error_code code;
        auto value = boost::json::parse(field.fallback, code);
        schema["default"] = code ? boost::json::value(field.fallback) : std::move(value);
    }
    if (!field.about.empty()) schema["description"] = field.about;
    return schema;
}

object members_schema(const std::vector<RouteField>& fields, bool is_request) {
    object members;
    array required;
    for (const auto& field : fields) {
        members[field.name] = schema_of(field, is_request);
        if (field.required) required.emplace_back(field.name);
    }
    object schema{{"type", "object"}, {"properties", std::move(members)}};
    if (!required.empty()) schema["required"] = std::move(required);
    if (is_request) schema["additionalProperties"] = false;
    return schema;
}

object parameter(const RouteField& field, std::string_view in) {
    object row{{"name", field.name}, {"in", in}};
    if (in == "path" || field.required) row["required"] = true;
    auto schema = schema_of(field, true);
    if (auto* about = schema.if_contains("description")) {
        row["description"] = *about;
        schema.erase("description");
    }
    if (in == "query") row["allowEmptyValue"] = true;  // An empty value counts as not given.
    if (field.several) {
        row["style"] = "form";
        row["explode"] = false;
    }
    row["schema"] = std::move(schema);
    return row;
}

/// "/downloads/*rest" is "/downloads/{rest}" there, and its names are parameters.
std::string path_of(const Route& route, array& parameters) {
    std::string path;
    for (const auto& segment : RoutePattern(route.path).segments) {
        path += '/';
        if (segment.kind == RoutePattern::Kind::literal) {
            path += segment.text;
            continue;
        }
        path += "{" + segment.text + "}";
        const auto known = std::ranges::find(route.names, segment.text, &RouteField::name);
        parameters.push_back(parameter(known != route.names.end() ? *known : RouteField{.name = segment.text}, "path"));
    }
    return path;
}

object answer_json(const RouteAnswer& answer) {
    object row{{"description", answer.about}};
    if (answer.content_type.empty()) return row;
    object schema = answer.members.empty() && answer.content_type != "application/json" ? object{{"type", "string"}}
                                                                                         : members_schema(answer.members, false);
    row["content"] = object{{answer.content_type, object{{"schema", std::move(schema)}}}};
    return row;
}

object body_json(const Route& route) {
    object content{{"application/json", object{{"schema", members_schema(*route.body, true)}}}};
    if (route.form) content["application/x-www-form-urlencoded"] = object{{"schema", members_schema(*route.body, true)}};
    const bool needed = std::ranges::any_of(*route.body, &RouteField::required);
    return {{"required", needed}, {"content", std::move(content)}};
}

std::string operation_id(const Route& route) {
    std::string id;
    for (const char c : route.method) id += static_cast<char>(c | 0x20);
    for (const char c : route.path) {
        const bool is_word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (is_word) id += c;
        else if (id.back() != '_') id += '_';
    }
    while (id.back() == '_') id.pop_back();
    return id;
}

object operation(const ApiRouter& router, const Route& route, array parameters) {
    for (const auto& field : route.query) parameters.push_back(parameter(field, "query"));
    for (const auto& field : route.headers) parameters.push_back(parameter(field, "header"));
    object row{{"operationId", operation_id(route)}, {"summary", route.summary}, {"x-role", to_string(route.role)}};
    if (!parameters.empty()) row["parameters"] = std::move(parameters);
    if (route.body && !route.body->empty()) row["requestBody"] = body_json(route);
    object responses;
    for (const auto& answer : route.answers) responses[std::to_string(answer.status)] = answer_json(answer);
    std::vector<std::pair<int, std::string>> errors;
    for (const auto& code : router.errors_of(route)) {
        const auto known = std::ranges::find(router.error_codes(), code, &ErrorCode::code);
        if (known != router.error_codes().end()) errors.emplace_back(known->status, code);
    }
    std::ranges::stable_sort(errors, {}, &std::pair<int, std::string>::first);
    for (const auto& [status, code] : errors) {
        auto& error = responses[std::to_string(status)];
        if (error.is_null()) error = reference("responses", "Error");
    }
    responses["default"] = reference("responses", "Error");
    row["responses"] = std::move(responses);
    if (router.is_guarded() && route.role != Role::anyone)
        row["security"] = array{object{{"token", array()}}, object{{"cookie", array()}}};
    return row;
}

}  // namespace

std::vector<std::string> ApiRouter::errors_of(const Route& route) const {
    std::vector<std::string> codes{"INVALID_ARGUMENT", "FORBIDDEN", "MISDIRECTED_REQUEST", "INTERNAL", "OVERLOADED"};
    if (route.role != Role::anyone) codes.insert(codes.end(), {"UNAUTHORIZED", "STORE_UNAVAILABLE", "STORE_CORRUPT", "TIMED_OUT"});
    if (core::is_change(route.method)) codes.insert(codes.end(), {"UNSUPPORTED_MEDIA_TYPE", "PAYLOAD_TOO_LARGE"});
    if (route.body) codes.insert(codes.end(), {"INVALID_JSON", "INVALID_NUMBER"});
    if (core::is_change(route.method) && route.role != Role::anyone) codes.insert(codes.end(), {"STORE_FULL", "UNSUPPORTED"});
    for (const auto& code : route.errors)
        if (std::ranges::find(codes, code) == codes.end()) codes.push_back(code);
    return codes;
}

boost::json::object ApiRouter::openapi() const {
    object paths;
    for (const auto& route : routes()) {
        array parameters;
        const auto path = path_of(route, parameters);
        std::string method;
        for (const char c : route.method) method += static_cast<char>(c | 0x20);
        if (!paths.contains(path)) paths[path] = object();
        paths[path].as_object()[method] = operation(*this, route, std::move(parameters));
    }
    object schemas;
    for (const auto& shape : shapes()) schemas[shape.name] = members_schema(shape.members, false);
    // The codes of errors are a closed list; programs read them.
    array codes;
    for (const auto& row : error_codes()) codes.emplace_back(row.code);
    if (auto* error = schemas.if_contains("Error"))
        error->as_object()["properties"].as_object()["code"] = object{{"type", "string"}, {"enum", std::move(codes)}};
    object error{{"description", "An error; `code` says which."},
                 {"content", object{{"application/json", object{{"schema", reference("schemas", "Error")}}}}}};
    object components{{"schemas", std::move(schemas)}, {"responses", object{{"Error", std::move(error)}}}};
    if (is_guarded())
        components["securitySchemes"] = object{{"token", object{{"type", "http"}, {"scheme", "bearer"}}},
                                               {"cookie", object{{"type", "apiKey"}, {"in", "cookie"}, {"name", "jobrt_token"}}}};
    const auto& version = impl_->options.version;
    return {{"openapi", "3.1.0"},
            {"info", object{{"title", impl_->options.service}, {"version", version.empty() ? "0" : version}}},
            {"paths", std::move(paths)},
            {"components", std::move(components)}};
}

}  // namespace jobruntime
