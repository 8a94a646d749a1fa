// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/export.hpp>
#include <jobruntime/extractor.hpp>
#include <jobruntime/net.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/subprocess.hpp>

// From a post's URL to media sources: by a real Chromium, driven over its debugging pipe, or by a program
// of the operator's in any language. No process outlives who started it. The only port that is opened is one on
// loopback for each browser (and each yt-dlp) while it runs, for its address guard: a proxy that wants a
// credential which only that browser knows. Linux.
namespace jobruntime::extract {

// ---------------------------------------------------------------------- extractions on record

/// What was asked, and what was answered.
struct RecordedCase {
    std::string url, platform, post_id;  ///< As in ExtractRequest.
    int nth = 0;
    std::string extractor;       ///< Who was asked alone; empty = those of the platform, in their order.
    boost::json::object answer;  ///< to_json of the MediaInfo, or {"error":{"code","message"}}.
};

/// All that the world told extractors during one extraction, so that they can be told it again: an offline test of
/// rules and extractors, as a folder of files that docs/extractors.md describes. Handed to extractors by their
/// options, and outlives them. Of one extraction: one thread.
///
/// An extractor that is given a recording to replay opens no connection, asks no name server and starts no program,
/// but for "browser", whose browser must be one with BrowserOptions::offline. What the recording has no answer for
/// is RECORDING_INCOMPLETE (unsupported).
///
/// Secrets are not written: of requests only method and address are; values of cookies, of Authorization and
/// the like, and of members of a query whose names speak of tokens, keys or signatures become "redacted-N" (those
/// of digits 900000000 + N), the same value always the same N, wherever they stand. What a page says by itself is
/// kept as it came.
class JOBRUNTIME_API Recording {
public:
    Recording();  ///< Takes down what is told.
    /// Tells what was taken down. RECORDING_UNREADABLE (invalid_argument) says what is wrong with which file.
    static Result<Recording> open(const std::string& folder);
    ~Recording();
    Recording(Recording&& other) noexcept;
    Recording& operator=(Recording&&) = delete;

    bool replays() const noexcept;
    const RecordedCase& asked() const noexcept;
    /// Whether save() would take the folder, for who asks before the work.
    static Result<void> check_folder(const std::string& folder);
    /// Writes the folder, which must be missing or empty: RECORDING_NOT_WRITTEN (conflict, unavailable).
    Result<void> save(const std::string& folder, RecordedCase asked) const;

    class Impl;
    Impl& impl() const noexcept { return *impl_; }  ///< For extractors.

private:
    std::unique_ptr<Impl> impl_;
};

/// How Chromium is started. Nothing here is read from the environment: programs fill it in.
struct BrowserOptions {
    /// The program; empty = find_browser(). A wrapper script may be named if it hands on descriptors 3 and 4.
    std::string program;
    /// Keeps cookies and log-ins. Made when missing, always set to 0700. One browser at a time.
    std::string profile_dir = ".playwright-profile";
    bool headless = true;     ///< false needs DISPLAY or WAYLAND_DISPLAY in `environment`.
    bool no_sandbox = false;  ///< Honoured for root only, whose Chromium starts in no other way.
    std::vector<std::string>
        environment;  ///< "NAME=value", the browser's whole environment; PATH and HOME at least.
    std::vector<std::string> extra_args;  ///< Further flags.
    std::vector<net::Network> allow_nets;  ///< Private networks that pages may lie in and reach all the same.
    bool offline = false;  ///< The address guard lets nothing through at all: for replays.
    int tabs = 2;                         ///< Extractions at once, 1 to 8. More than cores gains nothing.
    int recycle_after = 200;              ///< A new browser after so many extractions, against slow leaks.
    std::chrono::milliseconds idle_close{300'000};  ///< Closed when unused for so long.
    std::chrono::milliseconds launch_timeout{30'000};
    std::function<void(std::string_view line)> log = {};  ///< Starts, ends, trouble; any thread.
};

/// The browser program to use: `configured` when it is not empty, else the first of Chromium's usual places
/// (Debian's and others' packages, Chrome). BROWSER_LAUNCH_FAILED, which says how to install one.
JOBRUNTIME_API Result<std::string> find_browser(std::string_view configured = {});

/// Whether Chromium is started without its sandbox: for root who `asked` for it, and for nobody else, since it
/// is only root's that starts in no other way. BROWSER_LAUNCH_FAILED (unsupported) for root who did not ask.
JOBRUNTIME_API Result<bool> goes_without_sandbox(bool asked, bool root);

struct BrowserStatus {
    bool running = false;
    int pid = 0;       ///< Of the running browser.
    int active = 0;    ///< Extractions under way.
    int launches = 0;  ///< Browsers started so far.
    int windows = 0;   ///< Windows of the running one: one for each extraction under way, and one in reserve.
    std::uint64_t denied = 0;  ///< Connections to private addresses that the running one was kept from.
};

/// One warm Chromium for a whole worker: started by the first extraction, shared by all, closed when idle,
/// replaced after a crash, after any time-out of its protocol and after `recycle_after` extractions.
/// Thread-safe.
///
/// Errors of starting, for start() and every extraction: BROWSER_LAUNCH_FAILED (Errc::unsupported; no
/// program, no display, root without no_sandbox, it ended or stayed silent at start), each with the remedy;
/// BROWSER_PROFILE_IN_USE: Errc::unavailable when another program using this library holds the profile (it
/// comes free by itself: wait), Errc::conflict when a browser of somebody else does (a person must close it).
class JOBRUNTIME_API Browser {
public:
    explicit Browser(BrowserOptions options);
    /// Ends the browser; extractions under way fail with EXTRACTOR_CRASHED, so end those first.
    ~Browser();
    Browser(const Browser&) = delete;
    Browser& operator=(const Browser&) = delete;

    /// Starts it ahead of the first extraction, or does nothing. Blocks up to launch_timeout.
    Result<void> start(std::stop_token stop = {});
    /// Ends it now: asks it to close (its cookies are written then), after `grace` SIGTERM, then SIGKILL to
    /// the group; returns when all its processes are gone. The next extraction starts a new one.
    void close(std::chrono::milliseconds grace = std::chrono::milliseconds{3000});
    BrowserStatus status() const;
    /// Puts cookies into the profile, where they stay: one without expiry gets thirty days, or it would end with this
    /// browser. Starts the browser when it does not run. Errors of starting; Errc::invalid_argument when Chromium
    /// refuses one of them, and none is kept then.
    Result<void> add_cookies(const std::vector<Cookie>& cookies, std::stop_token stop = {});
    /// Opens the pages for a person, a tab each, and returns when all windows are closed, or the browser is; what
    /// pages open besides stays, since log-ins do that. It is the browser of every job, so its address guard stands
    /// before whatever the person visits, too. Wants BrowserOptions::headless to be false. Errors of starting;
    /// Errc::canceled; unavailable when the browser ends while the pages are opened.
    Result<void> show(const std::vector<std::string>& pages, std::stop_token stop = {});

    class Impl;

private:
    friend class BrowserExtractor;
    std::unique_ptr<Impl> impl_;
};

/// Which requests tell what a page shows, and where in their answers it is: data, because sites change faster
/// than programs. A value; copies share. docs/extractors.md describes the format.
class JOBRUNTIME_API PageRules {
public:
    /// One member for each rule, the first that fits a post decides. INVALID_CONFIGURATION (invalid_argument) names the
    /// member that is wrong, and what it must be.
    static Result<PageRules> parse(const boost::json::object& rules);

    class Impl;

private:
    friend class BrowserExtractor;
    friend class PageExtractor;
    std::shared_ptr<const Impl> impl_;
};

struct ExtractOptions {
    std::chrono::milliseconds nav_timeout{45'000};  ///< From asking for the page to its DOM being there.
    /// Waiting for scripts to bring their video, from the DOM on. Ends early once a direct source is certain;
    /// a page without a video always takes all of it.
    std::chrono::milliseconds settle{3000};
    /// With a visible browser: how long a person may take to log in or to solve a challenge.
    std::chrono::milliseconds manual_solve_timeout{90'000};
    /// Called when such waiting begins, in the extraction's thread.
    std::function<void(const ExtractRequest& request, const Error& why, std::chrono::milliseconds limit)>
        on_waiting_for_human = {};
    /// What the data in the scripts of a site's pages means: ways that read a script (`script` and `read`) are applied
    /// to the rendered page; their other requests are not made.
    PageRules rules = {};
    Recording* recording = nullptr;
};

/// The "browser" extractor: opens the page in a fresh window, looks into all its frames and shadow roots and
/// at its network traffic, and ranks what it finds: from <video> and <source>, OpenGraph, Twitter cards,
/// JSON-LD, responses; files before playlists (HLS, then DASH). What `ExtractOptions::rules` read in the page's data
/// goes before all that, also when it is why there is no video. Where nothing else was found, JSON in the page's
/// scripts counts if all addresses of media in it belong to one video. Sources carry the Referer and User-Agent that
/// the browser would send; MediaInfo::cookies has its cookies for their hosts: they are secrets of the profile.
///
/// Blocks for a tab, the navigation and the settling time, at most `request.timeout`; a page that did not
/// load or whose renderer crashed is tried once more in a fresh target. `stop` ends it within two seconds.
/// All that the browser sends goes through its address guard, which looks names up itself, vets each address
/// (BrowserOptions::allow_nets) and dials exactly that: pages, frames, whatever their scripts and workers ask
/// for, WebSockets. A page at a private address is SSRF_BLOCKED; what else it was kept from is told to
/// request.log. UDP (WebRTC, QUIC) has no way through. A browser that does not use its guard does not start.
///
/// `request.cookies_file` is not read: the profile has its own cookies.
///
/// Errors: as Browser, and NO_MEDIA, VIDEO_UNAVAILABLE (not_found); AUTH_REQUIRED, BOT_CHALLENGE,
/// RATE_LIMITED, GEO_BLOCKED, NETWORK (unavailable); DRM_PROTECTED, UNSUPPORTED_SOURCE (unsupported);
/// EXTRACTION_TIMEOUT (timed_out); EXTRACTOR_CRASHED (unavailable); SSRF_BLOCKED, INVALID_URL
/// (invalid_argument); Errc::canceled without a name.
class JOBRUNTIME_API BrowserExtractor : public Extractor {
public:
    /// The browser must outlive it; several extractors may share one.
    explicit BrowserExtractor(Browser& browser, ExtractOptions options = {});
    ~BrowserExtractor() override;
    std::string_view name() const override { return "browser"; }
    Result<MediaInfo> extract(const ExtractRequest& request, std::stop_token stop) override;

private:
    Browser& browser_;
    const ExtractOptions options_;
};

// ---------------------------------------------------------------------- external programs

/// A program that is asked over its standard streams. It comes from the operator's configuration only: no
/// argument is taken from a request, and no shell sees the URL.
struct CommandOptions {
    std::string name = "command";   ///< In logs and messages.
    std::vector<std::string> argv;  ///< The program (a path with '/' must be absolute) and its arguments.
    /// "NAME=value", its whole environment besides TMPDIR and TRACEPARENT, which each request sets.
    std::vector<std::string> environment;
    std::vector<net::Network> allow_nets;    ///< Private networks that its answers may name all the same.
    std::chrono::milliseconds grace{1000};   ///< From SIGTERM to SIGKILL; with it, all is over in two seconds.
    std::chrono::milliseconds linger{5000};  ///< From its answer to SIGTERM.
    LineLimits limits{};                     ///< Of its stdout: 1 MiB a line, 16 MiB in all.
    Recording* recording = nullptr;
};

/// What was seen of one run of a program, for those who test it.
struct CommandFacts {
    int lines = 0;                     ///< Of its stdout that were read.
    int answers = 0;                   ///< Results and errors: exactly one is right.
    bool garbage = false;              ///< A line was no message of the protocol.
    bool flooded = false;              ///< More output than the limits.
    bool killed = false;               ///< SIGTERM did not end it within the grace time.
    std::optional<ExitStatus> status;  ///< Unset when it never started.
};

/// The "command" extractor: any program, in any language. It gets one line on stdin,
///
///     {"v":1,"jobId":"…","url":"https://…","postId":"…","timeoutMs":180000,"tmpDir":"/…","cookiesFile":"/…"}
///
/// (cookiesFile only where there is one; "nth" when one was asked for by its number), then the end of file, and answers lines on
/// stdout: any number of {"type":"progress","percent":12.5,"message":"…"} and {"type":"log","message":"…"}, and
/// exactly one {"type":"result",…} or {"type":"error","code":"NO_MEDIA","message":"…"}. A result has the names
/// of yt-dlp's info dict (media_info_from), and `formats` are put best first by picture, size and bit rate; or
/// it names a file that the program has put below tmpDir: {"type":"result","file":"video.mp4"}. A bare info
/// dict in one line is a result, too. Its stderr is the job's log, at most 200 lines of it.
///
/// It runs in tmp_dir, in a process group of its own, with the environment of its options. `stop` and the end of
/// `request.timeout` send SIGTERM to the group, and SIGKILL after `grace`: a program that obeys SIGTERM is gone
/// at once, one that does not holds its caller that long. After its answer it has `linger` to leave by itself.
///
/// Every URL in an answer passes the grammar and the address guard; a source that does not is dropped, and
/// when none is left its error is the answer. Errors: those of the program itself, its `code` as name;
/// EXTRACTOR_PROTOCOL (unsupported): garbage, two answers, too much output, a file outside tmpDir;
/// EXTRACTOR_CRASHED (unavailable): it ended without an answer, or after a result not with 0;
/// EXTRACTOR_NOT_FOUND (unsupported): it cannot be started; EXTRACTION_TIMEOUT; Errc::canceled.
class JOBRUNTIME_API CommandExtractor : public Extractor {
public:
    explicit CommandExtractor(CommandOptions options);
    ~CommandExtractor() override;
    std::string_view name() const override { return options_.name; }
    Result<MediaInfo> extract(const ExtractRequest& request, std::stop_token stop) override;
    /// The same, and says what was seen, also when it failed.
    Result<MediaInfo> extract(const ExtractRequest& request, std::stop_token stop, CommandFacts& facts) const;

private:
    const CommandOptions options_;
};

/// yt-dlp, which knows many sites. Debian's is too old for most of them: a current one is
/// `pipx install yt-dlp`.
struct YtDlpOptions {
    std::string program = "yt-dlp";  ///< A path, or a name that PATH of `environment` leads to.
    std::vector<std::string> environment;  ///< "NAME=value", all of it besides the proxies and TRACEPARENT.
    std::vector<net::Network> allow_nets;
    LineLimits limits{.max_line = std::size_t{16} << 20, .max_total = std::size_t{16} << 20};
    Recording* recording = nullptr;
};

/// The "yt-dlp" extractor: asks it for its info dict (-J), with no configuration, plugin or cache of its user's.
/// It has no address guard, so it runs behind ours: a proxy on a loopback port of its own, named by http_proxy,
/// https_proxy and all_proxy in its environment, vets every connection (SSRF_BLOCKED); and every address that it
/// answers is vetted. It gets a copy of request.cookies_file, for it writes to it. Errors as CommandExtractor; its
/// words decide which.
class JOBRUNTIME_API YtDlpExtractor : public Extractor {
public:
    explicit YtDlpExtractor(YtDlpOptions options);
    ~YtDlpExtractor() override;
    std::string_view name() const override { return "yt-dlp"; }
    Result<MediaInfo> extract(const ExtractRequest& request, std::stop_token stop) override;

private:
    const YtDlpOptions options_;
};

// ------------------------------------------------------------------------------- cookies

/// Reads a Netscape cookie file (cookies.txt), as browser extensions and yt-dlp write it, or a storage state as
/// Playwright writes it (JSON with the member `cookies`). INVALID_COOKIE_FILE (invalid_argument) names the line or
/// the place in the list; no message has a value in it.
JOBRUNTIME_API Result<std::vector<Cookie>> parse_cookie_file(std::string_view text);
JOBRUNTIME_API std::string to_cookie_file(const std::vector<Cookie>& cookies);

// ------------------------------------------------------------------- pages, without a browser

/// The rules that are shipped: x (guest token and query, then syndication), tiktok (its page's data), and web
/// for every other page: <video>, OpenGraph, Twitter cards, JSON-LD, oEmbed and what it embeds.
JOBRUNTIME_API const boost::json::object& default_page_rules();

struct PageOptions {
    /// Private networks that answers may name; the fetcher has its own list.
    std::vector<net::Network> allow_nets;
    std::string user_agent = "Mozilla/5.0 (compatible; jobrt)";  ///< Unless a rule's header says another.
    Recording* recording = nullptr;
};

/// The "page" extractor: a few guarded requests, no script, no process. Ways of a rule are tried in their order
/// until one knows: a post without a video, or one that is gone, is an answer; a refusal, a failed request
/// or a document of another shape is not, and the next way is tried. Sources are best first: files before
/// playlists, then by picture and bit rate. A URL that is itself a media file is one source, whatever its name: what
/// its server calls media, or begins as media does, is not read further.
///
/// `request.cookies_file` goes along with requests for the page itself and what it embeds, each cookie to its own
/// hosts. MediaInfo::cookies has those of the page's own site, and what was set on the way.
/// Errors: NO_MEDIA also when only a script could show the video: a browser may still find it; AUTH_REQUIRED
/// for protected and age-restricted posts; the others of Extractor without the browser's.
class JOBRUNTIME_API PageExtractor : public Extractor {
public:
    /// The fetcher must outlive it.
    PageExtractor(const net::Fetcher& fetcher, PageRules rules, PageOptions options = {});
    ~PageExtractor() override;
    std::string_view name() const override { return "page"; }
    Result<MediaInfo> extract(const ExtractRequest& request, std::stop_token stop) override;

private:
    const net::Fetcher& fetcher_;
    const PageRules rules_;
    const PageOptions options_;
};

}  // namespace jobruntime::extract
