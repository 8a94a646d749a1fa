// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include <doctest/doctest.h>

#include "e2e/support.hpp"
#include "extract/engine.hpp"

namespace jobruntime::e2e {

/// A Chromium that shows one address.
class Player {
public:
    Player(const Folder& folder, const std::string& url) {
        extract::BrowserOptions options;
        options.profile_dir = folder / "player";
        options.no_sandbox = true;
        options.allow_nets = net::Network::parse_list("127.0.0.0/8").value();
        for (const auto& [name, value] : environment(folder))
            options.environment.push_back(name + "=" + value);
        auto launched = extract::Engine::launch(options, {});
        REQUIRE_MESSAGE(launched.has_value(), launched.error().message);
        engine_ = std::move(*launched);
        mailbox_ = engine_->connection().open_mailbox();
        const auto made =
            engine_->connection().call("Target.createTarget", {{"url", url}, {"newWindow", true}}, soon());
        REQUIRE(made.has_value());
        const auto attached = engine_->connection().call(
            "Target.attachToTarget", {{"targetId", made->at("targetId")}, {"flatten", true}}, soon());
        REQUIRE(attached.has_value());
        session_ = text(*attached, "sessionId");
        engine_->connection().route(session_, mailbox_);
    }

    /// Goes to another address.
    void show(const std::string& url) {
        engine_->connection().send(mailbox_, session_, "Page.navigate", {{"url", url}});
    }
    /// What an expression is worth as a number; -1 when it is none.
    double number(std::string_view expression) {
        const auto value = value_of(expression);
        return value.is_number() ? value.to_number<double>() : -1.0;
    }

    /// What an expression of the page's is worth; null when it fails.
    boost::json::value value_of(std::string_view expression) {
        const auto id = engine_->connection().send(mailbox_, session_, "Runtime.evaluate",
                                                   {{"expression", expression}, {"returnByValue", true}});
        for (extract::cdp::Message message;
             mailbox_->pop(message, soon(), {}) == extract::cdp::Mailbox::Got::message;) {
            if (message.id != id || !message.params.contains("result")) continue;
            const auto& result = message.params.at("result").get_object();
            return result.contains("value") ? result.at("value") : boost::json::value();
        }
        return {};
    }

private:
    static std::chrono::steady_clock::time_point soon() { return std::chrono::steady_clock::now() + 20s; }

    std::unique_ptr<extract::Engine> engine_;
    std::shared_ptr<extract::cdp::Mailbox> mailbox_;
    std::string session_;
};

}  // namespace jobruntime::e2e
