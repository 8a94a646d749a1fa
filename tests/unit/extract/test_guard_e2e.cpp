// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Real Chromium on hostile pages: whatever they try, nobody who is not allowed is reached.
#include <future>

#include <doctest/doctest.h>

#include "browser_fixture.hpp"
#include "canary.hpp"

using namespace extract_test;

namespace {

/// A browser that may go to 127.0.0.1 only, or to the canary, too.
struct Visit {
    explicit Visit(std::string_view nets) {
        auto options = browser_options(folder);
        options.allow_nets = jobruntime::net::Network::parse_list(nets).value();
        browser.emplace(std::move(options));
        auto looking = extract_options();
        looking.settle = 3s;
        extractor.emplace(*browser, looking);
    }
    jobruntime::Result<jobruntime::MediaInfo> operator()(const std::string& url, std::stop_token stop = {}) {
        auto asked = request(url);
        asked.log = [this](std::string_view line) { log += std::string(line) + "\n"; };
        return extractor->extract(asked, stop);
    }
    TempFolder folder;
    std::optional<jx::Browser> browser;
    std::optional<jx::BrowserExtractor> extractor;
    std::string log;
};

constexpr const char* only_site = "127.0.0.1";
constexpr const char* with_canary = "127.0.0.0/8 ::1";

/// What the control must see at the canary. The rest of the page's tries go by UDP, which has no way through,
/// or Chromium stops them by rules of its own.
const std::set<std::string> tcp_kinds = {
    "/img",   "/fetch",  "/frame",  "/script", "/style",    "/video",  "/socket", "/events", "/beacon",
    "/worker", "/service", "/redirect", "/object", "/prefetch", "/refresh", "/form",  "/xhr", "/six"};

/// A page that tries them all; V4 and V6 stand for the canary's addresses.
constexpr const char* hostile = R"html(<!doctype html><title>hostile</title>
<img src="http://V4/img"><img src="/redirect"><script src="http://V4/script"></script>
<link rel=stylesheet href="http://V4/style"><link rel=prefetch href="http://V4/prefetch">
<link rel=preconnect href="http://V4"><link rel=dns-prefetch href="http://V4">
<iframe src="http://V4/frame"></iframe><iframe src="/refresh"></iframe>
<object data="http://V4/object"></object><video muted autoplay src="http://V4/video"></video>
<iframe name=f></iframe><form id=form target=f method=post action="http://V4/form"><input name=a value=b></form>
<script type=speculationrules>{
"prefetch": [{"source": "list", "urls": ["http://V4/speculate"], "eagerness": "immediate"}],
"prerender": [{"source": "list", "urls": ["/prerender"], "eagerness": "immediate"}]}</script>
<script>
const attempt = f => { try { const r = f(); if (r && r.catch) r.catch(() => {}); } catch (e) {} };
attempt(() => fetch('http://V4/fetch', {mode: 'no-cors'}));
attempt(() => fetch('http://V6/six', {mode: 'no-cors'}));
attempt(() => { const x = new XMLHttpRequest(); x.open('GET', 'http://V4/xhr'); x.send(); });
attempt(() => new WebSocket('ws://V4/socket'));
attempt(() => new EventSource('http://V4/events'));
attempt(() => navigator.sendBeacon('http://V4/beacon', 'x'));
attempt(() => document.getElementById('form').submit());
attempt(() => window.open('http://V4/popup'));
attempt(() => new Worker(URL.createObjectURL(new Blob(["fetch('http://V4/worker', {mode: 'no-cors'})"]))));
attempt(() => navigator.serviceWorker.register('/service.js'));
attempt(() => { const t = new WebTransport('https://V4/transport'); t.ready.catch(() => {}); return t.closed; });
attempt(() => {
  const peer = new RTCPeerConnection({iceServers: [{urls: ['stun:V4', 'stun:V6']},
    {urls: ['turn:V4?transport=udp', 'turn:V4?transport=tcp'], username: 'a', credential: 'b'}]});
  peer.createDataChannel('x');
  return peer.createOffer().then(offer => peer.setLocalDescription(offer));
});
fetch('/all-tried');
</script>)html";

std::string hostile_page(const Canary& canary) {
    std::string page = hostile;
    for (const auto& [mark, address] : {std::pair<std::string, std::string>{"V4", canary.v4("")}, {"V6", canary.v6("")}})
        for (auto at = page.find(mark); at != std::string::npos; at = page.find(mark, at + 1))
            page.replace(at, 2, address);
    return page;
}

void serve_hostile(PageServer& server, const Canary& canary) {
    const auto at = "http://" + canary.v4("");
    server.page("/hostile", hostile_page(canary));
    server.page("/all-tried", "");
    server.add("/redirect", [=](auto&, auto&) { return Reply{.status = 302, .headers = {"Location: " + at + "/redirect"}}; });
    server.page("/refresh", "<meta http-equiv=refresh content='0;url=" + at + "/refresh'>");
    server.page("/prerender", "<img src='" + at + "/prerender'>");
    server.file("/service.js", "text/javascript",
                "addEventListener('install',e=>e.waitUntil(fetch('" + at + "/service',{mode:'no-cors'}).catch(()=>{})))");
}

}  // namespace

TEST_CASE("no way out of a page reaches who is not allowed") {
    const Canary canary;
    PageServer server;
    serve_hostile(server, canary);
    Visit visit(only_site);
    const auto info = visit(server.url("/hostile"));
    CHECK(server.hits("/all-tried") > 0);
    CHECK_MESSAGE(canary.connections() == 0, canary.seen_text());
    CHECK(canary.datagrams() == 0);
    // One each for what may share a connection, and both addresses.
    MESSAGE("refused: " << visit.browser->status().denied);
    CHECK(visit.browser->status().denied >= 10);
    CHECK_MESSAGE(visit.log.find("kept from") != std::string::npos, visit.log);
    REQUIRE_FALSE(info);
    CHECK(info.error().name == "NO_MEDIA");
}

TEST_CASE("control: the same page reaches the canary, in every way that can, when its network is allowed") {
    const Canary canary;
    PageServer server;
    serve_hostile(server, canary);
    Visit visit(with_canary);
    auto wanted = tcp_kinds;
    if (!canary.has_v6()) wanted.erase("/six");
    std::stop_source stop;
    auto running = std::async(std::launch::async, [&] { return visit(server.url("/hostile"), stop.get_token()); });
    const auto missing = [&] {
        std::string text;
        const auto seen = canary.seen();
        for (const auto& kind : wanted)
            if (!seen.contains(kind)) text += kind + " ";
        return text;
    };
    while (!missing().empty() && running.wait_for(20ms) != std::future_status::ready) {}
    stop.request_stop();
    (void)running.get();
    CHECK_MESSAGE(missing().empty(), "not seen: " << missing());
    MESSAGE("seen: " << canary.seen_text() << "and " << canary.datagrams() << " datagrams");
    // UDP has no way through, allowed or not.
    CHECK(canary.datagrams() == 0);
}

TEST_CASE("a page, its redirect and what it goes on to are refused by name at private addresses") {
    const Canary canary;
    PageServer server;
    server.file("/clip.mp4", "video/mp4", clip());
    const auto target = "http://" + canary.v4("/x");
    server.add("/moved", [=](auto&, auto&) { return Reply{.status = 302, .headers = {"Location: " + target}}; });
    server.page("/goes", "<script>location='" + target + "'</script>");
    server.page("/goes-secure", "<script>location='https://" + canary.v4("/x") + "'</script>");
    server.page("/frame", "<video src=/clip.mp4></video><iframe src='" + target + "'></iframe>");
    server.page("/only-there", "<video src='http://" + canary.v4("/x.mp4") + "'></video>");
    Visit visit(only_site);
    for (const auto& url : {target, server.url("/moved"), server.url("/goes"), server.url("/goes-secure"),
                            "https://" + canary.v4("/x"), std::string("http://169.254.169.254/latest/meta-data/"),
                            server.url("/only-there")}) {
        CAPTURE(url);
        const auto info = visit(url);
        REQUIRE_FALSE(info);
        CHECK_MESSAGE(info.error().name == "SSRF_BLOCKED", info.error().message);
        CHECK(info.error().message.find("JOBRT_ALLOW_NETS") != std::string::npos);
    }
    const auto framed = visit(server.url("/frame"));
    CHECK_MESSAGE(framed, (framed ? "" : framed.error().message));
    CHECK_MESSAGE(canary.connections() == 0, canary.seen_text());
    Visit control(with_canary);
    (void)control(server.url("/frame"));
    CHECK(control(server.url("/moved")).error().name != "SSRF_BLOCKED");
    CHECK_MESSAGE(canary.seen().contains("/x"), canary.seen_text());
}

TEST_CASE("a page that pretends to be the guard does not part the browser from it") {
    PageServer server;
    server.file("/clip.mp4", "video/mp4", clip());
    server.page("/fine", "<video src=/clip.mp4></video>");
    server.add("/pretends", [](auto&, auto&) {
        return Reply{.status = 407, .body = "x", .headers = {"Proxy-Authenticate: Basic realm=\"jobruntime\""}};
    });
    server.page("/inside", "<img src=/pretends><script>fetch('/pretends')</script>");
    Visit visit(only_site);
    CHECK(visit(server.url("/pretends")).error().name == "AUTH_REQUIRED");
    CHECK_FALSE(visit(server.url("/inside")));
    CHECK(visit(server.url("/fine")));
    CHECK(visit.browser->status().launches == 1);
}

TEST_CASE("a browser that goes round its guard does not start") {
    for (const auto* flag : {"--no-proxy-server", "--proxy-bypass-list=127.0.0.1", "--proxy-server=127.0.0.1:9"}) {
        CAPTURE(flag);
        const TempFolder folder;
        auto options = browser_options(folder);
        const auto wrapper = folder / "wrapper";
        std::ofstream(wrapper) << "#!/bin/sh\nexec '" << jx::find_browser().value() << "' \"$@\" " << flag << "\n";
        std::filesystem::permissions(wrapper, std::filesystem::perms::owner_all);
        options.program = wrapper;
        jx::Browser browser(options);
        const auto started = browser.start();
        REQUIRE_FALSE(started);
        CHECK(started.error().name == "BROWSER_LAUNCH_FAILED");
        CHECK_MESSAGE(started.error().message.find("address guard") != std::string::npos, started.error().message);
        CHECK(processes_of(folder / "profile").empty());
    }
}
