// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/json_path.hpp"

#include <charconv>
#include <cmath>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include "extract/json_access.hpp"

namespace jobruntime::extract {

namespace {

void walk(const boost::json::value& value, std::string_view path, int& left,
          const std::function<void(const boost::json::value&)>& found) {
    if (left <= 0) return;
    if (path.empty()) {
        --left;
        found(value);
        return;
    }
    const auto slash = path.find('/');
    const auto segment = path.substr(0, slash);
    const auto rest = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
    if (const auto* object = value.if_object()) {
        if (const auto* member = object->if_contains({segment.data(), segment.size()}))
            walk(*member, rest, left, found);
        else if (segment == "*")
            for (const auto& [name, each] : *object) walk(each, rest, left, found);
        return;
    }
    const auto* array = value.if_array();
    if (array == nullptr) return;
    if (segment == "*") {
        for (const auto& element : *array) walk(element, rest, left, found);
        return;
    }
    std::size_t index = 0;
    const auto [end, failed] = std::from_chars(segment.data(), segment.data() + segment.size(), index);
    if (failed == std::errc{} && end == segment.data() + segment.size() && index < array->size())
        walk((*array)[index], rest, left, found);
}

}  // namespace

void each_at(const boost::json::value& root, std::string_view path,
             const std::function<void(const boost::json::value&)>& found) {
    int left = 256;
    walk(root, path, left, found);
}

const boost::json::value* first_at(const boost::json::value& root, const JsonPaths& paths) {
    const boost::json::value* first = nullptr;
    for (const auto& path : paths) {
        each_at(root, path, [&](const boost::json::value& value) {
            if (first == nullptr && !value.is_null()) first = &value;
        });
        if (first != nullptr) break;
    }
    return first;
}

std::string scalar_text(const boost::json::value& value) {
    if (value.is_string()) return std::string(value.get_string());
    if (value.is_number() || value.is_bool()) return boost::json::serialize(value);
    return {};
}

double scalar_number(const boost::json::value& value) {
    if (value.is_number()) return number_of(value);
    if (!value.is_string()) return 0;
    const auto& text = value.get_string();
    double number = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
    return failed == std::errc{} && end == text.data() + text.size() && std::isfinite(number) ? number : 0;
}

}  // namespace jobruntime::extract
