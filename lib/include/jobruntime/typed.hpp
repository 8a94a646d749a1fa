// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include <boost/describe.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <boost/mp11/algorithm.hpp>

#include <jobruntime/job.hpp>
#include <jobruntime/result.hpp>

/// Jobs as structs. Describe one, name its kind, and enqueue and handle it as what it is:
///
///     struct Welcome { static constexpr auto kind = "mail.welcome"; std::string to; };
///     BOOST_DESCRIBE_STRUCT(Welcome, (), (to))
///
/// A member may be a bool, a number, a std::string, a described enum (by name), std::optional, std::vector,
/// std::map with string keys, boost::json::value or object, another described struct, and any nesting of these.
///
/// Reading is made for programs of two versions side by side: fields that the struct does not have are
/// ignored, and an optional that is missing or null is empty. Every other member must be there and fit
/// (a number must not overflow its type, 2.5 is no int). An error names the field: "payload.to: expected a string".
namespace jobruntime {

namespace detail {

template <class T>
inline constexpr bool is_typed_optional = false;
template <class T>
inline constexpr bool is_typed_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_typed_vector = false;
template <class T>
inline constexpr bool is_typed_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_typed_map = false;
template <class T>
inline constexpr bool is_typed_map<std::map<std::string, T>> = true;
template <class>
inline constexpr bool not_convertible = false;

template <class T>
concept DescribedStruct = std::is_class_v<T> && boost::describe::has_describe_members<T>::value;
template <class T>
concept DescribedEnum = std::is_enum_v<T> && boost::describe::has_describe_enumerators<T>::value;

template <class T>
using MembersOf = boost::describe::describe_members<T, boost::describe::mod_public | boost::describe::mod_inherited>;

/// Where in a payload something is; a chain through the callers' frames, made into text for errors only.
struct Path {
    const Path* parent = nullptr;
    std::string_view name;
    std::size_t index = 0;  ///< When there is no name.

    std::string text() const {
        if (!parent) return std::string(name);
        return name.data() ? parent->text() + "." + std::string(name)
                           : parent->text() + "[" + std::to_string(index) + "]";
    }
    Error expected(std::string_view what) const {
        return {Errc::invalid_argument, "INVALID_PAYLOAD", text() + ": expected " + std::string(what)};
    }
};

template <class T>
boost::json::value to_value(const T& from) {
    if constexpr (std::is_same_v<T, boost::json::value> || std::is_same_v<T, boost::json::object> ||
                  std::is_same_v<T, bool> || std::is_arithmetic_v<T>)
        return from;
    else if constexpr (std::is_same_v<T, std::string>)
        return boost::json::string_view(from);
    else if constexpr (is_typed_optional<T>)
        return from ? to_value(*from) : boost::json::value(nullptr);
    else if constexpr (is_typed_vector<T>) {
        boost::json::array list;
        list.reserve(from.size());
        for (const auto& item : from) list.push_back(to_value<typename T::value_type>(item));
        return list;
    } else if constexpr (is_typed_map<T>) {
        boost::json::object map;
        for (const auto& [name, value] : from) map.emplace(name, to_value(value));
        return map;
    } else if constexpr (DescribedEnum<T>) {
        // A value without a name is kept as its number.
        const char* name = boost::describe::enum_to_string(from, nullptr);
        if (!name) return static_cast<std::int64_t>(from);
        return boost::json::string_view(name);
    } else if constexpr (DescribedStruct<T>) {
        boost::json::object object;
        boost::mp11::mp_for_each<MembersOf<T>>(
            [&](auto member) { object.emplace(member.name, to_value(from.*member.pointer)); });
        return object;
    } else
        static_assert(not_convertible<T>, "typed.hpp says which types a payload's members may have");
}

template <class T>
std::optional<Error> read(const boost::json::value& from, const Path& path, T& into);

template <class T>
std::optional<Error> read_number(const boost::json::value& from, const Path& path, T& into) {
    if constexpr (std::is_floating_point_v<T>) {
        if (!from.is_number()) return path.expected("a number");
        into = from.to_number<T>();
        return std::nullopt;
    } else {
        constexpr double two_53 = 9007199254740992.0;
        const double* real = from.if_double();
        if (real && std::trunc(*real) == *real && std::fabs(*real) <= two_53)  // 3.0 is a whole number to other languages.
            return read_number(boost::json::value(static_cast<std::int64_t>(*real)), path, into);
        if (const auto* whole = from.if_int64(); whole && std::in_range<T>(*whole))
            into = static_cast<T>(*whole);
        else if (const auto* large = from.if_uint64(); large && std::in_range<T>(*large))
            into = static_cast<T>(*large);
        else
            return path.expected("a whole number from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
                                 std::to_string(std::numeric_limits<T>::max()));
        return std::nullopt;
    }
}

template <class T>
std::optional<Error> read_enum(const boost::json::value& from, const Path& path, T& into) {
    const auto* name = from.if_string();
    if (name && boost::describe::enum_from_string(std::string(*name).c_str(), into)) return std::nullopt;
    std::string names;
    boost::mp11::mp_for_each<boost::describe::describe_enumerators<T>>(
        [&](auto known) { names += (names.empty() ? "" : ", ") + std::string(known.name); });
    return path.expected("one of " + names);
}

template <class T>
std::optional<Error> read_struct(const boost::json::object& from, const Path& path, T& into) {
    std::optional<Error> error;
    boost::mp11::mp_for_each<MembersOf<T>>([&](auto member) {
        if (error) return;
        auto& field = into.*member.pointer;
        using Field = std::remove_reference_t<decltype(field)>;
        const Path here{&path, member.name, 0};
        const auto* value = from.if_contains(member.name);
        if (value)
            error = read(*value, here, field);
        else if constexpr (!is_typed_optional<Field>)
            error = Error{Errc::invalid_argument, "INVALID_PAYLOAD", here.text() + ": is missing"};
    });
    return error;
}

template <class T>
std::optional<Error> read(const boost::json::value& from, const Path& path, T& into) {
    if constexpr (std::is_same_v<T, boost::json::value>) {
        into = from;
    } else if constexpr (std::is_same_v<T, bool>) {
        if (!from.is_bool()) return path.expected("true or false");
        into = from.get_bool();
    } else if constexpr (std::is_arithmetic_v<T>) {
        return read_number(from, path, into);
    } else if constexpr (std::is_same_v<T, std::string>) {
        if (!from.is_string()) return path.expected("a string");
        into = std::string(from.get_string());
    } else if constexpr (DescribedEnum<T>) {
        return read_enum(from, path, into);
    } else if constexpr (is_typed_optional<T>) {
        if (from.is_null()) {
            into.reset();
            return std::nullopt;
        }
        return read(from, path, into.emplace());
    } else if constexpr (is_typed_vector<T>) {
        if (!from.is_array()) return path.expected("a list");
        into.clear();
        for (const auto& item : from.get_array()) {
            typename T::value_type element{};  // Not in place: a vector of bools hands out no references.
            if (auto error = read(item, Path{&path, {}, into.size()}, element)) return error;
            into.push_back(std::move(element));
        }
    } else {
        if (!from.is_object()) return path.expected("an object");
        const auto& object = from.get_object();
        if constexpr (std::is_same_v<T, boost::json::object>) {
            into = object;
        } else if constexpr (is_typed_map<T>) {
            into.clear();
            for (const auto& [name, value] : object)
                if (auto error = read(value, Path{&path, name, 0}, into[std::string(name)])) return error;
        } else if constexpr (DescribedStruct<T>) {
            return read_struct(object, path, into);
        } else
            static_assert(not_convertible<T>, "typed.hpp says which types a payload's members may have");
    }
    return std::nullopt;
}

}  // namespace detail

/// A described struct that says which kind of job it is.
template <class T>
concept TypedJob = detail::DescribedStruct<T> && std::default_initializable<T> && requires {
    { T::kind } -> std::convertible_to<std::string_view>;
};

/// The payload of a described struct.
template <detail::DescribedStruct T>
boost::json::object to_payload(const T& job) {
    return std::move(detail::to_value(job).as_object());
}

/// A described struct from a payload. Errc::invalid_argument (INVALID_PAYLOAD) names the first field that does not fit.
template <detail::DescribedStruct T>
Result<T> from_payload(const boost::json::object& payload) {
    T job{};
    if (auto error = detail::read_struct(payload, detail::Path{nullptr, "payload", 0}, job)) return *std::move(error);
    return job;
}

/// What JobQueue::enqueue(T) and Worker::on<T> convert with.
template <class T>
struct Typed {
    static_assert(TypedJob<T>, "describe the struct with BOOST_DESCRIBE_STRUCT and give it a static constexpr kind");
    static boost::json::object to_payload(const T& job) { return jobruntime::to_payload(job); }
    static Result<T> from_payload(const boost::json::object& payload) { return jobruntime::from_payload<T>(payload); }
};

}  // namespace jobruntime
