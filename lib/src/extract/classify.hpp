// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <jobruntime/result.hpp>

#include "extract/media_finder.hpp"
#include "extract/page_state.hpp"

// Why a page gave no video. Pure; tested as a table. What it must never do is raise a false
// alarm: a page with its media in plain sight is not a log-in page because it offers one.
namespace jobruntime::extract {

struct PageFacts {
    std::string requested_url;
    std::string platform;  ///< For the remedy: "x", "tiktok", "web".
    std::optional<MainResponse> main;
    const Probe* page = nullptr;    ///< The main frame's, when it answered.
    bool challenge_widget = false;  ///< In any frame.
    bool password_field = false;    ///< In any frame.
};

/// What the server's answer alone decides, whatever the page shows: no reason to settle.
std::optional<Error> verdict_of_response(const PageFacts& facts);

/// The error of a page once it has settled, or nothing when `findings` is an answer.
std::optional<Error> verdict(const PageFacts& facts, const Findings& findings);

/// Maps Chromium's name of a network failure ("net::ERR_NAME_NOT_RESOLVED").
Error network_error(std::string_view net_error, std::string_view url);

/// "https://host/path" without query or fragment, at most 200 bytes: for messages, which must not leak
/// signatures.
std::string shown_url(std::string_view url);

}  // namespace jobruntime::extract
