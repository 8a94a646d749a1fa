// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/net.hpp>

// What reads hostile bytes, each as a function of one input. libFuzzer calls them with inputs that it makes up, the
// unit test with those that are kept in corpus/. An input that breaks what must hold throws; one that is worse crashes.
namespace jobruntime::fuzz {

void cdp(std::string_view input);
void configuration(std::string_view input);
void cookie_file(std::string_view input);
void dash(std::string_view input);
void env_file(std::string_view input);
void extractor_output(std::string_view input);
void html_page(std::string_view input);
void http_request(std::string_view input);
void page_rules(std::string_view input);
void piece_shape(std::string_view input);
void playlist(std::string_view input);
void recording(std::string_view input);
void redact(std::string_view input);
void router(std::string_view input);
void url(std::string_view input);

struct Target {
    std::string_view name;  ///< Also of its folder in corpus/.
    void (*run)(std::string_view input);
};
inline constexpr Target targets[] = {
    {"cdp", cdp},
    {"configuration", configuration},
    {"cookie_file", cookie_file},
    {"dash", dash},
    {"env_file", env_file},
    {"extractor_output", extractor_output},
    {"html_page", html_page},
    {"http_request", http_request},
    {"page_rules", page_rules},
    {"piece_shape", piece_shape},
    {"playlist", playlist},
    {"recording", recording},
    {"redact", redact},
    {"router", router},
    {"url", url},
};

/// What must hold for every input.
inline void expect(bool holds, const std::string& what) {
    if (!holds) throw std::logic_error(what);
}

/// The first line of `text`, which is taken off it. The kept inputs are text, so that people can read them.
inline std::string_view take_line(std::string_view& text) {
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    return line;
}

/// An address that is handed on: it is its own canonical text.
inline void expect_canonical(const std::string& text) {
    const auto again = net::parse_url(text, net::max_fetch_url);
    expect(again.has_value(), "an address that was handed on is refused: " + text);
    expect(again->str() == text, "an address that was handed on is not canonical: " + text + " is " + again->str());
}

/// What identify() may say of a URL, whichever rules are asked (url.cpp).
void expect_sound(const net::Post& post, std::span<const net::Platform> platforms);

}  // namespace jobruntime::fuzz
