// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include <jobruntime/export.hpp>
#include <jobruntime/extractor.hpp>
#include <jobruntime/id.hpp>
#include <jobruntime/result.hpp>
#include <jobruntime/subprocess.hpp>

namespace jobruntime::net {
class CookieJar;
class Fetcher;
struct TransferFacts;
}  // namespace jobruntime::net

// From media sources to a finished file: download it, let the helper process judge and
// rewrite it, publish it under a name that no other attempt of any job can have.
//
//   auto work = publisher.claim_work_folder(job, fence);               a private folder
//   auto got  = downloader.download(info, *work, {}, progress, stop);  bytes on disk
//   auto done = publisher.publish({.input = got->path, …}, *work, progress, stop);
//
// This component does not link libav: what touches a hostile file with libav is the program
// jobrt-media, one process for each file. Linux only.
namespace jobruntime::media {

/// What the codes of this component mean for the job.
struct CodeInfo {
    std::string_view code;    ///< Error::name.
    bool retryable = false;   ///< False: repeating the job cannot help.
    std::string_view remedy;  ///< For people: what to do.
};
/// All codes that come from here, without those of net.hpp.
JOBRUNTIME_API std::span<const CodeInfo> codes() noexcept;

/// How far a stage is. Called on the thread that runs the stage, a few times a second at
/// most; must not throw.
struct Progress {
    std::string_view stage;   ///< "download", "verify" or "remux".
    double percent = 0;       ///< 0 to 100; 0 when the total is unknown.
    std::uint64_t bytes = 0;  ///< Downloaded so far; 0 in other stages.
    std::uint64_t total = 0;  ///< 0 = unknown.
};
using OnProgress = std::function<void(const Progress&)>;

// ---- The helper ------------------------------------------------------------------------

struct HelperOptions {
    /// jobrt-media: a path, or a name looked up in /usr/local/bin:/usr/bin:/bin.
    std::string program = "jobrt-media";
    std::chrono::milliseconds timeout{600'000};  ///< For one file, wall time; then it is killed.
    std::chrono::seconds cpu_time{600};          ///< Its limit on itself.
    std::uint64_t memory_bytes = std::uint64_t{3} << 30;
    std::uint64_t max_file_bytes = std::uint64_t{64} << 30;  ///< Largest file it may write.
    /// An ffmpeg that writes the files which need rewriting, under the same limits: it is given only what the
    /// helper has verified and put together, and the helper inspects what comes of it. A path, or a name
    /// looked up as `program` is; empty = the helper's own libav does it.
    std::string ffmpeg;
};

/// The path of that ffmpeg. FFMPEG_NOT_FOUND (not_found).
JOBRUNTIME_API Result<std::string> find_ffmpeg(const std::string& program);

/// What is in a media file.
struct MediaFacts {
    std::string container;      ///< "mp4", "mov", "webm", "matroska", "mpegts", "flv", "avi", …
    double seconds = 0;         ///< 0 = the container does not say.
    int width = 0, height = 0;  ///< Of the best video stream; 0 = there is none.
    double fps = 0;             ///< 0 = unknown.
    std::string video_codec;    ///< libav's name, e.g. "h264"; empty = none.
    std::string audio_codec;    ///< Of the first audio stream; empty = none.
    int streams = 0;
    std::uint64_t bytes = 0;
    bool operator==(const MediaFacts&) const = default;
};

/// What is in the file that is ready to be published.
struct Finished {
    MediaFacts facts;
    std::string ext;         ///< "mp4", or that of the source's container.
    std::string sha256;      ///< 64 lower-case hexadecimal digits.
    bool remuxed = false;    ///< True: the file is at `output`; false: `input` is fine as it is.
    bool thumbnail = false;  ///< A JPEG was written.
};

/// One piece of a stream, in the file that it was put into.
struct StreamPiece {
    std::uint64_t end = 0;  ///< Where in the file it ends; it begins where the one before it ends.
    double seconds = 0;     ///< How long it plays, as its playlist or manifest says; 0 for an init section.
    double pause = 0;       ///< Before it, by the same word: that nothing plays then is no fault.
    bool exact = false;     ///< The word is about this piece; else it was rounded or reckoned.
    bool operator==(const StreamPiece&) const = default;
};

struct FinishRequest {
    std::string input;            ///< Absolute path of the download.
    std::string output;           ///< Absolute path for the MP4; must not exist.
    std::string thumbnail;        ///< Absolute path for the JPEG, or empty; must not exist.
    /// The source's duration, by its playlist or by the site's record; 0 = unknown. The file may be 2 % off, or, when that
    /// is less, a picture and a packet of sound (0.1 s), and a second more where it is in whole seconds, which were
    /// rounded. Of a stream picture and sound may each be 2 % off, or half a second: they never end together. Where the
    /// number is the sum of `pieces` that are exact, no more may be missing than of a file, for each of `runs`.
    double expected_seconds = 0;
    double max_seconds = 0;  ///< TOO_LONG beyond it, before it is read to its end where it says so; 0 = any.
    int thumbnail_width = 640;
    // Of an input that was put together from the pieces of a stream:
    double tolerance = 0;  ///< Seconds that `expected_seconds` may be off besides the 2 %.
    std::vector<std::uint64_t>
        runs;  ///< Where in the input each run of one clock and coding begins; empty = a plain file.
    std::vector<StreamPiece> pieces;  ///< What the input was put together from; empty = unknown.
    std::string audio;                ///< Absolute path of the sound's own file, or empty.
    double audio_seconds = 0;  ///< What its playlist promises.
    std::vector<std::uint64_t> audio_runs;
    std::vector<StreamPiece> audio_pieces;
    bool audio_apart = false;  ///< Its clock is not the picture's: both begin together.
};

/// A jobrt-media that was started before its file was there, because loading libav takes longer than most files.
/// It has seen nothing yet, waits for the request of one call, and ends with this object. Empty when it could not
/// be started: the call will say why. Move-only; one thread at a time.
class JOBRUNTIME_API HelperAhead {
public:
    HelperAhead() = default;

private:
    friend class HelperClient;
    std::optional<Subprocess> child_;
};

/// Runs jobrt-media, one process a call. A value; calls may run at the same time.
///
/// Whatever the file does to the helper is an error here: MEDIA_HELPER_CRASHED when it dies or
/// answers nonsense, MEDIA_TIMEOUT beyond its wall or CPU time, MEDIA_MEMORY. Its answers are
/// checked like any input: a helper that a file has taken over can lie, not more.
/// MEDIA_HELPER_NOT_FOUND when the program is missing. Errc::canceled within a second of
/// `stop`, with the helper gone. Of the file it says NOT_MEDIA, TRUNCATED, MEDIA_DAMAGED,
/// WRONG_DURATION, TOO_LONG, NO_VIDEO, DRM_PROTECTED, UNSUPPORTED_SOURCE; of the machine DISK_FULL, MEDIA_IO.
class JOBRUNTIME_API HelperClient {
public:
    explicit HelperClient(HelperOptions options = {}) : options_(std::move(options)) {}

    /// What the file is, without judging it.
    Result<MediaFacts> probe(const std::string& path, std::stop_token stop = {}) const;
    /// Reads to the last packet and decodes a key frame.
    Result<MediaFacts> verify(const std::string& path, double expected_seconds = 0,
                              const OnProgress& progress = {}, std::stop_token stop = {}) const;
    /// Verifies, copies the streams into a faststart MP4 unless the file is one or its codecs
    /// do not fit, makes the thumbnail, syncs, and takes the SHA-256.
    Result<Finished> finish(const FinishRequest& request, const OnProgress& progress = {},
                            std::stop_token stop = {}, HelperAhead ahead = {}) const;
    /// Starts the process of a later finish().
    HelperAhead start_ahead() const;

private:
    HelperOptions options_;
};

// ---- Folders ---------------------------------------------------------------------------

/// The private folder of one attempt, `<root>/.jobrt-tmp/<jobId>-<fence>`, mode 0700. Locked
/// while it lives, so that nobody else takes it over; removed with all that is in it when it
/// ends, unless keep() was called. Move-only; one thread.
class JOBRUNTIME_API WorkFolder {
public:
    WorkFolder(WorkFolder&& other) noexcept = default;
    WorkFolder& operator=(WorkFolder&&) = delete;
    ~WorkFolder();

    const std::string& path() const noexcept { return path_; }  ///< Absolute.
    /// Leaves the downloaded part for the job's next attempt.
    void keep() noexcept { kept_ = true; }

private:
    friend class Publisher;
    WorkFolder(std::string path, Fd folder) noexcept : path_(std::move(path)), folder_(std::move(folder)) {}

    std::string path_;
    Fd folder_;  // Holds the lock. -1 once moved from.
    bool kept_ = false;
};

// ---- Publishing ------------------------------------------------------------------------

struct PublishRequest {
    std::string
        input;  ///< Downloaded::path: a file directly in the work folder. What belongs to it is found there.
    JobId job;
    Fence fence = Fence::none;
    int nth = 0;
    std::string account;          ///< Becomes the folder; when nothing of it can be kept, the host does.
    std::string source_url;       ///< The post's canonical URL.
    MediaInfo info;               ///< Title, author, date and page go into the JSON.
    double expected_seconds = 0;  ///< See FinishRequest, and so is the next.
    double max_seconds = 0;
    std::uint64_t min_free_bytes = 0;  ///< DISK_FULL when less stays free on the disk meanwhile; 0 = whatever there is.
};

/// A published video. Paths lie below the root, with '/'.
struct Published {
    std::string output_path;     ///< "<slug>/<jobId>-<fence>.mp4"
    std::string thumbnail_path;  ///< "<slug>/<jobId>-<fence>.jpg", or empty.
    std::string json_path;       ///< "<slug>/<jobId>-<fence>.json"
    std::string json;            ///< What is in it, one object: fit for a job's result.
    Finished file;
};

/// What the store knows of an attempt.
enum class Verdict {
    unknown,  ///< No such job here (another store may have it): files stay.
    keep,     ///< The result names it, it is running, or its work folder may be resumed.
    dead,     ///< The job is known and this attempt of it can never become official.
};
/// Asked by Publisher::sweep. `work_folder` is true for an attempt's work folder, which a job
/// that will be tried again still wants.
using Judge = std::function<Verdict(JobId job, Fence fence, bool work_folder)>;

struct PublisherOptions {
    std::string root;  ///< The download folder; made when missing.
    HelperOptions helper;
    /// A work folder whose job nobody knows goes after this time without a change.
    std::chrono::hours forgotten_after{24};
};

/// Owns the names below the download root. Stateless between calls and thread-safe; several
/// processes may use one root. What was published is looked for and removed with has_saved_file()
/// and remove_saved_files() of net.hpp, for which nobody needs this component.
///
/// Never leaves the root: every folder on the way is opened without following symbolic links
/// (PATH_REFUSED when there is one), and every file is reached from its open folder. The
/// root itself may be a link. DOWNLOAD_DIR_UNUSABLE when it cannot be made or written.
class JOBRUNTIME_API Publisher {
public:
    explicit Publisher(PublisherOptions options) : options_(std::move(options)) {}

    /// The attempt's private folder. What an earlier attempt of the job has left there
    /// comes along, so that a broken download is resumed, unless its worker still lives: then
    /// it keeps its own and this one starts empty. Errc::conflict when a newer attempt was here.
    Result<WorkFolder> claim_work_folder(JobId job, Fence fence) const;

    /// Verifies, rewrites and pictures the download in the helper, then renames video, thumbnail and
    /// JSON into place and syncs the folder. They are official only once the store has
    /// accepted the result that names them. After an error or a stop nothing of it remains; the
    /// download itself goes too when the error is about its content.
    /// Errors: those of HelperClient, FFMPEG_NOT_FOUND, FFMPEG_FAILED, PATH_REFUSED, DOWNLOAD_DIR_UNUSABLE, DISK_FULL, MEDIA_IO.
    Result<Published> publish(const PublishRequest& request, const WorkFolder& work,
                              const OnProgress& progress = {}, std::stop_token stop = {},
                              HelperAhead ahead = {}) const;
    /// Starts the helper of a later publish(): while the file is downloaded, say.
    HelperAhead start_helper() const { return HelperClient(options_.helper).start_ahead(); }

    /// Removes files and work folders of dead attempts. Touches nothing whose name is not of our
    /// pattern, and no work folder whose worker lives. Says how many files and folders went.
    Result<int> sweep(const Judge& judge) const;

private:
    PublisherOptions options_;
};

// ---- Downloading -----------------------------------------------------------------------

struct DownloadOptions {
    std::uint64_t max_bytes = std::uint64_t{8} << 30;  ///< TOO_LARGE beyond it.
    std::chrono::milliseconds stall_timeout{120'000};  ///< Without a single byte.
    std::size_t first_source = 0;  ///< Sources before this one are skipped: they were tried.
    std::string extractor_dir;     ///< Where sources with protocol `file` lie; empty = refused.
    std::chrono::milliseconds time_limit{
        std::chrono::hours(6)};        ///< One call, whatever it tries; DOWNLOAD_TIMEOUT, and resumed later.
    std::uint64_t min_free_bytes = 0;  ///< DISK_FULL when less stays free on the disk.
    // Of streams:
    int max_height = 0;  ///< The tallest variant within it is taken; 0 = any.
    std::chrono::milliseconds max_duration{std::chrono::hours(12)};  ///< TOO_LONG beyond it, live or not.
    std::size_t max_segments = 100'000;                              ///< TOO_LONG too.
    int parallel = 16;                                               ///< Segments of one track at once.
    int segment_retries = 5;  ///< Of one segment, playlist or key, for errors that may pass.
    std::chrono::milliseconds first_pause{
        250};  ///< Before the first of them; then doubled. Retry-After counts more.
};

struct Downloaded {
    std::string path;        ///< Absolute, directly in the work folder, complete and synced.
    std::size_t source = 0;  ///< Index into MediaInfo::sources.
    std::uint64_t bytes = 0;
    std::uint64_t resumed_from = 0;  ///< Bytes that an earlier attempt had fetched.
};

class HostGate;

/// Fetches the best source that can be had. Thread-safe; keep one for all downloads of a program: it holds
/// no more than `per_host` requests for media open to one host at once: files, playlists, segments. (A
/// download's foremost segment and its keys may exceed that, so that downloads never wait for each other in a
/// circle.) Copies share that. A file that is refused with 403 or 5xx is asked for once more within the call.
///
/// HLS and DASH: the best variant, segments fetched ahead in parallel and put one behind the other as they
/// are, AES-128 undone, what was fetched kept for the next attempt. Bounded memory: 32 MiB a track wait for
/// their turn. A playlist that slides is followed until it ends; one that stops growing is DOWNLOAD_STALLED.
/// Every URL of it, keys and init sections included, goes through the fetcher's guard.
/// Of DASH what is complete (type="static"): templates by number and by time, timelines,
/// lists, single files with or without an index, byte ranges, several periods that are coded alike. Live
/// manifests, parts elsewhere (xlink) and sound whose clock begins elsewhere than the picture's are
/// UNSUPPORTED_SOURCE. A source that is named or sent as a playlist or a manifest is taken for one, whatever
/// its protocol says.
///
/// MediaInfo::cookies, and what servers set meanwhile, go along with every request of the call, each to its own
/// hosts (net::CookieJar), redirects included; a header Cookie or Authorization of a source to its own origin only.
///
/// A source whose sound lies elsewhere (MediaSource::sound) is fetched as two, each as its protocol wants it and each
/// resumed, and is one download for whoever publishes it: Publisher puts both into one file.
class JOBRUNTIME_API Downloader {
public:
    /// `fetcher` must outlive it.
    explicit Downloader(const net::Fetcher& fetcher, int per_host = 16);

    /// Tries the sources in their order; one that an earlier attempt has fetched whole is taken
    /// without asking again. The next is tried when one cannot be had at all; when one broke
    /// after bytes had come, its error is returned, and the next attempt goes on with it if the
    /// work folder is kept. When all fail: the error of the best one that a retry may cure
    /// (unavailable, timed out), else of the best. The errors are those of net::Fetcher::download,
    /// those that DownloadOptions names, NO_VIDEO, NOT_MEDIA, DRM_PROTECTED and DOWNLOAD_INCOMPLETE
    /// of streams, PATH_REFUSED for a file outside `extractor_dir`, MEDIA_IO, and Errc::canceled
    /// within a second of `stop`. `facts` belong to the error that is returned: how long its server
    /// asked to wait, for one.
    Result<Downloaded> download(const MediaInfo& info, const WorkFolder& work, const DownloadOptions& options,
                                const OnProgress& progress = {}, std::stop_token stop = {},
                                net::TransferFacts* facts = nullptr) const;

private:
    Result<Downloaded> fetch(const MediaSource& source, const std::string& target,
                             const DownloadOptions& options, const OnProgress& progress,
                             const std::stop_token& stop, net::TransferFacts& facts,
                             net::CookieJar& cookies) const;
    Result<Downloaded> fetch_joined(const MediaSource& source, const std::string& target,
                                    const DownloadOptions& options, const OnProgress& progress,
                                    const std::stop_token& stop, net::TransferFacts& facts,
                                    net::CookieJar& cookies) const;
    Result<Downloaded> fetch_file(const MediaSource& source, const std::string& target,
                                  const DownloadOptions& options, const OnProgress& progress,
                                  const std::stop_token& stop, net::TransferFacts& facts,
                                  net::CookieJar& cookies) const;

    const net::Fetcher& fetcher_;
    std::shared_ptr<HostGate> gate_;  // Shared by copies: a handler is copied into its worker.
};

}  // namespace jobruntime::media
