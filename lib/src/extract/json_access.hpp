// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
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
/// Always finite: Boost.JSON reads 1e999 as infinity and 0e999 as not-a-number, which are nothing here.
inline double number_of(const boost::json::value& value) {
    const double number = value.is_number() ? value.to_number<double>() : 0;
    return std::isfinite(number) ? number : 0;
}
inline double number_at(const boost::json::object& object, std::string_view key) {
    const auto* value = object.if_contains({key.data(), key.size()});
    return value == nullptr ? 0 : number_of(*value);
}
/// The number without its fraction, or the nearest int.
inline int whole_at(const boost::json::object& object, std::string_view key) {
    constexpr double lowest = std::numeric_limits<int>::min(), highest = std::numeric_limits<int>::max();
    return static_cast<int>(std::clamp(number_at(object, key), lowest, highest));
}
inline bool flag_at(const boost::json::object& object, std::string_view key) {
    const auto* value = object.if_contains({key.data(), key.size()});
    return value != nullptr && value->is_bool() && value->get_bool();
}

}  // namespace jobruntime::extract
