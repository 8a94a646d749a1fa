// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/classify.hpp"

#include <algorithm>
#include <array>
#include <span>

namespace jobruntime::extract {

namespace {

bool contains_any(std::string_view text, std::span<const std::string_view> markers) {
    return std::any_of(markers.begin(), markers.end(),
                       [&](const auto marker) { return text.find(marker) != std::string_view::npos; });
}

constexpr auto challenge_markers = std::to_array<std::string_view>(
    {"verify you are human", "verifying you are human", "checking your browser before",
     "checking if the site connection is secure", "needs to review the security of your connection",
     "enable javascript and cookies to continue", "just a moment...", "attention required! | cloudflare",
     "are you a robot", "i'm not a robot", "you are not a robot", "unusual traffic from your",
     "press & hold to confirm", "press and hold to confirm", "prove you're not a bot",
     "confirm you're not a bot", "complete the security check", "drag the slider to fit the puzzle"});
constexpr auto gone_markers = std::to_array<std::string_view>(
    {"video unavailable", "video currently unavailable", "this video isn't available",
     "this video is not available", "video is no longer available", "no longer available",
     "video has been removed", "video was removed", "this post was deleted", "this post is unavailable",
     "this page doesn't exist", "this page doesn\xe2\x80\x99t exist", "couldn't find this account",
     "video not found", "page not found", "this video is private"});
constexpr auto geo_markers = std::to_array<std::string_view>(
    {"not available in your country", "not available in your region", "not available in your location",
     "unavailable in your country", "unavailable in your region", "isn't available in your country",
     "isn't available in your region", "blocked in your country"});
constexpr auto login_markers = std::to_array<std::string_view>(
    {"log in to continue", "login to continue", "sign in to continue", "log in to view", "sign in to view",
     "log in to see", "sign in to see", "you must be logged in", "you need to log in", "please log in",
     "sign in to confirm your age", "log in to watch"});

bool is_login_path(std::string_view url) {
    const auto scheme = url.find("://");
    const auto slash = scheme == std::string_view::npos ? scheme : url.find('/', scheme + 3);
    if (slash == std::string_view::npos) return false;
    const auto path = lower(url.substr(slash, url.find_first_of("?#", slash) - slash)) + "/";
    constexpr auto words = std::to_array<std::string_view>({"/login/", "/log-in/", "/signin/", "/sign-in/",
                                                            "/sign_in/", "/login.php/", "/accounts/login/",
                                                            "/i/flow/login/", "/auth/", "/sso/"});
    return contains_any(path, words);
}

std::string login_remedy(const PageFacts& facts) {
    const bool known = facts.platform == "x" || facts.platform == "tiktok";
    return "log in with `jobrt auth bootstrap" + (known ? " " + facts.platform : std::string()) +
           "` on the worker's machine, then retry";
}

Error auth_required(const PageFacts& facts, std::string_view why) {
    return {Errc::unavailable, "AUTH_REQUIRED",
            shown_url(facts.requested_url) + " wants a log-in (" + std::string(why) +
                "): " + login_remedy(facts)};
}

Error bot_challenge(const PageFacts& facts) {
    return {Errc::unavailable, "BOT_CHALLENGE",
            shown_url(facts.requested_url) +
                " asks for proof that a person is there: solve it once in the visible browser with `jobrt "
                "auth bootstrap" +
                (facts.platform == "x" || facts.platform == "tiktok" ? " " + facts.platform : std::string()) +
                "` (PLAYWRIGHT_HEADLESS=false lets jobs wait for it), then retry"};
}

std::string words_of(const PageFacts& facts) {
    if (facts.page == nullptr) return {};
    return lower(facts.page->title) + "\n" + lower(facts.page->text);
}

/// A challenge page is short and about nothing else; an article that quotes one is long.
bool shows_challenge(const PageFacts& facts, std::string_view words) {
    return contains_any(words, challenge_markers) && (facts.challenge_widget || words.size() < 1500);
}

/// A page that has a video, though none that can be taken, is what a captcha of its own would stand before.
bool shows_video(const PageFacts& facts, const Findings& findings) {
    return findings.script_stream || findings.encrypted || (facts.page != nullptr && !facts.page->videos.empty());
}

bool redirected_to_login(const PageFacts& facts) {
    if (facts.page == nullptr) return false;
    return is_login_path(facts.page->url) && !is_login_path(facts.requested_url);
}

}  // namespace

std::string shown_url(std::string_view url) {
    auto text = std::string(url.substr(0, url.find_first_of("?#")));
    if (text.size() > 200) text = text.substr(0, 200) + "…";
    return text;
}

Error network_error(std::string_view net_error, std::string_view url) {
    const std::string code(net_error.starts_with("net::") ? net_error.substr(5) : net_error);
    const auto is = [&](std::initializer_list<std::string_view> names) {
        return std::find(names.begin(), names.end(), code) != names.end();
    };
    std::string what = "cannot load " + shown_url(url) + " (" + code + "): ";
    if (is({"ERR_NAME_NOT_RESOLVED", "ERR_NAME_RESOLUTION_FAILED"})) {
        what += "the host name is not known; check the URL and the machine's DNS";
    } else if (is({"ERR_CONNECTION_REFUSED", "ERR_ADDRESS_UNREACHABLE", "ERR_CONNECTION_TIMED_OUT",
                   "ERR_TIMED_OUT"})) {
        what += "the server does not answer; try again later";
    } else if (is({"ERR_INTERNET_DISCONNECTED", "ERR_NETWORK_CHANGED", "ERR_NETWORK_ACCESS_DENIED"})) {
        what += "this machine has no network; try again later";
    } else if (code.starts_with("ERR_CERT_") || code.starts_with("ERR_SSL_")) {
        what += "the server's certificate or TLS set-up is not acceptable";
    } else if (is({"ERR_TOO_MANY_REDIRECTS"})) {
        what += "the server redirects in a circle; a log-in may be missing";
    } else {
        what += "try again later";
    }
    return {Errc::unavailable, "NETWORK", std::move(what)};
}

std::optional<Error> verdict_of_response(const PageFacts& facts) {
    if (!facts.main) return std::nullopt;
    const int status = facts.main->status;
    const auto url = shown_url(facts.requested_url);
    if (facts.main->mitigated == "challenge") return bot_challenge(facts);
    if (status == 404 || status == 410) {
        return Error{Errc::not_found, "VIDEO_UNAVAILABLE",
                     "the server says that " + url + " does not exist (HTTP " + std::to_string(status) +
                         "): check the URL"};
    }
    if (status == 401 || status == 407) return auth_required(facts, "HTTP " + std::to_string(status));
    if (status == 451) {
        return Error{Errc::unavailable, "GEO_BLOCKED",
                     url + " is withheld for legal reasons here (HTTP 451)"};
    }
    return std::nullopt;
}

std::optional<Error> verdict(const PageFacts& facts, const Findings& findings) {
    if (auto sure = verdict_of_response(facts)) return sure;
    const auto words = words_of(facts);
    const int status = facts.main ? facts.main->status : 0;
    const auto url = shown_url(facts.requested_url);
    const bool refused = status == 403 || status == 429 || status == 503;
    if (refused && (facts.challenge_widget || contains_any(words, challenge_markers)))
        return bot_challenge(facts);
    if (redirected_to_login(facts) && facts.password_field)
        return auth_required(facts, "it led to its log-in page");
    if (findings.encrypted && !findings.has_direct) {
        return Error{Errc::unsupported, "DRM_PROTECTED",
                     "the video of " + url + " is protected by DRM and cannot be saved"};
    }
    if (!findings.info.sources.empty() && status < 400) return std::nullopt;

    if (status == 429) {
        return Error{Errc::unavailable, "RATE_LIMITED",
                     "the server of " + url +
                         " refuses more requests for now (HTTP 429): wait, or lower the concurrency"};
    }
    if (shows_challenge(facts, words)) return bot_challenge(facts);
    if (status == 403) return auth_required(facts, "HTTP 403");
    // A wall is short. A long page may hold such words in a layer that nobody sees, in its comments or beside a log-in
    // form: it just has no video.
    const bool is_short = words.size() < 2500;
    if ((is_short || status >= 400) && contains_any(words, geo_markers)) {
        return Error{Errc::unavailable, "GEO_BLOCKED",
                     url + " says that its video is not available in this country"};
    }
    if (status >= 400) {
        return Error{
            Errc::unavailable, "NETWORK",
            "the server of " + url + " answered HTTP " + std::to_string(status) + "; try again later"};
    }
    if (facts.password_field && is_short) return auth_required(facts, "the page shows a log-in form and no video");
    if (redirected_to_login(facts)) return auth_required(facts, "it led to its log-in page");
    if (is_short && contains_any(words, gone_markers)) {
        return Error{Errc::not_found, "VIDEO_UNAVAILABLE",
                     url + " says that its video is no longer available"};
    }
    if (is_short && contains_any(words, login_markers)) return auth_required(facts, "the page says so");
    // Without a word of one, on a page that was not refused: the captcha of a form, where there is more to see.
    if (facts.challenge_widget && words.size() < 1500 && !shows_video(facts, findings)) return bot_challenge(facts);
    if (findings.script_stream) {
        return Error{Errc::unsupported, "UNSUPPORTED_SOURCE",
                     "the video of " + url +
                         " is put together by the page's script, and no file or playlist was seen"};
    }
    return Error{Errc::not_found, "NO_MEDIA",
                 "no video was found on " + url + ": open it in a browser and check that it plays one"};
}

}  // namespace jobruntime::extract
