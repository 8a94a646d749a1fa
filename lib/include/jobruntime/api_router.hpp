// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <boost/json/object.hpp>

#include <jobruntime/clock.hpp>
#include <jobruntime/event.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/store.hpp>

namespace jobruntime {

/// One HTTP request as a value. The host has checked its framing and sizes.
struct Request {
    std::string method = "GET";
    std::string target = "/";                         ///< Path and query as sent.
    std::vector<std::pair<std::string, std::string>> headers;  ///< Names lower-case.
    std::string body;
    std::string remote;                               ///< Address of the peer, for logs.

    /// The first header of that (lower-case) name; empty when there is none.
    JOBRUNTIME_API std::string_view header(std::string_view name) const;
};

/// Part of a file, sent as it is.
struct FileSlice {
    std::string path;
    std::uint64_t offset = 0;
    std::uint64_t length = 0;
};

/// A stream of server-sent events, described: the host does the sending.
struct EventStream {
    EventFilter filter;
    std::optional<EventId> after;   ///< Resume after this; unset = the last `history` events first.
    int history = 200;
};

struct Response {
    int status = 200;
    std::vector<std::pair<std::string, std::string>> headers;
    std::variant<std::string, std::shared_ptr<const std::string>, FileSlice, EventStream> body;

    JOBRUNTIME_API static Response json(int status, boost::json::object object);
    /// {"ok":false,"code":…,"error":…} and whatever `more` adds.
    JOBRUNTIME_API static Response error(int status, std::string_view code, std::string_view message,
                                       boost::json::object more = {});
};

/// What the path's `:names` and the query held, decoded.
struct RouteMatch {
    std::map<std::string, std::string, std::less<>> path;
    std::map<std::string, std::string, std::less<>> query;
    std::string trace_id;           ///< Of the request, or a new one.
};

enum class Role : std::uint8_t { anyone, read, operate, admin };

/// One row of the table of routes, from which dispatch, 404/405 and the documents come.
struct Route {
    std::string method;             ///< "GET" (which also serves HEAD), "POST", "PATCH", "DELETE".
    std::string path;               ///< "/api/jobs/:id", or "/downloads/*rest" for all that follows.
    Role role = Role::read;
    std::string summary;            ///< One sentence for the documents.
    std::vector<std::string> query; ///< Names it knows; others are refused with INVALID_ARGUMENT.
    std::function<Response(const Request&, const RouteMatch&)> handle;
};

struct ApiOptions {
    std::string service = "jobrt";                ///< The name in /api/health.
    std::string version;
    std::string role = "combined";
    Duration lease{30'000};
    Duration stale_after{120'000};                ///< Worker health: older beats are not ok.
    std::vector<std::string> allowed_hosts;       ///< Host names besides loopback ones; a port in them is optional.
    std::vector<std::string> allowed_origins;     ///< Origins besides the request's own host.
    Clock* clock = nullptr;                       ///< nullptr = system_clock().
    std::optional<std::uint64_t> seed;            ///< For trace ids.
    /// Adds members to a job's JSON (url, outputPath, …); empty = none.
    std::function<void(const Job&, boost::json::object&)> decorate;
    boost::json::object status;                   ///< Further members of /api/status (store, downloadDir, …).
};

/// The HTTP API as a function of values: no socket, no thread. Core's routes are about jobs of any kind; a program
/// adds its own to the same table. Thread-safe once the last route was added. Never throws: a handler's exception is
/// a 500 INTERNAL without its text.
///
/// Checks, before any route: Host allow-list (421), for unsafe methods JSON content type (415) and Sec-Fetch-Site or
/// Origin (403); JSON depth 32. /api/health and /api/worker/health need no listed Host.
class JOBRUNTIME_API ApiRouter {
public:
    ApiRouter(JobQueue& queue, ApiOptions options = {});
    ~ApiRouter();

    /// Adds a route; one of the same method and path replaces the earlier.
    void add(Route route);
    const std::vector<Route>& routes() const;
    /// The answer; headers x-trace-id, cache and security are filled in.
    Response handle(const Request& request);

    /// The job as the API shows it (OPERATOR-visible names; `waiting_for` "" = null).
    boost::json::object job_json(const Job& job, std::string_view waiting_for) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// Percent-decoding of one path segment or query value; unset for a bad escape. `plus_is_space` for queries.
JOBRUNTIME_API std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

}  // namespace jobruntime
