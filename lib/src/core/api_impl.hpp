// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/api_router.hpp>

#include "core/ids.hpp"
#include "core/kept_answers.hpp"
#include "core/refused_tokens.hpp"
#include "core/remote_sessions.hpp"
#include "core/stats.hpp"
#include "core/store_probe.hpp"

namespace jobruntime {

/// A path of the table, cut into its segments once.
struct RoutePattern {
    enum class Kind : unsigned char { literal, name, rest };
    struct Segment {
        Kind kind = Kind::literal;
        std::string text;
    };
    std::vector<Segment> segments;

    explicit RoutePattern(std::string_view path);
    /// How exactly it fits, larger is better; 0 = not at all.
    int score(const std::vector<std::string>& path) const;
    /// What the names stand for in a path that fits.
    void fill(const std::vector<std::string>& path, RouteMatch& into) const;
};

struct ApiRouter::Impl {
    Impl(ApiRouter& router, JobQueue& job_queue, ApiOptions given);

    ApiRouter& self;
    JobQueue& queue;
    const ApiOptions options;       ///< Whom to answer is in who_may instead.
    mutable std::mutex mutex;
    std::shared_ptr<const ApiAllowed> who_may;  ///< Guarded by mutex; whoever read it keeps it.
    Clock& clock;
    const Time started_at;
    core::IdSource ids;
    core::StoreProbe probe;
    core::StatsKeeper keeper;
    core::RemoteSessions remote_sessions;
    core::KeptAnswers kept;
    std::vector<Route> routes;
    std::vector<RoutePattern> patterns;  ///< One per route.
    std::vector<ErrorCode> codes;
    const std::vector<RouteShape> shapes;
    mutable std::array<std::atomic<std::uint64_t>, 6> answered{};  ///< By the status's first digit.
    mutable std::atomic<std::uint64_t> unauthorized{0};
    mutable core::RefusedTokens refused_tokens;

    std::shared_ptr<const ApiAllowed> allowed() const;
    /// Where a request goes, and its query as sent.
    struct Way {
        const Route* route = nullptr;
        std::vector<std::pair<std::string, std::string>> query;
    };
    using Handle = std::function<Response(const Request&, const RouteMatch&)>;
    /// Gives a row of core's table its handler.
    void on(std::string_view method, std::string_view path, Handle handle);
    Response answer(const Request& request, const std::string& trace_id, bool at_once);
    Response whole_answer(const Request& request, bool at_once);
    std::optional<Response> refuse_head(const Request& head, RouteMatch& match, Way* way = nullptr);
    std::optional<Response> refuse_head_safely(const Request& head, RouteMatch& match, Way* way = nullptr);
    std::optional<Response> find_way(const Request& request, RouteMatch& match, Way& way) const;
    void finish(const Request& request, Response& response, const std::string& trace_id) const;
    Response serve(const Request& request, const Route& route, RouteMatch& match,
                   std::vector<std::pair<std::string, std::string>>& query);
    std::string trace_id_of(const Request& request);

    // What the rows of api_table.cpp do.
    void add_health_routes();     // api_health.cpp
    void add_job_routes();        // api_jobs.cpp
    void add_action_routes();     // api_actions.cpp
    void add_queue_routes();      // api_queues.cpp
    void add_telemetry_routes();  // api_telemetry.cpp
    void add_login_routes();      // api_login.cpp
    void add_worker_routes();     // api_worker.cpp

    /// The same as job_json(), as text behind `text`.
    void append_job(std::string& text, const Job& job, std::string_view waiting_for) const;  // api_job_json.cpp
    Response list_jobs(const RouteMatch& match) const;                            // api_jobs.cpp
    Response count_jobs(const RouteMatch& match) const;                           // api_jobs.cpp
    Response stats(const RouteMatch& match);                                      // api_queues.cpp
    Response list_queues();                                                       // api_queues.cpp
    Response pause(const RouteMatch& match, bool paused) const;                   // api_queues.cpp
    Response list_events(const RouteMatch& match) const;                          // api_telemetry.cpp
    Response open_stream(const Request& request, const RouteMatch& match) const;  // api_telemetry.cpp

    // api_access.cpp
    /// Who asks, by the request's token; anyone when it has none or a wrong one.
    Caller caller_of(const Request& request) const;
    /// 401 or 403 when this caller may not use the route.
    std::optional<Response> refuse_caller(const Request& request, const Route& route, const RouteMatch& match) const;

    // api_metrics.cpp
    void add_metrics_route();
    void count(const Response& response) const;
    Response metrics();

    // api_audit.cpp
    /// `more`: what else the event says; of `jobIds` the only one becomes the event's job.
    void audit(const Request& request, const RouteMatch& match, const Response& response, boost::json::object more = {}) const;
    void audit_change(const Request& request, const RouteMatch& match, const Response& response) const;

    // api_create.cpp
    Response create_now(const RouteMatch& match, const JobSpec& spec, const CreateRules& rules) const;
    Response created(const RouteMatch& match, const Job& job, bool requeued) const;
    Response taken(const RouteMatch& match, const Job& other, const CreateRules& rules) const;
    Response reused_key(const Enqueued& earlier, const std::string& hash, const RouteMatch& match) const;
    std::optional<Response> repeated_requeue(const std::string& key, const std::string& hash, const RouteMatch& match,
                                             const CreateRules& rules) const;
    Result<void> remember_requeue(const std::string& key, const std::string& hash, JobId job, Time now) const;

    // api_bulk.cpp
    /// What a change by filter may touch yet: no more jobs than were counted, and none that were made since.
    struct BulkBound {
        std::uint64_t left = 0;
        Time created_before{};
        std::string cursor(std::string_view store_cursor) const;
        /// Of a cursor as above; leaves that of the store in it.
        static std::optional<BulkBound> parse(std::string_view& cursor);
    };
    Response bulk(const RouteMatch& match) const;
    Response change_named(std::span<const JobId> named, SteadyTime begun, const RouteMatch& match) const;
    Response change_matching(const JobFilter& filter, const std::string& words, std::string cursor, BulkBound bound,
                             SteadyTime begun, const RouteMatch& match) const;
    Result<Changed> change_some(const Selection& which, const std::string& words, const Change& change, std::string_view cursor,
                                int most, std::size_t& bytes, const RouteMatch& match) const;
    Result<Changed> remove_many(const Selection& which, std::string_view cursor, int most, const RouteMatch& match) const;

    // api_words.cpp
    /// By state. FILTER_TOO_WIDE when more had to be looked at than one answer may.
    Result<std::vector<CountRow>> count_words(const JobFilter& filter, const std::string& words) const;
    /// One slice of what the rest of the filter leaves, and `most` of those that have the words. Adds to `bytes` what was looked at.
    Result<Changed> change_words(const JobFilter& filter, const std::string& words, const Change& change,
                                 std::string_view cursor, int most, std::size_t& bytes, const RouteMatch& match) const;

    // api_actions.cpp
    Response show_job(const Request& request, const RouteMatch& match) const;
    Result<Response> cancel(const RouteMatch& match) const;
    Result<Response> retry(const RouteMatch& match) const;
    Result<Response> remove(const RouteMatch& match) const;
    /// 200 (or `status`) with that job, read again and with why it waits; 404 when it is gone.
    Response job_response(int status, JobId id, boost::json::object more = {}) const;

    // api_worker.cpp
    Result<Response> worker_beat(const RouteMatch& match);
    Result<Response> worker_claim(const Request& request, const RouteMatch& match);
    Result<bool> is_of_ours(SessionId session, boost::json::object* begun_by = nullptr);
    Result<Response> worker_note(const Request& request, const RouteMatch& match);
    Result<Response> worker_settle(const RouteMatch& match);

    // api_late.cpp
    /// The refusal of a change whose event might be lost, or of what would only wait for the store now; a change asks it first, so that one which finds it away has
    /// surely done nothing.
    std::optional<Response> refuse_waiting(const Route& route);
    /// What became of a change is not known: the store failed or hung in the middle of it.
    Response unsure(bool creates, std::string_view key) const;
    /// A change whose handler could not reach the store any more may have been done.
    void say_if_unsure(const Route& route, Response& response) const;

    // api_errors.cpp
    Response or_error(Result<Response> response) const;
    Response failure(const Request& request, const std::string& trace_id, const std::string& what) const;
    /// 503: the store is away, or keeps whoever asks it waiting.
    Response store_unavailable(std::string text, boost::json::object more = {}) const;
};

namespace core {

/// The checks before any route (Host, origin, content type): the refusal, or nothing when all is well. `any_host`:
/// without the first.
std::optional<Response> refuse_request(const Request& request, const ApiAllowed& allowed, bool any_host);

/// Whether pages of this origin may read answers.
bool may_read(std::string_view origin, const ApiAllowed& allowed);
/// Says to a browser that the page which asked may read the answer, and after which requests it may ask.
void add_cors(const Request& request, Response& response, const ApiAllowed& allowed);

/// Whether requests of this method change something.
bool is_change(std::string_view method);
/// The code of an answer that Response::error made; empty for others.
std::string code_of(const Response& response);

/// The header that makes a repeated creation harmless.
inline constexpr std::string_view key_header = "idempotency-key";
/// Routes that look at many jobs, or change them, end early and say where to go on once they have been at it for so long:
/// well before a host gives up on them.
inline constexpr std::chrono::milliseconds long_enough{1'000};
/// And those that look for words, once they have looked at so much of payloads and results.
inline constexpr std::size_t most_bytes_looked_at = 64u << 20;

/// Whether a page asks whose origin may read answers, and is neither our own nor one that may do what ours may.
bool only_reads(const Request& request, const ApiAllowed& allowed);

/// The token that a request carries; empty when it carries none, or another page's cookie.
std::string_view token_of(const Request& request, const ApiAllowed& allowed);
/// The header that has a browser keep the token for this server only, out of reach of scripts and of other sites; an
/// empty token has it forget.
std::string token_cookie(const Request& request, std::string_view token);

/// Whether the body is what an HTML form sends.
bool is_form(const Request& request);

/// Path and query of a request target, decoded; an error is a 400.
struct Target {
    std::vector<std::string> path;
    std::vector<std::pair<std::string, std::string>> query;
};
Result<Target> parse_target(std::string_view target);

/// Strict reading of a request body.
Result<boost::json::object> parse_body(std::string_view text);

Error invalid(std::string message, std::string name = "INVALID_ARGUMENT");

/// A whole number in a query or header: digits only, at most `most`.
std::optional<std::uint64_t> parse_number(std::string_view text, std::uint64_t most);

/// "30s" or "500ms".
std::optional<Duration> parse_duration(std::string_view text);

/// `limit` of a checked query; what is above `most` is cut to it.
int limit_of(const RouteMatch& match, int usual, int most);

/// What `text` of a filter looks for: nothing when it is empty.
std::string words_of(std::optional<std::string_view> text);
/// Whether a job has these words, in lower case, in what people know it by. Adds to `bytes` what was looked at.
bool has_words(const Job& job, const std::string& words, std::size_t& bytes);

/// {"scheduled":0,…}: the sum of the rows of each state.
boost::json::object counts_json(const std::vector<CountRow>& rows);

/// 32 hexadecimal digits that tell two request bodies apart by accident-proof odds; no defence against a forger,
/// who could only deceive himself.
std::string fingerprint(std::string_view text);

/// Of ASCII; other bytes stay.
std::string lower(std::string_view text);
bool same_ignoring_case(std::string_view left, std::string_view right);
void set_header(Response& response, std::string_view name, std::string value);
bool has_header(const Response& response, std::string_view name);

}  // namespace core
}  // namespace jobruntime
