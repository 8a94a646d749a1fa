// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/helper_answer.hpp"

#include <algorithm>
#include <cmath>

#include <boost/json/array.hpp>

#include "net/names.hpp"

namespace jobruntime::media {
namespace {

using boost::json::object;

/// A short word of a known alphabet, or nothing.
std::string word_of(const object& from, std::string_view key) {
    const auto* value = from.if_contains(key);
    if (!value || !value->is_string() || value->get_string().size() > 64) return {};
    const std::string_view text = value->get_string();
    const bool plain = std::ranges::all_of(text, [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == ',' ||
               c == '.';
    });
    return plain ? std::string(text) : std::string();
}

double number_of(const object& from, std::string_view key) {
    const auto* value = from.if_contains(key);
    if (!value || !value->is_number()) return 0;
    const double number = value->to_number<double>();
    return std::isfinite(number) && number >= 0 && number <= 9e15 ? number : 0;
}

int pixels_of(const object& from, std::string_view key) {
    return static_cast<int>(std::min(number_of(from, key), 1e6));
}

bool flag_of(const object& from, std::string_view key) {
    const auto* value = from.if_contains(key);
    return value && value->is_bool() && value->get_bool();
}

void take_stream(const object& stream, MediaFacts& facts) {
    const std::string type = word_of(stream, "type");
    if (type == "audio" && facts.audio_codec.empty()) facts.audio_codec = word_of(stream, "codec");
    if (type != "video" || flag_of(stream, "still")) return;
    const bool best =
        pixels_of(stream, "width") == facts.width && pixels_of(stream, "height") == facts.height;
    if (!best || !facts.video_codec.empty()) return;
    facts.video_codec = word_of(stream, "codec");
    facts.fps = number_of(stream, "fps");
}

/// How the file's own and the machine's errors sort; the helper names its kind by word.
Errc kind_of(std::string_view word) {
    for (int i = 1; i <= static_cast<int>(Errc::full); ++i)
        if (to_string(static_cast<Errc>(i)) == word) return static_cast<Errc>(i);
    return Errc::internal;
}

}  // namespace

Error helper_nonsense(std::string_view what) {
    return Error{
        Errc::corrupt, "MEDIA_HELPER_CRASHED",
        "the media helper answered " + std::string(what) + "; the file may have damaged it, do not retry it"};
}

Result<MediaFacts> facts_of(const object& answer) {
    MediaFacts facts;
    facts.container = word_of(answer, "container");
    facts.seconds = number_of(answer, "seconds");
    facts.width = pixels_of(answer, "width");
    facts.height = pixels_of(answer, "height");
    facts.bytes = static_cast<std::uint64_t>(number_of(answer, "bytes"));
    const auto* streams = answer.if_contains("streams");
    if (facts.container.empty() || !streams || !streams->is_array())
        return helper_nonsense("without container or streams");
    facts.streams = static_cast<int>(std::min<std::size_t>(streams->get_array().size(), 1000));
    for (const auto& stream : streams->get_array())
        if (stream.is_object()) take_stream(stream.get_object(), facts);
    return facts;
}

Result<Finished> finished_of(const object& answer) {
    auto facts = facts_of(answer);
    if (!facts) return facts.error();
    Finished done;
    done.facts = std::move(*facts);
    done.ext = word_of(answer, "ext");
    done.sha256 = word_of(answer, "sha256");
    done.remuxed = flag_of(answer, "remuxed");
    done.thumbnail = flag_of(answer, "thumbnail");
    const bool is_hash = done.sha256.size() == 64 && std::ranges::all_of(done.sha256, [](char c) {
                             return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
                         });
    if (!is_hash) return helper_nonsense("without a checksum");
    if (!net::is_container_ext(done.ext)) return helper_nonsense("with an unknown file extension");
    if (done.facts.video_codec.empty() || done.facts.bytes == 0)
        return helper_nonsense("a result without video");
    return done;
}

Error error_of(const object& answer) {
    const auto* code = answer.if_contains("code");
    const auto* text = answer.if_contains("message");
    const std::string kind = word_of(answer, "kind");
    if (!code || !code->is_string() || !text || !text->is_string())
        return helper_nonsense("an error without code or message");
    const std::string_view name = code->get_string();
    const bool known = name == "BAD_REQUEST" ||
                       std::ranges::any_of(codes(), [&](const CodeInfo& info) { return info.code == name; });
    if (!known) return helper_nonsense("an error with a code that it does not have");
    return Error{kind_of(kind), std::string(name),
                 std::string(std::string_view(text->get_string()).substr(0, 1000))};
}

}  // namespace jobruntime::media
