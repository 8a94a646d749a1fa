// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/media_url.hpp"

#include <algorithm>
#include <array>
#include <cctype>

namespace jobruntime::extract {

namespace {

struct Container {
    std::string_view ext;
    std::string_view mime;
};
constexpr std::array containers = {
    Container{"mp4", "video/mp4"},        Container{"m4v", "video/x-m4v"},
    Container{"webm", "video/webm"},      Container{"mov", "video/quicktime"},
    Container{"mkv", "video/x-matroska"}, Container{"ogv", "video/ogg"},
    Container{"3gp", "video/3gpp"},       Container{"avi", "video/x-msvideo"},
    Container{"flv", "video/x-flv"},      Container{"mpg", "video/mpeg"},
};

/// The path of an absolute URL: between the authority and the query.
std::string_view path_of(std::string_view url) {
    const auto scheme = url.find("://");
    if (scheme == std::string_view::npos) return {};
    url.remove_prefix(scheme + 3);
    const auto slash = url.find('/');
    if (slash == std::string_view::npos) return {};
    url.remove_prefix(slash);
    return url.substr(0, url.find_first_of("?#"));
}

bool one_of(std::string_view value, std::initializer_list<std::string_view> list) {
    return std::find(list.begin(), list.end(), value) != list.end();
}

/// No one gives a whole film such a name.
bool has_segment_extension(std::string_view url) {
    return one_of(url_extension(url), {"ts", "m4s", "m4f", "cmfv", "cmfa", "m2ts"});
}

std::string essence(std::string_view mime) {
    auto type = lower(mime.substr(0, mime.find(';')));
    while (!type.empty() && std::isspace(static_cast<unsigned char>(type.back()))) type.pop_back();
    return type;
}

}  // namespace

std::string lower(std::string_view text) {
    std::string out(text);
    std::transform(out.begin(), out.end(), out.begin(),
                   [](unsigned char c) { return static_cast<char>(c < 128 ? std::tolower(c) : c); });
    return out;
}

bool is_http_url(std::string_view url) {
    const auto start = lower(url.substr(0, 8));
    return start.starts_with("http://") || start.starts_with("https://");
}

std::string_view without_fragment(std::string_view url) { return url.substr(0, url.find('#')); }

std::string url_host(std::string_view url) {
    if (!is_http_url(url)) return {};
    url.remove_prefix(url.find("://") + 3);
    url = url.substr(0, url.find_first_of("/?#"));
    if (const auto at = url.rfind('@'); at != std::string_view::npos) url.remove_prefix(at + 1);
    if (url.starts_with('[')) return lower(url.substr(0, url.find(']') + 1));
    return lower(url.substr(0, url.find(':')));
}

std::string url_extension(std::string_view url) {
    const auto path = path_of(url);
    const auto name = path.substr(path.rfind('/') == std::string_view::npos ? 0 : path.rfind('/') + 1);
    const auto dot = name.rfind('.');
    if (dot == std::string_view::npos || name.size() - dot > 6) return {};
    return lower(name.substr(dot + 1));
}

std::string digit_pattern(std::string_view url) {
    std::string out = url_host(url);
    bool in_digits = false;
    for (const char c : path_of(url)) {
        const bool digit = c >= '0' && c <= '9';
        if (!digit)
            out += c;
        else if (!in_digits)
            out += '#';
        in_digits = digit;
    }
    return out;
}

bool looks_like_segment(std::string_view url) {
    if (has_segment_extension(url)) return true;
    const auto path = lower(path_of(url));
    auto name = std::string_view(path).substr(path.rfind('/') == std::string::npos ? 0 : path.rfind('/') + 1);
    for (const std::string_view word : {"segment", "seg", "chunk", "frag", "fragment", "part", "init"}) {
        if (!name.starts_with(word)) continue;
        const auto rest = name.substr(word.size());
        if (rest.empty() || one_of(rest.substr(0, 1), {"-", "_", "."}) ||
            std::isdigit(static_cast<unsigned char>(rest[0]))) {
            return true;
        }
    }
    return path.find("/range/prot/") != std::string::npos;
}

MediaKind classify_sighting(std::string_view url, std::string_view mime) {
    const auto kind = classify_media(url, mime);
    return kind == MediaKind::direct && looks_like_segment(url) ? MediaKind::segment : kind;
}

MediaKind classify_media(std::string_view url, std::string_view mime) {
    const auto type = essence(mime);
    const auto ext = url_extension(url);
    if (one_of(type, {"application/vnd.apple.mpegurl", "application/x-mpegurl", "audio/mpegurl",
                      "audio/x-mpegurl", "application/mpegurl", "video/x-mpegurl", "vnd.apple.mpegurl"})) {
        return MediaKind::hls;
    }
    if (one_of(type, {"application/dash+xml", "video/vnd.mpeg.dash.mpd"})) return MediaKind::dash;
    if (one_of(type, {"video/mp2t", "video/iso.segment", "audio/mp2t"})) return MediaKind::segment;
    if (type.starts_with("video/")) return has_segment_extension(url) ? MediaKind::segment : MediaKind::direct;
    // A server that names another real type is believed: ".mp4" pages of text/html are common.
    if (!one_of(type, {"", "application/octet-stream", "binary/octet-stream", "application/mp4", "text/plain",
                       "application/xml", "text/xml", "application/x-www-form-urlencoded"})) {
        return MediaKind::none;
    }
    if (ext == "m3u8") return MediaKind::hls;
    if (ext == "mpd") return MediaKind::dash;
    if (type == "text/plain" || type == "text/xml" || type == "application/xml") return MediaKind::none;
    if (has_segment_extension(url)) return MediaKind::segment;
    const bool known = type == "application/mp4" || std::any_of(containers.begin(), containers.end(),
                                                                [&](const auto& c) { return c.ext == ext; });
    return known ? MediaKind::direct : MediaKind::none;
}

MediaKind classify_answer(std::string_view url, std::string_view mime, std::string_view bytes) {
    const auto named = classify_media(url, mime);
    if (named != MediaKind::none && named != MediaKind::segment) return named;
    if (!one_of(essence(mime),
                {"", "application/octet-stream", "binary/octet-stream", "application/binary", "application/x-binary",
                 "application/force-download", "application/download", "application/mp4", "text/plain"}))
        return MediaKind::none;
    const auto at = [&](std::size_t from, std::string_view what) {
        return bytes.substr(std::min(from, bytes.size())).starts_with(what);
    };
    if (at(0, "#EXTM3U")) return MediaKind::hls;
    if (at(4, "ftyp") || at(4, "moov") || at(0, "\x1a\x45\xdf\xa3") || at(0, "FLV\x01")) return MediaKind::direct;
    const bool transport = at(0, "G") && at(188, "G") && at(188 * 2, "G");
    return transport ? MediaKind::direct : MediaKind::none;
}

std::string container_of(std::string_view url, std::string_view mime) {
    const auto type = essence(mime);
    for (const auto& container : containers) {
        if (container.mime == type) return std::string(container.ext);
    }
    if (type == "application/mp4") return "mp4";
    const auto ext = url_extension(url);
    for (const auto& container : containers) {
        if (container.ext == ext) return ext;
    }
    return {};
}

}  // namespace jobruntime::extract
