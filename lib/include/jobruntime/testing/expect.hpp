// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <sstream>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <jobruntime/clock.hpp>
#include <jobruntime/id.hpp>
#include <jobruntime/result.hpp>

/// Checks for functions that return a Result, in any test framework or none.
///
///     JR_EXPECT(answer.state == JobState::queued);
///
/// returns, when it does not hold, an Errc::internal error from the enclosing function:
/// "file.cpp:12: answer.state == JobState::queued is false: running == queued".
namespace jobruntime::testing {

/// `value` for people, as far as it can be shown.
template <class T>
std::string show(const T& value);

namespace detail {

template <class T>
inline constexpr bool is_optional = false;
template <class T>
inline constexpr bool is_optional<std::optional<T>> = true;
template <class T>
inline constexpr bool is_vector = false;
template <class T>
inline constexpr bool is_vector<std::vector<T>> = true;
template <class T>
inline constexpr bool is_id = false;
template <class Tag>
inline constexpr bool is_id<Id<Tag>> = true;
template <class T>
inline constexpr bool is_result = false;
template <class T>
inline constexpr bool is_result<Result<T>> = true;

template <class T>
std::string show_result(const Result<T>& result) {
    if (!result) return std::string(to_string(result.error().code)) + " (" + result.error().message + ")";
    if constexpr (std::is_void_v<T>)
        return "ok";
    else
        return show(*result);
}

inline Error failure(const char* file, int line, const char* expression, const std::string& values) {
    std::string text = std::string(file) + ":" + std::to_string(line) + ": " + expression + " is false";
    if (!values.empty()) text += ": " + values;
    return {Errc::internal, "EXPECTATION_FAILED", std::move(text)};
}

template <class T>
inline constexpr bool is_number = std::is_integral_v<T> && !std::is_same_v<T, bool> && !std::is_same_v<T, char>;

/// Numbers compare by value, whatever their signs: `list.size() == 3` needs no suffix.
template <class A, class B>
bool equal(const A& a, const B& b) {
    if constexpr (is_number<A> && is_number<B>)
        return std::cmp_equal(a, b);
    else
        return a == b;
}
template <class A, class B>
bool less(const A& a, const B& b) {
    if constexpr (is_number<A> && is_number<B>)
        return std::cmp_less(a, b);
    else
        return a < b;
}

/// What the expression gave: whether it holds, and what there is to show if not.
struct Verdict {
    bool holds = false;
    std::string values;
};

template <class Left>
struct Half {
    const Left& left;

    template <class Right>
    Verdict answer(bool holds, const Right& right, const char* sign) const {
        if (holds) return {true, {}};
        return {false, show(left) + " " + sign + " " + show(right)};
    }
    template <class Right>
    Verdict operator==(const Right& right) const {
        return answer(equal(left, right), right, "==");
    }
    template <class Right>
    Verdict operator!=(const Right& right) const {
        return answer(!equal(left, right), right, "!=");
    }
    template <class Right>
    Verdict operator<(const Right& right) const {
        return answer(less(left, right), right, "<");
    }
    template <class Right>
    Verdict operator<=(const Right& right) const {
        return answer(!less(right, left), right, "<=");
    }
    template <class Right>
    Verdict operator>(const Right& right) const {
        return answer(less(right, left), right, ">");
    }
    template <class Right>
    Verdict operator>=(const Right& right) const {
        return answer(!less(left, right), right, ">=");
    }
    operator Verdict() const {
        if (static_cast<bool>(left)) return {true, {}};
        return {false, show(left)};
    }
};

/// Takes the left side of a comparison apart from its right one.
struct Decompose {
    template <class Left>
    Half<Left> operator<<(const Left& left) const {
        return {left};
    }
};

}  // namespace detail

template <class T>
std::string show(const T& value) {
    if constexpr (std::is_same_v<T, bool>)
        return value ? "true" : "false";
    else if constexpr (std::is_convertible_v<const T&, std::string_view>)
        return "\"" + std::string(std::string_view(value)) + "\"";
    else if constexpr (std::is_same_v<T, Time>)
        return to_iso(value);
    else if constexpr (std::is_same_v<T, Duration>)
        return std::to_string(value.count()) + " ms";
    else if constexpr (std::is_same_v<T, std::nullopt_t>)
        return "nothing";
    else if constexpr (detail::is_id<T>)
        return value.str();
    else if constexpr (detail::is_result<T>)
        return detail::show_result(value);
    else if constexpr (detail::is_optional<T>)
        return value ? show(*value) : "nothing";
    else if constexpr (detail::is_vector<T>) {
        std::string text = "[";
        for (const auto& item : value) text += (text.size() > 1 ? ", " : "") + show(item);
        return text + "]";
    } else if constexpr (requires { std::string(to_string(value)); })
        return std::string(to_string(value));
    else if constexpr (std::is_enum_v<T>)
        return std::to_string(static_cast<long long>(value));
    else if constexpr (requires(std::ostream& out) { out << value; }) {
        std::ostringstream out;
        out << value;
        return out.str();
    } else
        return "?";
}

}  // namespace jobruntime::testing

/// clang warns of every comparison behind a shift; here it is what is meant.
#if defined(__clang__)
#define JR_DECOMPOSED(...)                                                                              \
    _Pragma("clang diagnostic push") _Pragma("clang diagnostic ignored \"-Woverloaded-shift-op-parentheses\"") \
        ::jobruntime::testing::detail::Decompose{} << __VA_ARGS__ _Pragma("clang diagnostic pop")
#else
#define JR_DECOMPOSED(...) ::jobruntime::testing::detail::Decompose{} << __VA_ARGS__
#endif

/// Returns an error from the enclosing function unless the expression holds: a comparison, or
/// anything that converts to bool (a Result shows its error).
#define JR_EXPECT(...)                                                                                              \
    do {                                                                                                            \
        const ::jobruntime::testing::detail::Verdict jr_verdict_ = JR_DECOMPOSED(__VA_ARGS__);                       \
        if (!jr_verdict_.holds)                                                                                     \
            return ::jobruntime::testing::detail::failure(__FILE__, __LINE__, #__VA_ARGS__, jr_verdict_.values);    \
    } while (false)
