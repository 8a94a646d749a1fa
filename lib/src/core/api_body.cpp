// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <cmath>
#include <limits>
#include <utility>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "core/api_impl.hpp"
#include "core/json.hpp"

namespace jobruntime {
namespace core {
namespace {

/// Members of all objects in it.
std::size_t count_members(const boost::json::value& value) {
    std::size_t count = 0;
    if (const auto* object = value.if_object()) {
        count = object->size();
        for (const auto& member : *object) count += count_members(member.value());
    } else if (const auto* array = value.if_array()) {
        for (const auto& item : *array) count += count_members(item);
    }
    return count;
}

/// Colons outside strings: in valid JSON exactly one for each member that was written.
std::size_t count_colons(std::string_view text) {
    std::size_t count = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (in_string && text[i] == '\\') ++i;
        else if (text[i] == '"') in_string = !in_string;
        else if (text[i] == ':' && !in_string) ++count;
    }
    return count;
}

}  // namespace

Result<boost::json::object> parse_body(std::string_view text) {
    if (text.empty()) return boost::json::object{};
    auto value = parse_json(text);
    if (!value) return invalid("the body is " + value.error().message, "INVALID_JSON");
    // The parser keeps the last of two members with one name; two readers may take different ones for true.
    if (count_colons(text) != count_members(*value))
        return invalid("the body names a member of an object twice; name it once", "INVALID_JSON");
    if (!value->is_object()) return invalid("the body must be a JSON object, written as {…}", "INVALID_JSON");
    return std::move(value->get_object());
}

namespace {

/// Reads members of a body one by one and keeps the first thing that is wrong.
class Members {
public:
    explicit Members(const boost::json::object& body) : body_(body) {}

    std::optional<std::string> text(std::string_view name) {
        const auto* value = find(name);
        if (!value) return std::nullopt;
        if (value->is_string()) return std::string(value->get_string());
        complain(name, "must be a string");
        return std::nullopt;
    }
    std::optional<std::int64_t> number(std::string_view name, std::int64_t least, std::int64_t most) {
        const auto* value = find(name);
        if (!value) return std::nullopt;
        if (value->is_int64() && value->get_int64() >= least && value->get_int64() <= most) return value->get_int64();
        complain(name, "must be a whole number from " + std::to_string(least) + " to " + std::to_string(most));
        return std::nullopt;
    }
    std::vector<std::string> texts(std::string_view name) {
        std::vector<std::string> list;
        const auto* value = find(name);
        if (!value) return list;
        if (const auto* array = value->if_array()) {
            for (const auto& item : *array) {
                if (!item.is_string()) break;
                list.emplace_back(item.get_string());
            }
            if (list.size() == array->size()) return list;
        }
        complain(name, "must be a list of strings");
        return {};
    }
    void complain(std::string_view name, const std::string& what) {
        if (!error_) error_ = invalid(std::string(name) + " " + what);
    }
    const std::optional<Error>& error() const { return error_; }

private:
    const boost::json::value* find(std::string_view name) const { return body_.if_contains(name); }

    const boost::json::object& body_;
    std::optional<Error> error_;
};

bool is_known(std::string_view name, std::span<const std::string_view> known) {
    static constexpr std::string_view options[] = {"queue",       "priority",  "runAt", "delayMs",
                                                   "maxAttempts", "uniqueKey", "tags"};
    for (const auto option : options)
        if (name == option) return true;
    for (const auto other : known)
        if (name == other) return true;
    return false;
}

}  // namespace
}  // namespace core

Result<boost::json::object> ApiRouter::body_object(const Request& request) { return core::parse_body(request.body); }

Result<EnqueueOptions> ApiRouter::job_options(const boost::json::object& body,
                                              std::span<const std::string_view> known) const {
    for (const auto& member : body)
        if (!core::is_known(member.key(), known))
            return core::invalid("the body has an unknown member \"" + std::string(core::cut(member.key(), 64)) +
                                 "\"; remove it or correct its name");
    core::Members members(body);
    EnqueueOptions options;
    if (auto queue = members.text("queue")) {
        if (!is_name(*queue)) members.complain("queue", "must match [a-z0-9._-]{1,64}");
        options.queue = std::move(*queue);
    }
    constexpr auto least = std::numeric_limits<std::int16_t>::min();
    constexpr auto most = std::numeric_limits<std::int16_t>::max();
    if (const auto priority = members.number("priority", least, most))
        options.priority = static_cast<std::int16_t>(*priority);
    if (const auto attempts = members.number("maxAttempts", 1, 1000)) options.max_attempts = static_cast<int>(*attempts);
    constexpr std::int64_t hundred_years = 100LL * 366 * 24 * 3600 * 1000;
    if (const auto delay = members.number("delayMs", 0, hundred_years)) options.delay = Duration{*delay};
    if (const auto run_at = members.text("runAt")) {
        const auto time = parse_iso(*run_at);
        if (!time) members.complain("runAt", "must be an ISO time like 2026-03-01T12:00:00.000Z");
        else options.run_at = *time;
    }
    if (options.delay && options.run_at) members.complain("delayMs", "cannot go together with runAt; give one of them");
    if (auto key = members.text("uniqueKey")) {
        if (key->empty() || key->size() > limits::unique_key)
            members.complain("uniqueKey", "must have 1 to " + std::to_string(limits::unique_key) + " bytes");
        options.unique = std::move(*key);
    }
    options.tags = members.texts("tags");
    if (options.tags.size() > limits::tags)
        members.complain("tags", "must be at most " + std::to_string(limits::tags));
    for (const auto& tag : options.tags)
        if (tag.empty() || tag.size() > limits::tag)
            members.complain("tags", "must each have 1 to " + std::to_string(limits::tag) + " bytes");
    if (members.error()) return *members.error();
    return options;
}

}  // namespace jobruntime
