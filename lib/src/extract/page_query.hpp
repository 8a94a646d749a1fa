// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/value.hpp>
#include <jobruntime/extract.hpp>

#include "extract/host_vetter.hpp"
#include "extract/html_page.hpp"
#include "extract/media_finder.hpp"
#include "extract/media_url.hpp"
#include "extract/page_rules.hpp"

// One extraction by rules: page_requests.cpp asks, page.cpp reads the answers.
namespace jobruntime::extract {

/// The answer of a page, or of an interface, that is not what the rule expects.
Error unexpected(std::string message);
/// What the answer for a page is when it is none.
MediaKind media_of(const net::Response& answer);

/// One extraction: the values that templates see, cookies, and the time that is left.
class PageQuery {
public:
    PageQuery(const net::Fetcher& fetcher, const PageOptions& options, const ExtractRequest& request, net::Url page,
              std::stop_token stop);

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
    Result<boost::json::value> document_of(const Answer& answer, const PageWay& way) const;
    Result<MediaInfo> read_html_page(const net::Response& response);
    Result<MediaInfo> one_source(const net::Response& answer, MediaKind kind);
    std::vector<Cookie> cookies_for_download(const PageWay& way) const;
    Result<MediaInfo> finished(MediaInfo info, const PageWay& way);
    void follow_embeds(const HtmlPage& page, Observation& seen, MediaInfo& described);
    std::chrono::milliseconds left() const;
    Error late_or(Error error) const;

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

}  // namespace jobruntime::extract
