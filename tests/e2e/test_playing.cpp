// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <doctest/doctest.h>

#include "e2e/support.hpp"
#include "extract/engine.hpp"

// A saved file as a person sees it: its link opened in a browser, from the API that serves it.
namespace jobruntime::e2e {
namespace {

using Clock = std::chrono::steady_clock;
namespace json = boost::json;

/// A Chromium that shows one address.
class Player {
public:
    Player(const Folder& folder, const std::string& url) {
        extract::BrowserOptions options;
        options.profile_dir = folder / "player";
        options.no_sandbox = true;
        options.allow_nets = net::Network::parse_list("127.0.0.0/8").value();
        for (const auto& [name, value] : environment(folder)) options.environment.push_back(name + "=" + value);
        auto launched = extract::Engine::launch(options, {});
        REQUIRE_MESSAGE(launched.has_value(), launched.error().message);
        engine_ = std::move(*launched);
        mailbox_ = engine_->connection().open_mailbox();
        const auto made = engine_->connection().call("Target.createTarget", {{"url", url}, {"newWindow", true}}, soon());
        REQUIRE(made.has_value());
        const auto attached = engine_->connection().call(
            "Target.attachToTarget", {{"targetId", made->at("targetId")}, {"flatten", true}}, soon());
        REQUIRE(attached.has_value());
        session_ = text(*attached, "sessionId");
        engine_->connection().route(session_, mailbox_);
    }

    /// What an expression of the page's is worth; null when it fails.
    json::value value_of(std::string_view expression) {
        const auto id = engine_->connection().send(mailbox_, session_, "Runtime.evaluate",
                                                   {{"expression", expression}, {"returnByValue", true}});
        for (extract::cdp::Message message;
             mailbox_->pop(message, soon(), {}) == extract::cdp::Mailbox::Got::message;) {
            if (message.id != id || !message.params.contains("result")) continue;
            const auto& result = message.params.at("result").get_object();
            return result.contains("value") ? result.at("value") : json::value();
        }
        return {};
    }

private:
    static Clock::time_point soon() { return Clock::now() + 20s; }

    std::unique_ptr<extract::Engine> engine_;
    std::shared_ptr<extract::cdp::Mailbox> mailbox_;
    std::string session_;
};

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
    auto number = [&](std::string_view expression) {
        const auto value = player.value_of(expression);
        return value.is_number() ? value.to_number<double>() : -1.0;
    };
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
