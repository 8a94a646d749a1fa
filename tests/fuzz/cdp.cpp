// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/cdp.hpp"

#include <boost/json/serialize.hpp>

#include "extract/classify.hpp"
#include "extract/media_finder.hpp"
#include "extract/page_state.hpp"
#include "fuzz.hpp"

namespace jobruntime::fuzz {
namespace {

constexpr std::size_t max_message = 2'000;

std::vector<std::string> split(std::string_view bytes, std::size_t piece, std::size_t& skipped) {
    extract::cdp::FrameSplitter splitter(max_message);
    std::vector<std::string> messages;
    const auto keep = [&](std::string_view message) { messages.emplace_back(message); };
    for (std::size_t at = 0; at < bytes.size(); at += piece) splitter.feed(bytes.substr(at, piece), keep);
    skipped = splitter.skipped();
    return messages;
}

void expect_bounded(const extract::PageState& page) {
    expect(page.sightings().size() <= extract::PageState::max_sightings, "too many sightings");
    expect(page.frames().size() <= extract::PageState::max_frames, "too many frames");
}

}  // namespace

/// The browser's end of the pipe: messages that end in NUL (a line's end serves as well in the kept inputs). The first
/// byte says in which pieces they come.
void cdp(std::string_view input) {
    if (input.empty()) return;
    const auto piece = static_cast<std::size_t>(static_cast<unsigned char>(input.front())) + 1;
    std::string bytes(input.substr(1));
    for (char& c : bytes)
        if (c == '\n') c = '\0';
    std::size_t skipped = 0;
    std::size_t skipped_whole = 0;
    const auto messages = split(bytes, piece, skipped);
    expect(messages == split(bytes, bytes.size() + 1, skipped_whole) && skipped == skipped_whole,
           "how the bytes come decides what they are");
    extract::PageState page;
    page.start("S", "F");
    extract::Observation seen;
    seen.requested_url = "https://site.example/";
    for (const auto& text : messages) {
        expect(!text.empty() && text.size() <= max_message, "a message of no size, or over all sizes");
        if (auto probe = extract::parse_probe(text)) seen.probes.push_back(*std::move(probe));
        const auto message = extract::cdp::parse_message(text);
        if (!message) continue;
        expect(message->id >= 0 && message->bytes == text.size(), "a message with a wrong account of itself");
        expect((message->id > 0) == message->method.empty(), "neither an answer nor an event");
        if (message->id == 0) page.on_event(message->session, message->method, message->params);
    }
    expect_bounded(page);
    seen.sightings = page.sightings();
    const auto findings = extract::find_media(seen);
    for (const auto& source : findings.info.sources) expect(!source.url.empty(), "a source without an address");
    extract::PageFacts facts{seen.requested_url, "web", page.main(), seen.probes.empty() ? nullptr : &seen.probes.front()};
    for (const auto& error : {extract::verdict_of_response(facts), extract::verdict(facts, findings)})
        if (error) expect(!error->name.empty(), "an error without a name");
}

}  // namespace jobruntime::fuzz
