// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Workers in other languages: they claim, beat, note and settle by HTTP under the rules of the store's own sessions and
// fences (docs/worker-protocol.md). Nothing of them is kept here, so each call may go to another API process.
#include <algorithm>
#include <charconv>

#include <boost/json/object.hpp>

#include <jobruntime/outcome.hpp>

#include "core/api_impl.hpp"
#include "core/api_table.hpp"
#include "core/json.hpp"
#include "core/observer.hpp"
#include "core/settlement.hpp"
#include "core/state_event.hpp"
#include "core/utf8.hpp"

namespace jobruntime {
namespace {

/// For whoever does not have his claim wait.
constexpr Duration ask_again{1'000};
/// A claim that waits is looked at so often when nothing is told: what was told may have been for one that has left.
constexpr Duration look_again{5'000};
constexpr std::int64_t longest_wait_ms = 30'000;
constexpr Duration soonest{50};
constexpr Duration longest_delay{10LL * 366 * 24 * 3600 * 1000};

std::string text_in(const boost::json::object& body, std::string_view name) {
    const auto* value = body.if_contains(name);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

std::int64_t number_in(const boost::json::object& body, std::string_view name, std::int64_t fallback) {
    const auto* value = body.if_contains(name);
    return value && value->is_number() ? value->to_number<std::int64_t>() : fallback;
}

bool flag_in(const boost::json::object& body, std::string_view name) {
    const auto* value = body.if_contains(name);
    return value && value->is_bool() && value->get_bool();
}

std::vector<std::string> list_in(const boost::json::object& body, std::string_view name) {
    std::vector<std::string> list;
    if (const auto* value = body.if_contains(name); value && value->is_array())
        for (const auto& item : value->get_array())
            if (item.is_string()) list.emplace_back(item.get_string());
    return list;
}

/// Whose attempt a note or an end is about.
struct Holder {
    JobId job;
    Fence fence = Fence::none;
};

Result<Holder> holder_of(const boost::json::object& body) {
    const auto id = JobId::parse(text_in(body, "jobId"));
    const auto digits = text_in(body, "fence");
    std::uint64_t number = 0;
    const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (!id || !*id || number == 0 || read.ec != std::errc() || read.ptr != digits.data() + digits.size())
        return core::invalid("jobId and fence must be those of a claimed job, as POST /api/worker/claim gave them");
    return Holder{*id, static_cast<Fence>(number)};
}

Response fence_lost() {
    return Response::error(409, "FENCE_LOST",
                           "This attempt no longer holds the job: it was given to another worker, or has ended; drop what you did");
}

Response session_lost() {
    return Response::error(409, "SESSION_LOST",
                           "This session is not there, or others have taken its jobs; stop them and begin a new one");
}

boost::json::object claimed_json(const ApiRouter& router, const Job& job) {
    auto object = router.job_json(job, "");
    object["payload"] = job.payload;
    object["fence"] = std::to_string(static_cast<std::uint64_t>(job.fence));
    boost::json::object steps;
    for (const auto& step : job.steps) steps[step.name] = step.value;
    object["steps"] = std::move(steps);
    return object;
}

}  // namespace

/// Whether a process of ours works under this session. Whoever asks by HTTP is none, and must neither beat for it nor
/// take jobs that it would not know of. `begun_by`: who began it, where it is known to have come by HTTP.
Result<bool> ApiRouter::Impl::is_of_ours(SessionId session, boost::json::object* begun_by) {
    if (auto known = remote_sessions.find(session)) {
        if (begun_by) *begun_by = *std::move(known);
        return false;
    }
    const auto all = queue.store().sessions();
    if (!all) return all.error();
    const auto found = std::ranges::find(*all, session, &SessionInfo::id);
    if (found == all->end()) return false;
    if (found->facts.role != core::remote_role) return true;
    if (begun_by) *begun_by = found->facts.details;
    remote_sessions.add(session, found->facts.details);
    return false;
}

/// A beat, the first of which begins the session.
Result<Response> ApiRouter::Impl::worker_beat(const RouteMatch& match) {
    const auto& body = match.body;
    auto session = SessionId::parse(text_in(body, "session")).value_or(SessionId{});
    const bool begins = !session;
    if (begins) session = ids.session(clock.wall());
    auto begun_by = core::actor_fields(match.by);
    const auto ours = begins ? Result<bool>(false) : is_of_ours(session, &begun_by);
    if (!ours) return ours.error();
    if (*ours) return session_lost();
    SessionFacts facts;
    facts.host = text_in(body, "host") + " (http)";  // The life of a process on this host says nothing of it.
    facts.pid = number_in(body, "pid", 0);
    facts.role = core::remote_role;
    facts.version = text_in(body, "version");
    facts.works = true;
    facts.kinds = list_in(body, "kinds");
    facts.queues = list_in(body, "queues");
    if (facts.queues.empty()) facts.queues = {"default"};
    facts.running = static_cast<int>(number_in(body, "running", 0));
    facts.stopped = flag_in(body, "stopped");
    // In the row that the first beat makes, and not overwritten by those whom another token sends.
    facts.details = std::move(begun_by);
    const auto answer = queue.store().beat(session, facts, clock.wall());
    if (!answer) return answer.error();
    if (answer->declared_dead) return session_lost();
    remote_sessions.add(session, facts.details);
    boost::json::array cancels;
    for (const auto& cancel : answer->cancels)
        cancels.push_back(boost::json::object{{"jobId", cancel.job.str()},
                                              {"fence", std::to_string(static_cast<std::uint64_t>(cancel.fence))}});
    return Response::json(begins ? 201 : 200, {{"ok", true},
                                               {"session", session.str()},
                                               {"beatMs", (options.lease / 3).count()},
                                               {"leaseMs", options.lease.count()},
                                               {"cancels", std::move(cancels)}});
}

/// Jobs that are due now or, when the request may wait, as soon as there are any.
Result<Response> ApiRouter::Impl::worker_claim(const Request& request, const RouteMatch& match) {
    const auto& body = match.body;
    const auto session = SessionId::parse(text_in(body, "session"));
    if (!session || !*session) return core::invalid("session must be the one that POST /api/worker/beat gave");
    const auto ours = is_of_ours(*session);
    if (!ours) return ours.error();
    if (*ours) return session_lost();
    auto from = text_in(body, "queue");
    if (from.empty()) from = "default";
    const auto paused = queue.paused();
    if (!paused) return paused.error();
    Claimed claimed;
    const bool is_paused = std::ranges::find(*paused, from) != paused->end();
    const bool alone = flag_in(body, "alone");
    Want want{from, list_in(body, "kinds"), static_cast<int>(number_in(body, "limit", 1)), {}};
    if (!is_paused) {
        const auto mode = alone ? ClaimMode::solitary : ClaimMode::ordinary;
        auto answer = queue.store().claim({&want, 1}, *session, mode, clock.wall());
        if (!answer && answer.error().code == Errc::conflict) return session_lost();
        if (!answer) return answer.error();
        claimed = *std::move(answer);
    }
    const auto wait = core::parse_duration(text_in(body, "wait")).value_or(Duration{0});
    const bool waits = wait > Duration{0} && !alone && claimed.jobs.empty() && !claimed.solitary_waiting;
    // Nobody tells of a queue that is resumed.
    auto pause = waits && !is_paused && request.patience == Request::Patience::some ? look_again : ask_again;
    if (claimed.next_due) pause = std::clamp(*claimed.next_due - clock.wall(), soonest, pause);
    if (waits && request.patience == Request::Patience::some) {
        Response response;
        response.body = Later{.patience = wait, .again = pause, .job = {}, .ended = false, .queue = std::move(want.queue),
                              .kinds = std::move(want.kinds)};
        return response;
    }
    if (waits && request.patience == Request::Patience::over) pause = Duration{0};
    boost::json::array jobs, ids_of_jobs;
    for (const auto& job : claimed.jobs) {
        jobs.push_back(claimed_json(self, job));
        ids_of_jobs.push_back(boost::json::string(job.id.str()));
    }
    auto response = Response::json(200, {{"ok", true},
                                         {"jobs", std::move(jobs)},
                                         {"aloneWaiting", claimed.solitary_waiting},
                                         {"askAgainMs", pause.count()}});
    // The jobs' own events name the session, which whoever may read knows: this says whose token took them.
    if (!claimed.jobs.empty()) audit(request, match, response, {{"jobIds", std::move(ids_of_jobs)}});
    return response;
}

namespace {

/// Shown live and kept, as what a handler of ours says is.
Event told(std::string_view name, JobId job, Time now) {
    Event event;
    event.name = name;
    event.at = now;
    event.job = job;
    return event;
}

Progress progress_in(const boost::json::object& body) {
    Progress progress;
    if (const auto* percent = body.if_contains("percent"); percent && percent->is_number())
        progress.percent = std::clamp(percent->to_number<double>(), 0.0, 100.0);
    progress.stage = core::clean_text(text_in(body, "stage"), limits::name);
    progress.message = core::clean_text(text_in(body, "message"), limits::message);
    return progress;
}

}  // namespace

Result<Response> ApiRouter::Impl::worker_note(const Request& request, const RouteMatch& match) {
    const auto& body = match.body;
    const auto holder = holder_of(body);
    if (!holder) return holder.error();
    Note note;
    note.job = holder->job;
    note.fence = holder->fence;
    if (const auto* given = body.if_contains("progress"); given && given->is_object()) {
        note.progress = progress_in(given->get_object());
        auto event = told("worker.job.progress", holder->job, clock.wall());
        event.fields = {{"stage", note.progress->stage}, {"message", note.progress->message}};
        event.fields["percent"] = note.progress->percent ? boost::json::value(*note.progress->percent) : nullptr;
        note.events.push_back(std::move(event));
    }
    if (const auto* given = body.if_contains("step"); given && given->is_object()) {
        note.step_name = text_in(given->get_object(), "name");
        const auto* value = given->get_object().if_contains("value");
        if (const auto wrong = value ? core::flaw(*value) : std::nullopt)
            return core::invalid("the step cannot be kept as JSON: " + *wrong, "INVALID_STEP");
        note.step_value = core::to_text(value ? *value : boost::json::value());
    }
    for (const auto& line : list_in(body, "log")) {
        auto event = told("worker.job.log", holder->job, clock.wall());
        event.fields["line"] = core::clean_text(line, limits::message);
        note.events.push_back(std::move(event));
    }
    const auto answer = queue.store().note({&note, 1}, clock.wall());
    if (!answer) return answer.error();
    switch (answer->front()) {
        case NoteAnswer::done: break;
        case NoteAnswer::conflict: return fence_lost();
        default: return core::invalid("the step is not kept: one more than a job may have, or too large", "INVALID_STEP");
    }
    auto response = Response::json(200, {{"ok", true}});
    // A step decides what the job's next attempts do. Progress and lines come too often to be told.
    if (note.step_name && options.sink) {
        boost::json::object more{{"step", redact(*note.step_name)}};
        const auto job = queue.get(note.job, 0);
        if (job && *job && (*job)->fence == note.fence) more["workerId"] = (*job)->session.str();
        audit(request, match, response, std::move(more));
    }
    return response;
}

/// How the attempt ends by what its worker says, under the same rules as in a process of ours.
Result<Response> ApiRouter::Impl::worker_settle(const RouteMatch& match) {
    const auto& body = match.body;
    const auto holder = holder_of(body);
    if (!holder) return holder.error();
    const auto job = queue.get(holder->job, 0);
    if (!job) return job.error();
    if (!*job || (*job)->fence != holder->fence) return fence_lost();
    const auto outcome = text_in(body, "outcome");
    Settlement end;
    end.job = holder->job;
    end.fence = holder->fence;
    const auto code = text_in(body, "code"), message = text_in(body, "message");
    const bool errs = outcome == "retry" || outcome == "failed";
    if (errs && code.empty()) return core::invalid("code must say why, in UPPER_SNAKE, with the outcome " + outcome);
    const Duration pause{number_in(body, "afterMs", 0)};
    if (outcome == "completed") {
        if (const auto* result = body.if_contains("result")) core::set_result(end, *result);
    } else if ((*job)->cancel_requested_at && outcome != "released") {
        end.verdict = Verdict::canceled;
        if (outcome == "failed") core::set_error(end, core::clean_code(code, "FAILED"), message);
    } else if (outcome == "retry" && (*job)->attempt < (*job)->max_attempts) {
        end.verdict = Verdict::retry;
        core::set_error(end, core::clean_code(code, "RETRY"), message);
        end.run_at = clock.wall() + (body.contains("afterMs") ? pause : Backoff{}.after((*job)->attempt, ids.random01()));
    } else if (errs) {
        end.verdict = Verdict::failed;
        core::set_error(end, core::clean_code(code, "FAILED"), message);
    } else if (outcome == "snooze") {
        end.verdict = Verdict::snooze;
        end.message = core::clean_text(message, limits::message);
        end.run_at = clock.wall() + pause;
    } else {
        end.verdict = outcome == "released" ? Verdict::released : Verdict::canceled;
    }
    const auto answer = queue.store().settle({&end, 1}, clock.wall());
    if (!answer) return answer.error();
    if (!answer->front().done) return fence_lost();
    return Response::json(200, {{"ok", true}, {"status", to_string(answer->front().state)}});
}

void ApiRouter::Impl::add_worker_routes() {
    using Method = Result<Response> (Impl::*)(const RouteMatch&);
    const auto action = [this](Method run) {
        return [this, run](const Request&, const RouteMatch& match) { return or_error((this->*run)(match)); };
    };
    on("POST", "/api/worker/beat", action(&Impl::worker_beat));
    on("POST", "/api/worker/claim",
       [this](const Request& request, const RouteMatch& match) { return or_error(worker_claim(request, match)); });
    on("POST", "/api/worker/note",
       [this](const Request& request, const RouteMatch& match) { return or_error(worker_note(request, match)); });
    on("POST", "/api/worker/settle", action(&Impl::worker_settle));
}

namespace core {

std::vector<Route> worker_routes() {
    using Type = RouteField::Type;
    using Fields = std::vector<RouteField>;
    const RouteField session{.name = "session", .type = Type::id, .about = "as the first beat gave it", .required = true};
    const auto kinds = [](std::size_t most) {
        return RouteField{.name = "kinds", .type = Type::name, .about = "what this worker has handlers for", .required = true,
                          .several = true, .most_items = most};
    };
    const RouteField job{.name = "jobId", .type = Type::id, .about = "of a claimed job", .required = true};
    const RouteField fence{.name = "fence", .about = "of that claim, digits", .required = true, .least = 1, .most = 20};
    const auto has = [](std::string name, Type type, std::string about = {}) {
        return RouteField{.name = std::move(name), .type = type, .about = std::move(about), .required = true};
    };
    auto canceled = has("cancels", Type::object, "jobs of this session that are asked to stop");
    canceled.several = true;
    canceled.members = {has("jobId", Type::id), has("fence", Type::text)};
    const Fields beaten{has("ok", Type::boolean), has("session", Type::id), has("beatMs", Type::number, "beat again within this"),
                        has("leaseMs", Type::number, "after such a silence others run its jobs"), canceled};
    auto jobs = has("jobs", Type::object, "running now, and this worker's: as everywhere, with `payload`, `fence` and `steps`");
    jobs.several = true;
    const Fields settlement{
        job, fence,
        {.name = "outcome", .type = Type::choice, .about = "how the attempt ended", .required = true,
         .choices = {"completed", "retry", "snooze", "failed", "canceled", "released"}},
        {.name = "result", .type = Type::any, .about = "completed: kept with the job"},
        {.name = "code", .about = "retry, failed: UPPER_SNAKE", .least = 1, .most = limits::name},
        {.name = "message", .about = "retry, failed, snooze: why, for people", .most = 65'536},
        {.name = "afterMs", .type = Type::number, .about = "retry: instead of the usual back-off; snooze: how long",
         .most = longest_delay.count()}};
    const Fields noted{
        job, fence,
        {.name = "progress", .type = Type::object, .about = "how far it is",
         .members = {{.name = "percent", .type = Type::real}, {.name = "stage"}, {.name = "message"}}},
        {.name = "log", .about = "lines for the job's log", .several = true, .most = 65'536, .most_items = 100},
        {.name = "step", .type = Type::object, .about = "a checkpoint, on disk before this is answered",
         .members = {{.name = "name", .about = {}, .required = true, .least = 1, .most = limits::name},
                     {.name = "value", .type = Type::any}}}};
    return {
        {.method = "POST", .path = "/api/worker/beat", .role = Role::operate,
         .summary = "Says that a worker lives; the first beat begins its session.",
         .body = Fields{{.name = "session", .type = Type::id, .about = "left out of the first"}, kinds(100),
                        {.name = "queues", .type = Type::name, .about = "that it serves", .several = true, .most_items = 100},
                        {.name = "running", .type = Type::number, .about = "jobs now", .most = 100'000},
                        {.name = "host", .about = "for people", .most = 255},
                        {.name = "pid", .type = Type::number, .about = "for people"},
                        {.name = "version", .about = "for people", .most = 255},
                        {.name = "stopped", .type = Type::boolean, .about = "the last beat of a clean stop"}},
         .answers = {{200, "It lives.", beaten}, {201, "The session has begun.", beaten}}, .errors = {"SESSION_LOST"}},
        {.method = "POST", .path = "/api/worker/claim", .role = Role::operate, .summary = "Takes jobs that are due.",
         .body = Fields{session, kinds(100), {.name = "queue", .type = Type::name, .about = "from which", .fallback = "default"},
                        {.name = "limit", .type = Type::number, .about = "jobs at most", .least = 1, .most = 100, .fallback = "1"},
                        {.name = "alone", .type = Type::boolean,
                         .about = "one that has crashed twice; only while this worker runs nothing else; does not wait", .fallback = "false"},
                        {.name = "wait", .type = Type::duration, .about = "for a job, when nothing is due",
                         .most = longest_wait_ms, .fallback = "0s"}},
         .answers = {{200, "Jobs, or none when nothing was due.",
                      {has("ok", Type::boolean), jobs, has("aloneWaiting", Type::boolean, "one waits for a claim with `alone`"),
                       has("askAgainMs", Type::number, "when nothing came: after so long, which is 0 after a wait")}}},
         .errors = {"SESSION_LOST"}},
        {.method = "POST", .path = "/api/worker/note", .role = Role::operate, .summary = "Progress, log lines or a step of a running job.",
         .body = noted, .answers = {{200, "Kept.", {has("ok", Type::boolean)}}}, .errors = {"FENCE_LOST", "INVALID_STEP"}},
        {.method = "POST", .path = "/api/worker/settle", .role = Role::operate, .summary = "Ends an attempt.",
         .body = settlement,
         .answers = {{200, "It is ended.", {has("ok", Type::boolean), has("status", Type::text, "where the job is now")}}},
         .errors = {"FENCE_LOST"}},
    };
}

}  // namespace core
}  // namespace jobruntime
