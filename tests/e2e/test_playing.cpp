// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include "e2e/player.hpp"
#include "e2e/support.hpp"

// A saved file as a person sees it: its link opened in a browser, from the API that serves it.
namespace jobruntime::e2e {
namespace {

TEST_CASE("Chromium plays the saved file from /downloads of the API, in both modes") {
    bool split = false;
    SUBCASE("combined") { split = false; }
    SUBCASE("split") { split = true; }
    CAPTURE(split);
    test::TestServer site;
    add_clip_page(site);
    const Folder folder;
    Runtime runtime(folder, split);
    const auto job = runtime.wait(runtime.save(site.url("/page")), "completed|failed");
    REQUIRE(text(job, "status") == "completed");
    const auto url = "http://127.0.0.1:" + std::to_string(runtime.port()) + "/downloads/" + text(job, "outputPath");
    const auto saved = http(runtime.port(), "GET", "/downloads/" + text(job, "outputPath"));
    CHECK(saved.headers.at("cross-origin-resource-policy") == "same-origin");

    // The file itself is the page, as when a person opens its link: /downloads lets no other site show it.
    Player player(folder, url);
    const auto number = [&](std::string_view expression) { return player.number(expression); };
    CHECK(eventually(20s, [&] { return number("document.querySelector('video').duration") > 0; }));
    CHECK(player.value_of("location.href").as_string() == url);
    CHECK(number("document.querySelector('video').duration") == doctest::Approx(6.0).epsilon(0.05));
    player.value_of("document.querySelector('video').play()");
    CHECK_MESSAGE(eventually(20s, [&] { return number("document.querySelector('video').currentTime") > 0.5; }),
                  player.value_of("String((document.querySelector('video').error || {}).message)"));
    CHECK(number("document.querySelector('video').videoWidth") == 320);
    // A jump to where nothing was fetched yet is a range request.
    player.value_of("document.querySelector('video').currentTime = 5");
    CHECK(eventually(20s, [&] { return number("document.querySelector('video').currentTime") > 5.2; }));
}

}  // namespace
}  // namespace jobruntime::e2e
