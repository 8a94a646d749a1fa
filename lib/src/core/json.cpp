// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/json.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <boost/json/array.hpp>
#include <boost/json/basic_parser_impl.hpp>
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

/// Reads JSON and makes nothing of it.
struct Reader {
    static constexpr std::size_t max_object_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_array_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_key_size = static_cast<std::size_t>(-1);
    static constexpr std::size_t max_string_size = static_cast<std::size_t>(-1);
    using Code = boost::json::error_code;
    using Text = boost::json::string_view;

    int depth = 0;
    bool object = false;  ///< What stands outermost.

    bool on_document_begin(Code&) { return true; }
    bool on_document_end(Code&) { return true; }
    bool on_object_begin(Code&) {
        if (depth++ == 0) object = true;
        return true;
    }
    bool on_object_end(std::size_t, Code&) { return --depth >= 0; }
    bool on_array_begin(Code&) { return ++depth > 0; }
    bool on_array_end(std::size_t, Code&) { return --depth >= 0; }
    bool on_key_part(Text, std::size_t, Code&) { return true; }
    bool on_key(Text, std::size_t, Code&) { return true; }
    bool on_string_part(Text, std::size_t, Code&) { return true; }
    bool on_string(Text, std::size_t, Code&) { return true; }
    bool on_number_part(Text, Code&) { return true; }
    bool on_int64(std::int64_t, Text, Code&) { return true; }
    bool on_uint64(std::uint64_t, Text, Code&) { return true; }
    bool on_double(double number, Text, Code& error) {
        // A number that no double holds reads as infinite, which cannot be written again.
        if (std::isfinite(number)) return true;
        error = boost::json::error::exponent_overflow;
        return false;
    }
    bool on_bool(bool, Code&) { return true; }
    bool on_null(Code&) { return true; }
    bool on_comment_part(Text, Code&) { return true; }
    bool on_comment(Text, Code&) { return true; }
};

bool reads(std::string_view text, bool as_object) {
    boost::json::parse_options options;
    options.max_depth = json_depth;
    boost::json::basic_parser<Reader> parser(options);
    boost::json::error_code error;
    const std::size_t used = parser.write_some(false, text.data(), text.size(), error);
    return !error && used == text.size() && (!as_object || parser.handler().object);
}

std::string at(std::string_view name, std::string inner) {
    // What comes from further in begins with a name or an index, or with the blank before its verb.
    const bool names = !inner.empty() && inner.front() != ' ' && inner.front() != '[';
    return std::string(name) + (names ? "." : "") + inner;
}

std::optional<std::string> find_flaw(const boost::json::value& value, std::size_t depth);

/// `depth`: how many values may still be nested here, this one included.
std::optional<std::string> find_flaw(const boost::json::object& object, std::size_t depth) {
    if (depth == 0) return " is nested deeper than " + std::to_string(json_depth) + " levels";
    for (const auto& [name, value] : object) {
        if (!is_utf8(name)) return " has a name that is not UTF-8";
        if (auto inner = find_flaw(value, depth - 1)) return at(cut(name, limits::name), std::move(*inner));
    }
    return std::nullopt;
}

std::optional<std::string> find_flaw(const boost::json::value& value, std::size_t depth) {
    if (const auto* object = value.if_object()) return find_flaw(*object, depth);
    if (const auto* array = value.if_array()) {
        if (depth == 0) return " is nested deeper than " + std::to_string(json_depth) + " levels";
        for (std::size_t i = 0; i < array->size(); ++i)
            if (auto inner = find_flaw((*array)[i], depth - 1))
                return at("[" + std::to_string(i) + "]", std::move(*inner));
        return std::nullopt;
    }
    if (const auto* text = value.if_string(); text && !is_utf8(*text)) return " is not UTF-8";
    if (const auto* number = value.if_double(); number && !std::isfinite(*number)) return " is not a finite number";
    return std::nullopt;
}

/// As a sentence, also where the value itself has the flaw.
std::optional<std::string> told(std::optional<std::string> flaw) {
    if (flaw && flaw->front() == ' ') flaw->insert(0, "it");
    return flaw;
}

}  // namespace

bool is_json(std::string_view text) { return reads(text, false); }
bool is_json_object(std::string_view text) { return reads(text, true); }

std::optional<std::string> flaw(const boost::json::value& value) { return told(find_flaw(value, json_depth)); }
std::optional<std::string> flaw(const boost::json::object& object) { return told(find_flaw(object, json_depth)); }

void mend(boost::json::object& fields) {
    const auto bad_name = [](const auto& field) { return !is_utf8(field.key()); };
    if (std::any_of(fields.begin(), fields.end(), bad_name)) {
        boost::json::object renamed;
        for (auto& [name, value] : fields) renamed[valid_utf8(name)] = std::move(value);
        fields = std::move(renamed);
    }
    for (auto& [name, value] : fields) {
        if (value.is_structured()) value = boost::json::string(to_text(value));
        if (value.is_string() && !is_utf8(value.get_string())) value = boost::json::string(valid_utf8(value.get_string()));
        if (value.is_double() && !std::isfinite(value.get_double())) value = nullptr;
    }
}

Result<boost::json::value> parse_json(std::string_view text) {
    boost::json::parse_options options;
    options.max_depth = json_depth;
    std::array<unsigned char, 2'048> room;  // Most texts are short, and a page of jobs has hundreds of them.
    boost::json::stream_parser parser({}, options, room.data(), room.size());
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

}  // namespace jobruntime::core
