// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// What was found with cookies is fetched with them: each host gets its own, and no other's.
#include <map>
#include <set>

#include <doctest/doctest.h>

#include "stream_bench.hpp"

namespace jobruntime::media_test {
namespace {

/// Two hosts, told apart by their names; one server each.
struct TwoHosts {
    StreamBench bench;
    test::TestServer cdn;
    net::Fetcher fetcher{{.allow_nets = *net::Network::parse_list("127.0.0.0/8, ::1")}};
    media::Downloader downloader{fetcher};

    std::string at_cdn(const std::string& path) const { return "http://localhost:" + std::to_string(cdn.port()) + path; }
    static std::vector<Cookie> cookies() {
        return {{.domain = "127.0.0.1", .name = "site", .value = "s3cret"},
                {.domain = "127.0.0.1", .path = "/other", .name = "elsewhere", .value = "1"},
                {.domain = "127.0.0.1", .secure = true, .name = "secure", .value = "1"},
                {.domain = "localhost", .name = "cdn", .value = "s3cret2"},
                {.domain = "example.org", .subdomains = true, .name = "stranger", .value = "1"}};
    }
    /// The Cookie headers that a server got, by path.
    static std::map<std::string, std::set<std::string>> seen(const test::TestServer& server) {
        std::map<std::string, std::set<std::string>> found;
        for (const auto& request : server.requests()) found[request.target].insert(request.header("cookie"));
        return found;
    }
};

}  // namespace

TEST_CASE("every request of a stream carries the cookies of its own host: playlists, keys, pieces, redirects") {
    TwoHosts two;
    auto& site = two.bench.server;
    const std::string clear = "G-the-segment";
    site.on("/v/index.m3u8", test::status(200, "Set-Cookie: signed=yes; Path=/v\r\n",
                                          "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\nlow.m3u8\n"));
    site.on("/v/low.m3u8", test::status(200, "",
                                        "#EXTM3U\n#EXTINF:1,\n" + two.at_cdn("/1.ts") + "\n#EXTINF:1,\nmoved.ts\n#EXTINF:1,\n3.ts\n" +
                                            "#EXT-X-ENDLIST\n"));
    site.on("/v/moved.ts", test::redirect(two.at_cdn("/2.ts")));
    for (const auto* path : {"/1.ts", "/2.ts"}) two.cdn.on(path, test::serve({.bytes = clear, .type = "video/mp2t"}));
    site.on("/v/3.ts", test::serve({.bytes = clear, .type = "video/mp2t"}));
    auto info = two.bench.info("/v/index.m3u8");
    info.cookies = TwoHosts::cookies();
    const auto work = two.bench.work(1);
    const auto got = two.downloader.download(info, work, two.bench.options);
    REQUIRE_MESSAGE(got, got.error().message);
    const auto at_site = TwoHosts::seen(site);
    CHECK(at_site.at("/v/index.m3u8") == std::set<std::string>{"site=s3cret"});
    // What the playlist's answer set is for all that follows, on its host.
    for (const auto* path : {"/v/low.m3u8", "/v/moved.ts", "/v/3.ts"}) {
        CAPTURE(path);
        CHECK(at_site.at(path) == std::set<std::string>{"signed=yes; site=s3cret"});
    }
    for (const auto& [path, headers] : TwoHosts::seen(two.cdn)) {
        CAPTURE(path);
        CHECK(headers == std::set<std::string>{"cdn=s3cret2"});
    }
    CHECK(two.cdn.requests().size() == 2);
}

TEST_CASE("a key and a single file get their hosts' cookies, and a Cookie header stays with the source's own origin") {
    TwoHosts two;
    auto& site = two.bench.server;
    site.on("/index.m3u8", test::status(200, "", "#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI=\"" + two.at_cdn("/key") +
                                                     "\"\n#EXTINF:1,\na.ts\n#EXT-X-ENDLIST\n"));
    two.cdn.on("/key", test::status(403));  // That it was asked, and with what, is enough.
    site.on("/a.ts", test::serve({.bytes = "G-not-encrypted!", .type = "video/mp2t"}));
    auto info = two.bench.info("/index.m3u8");
    info.cookies = TwoHosts::cookies();
    two.bench.options.segment_retries = 0;
    CHECK_FALSE(two.downloader.download(info, two.bench.work(1), two.bench.options));
    REQUIRE_FALSE(two.cdn.requests().empty());
    CHECK(TwoHosts::seen(two.cdn).at("/key") == std::set<std::string>{"cdn=s3cret2"});

    site.on("/clip.mp4", test::redirect(two.at_cdn("/clip.mp4")));
    two.cdn.on("/clip.mp4", test::serve({.bytes = "the clip"}));
    info.sources = {{.url = site.url("/clip.mp4"), .http_headers = {{"Cookie", "header=1"}}}};
    const auto got = two.downloader.download(info, two.bench.work(2), two.bench.options);
    REQUIRE_MESSAGE(got, got.error().message);
    CHECK(TwoHosts::seen(site).at("/clip.mp4") == std::set<std::string>{"site=s3cret; header=1"});
    CHECK(TwoHosts::seen(two.cdn).at("/clip.mp4") == std::set<std::string>{"cdn=s3cret2"});
    // One job's cookies are not another's.
    info.cookies.clear();
    info.sources[0].http_headers.clear();
    REQUIRE(two.downloader.download(info, two.bench.work(3), {.first_source = 0}));
    CHECK(TwoHosts::seen(site).at("/clip.mp4").contains(""));
}

}  // namespace jobruntime::media_test
