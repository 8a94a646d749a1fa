// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include <jobruntime/export.hpp>

namespace jobruntime {

/// What went wrong, sorted by what the caller can do about it. The numbers are part of
/// the C ABI and never change.
enum class Errc : int {
    invalid_argument = 1,  ///< The call itself is wrong; repeating it cannot help.
    not_found = 2,         ///< The named thing is not there.
    conflict = 3,          ///< Somebody else got there first, or the state forbids it.
    unavailable = 4,       ///< The store or the network does not answer now; try again later.
    timed_out = 5,         ///< The time given for it ran out.
    canceled = 6,          ///< A stop was requested while it ran.
    unsupported = 7,       ///< This build, store or platform cannot do it.
    corrupt = 8,           ///< Stored data is not what it should be; nothing was changed.
    internal = 9,          ///< A bug here. Please report it.
    full = 10,             ///< No space: a disk, or a limit that the message names.
};

/// The name of a code as the enumerator is spelled, e.g. "not_found".
JOBRUNTIME_API std::string_view to_string(Errc code) noexcept;

/// One failure: what happened, to what, and what to do about it.
struct Error {
    Errc code = Errc::internal;
    std::string name;     ///< UPPER_SNAKE for programs and APIs, e.g. "AUTH_REQUIRED"; may be empty.
    std::string message;  ///< For people, in English, without a full stop. Never parsed.

    Error() = default;
    Error(Errc why, std::string text) : code(why), message(std::move(text)) {}
    Error(Errc why, std::string id, std::string text)
        : code(why), name(std::move(id)), message(std::move(text)) {}
    bool operator==(const Error&) const = default;
};

/// What value() throws on an error; what() says its code, name and message, so that a program which does not
/// catch it ends with the reason.
class JOBRUNTIME_API BadResult : public std::logic_error {
public:
    explicit BadResult(const Error& error);
};

/// Throws BadResult; apart from the templates, so that they stay small.
[[noreturn]] JOBRUNTIME_API void throw_bad_result(const Error& error);

/// A value, or the reason why there is none. The names are std::expected's, so that it can
/// be replaced by it in C++23. A dropped Result is a compiler warning. `value()` on an
/// error is a bug of the caller: it throws BadResult.
template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
    template <class U>
        requires(std::is_convertible_v<U &&, T> && !std::is_same_v<std::remove_cvref_t<U>, Result> &&
                 !std::is_same_v<std::remove_cvref_t<U>, Error> && !std::is_same_v<std::remove_cvref_t<U>, T>)
    Result(U&& value) : state_(std::in_place_index<0>, std::forward<U>(value)) {}

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    T& value() & { return checked(), std::get<0>(state_); }
    const T& value() const& { return checked(), std::get<0>(state_); }
    T&& value() && { return checked(), std::get<0>(std::move(state_)); }
    template <class U>
    T value_or(U&& other) const& {
        return has_value() ? value() : static_cast<T>(std::forward<U>(other));
    }

    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const Error& error() const& { return std::get<1>(state_); }
    Error&& error() && { return std::get<1>(std::move(state_)); }

private:
    void checked() const {
        if (!has_value()) throw_bad_result(error());
    }

    std::variant<T, Error> state_;
};

/// Success without a value, or the reason why not: `return {};` or `return Error{…};`.
template <>
class [[nodiscard]] Result<void> {
public:
    Result() = default;
    Result(Error error) : error_(std::move(error)) {}

    bool has_value() const noexcept { return !error_; }
    explicit operator bool() const noexcept { return has_value(); }
    void value() const {
        if (!has_value()) throw_bad_result(*error_);
    }
    const Error& error() const& { return *error_; }
    Error&& error() && { return std::move(*error_); }

private:
    std::optional<Error> error_;
};

}  // namespace jobruntime

/// Returns the error of `expression` from the enclosing function, which returns a Result.
#define JR_TRY(expression)                                              \
    do {                                                                \
        if (auto jr_try_ = (expression); !jr_try_) return std::move(jr_try_).error(); \
    } while (false)
