// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "core/api_table.hpp"

namespace jobruntime::core {
namespace {

using Type = RouteField::Type;

RouteField has(std::string name, Type type, std::string about = {}) {
    return {.name = std::move(name), .type = type, .about = std::move(about), .required = true};
}
RouteField null_or(std::string name, Type type, std::string about = {}) {
    auto field = has(std::move(name), type, std::move(about));
    field.nullable = true;
    return field;
}
RouteField list_of(RouteField field) {
    field.several = true;
    return field;
}

}  // namespace

std::vector<RouteShape> core_shapes(const ApiOptions& options) {
    RouteField progress = has("progress", Type::object);
    progress.members = {null_or("percent", Type::real), null_or("stage", Type::text), null_or("message", Type::text)};
    RouteField errors = list_of(has("errors", Type::object, "oldest first"));
    errors.members = {has("at", Type::time), has("attempt", Type::number), has("code", Type::text), has("message", Type::text)};
    RouteField status = has("status", Type::choice);
    status.choices = {"scheduled", "queued", "running", "completed", "failed", "canceled"};
    RouteField priority = has("priority", Type::number, "smaller goes first");
    priority.least = -32768;
    priority.most = 32767;
    RouteShape job{"Job",
                   {has("id", Type::id), has("kind", Type::name), has("queue", Type::name), status, priority,
                    has("payload", Type::object), has("attempt", Type::number), has("maxAttempts", Type::number),
                    has("crashes", Type::number), null_or("cancelRequestedAt", Type::time), progress, has("result", Type::any),
                    null_or("outputPath", Type::text), null_or("thumbnailPath", Type::text), null_or("error", Type::text),
                    null_or("errorCode", Type::text), errors, null_or("waitingFor", Type::text, "why it does not run, in words"),
                    list_of(has("tags", Type::text)), null_or("uniqueKey", Type::text), null_or("traceId", Type::text),
                    null_or("workerId", Type::id), has("createdAt", Type::time), has("runAt", Type::time),
                    null_or("startedAt", Type::time), null_or("finishedAt", Type::time)}};
    for (const auto& field : options.decorated) job.members.push_back(field);
    RouteField level = has("level", Type::choice);
    level.choices = {"info", "warn", "error"};
    RouteShape event{"Event",
                     {has("id", Type::number), has("ts", Type::time), has("event", Type::text), level,
                      {.name = "jobId", .type = Type::id}, {.name = "traceId"}, has("sourceProcessId", Type::text),
                      has("processRole", Type::text)}};
    RouteShape session{"Session",
                       {has("id", Type::id), has("host", Type::text), has("pid", Type::number), has("role", Type::text),
                        has("version", Type::text), has("startedAt", Type::time), has("beatAgeMs", Type::number),
                        has("running", Type::number, "jobs it runs now"), has("live", Type::boolean), has("works", Type::boolean),
                        list_of(has("kinds", Type::text)), list_of(has("queues", Type::text)), has("details", Type::object)}};
    RouteShape counts{"Counts", {}};
    for (const auto& state : status.choices) counts.members.push_back(has(state, Type::number));
    RouteField by_state = has("counts", Type::object);
    by_state.shape = "Counts";
    RouteShape queue{"Queue",
                     {has("queue", Type::name), has("paused", Type::boolean), by_state,
                      null_or("oldestDueAt", Type::time, "of the job that has been due the longest"),
                      null_or("oldestDueMs", Type::number), has("workers", Type::number, "that live and serve it"),
                      has("concurrency", Type::number, "jobs that they can run at once")}};
    RouteField percentiles = null_or("waitMs", Type::object, "of those that were claimed in it; null when none was");
    percentiles.members = {has("p50", Type::number), has("p95", Type::number), has("p99", Type::number)};
    RouteField run = percentiles;
    run.name = "runMs";
    run.about = "of the attempts that ended in it; null when none did";
    RouteField depth = by_state;
    depth.nullable = true;
    depth.about = "at its first look; null when there was none";
    RouteShape minute{"Minute",
                      {has("at", Type::time, "its begin"), has("enqueued", Type::number), has("claimed", Type::number),
                       has("completed", Type::number), has("failed", Type::number), has("retried", Type::number),
                       has("canceled", Type::number), has("recovered", Type::number, "taken from processes that died"), percentiles, run,
                       depth, has("partial", Type::boolean, "more happened than could be looked at")}};
    RouteShape start{"Start", {has("at", Type::time), has("role", Type::text), has("version", Type::text)}};
    RouteShape error{"Error", {has("ok", Type::boolean), has("code", Type::text), has("error", Type::text, "a sentence for people")}};
    return {std::move(job), std::move(counts), std::move(queue), std::move(minute), std::move(start), std::move(event), std::move(session), std::move(error)};
}

std::vector<ErrorCode> core_error_codes() {
    return {
        {400, "BAD_REQUEST", "the request is not HTTP/1.1 as RFC 9112 has it; the connection is closed"},
        {400, "INVALID_ARGUMENT", "a value, a query name or a member of the body is not known or not possible"},
        {400, "INVALID_JSON", "the body is not strict JSON, or not an object"},
        {400, "INVALID_NUMBER", "a whole number in the body is beyond 64 bits and would lose digits; send it as a string"},
        {400, "INVALID_STEP", "a step of a job beyond what is kept of one"},
        {400, "INVALID_PAYLOAD", "the payload has a number beyond what JSON's readers take, e.g. `1e400`"},
        {400, "FILTER_TOO_WIDE", "with `text` each job is looked at, and the rest of the filter leaves more than 10,000, or takes too long for it; narrow it"},
        {401, "UNAUTHORIZED", "no access token, or a wrong or revoked one"},
        {403, "FORBIDDEN", "a page of another origin asked; or a token whose role may not do that"},
        {404, "NOT_FOUND", "no such path or file"},
        {404, "JOB_NOT_FOUND", "no such job"},
        {405, "METHOD_NOT_ALLOWED", "the path does not take that method"},
        {408, "REQUEST_TIMEOUT", "the request did not arrive whole in time"},
        {409, "CONFLICT", "the unique key is taken; or somebody else changed it first"},
        {409, "COUNT_CHANGED", "more jobs match the filter than expected; `count` says how many, and nothing was done"},
        {409, "IDEMPOTENCY_KEY_REUSED", "the key came with another body before"},
        {409, "FENCE_LOST", "the attempt no longer holds the job: others have it, or it has ended"},
        {409, "SESSION_LOST", "the worker's session is not there, or others have taken its jobs"},
        {409, "INVALID_STATE", "the job's state forbids it; `status` says which it is"},
        {413, "PAYLOAD_TOO_LARGE", "body or payload over its limit"},
        {414, "URI_TOO_LONG", "the request line is too long"},
        {415, "UNSUPPORTED_MEDIA_TYPE", "a body that is not said to be JSON"},
        {416, "RANGE_NOT_SATISFIABLE", "the range begins after the file's end"},
        {417, "EXPECTATION_FAILED", "an `Expect` other than `100-continue`"},
        {421, "MISDIRECTED_REQUEST", "a Host name that this server does not answer for"},
        {429, "RATE_LIMITED", "more requests a second than one client may send; `Retry-After` says when to go on"},
        {429, "CLIENT_LIMIT", "one client has all the connections or streams that it may have"},
        {431, "HEADERS_TOO_LARGE", "headers too large or too many"},
        {500, "INTERNAL", "a bug; the server's log says more"},
        {500, "STORE_CORRUPT", "stored data cannot be read"},
        {501, "NOT_IMPLEMENTED", "a Transfer-Encoding other than `chunked`"},
        {501, "UNSUPPORTED", "this store cannot do that"},
        {503, "STORE_UNAVAILABLE",
         "the store does not answer. No job is half changed. A change with `\"outcome\":\"unknown\"` may have been done, one of "
         "many jobs to some of them: look before you repeat it; where that is missing, nothing was done"},
        {503, "TOO_MANY_CONNECTIONS", "all places are taken"},
        {503, "TOO_MANY_STREAMS", "all places of streams and of requests that wait are taken"},
        {503, "STOPPING", "a stream was asked for while the server stops"},
        {503, "OVERLOADED", "too many requests wait or come in a second, or their bodies or answers take too much memory; too many files are open; or changes wait to be put into the log"},
        {504, "TIMED_OUT", "the time for it ran out"},
        {505, "HTTP_VERSION_NOT_SUPPORTED", "neither HTTP/1.1 nor HTTP/1.0"},
        {507, "STORE_FULL", "no space left"},
    };
}

}  // namespace jobruntime::core
