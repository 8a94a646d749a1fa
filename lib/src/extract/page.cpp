// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <utility>

#include <boost/json/parse.hpp>

#include "extract/classify.hpp"
#include "extract/info_dict.hpp"
#include "extract/json_access.hpp"
#include "extract/nth_video.hpp"
#include "extract/page_query.hpp"
#include "extract/recording.hpp"
#include "net/site.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

/// An answer that another way cannot better.
bool is_final(std::string_view code) {
    return code == "NO_MEDIA" || code == "VIDEO_UNAVAILABLE" || code == "DRM_PROTECTED" || code == "GEO_BLOCKED" ||
           code == "SSRF_BLOCKED" || code == "INVALID_URL";
}

/// Scripts, which do not run here, may bring the video that a preview is beside.
bool is_answer(const Findings& findings) { return !findings.info.sources.empty() && !findings.provisional; }

}  // namespace

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
    const int most = std::max(3, request_.nth);
    int asked = 0;
    for (const auto& frame : frames) {
        if (++asked > most || is_answer(find_nth(seen, request_.nth))) break;
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
    auto findings = find_nth(seen, request_.nth);
    if (!is_answer(findings) && response.status < 300) {
        MediaInfo described;
        follow_embeds(page, seen, described);
        findings = find_nth(seen, request_.nth);
        if (findings.info.title.empty()) findings.info.title = described.title;
        if (findings.info.author.empty()) findings.info.author = described.author;
        if (findings.info.thumbnail.empty()) findings.info.thumbnail = described.thumbnail;
    }
    if (auto why = verdict(facts, findings)) {
        if (why->name == "NO_MEDIA" && request_.nth > 0)
            why->message = "the page names no video number " + std::to_string(request_.nth);
        return *std::move(why);
    }
    if (findings.provisional)
        return Error{Errc::not_found, "NO_MEDIA",
                     "all that the page names plays muted by itself, as previews do; its scripts may show its video"};
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
    if (request_.nth > 1)
        return Error{Errc::not_found, "NO_MEDIA",
                     "the address is one video itself; there is no video number " + std::to_string(request_.nth)};
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
