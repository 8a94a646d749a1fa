// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What is found on a page and what it is called, as tables: no browser.
#include <doctest/doctest.h>
#include <boost/json.hpp>

#include "extract/classify.hpp"
#include "extract/engine.hpp"
#include "extract/media_finder.hpp"
#include "extract/media_url.hpp"
#include "extract/page_state.hpp"
#include "extract/page_words.hpp"
#include "extract/profile_lock.hpp"

#include "browser_fixture.hpp"

using namespace jobruntime;
using namespace jobruntime::extract;
namespace json = boost::json;

TEST_CASE("a response is judged by its type first, then by its name") {
    const struct {
        const char* url;
        const char* mime;
        MediaKind kind;
    } rows[] = {
        {"https://a/v.mp4", "video/mp4", MediaKind::direct},
        {"https://a/v", "video/mp4; codecs=avc1", MediaKind::direct},
        {"https://a/v.mp4?x=1#t=2", "", MediaKind::direct},
        {"https://a/v.MP4", "application/octet-stream", MediaKind::direct},
        {"https://a/v.mp4", "text/html", MediaKind::none},
        {"https://a/v.mp4", "image/jpeg", MediaKind::none},
        {"https://a/page", "", MediaKind::none},
        {"https://a/x.m3u8", "text/plain", MediaKind::hls},
        {"https://a/x", "application/vnd.apple.mpegurl", MediaKind::hls},
        {"https://a/x", "application/dash+xml", MediaKind::dash},
        {"https://a/x", "video/vnd.mpeg.dash.mpd", MediaKind::dash},
        {"https://a/x.mpd", "text/xml", MediaKind::dash},
        {"https://a/x.ts", "video/mp2t", MediaKind::segment},
        {"https://a/seg-12.ts", "", MediaKind::segment},
        {"https://a/seg-12.mp4", "video/mp4", MediaKind::direct},
        {"https://a/init.mp4", "video/mp4", MediaKind::direct},
        {"https://a/chunk_3.m4s", "", MediaKind::segment},
        {"https://a/party.mp4", "video/mp4", MediaKind::direct},
        {"https://a/song.mp3", "audio/mpeg", MediaKind::none},
    };
    for (const auto& row : rows) {
        CAPTURE(row.url);
        CAPTURE(row.mime);
        CHECK(classify_media(row.url, row.mime) == row.kind);
    }
    // What nobody names and the network merely delivers is judged by its name, too.
    for (const char* name : {"part1", "part-2", "init", "segment", "seg-12", "chunk_3"}) {
        CAPTURE(name);
        const auto url = "https://a/" + std::string(name) + ".mp4";
        CHECK(classify_sighting(url, "video/mp4") == MediaKind::segment);
        CHECK(classify_sighting(url, "") == MediaKind::segment);
        CHECK(classify_sighting(url, "text/html") == MediaKind::none);
    }
    CHECK(classify_sighting("https://a/party.mp4", "video/mp4") == MediaKind::direct);
    CHECK(classify_sighting("https://a/segment.m3u8", "") == MediaKind::hls);
    CHECK(url_host("https://user@Host.Example:81/x") == "host.example");
    CHECK(url_host("ftp://x/") == "");
    CHECK(url_extension("https://a.mp4/x") == "");
    CHECK(container_of("https://a/x.mov", "") == "mov");
    CHECK(container_of("https://a/x", "video/webm") == "webm");
}

TEST_CASE("durations are read, and nonsense is none") {
    CHECK(parse_duration("PT1M30.5S") == 90.5);
    CHECK(parse_duration("PT2H") == 7200);
    CHECK(parse_duration("P0DT1S") == 1);
    CHECK(parse_duration("12.5") == 12.5);
    for (const char* bad : {"", "PT", "PTS", "PT1X", "-1", "1e99", "PT5", "12 s", "nan", "inf"}) {
        CAPTURE(bad);
        CHECK(parse_duration(bad) == 0);
    }
}

TEST_CASE("sources are ranked: files, pixels, bit rate, MP4, size, evidence") {
    const auto source = [](const char* url, MediaProtocol protocol, int height, double tbr, const char* ext,
                           std::int64_t size, const char* origin) {
        MediaSource made;
        made.url = url;
        made.protocol = protocol;
        made.width = height * 16 / 9;
        made.height = height;
        made.tbr = tbr;
        made.ext = ext;
        if (size > 0) made.filesize = size;
        made.origin = origin;
        return made;
    };
    const std::vector<MediaSource> wanted = {
        source("1", MediaProtocol::https, 1080, 0, "webm", 0, "og"),
        source("2", MediaProtocol::https, 720, 900, "webm", 0, "og"),
        source("3", MediaProtocol::https, 720, 0, "mp4", 0, "og"),
        source("4", MediaProtocol::https, 720, 0, "webm", 900, "og"),
        source("5", MediaProtocol::https, 720, 0, "webm", 100, "video"),
        source("6", MediaProtocol::https, 0, 0, "mp4", 0, "video"),
        source("7", MediaProtocol::https, 0, 0, "mp4", 0, "network"),
        source("8", MediaProtocol::https, 0, 0, "mp4", 0, "og"),
        source("9", MediaProtocol::hls, 2160, 0, "", 0, "network"),
        source("10", MediaProtocol::dash, 2160, 0, "", 0, "network"),
    };
    auto shuffled = wanted;
    std::reverse(shuffled.begin(), shuffled.end());
    rank(shuffled);
    for (std::size_t i = 0; i < wanted.size(); ++i) CHECK(shuffled[i].url == wanted[i].url);
}

TEST_CASE("one file named five ways is one source") {
    Observation seen;
    seen.requested_url = "https://site.example/post";
    Probe page;
    page.url = seen.requested_url;
    page.metas = {{"og:video", "https://cdn.example/v.mp4"},
                  {"og:video:secure_url", "https://cdn.example/v.mp4#a"},
                  {"og:video:height", "720"},
                  {"twitter:player:stream", "https://cdn.example/v.mp4"}};
    page.json_ld = {R"({"@type":"VideoObject","contentUrl":"https://cdn.example/v.mp4"})", "not json",
                    R"([[[[[[[[[[[[{"@type":"VideoObject"}]]]]]]]]]]]])"};
    ProbedVideo video;
    video.src = "https://cdn.example/v.mp4";
    page.videos = {video};
    seen.probes = {page};
    Sighting sighting;
    sighting.url = video.src;
    sighting.mime = "video/mp4";
    sighting.kind = MediaKind::direct;
    sighting.size = 77;
    seen.sightings = {sighting};
    const auto found = find_media(seen);
    REQUIRE(found.info.sources.size() == 1);
    CHECK(found.certain);
    CHECK(found.info.sources[0].origin == "video");
    CHECK(found.info.sources[0].height == 720);
    CHECK(found.info.sources[0].filesize == 77);
    CHECK(found.info.sources[0].http_headers.at("Referer") == "https://site.example/");
}

TEST_CASE("what a script fetches beside a playlist is a piece of it, what a page names or plays is not") {
    struct Row {
        const char* playlist;
        const char* type;
        std::vector<MediaProtocol> wanted;
    };
    using enum MediaProtocol;
    const Row table[] = {{"https://cdn.example/v/index.mpd", "Fetch", {dash}},
                         {"https://cdn.example/v/index.m3u8", "XHR", {hls}},
                         {"https://cdn.example/v/index.mpd", "Media", {https, dash}},
                         {"https://cdn.example/v/words.vtt", "Fetch", {https}}};
    for (const auto& row : table) {
        Observation seen;
        seen.requested_url = "https://site.example/";
        for (const std::string& url : {std::string("https://cdn.example/v/picture.mp4"), std::string(row.playlist)}) {
            Sighting one;
            one.url = url;
            one.type = url == row.playlist ? "Fetch" : row.type;
            one.kind = classify_media(url, "");
            seen.sightings.push_back(one);
        }
        std::vector<MediaProtocol> protocols;
        for (const auto& source : find_media(seen).info.sources) protocols.push_back(source.protocol);
        CAPTURE(row.playlist);
        CHECK(protocols == row.wanted);
        // The page's own word for it counts.
        Probe page;
        page.metas = {{"og:video", "https://cdn.example/v/picture.mp4"}};
        seen.probes = {page};
        CHECK(find_media(seen).info.sources.front().protocol == https);
    }
}

TEST_CASE("a file is a source where the page names it, though its name is like that of a stream's piece") {
    for (const char* name : {"part1", "part-2", "init", "segment", "frame2"}) {
        const auto url = "https://cdn.example/" + std::string(name) + ".mp4";
        for (const bool delivered : {false, true}) {
            const auto sources = [&](const Probe& page) {
                Observation seen;
                seen.requested_url = "https://site.example/";
                seen.probes = {page};
                if (delivered) {
                    Sighting one;
                    one.url = url;
                    one.mime = "video/mp4";
                    one.kind = classify_sighting(url, one.mime);
                    seen.sightings = {one};
                }
                return find_media(seen).info.sources.size();
            };
            CAPTURE(name);
            CAPTURE(delivered);
            Probe tag, meta, data, script;
            ProbedVideo video;
            video.src = url;
            tag.videos = {video};
            meta.metas = {{"og:video", url}};
            data.json_ld = {R"({"@type":"VideoObject","contentUrl":")" + url + R"("})"};
            CHECK(sources(tag) == 1);
            CHECK(sources(meta) == 1);
            CHECK(sources(data) == 1);
            CHECK(sources({}) == (delivered && std::string_view(name) == "frame2" ? 1 : 0));
            if (delivered) continue;  // Data in scripts counts where nothing else has a word.
            script.scripts = {{"data", R"({"title":"t","url":")" + url + R"(","low":"https://cdn.example/low/)" + name + R"(.mp4"})"}};
            CHECK(sources(script) == 2);
            // A list of several is a stream.
            script.scripts = {{"data", R"({"title":"t","list":["https://cdn.example/seg-0.mp4","https://cdn.example/seg-1.mp4"]})"}};
            CHECK(sources(script) == 0);
        }
    }
}

TEST_CASE("a stream's pieces are no sources, and a blob of them is said to be a script's") {
    Observation seen;
    seen.requested_url = "https://site.example/";
    Probe page;
    ProbedVideo video;
    video.src = "blob:https://site.example/1";
    video.ready = 4;
    page.videos = {video};
    seen.probes = {page};
    for (int i = 0; i < 5; ++i) {
        Sighting piece;
        piece.url = "https://cdn.example/a/" + std::to_string(i) + ".mp4";
        piece.mime = "video/mp4";
        piece.type = "XHR";
        piece.kind = MediaKind::direct;
        seen.sightings.push_back(piece);
    }
    const auto found = find_media(seen);
    CHECK(found.info.sources.empty());
    CHECK(found.script_stream);
    PageFacts facts;
    facts.requested_url = seen.requested_url;
    CHECK(verdict(facts, found)->name == "UNSUPPORTED_SOURCE");
}

namespace {

struct Verdict {
    const char* what;
    int status = 200;
    const char* url = "https://site.example/watch/1";  // Where the page ended up.
    const char* text = "";
    bool password = false;
    bool widget = false;
    bool media = false;
    bool player = false;  // A <video> of which nothing can be taken.
    const char* mitigated = "";
    const char* name = "";  // Empty = success.
};

const std::string long_article = "Please log in to comment. " + std::string(4000, 'x');

const std::string long_gone = "This video is not available. " + std::string(4000, 'x');
const std::string long_geo = "This show is not available in your country. " + std::string(4000, 'x');

const Verdict verdicts[] = {
    {.what = "a page with its video", .media = true},
    {.what = "a public page that offers a log-in", .text = "Log in Sign up", .media = true},
    {.what = "a public page with a log-in form in its header", .password = true, .media = true},
    {.what = "an article about captchas with its video", .text = "verify you are human", .media = true},
    {.what = "an empty page", .name = "NO_MEDIA"},
    {.what = "a page that offers a log-in, without video", .text = "Log in Sign up", .name = "NO_MEDIA"},
    {.what = "a long article that one must log in to comment on", .text = long_article.c_str(), .name = "NO_MEDIA"},
    {.what = "a long article with a log-in form beside it",
     .text = long_article.c_str(),
     .password = true,
     .name = "NO_MEDIA"},
    {.what = "a long page with a captcha for its comments", .text = long_article.c_str(), .widget = true, .name = "NO_MEDIA"},
    {.what = "a short page with a player and a captcha for its comments", .widget = true, .player = true, .name = "NO_MEDIA"},
    {.what = "a short page with a captcha and nothing else", .widget = true, .name = "BOT_CHALLENGE"},
    {.what = "a challenge in front of a player",
     .text = "Drag the slider to fit the puzzle",
     .widget = true,
     .player = true,
     .name = "BOT_CHALLENGE"},
    {.what = "a refusal with a captcha and a player", .status = 403, .widget = true, .player = true, .name = "BOT_CHALLENGE"},
    {.what = "a wall", .password = true, .name = "AUTH_REQUIRED"},
    {.what = "a wall of words", .text = "You must be logged in to see this", .name = "AUTH_REQUIRED"},
    {.what = "sent to the log-in",
     .url = "https://site.example/login?next=1",
     .password = true,
     .media = true,
     .name = "AUTH_REQUIRED"},
    {.what = "sent to a log-in without a form yet",
     .url = "https://site.example/i/flow/login",
     .name = "AUTH_REQUIRED"},
    {.what = "401", .status = 401, .media = true, .name = "AUTH_REQUIRED"},
    {.what = "403", .status = 403, .name = "AUTH_REQUIRED"},
    {.what = "404", .status = 404, .media = true, .name = "VIDEO_UNAVAILABLE"},
    {.what = "410", .status = 410, .name = "VIDEO_UNAVAILABLE"},
    {.what = "gone by words", .text = "This video is no longer available", .name = "VIDEO_UNAVAILABLE"},
    {.what = "a long page with a layer for videos that are gone", .text = long_gone.c_str(), .name = "NO_MEDIA"},
    {.what = "a long page that is gone", .status = 410, .text = long_gone.c_str(), .name = "VIDEO_UNAVAILABLE"},
    {.what = "Cloudflare says so",
     .status = 403,
     .media = true,
     .mitigated = "challenge",
     .name = "BOT_CHALLENGE"},
    {.what = "a challenge with 503",
     .status = 503,
     .text = "Checking your browser before accessing",
     .name = "BOT_CHALLENGE"},
    {.what = "a challenge with 429", .status = 429, .widget = true, .name = "BOT_CHALLENGE"},
    {.what = "a challenge with 200", .text = "Verify you are human", .name = "BOT_CHALLENGE"},
    {.what = "429", .status = 429, .name = "RATE_LIMITED"},
    {.what = "451", .status = 451, .name = "GEO_BLOCKED"},
    {.what = "abroad by words", .text = "Not available in your country", .name = "GEO_BLOCKED"},
    {.what = "a long page with a layer for viewers abroad", .text = long_geo.c_str(), .name = "NO_MEDIA"},
    {.what = "a long page of an error that says abroad", .status = 400, .text = long_geo.c_str(), .name = "GEO_BLOCKED"},
    {.what = "a broken server", .status = 500, .media = true, .name = "NETWORK"},
};

}  // namespace

TEST_CASE("pages are classified without false alarms") {
    for (const auto& row : verdicts) {
        CAPTURE(row.what);
        Probe page;
        page.url = row.url;
        page.text = row.text;
        if (row.player) page.videos.emplace_back();
        PageFacts facts;
        facts.requested_url = "https://site.example/watch/1";
        facts.platform = "x";
        facts.main = MainResponse{row.url, "text/html", row.mitigated, row.status};
        facts.page = &page;
        facts.password_field = row.password;
        facts.challenge_widget = row.widget;
        Findings findings;
        if (row.media) findings.info.sources.push_back({.url = "https://cdn.example/v.mp4"});
        findings.has_direct = row.media;
        const auto error = verdict(facts, findings);
        CHECK((error ? error->name : std::string()) == row.name);
        if (error && (error->name == "AUTH_REQUIRED" || error->name == "BOT_CHALLENGE")) {
            CHECK(error->message.find("jobrt auth bootstrap x") != std::string::npos);
        }
    }
}

TEST_CASE("network failures are named, and no message shows a query") {
    CHECK(network_error("net::ERR_NAME_NOT_RESOLVED", "https://a/b").name == "NETWORK");
    CHECK(network_error("net::ERR_CERT_DATE_INVALID", "https://a/b?token=secret").message.find("secret") ==
          std::string::npos);
    CHECK(shown_url("https://a/" + std::string(500, 'x')).size() < 220);
}

TEST_CASE("hostile events leave the page's state sane") {
    PageState state;
    state.start("S", "F");
    const char* events[] = {"Network.requestWillBeSent",
                            "Network.responseReceived",
                            "Network.loadingFinished",
                            "Network.loadingFailed",
                            "Page.frameAttached",
                            "Page.frameNavigated",
                            "Page.frameDetached",
                            "Target.attachedToTarget",
                            "Target.detachedFromTarget",
                            "Page.loadEventFired",
                            "No.such"};
    const char* bodies[] = {
        "{}",
        R"({"request":1,"response":2,"frame":3,"targetInfo":4})",
        R"({"request":{},"response":{},"frame":{},"targetInfo":{}})",
        R"({"requestId":"r","type":"Document","frameId":"F","loaderId":"r","request":{"url":"https://a/"},
                               "redirectResponse":[],"response":{"url":"https://a/","status":"200","headers":{"content-length":"-5"}}})",
        R"({"requestId":"q","response":{"url":"https://a/v.mp4","status":206,"mimeType":"video/mp4",
                               "headers":{"Content-Range":"bytes 0-1/99999999999999999999"}},"frameId":null})",
        R"({"frame":{"id":"F","url":7}})",
        R"({"frameId":"F","sessionId":"S"})"};
    for (int round = 0; round < 3; ++round) {
        for (const char* event : events) {
            for (const char* body : bodies) state.on_event("S", event, json::parse(body).as_object());
        }
    }
    CHECK(state.frames().contains("F"));
    REQUIRE(state.sightings().size() == 1);
    CHECK_FALSE(state.sightings()[0].size);
    for (int i = 0; i < 5000; ++i) {
        const auto n = std::to_string(i);
        state.on_event("S", "Page.frameAttached", {{"frameId", "f" + n}, {"parentFrameId", "F"}});
        state.on_event("S", "Network.requestWillBeSent",
                       {{"requestId", n}, {"request", {{"url", "https://a/" + n}}}});
        state.on_event(
            "S", "Network.responseReceived",
            {{"requestId", n},
             {"response", {{"url", "https://a/" + n}, {"status", 200}, {"mimeType", "video/mp4"}}}});
    }
    CHECK(state.sightings().size() <= PageState::max_sightings);
    CHECK(state.frames().size() <= PageState::max_frames);
}

TEST_CASE("the main document that counts is the last one that was asked for, after however many requests") {
    PageState state;
    state.start("S", "F");
    const auto ask = [&](const std::string& id, const std::string& url, bool main) {
        state.on_event("S", "Network.requestWillBeSent",
                       {{"requestId", id},
                        {"type", main ? "Document" : "XHR"},
                        {"frameId", "F"},
                        {"loaderId", main ? id : "L"},
                        {"request", {{"url", url}, {"headers", {{"Referer", "https://a/from-" + id}}}}}});
    };
    const auto answer = [&](const std::string& id, const std::string& url, int status, const char* mime) {
        state.on_event("S", "Network.responseReceived",
                       {{"requestId", id}, {"response", {{"url", url}, {"status", status}, {"mimeType", mime}}}});
    };
    ask("first", "https://a/first", true);
    answer("first", "https://a/first", 200, "text/html");
    for (int i = 0; i < 5000; ++i) ask(std::to_string(i), "https://a/" + std::to_string(i), false);
    ask("later", "https://a/later", true);
    REQUIRE(state.main());
    CHECK(state.main()->url == "https://a/first");
    answer("later", "https://a/later", 403, "text/html");
    CHECK(state.main()->url == "https://a/later");
    CHECK(state.main()->status == 403);
    answer("first", "https://a/first", 200, "text/html");
    CHECK(state.main()->url == "https://a/later");
    // A video as the document itself, after an address that is longer than any that is kept.
    ask("long", "https://a/" + std::string(10'000, 'x'), true);
    answer("long", "https://a/" + std::string(10'000, 'x'), 404, "text/html");
    CHECK(state.main()->status == 404);
    ask("film", "https://a/film.mp4", true);
    answer("film", "https://a/film.mp4", 200, "video/mp4");
    CHECK(state.main()->mime == "video/mp4");
    REQUIRE(state.sightings().size() == 1);
    CHECK(state.sightings()[0].referer == "https://a/from-film");
}

TEST_CASE("a probe's answer of any shape is read or refused") {
    for (const char* text : {"", "x", "[]", "3"}) CHECK_FALSE(parse_probe(text));
    CHECK_FALSE(parse_probe(std::string(max_probe_text + 1, ' ')));
    const auto odd = parse_probe(
        R"({"url":1,"videos":[1,{"width":-5,"height":1e99,"duration":"x","sources":[2,{}]}],"metas":[[1],["a"],["a","b"]],"jsonLd":[5]})");
    REQUIRE(odd);
    REQUIRE(odd->videos.size() == 1);
    CHECK(odd->videos[0].width == 0);
    CHECK(odd->videos[0].height == 0);
    CHECK(odd->meta("a") == "b");
}

TEST_CASE("root needs to ask for no sandbox, nobody else can, and a visible browser needs a display") {
    BrowserOptions options;
    CHECK(check_options(options, true).error().name == "BROWSER_LAUNCH_FAILED");
    CHECK(check_options(options, true).error().message.find("JOBRT_BROWSER_NO_SANDBOX") != std::string::npos);
    CHECK(check_options(options, false));
    const auto has = [](const std::vector<std::string>& args, std::string_view flag) {
        return std::find(args.begin(), args.end(), flag) != args.end();
    };
    CHECK_FALSE(has(browser_arguments(options, "c", true, "http://127.0.0.1:1"), "--no-sandbox"));
    options.no_sandbox = true;
    CHECK(has(browser_arguments(options, "c", true, "http://127.0.0.1:1"), "--no-sandbox"));
    CHECK_FALSE(has(browser_arguments(options, "c", false, "http://127.0.0.1:1"), "--no-sandbox"));
    CHECK(has(browser_arguments(options, "c", false, "http://127.0.0.1:1"), "--password-store=basic"));
    CHECK(has(browser_arguments(options, "c", false, "http://127.0.0.1:1"), "--headless"));
    options.headless = false;
    options.environment = {"DISPLAY="};
    CHECK(check_options(options, true).error().message.find("DISPLAY") != std::string::npos);
    options.environment = {"DISPLAY=:9"};
    CHECK(check_options(options, true));
    CHECK_FALSE(has(browser_arguments(options, "c", false, "http://127.0.0.1:1"), "--headless"));
    CHECK(find_browser("/no/such/chromium").error().name == "BROWSER_LAUNCH_FAILED");
}

TEST_CASE("a profile is held by one, and whoever holds it is told apart") {
    const extract_test::TempFolder folder;
    const auto profile = folder / "p";
    {
        auto first = ProfileLock::take(profile, {});
        REQUIRE(first);
        CHECK((std::filesystem::status(profile).permissions() & std::filesystem::perms::mask) ==
              std::filesystem::perms::owner_all);
        const auto second = ProfileLock::take(profile, {});
        REQUIRE_FALSE(second);
        CHECK(second.error().name == "BROWSER_PROFILE_IN_USE");
        CHECK(second.error().code == Errc::unavailable);
        CHECK(second.error().message.find(std::to_string(::getpid())) != std::string::npos);
    }
    char host[256] = {};
    REQUIRE(::gethostname(host, sizeof host - 1) == 0);
    const auto mark = [&](const std::string& target) {
        std::filesystem::remove(profile + "/SingletonLock");
        std::filesystem::create_symlink(target, profile + "/SingletonLock");
    };
    // A program that only looks like a browser by its name.
    std::filesystem::copy_file("/bin/sleep", folder / "chromium-of-somebody");
    auto browser = Subprocess::spawn({.argv = {folder / "chromium-of-somebody", "60"}});
    REQUIRE(browser);
    mark(std::string(host) + "-" + std::to_string(browser->pid()));
    const auto foreign = ProfileLock::take(profile, {});
    REQUIRE_FALSE(foreign);
    CHECK(foreign.error().name == "BROWSER_PROFILE_IN_USE");
    CHECK(foreign.error().code == Errc::conflict);
    mark("another-machine-17");
    CHECK(ProfileLock::take(profile, {}).error().code == Errc::conflict);
    REQUIRE(browser->terminate(std::chrono::milliseconds(100)));
    mark(std::string(host) + "-" + std::to_string(browser->pid()));
    CHECK(ProfileLock::take(profile, {}));
    CHECK_FALSE(std::filesystem::is_symlink(profile + "/SingletonLock"));
    mark(std::string(host) + "-" + std::to_string(::getpid()));  // A number used again by another program.
    CHECK(ProfileLock::take(profile, {}));
}
