// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/page_run.hpp"

#include <algorithm>

#include <boost/json.hpp>

#include "extract/info_dict.hpp"
#include "extract/json_access.hpp"
#include "extract/nth_video.hpp"
#include "extract/page_scripts.hpp"

// The watching: when to look at the page, when enough was seen, what it means.
namespace jobruntime::extract {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

/// A page with a direct source that neither began nor ended a request for so long is done loading.
constexpr milliseconds quiet_time{400};
/// A <video> gets this long to understand the beginning of its file; a short look, taken often.
constexpr int metadata_wait_ms = 500;
/// What a page's own process may take to answer a look; and what it must have had, at the end of a job's time, to be
/// called silent.
constexpr milliseconds look_time{5000};
constexpr milliseconds fair_look{1000};
constexpr std::size_t frames_to_look_at = 24;
/// A target that did not even begin to ask for its page is broken, not slow.
constexpr milliseconds start_time{8000};
constexpr milliseconds person_poll{1000};
/// For the name of a picture's host, which is not worth more.
constexpr milliseconds look_up_time{2000};

}  // namespace

PageFacts PageRun::facts() const {
    PageFacts known;
    known.requested_url = request_.url;
    known.platform = request_.platform;
    known.main = state_.main();
    if (!probes_.empty()) known.page = &probes_.front();
    for (const auto& probe : probes_) {
        known.challenge_widget = known.challenge_widget || probe.challenge_widget;
        known.password_field = known.password_field || probe.password_field;
    }
    return known;
}

Result<MediaInfo> PageRun::run() {
    JR_TRY(open());
    navigate();
    JR_TRY(watch());
    auto info = decide();
    if (info || !visible_ || (info.error().name != "AUTH_REQUIRED" && info.error().name != "BOT_CHALLENGE"))
        return info;
    JR_TRY(wait_for_person(info.error()));
    if (probes_.empty() || without_fragment(probes_.front().url) != without_fragment(request_.url)) {
        navigate();  // Logging in may have ended on another page.
        JR_TRY(watch());
    }
    return decide();
}

Result<void> PageRun::watch() {
    const auto begin = steady_clock::now();
    const auto nav_deadline = begin + options_.nav_timeout;
    auto done = Result<bool>(false);
    while (done && !*done) {
        done = watch_step(nav_deadline);
        if (!done || *done) break;
        auto pumped = pump(next_wake(nav_deadline));
        if (!pumped) done = std::move(pumped).error();
    }
    // At the end of a job that had hardly any time left for it, a page that was not asked for says nothing.
    const bool in_vain = !done && done.error().code == Errc::timed_out && (target_failed_ || steady_clock::now() >= begin + fair_look);
    if (state_.requested_main() || in_vain) engine_.note_start(state_.requested_main());
    return done ? Result<void>() : Result<void>(std::move(done).error());
}

/// One turn: true when enough was seen.
Result<bool> PageRun::watch_step(Deadline nav_deadline) {
    const auto now = steady_clock::now();
    if (auto refused = refusal()) return *std::move(refused);
    if (lost_guard()) {
        engine_.condemn();
        target_failed_ = true;
        return Error{Errc::unavailable, "EXTRACTOR_CRASHED",
                     "the browser lost its connection to the address guard and is replaced: the job is tried "
                     "again"};
    }
    if (state_.crashed() || gone_) {
        target_failed_ = true;
        return Error{
            Errc::unavailable, "EXTRACTOR_CRASHED",
            "the page " + shown_url(request_.url) + " crashed its browser process: the job is tried again"};
    }
    if (!navigate_error_.empty()) return true;
    if (!state_.requested_main() &&
        now >= std::min(nav_deadline, nav_deadline - options_.nav_timeout + start_time)) {
        target_failed_ = true;
        return out_of_time();
    }
    if (state_.documents() != document_) {
        document_ = state_.documents();
        settled_.reset();
        looked_at_dom_ = looked_at_load_ = false;
    }
    if (state_.dom_ready() && !settled_) settled_ = now + options_.settle;
    if (state_.activity() != seen_activity_) {
        seen_activity_ = state_.activity();
        quiet_since_ = now;
    }
    const bool at_end = settled_ ? now >= *settled_ : now >= nav_deadline;
    const bool fresh_dom = state_.dom_ready() && !looked_at_dom_;
    const bool fresh_load = state_.loaded() && !looked_at_load_;
    const bool fresh_media = state_.media_count() != seen_media_;
    const bool quiet = state_.loaded() && may_end_quietly() && now >= quiet_since_ + quiet_time;
    if (!at_end && !fresh_dom && !fresh_load && !fresh_media && !quiet) return false;

    looked_at_dom_ = looked_at_dom_ || fresh_dom;
    looked_at_load_ = looked_at_load_ || fresh_load;
    seen_media_ = state_.media_count();
    JR_TRY(look(fresh_dom || at_end, at_end));
    if (at_end && (!settled_ || hung_) && findings_.info.sources.empty()) {
        if (verdict_of_response(facts())) return true;
        return out_of_time();
    }
    const bool answered = state_.dom_ready() && !visible_ && verdict_of_response(facts()).has_value();
    return at_end || findings_.certain || quiet || answered;
}

/// A page that has shown nothing but previews is given all its time to settle.
bool PageRun::may_end_quietly() const { return findings_.has_direct && !findings_.provisional; }

Deadline PageRun::next_wake(Deadline nav_deadline) const {
    // What came during a look is not waited for once more.
    if (state_.documents() != document_ || state_.dom_ready() != looked_at_dom_ || state_.loaded() != looked_at_load_ ||
        state_.media_count() != seen_media_)
        return steady_clock::now();
    auto wake = settled_ ? *settled_ : nav_deadline;
    if (state_.loaded() && may_end_quietly()) wake = std::min(wake, quiet_since_ + quiet_time);
    if (!state_.requested_main()) wake = std::min(wake, nav_deadline - options_.nav_timeout + start_time);
    return wake;
}

/// What the site itself writes into its page of the post counts more than what else is to be seen there, which may be
/// of other posts.
void PageRun::read_data() {
    told_.reset();
    if (rule_ == nullptr || probes_.empty() || probes_.front().scripts.empty()) return;
    auto answer = read_scripts(*rule_, probes_.front(), request_.nth,
                               {{"url", request_.url}, {"id", request_.post_id}, {"platform", request_.platform},
                                {"host", url_host(request_.url)}});
    told_ = std::move(answer.told);
    if (!answer.info) return;
    auto& info = *answer.info;
    info.webpage_url = findings_.info.webpage_url;
    for (auto& source : info.sources) source.http_headers.try_emplace("User-Agent", engine_.user_agent());
    if (info.title.empty()) info.title = findings_.info.title;
    if (info.thumbnail.empty()) info.thumbnail = findings_.info.thumbnail;
    findings_.info = std::move(info);
    findings_.has_direct = findings_.certain = true;
    findings_.provisional = false;
}

/// Why there is nothing to be had, as far as that can be told now.
std::optional<Error> PageRun::judge() const {
    if (!told_) return verdict(facts(), findings_);
    if (auto sure = verdict_of_response(facts())) return sure;
    return told_;
}

Result<void> PageRun::look(bool play, bool last) {
    struct Asked {
        std::string session;
        std::int64_t world = 0;
        std::int64_t answer = 0;
        bool main = false;
        bool silent = false;  // No answer came, not even that it cannot be looked at just now.
    };
    std::vector<Asked> asked;
    const auto ask_world = [&](const std::string& frame, const std::string& session, bool main) {
        asked.push_back(
            {session,
             send(session, "Page.createIsolatedWorld", {{"frameId", frame}, {"worldName", "jobruntime"}}), 0,
             main});
    };
    ask_world(state_.main_frame(), session_, true);
    for (const auto& [id, frame] : state_.frames()) {
        if (id != state_.main_frame() && asked.size() < frames_to_look_at)
            ask_world(id, frame.session, false);
    }
    const auto begin = steady_clock::now();
    const auto until = std::min(begin + look_time, deadline_ - milliseconds(50));
    const auto wait = [&](Asked& one, std::int64_t id) -> Result<std::optional<json::object>> {
        while (!answers_.contains(id)) {
            auto more = pump(until);
            if (!more) return std::move(more).error();
            if (!*more) break;
        }
        wanted_.erase(id);
        auto node = answers_.extract(id);
        one.silent = node.empty();
        if (node.empty() || !node.mapped().error.empty()) return std::optional<json::object>{};
        return std::optional<json::object>(std::move(node.mapped().params));
    };
    json::array scripts;
    if (rule_ != nullptr)
        for (const auto& id : scripts_of(*rule_)) scripts.emplace_back(id);
    const auto wanted = json::serialize(scripts);
    for (auto& one : asked) {
        auto world = wait(one, one.world);
        if (!world) return std::move(world).error();
        if (!*world) continue;
        std::string call(probe_script());
        call += "({main:" + std::string(one.main ? "true" : "false") + ",play:" + (play ? "true" : "false") +
                ",json:" + (last ? "true" : "false") + ",scripts:" + wanted +
                ",waitMs:" + std::to_string(metadata_wait_ms) + "})";
        one.answer = send(one.session, "Runtime.evaluate",
                          {{"expression", call},
                           {"contextId", (**world)["executionContextId"]},
                           {"awaitPromise", true},
                           {"returnByValue", true}});
    }
    std::vector<Probe> probes;
    for (auto& one : asked) {
        std::optional<Probe> probe;
        if (one.answer != 0) {
            auto answer = wait(one, one.answer);
            if (!answer) return std::move(answer).error();
            if (*answer) {
                const auto* result = object_at(**answer, "result");
                if (result != nullptr) probe = parse_probe(text_at(*result, "value"));
            }
        }
        if (one.main) hung_ = one.silent;
        // Whatever becomes of this job: nobody can be sure of such a browser. What crashed cannot answer, though.
        if (one.main && hung_ && until >= begin + fair_look && !state_.crashed() && !gone_) engine_.condemn();
        if (probe)
            probes.push_back(std::move(*probe));
        else if (one.main)
            break;  // Without the main frame the page is between two documents.
    }
    if (!probes.empty()) probes_ = std::move(probes);
    findings_ = find_nth({request_.url, probes_, state_.sightings(), engine_.user_agent()}, request_.nth);
    read_data();
    return {};
}

/// The page, or what it went on to, lies at a private address.
std::optional<Error> PageRun::refusal() const {
    auto trouble = engine_.proxy().trouble(state_.main_url(), began_);
    if (trouble && trouble->name == "SSRF_BLOCKED") return trouble;
    return std::nullopt;
}

/// Why there is no main document, in the guard's words when it knows.
std::optional<Error> PageRun::network_trouble() const {
    const int status = state_.main() ? state_.main()->status : 0;
    const bool gateway = status == 502 || status == 503 || status == 504;
    if (status != 0 && !gateway) return std::nullopt;
    if (auto trouble = engine_.proxy().trouble(state_.main_url(), began_)) return trouble;
    if (gateway || navigate_error_.empty()) return std::nullopt;
    return network_error(navigate_error_, request_.url);
}

/// The browser has forgotten the guard's credential: nothing but its guard makes Chromium show a 407.
bool PageRun::lost_guard() const {
    if (state_.main()) return state_.main()->status == 407;
    return !navigate_error_.empty() && engine_.proxy().stats().unauthorized != before_.unauthorized &&
           !engine_.proxy().trouble(state_.main_url(), began_);
}

/// Another tab's may be among them: connections do not say whose they are.
void PageRun::tell_denials() const {
    const auto stats = engine_.proxy().stats();
    if (stats.denied == before_.denied) return;
    log("the browser was kept from " + std::to_string(stats.denied - before_.denied) +
        " connections to private addresses meanwhile; the last: " + stats.last_denial);
}

Result<MediaInfo> PageRun::decide() {
    finish_tape();
    if (tape_ && !tape_->missing().empty() && findings_.info.sources.empty()) return not_recorded();
    tell_denials();
    if (auto refused = refusal()) return *std::move(refused);
    if (auto trouble = network_trouble()) return *std::move(trouble);
    if (!navigate_error_.empty() && findings_.info.sources.empty()) {
        // The server sent a file to save instead of a page; the answer itself may be the media.
        findings_ = find_nth({request_.url, probes_, state_.sightings(), engine_.user_agent()}, request_.nth);
    }
    if (auto error = judge()) return std::move(*error);
    auto info = findings_.info;
    info.id = request_.post_id;
    std::erase_if(info.sources, [&](const MediaSource& source) {
        const auto trouble = engine_.proxy().trouble(source.url, began_);
        return trouble && trouble->name == "SSRF_BLOCKED";
    });
    if (info.sources.empty()) {
        return Error{Errc::invalid_argument, "SSRF_BLOCKED",
                     "every video of " + shown_url(request_.url) +
                         " lies on a private address: JOBRT_ALLOW_NETS names the networks that are allowed"};
    }
    JR_TRY(vet_thumbnail(info));
    add_cookies(info);
    return info;
}

/// Nothing here fetches it, but whoever is told of it may. Videos were fetched by the page, through the guard.
Result<void> PageRun::vet_thumbnail(MediaInfo& info) const {
    if (info.thumbnail.empty()) return {};
    HostVetter vetter(allowed_, options_.recording);
    auto vetted = vetted_url(info.thumbnail, vetter, std::min(deadline_, steady_clock::now() + look_up_time), stop_);
    if (!vetted && vetted.error().code == Errc::canceled) return std::move(vetted).error();
    info.thumbnail = vetted ? *std::move(vetted) : std::string();
    return {};
}

Result<void> PageRun::wait_for_person(const Error& why) {
    const auto limit =
        std::min(steady_clock::now() + options_.manual_solve_timeout, deadline_ - milliseconds(500));
    if (options_.on_waiting_for_human)
        options_.on_waiting_for_human(request_, why, options_.manual_solve_timeout);
    while (true) {
        const auto next = std::min(limit, steady_clock::now() + person_poll);
        while (steady_clock::now() < next) {
            auto pumped = pump(next);
            if (!pumped) return std::move(pumped).error();
        }
        if (state_.crashed() || gone_)
            return Error{Errc::unavailable, "EXTRACTOR_CRASHED",
                         "the window was closed while it waited for a person"};
        JR_TRY(look(false, false));
        const auto still = judge();
        if (!still || (still->name != "AUTH_REQUIRED" && still->name != "BOT_CHALLENGE")) return {};
        if (steady_clock::now() >= limit) {
            Error late = why;
            late.message += "; nobody did so within " +
                            std::to_string(options_.manual_solve_timeout.count() / 1000) + " s";
            return late;
        }
    }
}

}  // namespace jobruntime::extract
