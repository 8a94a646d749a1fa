// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "core/read_file_linux.hpp"
#include "extract/classify.hpp"
#include "extract/info_dict.hpp"
#include "extract/page_query.hpp"
#include "extract/recording.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

using std::chrono::steady_clock;

std::vector<Cookie> cookies_of(const std::string& path) {
    if (path.empty()) return {};
    const auto text = core::read_file(path);
    if (!text) return {};
    auto cookies = parse_cookie_file(*text);
    return cookies ? *std::move(cookies) : std::vector<Cookie>();
}

}  // namespace

Error unexpected(std::string message) { return {Errc::unsupported, "UNSUPPORTED_SOURCE", std::move(message)}; }

MediaKind media_of(const net::Response& answer) {
    if (answer.status != 200) return MediaKind::none;
    return classify_answer(answer.final_url, answer.header("content-type").value_or(""), answer.body);
}

PageQuery::PageQuery(const net::Fetcher& fetcher, const PageOptions& options, const ExtractRequest& request, net::Url page,
                     std::stop_token stop)
    : fetcher_(fetcher), options_(options), request_(request), page_(std::move(page)), stop_(std::move(stop)),
      deadline_(steady_clock::now() + request.timeout), vetter_(options.allow_nets, options.recording),
      imported_(cookies_of(request.cookies_file)), site_(imported_) {}

std::chrono::milliseconds PageQuery::left() const {
    return std::max(std::chrono::milliseconds(1),
                    std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - steady_clock::now()));
}

Error PageQuery::late_or(Error error) const {
    if (error.code != Errc::timed_out || steady_clock::now() < deadline_) return error;
    return {Errc::timed_out, "EXTRACTION_TIMEOUT", "the page extractor ran out of time: " + error.message};
}

/// Every request of an extraction, past the recording where there is one.
Result<net::Response> PageQuery::fetch(const net::FetchRequest& request, std::optional<std::string_view> body, bool page) {
    const auto live = [&] {
        if (body) return fetcher_.post(request, *body, stop_);
        return page ? fetch_page(request) : fetcher_.get(request, stop_);
    };
    if (options_.recording == nullptr) return live();
    const auto* method = body ? "POST" : request.head ? "HEAD" : "GET";
    return options_.recording->impl().fetch("page", method, request, live);
}

/// A page; of what turns out to be media itself, its first bytes.
Result<net::Response> PageQuery::fetch_page(const net::FetchRequest& request) {
    net::Response got;
    bool enough = false;
    const net::StreamSink sink{.on_head =
                                   [&](const net::Response& head) {
                                       got = head;
                                       return std::optional<Error>();
                                   },
                               .on_body = [&](std::string_view bytes) -> std::optional<Error> {
                                   const bool first = got.body.size() < sniffed_bytes;
                                   got.body.append(bytes);
                                   if (!first || got.body.size() < sniffed_bytes || media_of(got) == MediaKind::none) return std::nullopt;
                                   enough = true;
                                   got.body.resize(sniffed_bytes);
                                   return Error{Errc::canceled, "it is media, and nobody need read it here"};
                               }};
    auto answer = fetcher_.stream(request, sink, stop_);
    if (answer) got.final_url = answer->final_url;
    if (!answer && !enough) return answer;
    return got;
}

Result<net::Response> PageQuery::get(const std::string& url, const std::string& referer, bool head) {
    net::FetchRequest request{.url = url, .head = head, .timeout = left(), .cookies = &site_};
    request.headers = {{"User-Agent", options_.user_agent}, {"Accept-Language", "en"}};
    if (!referer.empty()) request.headers.emplace_back("Referer", referer);
    auto answer = fetch(request, std::nullopt, false);
    if (!answer) return late_or(std::move(answer).error());
    return answer;
}

Result<net::Response> PageQuery::ask(const PageStep& step, const PageWay& way) {
    net::FetchRequest request{.url = step.is_page() ? page_.str() : fill_in(step.url, values_, true), .timeout = left()};
    for (const auto& [name, value] : step.query) {
        const auto whole = fill_in(value, values_);
        const auto text = whole.is_string() ? std::string(whole.get_string()) : json::serialize(whole);
        request.url += (request.url.find('?') == std::string::npos ? "?" : "&") + percent_encode(name) + "=" + percent_encode(text);
    }
    bool own_agent = false;
    for (const auto& [name, value] : step.headers) {
        own_agent = own_agent || lower(name) == "user-agent";
        request.headers.emplace_back(name, fill_in(value, values_, false));
    }
    if (!own_agent) request.headers.emplace_back("User-Agent", options_.user_agent);
    // A log-in is for the page. Interfaces are asked as a visitor asks them.
    if (step.is_page())
        request.cookies = &site_;
    else if (way.cookies)
        request.cookies = &*steps_;
    const auto body = step.post ? std::optional(fill_in(step.body, values_, false)) : std::nullopt;
    auto answer = fetch(request, body, step.is_page() && !way.reader);
    if (!answer) return late_or(std::move(answer).error());
    if (answer->status >= 400 && request_.asked_to_wait)
        if (const auto wait = net::retry_after(answer->headers)) request_.asked_to_wait(*wait);
    if (const auto from = net::parse_url(answer->final_url, net::max_fetch_url); from && step.is_page()) {
        for (const auto& [name, value] : answer->headers)
            if (name == "set-cookie") steps_->take(*from, value);
    }
    return answer;
}

std::optional<Error> PageQuery::refusal(const net::Response& response, const PageStep& step) const {
    if (const auto told = step.statuses.find(response.status); told != step.statuses.end())
        return Error{errc_of(told->second), told->second,
                     "the site answered with status " + std::to_string(response.status)};
    auto error = net::status_error(response.status, response.header("retry-after").has_value());
    if (!error || step.is_page()) return error;
    // An interface that refuses us says nothing about the post.
    if (error->name == "AUTH_REQUIRED" || error->name == "VIDEO_UNAVAILABLE")
        return unexpected("the site's interface " + shown_url(response.final_url) + " answered with status " +
                          std::to_string(response.status) + "; the rule may be out of date");
    return error;
}

Result<PageQuery::Answer> PageQuery::run_steps(const PageWay& way) {
    values_ = {{"url", page_.str()},
               {"id", request_.post_id},
               {"platform", request_.platform},
               {"host", page_.host},
               {"syndication", syndication_token(request_.post_id)}};
    steps_.emplace();
    for (std::size_t i = 0;; ++i) {
        const auto& step = way.steps[i];
        auto response = ask(step, way);
        if (!response) return std::move(response).error();
        const bool last = i + 1 == way.steps.size();
        // A page says by its words why it is refused: whoever reads it decides.
        const bool html = last && step.is_page() && !way.reader;
        if (!html) {
            if (auto refused = refusal(*response, step)) return *std::move(refused);
        }
        if (last) return Answer{*std::move(response), step.is_page()};
        if (step.keep.empty()) continue;
        json::error_code failed;
        const auto body = json::parse(response->body, failed);
        for (const auto& [name, paths] : step.keep) {
            const auto* value = failed ? nullptr : first_at(body, paths);
            const auto text = value == nullptr ? std::string() : scalar_text(*value);
            if (text.empty() || text.size() > 4096)
                return unexpected("the answer of " + shown_url(response->final_url) + " has no " + name +
                                  "; the rule may be out of date");
            values_[name] = text;
        }
    }
}

}  // namespace jobruntime::extract
