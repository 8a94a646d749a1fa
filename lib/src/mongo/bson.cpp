// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "mongo/bson.hpp"

#include <cmath>
#include <limits>

#include "core/json.hpp"

namespace jobruntime::mongo {
namespace {

/// Whether a JSON value can be a field as it is, read back the same, and be seen by any server version.
bool fits(const boost::json::value& value) {
    if (const auto* object = value.if_object()) {
        for (const auto& [name, inner] : *object) {
            const std::string_view key(name);
            if (key.empty() || key.front() == '$' || key.find('.') != key.npos || key.find('\0') != key.npos)
                return false;
            if (!core::is_utf8(key) || !fits(inner)) return false;
        }
        return true;
    }
    if (const auto* array = value.if_array()) {
        for (const auto& inner : *array)
            if (!fits(inner)) return false;
        return true;
    }
    if (const auto* large = value.if_uint64())
        return *large <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    return true;
}

void append(Doc& into, std::string_view name, const boost::json::value& value) {
    switch (value.kind()) {
        case boost::json::kind::null: into.null(name); return;
        case boost::json::kind::bool_: into.flag(name, value.get_bool()); return;
        case boost::json::kind::double_: into.real(name, value.get_double()); return;
        case boost::json::kind::string: into.text(name, std::string_view(value.get_string())); return;
        case boost::json::kind::int64:
        case boost::json::kind::uint64: {
            const auto number =
                value.is_int64() ? value.get_int64() : static_cast<std::int64_t>(value.get_uint64());
            if (number >= std::numeric_limits<std::int32_t>::min() &&
                number <= std::numeric_limits<std::int32_t>::max())
                into.integer(name, static_cast<std::int32_t>(number));
            else
                into.number(name, number);
            return;
        }
        case boost::json::kind::object: {
            Doc inner;
            for (const auto& [key, field] : value.get_object()) append(inner, key, field);
            into.doc(name, inner);
            return;
        }
        case boost::json::kind::array: {
            Doc inner;
            std::size_t index = 0;
            for (const auto& element : value.get_array()) append(inner, std::to_string(index++), element);
            into.list(name, inner);
            return;
        }
    }
}

/// From here on a JSON value's size matters.
constexpr std::size_t much = 64 * 1024;

int length(std::string_view text) { return static_cast<int>(text.size()); }

}  // namespace

Doc& Doc::text(std::string_view name, std::string_view value) {
    if (bson_utf8_validate(value.data(), value.size(), true)) {
        bson_append_utf8(raw_, name.data(), length(name), value.data(), length(value));
    } else {
        const auto valid = core::valid_utf8(value);
        bson_append_utf8(raw_, name.data(), length(name), valid.data(), length(valid));
    }
    return *this;
}

Doc& Doc::integer(std::string_view name, std::int32_t value) {
    bson_append_int32(raw_, name.data(), length(name), value);
    return *this;
}

Doc& Doc::number(std::string_view name, std::int64_t value) {
    bson_append_int64(raw_, name.data(), length(name), value);
    return *this;
}

Doc& Doc::real(std::string_view name, double value) {
    bson_append_double(raw_, name.data(), length(name), value);
    return *this;
}

Doc& Doc::flag(std::string_view name, bool value) {
    bson_append_bool(raw_, name.data(), length(name), value);
    return *this;
}

Doc& Doc::time(std::string_view name, Time value) {
    bson_append_date_time(raw_, name.data(), length(name), value.time_since_epoch().count());
    return *this;
}

Doc& Doc::null(std::string_view name) {
    bson_append_null(raw_, name.data(), length(name));
    return *this;
}

Doc& Doc::bytes(std::string_view name, std::string_view value) {
    bson_append_binary(raw_, name.data(), length(name), BSON_SUBTYPE_BINARY,
                       reinterpret_cast<const std::uint8_t*>(value.data()),
                       static_cast<std::uint32_t>(value.size()));
    return *this;
}

Doc& Doc::doc(std::string_view name, const Doc& value) {
    bson_append_document(raw_, name.data(), length(name), value.raw());
    return *this;
}

Doc& Doc::list(std::string_view name, const Doc& value) {
    bson_append_array(raw_, name.data(), length(name), value.raw());
    return *this;
}

Doc& Doc::all_of(const Doc& other) {
    bson_concat(raw_, other.raw());
    return *this;
}

Doc& Doc::json(std::string_view name, const boost::json::value& value) {
    if (!fits(value)) return text(std::string(name) + "Text", core::to_text(value));
    Doc as_it_is;
    append(as_it_is, name, value);
    // Long lists of small things grow sixfold in BSON, and a document has its end.
    if (as_it_is.size() > much) {
        const auto as_text = core::to_text(value);
        if (as_it_is.size() > as_text.size() + as_text.size() / 4)
            return text(std::string(name) + "Text", as_text);
    }
    return all_of(as_it_is);
}

Doc& Doc::same(std::string_view name, const bson_iter_t& field) {
    bson_append_iter(raw_, name.data(), length(name), &field);
    return *this;
}

std::optional<View::Field> View::find(std::string_view name) const {
    Field field;
    if (!bson_iter_init_from_data(&field.at, data_, size_)) return std::nullopt;
    if (!bson_iter_find_w_len(&field.at, name.data(), length(name))) return std::nullopt;
    return field;
}

std::optional<std::string> View::as_text(const bson_iter_t& field) {
    if (!BSON_ITER_HOLDS_UTF8(&field)) return std::nullopt;
    std::uint32_t size = 0;
    const char* data = bson_iter_utf8(&field, &size);
    return std::string(data, size);
}

std::optional<std::string> View::text(std::string_view name) const {
    const auto field = find(name);
    return field ? as_text(field->at) : std::nullopt;
}

std::optional<std::int64_t> View::number(std::string_view name) const {
    const auto field = find(name);
    if (!field) return std::nullopt;
    if (BSON_ITER_HOLDS_INT32(&field->at)) return bson_iter_int32(&field->at);
    if (BSON_ITER_HOLDS_INT64(&field->at)) return bson_iter_int64(&field->at);
    if (BSON_ITER_HOLDS_DOUBLE(&field->at)) {
        const double value = bson_iter_double(&field->at);
        if (std::trunc(value) == value && std::abs(value) <= 0x1p53) return static_cast<std::int64_t>(value);
    }
    return std::nullopt;
}

std::optional<double> View::real(std::string_view name) const {
    const auto field = find(name);
    if (!field) return std::nullopt;
    if (BSON_ITER_HOLDS_DOUBLE(&field->at)) return bson_iter_double(&field->at);
    if (const auto whole = number(name)) return static_cast<double>(*whole);
    return std::nullopt;
}

std::optional<bool> View::flag(std::string_view name) const {
    const auto field = find(name);
    if (!field || !BSON_ITER_HOLDS_BOOL(&field->at)) return std::nullopt;
    return bson_iter_bool(&field->at);
}

std::optional<Time> View::time(std::string_view name) const {
    const auto field = find(name);
    if (!field || !BSON_ITER_HOLDS_DATE_TIME(&field->at)) return std::nullopt;
    return Time(Duration(bson_iter_date_time(&field->at)));
}

std::optional<View> View::as_doc(const bson_iter_t& field) {
    std::uint32_t size = 0;
    const std::uint8_t* data = nullptr;
    if (BSON_ITER_HOLDS_DOCUMENT(&field)) {
        bson_iter_document(&field, &size, &data);
        return View(data, size);
    }
    return std::nullopt;
}

std::optional<View> View::doc(std::string_view name) const {
    const auto field = find(name);
    return field ? as_doc(field->at) : std::nullopt;
}

std::optional<View> View::list(std::string_view name) const {
    const auto field = find(name);
    if (!field || !BSON_ITER_HOLDS_ARRAY(&field->at)) return std::nullopt;
    std::uint32_t size = 0;
    const std::uint8_t* data = nullptr;
    bson_iter_array(&field->at, &size, &data);
    return View(data, size);
}

boost::json::value View::as_json(const bson_iter_t& field) {
    switch (bson_iter_type(&field)) {
        case BSON_TYPE_UTF8: return boost::json::value(boost::json::string(*as_text(field)));
        case BSON_TYPE_INT32: return std::int64_t{bson_iter_int32(&field)};
        case BSON_TYPE_INT64: return bson_iter_int64(&field);
        case BSON_TYPE_DOUBLE: {
            const double value = bson_iter_double(&field);
            if (!std::isfinite(value)) return nullptr;  // Nothing that JSON knows.
            return value;
        }
        case BSON_TYPE_BOOL: return bson_iter_bool(&field);
        case BSON_TYPE_DATE_TIME:
            return boost::json::value(
                boost::json::string(to_iso(Time(Duration(bson_iter_date_time(&field))))));
        case BSON_TYPE_DOCUMENT: {
            boost::json::object object;
            as_doc(field)->each(
                [&](const bson_iter_t& inner) { object[bson_iter_key(&inner)] = as_json(inner); });
            return object;
        }
        case BSON_TYPE_ARRAY: {
            boost::json::array array;
            std::uint32_t size = 0;
            const std::uint8_t* data = nullptr;
            bson_iter_array(&field, &size, &data);
            View(data, size).each([&](const bson_iter_t& inner) { array.push_back(as_json(inner)); });
            return array;
        }
        default: return nullptr;  // Written by somebody else.
    }
}

std::optional<boost::json::value> View::json(std::string_view name) const {
    if (const auto as_it_is = find(name)) return as_json(as_it_is->at);
    const auto as_words = text(std::string(name) + "Text");
    if (!as_words) return std::nullopt;
    auto parsed = core::parse_json(*as_words);
    if (!parsed) return std::nullopt;
    return *std::move(parsed);
}

Doc View::copy() const {
    bson_t view;
    if (!bson_init_static(&view, data_, size_)) return Doc();
    return Doc(&view);
}

}  // namespace jobruntime::mongo
