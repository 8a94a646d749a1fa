// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/json.hpp"

#include <boost/json/array.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/stream_parser.hpp>

namespace jobruntime::core {
namespace {

Error corrupt(std::string_view what) {
    return {Errc::corrupt, "the stored " + std::string(what) + " of a job cannot be read"};
}

const boost::json::string* text_at(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value ? value->if_string() : nullptr;
}

const std::int64_t* number_at(const boost::json::object& object, std::string_view name) {
    const auto* value = object.if_contains(name);
    return value ? value->if_int64() : nullptr;
}

}  // namespace

Result<boost::json::value> parse_json(std::string_view text) {
    boost::json::parse_options options;
    options.max_depth = json_depth;
    boost::json::stream_parser parser({}, options);
    boost::json::error_code error;
    const std::size_t used = parser.write_some(text.data(), text.size(), error);
    if (!error && used == text.size()) parser.finish(error);
    if (error)
        return Error{Errc::invalid_argument,
                     "not valid JSON at byte " + std::to_string(used) + ": " + error.message()};
    if (used < text.size())
        return Error{Errc::invalid_argument, "not valid JSON: more text follows after byte " + std::to_string(used)};
    return parser.release();
}

Result<boost::json::object> parse_json_object(std::string_view text) {
    auto value = parse_json(text);
    if (!value) return std::move(value).error();
    if (!value->is_object()) return Error{Errc::invalid_argument, "not a JSON object; write it as {…}"};
    return std::move(value->get_object());
}

std::string to_text(const boost::json::value& value) { return boost::json::serialize(value); }

std::string to_text(const boost::json::object& object) { return boost::json::serialize(object); }

std::string errors_to_text(const std::vector<JobError>& errors) {
    boost::json::array list;
    list.reserve(errors.size());
    for (const auto& error : errors)
        list.push_back(boost::json::object{{"at", error.at.time_since_epoch().count()},
                                           {"attempt", error.attempt},
                                           {"code", error.code},
                                           {"message", error.message}});
    return boost::json::serialize(list);
}

Result<std::vector<JobError>> errors_from_text(std::string_view text) {
    std::vector<JobError> errors;
    if (text.empty()) return errors;
    auto value = parse_json(text);
    if (!value || !value->is_array()) return corrupt("errors");
    for (const auto& item : value->get_array()) {
        const auto* object = item.if_object();
        if (!object) return corrupt("errors");
        const auto* at = number_at(*object, "at");
        const auto* attempt = number_at(*object, "attempt");
        const auto* code = text_at(*object, "code");
        const auto* message = text_at(*object, "message");
        if (!at || !attempt || !code || !message) return corrupt("errors");
        errors.push_back({Time{Duration{*at}}, static_cast<int>(*attempt), std::string(*code), std::string(*message)});
    }
    return errors;
}

std::string tags_to_text(const std::vector<std::string>& tags) {
    return boost::json::serialize(boost::json::array(tags.begin(), tags.end()));
}

Result<std::vector<std::string>> tags_from_text(std::string_view text) {
    std::vector<std::string> tags;
    if (text.empty()) return tags;
    auto value = parse_json(text);
    if (!value || !value->is_array()) return corrupt("tags");
    for (const auto& item : value->get_array()) {
        if (!item.is_string()) return corrupt("tags");
        tags.emplace_back(item.get_string());
    }
    return tags;
}

std::string_view cut(std::string_view text, std::size_t size) noexcept {
    if (text.size() <= size) return text;
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xc0) == 0x80) --size;
    return text.substr(0, size);
}

}  // namespace jobruntime::core
