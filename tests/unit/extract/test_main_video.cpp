// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
// Pages with more than one video: which of them is meant. No browser.
#include <doctest/doctest.h>

#include "extract/html_page.hpp"
#include "extract/main_video.hpp"
#include "extract/media_finder.hpp"
#include "extract/nth_video.hpp"

using namespace jobruntime;
using namespace jobruntime::extract;

namespace {

constexpr const char* film = "https://cdn.example/film/master.m3u8";
constexpr const char* loop = "https://cdn.example/loop.mp4";

/// A file that its page plays muted, in a loop, without controls.
ProbedVideo looping(const char* url = loop) {
    ProbedVideo video;
    video.src = url;
    video.width = 1920;
    video.height = 1080;
    video.ready = 4;
    video.duration = 6;
    video.muted = video.loop = video.autoplay = true;
    video.area = 1280 * 720;
    return video;
}

ProbedVideo playing(const std::string& url) {
    ProbedVideo video;
    video.src = url;
    return video;
}

/// What a script of the page feeds.
ProbedVideo player() {
    auto video = playing("blob:https://site.example/1");
    video.duration = 600;
    video.area = 640 * 360;
    return video;
}

Sighting sighting(const std::string& url, const char* type) {
    Sighting one;
    one.url = url;
    one.type = type;
    one.kind = classify_sighting(url, "");
    return one;
}

Observation page_with(std::vector<ProbedVideo> videos, std::vector<Sighting> sightings) {
    Observation seen;
    seen.requested_url = "https://site.example/";
    Probe page;
    page.url = seen.requested_url;
    page.videos = std::move(videos);
    seen.probes = {page};
    seen.sightings = std::move(sightings);
    return seen;
}

std::string best(const Observation& seen, int nth = 0) {
    const auto found = find_nth(seen, nth);
    return found.info.sources.empty() ? "" : found.info.sources.front().url;
}

}  // namespace

TEST_CASE("a preview beats the main player's playlist in no order of the page") {
    const auto list = sighting(film, "XHR");
    const auto file = sighting(loop, "Media");
    for (const auto& seen : {page_with({looping(), player()}, {file, list}), page_with({player(), looping()}, {list, file}),
                             page_with({player()}, {file, list}),                // In the network only.
                             page_with({playing(""), looping()}, {file, list}),  // A player that is about to begin.
                             page_with({looping()}, {file, list})}) {            // One that is not to be seen.
        CAPTURE(seen.probes[0].videos.size());
        const auto found = find_media(seen);
        REQUIRE_FALSE(found.info.sources.empty());
        CHECK(found.info.sources.front().url == film);
        CHECK_FALSE(found.certain);
        CHECK_FALSE(found.provisional);
    }
    const auto both = find_media(page_with({looping(), player()}, {file, list}));
    CHECK(both.info.sources.size() == 1);  // It is no stand-in for a film that cannot be fetched.
    CHECK(both.info.duration == 600);
}

TEST_CASE("a file of the main player is known to be it, and a preview never is") {
    auto main = playing("https://cdn.example/film.mp4");
    main.ready = 1;
    main.area = 640 * 360;
    for (const auto& seen : {page_with({looping(), main}, {}), page_with({main, looping()}, {})}) {
        const auto found = find_media(seen);
        REQUIRE(found.info.sources.size() == 1);
        CHECK(found.info.sources.front().url == main.src);
        CHECK(found.certain);
    }
    const auto alone = find_media(page_with({looping()}, {sighting(loop, "Media")}));
    CHECK(alone.provisional);
    CHECK(alone.has_direct);
    CHECK_FALSE(alone.certain);
    CHECK(alone.info.sources.size() == 1);
    CHECK(alone.info.duration == 6);
    const auto hidden = find_media(page_with({}, {sighting(loop, "Media")}));
    CHECK(hidden.provisional);
    CHECK_FALSE(find_media(page_with({}, {sighting(loop, "Fetch")})).provisional);
    // What a script feeds is on the page, and the preview is not it.
    const auto unseen = find_media(page_with({looping(), player()}, {}));
    CHECK(unseen.info.sources.empty());
    CHECK(unseen.script_stream);
}

TEST_CASE("what the page calls its video goes before what else it plays") {
    for (const bool meta : {true, false}) {
        auto seen = page_with({looping()}, {});
        if (meta)
            seen.probes[0].metas = {{"og:video", "https://cdn.example/a.mp4"}};
        else
            seen.probes[0].json_ld = {R"({"@type":"VideoObject","contentUrl":"https://cdn.example/a.mp4"})"};
        CHECK(best(seen) == "https://cdn.example/a.mp4");
        CHECK(find_media(seen).info.sources.size() == 1);
    }
    // A preview that is named is the page's video as long as there is no player.
    auto seen = page_with({looping()}, {});
    seen.probes[0].metas = {{"og:video", loop}};
    CHECK_FALSE(find_media(seen).provisional);
    CHECK(best(seen) == loop);
    seen.probes[0].videos.push_back(player());
    seen.sightings = {sighting(film, "XHR")};
    CHECK(best(seen) == film);
}

TEST_CASE("of several videos the main one has controls, is larger and longer") {
    const auto with = [](auto change) {
        auto video = playing("https://cdn.example/main.mp4");
        change(video);
        return video;
    };
    const auto other = [](auto change) {
        auto video = playing("https://cdn.example/other.mp4");
        video.width = 1920;  // It would be the better file.
        video.height = 1080;
        change(video);
        return video;
    };
    const auto nothing = [](ProbedVideo&) {};
    const std::pair<ProbedVideo, ProbedVideo> rows[] = {
        {with([](auto& v) { v.controls = true; }), other(nothing)},
        {with([](auto& v) { v.area = 640 * 360; }), other([](auto& v) { v.area = 160 * 90; })},
        {with([](auto& v) { v.duration = 600; }), other([](auto& v) { v.duration = 20; })},
        {with(nothing), other([](auto& v) { v.muted = v.autoplay = true; })},
        {with([](auto& v) { v.area = 640 * 360; }), other([](auto& v) { v.area = 160 * 90, v.controls = true; })},
        {with([](auto& v) { v.muted = v.loop = v.controls = true; }), other(nothing)},
    };
    for (const auto& [main, second] : rows) {
        CHECK(best(page_with({main, second}, {})) == main.src);
        CHECK(best(page_with({second, main}, {})) == main.src);
    }
    // Where nothing tells them apart the better file counts.
    CHECK(best(page_with({with(nothing), other(nothing)}, {})) == "https://cdn.example/other.mp4");
    // A blurred copy behind the player is the player's.
    CHECK(find_media(page_with({looping(film), playing(film)}, {})).info.sources.size() == 1);
}

TEST_CASE("one that plays muted by itself may be the page's player, for whom there is some time yet") {
    auto silent = playing("https://cdn.example/main.mp4");
    silent.muted = silent.autoplay = true;
    silent.ready = 4;
    const auto found = find_media(page_with({silent}, {}));
    CHECK_FALSE(found.provisional);
    CHECK_FALSE(found.certain);
    CHECK(found.info.sources.size() == 1);
    silent.controls = true;
    CHECK(find_media(page_with({silent}, {})).certain);
}

TEST_CASE("a number counts in the page's order, and none means the best") {
    const auto files = page_with({playing("https://cdn.example/a.mp4"), looping(), playing("https://cdn.example/c.mp4")}, {});
    CHECK(best(files, 1) == "https://cdn.example/a.mp4");
    CHECK(best(files, 2) == loop);
    CHECK(best(files, 3) == "https://cdn.example/c.mp4");
    CHECK(best(files, 4).empty());
    CHECK_FALSE(find_nth(files, 2).provisional);
    const auto list = sighting(film, "XHR");
    const auto file = sighting(loop, "Media");
    CHECK(best(page_with({looping(), player()}, {file, list}), 1) == loop);
    CHECK(best(page_with({looping(), player()}, {file, list}), 2) == film);
    CHECK(best(page_with({player(), looping()}, {file, list}), 1) == film);
    CHECK(best(page_with({player(), looping()}, {file, list}), 2) == loop);
    CHECK(best(page_with({looping(), player()}, {file, list}), 0) == film);
    // Whose the playlist is nobody knows.
    CHECK(best(page_with({player(), player()}, {list}), 1).empty());
    // There is one video, whatever shows it.
    CHECK(best(page_with({}, {list}), 1) == film);
    CHECK(best(page_with({}, {list}), 2).empty());
}

TEST_CASE("the markup says how a video is played") {
    const auto base = net::parse_url("https://site.example/").value();
    const auto page = read_html("<video src=a.mp4 MUTED loop='' autoplay width=640 height=360px></video>"
                                "<video controls src=b.mp4 width='100%' height=99999999999></video>", base);
    REQUIRE(page.probe.videos.size() == 2);
    const auto& first = page.probe.videos[0];
    CHECK((first.muted && first.loop && first.autoplay && !first.controls));
    CHECK(first.area == 640 * 360);
    const auto& second = page.probe.videos[1];
    CHECK((!second.muted && !second.loop && !second.autoplay && second.controls));
    CHECK(second.area == 0);
}
