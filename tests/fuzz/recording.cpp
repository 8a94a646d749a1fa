// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/recording.hpp"

#include <jobruntime/extract.hpp>

#include "extract/media_url.hpp"
#include "fuzz.hpp"

namespace jobruntime::fuzz {
namespace {

constexpr std::string_view separator = "\n----\n";

void expect_good(const Result<MediaInfo>& info, const extract::Recording& recording) {
    if (!info) {
        expect(!info.error().name.empty(), "an error without a name: " + info.error().message);
        return;
    }
    expect(!info->sources.empty(), "an answer without a source");
    for (const auto& source : info->sources) {
        expect(source.protocol != MediaProtocol::file, "a file of no folder");
        expect_canonical(source.url);
        const auto allowed = recording.impl().allowed(extract::url_host(source.url));
        expect(allowed.value_or(true), "a source at a host that was refused: " + source.url);
    }
    (void)to_json(*info);
}

}  // namespace

/// A case.json, and behind a line of four dashes what every body in it is. All extractors that need no browser are told it.
void recording(std::string_view input) {
    static const net::Fetcher fetcher{net::FetcherOptions{}};
    static const auto rules = *extract::PageRules::parse(extract::default_page_rules());
    const auto end = input.find(separator);
    const auto body = end == std::string_view::npos ? std::string_view() : input.substr(end + separator.size());
    extract::Recording recording;
    const auto read = recording.impl().read_case(input.substr(0, end), [&](const std::string& name) -> Result<std::string> {
        expect(!name.empty() && name.front() != '.' && name.find('/') == std::string::npos, "a body elsewhere: " + name);
        return std::string(body);
    });
    if (!read) {
        expect(!read.error().message.empty(), "an error that says nothing");
        return;
    }
    const auto& asked = recording.asked();
    expect(asked.nth >= 0, "a video before the first");
    ExtractRequest request;
    request.url = asked.url;
    request.platform = asked.platform;
    request.post_id = asked.post_id;
    request.nth = asked.nth;
    request.tmp_dir = "/dev/null";  // No folder: files that a case names are not made.
    expect_good(extract::PageExtractor(fetcher, rules, {.recording = &recording}).extract(request, {}), recording);
    expect_good(extract::YtDlpExtractor({.recording = &recording}).extract(request, {}), recording);
    const auto name = asked.extractor.empty() ? "command" : asked.extractor;
    const auto info = extract::CommandExtractor({.name = name, .recording = &recording}).extract(request, {});
    // A program's own code may be any word.
    if (info) expect_good(info, recording);
}

}  // namespace jobruntime::fuzz
