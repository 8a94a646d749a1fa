// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/api_table.hpp"

#include <limits>

namespace jobruntime {
namespace {

using Type = RouteField::Type;
using Fields = std::vector<RouteField>;

constexpr std::int64_t hundred_years_ms = 100LL * 366 * 24 * 3600 * 1000;
/// A limit above what a route gives is cut to that; above this it is nonsense.
constexpr std::int64_t any_limit = 1'000'000'000;

const std::vector<std::string> states{"scheduled", "queued", "running", "completed", "failed", "canceled"};

/// A member that an answer always has.
RouteField has(std::string name, Type type, std::string about = {}) {
    return {.name = std::move(name), .type = type, .about = std::move(about), .required = true};
}

RouteField has_shape(std::string name, std::string shape, bool several = false) {
    auto field = has(std::move(name), Type::object);
    field.shape = std::move(shape);
    field.several = several;
    return field;
}

RouteAnswer ok(Fields members, std::string about = "Done.", int status = 200) {
    members.insert(members.begin(), has("ok", Type::boolean));
    return {status, std::move(about), std::move(members)};
}

/// Of what etag.cpp gives a tag.
Fields condition() { return {{.name = "If-None-Match", .about = "the ETag of an earlier answer"}}; }
RouteAnswer unchanged() { return {304, "What was asked for is as If-None-Match knows it.", {}, ""}; }

Fields job_id() { return {{.name = "id", .type = Type::id, .about = "the job's id"}}; }

Fields event_query(bool stream) {
    const std::string which = stream ? "resume after this event; the header `Last-Event-ID` goes first"
                                     : "the first events after this one, instead of the last ones";
    return {
        {.name = "jobId", .type = Type::id, .about = "events of this job"},
        {.name = "traceId", .about = "events with this trace id"},
        {.name = "level", .type = Type::choice, .about = "exactly this level", .choices = {"info", "warn", "error"}},
        {.name = "limit", .type = Type::number, .about = "so many at first; what is above 2000 is cut to it", .least = 1,
         .most = any_limit, .fallback = "200"},
        {.name = "after", .type = Type::number, .about = which},
    };
}

Fields session_members() {
    return {has("name", Type::text), has("role", Type::choice), has("guarded", Type::boolean, "whether tokens are asked for"),
            {.name = "tokenId", .about = "of the token, no secret", .required = true, .nullable = true}};
}

/// With words that no index knows.
Fields text_filter(std::string_view bound) {
    auto fields = core::job_filter_fields();
    fields.push_back({.name = "text", .about = "jobs with these words, in any case, in id, kind, keys, tags, payload, result or errors; " + std::string(bound),
                      .most = 256});
    return fields;
}

constexpr std::string_view all_at_once = "the rest of the filter may leave 10,000 at most";

Fields list_query() {
    auto query = text_filter("a page looks at 2,000 jobs and 64 MiB of them at most, for some 60 ms, newest first");
    query.push_back({.name = "limit", .type = Type::number, .about = "jobs a page; what is above 500 is cut to it", .least = 1,
                     .most = any_limit, .fallback = "50"});
    query.push_back({.name = "cursor", .about = "`nextCursor` of the page before, with the same filters"});
    return query;
}

Fields count_query() {
    auto query = text_filter(all_at_once);
    query.push_back({.name = "cursor", .about = "`nextCursor` of the answer before, with the same filters: count on from there"});
    return query;
}

Fields bulk_body() {
    return {
        {.name = "action", .type = Type::choice, .about = "what to do to each", .required = true, .choices = {"retry", "cancel", "delete"}},
        {.name = "ids", .type = Type::id, .about = "to these jobs", .several = true, .most_items = 500},
        {.name = "filter", .type = Type::object, .about = "or to all that match, at most 2,000 a call",
         .members = text_filter(all_at_once)},
        {.name = "expectedCount", .type = Type::number,
         .about = "when more match, nothing is done; needed with a filter, but not with a cursor"},
        {.name = "cursor", .about = "`nextCursor` of the call before, with the same filter"},
        {.name = "fresh", .type = Type::boolean, .about = "retry: forget finished steps too", .fallback = "false"},
    };
}

std::vector<Route> queue_routes() {
    const Fields name{{.name = "name", .type = Type::name, .about = "the queue's name"}};
    const RouteAnswer done = ok({has("queue", Type::name), has("paused", Type::boolean)},
                                "It is stored; workers see it within a second.");
    return {
        {.method = "GET", .path = "/api/stats", .role = Role::read,
         .summary = "What happened in each of the last minutes, and how many jobs there are.",
         .query = {{.name = "minutes", .type = Type::number, .about = "so far back", .least = 1, .most = 360, .fallback = "60"}},
         .answers = {ok({has_shape("counts", "Counts"), has("now", Type::time), has("since", Type::time, "what was before is not known"),
                         has_shape("minutes", "Minute", true), has_shape("starts", "Start", true)}, "The numbers.")}},
        {.method = "GET", .path = "/api/queues", .role = Role::read,
         .summary = "The queues: what waits, what runs, and whether they are paused.",
         .headers = condition(), .answers = {ok({has_shape("queues", "Queue", true)}, "The queues."), unchanged()}},
        {.method = "POST", .path = "/api/queues/:name/pause", .role = Role::operate,
         .summary = "Lets no worker claim from a queue any more; it goes on taking jobs.", .names = name, .body = Fields{},
         .answers = {done}, .errors = {"NOT_FOUND", "CONFLICT"}},
        {.method = "POST", .path = "/api/queues/:name/resume", .role = Role::operate,
         .summary = "Lets workers claim from a queue again.",
         .names = name, .body = Fields{}, .answers = {done}, .errors = {"NOT_FOUND", "CONFLICT"}},
    };
}

Fields creation_body() {
    Fields body{{.name = "kind", .type = Type::name, .about = "picks the handler", .required = true},
                {.name = "payload", .type = Type::object, .about = "the handler's business, at most 256 KiB", .fallback = "{}"}};
    for (auto& field : ApiRouter::job_fields()) body.push_back(std::move(field));
    return body;
}

std::vector<Route> job_routes(const ApiOptions& options) {
    const RouteAnswer job = ok({has_shape("job", "Job")}, "The job.");
    const auto traced = [](int status, std::string about) {
        return ok({has_shape("job", "Job"), has("traceId", Type::text),
                   {.name = "requeued", .type = Type::boolean, .about = "an ended job runs again"}}, std::move(about), status);
    };
    return {
        {.method = "POST", .path = "/api/jobs", .role = Role::operate, .summary = "Puts a job in.",
         .headers = {{.name = "Idempotency-Key", .about = "makes a repeated request harmless", .most = limits::idempotency_key}},
         .body = creation_body(), .answers = {traced(201, "It is stored, and not lost any more.")},
         .errors = {"INVALID_PAYLOAD", "CONFLICT", "IDEMPOTENCY_KEY_REUSED"}},
        {.method = "GET", .path = "/api/jobs", .role = Role::read, .summary = "Jobs, newest first, in pages.",
         .query = list_query(), .headers = condition(),
         .answers = {ok({has_shape("jobs", "Job", true),
                         {.name = "unreadable", .type = Type::id, .about = "left out: damaged in the store", .several = true},
                         {.name = "nextCursor", .about = "null on the last page, and only there", .required = true, .nullable = true}},
                        "A page."),
                     unchanged()},
         .steady = true},
        {.method = "GET", .path = "/api/jobs/counts", .role = Role::read, .summary = "How many jobs there are, by state, in slices.",
         .query = count_query(), .headers = condition(),
         .answers = {ok({has("total", Type::number), has_shape("counts", "Counts"),
                         {.name = "nextCursor", .about = "where the next slice begins; null when that was all", .required = true, .nullable = true}},
                        "The numbers."),
                     unchanged()},
         .errors = {"FILTER_TOO_WIDE"}, .steady = true},
        {.method = "POST", .path = "/api/jobs/bulk", .role = Role::operate, .summary = "Retries, cancels or deletes many jobs.",
         .query = options.delete_query, .body = bulk_body(),
         .answers = {ok({has("action", Type::text), has("done", Type::number),
                         has("requested", Type::number, "that run and are asked to stop"),
                         has("refused", Type::number, "whose state forbids it, or that are gone"),
                         {.name = "results", .type = Type::object, .about = "with ids: one for each, in order", .several = true},
                         {.name = "nextCursor", .about = "call again with it; null when that was all", .required = true, .nullable = true}},
                        "What was done.")},
         .errors = {"COUNT_CHANGED", "FILTER_TOO_WIDE"}},
        {.method = "GET", .path = "/api/jobs/:id", .role = Role::read, .summary = "One job, at once or when it has ended.",
         .query = {{.name = "wait", .type = Type::duration, .about = "answer when it has ended, or after this time as it is then",
                    .most = 60'000, .fallback = "0s"}},
         .names = job_id(),
         .headers = {{.name = "If-None-Match", .about = "304 while it is what has this tag; with `wait`: answer when it is something else"}},
         .answers = {job, unchanged()}, .errors = {"JOB_NOT_FOUND", "TOO_MANY_STREAMS"}},
        {.method = "POST", .path = "/api/jobs/:id/cancel", .role = Role::operate,
         .summary = "Cancels a waiting job, asks a running one to stop.", .names = job_id(), .body = Fields{},
         .answers = {job, ok({has_shape("job", "Job"), has("cancelRequested", Type::boolean)}, "It runs, and is asked to stop.", 202)},
         .errors = {"JOB_NOT_FOUND", "INVALID_STATE"}},
        {.method = "POST", .path = "/api/jobs/:id/retry", .role = Role::operate,
         .summary = "Runs a job again that has ended, or one that waits now.", .names = job_id(),
         .body = Fields{{.name = "fresh", .type = Type::boolean, .about = "forget its finished steps too", .fallback = "false"}},
         .answers = {job}, .errors = {"JOB_NOT_FOUND", "INVALID_STATE", "CONFLICT"}},
        {.method = "DELETE", .path = "/api/jobs/:id", .role = Role::operate, .summary = "Deletes a job that is not running.",
         .query = options.delete_query, .names = job_id(), .body = Fields{},
         .answers = {ok({has("id", Type::id), has("deleted", Type::boolean)})}, .errors = {"JOB_NOT_FOUND", "INVALID_STATE", "CONFLICT"}},
    };
}

std::vector<Route> health_routes() {
    const RouteAnswer down{503, "The store does not answer.",
                           {has("ok", Type::boolean), has("status", Type::text), has("error", Type::text)}};
    const auto null_or = [](std::string name, Type type) {
        return RouteField{.name = std::move(name), .type = type, .required = true, .nullable = true};
    };
    return {
        {.method = "GET", .path = "/api/health", .role = Role::anyone, .summary = "HTTP is up and the store answers.",
         .answers = {ok({has("status", Type::text), has("service", Type::text), has("timestamp", Type::time)}, "All is well."), down},
         .storeless = true},
        {.method = "GET", .path = "/api/worker/health", .role = Role::anyone, .summary = "Whether a worker lives, by its heartbeat.",
         .answers = {ok({null_or("lastHeartbeatAt", Type::time), null_or("ageMs", Type::number), has("staleAfterMs", Type::number),
                         has("workers", Type::number, "that live"), {.name = "startedAt", .type = Type::time},
                         {.name = "error", .about = "why ok is false"}}, "What its beats say."), down},
         .storeless = true},
        {.method = "GET", .path = "/api/workers", .role = Role::read, .summary = "The workers that have neither stopped nor died.",
         .answers = {ok({has_shape("workers", "Session", true)}, "The workers.")}},
        {.method = "GET", .path = "/api/status", .role = Role::read, .summary = "What this process is and whom it shares the store with.",
         .answers = {ok({has("role", Type::text), has("version", Type::text), has("store", Type::text), has("startedAt", Type::time),
                         has_shape("sessions", "Session", true)}, "The processes.")}},
        {.method = "GET", .path = "/metrics", .role = Role::read, .summary = "Counters, gauges and histograms for Prometheus.",
         .answers = {{200, "Exposition format 0.0.4.", {}, "text/plain"}}},
        {.method = "GET", .path = "/openapi.json", .role = Role::read, .summary = "This list of routes, as OpenAPI 3.1.",
         .answers = {{200, "The document.", {has("openapi", Type::text)}}}, .storeless = true},
    };
}

std::vector<Route> event_routes() {
    return {
        {.method = "GET", .path = "/api/telemetry", .role = Role::read,
         .summary = "Events, oldest first: the last ones, or those after an id.", .query = event_query(false), .headers = condition(),
         .answers = {ok({has("count", Type::number), has_shape("events", "Event", true), has("next", Type::number, "go on after this id"),
                         {.name = "truncated", .type = Type::boolean, .about = "what lay after `after` is not kept"},
                         {.name = "oldestId", .type = Type::number}}, "A page."),
                     unchanged()}},
        {.method = "GET", .path = "/api/telemetry/stream", .role = Role::read,
         .summary = "Events as they happen (server-sent events), resumable.", .query = event_query(true),
         .headers = {{.name = "Last-Event-ID", .type = Type::number, .about = "resume after this event"}},
         .answers = {{200, "The stream.", {}, "text/event-stream"}}, .errors = {"TOO_MANY_STREAMS"},
         .storeless = true},
    };
}

std::vector<Route> access_routes() {
    const RouteAnswer moved{303, "Elsewhere: the header `Location` says where.", {}, ""};
    return {
        {.method = "GET", .path = "/login", .role = Role::anyone, .summary = "The page that asks people for a token.",
         .query = {{.name = "failed", .about = "the page says that the last token was wrong"}},
         .answers = {{200, "The page.", {}, "text/html"}, moved}, .storeless = true},
        {.method = "POST", .path = "/login", .role = Role::anyone, .summary = "Trades a token for a cookie that only this server gets.",
         .body = Fields{{.name = "token", .about = "as `jobrt token create` printed it", .required = true}}, .form = true,
         .answers = {ok(session_members(), "Who that is; the cookie is set."), moved}, .errors = {"UNAUTHORIZED"},
         .storeless = true},
        {.method = "POST", .path = "/logout", .role = Role::anyone, .summary = "Has the browser forget the cookie.",
         .body = Fields{}, .form = true, .answers = {ok({}, "The cookie is gone."), moved}, .storeless = true},
        {.method = "GET", .path = "/api/session", .role = Role::read, .summary = "Who asks, and what he may do.",
         .answers = {ok(session_members(), "The caller.")}, .storeless = true},
    };
}

}  // namespace

std::vector<RouteField> ApiRouter::job_fields() {
    return {
        {.name = "queue", .type = Type::name, .about = "where it waits", .fallback = "default"},
        {.name = "priority", .type = Type::number, .about = "smaller goes first", .least = std::numeric_limits<std::int16_t>::min(),
         .most = std::numeric_limits<std::int16_t>::max(), .fallback = "0"},
        {.name = "runAt", .type = Type::time, .about = "not before this; not together with `delayMs`"},
        {.name = "delayMs", .type = Type::number, .about = "milliseconds from now", .most = hundred_years_ms},
        {.name = "maxAttempts", .type = Type::number, .about = "then it has failed", .least = 1, .most = 1000, .fallback = "25"},
        {.name = "uniqueKey", .about = "at most one job that waits or runs holds it", .least = 1, .most = limits::unique_key},
        {.name = "tags", .about = "to find it by", .several = true, .least = 1, .most = limits::tag, .most_items = limits::tags},
    };
}

namespace core {

std::vector<RouteField> job_filter_fields() {
    return {
        {.name = "status", .type = Type::choice, .about = "jobs in these states", .several = true, .choices = states},
        {.name = "kind", .type = Type::name, .about = "jobs of these kinds", .several = true},
        {.name = "queue", .type = Type::name, .about = "jobs of these queues", .several = true},
        {.name = "tag", .about = "jobs with this tag"},
        {.name = "traceId", .about = "jobs with this trace id"},
        {.name = "uniqueKey", .about = "jobs with this unique key"},
        {.name = "errorCode", .about = "jobs whose last error has this code"},
        {.name = "workerId", .type = Type::id, .about = "jobs that this worker runs or ran last"},
        {.name = "createdAfter", .type = Type::time, .about = "jobs made then or later"},
        {.name = "createdBefore", .type = Type::time, .about = "jobs made before"},
    };
}

std::vector<Route> core_routes(const ApiOptions& options) {
    std::vector<Route> table;
    for (auto part : {health_routes(), job_routes(options), queue_routes(), event_routes(), worker_routes(), access_routes()})
        for (auto& route : part) table.push_back(std::move(route));
    return table;
}

}  // namespace core
}  // namespace jobruntime
