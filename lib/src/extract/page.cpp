// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <utility>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>

#include "core/read_file_linux.hpp"
#include "extract/classify.hpp"
#include "extract/html_page.hpp"
#include "extract/info_dict.hpp"
#include "extract/json_access.hpp"
#include "extract/media_finder.hpp"
#include "extract/page_rules.hpp"
#include "extract/recording.hpp"
#include "net/site.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

using std::chrono::steady_clock;

/// An answer that another way cannot better.
bool is_final(std::string_view code) {
    return code == "NO_MEDIA" || code == "VIDEO_UNAVAILABLE" || code == "DRM_PROTECTED" || code == "GEO_BLOCKED" ||
           code == "SSRF_BLOCKED" || code == "INVALID_URL";
}

Error unexpected(std::string message) { return {Errc::unsupported, "UNSUPPORTED_SOURCE", std::move(message)}; }

std::vector<Cookie> cookies_of(const std::string& path) {
    if (path.empty()) return {};
    const auto text = core::read_file(path);
    if (!text) return {};
    auto cookies = parse_cookie_file(*text);
    return cookies ? *std::move(cookies) : std::vector<Cookie>();
}

/// What the answer for a page is when it is none.
MediaKind media_of(const net::Response& answer) {
    if (answer.status != 200) return MediaKind::none;
    return classify_answer(answer.final_url, answer.header("content-type").value_or(""), answer.body);
}

/// One extraction: the values that templates see, cookies, and the time that is left.
class PageQuery {
public:
    PageQuery(const net::Fetcher& fetcher, const PageOptions& options, const ExtractRequest& request, net::Url page,
              std::stop_token stop)
        : fetcher_(fetcher), options_(options), request_(request), page_(std::move(page)), stop_(std::move(stop)),
          deadline_(steady_clock::now() + request.timeout), vetter_(options.allow_nets, options.recording),
          imported_(cookies_of(request.cookies_file)), site_(imported_) {}

    Result<MediaInfo> by_rule(const PageRule& rule);
    Result<std::optional<MediaInfo>> direct_file();

private:
    struct Answer {
        net::Response response;
        bool page = false;
    };
    Result<MediaInfo> by_way(const PageWay& way);
    Result<Answer> run_steps(const PageWay& way);
    Result<net::Response> ask(const PageStep& step, const PageWay& way);
    Result<net::Response> fetch(const net::FetchRequest& request, std::optional<std::string_view> body, bool page);
    Result<net::Response> fetch_page(const net::FetchRequest& request);
    Result<net::Response> get(const std::string& url, const std::string& referer, bool head = false);
    std::optional<Error> refusal(const net::Response& response, const PageStep& step) const;
    Result<json::value> document_of(const Answer& answer, const PageWay& way) const;
    Result<MediaInfo> read_html_page(const net::Response& response);
    Result<MediaInfo> one_source(const net::Response& answer, MediaKind kind);
    std::vector<Cookie> cookies_for_download(const PageWay& way) const;
    Result<MediaInfo> finished(MediaInfo info, const PageWay& way);
    void follow_embeds(const HtmlPage& page, Observation& seen, MediaInfo& described);
    std::chrono::milliseconds left() const {
        return std::max(std::chrono::milliseconds(1),
                        std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - steady_clock::now()));
    }
    Error late_or(Error error) const {
        if (error.code != Errc::timed_out || steady_clock::now() < deadline_) return error;
        return {Errc::timed_out, "EXTRACTION_TIMEOUT", "the page extractor ran out of time: " + error.message};
    }

    const net::Fetcher& fetcher_;
    const PageOptions& options_;
    const ExtractRequest& request_;
    const net::Url page_;
    const std::stop_token stop_;
    const Deadline deadline_;
    HostVetter vetter_;
    const std::vector<Cookie> imported_;
    net::CookieJar site_;  // Of the page and what it embeds: imported ones, and what is set on the way.
    std::optional<net::CookieJar> steps_;  // What the steps of this way set; no log-in is among them.
    std::map<std::string, std::string> values_;
};

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

Result<json::value> PageQuery::document_of(const Answer& answer, const PageWay& way) const {
    std::string text = answer.response.body;
    if (!way.scripts.empty()) {
        auto base = net::parse_url(answer.response.final_url, net::max_fetch_url);
        auto page = read_html(text, base ? *base : page_);
        auto found = page.scripts.end();
        for (const auto& id : way.scripts)
            if (found == page.scripts.end()) found = page.scripts.find(id);
        if (found == page.scripts.end()) {
            PageFacts facts;
            facts.requested_url = request_.url;
            facts.platform = request_.platform;
            facts.main = MainResponse{answer.response.final_url, "", "", answer.response.status};
            facts.page = &page.probe;
            facts.challenge_widget = page.probe.challenge_widget;
            facts.password_field = page.probe.password_field;
            auto why = verdict(facts, {});
            if (why && why->name != "NO_MEDIA") return *std::move(why);
            return unexpected("the page " + shown_url(answer.response.final_url) + " has no data of the kind that the rule expects");
        }
        text = found->second;
    }
    json::error_code failed;
    json::parse_options limits;
    limits.max_depth = 64;
    auto document = json::parse(text, failed, {}, limits);
    if (failed) return unexpected("the answer of " + shown_url(answer.response.final_url) + " is not JSON");
    return document;
}

/// What an oEmbed answer and the frames of a page lead to: one step, no further.
void PageQuery::follow_embeds(const HtmlPage& page, Observation& seen, MediaInfo& described) {
    auto frames = page.frames;
    if (!page.oembed.empty()) {
        auto answer = get(page.oembed, page.probe.url);
        json::error_code failed;
        auto embed = answer && answer->status == 200 ? json::parse(answer->body, failed) : json::value();
        if (const auto* object = embed.if_object()) {
            described.title = text_at(*object, "title");
            described.author = text_at(*object, "author_name");
            described.thumbnail = text_at(*object, "thumbnail_url");
            auto inner = read_html(text_at(*object, "html"), page_);
            seen.probes.push_back(std::move(inner.probe));
            frames.insert(frames.begin(), inner.frames.begin(), inner.frames.end());
        }
    }
    int asked = 0;
    for (const auto& frame : frames) {
        if (++asked > 3 || !find_media(seen).info.sources.empty()) break;
        auto answer = get(frame, page.probe.url);
        auto base = answer ? net::parse_url(answer->final_url, net::max_fetch_url) : Result<net::Url>(Error{});
        if (answer && base && answer->status == 200) seen.probes.push_back(read_html(answer->body, *base).probe);
    }
}

Result<MediaInfo> PageQuery::read_html_page(const net::Response& response) {
    auto base = net::parse_url(response.final_url, net::max_fetch_url);
    const auto page = read_html(response.body, base ? *base : page_);
    PageFacts facts;
    facts.requested_url = page_.str();
    facts.platform = request_.platform;
    facts.main = MainResponse{response.final_url, "", std::string(response.header("cf-mitigated").value_or("")),
                              response.status};
    facts.page = &page.probe;
    facts.challenge_widget = page.probe.challenge_widget;
    facts.password_field = page.probe.password_field;
    Observation seen;
    seen.requested_url = page_.str();
    seen.user_agent = options_.user_agent;
    seen.probes.push_back(page.probe);
    auto findings = find_media(seen);
    if (findings.info.sources.empty() && response.status < 300) {
        MediaInfo described;
        follow_embeds(page, seen, described);
        findings = find_media(seen);
        if (findings.info.title.empty()) findings.info.title = described.title;
        if (findings.info.author.empty()) findings.info.author = described.author;
        if (findings.info.thumbnail.empty()) findings.info.thumbnail = described.thumbnail;
    }
    if (auto why = verdict(facts, findings)) return *std::move(why);
    if (request_.nth > 1)
        return Error{Errc::not_found, "NO_MEDIA", "of a page like this only the first video can be chosen"};
    return std::move(findings.info);
}

/// What a browser that shows the page would send for its media: the page's own site's, not what was imported for
/// other sites, whoever names them.
std::vector<Cookie> PageQuery::cookies_for_download(const PageWay& way) const {
    auto cookies = site_.cookies();
    const auto site = net::site_of(page_.host);
    std::erase_if(cookies, [&](const Cookie& cookie) {
        return std::find(imported_.begin(), imported_.end(), cookie) != imported_.end() && net::site_of(cookie.domain) != site;
    });
    if (way.cookies)
        for (auto& cookie : steps_->cookies())
            if (std::find(cookies.begin(), cookies.end(), cookie) == cookies.end()) cookies.push_back(std::move(cookie));
    return cookies;
}

Result<MediaInfo> PageQuery::finished(MediaInfo info, const PageWay& way) {
    info.cookies = cookies_for_download(way);
    if (options_.recording != nullptr) options_.recording->impl().note_secrets_of(info);
    JR_TRY(vet_info(info, request_, vetter_, deadline_, stop_));
    return info;
}

Result<MediaInfo> PageQuery::by_way(const PageWay& way) {
    auto answer = run_steps(way);
    if (!answer) return std::move(answer).error();
    if (!way.reader) {
        const auto kind = media_of(answer->response);
        return kind == MediaKind::none ? read_html_page(answer->response) : one_source(answer->response, kind);
    }
    auto document = document_of(*answer, way);
    if (!document) return std::move(document).error();
    auto info = read_document(*document, *way.reader, request_.nth);
    if (!info) return info;
    for (auto& source : info->sources) {
        for (const auto& [name, value] : way.reader->headers) source.http_headers[name] = fill_in(value, values_, false);
        source.http_headers.try_emplace("User-Agent", options_.user_agent);
    }
    info->webpage_url = page_.str();
    return info;
}

Result<MediaInfo> PageQuery::by_rule(const PageRule& rule) {
    std::optional<Error> told;  // The first reason that is about the post and not about the way.
    std::optional<Error> last;
    for (const auto& way : rule.ways) {
        auto info = by_way(way);
        if (info) {
            if (info->id.empty()) info->id = request_.post_id;
            return finished(*std::move(info), way);
        }
        auto error = std::move(info).error();
        if (error.code == Errc::canceled || error.name == "EXTRACTION_TIMEOUT") return error;
        const auto name = way.name.empty() ? rule.name : way.name;
        if (rule.ways.size() > 1 && request_.log) request_.log("page, " + name + ": " + error.name + ": " + error.message);
        if (is_final(error.name)) return told ? *std::move(told) : std::move(error);
        if (!told && error.name == "AUTH_REQUIRED") told = error;
        last = std::move(error);
    }
    return told ? *std::move(told) : *std::move(last);
}

/// The URL may itself be a file: then nobody need read it as a page. By name first, so that pages cost no
/// further request.
Result<std::optional<MediaInfo>> PageQuery::direct_file() {
    if (classify_media(page_.str(), "") == MediaKind::none) return std::optional<MediaInfo>();
    auto head = get(page_.str(), "", true);
    if (!head) return std::move(head).error();
    const auto kind = classify_media(head->final_url, head->header("content-type").value_or(""));
    if (head->status != 200 || kind == MediaKind::none || kind == MediaKind::segment) return std::optional<MediaInfo>();
    auto info = one_source(*head, kind);
    if (!info) return std::move(info).error();
    return std::optional<MediaInfo>(*std::move(info));
}

/// Of an answer that is media itself.
Result<MediaInfo> PageQuery::one_source(const net::Response& answer, MediaKind kind) {
    MediaInfo info;
    MediaSource source;
    source.url = answer.final_url;
    source.protocol = kind == MediaKind::hls    ? MediaProtocol::hls
                      : kind == MediaKind::dash ? MediaProtocol::dash
                                                : MediaProtocol::https;
    source.ext = container_of(source.url, answer.header("content-type").value_or(""));
    source.http_headers["User-Agent"] = options_.user_agent;
    source.origin = "url";
    info.title = page_.path.substr(page_.path.rfind('/') + 1);
    info.sources.push_back(std::move(source));
    return finished(std::move(info), {});
}

}  // namespace

PageExtractor::PageExtractor(const net::Fetcher& fetcher, PageRules rules, PageOptions options)
    : fetcher_(fetcher), rules_(std::move(rules)), options_(std::move(options)) {}
PageExtractor::~PageExtractor() = default;

Result<MediaInfo> PageExtractor::extract(const ExtractRequest& request, std::stop_token stop) {
    auto url = net::parse_url(request.url, net::max_fetch_url);
    if (!url) return std::move(url).error();
    url->fragment.reset();
    PageQuery query(fetcher_, options_, request, *url, stop);
    if (request.platform == "web" || request.platform.empty()) {
        auto file = query.direct_file();
        if (!file) return std::move(file).error();
        if (*file) return **std::move(file);
    }
    if (rules_.impl_ != nullptr) {
        for (const auto& rule : rules_.impl_->rules)
            if (rule.matches(request.platform, url->host)) return query.by_rule(rule);
    }
    return Error{Errc::unsupported, "UNSUPPORTED_SOURCE", "no page rule fits " + url->host};
}

}  // namespace jobruntime::extract
