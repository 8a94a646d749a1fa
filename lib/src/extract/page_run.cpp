// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/page_run.hpp"

#include <algorithm>

#include <boost/json.hpp>

#include "core/failpoint.hpp"
#include "extract/json_access.hpp"
#include "net/site.hpp"

// The talking: targets, sessions, requests, answers. What to look for is in page_watch.cpp.
namespace jobruntime::extract {

namespace json = boost::json;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

namespace {

/// What Chromium may take for things that need no page and no network.
constexpr milliseconds answer_time{10'000};
constexpr milliseconds close_time{1000};
/// Who did not answer at the end of a job that had less left than this was hardly asked.
constexpr milliseconds fair_time{1000};

json::string as_json(std::string_view text) { return json::string(text.data(), text.size()); }

}  // namespace

PageRun::PageRun(Engine& engine, const ExtractOptions& options, const ExtractRequest& request, const PageRule* rule,
                 bool visible, const std::vector<net::Network>& allowed, Deadline deadline, std::stop_token stop)
    : engine_(engine),
      options_(options),
      request_(request),
      rule_(rule),
      visible_(visible),
      allowed_(allowed),
      deadline_(deadline),
      stop_(std::move(stop)),
      began_(steady_clock::now()),
      before_(engine.proxy().stats()) {
    if (options.recording != nullptr)
        tape_.emplace(*options.recording,
                      [this](std::string_view session, std::string_view method, json::object params) {
                          return engine_.connection().send(mailbox_, session, method, std::move(params));
                      });
}

PageRun::~PageRun() {
    if (mailbox_ == nullptr) return;
    auto& connection = engine_.connection();
    if (target_.empty()) {
        engine_.condemn();  // A target may exist whose name we never heard.
    } else if (!JOBRT_FAILPOINT("control.keep_window")) {
        const auto until = steady_clock::now() + close_time;
        connection.send(nullptr, {}, "Target.closeTarget", {{"targetId", as_json(target_)}});
        cdp::Message message;
        while (!gone_ && !session_.empty()) {
            const auto got = mailbox_->pop(message, until, {});
            if (got != cdp::Mailbox::Got::message) {
                engine_.condemn();
                break;
            }
            gone_ = message.method == "Target.detachedFromTarget" &&
                    text_at(message.params, "sessionId") == session_;
        }
    }
    connection.close_mailbox(mailbox_);
}

std::int64_t PageRun::send(std::string_view session, std::string_view method, json::object params) {
    const auto id = engine_.connection().send(mailbox_, session, method, std::move(params));
    wanted_.insert(id);
    return id;
}

Error PageRun::out_of_time() const {
    const bool known = request_.platform == "x" || request_.platform == "tiktok";
    return {Errc::timed_out, "EXTRACTION_TIMEOUT",
            shown_url(request_.url) + " did not show a video in time: " +
                (known ? "the site may want a log-in (`jobrt auth bootstrap " + request_.platform +
                             "`), or is slow"
                       : std::string("the site may be slow, or want a log-in (`jobrt auth bootstrap`)")) +
                "; EXTRACTION_TIMEOUT_MS and PLAYWRIGHT_NAV_TIMEOUT_MS allow more"};
}

void PageRun::log(const std::string& line) const {
    if (request_.log) request_.log(line);
}

Result<bool> PageRun::pump(Deadline until) {
    cdp::Message message;
    switch (mailbox_->pop(message, std::min(until, deadline_), stop_)) {
        case cdp::Mailbox::Got::stopped:
            return Error{Errc::canceled, "stopped while extracting from " + shown_url(request_.url)};
        case cdp::Mailbox::Got::closed:
            engine_.condemn();
            return Error{Errc::unavailable, "EXTRACTOR_CRASHED",
                         "the browser ended while it worked on " + shown_url(request_.url) +
                             ": the job is tried again with a new one; when it happens again, `jobrt doctor` "
                             "tries the browser alone"};
        case cdp::Mailbox::Got::deadline:
            if (steady_clock::now() >= deadline_) return out_of_time();
            return false;
        case cdp::Mailbox::Got::message: break;
    }
    if (message.id != 0) {
        if (wanted_.contains(message.id)) {
            if (message.id == navigation_)
                navigate_error_ = std::string(text_at(message.params, "errorText"));
            answers_[message.id] = std::move(message);
        } else if (tape_) {
            tape_->take_answer(message);
        }
        return true;
    }
    react(message);
    return true;
}

Result<json::object> PageRun::await(std::int64_t id, Deadline until, std::string_view what) {
    const auto asked = steady_clock::now();
    while (true) {
        if (const auto found = answers_.find(id); found != answers_.end()) {
            auto message = std::move(found->second);
            answers_.erase(found);
            wanted_.erase(id);
            if (!message.error.empty())
                return Error{Errc::invalid_argument, std::string(what) + ": " + message.error};
            return std::move(message.params);
        }
        auto more = pump(until);
        if (!more) {
            // The job's time was over before the browser's was.
            if (more.error().code == Errc::timed_out && steady_clock::now() >= asked + fair_time) engine_.condemn();
            return std::move(more).error();
        }
        if (!*more) {
            wanted_.erase(id);
            engine_.condemn();
            return Error{Errc::timed_out, "EXTRACTOR_CRASHED",
                         "the browser did not answer " + std::string(what) +
                             " in time and is replaced: the job is tried again"};
        }
    }
}

Result<void> PageRun::open() {
    auto spare = engine_.take_spare();
    mailbox_ = spare ? std::move(spare->mailbox) : engine_.connection().open_mailbox();
    if (spare) target_ = std::move(spare->target);
    const auto until = steady_clock::now() + answer_time;
    if (target_.empty()) {
        const auto request =
            spare ? spare->request
                  : send({}, "Target.createTarget", {{"url", "about:blank"}, {"newWindow", true}});
        wanted_.insert(request);
        auto created = await(request, until, "Target.createTarget");
        if (!created) {
            target_failed_ = created.error().code == Errc::invalid_argument;
            if (!target_failed_) return std::move(created).error();
            return Error{Errc::unavailable, "EXTRACTOR_CRASHED",
                         "the browser could not open a window (" + created.error().message +
                             "): the job is tried again"};
        }
        target_ = std::string(text_at(*created, "targetId"));
    }
    auto attached =
        await(send({}, "Target.attachToTarget", {{"targetId", as_json(target_)}, {"flatten", true}}), until,
              "Target.attachToTarget");
    if (!attached) {
        // The blank target may have crashed since it was made.
        target_failed_ = attached.error().code == Errc::invalid_argument;
        if (!target_failed_) return std::move(attached).error();
        return Error{Errc::unavailable, "EXTRACTOR_CRASHED",
                     "the browser lost its window: the job is tried again"};
    }
    session_ = std::string(text_at(*attached, "sessionId"));
    engine_.connection().route(session_, mailbox_);
    state_.start(session_, target_);  // Chromium gives a page's main frame its target's id.
    set_up(session_);
    // A page that loads before its renderer has heard of Page.enable tells nothing about itself, ever.
    auto ready = await(send(session_, "Page.enable", {}), until, "Page.enable");
    if (!ready) return std::move(ready).error();
    return {};
}

void PageRun::set_up(const std::string& session) {
    auto& connection = engine_.connection();
    const auto tell = [&](std::string_view method, json::object params) {
        connection.send(nullptr, session, method, std::move(params));
    };
    tell("Page.enable", {});
    tell("Inspector.enable", {});
    // Only a recording ever asks for the bodies.
    const int buffers = tape_ && !tape_->replays() ? 32 : 1;
    tell("Network.enable", {{"maxTotalBufferSize", buffers << 20}, {"maxResourceBufferSize", buffers << 18}});
    if (tape_) tape_->set_up(session);
    json::array kinds;
    for (const char* type : {"iframe", "worker"})
        kinds.emplace_back(json::object{{"type", type}, {"exclude", false}});
    tell("Target.setAutoAttach", {{"autoAttach", true},
                                  {"waitForDebuggerOnStart", true},
                                  {"flatten", true},
                                  {"filter", std::move(kinds)}});
}

void PageRun::navigate() {
    navigate_error_.clear();
    document_ = state_.documents();
    settled_.reset();
    looked_at_dom_ = looked_at_load_ = false;
    quiet_since_ = steady_clock::now();
    navigation_ = send(session_, "Page.navigate", {{"url", as_json(request_.url)}});
}

void PageRun::react(const cdp::Message& event) {
    auto& connection = engine_.connection();
    if (event.method == "Target.attachedToTarget") {
        const std::string child(text_at(event.params, "sessionId"));
        if (child.empty()) return;
        set_up(child);
        connection.send(nullptr, child, "Runtime.runIfWaitingForDebugger", {});
    } else if (event.method == "Page.javascriptDialogOpening") {
        // A dialogue stops the page for ever; nobody is there to read it.
        connection.send(nullptr, event.session, "Page.handleJavaScriptDialog", {{"accept", true}});
    } else if (event.method == "Target.detachedFromTarget" &&
               text_at(event.params, "sessionId") == session_) {
        gone_ = true;
    }
    if (tape_) tape_->on_event(event);
    state_.on_event(event.session, event.method, event.params);
}

/// What is still to come of a recording, for a moment.
void PageRun::finish_tape() {
    if (!tape_ || tape_->replays() || !engine_.connection().alive()) return;
    const auto until = std::min(deadline_, steady_clock::now() + close_time);
    if (auto cookies = await(send(session_, "Network.getCookies", {}), until, "Network.getCookies"))
        tape_->note_cookies(*cookies);
    while (tape_->waits()) {
        const auto more = pump(until);
        if (!more || !*more) break;
    }
    tape_->take_media(allowed_, deadline_, stop_);
}

Error PageRun::not_recorded() const {
    return {Errc::unsupported, "RECORDING_INCOMPLETE",
            "the recording has no answer for " + shown_url(tape_->missing()) + "; record it anew"};
}

/// The cookies that the browser has for the hosts of the media: a stream's pieces may lie elsewhere than its
/// playlist. What the browser would not send from this page, because it belongs to another site and does not say
/// that it may, stays here.
void PageRun::add_cookies(MediaInfo& info) {
    constexpr std::size_t most_urls = 64;
    constexpr std::size_t most_cookies = 200;
    std::set<std::string> urls;
    for (const auto& source : info.sources) {
        urls.insert(source.url);
        if (source.sound) urls.insert(source.sound->url);
    }
    if (is_http_url(info.thumbnail)) urls.insert(info.thumbnail);
    if (is_http_url(state_.main_url())) urls.insert(state_.main_url());
    for (const auto& seen : state_.sightings()) {
        const auto path = std::string_view(seen.url).substr(0, seen.url.find('?'));
        if (urls.size() < most_urls) urls.emplace(path.substr(0, path.rfind('/') + 1));
    }
    json::array list;
    for (const auto& url : urls) list.emplace_back(as_json(url));
    auto answer = await(send(session_, "Network.getCookies", {{"urls", std::move(list)}}),
                        steady_clock::now() + milliseconds(2000), "Network.getCookies");
    const auto* cookies = answer ? array_at(*answer, "cookies") : nullptr;
    if (cookies == nullptr) return;
    if (tape_) tape_->note_cookies(*answer);  // Also those of hosts that this page had nothing from.
    const auto page_host = url_host(state_.main_url());
    for (const auto& entry : *cookies) {
        const auto* known = entry.if_object();
        if (known == nullptr || info.cookies.size() >= most_cookies) continue;
        Cookie cookie;
        auto domain = text_at(*known, "domain");
        cookie.subdomains = domain.starts_with('.');
        if (cookie.subdomains) domain.remove_prefix(1);
        cookie.domain = lower(domain);
        cookie.path = std::string(text_at(*known, "path"));
        cookie.secure = flag_at(*known, "secure");
        cookie.http_only = flag_at(*known, "httpOnly");
        cookie.expires = static_cast<std::int64_t>(std::clamp(number_at(*known, "expires"), 0.0, 253'402'300'799.0));
        cookie.name = std::string(text_at(*known, "name"));
        cookie.value = std::string(text_at(*known, "value"));
        const bool from_anywhere = text_at(*known, "sameSite") == "None";
        if (from_anywhere || net::site_of(cookie.domain) == net::site_of(page_host)) info.cookies.push_back(std::move(cookie));
    }
}

}  // namespace jobruntime::extract
