// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

// Reading JSON that somebody else wrote: a member that is missing or of another type is empty.
namespace jobruntime::extract {

inline std::string_view text_of(const boost::json::value& value) {
    if (!value.is_string()) return {};
    const auto& text = value.get_string();
    return {text.data(), text.size()};
}
inline std::string_view text_at(const boost::json::object& object, std::string_view key) {
    const auto* value = object.if_contains({key.data(), key.size()});
    return value == nullptr ? std::string_view{} : text_of(*value);
}
inline const boost::json::object* object_at(const boost::json::object& object, std::string_view key) {
    const auto* value = object.if_contains({key.data(), key.size()});
    return value == nullptr ? nullptr : value->if_object();
}
inline const boost::json::array* array_at(const boost::json::object& object, std::string_view key) {
    const auto* value = object.if_contains({key.data(), key.size()});
    return value == nullptr ? nullptr : value->if_array();
}
inline double number_at(const boost::json::object& object, std::string_view key) {
    const auto* value = object.if_contains({key.data(), key.size()});
    if (value == nullptr) return 0;
    if (value->is_int64()) return static_cast<double>(value->get_int64());
    if (value->is_uint64()) return static_cast<double>(value->get_uint64());
    return value->is_double() ? value->get_double() : 0;
}
inline bool flag_at(const boost::json::object& object, std::string_view key) {
    const auto* value = object.if_contains({key.data(), key.size()});
    return value != nullptr && value->is_bool() && value->get_bool();
}

}  // namespace jobruntime::extract
