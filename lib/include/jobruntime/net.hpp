// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <jobruntime/export.hpp>
#include <jobruntime/extractor.hpp>
#include <jobruntime/id.hpp>
#include <jobruntime/result.hpp>

struct sockaddr;

// Guarded fetching: one strict URL grammar, platforms and their posts, an address guard, and
// transfers over libcurl that go nowhere the guard does not allow; and the files that were saved from posts.
namespace jobruntime::net {

// ---------------------------------------------------------------------------------- URLs

inline constexpr std::size_t max_user_url = 2'048;  ///< Bytes of a URL that a person or an API client gives.
inline constexpr std::size_t max_fetch_url =
    8'192;  ///< Bytes of a media URL or redirect: signatures are long.

/// An http(s) URL, taken apart and checked. URL parsers disagree about hostile strings, so no
/// part of this library hands on the text it was given: str() rebuilds it from these parts.
struct JOBRUNTIME_API Url {
    std::string scheme;                ///< "http" or "https".
    std::string host;                  ///< Lower case: LDH labels, or a canonical dotted quad.
    std::uint16_t port = 0;            ///< Never 0; the scheme's default when the text named none.
    std::string path;                  ///< Begins with '/', without dot segments; percent-encoding as given.
    std::optional<std::string> query;  ///< Without '?'.
    std::optional<std::string> fragment;  ///< Without '#'.

    bool default_port() const noexcept { return port == (scheme == "https" ? 443 : 80); }
    std::string origin() const;  ///< scheme://host, and the port unless it is the default.
    std::string target() const;  ///< Path and query, as a request line has it.
    std::string str() const;     ///< The whole canonical text.
    bool operator==(const Url&) const = default;
};

/// Accepts http and https only, and refuses: more than `max_bytes`, white space, control characters,
/// bytes above 0x7e, '\', '"', '<', '>', '`', userinfo, IPv6 literals, an empty or zero port, labels that
/// are not letters, digits and inner hyphens (1 to 63, 253 in all), a trailing dot, a numeric last label
/// that is not part of a canonical dotted quad, '%' without two hex digits.
/// Errc::invalid_argument, INVALID_URL, with what is wrong.
JOBRUNTIME_API Result<Url> parse_url(std::string_view text, std::size_t max_bytes = max_user_url);

/// The URL that `reference` means on the page `base` (RFC 3986, 5.2), under the same grammar. For redirects
/// and HTML attributes; the caller trims white space. Errors as parse_url.
JOBRUNTIME_API Result<Url> resolve(const Url& base, std::string_view reference,
                                   std::size_t max_bytes = max_fetch_url);

/// Whether `host` is `domain` or a name below it: "www.x.com" is, "evilx.com" is not.
JOBRUNTIME_API bool host_matches(std::string_view host, std::string_view domain);

/// A folder or file name from any text: 1 to 64 of [a-z0-9_-], never beginning with '-'; what
/// is something else becomes '-', and `fallback` is the answer when nothing remains.
JOBRUNTIME_API std::string slug(std::string_view text, std::string_view fallback = "unknown");

// ----------------------------------------------------------------------------- platforms

/// What a URL stands for.
struct Post {
    std::string platform;     ///< "x", "tiktok", "web", or a program's own.
    std::string post_id;      ///< The platform's id; empty for web pages and short links.
    std::string canonical;    ///< One text for all the ways to write the same post.
    std::string unique_key;   ///< "x:<id>", "x:<id>#2" of its second video, "tiktok:<id>", else `canonical`.
    std::string handle_slug;  ///< Folder name: the account's, else the host's.
    bool short_link = false;  ///< It only leads to the post: resolve it by Fetcher::get, identify again.
    int nth = 0;              ///< 2 to 999: that video of a post with several. 0 = the post itself.
    bool operator==(const Post&) const = default;
};

/// The number of a post's video as URLs have it: 1 to 999, without a zero in front.
JOBRUNTIME_API std::optional<int> video_number(std::string_view text);

/// The nth video of `post`, which is at `address`: something else than the post, and saved beside it. The first one is
/// the post itself.
JOBRUNTIME_API Post nth_video_of(Post post, int nth, std::string address);

/// A site whose posts we know by their URLs.
struct Platform {
    std::string id;                  ///< [a-z0-9_-]
    std::vector<std::string> hosts;  ///< Domains, names below them included; none = every host.
    /// The post of a URL on one of these hosts; INVALID_URL when it is no post.
    std::function<Result<Post>(const Url&)> canonical;
};

/// x (x.com, twitter.com, t.co), tiktok, and web for every other page, in this order.
JOBRUNTIME_API const std::vector<Platform>& default_platforms();

/// The first platform whose hosts match decides. Errc::invalid_argument, INVALID_URL when the
/// platform says that this is no post; Errc::unsupported, UNSUPPORTED_SOURCE when none matches.
JOBRUNTIME_API Result<Post> identify(const Url& url,
                                     std::span<const Platform> platforms = default_platforms());

// --------------------------------------------------------------------------- saved files

// What media::Publisher has made of a post lies at `<slug>/<jobId>-<fence>[-<nth>].<ext>` below the download
// folder, with a thumbnail and a JSON beside it. Whoever only shows or deletes it needs these two, and no media
// component. Both never leave `root`: a path that was not made for this job is refused, and so is a folder that
// is a symbolic link. Errors: PATH_REFUSED, DOWNLOAD_DIR_UNUSABLE, DISK_FULL, MEDIA_IO.

/// Is the saved file there? `output_path` is media::Published::output_path.
JOBRUNTIME_API Result<bool> has_saved_file(const std::string& root, JobId job, std::string_view output_path);

/// Removes a saved video, its thumbnail and its JSON; says how many files that were. Files that are gone
/// already are no error.
JOBRUNTIME_API Result<int> remove_saved_files(const std::string& root, JobId job,
                                              std::string_view output_path);

// ------------------------------------------------------------------------- address guard

/// An IPv4 or IPv6 network in CIDR notation.
class JOBRUNTIME_API Network {
public:
    /// "127.0.0.0/8", "fd00::/8", or one address. Errc::invalid_argument, also for set host bits.
    static Result<Network> parse(std::string_view text);
    /// A list with commas or blanks between; empty text is an empty list.
    static Result<std::vector<Network>> parse_list(std::string_view text);
    bool contains(const sockaddr& address) const noexcept;
    bool operator==(const Network&) const = default;

private:
    std::array<std::uint8_t, 16> bytes_{};
    bool v6_ = false;
    int prefix_ = 0;
};

/// Whether a connection to this address is allowed: everything in the special-purpose registries
/// of IANA (RFC 6890 and its successors) is refused unless an allowed network contains it: loopback,
/// private, link-local, shared, benchmarking, documentation, multicast, reserved; of IPv6 all but 2000::/3,
/// and there what carries IPv4 inside (6to4, Teredo). Errc::invalid_argument, SSRF_BLOCKED. Thread-safe.
JOBRUNTIME_API Result<void> vet(const sockaddr& address, std::span<const Network> allowed = {});
/// The same for a numeric address as text, e.g. for a proxy; INVALID_URL when it is none.
JOBRUNTIME_API Result<void> vet(std::string_view address, std::span<const Network> allowed = {});

// ----------------------------------------------------------------------------- transfers

using Headers = std::vector<std::pair<std::string, std::string>>;

struct JOBRUNTIME_API Response {
    int status = 0;
    Headers headers;        ///< Names in lower case, in the order they came.
    std::string body;       ///< Content encodings undone.
    std::string final_url;  ///< After redirects.

    /// The first header of that name (lower case), or nothing.
    std::optional<std::string_view> header(std::string_view name) const;
};

/// What an HTTP status means for a job; nothing for 2xx. 404, 410 VIDEO_UNAVAILABLE (not_found); 401, 403,
/// 407 AUTH_REQUIRED; 451 GEO_BLOCKED; 429, and 503 with Retry-After, RATE_LIMITED (unavailable); 408, 425,
/// 5xx NETWORK (unavailable); any other UNSUPPORTED_SOURCE.
JOBRUNTIME_API std::optional<Error> status_error(int status, bool retry_after);

/// Seconds that the server asked to wait (Retry-After as a number or a date), at most a day.
JOBRUNTIME_API std::optional<std::chrono::seconds> retry_after(const Headers& headers);

/// The cookies of one piece of work, shared by all its requests: each goes to the hosts, paths and schemes that it is
/// for (RFC 6265, 5.4), and what the answers set is kept (5.3) as browsers would: a domain that is not the answering
/// host's own, or is a suffix like com or co.uk, is refused, and so is a secure cookie that came without TLS. There
/// is no list of all public suffixes. In memory only: nothing writes it anywhere. Bounded: of what answers set, 300
/// cookies of 4 KiB, then no further ones. Thread-safe.
class JOBRUNTIME_API CookieJar {
public:
    CookieJar() = default;
    /// Those that no header may carry (control characters, semicolons) are left out.
    explicit CookieJar(const std::vector<Cookie>& cookies);
    CookieJar(const CookieJar&) = delete;
    CookieJar& operator=(const CookieJar&) = delete;

    /// The header Cookie of a request to `url`, longest paths first, at most 8 KiB; empty when none is for it.
    std::string header_for(const Url& url) const;
    /// Keeps what an answer from `url` set by one header Set-Cookie.
    void take(const Url& url, std::string_view set_cookie);
    std::vector<Cookie> cookies() const;

private:
    mutable std::mutex mutex_;
    std::vector<Cookie> cookies_;  // Guarded by mutex_, as below.
    std::size_t taken_ = 0;
};

struct FetcherOptions {
    std::vector<Network> allow_nets{};  ///< Special networks that may be reached all the same.
    std::string user_agent{};         ///< Sent unless a request has its own; empty = none.
    std::chrono::milliseconds connect_timeout{10'000};
};

struct FetchRequest {
    std::string url;
    Headers headers = {};                       ///< Cookie and Authorization stay with the first origin.
    bool head = false;                          ///< HEAD instead of GET.
    std::size_t max_bytes = 8u << 20;           ///< Of the decoded body.
    std::chrono::milliseconds timeout{30'000};  ///< The whole of it, redirects included.
    int max_redirects = 5;
    std::chrono::milliseconds stall_timeout{0};  ///< Without a single byte; 0 = only `timeout` counts.
    /// Consulted for every request on the way, redirects included, and told what each answer sets. It outlives the
    /// call. `headers` may have a Cookie besides, which stays with the first origin.
    CookieJar* cookies = nullptr;
};

/// Who takes an answer as it comes in. The first error ends the transfer and is its result. A callee that
/// blocks holds the server back; neither clock runs meanwhile.
struct StreamSink {
    /// Status, headers and final_url, once, before the first byte; never of a redirect that is followed.
    std::function<std::optional<Error>(const Response& head)> on_head;
    std::function<std::optional<Error>(std::string_view bytes)> on_body;
};

struct DownloadRequest {
    std::string url;
    Headers headers = {};          ///< As in FetchRequest.
    std::filesystem::path target;  ///< Its folder exists. An existing file is replaced, atomically.
    std::uint64_t max_bytes = std::uint64_t{8} << 30;
    std::chrono::milliseconds stall_timeout{120'000};  ///< Without a single byte.
    int max_redirects = 5;
    bool resume = true;  ///< Go on with a partial file that an earlier try left; false = from the start.
    int max_resumes =
        3;              ///< Reconnects within this call after a connection that broke and had brought bytes.
    bool media = true;  ///< Refuse what is no media file by its content type: HTML, JSON, XML, playlists.
    CookieJar* cookies = nullptr;  ///< As in FetchRequest.
};

struct Downloaded {
    std::uint64_t bytes = 0;
    std::uint64_t resumed_from = 0;  ///< Bytes that were there before this call; 0 = all fetched now.
    std::string content_type;
    std::string final_url;
};

/// What was learned on the way, also when it failed.
struct TransferFacts {
    int status = 0;            ///< The last HTTP status; 0 = no answer came.
    std::string content_type;  ///< That the last answer gave itself.
    std::optional<std::chrono::seconds> retry_after;
};

class SessionPool;

/// Fetches over HTTP(S). Every connection — of every redirect and retry — is vetted when its socket is
/// opened, after name resolution, so no name can be turned to another address behind the check. No proxy, no
/// other protocol, no .netrc, no cookies but those of a request's own jar; each redirect passes the URL grammar. A few idle connections
/// are kept for the next request of any thread. Thread-safe; calls block their thread only, and end within
/// 200 ms of `stop` (Errc::canceled). libcurl is initialised once, by the first Fetcher, unless the program
/// has done so.
///
/// Errors of all calls: INVALID_URL (invalid_argument; a header with a line break has no name); SSRF_BLOCKED
/// (invalid_argument: permanent); TOO_LARGE (full); UNSUPPORTED_SOURCE (unsupported; more redirects than
/// allowed too); NETWORK (unavailable, or timed_out): no name, no connection, no TLS, a body that ended
/// early.
class JOBRUNTIME_API Fetcher {
public:
    explicit Fetcher(FetcherOptions options = {});

    /// One resource into memory. Every HTTP status is an answer; status_error() says what it means.
    Result<Response> get(const FetchRequest& request, std::stop_token stop = {}) const;

    /// The same without keeping the body: every piece of it goes to `sink`, in this thread. The answer's body
    /// is empty. `timeout` and `stall_timeout` as the request says; DOWNLOAD_STALLED (timed_out) for the
    /// latter.
    Result<Response> stream(const FetchRequest& request, const StreamSink& sink,
                            std::stop_token stop = {}) const;

    /// The same as a POST of `body`; say what it is by a content-type among the headers. It is sent once and
    /// to this address only: a redirect is an answer like any other, whatever `max_redirects` says.
    Result<Response> post(const FetchRequest& request, std::string_view body,
                          std::stop_token stop = {}) const;

    /// One resource into a file. Bytes go to `<target>.part`, with what identifies them in
    /// `<target>.part.info`; both stay after an error, so that the next try (of any process) sends Range and
    /// If-Range and goes on; a server that ignores Range, or whose file has changed, starts again from the
    /// first byte. When all is there and the size is right: fsync, rename to `target`, fsync of the folder.
    /// One call a target at a time. Calls `on_progress(bytes so far, total or 0)` in this thread, at most ten
    /// times a second, and at the end.
    ///
    /// Besides the errors above: those of status_error(); DOWNLOAD_STALLED (timed_out); DISK_FULL (full);
    /// UNSUPPORTED_SOURCE for what is no media, empty or content-encoded; Errc::internal when files cannot be
    /// written.
    Result<Downloaded> download(const DownloadRequest& request,
                                const std::function<void(std::uint64_t, std::uint64_t)>& on_progress = {},
                                std::stop_token stop = {}, TransferFacts* facts = nullptr) const;

    const FetcherOptions& options() const noexcept { return options_; }

private:
    Result<Response> fetch(const FetchRequest& request, std::optional<std::string_view> body,
                           const StreamSink& sink, std::stop_token stop) const;

    FetcherOptions options_;
    std::shared_ptr<SessionPool> sessions_;  // Copies of a fetcher share its connections.
};

/// Removes what an unfinished download left beside `target`: after a cancel, say.
JOBRUNTIME_API void discard_partial(const std::filesystem::path& target);

}  // namespace jobruntime::net
