// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Real Chromium on pages that this test serves: what is found.
#include <algorithm>

#include <doctest/doctest.h>

#include "browser_fixture.hpp"

using namespace extract_test;

namespace {

/// One warm browser and one server for all cases of this program.
struct Site {
    Site() {
        server.file("/clip.mp4", "video/mp4", clip());
        server.file("/clip.webm", "video/webm", webm());
        server.file("/big.mp4", "video/mp4", clip());
        other.file("/clip.mp4", "video/mp4", clip());
        other.page("/player", "<video src=/clip.mp4 muted></video>");
    }
    TempFolder folder;
    PageServer server;
    PageServer other;
    jx::Browser browser{browser_options(folder)};
    jx::BrowserExtractor extractor{browser, extract_options()};

    jobruntime::Result<jobruntime::MediaInfo> extract(const std::string& path) {
        const auto begin = std::chrono::steady_clock::now();
        auto info = extractor.extract(request(server.url(path)), {});
        const auto took =
            std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - begin);
        MESSAGE(path << ": " << took.count() << " ms, "
                     << (info ? "found" : info.error().name + " " + info.error().message));
        return info;
    }
};

Site& site() {
    static Site one;
    return one;
}

}  // namespace

TEST_CASE("a plain video is found, described, and costs no settling") {
    REQUIRE_MESSAGE(!clip().empty(), "ffmpeg made no clip");
    site().server.page("/plain",
                       "<title>A clip</title><meta name=author content=Ada><video src='/clip.mp4#t=1' "
                       "poster=/p.jpg></video>");
    const auto info = site().extract("/plain");
    REQUIRE(info);
    REQUIRE(info->sources.size() == 1);
    const auto& source = info->sources.front();
    CHECK(source.url == site().server.url("/clip.mp4"));
    CHECK(source.ext == "mp4");
    CHECK(source.width == 320);
    CHECK(source.height == 180);
    CHECK(source.origin == "video");
    CHECK(source.filesize == static_cast<std::int64_t>(clip().size()));
    CHECK(source.http_headers.at("Referer") == site().server.url("/plain"));
    CHECK(source.http_headers.at("User-Agent").find("Chrome") != std::string::npos);
    CHECK(info->title == "A clip");
    CHECK(info->author == "Ada");
    CHECK(info->duration.value_or(0) == doctest::Approx(2.0).epsilon(0.1));
    CHECK(info->thumbnail == site().server.url("/p.jpg"));
    const auto begin = std::chrono::steady_clock::now();
    REQUIRE(site().extract("/plain"));
    CHECK(std::chrono::steady_clock::now() - begin < 2s);
}

TEST_CASE("a thumbnail on a private address, or that is none, is not told") {
    const std::pair<const char*, const char*> rows[] = {{"http://10.0.0.1/t.jpg", ""},
                                                        {"http://0x0a000001/t.jpg", ""},
                                                        {"http://[fd00::1]/t.jpg", ""},
                                                        {"http://169.254.169.254/latest/meta-data", ""},
                                                        {"http://user@10.0.0.1/t.jpg", ""},
                                                        {"file:///etc/passwd", ""},
                                                        {"http://192.0.2.7/t.jpg#x", ""},
                                                        {"http://8.8.8.8/t.jpg#x", "http://8.8.8.8/t.jpg"}};
    int number = 0;
    for (const auto& [poster, told] : rows) {
        CAPTURE(poster);
        const auto path = "/poster-" + std::to_string(++number);
        // Named only, so that nobody is asked for it.
        site().server.page(path, std::string("<meta property=og:image content='") + poster + "'><video src=/clip.mp4></video>");
        const auto info = site().extract(path);
        REQUIRE(info);
        CHECK(info->sources.size() == 1);
        CHECK(info->thumbnail == told);
    }
}

TEST_CASE("a list of sources prefers MP4, and a named height") {
    site().server.page(
        "/list",
        "<video><source src=/clip.webm type=video/webm><source src=/clip.mp4 type=video/mp4></video>");
    const auto list = site().extract("/list");
    REQUIRE(list);
    REQUIRE(list->sources.size() == 2);
    CHECK(list->sources.front().ext == "mp4");
    site().server.page("/heights",
                       "<video><source src=/clip.mp4 type=video/mp4 size=180><source src=/big.mp4 "
                       "type=video/mp4 size=720></video>");
    const auto heights = site().extract("/heights");
    REQUIRE(heights);
    CHECK(heights->sources.front().url == site().server.url("/big.mp4"));
    CHECK(heights->sources.front().height == 720);
}

TEST_CASE("OpenGraph and JSON-LD alone are enough") {
    site().server.page(
        "/og",
        "<meta property=og:video content=/clip.mp4><meta property=og:video:type content=video/mp4>"
        "<meta property=og:video:height content=1080><meta property=og:title content='The title'>"
        "<meta property=og:image content=/i.jpg>");
    const auto og = site().extract("/og");
    REQUIRE(og);
    CHECK(og->sources.front().url == site().server.url("/clip.mp4"));
    CHECK(og->sources.front().origin == "og");
    CHECK(og->sources.front().height == 1080);
    CHECK(og->title == "The title");
    site().server.page(
        "/ld", R"(<script type="application/ld+json">{"@graph":[{"@type":"WebPage"},{"@type":["VideoObject"],
        "name":"LD","contentUrl":")" +
                   site().server.url("/clip.mp4") +
                   R"(","duration":"PT2S","author":{"name":"Bob"}}]}</script>)");
    const auto ld = site().extract("/ld");
    REQUIRE(ld);
    CHECK(ld->sources.front().origin == "json-ld");
    CHECK(ld->author == "Bob");
    CHECK(ld->duration == 2.0);
}

TEST_CASE("a cross-site frame, a shadow root and a nested frame are looked into") {
    site().server.page("/framed", "<iframe src='" + site().other.url("/player", "localhost") + "'></iframe>");
    const auto framed = site().extract("/framed");
    REQUIRE(framed);
    CHECK(framed->sources.front().url == site().other.url("/clip.mp4", "localhost"));
    CHECK(framed->sources.front().height == 180);
    CHECK(framed->webpage_url == site().server.url("/framed"));
    site().server.page("/shadow",
                       "<div id=h></div><script>h.attachShadow({mode:'open'}).innerHTML='<video "
                       "src=/clip.mp4></video>'</script>");
    CHECK(site().extract("/shadow"));
}

TEST_CASE("what only the network saw is found: a script's fetch, a blob, a playlist, a file itself") {
    site().server.page("/fetch", "<script>setTimeout(()=>fetch('/clip.mp4'),100)</script>");
    const auto fetched = site().extract("/fetch");
    REQUIRE(fetched);
    CHECK(fetched->sources.front().origin == "network");
    site().server.page("/blob",
                       "<video id=v "
                       "muted></video><script>fetch('/"
                       "clip.mp4').then(r=>r.blob()).then(b=>v.src=URL.createObjectURL(b))</script>");
    const auto blob = site().extract("/blob");
    REQUIRE(blob);
    CHECK(blob->sources.front().url == site().server.url("/clip.mp4"));
    site().server.file("/live/index.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U\n");
    site().server.page("/hls", "<script>fetch('/live/index.m3u8')</script>");
    const auto hls = site().extract("/hls");
    REQUIRE(hls);
    CHECK(hls->sources.front().protocol == jobruntime::MediaProtocol::hls);
    const auto file = site().extract("/clip.mp4");
    REQUIRE(file);
    CHECK(file->sources.front().url == site().server.url("/clip.mp4"));
}

TEST_CASE("cookies of the media's hosts travel with them as a browser would send them, and no others") {
    site().server.add("/cookie", [](auto&, auto&) {
        return Reply{.body = "<video src=/clip.mp4>",
                     .headers = {"Set-Cookie: k=v1; Path=/; HttpOnly", "Set-Cookie: deep=2; Path=/elsewhere"}};
    });
    const auto info = site().extract("/cookie");
    REQUIRE(info);
    CHECK_FALSE(info->sources.front().http_headers.contains("Cookie"));
    REQUIRE(info->cookies.size() == 1);
    CHECK(info->cookies.front() == jobruntime::Cookie{"127.0.0.1", false, "/", false, true, 0, "k", "v1"});
    // Another site's cookie does not go along because a page names a file there.
    site().other.add("/visited", [](auto&, auto&) {
        return Reply{.body = "<video src=/clip.mp4>", .headers = {"Set-Cookie: login=secret; Path=/"}};
    });
    const auto own = site().extractor.extract(request(site().other.url("/visited", "localhost")), {});
    REQUIRE(own);
    REQUIRE(own->cookies.size() == 1);
    CHECK(own->cookies.front().domain == "localhost");
    site().server.page("/names-it", "<video src='" + site().other.url("/clip.mp4", "localhost") + "'>");
    const auto names = site().extract("/names-it");
    REQUIRE(names);
    CHECK(std::none_of(names->cookies.begin(), names->cookies.end(), [](const auto& cookie) { return cookie.name == "login"; }));
}

TEST_CASE("manifests that a page's script asks for are found by their type, and by their name") {
    const std::string mpd = "<?xml version=\"1.0\"?><MPD type=\"static\"/>";
    site().server.file("/by-type", "application/dash+xml", mpd);
    site().server.file("/by-name/x.mpd", "text/xml", mpd);
    site().server.file("/list.m3u8", "text/plain", "#EXTM3U\n");
    site().server.page("/dash", "<video id=v></video><script>v.src=URL.createObjectURL(new MediaSource());fetch('/by-type')</script>");
    const auto typed = site().extract("/dash");
    REQUIRE(typed);
    CHECK(typed->sources.front().protocol == jobruntime::MediaProtocol::dash);
    CHECK(typed->sources.front().url == site().server.url("/by-type"));
    site().server.page("/both", "<script>fetch('/by-name/x.mpd');fetch('/list.m3u8')</script>");
    const auto both = site().extract("/both");
    REQUIRE(both);
    REQUIRE(both->sources.size() == 2);
    CHECK(both->sources[0].protocol == jobruntime::MediaProtocol::hls);
    CHECK(both->sources[1].protocol == jobruntime::MediaProtocol::dash);
}

TEST_CASE("the data in a rendered page is read by the rules, before anything else that is to be seen") {
    auto looking = extract_options();
    looking.rules = jx::PageRules::parse(jx::default_page_rules()).value();
    jx::BrowserExtractor extractor(site().browser, looking);
    const auto ask = [&](const std::string& path) {
        auto asked = request(site().server.url(path));
        asked.platform = "tiktok";
        asked.post_id = "7";
        return extractor.extract(asked, {});
    };
    const auto item = [&](const std::string& author) {
        return R"({"id":"7","desc":"Dance","createTime":"1700000000","author":)" + author + R"(,"video":{"duration":2,"playAddr":")" +
               site().server.url("/clip.mp4") + R"(","width":320,"height":180}})";
    };
    // A script writes it, as a challenge does that a page without scripts never passes; another video plays meanwhile.
    const auto page = [&](const std::string& id, const std::string& data) {
        site().server.page("/data", "<video src=/big.mp4></video><script>const s=document.createElement('script');s.id='" + id +
                                        "';s.type='application/json';s.textContent=JSON.stringify(" + data +
                                        ");document.body.append(s)</script>");
        return ask("/data");
    };
    const auto fresh = page("__UNIVERSAL_DATA_FOR_REHYDRATION__", R"({"__DEFAULT_SCOPE__":{"webapp.video-detail":{"itemInfo":{"itemStruct":)" +
                                                                      item(R"({"uniqueId":"bo"})") + "}}}}");
    REQUIRE_MESSAGE(fresh, (fresh ? "" : fresh.error().message));
    REQUIRE(fresh->sources.size() == 1);
    CHECK(fresh->sources[0].url == site().server.url("/clip.mp4"));
    CHECK(fresh->sources[0].origin == "page-json");
    CHECK(fresh->sources[0].http_headers.at("Referer") == "https://www.tiktok.com/");
    CHECK(fresh->sources[0].http_headers.at("User-Agent").find("Chrome") != std::string::npos);
    CHECK(fresh->duration == 2);
    CHECK(fresh->duration_stated);
    CHECK(fresh->author == "bo");
    CHECK(fresh->title == "Dance");
    const auto older = page("SIGI_STATE", R"({"ItemModule":{"7":)" + item(R"("bo")") + "}}");
    REQUIRE_MESSAGE(older, (older ? "" : older.error().message));
    CHECK(older->sources[0].url == site().server.url("/clip.mp4"));
    CHECK(older->author == "bo");
    const auto told = page("__UNIVERSAL_DATA_FOR_REHYDRATION__", R"({"__DEFAULT_SCOPE__":{"webapp.video-detail":{"statusCode":10222}}})");
    REQUIRE_FALSE(told);
    CHECK(told.error().name == "AUTH_REQUIRED");
    // Data of another shape says nothing: what is to be seen counts.
    const auto changed = page("__UNIVERSAL_DATA_FOR_REHYDRATION__", R"({"__DEFAULT_SCOPE__":{}})");
    REQUIRE(changed);
    CHECK(changed->sources[0].url == site().server.url("/big.mp4"));
    CHECK_FALSE(changed->duration_stated);
}

TEST_CASE("JSON that no rule knows counts where nothing else does, when it is about one video") {
    const auto page = [&](const std::string& path, const std::string& body) {
        site().server.page(path, "<title>J</title>" + body);
        return site().extract(path);
    };
    const auto data = [](const std::string& json) { return "<script id=__NEXT_DATA__ type='application/json'>" + json + "</script>"; };
    const auto clip_at = [&](const std::string& query) { return "\"" + site().server.url("/clip.mp4" + query) + "\""; };
    const auto one = page("/json-one", data(R"({"props":{"video":{"title":"T","files":[{"h":1,"src":)" + clip_at("?h=1") + R"(},{"h":2,"src":)" +
                                            clip_at("?h=2") + "}]}}}"));
    REQUIRE(one);
    CHECK(one->sources.size() == 2);
    CHECK(one->sources[0].origin == "page-json");
    const auto many = page("/json-many", data(R"({"list":[{"title":"A","src":)" + clip_at("?a") + R"(},{"title":"B","src":)" + clip_at("?b") + "}]}"));
    REQUIRE_FALSE(many);
    CHECK(many.error().name == "NO_MEDIA");
    const auto seen = page("/json-and-video", "<video src=/big.mp4></video>" + data(R"({"src":)" + clip_at("") + "}"));
    REQUIRE(seen);
    REQUIRE(seen->sources.size() == 1);
    CHECK(seen->sources[0].url == site().server.url("/big.mp4"));
}

TEST_CASE("a page that clobbers the DOM and shows a dialogue is read all the same") {
    site().server.page(
        "/hostile",
        "<img name=querySelectorAll><form name=body></form><script>Array.from=JSON.stringify=()=>'x';"
        "window.open('/plain');alert('hello')</script><video src=/clip.mp4></video>");
    const auto info = site().extract("/hostile");
    REQUIRE(info);
    CHECK(info->sources.front().url == site().server.url("/clip.mp4"));
}

TEST_CASE("errors are named") {
    auto& server = site().server;
    server.page("/text", "<title>Words</title><p>nothing to see");
    server.page("/login-wall", "<h1>Welcome</h1><form><input name=u><input type=password name=p></form>");
    server.page("/public", "<a href=/login>Log in</a><video src=/clip.mp4></video>");
    server.add("/moved", [](auto&, auto&) { return Reply{.status = 302, .headers = {"Location: /login"}}; });
    server.page("/login", "<form><input type=password></form><video src=/clip.mp4></video>");
    server.add("/challenge", [](auto&, auto&) {
        return Reply{
            .status = 403,
            .body = "<title>Just a moment...</title><div class=cf-turnstile></div>Verify you are human"};
    });
    server.add("/busy", [](auto&, auto&) { return Reply{.status = 429, .body = "slow down"}; });
    server.add("/gone",
               [](auto&, auto&) { return Reply{.status = 410, .body = "gone<video src=/clip.mp4>"}; });
    server.add("/members", [](auto&, auto&) { return Reply{.status = 403, .body = "members only"}; });
    server.add("/broken", [](auto&, auto&) { return Reply{.status = 502, .body = "bad gateway"}; });
    const std::pair<const char*, const char*> rows[] = {
        {"/text", "NO_MEDIA"},          {"/missing", "VIDEO_UNAVAILABLE"}, {"/login-wall", "AUTH_REQUIRED"},
        {"/moved", "AUTH_REQUIRED"},    {"/challenge", "BOT_CHALLENGE"},   {"/busy", "RATE_LIMITED"},
        {"/gone", "VIDEO_UNAVAILABLE"}, {"/members", "AUTH_REQUIRED"},     {"/broken", "NETWORK"}};
    for (const auto& [path, name] : rows) {
        CAPTURE(path);
        const auto info = site().extract(path);
        REQUIRE_FALSE(info);
        CHECK(info.error().name == name);
    }
    CHECK(site().extract("/public"));
    const auto refused = site().extractor.extract(request("http://127.0.0.1:9/"), {});
    REQUIRE_FALSE(refused);
    CHECK(refused.error().name == "NETWORK");
}

TEST_CASE("what is hidden is no log-in, and a captcha of a form is no challenge") {
    const std::string form = "<form><input name=u><input type=password name=p></form>";
    const std::string box = "<div class=g-recaptcha style='height:78px'></div>";
    const std::string puzzle = "<iframe src='/recaptcha/api2/bframe' style='height:9px'></iframe>";
    const std::pair<std::string, const char*> rows[] = {
        {"<style>.layer{display:none}</style><div class=layer>Please log in" + form + "</div>Words", "NO_MEDIA"},
        {"<style>.layer{visibility:hidden}</style><div class=layer>" + form + "</div>Words", "NO_MEDIA"},
        {"<dialog>" + form + "</dialog>Words", "NO_MEDIA"},
        {"<div hidden id=layer>" + form + "</div><script>document.querySelector('#layer').hidden=false</script>", "AUTH_REQUIRED"},
        {"<dialog>" + form + "</dialog><script>document.querySelector('dialog').showModal()</script>", "AUTH_REQUIRED"},
        {"<form><textarea></textarea>" + box + "</form>", "NO_MEDIA"},
        {"<div style='visibility:hidden'>" + puzzle + "</div>Words", "NO_MEDIA"},
        {"<video></video>" + box, "NO_MEDIA"},
        {"<script src='/cdn-cgi/challenge-platform/h/b/scripts/jsd/main.js'></script>Words", "NO_MEDIA"},
        {"<form>" + box + "<input type=hidden><textarea name=g-recaptcha-response style='display:none'></textarea></form>",
         "BOT_CHALLENGE"},
        {puzzle, "BOT_CHALLENGE"},
        {"<form id=challenge-form><input></form>", "BOT_CHALLENGE"},
        {"<script src='/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1'></script>", "BOT_CHALLENGE"}};
    int n = 0;
    for (const auto& [body, name] : rows) {
        CAPTURE(body);
        const auto path = "/layer-" + std::to_string(++n);
        site().server.page(path, "<title>T</title>" + body);
        const auto info = site().extract(path);
        CHECK((info ? std::string("a video") : info.error().name) == name);
    }
}

TEST_CASE("a further video of a page is the one of that number, and never another") {
    site().server.page("/three", "<title>Three</title><video src=/big.mp4></video><video src=/clip.mp4></video>"
                                 "<video></video><script>fetch('/clip.webm')</script>");
    for (const int nth : {1, 2, 3, 4}) {
        CAPTURE(nth);
        auto asked = request(site().server.url("/three"));
        asked.nth = nth;
        const auto info = site().extractor.extract(asked, {});
        if (nth > 2) {
            REQUIRE_FALSE(info);
            CHECK(info.error().name == "NO_MEDIA");
            continue;
        }
        REQUIRE(info);
        REQUIRE(info->sources.size() == 1);
        CHECK(info->sources.front().url == site().server.url(nth == 1 ? "/big.mp4" : "/clip.mp4"));
    }
}

TEST_CASE("a muted loop is not the video of a page whose player begins later") {
    site().server.file("/film/master.m3u8", "application/vnd.apple.mpegurl", "#EXTM3U\n");
    const std::string loop = "<video src=/clip.mp4 muted loop autoplay style='width:600px'></video>";
    const std::string hidden = "<script>const p=document.createElement('video');p.muted=p.loop=true;p.src='/clip.mp4'</script>";
    // It begins when a page whose video is found would have been left.
    const std::string player = "<script>setTimeout(()=>{const v=document.createElement('video');v.controls=true;document.body.append(v);"
                               "v.src=URL.createObjectURL(new MediaSource());fetch('/film/master.m3u8')},1200)</script>";
    const auto film = site().server.url("/film/master.m3u8");
    auto patient = extract_options();
    patient.settle = 3000ms;
    jx::BrowserExtractor extractor(site().browser, patient);
    const auto ask = [&](const std::string& path, const std::string& body, int nth) {
        site().server.page(path, body);
        auto asked = request(site().server.url(path));
        asked.nth = nth;
        return extractor.extract(asked, {});
    };
    for (const auto& body : {loop + player, hidden + player}) {
        CAPTURE(body);
        const auto info = ask("/beside", body, 0);
        REQUIRE_MESSAGE(info, info.error().message);
        CHECK(info->sources.front().url == film);
    }
    const auto first = ask("/beside", loop + player, 1);
    REQUIRE_MESSAGE(first, first.error().message);
    CHECK(first->sources.front().url == site().server.url("/clip.mp4"));
    // Alone it is what the page has, once there was time for more.
    const auto alone = ask("/alone", loop, 0);
    REQUIRE_MESSAGE(alone, alone.error().message);
    CHECK(alone->sources.front().url == site().server.url("/clip.mp4"));
    CHECK(alone->duration.value_or(0) == doctest::Approx(2.0).epsilon(0.1));
}
