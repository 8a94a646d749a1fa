// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/html_page.hpp"

#include "core/utf8.hpp"
#include "extract/classify.hpp"
#include "extract/media_finder.hpp"
#include "extract/media_url.hpp"
#include "extract/nth_video.hpp"
#include "fuzz.hpp"

namespace jobruntime::fuzz {
namespace {

void expect_address(const std::string& address) {
    if (!address.empty()) expect_canonical(address);
}

void expect_bounded(const extract::HtmlPage& page) {
    const auto& probe = page.probe;
    expect(probe.videos.size() <= 24 && probe.metas.size() <= 64 && probe.json_ld.size() <= 32, "too much of a page is kept");
    expect(page.scripts.size() <= 32 && page.frames.size() <= 16, "too many scripts or frames are kept");
    expect(probe.text.size() <= 6'200 && core::is_utf8(probe.text), "too long a text, or none");
    expect(probe.title.size() <= 500 && core::is_utf8(probe.title), "too long a title, or none");
    for (const auto& video : probe.videos) {
        expect(video.sources.size() <= 16, "too many sources");
        expect_address(video.src);
        expect_address(video.poster);
        for (const auto& source : video.sources) {
            expect_address(source.url);
            expect(source.height >= 0 && source.height <= 9'999, "a height that is none");
        }
    }
    for (const auto& [name, content] : probe.metas)
        expect(name.size() <= 100 && (content.size() <= 1'000 || extract::is_http_url(content)) && core::is_utf8(content),
               "too long a meta, or no text");
    expect_address(page.oembed);
    for (const auto& frame : page.frames) expect_address(frame);
}

}  // namespace

/// A web page, as the page extractor gets it.
void html_page(std::string_view input) {
    const auto base = *net::parse_url("https://site.example/folder/page?query");
    const auto page = extract::read_html(input, base);
    expect_bounded(page);
    expect(extract::unescape_html(input).size() <= input.size(), "undoing references makes text longer");
    extract::Observation seen;
    seen.requested_url = base.str();
    seen.probes.push_back(page.probe);
    const auto findings = extract::find_media(seen);
    for (const auto& source : findings.info.sources)
        expect(!source.url.empty() && source.width >= 0 && source.height >= 0, "a source smaller than nothing");
    for (const int nth : {1, 2, 3})
        for (const auto& source : extract::find_nth(seen, nth).info.sources)
            expect(extract::is_http_url(source.url) && source.width >= 0 && source.height >= 0, "a source smaller than nothing");
    extract::PageFacts facts{seen.requested_url, "web", std::nullopt, &page.probe,
                             page.probe.challenge_widget, page.probe.password_field};
    if (const auto error = extract::verdict(facts, findings)) expect(!error->name.empty(), "an error without a name");
}

}  // namespace jobruntime::fuzz
