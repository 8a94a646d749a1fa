// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <boost/json.hpp>
#include <jobruntime/extract.hpp>

#include "extract/html_page.hpp"
#include "extract/nth_video.hpp"
#include "extract/page_rules.hpp"
#include "page_server.hpp"

using namespace jobruntime;
using namespace std::chrono_literals;
using extract_test::PageServer;
using extract_test::Reply;

namespace {

void replace_all(std::string& text, const std::string& what, const std::string& with) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size()))
        text.replace(at, what.size(), with);
}

/// The shipped rules, asking a server of the test instead of the sites.
struct Site {
    PageServer server;
    net::FetcherOptions options{.allow_nets = net::Network::parse_list("127.0.0.0/8").value(), .user_agent = {}};
    net::Fetcher fetcher{options};

    boost::json::object rules() const {
        auto text = boost::json::serialize(extract::default_page_rules());
        for (const auto* host : {"https://api.x.com", "https://cdn.syndication.twimg.com"})
            replace_all(text, host, server.url(""));
        return boost::json::parse(text).as_object();
    }
    Result<MediaInfo> ask(const std::string& platform, const std::string& path, int nth = 0, const std::string& cookies = "") {
        extract::PageExtractor page(fetcher, extract::PageRules::parse(rules()).value(),
                                    {.allow_nets = net::Network::parse_list("127.0.0.0/8, 93.184.0.0/16").value()});
        ExtractRequest request;
        request.url = server.url(path);
        request.platform = platform;
        request.post_id = "1841206275088290279";
        request.timeout = 10s;
        request.nth = nth;
        request.cookies_file = cookies;
        return page.extract(request, {});
    }
    /// X's interface: a guest token, then this answer to whoever shows it.
    void x_answers(const std::string& body, int status = 200) {
        server.file("/1.1/guest/activate.json", "application/json", R"({"guest_token":"12345"})");
        server.add("/graphql/2ICDjqPd81tulZcYrtpTuQ/TweetResultByRestId", [=](const std::string& target, const std::string& request) {
            const bool good = request.find("x-guest-token: 12345\r\n") != std::string::npos &&
                              target.find("%22tweetId%22%3A%221841206275088290279%22") != std::string::npos;
            return Reply{.status = good ? status : 403, .type = "application/json", .body = body};
        });
    }
};

/// Numeric addresses, so that no test asks a name server.
const std::string media = "http://93.184.216.34";

std::string x_video(const std::string& variants) {
    return R"({"type":"video","media_url_https":")" + media + R"(/t.jpg","video_info":{"duration_millis":12500,"variants":[)" +
           variants + "]}}";
}
std::string variant(const std::string& path, int bitrate) {
    return R"({"bitrate":)" + std::to_string(bitrate) + R"(,"content_type":"video/mp4","url":")" + media + path + R"("})";
}
const std::string playlist = R"({"content_type":"application/x-mpegURL","url":")" + media + R"(/pl/a.m3u8"})";
std::string x_post(const std::string& media_list) {
    return R"({"data":{"tweetResult":{"result":{"__typename":"Tweet","rest_id":"1841206275088290279","core":{"user_results":{"result":{"legacy":{"screen_name":"ada"}}}},)"
           R"("legacy":{"full_text":"Hello","created_at":"Tue Oct 01 19:59:18 +0000 2024","extended_entities":{"media":[)" +
           media_list + "]}}}}}}";
}

const std::string photo = R"({"type":"photo","media_url_https":"http://93.184.216.34/p.jpg"})";

}  // namespace

TEST_CASE("X: a token, then the query; the best variant first, the playlist last") {
    Site site;
    site.x_answers(x_post(photo + "," + x_video(playlist + "," + variant("/vid/480x270/a.mp4", 256000) + "," +
                                               variant("/vid/1280x720/b.mp4?tag=14", 2176000)) +
                          "," + x_video(variant("/vid/480x270/second.mp4", 1))));
    auto info = site.ask("x", "/ada/status/1841206275088290279");
    REQUIRE_MESSAGE(info.has_value(), info.error().message);
    CHECK(info->author == "ada");
    CHECK(info->title == "Hello");
    CHECK(info->published == "2024-10-01T19:59:18.000Z");
    CHECK(info->duration == 12.5);
    CHECK(info->duration_stated);
    REQUIRE(info->sources.size() == 3);
    CHECK(info->sources[0].url == media + "/vid/1280x720/b.mp4?tag=14");
    CHECK(info->sources[0].height == 720);
    CHECK(info->sources[0].tbr == 2176);
    CHECK(info->sources[0].http_headers.at("Referer") == "https://x.com/");
    CHECK(info->sources[2].protocol == MediaProtocol::hls);
    auto second = site.ask("x", "/ada/status/1841206275088290279", 2);
    REQUIRE(second.has_value());
    CHECK(second->sources[0].url == media + "/vid/480x270/second.mp4");
    CHECK(site.ask("x", "/ada/status/1841206275088290279", 3).error().name == "NO_MEDIA");
}

TEST_CASE("X: the rule says what is a video, though its name is like that of a stream's piece") {
    Site site;
    site.x_answers(x_post(x_video(variant("/vid/480x270/segment.mp4", 1))));
    const auto info = site.ask("x", "/ada/status/1841206275088290279");
    REQUIRE_MESSAGE(info.has_value(), info.error().message);
    CHECK(info->sources[0].url == media + "/vid/480x270/segment.mp4");
}

TEST_CASE("X: what a post without a video says") {
    struct Row {
        const char* what;
        std::string answer;
        const char* code;
    };
    const auto result = [](const std::string& inner) { return R"({"data":{"tweetResult":{"result":{)" + inner + "}}}}"; };
    const Row rows[] = {
        {"photos only", x_post(photo + "," + photo), "NO_MEDIA"},
        {"text only", result(R"("__typename":"Tweet","legacy":{"full_text":"words"})"), "NO_MEDIA"},
        {"gone", R"({"data":{"tweetResult":{}}})", "VIDEO_UNAVAILABLE"},
        {"age-restricted", result(R"("__typename":"TweetUnavailable","reason":"NsfwLoggedOut")"), "AUTH_REQUIRED"},
        {"protected", result(R"("__typename":"TweetUnavailable","reason":"Protected")"), "AUTH_REQUIRED"},
        {"suspended", result(R"("__typename":"TweetUnavailable","reason":"Suspended")"), "VIDEO_UNAVAILABLE"},
        {"a tombstone", result(R"("__typename":"TweetTombstone","tombstone":{"text":{"text":"This Post was deleted"}})"),
         "VIDEO_UNAVAILABLE"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        Site site;
        site.x_answers(row.answer);
        const auto info = site.ask("x", "/a/status/1");
        REQUIRE_FALSE(info.has_value());
        CHECK_MESSAGE(info.error().name == row.code, info.error().message);
    }
}

TEST_CASE("X: the syndication answer stands in when the interface refuses, and does not overrule its reason") {
    Site site;
    site.x_answers("{}", 403);
    site.server.add("/tweet-result", [](const std::string& target, const std::string&) {
        const bool good = target.find("id=1841206275088290279&token=") != std::string::npos;
        return Reply{.status = good ? 200 : 400,
                     .type = "application/json",
                     .body = R"({"__typename":"Tweet","id_str":"5","text":"Hi","user":{"screen_name":"bo"},"mediaDetails":[)" +
                             x_video(variant("/a.mp4", 5)) + "]}"};
    });
    const auto info = site.ask("x", "/a/status/1");
    REQUIRE_MESSAGE(info.has_value(), info.error().message);
    CHECK(info->author == "bo");
    site.server.file("/tweet-result", "application/json",
                     R"({"__typename":"TweetTombstone","tombstone":{"text":{"text":"Age-restricted adult content."}}})");
    CHECK(site.ask("x", "/a/status/1").error().name == "AUTH_REQUIRED");
    site.server.add("/tweet-result", [](auto&, auto&) { return Reply{.status = 404}; });
    CHECK(site.ask("x", "/a/status/1").error().name == "VIDEO_UNAVAILABLE");
    CHECK(extract::syndication_token("1841206275088290279").size() > 5);
    CHECK(extract::syndication_token("not a number").empty());
}

TEST_CASE("X: recorded answers") {
    const char* fixtures = std::getenv("JOBRT_FIXTURES");
    const std::string folder = std::string(fixtures == nullptr ? "" : fixtures) + "/fxtwitter/TweetResultByRestId/";
    if (extract_test::read_file(folder + "20.json").empty()) {
        MESSAGE("skipped: JOBRT_FIXTURES names no folder with fxtwitter/TweetResultByRestId");
        return;
    }
    Site site;
    site.x_answers(extract_test::read_file(folder + "1841206275088290279.json"));
    const auto info = site.ask("x", "/a/status/1");
    REQUIRE_MESSAGE(info.has_value(), info.error().message);
    CHECK(info->author == "DivineDropbear");
    int best = 0;
    for (const auto& source : info->sources) best = std::max(best, source.height);
    CHECK(info->sources.front().height == best);
    CHECK(info->sources.front().protocol == MediaProtocol::https);
    CHECK(info->sources.front().url.starts_with("https://video.twimg.com/"));
    for (const auto* name : {"1848831595014459513.json", "20.json"}) {
        site.x_answers(extract_test::read_file(folder + name));
        CHECK(site.ask("x", "/a/status/1").error().name == "NO_MEDIA");
    }
}

TEST_CASE("TikTok: the page's data, its cookies and what it says of a video that is not for everybody") {
    Site site;
    const auto page = [&](const std::string& detail) {
        return R"(<html><script id="__UNIVERSAL_DATA_FOR_REHYDRATION__" type="application/json">{"__DEFAULT_SCOPE__":{"webapp.video-detail":)" +
               detail + "}}</script></html>";
    };
    const auto item = R"({"itemInfo":{"itemStruct":{"id":"7","desc":"Dance","createTime":"1700000000","author":{"uniqueId":"bo"},)"
                      R"("video":{"duration":9,"cover":")" + media + R"(/c.jpg","playAddr":")" + media + R"(/play?a=1","width":576,"height":1024,)"
                      R"("bitrateInfo":[{"Bitrate":900000,"PlayAddr":{"UrlList":[")" + media + R"(/hi?x=1",")" + media +
                      R"(/hi2"],"Width":1080,"Height":1920,"DataSize":"5000"}}]}}}})";
    site.server.add("/@bo/video/7", [=](auto&, auto&) {
        return Reply{.body = page(item), .headers = {"Set-Cookie: tt_chain_token=abc; Path=/"}};
    });
    const auto info = site.ask("tiktok", "/@bo/video/7");
    REQUIRE_MESSAGE(info.has_value(), info.error().message);
    REQUIRE(info->sources.size() == 3);
    CHECK(info->sources[0].url == media + "/hi?x=1");
    CHECK(info->sources[0].height == 1920);
    CHECK(info->sources[0].filesize == 5000);
    // The page's host set it for itself: another host does not get it.
    CHECK_FALSE(info->sources[0].http_headers.contains("Cookie"));
    REQUIRE(info->cookies.size() == 1);
    CHECK(info->cookies[0] == Cookie{"127.0.0.1", false, "/", false, false, 0, "tt_chain_token", "abc"});
    CHECK(info->sources[0].http_headers.at("Referer") == "https://www.tiktok.com/");
    CHECK(info->published == "2023-11-14T22:13:20.000Z");
    CHECK(info->thumbnail == media + "/c.jpg");

    site.server.page("/gone", page(R"({"statusCode":10204,"statusMsg":"item doesn't exist"})"));
    CHECK(site.ask("tiktok", "/gone").error().name == "VIDEO_UNAVAILABLE");
    site.server.page("/private", page(R"({"statusCode":10222,"statusMsg":"author_secret"})"));
    CHECK(site.ask("tiktok", "/private").error().name == "AUTH_REQUIRED");
    site.server.page("/photos", page(R"({"itemInfo":{"itemStruct":{"id":"7","imagePost":{"images":[]},"video":{}}}})"));
    CHECK(site.ask("tiktok", "/photos").error().name == "NO_MEDIA");
    site.server.page("/changed", "<html>nothing of the kind</html>");
    CHECK(site.ask("tiktok", "/changed").error().name == "UNSUPPORTED_SOURCE");
}

TEST_CASE("TikTok: each of its answers for a video that is not for everybody has its code, in both shapes of its data") {
    Site site;
    const auto script = [](const std::string& id, const std::string& data) {
        return "<html><script id=\"" + id + "\" type=\"application/json\">" + data + "</script></html>";
    };
    const auto fresh = [&](const std::string& detail) {
        return script("__UNIVERSAL_DATA_FOR_REHYDRATION__", R"({"__DEFAULT_SCOPE__":{"webapp.video-detail":)" + detail + "}}");
    };
    const auto older = [&](const std::string& state) { return script("SIGI_STATE", state); };
    const auto item = [](const std::string& more) {
        return R"({"id":"7","desc":"Dance","author":"bo",)" + more + R"("video":{"duration":9,"playAddr":")" + media + R"(/play"}})";
    };
    const auto in_fresh = [&](const std::string& more) { return fresh(R"({"statusCode":0,"itemInfo":{"itemStruct":)" + item(more) + "}}"); };
    const auto in_older = [&](const std::string& more) { return older(R"({"ItemModule":{"7":)" + item(more) + "}}"); };
    struct Row {
        std::string page;
        std::string code;  // Or "a video".
        const char* says = "";
    };
    const Row rows[] = {
        {fresh(R"({"statusCode":10216})"), "AUTH_REQUIRED", "the video is private"},
        {fresh(R"({"statusCode":10222})"), "AUTH_REQUIRED", "the account is private"},
        {fresh(R"({"statusCode":10204})"), "VIDEO_UNAVAILABLE", "gone"},
        {fresh(R"({"statusCode":10216,"itemInfo":{"itemStruct":{}}})"), "AUTH_REQUIRED", "the video is private"},
        {older(R"({"VideoPage":{"statusCode":10216}})"), "AUTH_REQUIRED", "the video is private"},
        {older(R"({"VideoPage":{"statusCode":10204}})"), "VIDEO_UNAVAILABLE", "gone"},
        {in_fresh(R"("isContentClassified":true,)"), "AUTH_REQUIRED", "age-restricted"},
        {in_older(R"("isContentClassified":true,)"), "AUTH_REQUIRED", "age-restricted"},
        {fresh(R"({"statusMsg":"Age-restricted post"})"), "AUTH_REQUIRED", "age-restricted"},
        {in_fresh(R"("isContentClassified":false,)"), "a video"},
        {in_older(R"("isContentClassified":false,)"), "a video"},
        {in_fresh(""), "a video"},
        {fresh(R"({"statusCode":102160})"), "UNSUPPORTED_SOURCE"},  // No code that is known.
    };
    for (const auto& row : rows) {
        CAPTURE(row.page);
        site.server.page("/@bo/video/7", row.page);
        const auto info = site.ask("tiktok", "/@bo/video/7");
        CHECK((info ? std::string("a video") : info.error().name) == row.code);
        const auto says = info ? std::string() : info.error().message;
        CHECK_MESSAGE(says.find(row.says) != std::string::npos, says);
        if (row.code == "AUTH_REQUIRED") CHECK(says.find("jobrt auth bootstrap tiktok") != std::string::npos);
    }
}

TEST_CASE("web: what pages say without a script") {
    Site site;
    auto& server = site.server;
    const auto only = [&](const std::string& path) {
        const auto info = site.ask("web", path);
        return info ? info->sources.front().url : info.error().name + ": " + info.error().message;
    };
    server.page("/tag", R"(<title>A &amp; B</title><video poster="p.jpg"><source src='v.mp4' type="video/mp4" size=720></video>)");
    CHECK(only("/tag") == server.url("/v.mp4"));
    CHECK(site.ask("web", "/tag")->title == "A & B");
    CHECK(site.ask("web", "/tag")->sources[0].http_headers.at("Referer") == server.url("/tag"));
    server.page("/og", R"(<meta property="og:video" content="/og.mp4?a=1&amp;b=2"><meta property="og:title" content="T">)");
    CHECK(only("/og") == server.url("/og.mp4?a=1&b=2"));
    server.page("/ld", R"(<script type="application/ld+json">{"@type":"VideoObject","name":"N","contentUrl":")" + media +
                           R"(/ld.mp4","duration":"PT1M5S"}</script>)");
    CHECK(only("/ld") == media + "/ld.mp4");
    CHECK(site.ask("web", "/ld")->duration == 65);
    CHECK_FALSE(site.ask("web", "/ld")->duration_stated);
    // Nor where a platform of the configuration has no rules of its own for its pages.
    CHECK(site.ask("talks", "/ld")->duration == 65);
    CHECK_FALSE(site.ask("talks", "/ld")->duration_stated);
    server.page("/oembed", R"(<link rel="alternate" type="application/json+oembed" href="/oembed.json?u=1">)");
    server.file("/oembed.json", "application/json",
                R"({"type":"video","title":"Embedded","author_name":"Eve","html":"<iframe src=\"/player\"></iframe>"})");
    server.page("/player", R"(<video src="/inner.webm"></video>)");
    CHECK(only("/oembed") == server.url("/inner.webm"));
    CHECK(site.ask("web", "/oembed")->author == "Eve");
    server.file("/file.mp4", "video/mp4", "bytes");
    CHECK(only("/file.mp4") == server.url("/file.mp4"));
    // A name like that of a stream's piece does not matter where somebody calls it a video.
    server.page("/part-tag", "<video src=/part-2.mp4></video>");
    CHECK(only("/part-tag") == server.url("/part-2.mp4"));
    server.page("/part-og", R"(<meta property="og:video" content="/init.mp4">)");
    CHECK(only("/part-og") == server.url("/init.mp4"));
    server.file("/part1.mp4", "video/mp4", "bytes");
    CHECK(only("/part1.mp4") == server.url("/part1.mp4"));
    server.add("/part2.mp4", [](auto&, const std::string& request) {
        if (request.starts_with("HEAD")) return Reply{.status = 405};
        return Reply{.type = "video/mp4", .body = "bytes"};
    });
    CHECK(only("/part2.mp4") == server.url("/part2.mp4"));
    server.page("/script", "<script>document.write('<video src=/x.mp4></video>')</script><!-- <video src=c.mp4> -->");
    CHECK(site.ask("web", "/script").error().name == "NO_MEDIA");
    // A browser would show which of its layers is meant: it must be asked.
    const auto article = "<p>" + std::string(4000, 'x') + "</p>";
    for (const char* layer : {"This video is not available", "Not available in your country"}) {
        CAPTURE(layer);
        server.page("/layer", "<div style='display:none'>" + std::string(layer) + "</div>" + article);
        CHECK(site.ask("web", "/layer").error().name == "NO_MEDIA");
    }
    server.page("/public", "<a href=/login>Log in</a><video src=/a.mp4></video>");
    CHECK(only("/public") == server.url("/a.mp4"));
    CHECK(site.ask("web", "/missing").error().name == "VIDEO_UNAVAILABLE");
    server.add("/wall", [](auto&, auto&) { return Reply{.status = 403, .body = "<title>Just a moment...</title>"}; });
    CHECK(site.ask("web", "/wall").error().name == "BOT_CHALLENGE");
    server.page("/inside", R"(<video src="http://10.1.2.3/a.mp4"></video>)");
    CHECK(site.ask("web", "/inside").error().name == "SSRF_BLOCKED");
}

TEST_CASE("web: what a page hides is no log-in, and a captcha of a form is no challenge") {
    Site site;
    const std::string form = "<form><input name=u><input type=password name=p></form>";
    const std::string captcha = "<div class='g-recaptcha' data-sitekey=k></div>";
    const std::string comment = "<form action=/say><textarea name=words></textarea>";
    const std::string turnstile = "<script src='https://challenges.cloudflare.com/turnstile/v0/api.js' async></script>";
    const std::pair<std::string, const char*> rows[] = {
        // A log-in that is not shown: the page may be public.
        {"<div style='color: red; display : none'>" + form + "</div><p>Words", "NO_MEDIA"},
        {"<div hidden><div>Please log in</div>" + form + "</div><p>Words", "NO_MEDIA"},
        {"<dialog><h2>Log in to continue</h2>" + form + "</dialog><p>Words", "NO_MEDIA"},
        {"<div role=dialog aria-hidden=true>" + form + "</div><p>Words", "NO_MEDIA"},
        {"<my-layer style='visibility:hidden'>" + form + "</my-layer><p>Words", "NO_MEDIA"},
        {"<form hidden><input type=password></form><p>Words", "NO_MEDIA"},
        {"<form><input type=password style='display:none'></form><p>Words", "NO_MEDIA"},
        {"<p hidden>One<p style='display:none'>Two: you must be logged in<p>Words", "NO_MEDIA"},
        // One that is.
        {form, "AUTH_REQUIRED"},
        {"<dialog open>" + form + "</dialog>", "AUTH_REQUIRED"},
        {"<div hidden><div>Menu</div></div>" + form, "AUTH_REQUIRED"},
        {"<p hidden>Menu<p>Welcome" + form, "AUTH_REQUIRED"},
        {"<p hidden>One <b>menu</b><div>" + form + "</div>", "AUTH_REQUIRED"},
        {"<i hidden>" + form, "AUTH_REQUIRED"},
        {"<div data-hidden style='--note:display:none'>" + form + "</div>", "AUTH_REQUIRED"},
        {"<html hidden><body style='display:none'>" + form + "</body>", "AUTH_REQUIRED"},  // Until its script has begun.
        {form + "<div class=g-recaptcha></div>", "AUTH_REQUIRED"},
        // A captcha for those who write something, or for nobody.
        {comment + captcha + "</form>", "NO_MEDIA"},
        {"<form>" + captcha + "<input type=email></form>", "NO_MEDIA"},
        {turnstile + "<p>Words", "NO_MEDIA"},
        {"<div hidden>" + captcha + "</div><p>Words", "NO_MEDIA"},
        {"<button class=g-recaptcha data-size=invisible>Send</button>", "NO_MEDIA"},
        {"<script src='/cdn-cgi/challenge-platform/h/b/scripts/jsd/main.js'></script><p>Words", "NO_MEDIA"},
        {"<video></video>" + captcha, "NO_MEDIA"},
        {"<video src='blob:x'></video><iframe src='https://newassets.hcaptcha.com/captcha/v1'></iframe>", "NO_MEDIA"},
        // One for all.
        {captcha, "BOT_CHALLENGE"},
        {"<form>" + captcha + "<input type=hidden name=q><textarea name=g-recaptcha-response></textarea></form>", "BOT_CHALLENGE"},
        {comment + "</form>" + captcha, "BOT_CHALLENGE"},
        {"<form>" + captcha, "BOT_CHALLENGE"},
        {"<iframe src='https://newassets.hcaptcha.com/captcha/v1'></iframe>", "BOT_CHALLENGE"},
        {"<form id=challenge-form><input name=answer></form>", "BOT_CHALLENGE"},
        {"<script src='/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1'></script>", "BOT_CHALLENGE"},
        {turnstile + "<p>Verify you are human</p>", "BOT_CHALLENGE"},
        {"<video></video><p>Verify you are human</p>" + captcha, "BOT_CHALLENGE"},
    };
    for (const auto& [body, name] : rows) {
        CAPTURE(body);
        site.server.page("/page", "<title>T</title>" + body);
        const auto info = site.ask("web", "/page");
        CHECK((info ? std::string("a video") : info.error().name) == name);
    }
}

TEST_CASE("web: a further video of a page, by whichever list of it is long enough") {
    Site site;
    auto& server = site.server;
    const auto ld = [](const std::string& inner) { return R"(<script type="application/ld+json">)" + inner + "</script>"; };
    const auto object = [](const std::string& name, const std::string& more = "") {
        return R"({"@type":"VideoObject","name":")" + name + R"(","contentUrl":")" + media + "/" + name + R"(.mp4")" + more + "}";
    };
    const auto og = [](const std::string& name) { return R"(<meta property="og:video" content="/)" + name + R"(">)"; };
    server.page("/tags", "<title>T</title>" + og("first.mp4") +
                             "<video src=/a.mp4></video><video><source src=b-low.mp4 size=240><source src=b.mp4 size=720></video>");
    server.page("/list", ld(R"({"@graph":[)" + object("a", R"(,"hasPart":[)" + object("b") + "]") + "," + object("a") + "," +
                            object("c", R"(,"duration":"PT9S")") + "]}") + "<video></video>");
    server.page("/metas", og("a.mp4") + R"(<meta property="og:video:secure_url" content="https://other.example/a.mp4">)" + og("a.webm") +
                              og("b.mp4") + R"(<meta property="og:video:height" content="480">)");
    server.page("/one", og("a.mp4") + ld(object("a")) + "<video src=/a.mp4></video>");
    server.page("/frames", "<iframe src=/f1></iframe><iframe src=/f2></iframe>");
    server.page("/f1", "<video src=/a.mp4></video>");
    server.page("/f2", "<video src=/b.mp4></video>");
    const std::string typed = R"(<meta property="og:video:type" content="video/mp4">)";
    server.page("/queries", og("get.php?id=1") + typed + og("get.php?id=2") + typed + og("c.mp4?id=1") + og("c.webm?id=2") +
                                og("d.php") + typed);
    server.file("/itself.mp4", "video/mp4", "bytes");
    server.file("/itself", "video/mp4", "bytes");  // Which shows only once it is asked for.
    const std::string preview = "<video src=/loop.mp4 muted loop autoplay></video>";
    server.page("/preview-first", preview + "<video src=/film.mp4 controls></video>");
    server.page("/preview-last", "<video src=/film.mp4 controls></video>" + preview);
    server.page("/preview-alone", preview);  // Scripts may bring the film: that is for the browser to see.
    server.page("/preview-and-frame", preview + "<iframe src=/f2></iframe>");
    server.page("/wall", "<title>Log in</title><form><input type=password></form>");
    struct Row {
        const char* page;
        int nth;
        std::string wanted;
        std::size_t sources;
    };
    const Row rows[] = {{"/tags", 2, server.url("/b.mp4"), 2}, {"/tags", 3, "NO_MEDIA", 0},
                        {"/list", 2, media + "/b.mp4", 1},     {"/list", 3, media + "/c.mp4", 1},
                        {"/list", 4, "NO_MEDIA", 0},           {"/metas", 2, server.url("/b.mp4"), 1},
                        {"/metas", 3, "NO_MEDIA", 0},          {"/one", 2, "NO_MEDIA", 0},
                        {"/frames", 2, server.url("/b.mp4"), 1}, {"/frames", 3, "NO_MEDIA", 0},
                        {"/queries", 2, server.url("/get.php?id=2"), 1}, {"/queries", 3, server.url("/c.mp4?id=1"), 2},
                        {"/queries", 4, server.url("/d.php"), 1},
                        {"/itself.mp4", 1, server.url("/itself.mp4"), 1}, {"/itself.mp4", 2, "NO_MEDIA", 0},
                        {"/itself", 1, server.url("/itself"), 1}, {"/itself", 2, "NO_MEDIA", 0},
                        {"/tags", 1, server.url("/a.mp4"), 1}, {"/list", 1, media + "/a.mp4", 1},
                        {"/metas", 1, server.url("/a.mp4"), 3}, {"/one", 1, server.url("/a.mp4"), 1},
                        {"/preview-first", 0, server.url("/film.mp4"), 1}, {"/preview-last", 0, server.url("/film.mp4"), 1},
                        {"/preview-first", 1, server.url("/loop.mp4"), 1}, {"/preview-first", 2, server.url("/film.mp4"), 1},
                        {"/preview-last", 1, server.url("/film.mp4"), 1}, {"/preview-alone", 0, "NO_MEDIA", 0},
                        {"/preview-alone", 1, server.url("/loop.mp4"), 1}, {"/preview-and-frame", 0, server.url("/b.mp4"), 1},
                        {"/wall", 2, "AUTH_REQUIRED", 0}};
    for (const auto& row : rows) {
        CAPTURE(row.page);
        CAPTURE(row.nth);
        const auto info = site.ask("web", row.page, row.nth);
        CHECK_MESSAGE((info ? info->sources.front().url : info.error().name) == row.wanted, (info ? "" : info.error().message));
        if (info) CHECK(info->sources.size() == row.sources);
    }
    const auto third = site.ask("web", "/list", 3);
    CHECK(third->title == "c");
    CHECK(third->duration == 9);
    CHECK(site.ask("web", "/metas", 2)->sources.front().height == 480);
    CHECK(site.ask("web", "/tags", 2)->title == "T");
}

TEST_CASE("cookies go to their own site only") {
    Site site;
    const extract_test::TempFolder folder;
    std::ofstream(folder / "cookies.txt") << "# Netscape HTTP Cookie File\n#HttpOnly_127.0.0.1\tFALSE\t/\tFALSE\t0\tsid\tsecret\n"
                                             ".example.org\tTRUE\t/\tTRUE\t0\tother\tnot for us\n";
    std::string seen;
    site.server.add("/page", [&](auto&, const std::string& request) {
        seen = request;
        return Reply{.body = "<video src=/a.mp4></video>"};
    });
    const auto info = site.ask("web", "/page", 1, folder / "cookies.txt");
    REQUIRE(info.has_value());
    // The download may show what the page's own site knows, and nothing that was imported for others.
    REQUIRE(info->cookies.size() == 1);
    CHECK(info->cookies[0].value == "secret");
    CHECK(boost::json::serialize(to_json(*info)).find("secret") == std::string::npos);
    CHECK(seen.find("Cookie: sid=secret\r\n") != std::string::npos);
    CHECK(seen.find("not for us") == std::string::npos);
    const auto cookies = extract::parse_cookie_file(extract_test::read_file(folder / "cookies.txt"));
    REQUIRE(cookies.has_value());
    CHECK(extract::parse_cookie_file(extract::to_cookie_file(*cookies)).value() == *cookies);
    const auto bad = extract::parse_cookie_file("a.org\tTRUE\t/\tTRUE\t0\tname with hidden value");
    REQUIRE_FALSE(bad.has_value());
    CHECK(bad.error().name == "INVALID_COOKIE_FILE");
    CHECK(bad.error().message.find("line 1") != std::string::npos);
    CHECK(bad.error().message.find("hidden") == std::string::npos);
}

TEST_CASE("a storage state is read like a cookie file, and what is wrong in it is named without its value") {
    const auto cookies = extract::parse_cookie_file(
        "\xEF\xBB\xBF \n"
        R"({"cookies":[{"name":"a","value":"1","domain":".X.com","path":"/","expires":1893456000.25,"httpOnly":true,)"
        R"("secure":true,"sameSite":"Lax"},{"name":"b","value":"","domain":"127.0.0.1","path":"/p","expires":-1}],"origins":[]})");
    REQUIRE(cookies.has_value());
    REQUIRE(cookies->size() == 2);
    CHECK(cookies->front() == Cookie{"x.com", true, "/", true, true, 1'893'456'000, "a", "1"});
    CHECK(cookies->back() == Cookie{"127.0.0.1", false, "/p", false, false, 0, "b", ""});
    CHECK(extract::parse_cookie_file(extract::to_cookie_file(*cookies)).value() == *cookies);
    CHECK(extract::parse_cookie_file(R"({"cookies":[]})").value().empty());
    // What Boost.JSON reads as not-a-number and as infinity.
    const auto strange = extract::parse_cookie_file(
        R"({"cookies":[{"name":"a","value":"","domain":"x.com","expires":0e310},)"
        R"({"name":"b","value":"","domain":"x.com","expires":1e310}]})");
    REQUIRE(strange.has_value());
    REQUIRE(strange->size() == 2);
    CHECK(strange->front().expires == 0);
    CHECK(strange->back().expires == 0);
    for (const char* wrong : {R"({"cookies":[{"name":"a","value":"hidden"}]})", R"({"cookies":["hidden"]})",
                              R"({"cookies":[{"name":"a","value":"hidden\tb","domain":"x.com"}]})",
                              R"({"cookies":[{"name":"a;b","value":"hidden","domain":"x.com"}]})",
                              R"({"cookies":[{"name":"a","value":7,"domain":"x.com"}]})",
                              R"({"cookies":[{"name":"a","value":"hidden","domain":"x.com","path":"p"}]})"}) {
        CAPTURE(wrong);
        const auto refused = extract::parse_cookie_file(wrong);
        REQUIRE_FALSE(refused.has_value());
        CHECK(refused.error().name == "INVALID_COOKIE_FILE");
        CHECK(refused.error().message.find("cookies[0]") != std::string::npos);
        CHECK(refused.error().message.find("hidden") == std::string::npos);
    }
    CHECK_FALSE(extract::parse_cookie_file("{\"hidden").has_value());
    CHECK_FALSE(extract::parse_cookie_file(R"({"origins":[]})").has_value());
}

TEST_CASE("rules that are wrong name the place") {
    struct Row {
        const char* rules;
        const char* says;
    };
    const Row rows[] = {
        {R"({"a":1})", "pages.a must be an object"},
        {R"({"a":{}})", "pages.a.ways must be at least one way"},
        {R"({"a":{"ways":[{"steps":[{"get":"{url}","fetch":1}]}]}})", "pages.a.ways[0].steps[0].fetch must be known"},
        {R"({"a":{"ways":[{"steps":[{}]}]}})", "pages.a.ways[0].steps[0] must be a step with either get or post"},
        {R"({"a":{"ways":[{"steps":[{"get":"{url}"}],"read":{}}]}})", "pages.a.ways[0].read.sources"},
        {R"({"a":{"ways":[{"steps":[{"get":"{url}"}],"read":{"sources":[{}],"errors":[{"at":"x","code":"nope"}]}}]}})",
         "pages.a.ways[0].read.errors[0].code must be a code"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.rules);
        const auto parsed = extract::PageRules::parse(boost::json::parse(row.rules).as_object());
        REQUIRE_FALSE(parsed.has_value());
        CHECK(parsed.error().name == "INVALID_CONFIGURATION");
        CHECK_MESSAGE(parsed.error().message.starts_with(row.says), parsed.error().message);
    }
    CHECK(extract::PageRules::parse(extract::default_page_rules()).has_value());
}

TEST_CASE("hostile HTML is read to its end") {
    const auto base = net::parse_url("https://example.org/").value();
    for (const auto* html : {"<", "<a", "<a b='", "<!--", "<script>", "<video src=", "</", "<video src=\"x.mp4", "&#x;&#;&#99999999999;"})
        CHECK_NOTHROW(extract::read_html(html, base));
    CHECK(extract::unescape_html("&lt;&#65;&#x1F600;&unknown;&amp;amp;&") == "<A\xf0\x9f\x98\x80&unknown;&amp;&");
}

TEST_CASE("a page that names very many videos is read in no more time than its length takes") {
    const auto base = net::parse_url("http://site.example/" + std::string(8000, 'p') + "/page", net::max_fetch_url).value();
    std::string html, objects;
    for (int i = 0; i < 60'000; ++i) {
        html += "<base href=a>";
        objects += (i ? "," : "") + std::string(R"({"@type":"VideoObject","contentUrl":"http://site.example/)") + std::to_string(i) + ".mp4\"}";
    }
    const auto page = extract::read_html(html + R"(<script type="application/ld+json">[)" + objects + "]</script><video src=v.mp4></video>", base);
    REQUIRE(page.probe.videos.size() == 1);
    CHECK(page.probe.videos[0].src == "http://site.example/" + std::string(8000, 'p') + "/v.mp4");
    extract::Observation seen{.requested_url = base.str(), .probes = {page.probe}, .sightings = {}, .user_agent = ""};
    CHECK(extract::find_media(seen).info.sources.size() == 16);
    CHECK(extract::find_nth(seen, 3).info.sources.size() == 1);
    CHECK(extract::find_nth(seen, 999'999).info.sources.empty());
}

TEST_CASE("a site that asks to wait is passed on, whatever comes of the page") {
    PageServer server;
    server.add("/post", [](const std::string&, const std::string&) {
        return Reply{.status = 429, .body = "slow down", .headers = {"Retry-After: 77"}};
    });
    const net::Fetcher fetcher({.allow_nets = net::Network::parse_list("127.0.0.0/8").value(), .user_agent = {}});
    extract::PageExtractor page(fetcher, extract::PageRules::parse(extract::default_page_rules()).value(),
                                {.allow_nets = net::Network::parse_list("127.0.0.0/8").value()});
    ExtractRequest request;
    request.url = server.url("/post");
    request.platform = "web";
    std::chrono::seconds asked{};
    request.asked_to_wait = [&](std::chrono::seconds wait) { asked = wait; };
    CHECK_FALSE(page.extract(request, {}));
    CHECK(asked == 77s);
}

TEST_CASE("an address that is itself media is one source, whatever its name, and is not read") {
    Site site;
    const std::string ftyp = std::string("\0\0\0\x20", 4) + "ftypisom" + std::string(2000, 'm');
    struct Row {
        const char* what;
        const char* type;
        std::string begins;
        const char* outcome;  // The protocol, or an error.
    };
    const Row rows[] = {
        {"named by its type", "video/mp4", std::string(2000, 'x'), "https mp4"},
        {"bytes of MP4", "application/octet-stream", ftyp, "https"},
        {"bytes of MP4 that are called text", "text/plain", ftyp, "https"},
        {"bytes of WebM", "binary/octet-stream", "\x1a\x45\xdf\xa3" + std::string(2000, 'w'), "https"},
        {"a playlist by its type", "application/vnd.apple.mpegurl", "#EXTM3U\n" + std::string(2000, '#'), "hls"},
        {"a playlist by its bytes", "text/plain", "#EXTM3U\n" + std::string(2000, '#'), "hls"},
        {"a manifest", "application/dash+xml", "<MPD>" + std::string(2000, ' '), "dash"},
    };
    for (const auto& row : rows) {
        CAPTURE(row.what);
        // Who wanted the rest would wait for it.
        site.server.add("/media/7", [&](auto&, auto&) { return Reply{.type = row.type, .body = row.begins, .hang = true}; });
        site.server.add("/go", [&](auto&, auto&) { return Reply{.status = 302, .headers = {"Location: /media/7"}}; });
        for (const char* path : {"/media/7", "/go"}) {
            const auto info = site.ask("web", path);
            REQUIRE_MESSAGE(info.has_value(), info.error().message);
            REQUIRE(info->sources.size() == 1);
            const auto& source = info->sources[0];
            CHECK(source.url == site.server.url("/media/7"));
            CHECK(source.origin == "url");
            const std::string outcome = row.outcome;
            CHECK(source.protocol == (outcome == "hls" ? MediaProtocol::hls : outcome == "dash" ? MediaProtocol::dash : MediaProtocol::https));
            CHECK((outcome == "https mp4") == (source.ext == "mp4"));
        }
    }
    // A page stays one, whatever it begins with; and one that is too large is for another extractor.
    site.server.file("/page", "text/html", "<title>#EXTM3U</title><video src='/v.mp4'></video>");
    CHECK(site.ask("web", "/page")->sources[0].url == site.server.url("/v.mp4"));
    site.server.file("/large", "text/html", std::string((8u << 20) + 1, ' '));
    CHECK(site.ask("web", "/large").error().name == "TOO_LARGE");
}
