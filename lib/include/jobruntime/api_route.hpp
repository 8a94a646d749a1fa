// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/export.hpp>

namespace jobruntime {

struct Request;
struct Response;
struct RouteMatch;

/// What a caller may do; each may what the one before it may. `anyone` needs no token.
enum class Role : std::uint8_t { anyone, read, operate, admin };
JOBRUNTIME_API std::string_view to_string(Role role) noexcept;
/// "read", "operate" or "admin".
JOBRUNTIME_API std::optional<Role> parse_role(std::string_view text) noexcept;

/// One named value of a request or an answer. Requests are checked by it before a handler is asked, and /openapi.json and
/// the tables of docs/api.md are made from it.
struct RouteField {
    enum class Type : std::uint8_t {
        text,     ///< Of `least` to `most` bytes.
        name,     ///< Of a kind or a queue: `[a-z0-9._-]{1,64}`.
        choice,   ///< One of `choices`.
        number,   ///< A whole number from `least` to `most`.
        real,     ///< Any number.
        boolean,  ///< true or false; in a query also 1 or 0.
        time,     ///< ISO text, e.g. 2026-03-01T12:00:00.000Z.
        duration, ///< "30s" or "500ms"; `least` and `most` count milliseconds.
        id,       ///< Of a job or of a session, 36 characters.
        object,   ///< With these `members` and no others; without any: free.
        any,      ///< Whatever the handler makes of it.
    };
    static constexpr std::int64_t largest = (std::int64_t{1} << 53) - 1;  ///< That every reader of JSON holds exactly.

    std::string name;
    Type type = Type::text;
    std::string about{};                 ///< For people; part of a sentence, without a full stop.
    bool required = false;
    bool several = false;                ///< A list of these; in a query separated by commas.
    bool nullable = false;               ///< Of an answer: may be null.
    std::int64_t least = 0, most = largest;
    std::size_t most_items = 0;          ///< several: at most so many; 0 = no bound of its own.
    std::string fallback{};              ///< What counts when it is not given, as text; empty = nothing.
    std::vector<std::string> choices{};
    std::vector<RouteField> members{};   ///< Of an object.
    std::string shape{};                 ///< Of an answer: an object of that named shape (ApiRouter::shapes).
    std::string code = "INVALID_ARGUMENT";  ///< Of the error that refuses a wrong value.
};

/// What a value of the field may be, in words: "a whole number from 1 to 1000".
JOBRUNTIME_API std::string expected(const RouteField& field, bool in_query);

/// One answer of a route that is no error.
struct RouteAnswer {
    int status = 200;
    std::string about{};
    std::vector<RouteField> members{};   ///< Of its JSON object.
    std::string content_type = "application/json";
};

/// An object that several answers have, by name.
struct RouteShape {
    std::string name;
    std::vector<RouteField> members;
};

/// A row of the list of codes that errors carry.
struct ErrorCode {
    int status = 500;
    std::string code;
    std::string when;
};

/// One row of the table of routes, from which dispatch, 404/405, the checks of role and parameters and the documents come.
struct Route {
    std::string method;             ///< "GET" (which also serves HEAD), "POST", "PATCH", "DELETE".
    std::string path;               ///< "/api/jobs/:id", or "/downloads/*rest" for all that follows.
    Role role = Role::read;
    std::string summary;            ///< One sentence for the documents.
    std::vector<RouteField> query{};  ///< Names that it knows; others, and values that do not fit, are refused.
    std::function<Response(const Request&, const RouteMatch&)> handle{};
    std::vector<RouteField> names{};    ///< Of the path; one that does not fit is 404. Those left out are any text.
    std::vector<RouteField> headers{};  ///< That its handler reads besides; for the documents.
    /// Members of its JSON body, which is read strictly, checked like the query and found in RouteMatch::body; no body is
    /// an empty object. Unset: the handler reads what comes by itself.
    std::optional<std::vector<RouteField>> body{};
    bool form = false;                  ///< An HTML form may come instead; the handler reads it by itself.
    std::vector<RouteAnswer> answers{};
    std::vector<std::string> errors{};  ///< Codes besides those that its role, parameters and the store bring.
    /// Its answer depends on its target and on what is stored alone, but for a moment or so: it may be given again while
    /// nothing has changed (Store::stamp).
    bool steady = false;
    bool storeless = false;             ///< Answered without waiting for the store, so also while that hangs.
};

}  // namespace jobruntime
