// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <boost/json/object.hpp>

#include <jobruntime/export.hpp>
#include <jobruntime/result.hpp>

namespace jobruntime {

/// How the bytes of a media source travel.
enum class MediaProtocol {
    https,  ///< One file, fetched by HTTP(S).
    hls,    ///< An HLS playlist.
    dash,   ///< A DASH manifest.
    file,   ///< A file that the extractor left below ExtractRequest::tmp_dir.
};

/// The sound of a source whose picture comes without it: fetched beside it, then both become one file.
struct MediaSound {
    std::string url{};                                ///< Absolute http(s) URL.
    MediaProtocol protocol = MediaProtocol::https;    ///< Not `file`.
    std::map<std::string, std::string> http_headers{};  ///< As those of the source.
    bool operator==(const MediaSound&) const = default;
};

/// One way to get the media. The names follow yt-dlp's info dict where it has one.
struct MediaSource {
    std::string url{};                            ///< Absolute http(s) URL; for `file`, a path below tmp_dir.
    MediaProtocol protocol = MediaProtocol::https;
    std::string ext{};                            ///< Container by name, e.g. "mp4"; empty when unknown.
    int width = 0;                                ///< Pixels; 0 = unknown.
    int height = 0;                               ///< Pixels; 0 = unknown.
    double tbr = 0;                               ///< Total bit rate in kbit/s; 0 = unknown.
    std::optional<std::int64_t> filesize{};       ///< Bytes, when the source says so.
    std::map<std::string, std::string> http_headers{};  ///< To send along (Referer, User-Agent).
    std::optional<MediaSound> sound{};            ///< Where the sound is, when the source has none.
    std::string origin{};                         ///< Where it was found: "video", "og", "json-ld", "network", …
    bool operator==(const MediaSource&) const = default;
};

/// One cookie as browsers keep it. A secret: it is neither stored nor logged nor shown.
struct Cookie {
    std::string domain;         ///< Lower case, without a leading dot.
    bool subdomains = false;    ///< Goes to names below the domain, too.
    std::string path = "/";
    bool secure = false;        ///< Over https only.
    bool http_only = false;
    std::int64_t expires = 0;   ///< Seconds since 1970; 0 = ends with the browser.
    std::string name, value;
    bool operator==(const Cookie&) const = default;
};

/// What an extractor found out about one post.
struct MediaInfo {
    std::string id{};                   ///< The platform's id of the post; may be empty.
    std::string title{};
    std::string author{};               ///< Handle or name; becomes the folder's slug.
    std::string webpage_url{};          ///< The page as it was finally reached.
    std::string thumbnail{};            ///< URL, or empty.
    std::optional<double> duration{};   ///< Seconds, when the page says so.
    /// The duration is the site's own record of this very video, and not what a page says of any: a download that is
    /// shorter or longer is refused, and so is a longer one than is allowed before anything is fetched. Extractors of
    /// your own set it where that is so; what a program answers counts as such.
    bool duration_stated = false;
    std::string published{};            ///< ISO 8601, or empty.
    std::string extractor{};            ///< Who found it, where several were asked; may be empty.
    std::vector<MediaSource> sources{};   ///< Best first; never empty in a successful answer.
    /// For all requests of the download, each to the hosts and paths that it belongs to and to no other. to_json
    /// leaves them out, and so they serve the attempt that found them only.
    std::vector<Cookie> cookies{};
    bool operator==(const MediaInfo&) const = default;
};

/// With yt-dlp's names: id, title, uploader, webpage_url, thumbnail, duration, timestamp_iso, extractor, and formats[] of
/// {url, protocol, ext, width, height, tbr, filesize, http_headers, sound, format_note}, `sound` being our own name for
/// {url, protocol, http_headers}, and `duration_stated` our own, too. What is unknown is left out, and so are the cookies.
JOBRUNTIME_API boost::json::object to_json(const MediaInfo& info);
/// Reads what to_json writes and, more widely, a yt-dlp info dict: a bare `url` counts as one format; formats are kept in
/// their order; unknown members are ignored. Errc::invalid_argument names the member that is wrong.
JOBRUNTIME_API Result<MediaInfo> media_info_from(const boost::json::object& json);

/// One question to an extractor.
struct ExtractRequest {
    std::string url{};                   ///< Strict grammar already checked; canonical where the platform has one.
    std::string platform{};              ///< "x", "tiktok", "web".
    std::string post_id{};               ///< The platform's id, or empty.
    std::string job_id{};                ///< For logs and names of temporary files; may be empty.
    std::chrono::milliseconds timeout{180'000};  ///< The whole extraction; the work really stops.
    std::string tmp_dir{};               ///< Exists, empty, private to this attempt; removed afterwards by the caller.
    std::string cookies_file{};          ///< Netscape cookies.txt to use, or empty.
    std::string traceparent{};           ///< W3C trace context for child processes, or empty.
    std::function<void(std::string_view message)> log = {};  ///< A line for the job's log; may be empty.
    /// Which video of a post that has several, counted from 1 in the post's own order; beyond the last one there is
    /// NO_MEDIA. 0 = nobody has said: the post's own video, of several that it may be the best.
    int nth = 0;
    /// How far it is, 0 to 100 where that is known; may be empty.
    std::function<void(std::optional<double> percent, std::string_view message)> progress = {};
    /// Told how long the site asks to be left alone (Retry-After), before the error; may be empty.
    std::function<void(std::chrono::seconds)> asked_to_wait = {};
};

/// Turns a post's URL into media sources. Stateless towards the caller; one instance may be
/// asked by several threads at once. Honours `stop` within two seconds and leaves no child
/// process behind.
///
/// Errors carry a name: NO_MEDIA, VIDEO_UNAVAILABLE, AUTH_REQUIRED, BOT_CHALLENGE,
/// RATE_LIMITED, GEO_BLOCKED, DRM_PROTECTED, UNSUPPORTED_SOURCE, EXTRACTION_TIMEOUT,
/// SSRF_BLOCKED, BROWSER_LAUNCH_FAILED, BROWSER_PROFILE_IN_USE, EXTRACTOR_CRASHED, NETWORK; of
/// external programs also EXTRACTOR_PROTOCOL and EXTRACTOR_NOT_FOUND; Errc::canceled when `stop` ended it.
class JOBRUNTIME_API Extractor {
public:
    virtual ~Extractor() = default;
    /// Its name in configuration and logs, e.g. "browser".
    virtual std::string_view name() const = 0;
    virtual Result<MediaInfo> extract(const ExtractRequest& request, std::stop_token stop) = 0;
};

}  // namespace jobruntime
