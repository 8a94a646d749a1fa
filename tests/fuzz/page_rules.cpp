// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/page_rules.hpp"

#include <cmath>

#include <boost/json/parse.hpp>

#include "core/json.hpp"
#include "extract/media_url.hpp"
#include "fuzz.hpp"

namespace jobruntime::fuzz {
namespace {

/// The rule that is read with, as paths that the input gives in one line: items, video, address, bit rate and width.
extract::PageReader reader_of(std::string_view line) {
    std::vector<std::string> paths;
    while (paths.size() < 5) {
        const auto end = line.find(' ');
        paths.emplace_back(line.substr(0, end));
        line = end == std::string_view::npos ? std::string_view() : line.substr(end + 1);
    }
    extract::PageReader reader;
    reader.items = paths[0];
    reader.video = paths[1];
    extract::PageSources sources;
    sources.each = "";
    sources.url = paths[2];
    sources.bitrate = {paths[3]};
    sources.width = {paths[4]};
    sources.height = {"height"};
    sources.size = {"size"};
    sources.type = {"type"};
    reader.sources = {sources};
    reader.errors = {{{"error"}, "gone", {}, "VIDEO_UNAVAILABLE", ""}, {{"error"}, std::nullopt, {"login"}, "AUTH_REQUIRED", ""}};
    reader.id = {"id"};
    reader.title = {"title"};
    reader.author = {"author"};
    reader.published = {"published"};
    reader.thumbnail = reader.item_thumbnail = {"thumbnail"};
    reader.duration = {"duration"};
    reader.item_duration_ms = {"ms"};
    return reader;
}

void expect_good_info(const MediaInfo& info) {
    expect(!info.sources.empty() && info.sources.size() <= 64, "no sources, or too many");
    expect(!info.duration || (std::isfinite(*info.duration) && *info.duration > 0), "a duration that is none");
    expect(info.title.size() <= 500 && info.author.size() <= 200 && info.published.size() <= 64, "too long a text");
    for (const auto& source : info.sources) {
        expect(extract::is_http_url(source.url), "an address that is none: " + source.url);
        expect(source.width >= 0 && source.width <= 65'535 && source.height >= 0 && source.height <= 65'535,
               "a picture of no size");
        expect(std::isfinite(source.tbr) && source.tbr >= 0 && (!source.filesize || *source.filesize > 0), "a number that is none");
    }
}

}  // namespace

/// Paths in the first line; behind it a document of a site, which is also tried as rules.
void page_rules(std::string_view input) {
    auto text = input;
    const auto line = take_line(text);
    const auto encoded = extract::percent_encode(line);
    expect(encoded.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.~%") == std::string::npos,
           "what is encoded has other characters");
    (void)extract::fill_in(line, {{"id", "{id}"}, {"url", std::string(line)}}, true);
    const auto token = extract::syndication_token(line);
    expect(token.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz") == std::string::npos,
           "a token of other characters: " + token);
    const auto document = core::parse_json(text);
    if (!document) return;
    for (const int nth : {0, 1, 2}) {
        const auto info = extract::read_document(*document, reader_of(line), nth);
        expect(info || !info.error().name.empty(), "an error without a name");
        if (info) expect_good_info(*info);
    }
    if (!document->is_object()) return;
    const auto rules = extract::PageRules::parse(document->get_object());
    expect(rules || rules.error().name == "INVALID_CONFIGURATION", "an error of another name");
}

}  // namespace jobruntime::fuzz
