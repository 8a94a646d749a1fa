// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include <algorithm>
#include <charconv>
#include <ctime>

#include "extract/child_run.hpp"
#include "extract/info_dict.hpp"
#include "extract/media_finder.hpp"
#include "extract/media_url.hpp"
#include "extract/page_rules.hpp"

namespace jobruntime::extract {

namespace json = boost::json;

namespace {

std::string text_by(const json::value& root, const JsonPaths& paths) {
    const auto* value = first_at(root, paths);
    return value == nullptr ? std::string() : scalar_text(*value);
}

double number_by(const json::value& root, const JsonPaths& paths) {
    const auto* value = first_at(root, paths);
    return value == nullptr ? 0 : std::clamp(scalar_number(*value), 0.0, 9e15);
}

/// "…/vid/avc1/1280x720/…": many sites say a variant's size in its path and nowhere else.
void size_from_url(MediaSource& source) {
    const std::string_view url = source.url;
    for (auto x = url.find('x'); x != std::string_view::npos; x = url.find('x', x + 1)) {
        const auto begin = url.substr(0, x).find_last_not_of("0123456789");
        const auto end = std::min(url.find_first_not_of("0123456789", x + 1), url.size());
        if (begin == std::string_view::npos || url[begin] != '/' || (end < url.size() && url[end] != '/')) continue;
        int width = 0;
        int height = 0;
        std::from_chars(url.data() + begin + 1, url.data() + x, width);
        std::from_chars(url.data() + x + 1, url.data() + end, height);
        if (width < 16 || height < 16 || width > 16'384 || height > 16'384) continue;
        source.width = width;
        source.height = height;
        return;
    }
}

/// ISO 8601 from seconds since 1970 and from X's "Tue Oct 01 19:59:18 +0000 2024"; anything else as it is.
std::string published_time(const std::string& text) {
    double seconds = 0;
    const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (failed == std::errc{} && end == text.data() + text.size() && seconds > 86'400) return iso_time(seconds);
    std::tm parts{};
    const auto* last = ::strptime(text.c_str(), "%a %b %d %H:%M:%S +0000 %Y", &parts);
    if (last != nullptr && *last == '\0') return iso_time(static_cast<double>(::timegm(&parts)));
    return clean_line(text, 64);
}

std::optional<Error> told_error(const json::value& document, const PageReader& reader) {
    for (const auto& row : reader.errors) {
        const auto* value = first_at(document, row.at);
        if (value == nullptr) continue;
        const auto text = scalar_text(*value);
        if (row.is && text != *row.is) continue;
        const auto words = lower(text);
        if (!row.has.empty() && std::none_of(row.has.begin(), row.has.end(), [&](const auto& part) {
                return words.find(part) != std::string::npos;
            }))
            continue;
        auto message = row.message.empty() ? "the site says: " + clean_line(text.empty() ? row.code : text, 200) : row.message;
        return Error{errc_of(row.code), row.code, std::move(message)};
    }
    return std::nullopt;
}

void add_source(const json::value& object, const std::string& address, const PageSources& where, MediaInfo& info) {
    const auto type = text_by(object, where.type);
    if (!is_http_url(address)) return;
    auto kind = classify_media(address, type);
    // The rule says that it is a video: an address without a name or type is believed to be a file.
    if (kind == MediaKind::none && type.empty()) kind = MediaKind::direct;
    if (kind == MediaKind::none || kind == MediaKind::segment) return;
    const bool known = std::any_of(info.sources.begin(), info.sources.end(), [&](const auto& s) { return s.url == address; });
    if (known || info.sources.size() >= 64) return;
    MediaSource source;
    source.url = address;
    source.protocol = kind == MediaKind::hls    ? MediaProtocol::hls
                      : kind == MediaKind::dash ? MediaProtocol::dash
                                                : MediaProtocol::https;
    source.ext = kind == MediaKind::direct ? container_of(address, type) : std::string();
    source.tbr = number_by(object, where.bitrate) / 1000;
    source.width = static_cast<int>(std::min(number_by(object, where.width), 65'535.0));
    source.height = static_cast<int>(std::min(number_by(object, where.height), 65'535.0));
    if (source.height == 0) size_from_url(source);
    if (const auto size = number_by(object, where.size); size > 0) source.filesize = static_cast<std::int64_t>(size);
    source.origin = "page-json";
    info.sources.push_back(std::move(source));
}

void add_sources(const json::value& item, const PageReader& reader, MediaInfo& info) {
    for (const auto& where : reader.sources) {
        each_at(item, where.each, [&](const json::value& object) {
            each_at(object, where.url, [&](const json::value& address) {
                if (address.is_string()) add_source(object, std::string(address.get_string()), where, info);
            });
        });
    }
}

}  // namespace

Result<MediaInfo> read_document(const json::value& document, const PageReader& reader, int nth) {
    if (auto told = told_error(document, reader)) return *std::move(told);
    const auto* root = first_at(document, reader.root);
    if (root == nullptr || !root->is_structured())
        return Error{errc_of(reader.missing), reader.missing,
                     reader.missing == "UNSUPPORTED_SOURCE" ? "the answer is not what the rule expects; the site may have changed"
                                                            : "the site's answer has no such post"};
    std::vector<const json::value*> videos;
    int media = 0;
    each_at(*root, reader.items, [&](const json::value& item) {
        ++media;
        if (reader.video.empty() || first_at(item, {reader.video}) != nullptr) videos.push_back(&item);
    });
    if (videos.empty())
        return Error{Errc::not_found, "NO_MEDIA",
                     media == 0 ? "the post has text only" : "the post has pictures and no video"};
    const auto index = static_cast<std::size_t>(std::max(nth, 1)) - 1;
    if (videos.size() <= index)
        return Error{Errc::not_found, "NO_MEDIA",
                     "the post has " + std::to_string(videos.size()) + " videos, and number " + std::to_string(nth) +
                         " was asked for"};
    const auto& item = *videos[index];
    MediaInfo info;
    info.id = text_by(*root, reader.id);
    info.title = clean_line(text_by(*root, reader.title), 500);
    info.author = clean_line(text_by(*root, reader.author), 200);
    info.published = published_time(text_by(*root, reader.published));
    info.thumbnail = text_by(item, reader.item_thumbnail);
    if (info.thumbnail.empty()) info.thumbnail = text_by(*root, reader.thumbnail);
    auto seconds = number_by(*root, reader.duration);
    if (const auto ms = number_by(item, reader.item_duration_ms); ms > 0) seconds = ms / 1000;
    if (seconds > 0) info.duration = seconds;
    info.duration_stated = info.duration.has_value();
    add_sources(item, reader, info);
    if (info.sources.empty())
        return Error{Errc::unsupported, "UNSUPPORTED_SOURCE", "the post has a video, and no address of it that can be fetched"};
    rank(info.sources);
    return info;
}

}  // namespace jobruntime::extract
