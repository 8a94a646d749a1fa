// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <boost/json/object.hpp>

#include <jobruntime/api_route.hpp>
#include <jobruntime/clock.hpp>
#include <jobruntime/event.hpp>
#include <jobruntime/export.hpp>
#include <jobruntime/job_queue.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/store.hpp>
#include <jobruntime/telemetry_sink.hpp>

namespace jobruntime {

/// One HTTP request as a value. The host has checked its framing and sizes.
struct Request {
    std::string method = "GET";
    std::string target = "/";                         ///< Path and query as sent.
    std::vector<std::pair<std::string, std::string>> headers;  ///< Names lower-case.
    std::string body;
    std::string remote;                               ///< Address of the peer, for logs.
    /// Whether it may be kept waiting for its answer (Later).
    enum class Patience : std::uint8_t {
        none,  ///< It is answered at once, by what is so now.
        some,  ///< The answer may be a Later.
        over,  ///< It has waited, and is answered now.
    };
    Patience patience = Patience::none;

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
    /// Asked with every heartbeat; once it says no, the stream ends. Empty = for ever.
    std::function<bool()> still_allowed;
};

/// No answer yet; only a request with Patience::some gets it. The host keeps the request without a thread and asks for it
/// again when something has happened that may have brought the answer, and with Patience::over at the end of `patience` or
/// when it stops.
struct Later {
    Duration patience{};             ///< From the first asking on.
    std::optional<Duration> again;   ///< Ask again after this in any case.
    JobId job;                       ///< Ask again after an event of this job,
    bool ended = false;              ///< or only after one that says that it has ended or was deleted.
    std::string queue;               ///< Without a job: after an event that a job of this queue
    std::vector<std::string> kinds;  ///< and of one of these kinds waits; one such event is for one request.
};

struct Response {
    int status = 200;
    std::vector<std::pair<std::string, std::string>> headers;
    std::variant<std::string, std::shared_ptr<const std::string>, FileSlice, EventStream, Later> body;

    JOBRUNTIME_API static Response json(int status, boost::json::object object);
    /// {"ok":false,"code":…,"error":…} and whatever `more` adds.
    JOBRUNTIME_API static Response error(int status, std::string_view code, std::string_view message,
                                       boost::json::object more = {});
};

/// Who asks: the holder of a token or, where tokens are not asked for, whoever reaches the server's address.
struct Caller {
    std::string id;                 ///< Of the token, no secret; empty where there are none.
    std::string name = "local";     ///< For the audit.
    Role role = Role::admin;
};

/// What the path's `:names`, the query and the body held, decoded and checked by the route's row.
struct RouteMatch {
    std::map<std::string, std::string, std::less<>> path;
    std::map<std::string, std::string, std::less<>> query;
    boost::json::object body;       ///< Of a route whose row says what its body may have.
    std::string trace_id;           ///< Of the request (x-trace-id, else traceparent), or a new one.
    Caller caller;
    Actor by{};                     ///< The same and where from, for what the route changes; only of those that change.
    bool at_once = false;           ///< The store answered a moment ago, which is to do: the route must not wait for it.

    /// The value of that query name; unset when the request has none.
    JOBRUNTIME_API std::optional<std::string_view> query_value(std::string_view name) const;
};

/// Whom the API answers besides programs of this machine and its own pages.
struct ApiAllowed {
    std::vector<std::string> hosts;         ///< As ApiOptions::allowed_hosts.
    std::vector<std::string> origins;       ///< As ApiOptions::allowed_origins.
    std::vector<std::string> cors_origins;  ///< As ApiOptions::cors_origins.
};

struct ApiOptions {
    std::string service = "jobrt";                ///< The name in /api/health.
    std::string version{};
    std::string role = "combined";
    Duration lease{30'000};                       ///< A worker silent for longer is not counted as live.
    Duration stale_after{120'000};                ///< Worker health: older beats are not ok.
    std::vector<std::string> allowed_hosts{};       ///< Host names besides loopback ones; a port in them is optional.
    std::vector<std::string> allowed_origins{};     ///< Origins besides the request's own host.
    /// Origins whose pages may use this API with a token of their own (CORS); "https://ops.example". Empty = none.
    std::vector<std::string> cors_origins{};
    Clock* clock = nullptr;                       ///< nullptr = system_clock().
    std::optional<std::uint64_t> seed{};            ///< For trace ids.
    /// Whose token this is; nothing for a wrong one. Set, it guards every route by its role: 401 without a good token,
    /// 403 for one that may less. Empty = all who reach the server's address may do everything, so http::Server then binds
    /// to loopback only. Called for each request but looks at health, which are anyone's, from several threads, and soon
    /// done, because a host may call it in the thread that has all connections; compares in constant time. What it throws is
    /// a 500, and the end of a stream.
    std::function<std::optional<Caller>(std::string_view token)> authenticate{};
    /// Gets an audit event for every change that a known caller asked for, done or refused: api.change.done or
    /// api.change.refused with caller, tokenId, callerRole, from (and forwardedFor, as claimed), method, path, status, code;
    /// the job's id where there is one. Of wrong tokens it gets api.login.refused, few however many are tried. Secrets are
    /// hidden. nullptr = no audit. It outlives the router.
    TelemetrySink* sink = nullptr;
    /// Added to the sentence of STORE_UNAVAILABLE: which host, which setting to check. Without secrets.
    std::string store_hint{};
    /// Adds members to a job's JSON (url, outputPath, …) or replaces them; empty = none.
    std::function<void(const Job&, boost::json::object&)> decorate{};
    std::vector<RouteField> decorated{};            ///< What it adds, for the documents.
    /// A job was deleted by DELETE /api/jobs/:id or POST /api/jobs/bulk: the job as it was, with all parts but steps.
    /// Further query names of both go into `delete_query`.
    std::function<void(const Job&, const RouteMatch&)> deleted{};
    std::vector<RouteField> delete_query{};
    boost::json::object status{};                   ///< Further members of /api/status (downloadDir, …) …
    std::function<void(boost::json::object&)> status_now{};  ///< … and those that are looked up for each answer; empty = none.
    std::function<void(std::string_view line)> log{};  ///< What only an operator may read, e.g. a handler's exception.
};

/// What POST /api/jobs says when the unique key is taken, and what may be done instead.
struct CreateRules {
    std::string active_code = "CONFLICT";     ///< The other job is scheduled, queued or running.
    std::string finished_code = "CONFLICT";   ///< It has ended, and its key still counts.
    /// Asked about a job that has ended and holds the key: true = run that one again, from the start, with its own
    /// id (201, "requeued":true) instead of refusing. Empty = never.
    std::function<bool(const Job&)> requeue{};
};

/// The HTTP API as a function of values, without a socket. Core's routes are about jobs of any kind; a program
/// adds its own to the same table. Thread-safe once the last route was added. Never throws: a handler's exception is
/// a 500 INTERNAL without its text.
///
/// Checks, before any route: Host allow-list (421), Sec-Fetch-Site or Origin (403: a page of another origin may only link
/// here, unless `allowed_origins` or `cors_origins` has it), and for unsafe methods JSON content type (415; an empty body needs none; the log-in form comes as one).
/// /api/health and /api/worker/health need no listed Host and may be asked from anywhere. Then, with
/// ApiOptions::authenticate, the route's role: the token is in `Authorization: Bearer`, else in the cookie that POST /login
/// has set (HttpOnly, SameSite=Strict); never in a query. Then by the route's row: the path's names (404), names and values
/// of the query, the body and its members (400).
///
/// handle() blocks as long as the store does, except for those two: they answer within two seconds whatever the
/// store does, because one thread of the router asks it (begun by the first such request, joined by the destructor).
/// Changes ask that thread first, so that they are refused as soon when the store is away, and have then surely done nothing.
/// A change that loses the store in its midst says "outcome":"unknown" beside its 503. A host that does not want to wait
/// as long as the store may answers with refuse_late() instead, as http::Server does.
class JOBRUNTIME_API ApiRouter {
public:
    ApiRouter(JobQueue& queue, ApiOptions options = {});
    ~ApiRouter();

    /// Adds a route; one of the same method and path replaces the earlier. It is checked and documented as core's own are.
    void add(Route route);
    const std::vector<Route>& routes() const;
    /// Adds a code that errors of the program's own routes carry, for the documents.
    void add(ErrorCode code);
    const std::vector<ErrorCode>& error_codes() const;
    /// The codes that this route may answer with, its own and those that every route of its role and parameters may.
    std::vector<std::string> errors_of(const Route& route) const;
    const std::vector<RouteShape>& shapes() const;
    /// The table as OpenAPI 3.1: what GET /openapi.json answers.
    boost::json::object openapi() const;
    /// The row of that method and path, e.g. to copy it and wrap its handler; nullptr when there is none.
    const Route* find(std::string_view method, std::string_view path) const;
    /// In place of what ApiOptions said, for every request from now on; streams that are open stay. From any thread.
    void set_allowed(ApiAllowed allowed);
    /// Begins to keep the numbers of GET /api/stats, with a look at the store's new events every two seconds on a thread of
    /// the router's (joined by the destructor). Without it they are kept only while somebody asks for them. Once.
    void keep_stats();
    /// Whether tokens are asked for.
    bool is_guarded() const;
    /// The answer; headers x-trace-id, cache and security are filled in. HEAD is answered as GET: the host leaves
    /// the body out.
    Response handle(const Request& request);

    /// The refusal of a request whose body has not come yet, by its head alone: Host, origin, content type, path, method,
    /// token. Nothing when the body is worth reading; handle() then decides. Never waits for the store.
    std::optional<Response> refuse_early(const Request& head);
    /// Whether handle() answers this one within two seconds whatever the store does, so that a host may keep it apart from
    /// those that wait.
    bool is_prompt(const Request& request) const;
    /// As handle(), when the answer can be given without waiting for anything: of /api/health, while the store has answered
    /// within the last 50 ms; of whatever needs the store, while that has been silent for a second. Nothing otherwise.
    std::optional<Response> answer_at_once(const Request& request);
    /// The answer in place of handle()'s, which has not come back in time: 503 STORE_UNAVAILABLE. `begun`: handle() was
    /// called, so that what became of a change is not known ("outcome":"unknown"). Nothing for a route that does not wait for
    /// the store (Route::storeless). Never waits; has the store asked whether it answers, of which later requests hear.
    std::optional<Response> refuse_late(const Request& request, bool begun);

    /// The answer of a host that refuses a request by itself (bad framing, too large, too many); `request` is as much
    /// of it as was read. With the same headers as handle()'s answers.
    Response refuse(const Request& request, int status, std::string_view code, std::string_view message) const;

    /// The job as the API shows it (OPERATOR-visible names; `waiting_for` "" = null).
    boost::json::object job_json(const Job& job, std::string_view waiting_for) const;

    // For routes of a program's own.

    /// The request's body as an object: strict JSON, at most 32 deep, no name twice. An empty body is an empty object.
    /// Errc::invalid_argument (INVALID_JSON; INVALID_NUMBER for a whole number beyond 64 bits).
    static Result<boost::json::object> body_object(const Request& request);
    /// What a job creation may say besides what the job is: queue, priority, runAt or delayMs, maxAttempts, uniqueKey,
    /// tags; rows for the body of a route.
    static std::vector<RouteField> job_fields();
    /// What a body says with these members; other members are none of its business. Errc::invalid_argument.
    Result<EnqueueOptions> job_options(const boost::json::object& body) const;
    /// Puts the job in with the request's trace id and Idempotency-Key and answers as POST /api/jobs does: 201, or
    /// 409 for a taken key, or the error.
    Response create_job(const Request& request, const RouteMatch& match, JobSpec spec, const CreateRules& rules = {});
    /// The HTTP answer to an error of a store or a queue: 503 STORE_UNAVAILABLE with Retry-After, 507 STORE_FULL, …
    /// Only INVALID_ARGUMENT-like errors (with a name) show their text.
    Response error_response(const Error& error) const;

private:
    struct Impl;
    std::unique_ptr<Impl> impl_;
};

/// A session, and how long ago its beat was last seen to change.
struct AgedSession {
    SessionInfo info;
    Duration age{};
};
/// The body of GET /api/worker/health. The worker with the newest beat speaks for all: of those that live, when any
/// does.
JOBRUNTIME_API boost::json::object worker_health(std::span<const AgedSession> sessions, Duration stale_after,
                                                 Duration lease);

/// Percent-decoding of one path segment or query value; unset for a bad escape. `plus_is_space` for queries.
JOBRUNTIME_API std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

/// A file as an answer to GET or HEAD: ETag and Last-Modified, 304 for If-None-Match and If-Modified-Since, of GET one range
/// (RFC 9110, 14) with If-Range as 206, 416 for one beyond the end; several ranges get the whole file. 404 NOT_FOUND
/// when `path` is not a regular file. `path` is trusted: check it before.
JOBRUNTIME_API Response file_response(const Request& request, const std::string& path, std::string_view content_type);

}  // namespace jobruntime
