// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <cmath>

#include <boost/json/array.hpp>

#include "core/api_impl.hpp"
#include "core/api_table.hpp"
#include "core/utf8.hpp"

namespace jobruntime {
namespace {

using Type = RouteField::Type;

std::string one_of(const std::vector<std::string>& choices) {
    std::string text;
    for (std::size_t i = 0; i < choices.size(); ++i)
        text += (i == 0 ? "" : i + 1 == choices.size() ? " or " : ", ") + choices[i];
    return text;
}

std::string one_value(const RouteField& field) {
    switch (field.type) {
        case Type::text:
            if (field.most < RouteField::largest)
                return "text of " + (field.least > 0 ? std::to_string(field.least) + " to " : "at most ") +
                       std::to_string(field.most) + " bytes";
            return field.least > 0 ? "text that is not empty" : "text";
        case Type::name: return "a name that matches [a-z0-9._-]{1,64}";
        case Type::choice: return one_of(field.choices);
        case Type::number:
            if (field.most == RouteField::largest) return "a whole number from " + std::to_string(field.least) + " on";
            return "a whole number from " + std::to_string(field.least) + " to " + std::to_string(field.most);
        case Type::real: return "a number";
        case Type::boolean: return "true or false";
        case Type::time: return "an ISO time like 2026-03-01T12:00:00.000Z";
        case Type::duration: return "a time like 30s or 500ms, at most " + std::to_string(field.most / 1000) + "s";
        case Type::id: return "an id, 36 characters long";
        case Type::object: return "a JSON object";
        case Type::any: return "a JSON value";
    }
    return {};
}

bool fits_length(const RouteField& field, std::size_t size) {
    return size >= static_cast<std::size_t>(field.least) && size <= static_cast<std::size_t>(field.most);
}

/// A value as a string says it, in a query or in JSON.
bool fits_text(const RouteField& field, std::string_view text) {
    switch (field.type) {
        case Type::text: return fits_length(field, text.size());
        case Type::name: return is_name(text);
        case Type::choice: return std::ranges::find(field.choices, text) != field.choices.end();
        case Type::time: return parse_iso(text).has_value();
        case Type::duration: {
            const auto duration = core::parse_duration(text);
            return duration && duration->count() >= field.least && duration->count() <= field.most;
        }
        case Type::id: return JobId::parse(text).has_value();
        default: return false;
    }
}

bool fits_query(const RouteField& field, std::string_view text) {
    if (field.type == Type::number) {
        const auto number = core::parse_number(text, static_cast<std::uint64_t>(field.most));
        return number && *number >= static_cast<std::uint64_t>(std::max<std::int64_t>(field.least, 0));
    }
    if (field.type == Type::boolean) return text == "true" || text == "false" || text == "1" || text == "0";
    return field.type == Type::any || fits_text(field, text);
}

/// 89.0 and 1e2 are whole, too: JSON knows one kind of number, and some languages write theirs like that.
std::optional<std::int64_t> whole_number(const boost::json::value& value) {
    if (const auto* number = value.if_int64()) return *number;
    const auto* number = value.if_double();
    if (!number || std::trunc(*number) != *number || std::abs(*number) > static_cast<double>(RouteField::largest)) return std::nullopt;
    return static_cast<std::int64_t>(*number);
}

bool fits_number(const RouteField& field, const boost::json::value& value) {
    const auto number = whole_number(value);
    return number && *number >= field.least && *number <= field.most;
}

bool fits_json(const RouteField& field, const boost::json::value& value) {
    if (value.is_string()) return field.type == Type::any || fits_text(field, std::string_view(value.get_string()));
    switch (field.type) {
        case Type::number: return fits_number(field, value);
        // Boost.JSON reads 1e999 as infinity and 0e310 as not-a-number, and writes neither in a way that JSON knows.
        case Type::real: return value.is_number() && std::isfinite(value.to_number<double>());
        case Type::boolean: return value.is_bool();
        case Type::object: return value.is_object();
        case Type::any: return true;
        default: return false;
    }
}

bool fits_list(const RouteField& field, const boost::json::value& value) {
    const auto* list = value.if_array();
    if (!list || (field.most_items > 0 && list->size() > field.most_items)) return false;
    return std::ranges::all_of(*list, [&](const auto& item) { return fits_json(field, item); });
}

Error refusal(const RouteField& field, const std::string& where, bool in_query) {
    return core::invalid(where + field.name + " must be " + expected(field, in_query), field.code);
}

}  // namespace

std::string expected(const RouteField& field, bool in_query) {
    auto text = one_value(field);
    if (!field.several) return text;
    if (in_query) return text + ", several with commas";
    return "a list of " + (field.most_items > 0 ? "at most " + std::to_string(field.most_items) + ", each " : "") + text;
}

namespace core {

Result<void> check_query(const Route& route, const RouteMatch& match) {
    for (const auto& field : route.query) {
        const auto text = match.query_value(field.name);
        if (!text) {
            if (field.required) return invalid("the query must name " + field.name + ": " + expected(field, true), field.code);
            continue;
        }
        std::string_view rest = *text;
        do {
            const auto end = field.several ? std::min(rest.find(','), rest.size()) : rest.size();
            if (!fits_query(field, rest.substr(0, end))) return refusal(field, "", true);
            // A comma at the end has one more behind it, which is empty.
            if (end == rest.size()) break;
            rest.remove_prefix(end + 1);
        } while (true);
    }
    return {};
}

Result<void> check_known_members(const std::vector<RouteField>& fields, const boost::json::object& members,
                                 const std::string& where) {
    for (const auto& field : fields) {
        const auto* value = members.if_contains(field.name);
        if (!value) {
            if (field.required) return invalid(where + field.name + " is missing; it must be " + expected(field, false), field.code);
            continue;
        }
        if (field.several ? !fits_list(field, *value) : !fits_json(field, *value)) return refusal(field, where, false);
        if (field.type != Type::object || field.members.empty() || field.several) continue;
        if (auto inner = check_members(field.members, value->get_object(), where + field.name + "."); !inner) return inner;
    }
    return {};
}

Result<void> check_members(const std::vector<RouteField>& fields, const boost::json::object& members,
                           const std::string& where) {
    for (const auto& member : members) {
        const std::string_view name = member.key();
        if (std::ranges::find(fields, name, &RouteField::name) == fields.end())
            return invalid("the body has an unknown member \"" + where + std::string(cut(name, 64)) +
                           "\"; remove it or correct its name");
    }
    return check_known_members(fields, members, where);
}

void make_whole(const std::vector<RouteField>& fields, boost::json::object& members) {
    for (const auto& field : fields) {
        auto* value = members.if_contains(field.name);
        if (!value) continue;
        if (field.type == Type::object && value->is_object()) make_whole(field.members, value->get_object());
        if (field.type != Type::number) continue;
        if (const auto number = whole_number(*value)) *value = *number;
        if (auto* list = value->if_array())
            for (auto& item : *list)
                if (const auto number = whole_number(item)) item = *number;
    }
}

std::optional<Response> check_path(const Route& route, const RouteMatch& match) {
    for (const auto& field : route.names) {
        const auto found = match.path.find(field.name);
        if (found == match.path.end() || fits_query(field, found->second)) continue;
        // A text that is no id is a job that is not there.
        if (field.type == Type::id) return Response::error(404, "JOB_NOT_FOUND", "There is no such job");
        return Response::error(404, "NOT_FOUND", field.name + " must be " + expected(field, true));
    }
    return std::nullopt;
}

}  // namespace core
}  // namespace jobruntime
