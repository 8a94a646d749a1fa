// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include <jobruntime/net.hpp>

using namespace jobruntime;
using namespace jobruntime::net;

namespace {

Result<Post> identify_text(const std::string& text) { return identify(parse_url(text).value()); }

}  // namespace

TEST_CASE("the same post is recognised however its URL is written") {
    const Post post{.platform = "x",
                    .post_id = "1234567890123456789",
                    .canonical = "https://x.com/some_name/status/1234567890123456789",
                    .unique_key = "x:1234567890123456789",
                    .handle_slug = "some_name"};
    const std::string path = "/Some_Name/status/1234567890123456789";
    for (const std::string& text :
         {"https://x.com" + path, "http://x.com" + path, "https://X.COM" + path, "https://www.x.com" + path,
          "https://mobile.x.com" + path, "https://twitter.com" + path, "http://twitter.com:80" + path,
          "https://www.twitter.com" + path, "https://mobile.twitter.com" + path, "https://x.com" + path + "/",
          "https://x.com" + path + "/photo/1", "https://x.com" + path + "/video/1",
          "https://x.com" + path + "?s=20&t=abc", "https://x.com" + path + "#m",
          "https://x.com/./a/.." + path,
          std::string("https://twitter.com/some_name/statuses/1234567890123456789")}) {
        CAPTURE(text);
        const auto found = identify_text(text);
        REQUIRE(found);
        CHECK(*found == post);
    }
    // A further video of the same post is something else to save; a number that is none is not.
    const auto second = identify_text("https://x.com" + path + "/video/2").value();
    CHECK(second.canonical == post.canonical + "/video/2");
    CHECK(second.unique_key == post.unique_key + "#2");
    CHECK(second.post_id == post.post_id);
    CHECK(second.nth == 2);
    CHECK(post.nth == 0);
    CHECK(identify_text(second.canonical).value() == second);
    for (const char* number : {"1000", "99999999999999999999"})
        CHECK(identify_text("https://x.com" + path + "/video/" + number).value() == post);
    CHECK(identify_text("https://x.com" + path + "/photo/2").value() == post);
    const auto unnamed = identify_text("https://twitter.com/i/web/status/5").value();
    CHECK(unnamed.canonical == "https://x.com/i/status/5");
    CHECK(unnamed.unique_key == "x:5");
    CHECK(unnamed.handle_slug == "x");
}

TEST_CASE("TikTok's posts likewise") {
    for (const std::string text :
         {"https://www.tiktok.com/@Some.Name/video/7123", "http://tiktok.com/@some.name/video/7123/",
          "https://m.tiktok.com/@some.name/video/7123?is_from_webapp=1"}) {
        CAPTURE(text);
        const auto post = identify_text(text);
        REQUIRE(post);
        CHECK(post->platform == "tiktok");
        CHECK(post->canonical == "https://www.tiktok.com/@some.name/video/7123");
        CHECK(post->unique_key == "tiktok:7123");
        CHECK(post->handle_slug == "some-name");
    }
    for (const std::string text :
         {"https://www.tiktok.com/embed/v2/7123", "https://www.tiktok.com/embed/7123",
          "https://m.tiktok.com/v/7123.html", "https://www.tiktok.com/player/v1/7123"}) {
        CAPTURE(text);
        const auto post = identify_text(text);
        REQUIRE(post);
        CHECK(post->unique_key == "tiktok:7123");
        CHECK(post->canonical == "https://www.tiktok.com/@_/video/7123");
        CHECK(post->handle_slug == "tiktok");
    }
}

TEST_CASE("short links are said to be short") {
    struct Row {
        const char* given;
        const char* platform;
        const char* canonical;
    };
    for (const auto& row :
         {Row{"http://t.co/AbC123", "x", "https://t.co/AbC123"},
          Row{"https://vm.tiktok.com/ZMabc/", "tiktok", "https://vm.tiktok.com/ZMabc/"},
          Row{"https://vt.tiktok.com/ZSabc?x=1#y", "tiktok", "https://vt.tiktok.com/ZSabc"},
          Row{"https://www.tiktok.com/t/ZTabc", "tiktok", "https://www.tiktok.com/t/ZTabc"}}) {
        CAPTURE(row.given);
        const auto post = identify_text(row.given);
        REQUIRE(post);
        CHECK(post->short_link);
        CHECK(post->post_id.empty());
        CHECK(post->platform == row.platform);
        CHECK(post->canonical == row.canonical);
        CHECK(post->unique_key == row.canonical);
    }
}

TEST_CASE("a URL of a platform that is no post is refused") {
    for (const std::string text : {"https://x.com/",
                                   "https://x.com/name",
                                   "https://x.com/name/status",
                                   "https://x.com/name/status/",
                                   "https://x.com/name/status/abc",
                                   "https://x.com/name/status/0",
                                   "https://x.com/name/status/012",
                                   "https://x.com/name/status/123456789012345678901",
                                   "https://x.com/name/status/1/likes",
                                   "https://x.com/name/status/1/photo",
                                   "https://x.com/name/status/1/photo/x",
                                   "https://x.com/name/status/1/photo/1/2",
                                   "https://x.com/a-b/status/1",
                                   "https://x.com/sixteencharacter/status/1",
                                   "https://x.com/%2e%2e/status/1",
                                   "https://x.com/na%20me/status/1",
                                   "https://x.com//status/1",
                                   "https://x.com/search?q=/a/status/1",
                                   "https://x.com/home#/a/status/1",
                                   "https://x.com:8443/name/status/1",
                                   "https://x.com/../status/1",
                                   "https://t.co/",
                                   "https://t.co/a/b",
                                   "https://t.co/a.b",
                                   "https://www.tiktok.com/",
                                   "https://www.tiktok.com/@name",
                                   "https://www.tiktok.com/@name/video/",
                                   "https://www.tiktok.com/@name/video/x",
                                   "https://www.tiktok.com/name/video/1",
                                   "https://www.tiktok.com/@/video/1",
                                   "https://www.tiktok.com/@name/photo/1",
                                   "https://www.tiktok.com/@na%2fme/video/1",
                                   "https://vm.tiktok.com/",
                                   "https://www.tiktok.com:444/@name/video/1",
                                   "https://m.tiktok.com/v/x.html",
                                   "https://m.tiktok.com/v/.html"}) {
        CAPTURE(text);
        const auto post = identify_text(text);
        REQUIRE_FALSE(post);
        CHECK(post.error().name == "INVALID_URL");
    }
}

TEST_CASE("any other page keeps what shows it and loses what follows its visitors") {
    struct Row {
        const char* given;
        const char* canonical;
        const char* slug;
    };
    for (const auto& row : {
             Row{"https://example.org", "https://example.org/", "example-org"},
             Row{"http://Example.org:80/Watch?v=1&t=2#top", "http://example.org/Watch?v=1&t=2",
                 "example-org"},
             Row{"https://example.org:8443/a", "https://example.org:8443/a", "example-org"},
             Row{"https://example.org/?utm_source=a&b=2&UTM_Medium=c&a=1", "https://example.org/?b=2&a=1",
                 "example-org"},
             Row{"https://example.org/?fbclid=1", "https://example.org/", "example-org"},
             Row{"https://example.org/?gclid=1&v=x&&igsh=2&ttclid", "https://example.org/?v=x",
                 "example-org"},
             Row{"https://example.org/?", "https://example.org/", "example-org"},
             Row{"https://example.org/?xutm_source=1&gclidx=2", "https://example.org/?xutm_source=1&gclidx=2",
                 "example-org"},
             Row{"https://evilx.com/name/status/1", "https://evilx.com/name/status/1", "evilx-com"},
             Row{"https://x.com.evil.org/name/status/1", "https://x.com.evil.org/name/status/1",
                 "x-com-evil-org"},
             Row{"http://127.0.0.1:9/clip", "http://127.0.0.1:9/clip", "127-0-0-1"},
         }) {
        CAPTURE(row.given);
        const auto post = identify_text(row.given);
        REQUIRE(post);
        CHECK(post->platform == "web");
        CHECK(post->canonical == row.canonical);
        CHECK(post->unique_key == row.canonical);
        CHECK(post->handle_slug == row.slug);
        CHECK_FALSE(post->short_link);
    }
}

TEST_CASE("a program brings platforms of its own, and may leave web out") {
    const std::vector<Platform> own = {{"tube", {"tube.example"}, [](const Url& url) -> Result<Post> {
                                            return Post{.platform = "tube",
                                                        .post_id = url.path.substr(1),
                                                        .canonical = url.str(),
                                                        .unique_key = "tube:" + url.path};
                                        }}};
    CHECK(identify(parse_url("https://m.tube.example/7").value(), own).value().post_id == "7");
    CHECK(identify(parse_url("https://example.org/").value(), own).error().name == "UNSUPPORTED_SOURCE");
}
