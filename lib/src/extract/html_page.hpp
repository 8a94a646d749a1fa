// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/net.hpp>

#include "extract/probe.hpp"

// What a page's HTML says by itself, without a browser: no script runs, and hidden is only what an element says to be
// (its attributes; no style sheet is read). Pure functions over untrusted text; linear in its length.
namespace jobruntime::extract {

struct HtmlPage {
    Probe probe;                                 ///< As the browser's probe sees it, URLs absolute.
    std::map<std::string, std::string> scripts;  ///< Text of <script id="…">, by id; at most 32.
    std::string oembed;                          ///< Address of its oEmbed JSON, or empty.
    std::vector<std::string> frames;             ///< Addresses of <iframe>, at most 16.
};

/// Reads a document that was found at `base`.
HtmlPage read_html(std::string_view html, const net::Url& base);

/// Character references undone: the numeric ones and amp, lt, gt, quot, apos, nbsp.
std::string unescape_html(std::string_view text);

}  // namespace jobruntime::extract
