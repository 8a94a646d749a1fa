// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "extract/info_dict.hpp"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <filesystem>
#include <tuple>

#include <boost/json/array.hpp>
#include <boost/json/value.hpp>

#include "extract/child_run.hpp"
#include "extract/classify.hpp"
#include "extract/json_access.hpp"
#include "extract/media_url.hpp"

namespace jobruntime::extract {

namespace json = boost::json;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t max_sources = 32;
constexpr std::size_t max_cookies = 200;

Error protocol_error(std::string message) {
    return {Errc::unsupported, "EXTRACTOR_PROTOCOL", std::move(message)};
}

void add_cookies(std::string_view text, const std::string& host, std::vector<Cookie>& cookies) {
    for (auto& cookie : cookies_in(text, host))
        if (cookies.size() < max_cookies && std::find(cookies.begin(), cookies.end(), cookie) == cookies.end())
            cookies.push_back(std::move(cookie));
}

/// Containers whose picture and sound are made for each other.
bool is_webm(const json::object& format) { return text_at(format, "ext") == "webm"; }

/// The best sound for a picture: in the language that the site prefers, of the same family, then by bit rate; of
/// equals the last, for yt-dlp lists the best last.
const json::object* sound_for(const json::object& picture, const std::vector<const json::object*>& sounds) {
    const auto key = [&](const json::object* sound) {
        const auto rate = number_at(*sound, "tbr") > 0 ? number_at(*sound, "tbr") : number_at(*sound, "abr");
        return std::tuple(number_at(*sound, "language_preference"), is_webm(*sound) == is_webm(picture), rate);
    };
    const json::object* best = nullptr;
    for (const auto* sound : sounds)
        if (best == nullptr || key(sound) >= key(best)) best = sound;
    return best;
}

/// What can be used of a dict's formats.
struct Usable {
    json::array muxed;                         // Picture and sound, or not known to lack one.
    std::vector<const json::object*> silent;
    std::vector<const json::object*> sounds;
    std::vector<Cookie> cookies;
    bool drm = false;

    void take(const json::array& formats) {
        for (const auto& entry : formats) {
            const auto* format = entry.if_object();
            if (format == nullptr) {
                muxed.push_back(entry);  // media_info_from says what is wrong with it.
                continue;
            }
            const auto protocol = text_at(*format, "protocol");
            const bool no_picture = text_at(*format, "vcodec") == "none";
            const bool no_sound = text_at(*format, "acodec") == "none";
            if (flag_at(*format, "has_drm")) {
                drm = true;
                continue;
            }
            if (protocol == "mhtml" || (no_picture && no_sound)) continue;
            add_cookies(text_at(*format, "cookies"), url_host(text_at(*format, "url")), cookies);
            if (no_picture)
                sounds.push_back(format);
            else if (no_sound)
                silent.push_back(format);
            else
                muxed.push_back(*format);
        }
    }
};

/// Of the formats, those with a picture that nobody has locked, and their cookies. One without sound gets it from
/// the best format that has nothing else, and counts alone only when all are silent.
json::object with_usable_formats(const json::object& dict, bool& drm, std::vector<Cookie>& found) {
    json::object out = dict;
    const auto* formats = array_at(dict, "formats");
    // What yt-dlp would have downloaded, where nothing else is listed.
    const auto* chosen = array_at(dict, "requested_formats");
    if (formats == nullptr) formats = chosen;
    if (formats == nullptr) return out;
    Usable usable;
    usable.take(*formats);
    drm = usable.drm;
    found = std::move(usable.cookies);
    auto all = std::move(usable.muxed);
    const bool nothing_else = all.empty() && usable.sounds.empty();
    // Each of them gets a copy of its sound: no more than can be kept in the end.
    if (usable.silent.size() > max_sources) {
        std::stable_sort(usable.silent.begin(), usable.silent.end(), [](const auto* a, const auto* b) {
            return std::pair(number_at(*a, "height"), number_at(*a, "tbr")) > std::pair(number_at(*b, "height"), number_at(*b, "tbr"));
        });
        usable.silent.resize(max_sources);
    }
    for (const auto* format : usable.silent) {
        json::object picture = *format;
        const auto* best = sound_for(*format, usable.sounds);
        if (best == nullptr && !nothing_else) continue;
        if (best != nullptr) {
            picture["sound"] = *best;
            picture["tbr"] = number_at(*format, "tbr") + number_at(*best, "tbr");
        }
        all.push_back(std::move(picture));
    }
    out["formats"] = std::move(all);
    return out;
}

Result<MediaInfo> nth_of_playlist(const json::object& playlist, const json::array& entries, int nth) {
    // yt-dlp, asked for one item, says which one it is.
    for (const auto& entry : entries)
        if (const auto* video = entry.if_object(); video != nullptr && nth > 0 && whole_at(*video, "playlist_index") == nth)
            return info_from_dict(*video, 0);
    int seen = 0;
    for (const auto& entry : entries) {
        const auto* video = entry.if_object();
        if (video == nullptr || ++seen < nth) continue;
        return info_from_dict(*video, 0);
    }
    return Error{Errc::not_found, "NO_MEDIA",
                 "the post has " + std::to_string(std::max(seen, whole_at(playlist, "playlist_count"))) + " videos, and number " + std::to_string(nth) + " was asked for"};
}

/// The file as a path below the folder, or what is wrong with it.
Result<std::string> file_below(const std::string& folder, const std::string& name) {
    std::error_code code;
    const auto root = fs::canonical(folder, code);
    if (code || folder.empty()) return protocol_error("a file was answered, and there is no folder to find it in");
    const auto path = fs::canonical(root / name, code);
    if (code) return protocol_error("the answered file " + clean_line(name, 200) + " is not in tmpDir");
    const auto relative = path.lexically_relative(root);
    if (relative.empty() || *relative.begin() == ".." || !fs::is_regular_file(path, code) || fs::is_symlink(root / name, code))
        return protocol_error("the answered file " + clean_line(name, 200) + " is no file below tmpDir");
    return relative.string();
}

void drop_bad_headers(std::map<std::string, std::string>& headers) {
    std::erase_if(headers, [](const auto& header) {
        const auto bad = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
        return header.first.empty() || std::any_of(header.first.begin(), header.first.end(), bad) ||
               header.first.find_first_of(": ") != std::string::npos ||
               std::any_of(header.second.begin(), header.second.end(), bad);
    });
}

}  // namespace

std::string iso_time(double seconds) {
    if (!(seconds > 0 && seconds <= 32'503'680'000.0)) return {};
    const auto time = static_cast<std::time_t>(seconds);
    std::tm parts{};
    if (::gmtime_r(&time, &parts) == nullptr) return {};
    char text[32];
    const auto size = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.000Z", &parts);
    return {text, size};
}

Errc errc_of(std::string_view code) {
    const auto is = [&](std::initializer_list<std::string_view> names) {
        return std::find(names.begin(), names.end(), code) != names.end();
    };
    if (is({"NO_MEDIA", "VIDEO_UNAVAILABLE"})) return Errc::not_found;
    if (is({"EXTRACTION_TIMEOUT"})) return Errc::timed_out;
    if (is({"TOO_LARGE"})) return Errc::full;
    if (is({"SSRF_BLOCKED", "INVALID_URL"})) return Errc::invalid_argument;
    if (is({"DRM_PROTECTED", "UNSUPPORTED_SOURCE", "EXTRACTOR_PROTOCOL", "BROWSER_LAUNCH_FAILED", "EXTRACTOR_NOT_FOUND"}))
        return Errc::unsupported;
    return Errc::unavailable;
}

std::vector<Cookie> cookies_in(std::string_view text, const std::string& host) {
    std::vector<Cookie> read;
    while (!text.empty() && read.size() < 100) {
        const auto end = std::min(text.find(';'), text.size());
        auto part = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        while (part.starts_with(' ')) part.remove_prefix(1);
        const auto equals = std::min(part.find('='), part.size());
        const auto name = lower(part.substr(0, equals));
        auto value = part.substr(std::min(equals + 1, part.size()));
        if (name == "domain" || name == "path" || name == "expires" || name == "secure" || name == "httponly") {
            if (read.empty()) continue;
            auto& cookie = read.back();
            if (name == "secure") cookie.secure = true;
            if (name == "httponly") cookie.http_only = true;
            if (name == "path" && value.starts_with('/')) cookie.path = value;
            if (name == "expires") std::from_chars(value.data(), value.data() + value.size(), cookie.expires);
            if (name == "domain" && !value.empty()) {
                cookie.subdomains = value.starts_with('.');
                cookie.domain = lower(value.substr(cookie.subdomains ? 1 : 0));
            }
            continue;
        }
        if (equals == part.size() || name == "max-age" || name == "samesite" || name == "version") continue;
        Cookie cookie;
        cookie.domain = host;
        cookie.name = part.substr(0, equals);
        cookie.value = value;
        read.push_back(std::move(cookie));
    }
    return read;
}

Result<MediaInfo> info_from_dict(const json::object& dict, int nth) {
    if (const auto* entries = array_at(dict, "entries")) return nth_of_playlist(dict, *entries, nth);
    bool drm = false;
    std::vector<Cookie> cookies;
    auto info = media_info_from(with_usable_formats(dict, drm, cookies));
    if (!info) return protocol_error("the answer is no info dict: " + info.error().message);
    info->cookies = std::move(cookies);
    // A program is about one video; it may say itself that it is not sure.
    if (!dict.contains("duration_stated")) info->duration_stated = info->duration.has_value();
    if (info->published.empty()) info->published = iso_time(number_at(dict, "timestamp"));
    if (info->author.empty()) info->author = std::string(text_at(dict, "uploader_id"));
    if (info->sources.empty() && drm)
        return Error{Errc::unsupported, "DRM_PROTECTED", "every format of the video is protected by DRM"};
    std::stable_sort(info->sources.begin(), info->sources.end(), [](const auto& a, const auto& b) {
        const auto key = [](const MediaSource& source) {
            const bool file = source.protocol == MediaProtocol::https || source.protocol == MediaProtocol::file;
            return std::tuple(-source.height, -source.tbr, file ? 0 : 1);
        };
        return key(a) < key(b);
    });
    if (info->sources.size() > max_sources) info->sources.resize(max_sources);
    return info;
}

Result<std::string> vetted_url(const std::string& text, HostVetter& vetter, Deadline deadline,
                               const std::stop_token& stop) {
    auto url = net::parse_url(text, net::max_fetch_url);
    if (!url) return std::move(url).error();
    url->fragment.reset();
    auto rebuilt = url->str();
    JR_TRY(vetter.check_url(rebuilt, deadline, stop));
    return rebuilt;
}

Result<void> vet_info(MediaInfo& info, const ExtractRequest& request, HostVetter& vetter, Deadline deadline,
                      const std::stop_token& stop) {
    std::optional<Error> first;
    std::vector<MediaSource> kept;
    for (auto& source : info.sources) {
        auto checked = source.protocol == MediaProtocol::file ? file_below(request.tmp_dir, source.url)
                                                              : vetted_url(source.url, vetter, deadline, stop);
        if (checked && source.sound) {
            auto sound = vetted_url(source.sound->url, vetter, deadline, stop);
            if (sound)
                source.sound->url = *std::move(sound);
            else
                checked = std::move(sound).error();
        }
        if (!checked) {
            if (checked.error().code == Errc::canceled) return std::move(checked).error();
            if (request.log) request.log("a source is dropped: " + checked.error().message);
            if (!first) first = std::move(checked).error();
            continue;
        }
        source.url = *std::move(checked);
        drop_bad_headers(source.http_headers);
        if (source.sound) drop_bad_headers(source.sound->http_headers);
        kept.push_back(std::move(source));
    }
    info.sources = std::move(kept);
    for (auto* address : {&info.thumbnail, &info.webpage_url}) {
        if (address->empty()) continue;
        auto checked = vetted_url(*address, vetter, deadline, stop);
        if (!checked && checked.error().code == Errc::canceled) return std::move(checked).error();
        *address = checked ? *std::move(checked) : std::string();
    }
    if (info.webpage_url.empty()) info.webpage_url = request.url;
    info.title = clean_line(info.title, 1000);
    info.author = clean_line(info.author, 200);
    info.id = clean_line(info.id, 200);
    info.published = clean_line(info.published, 64);
    if (info.sources.empty() && first) return *std::move(first);
    return {};
}

}  // namespace jobruntime::extract
