// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "media/stream_download.hpp"

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <memory>
#include <mutex>

#include "media/assembly.hpp"
#include "media/playlist_feed.hpp"
#include "media/stream_choice.hpp"
#include "media/track_download.hpp"
#include "net/folders.hpp"

namespace jobruntime::media {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

std::string stream_of(const std::string& target) { return target + ".stream"; }
std::string audio_of(const std::string& target) { return target + std::string(audio_suffix); }

/// One track: its playlist, and the fetching of what is in it.
struct Track {
    PlaylistFeed feed;
    std::optional<double> promised;
    std::unique_ptr<TrackDownload> download;
};

class StreamDownload {
public:
    StreamDownload(const net::Fetcher& fetcher, HostGate& gate, const StreamRequest& request,
                   const DownloadOptions& options, const OnProgress& progress, std::stop_token stop)
        : request_(request),
          options_(options),
          progress_(progress),
          stop_(std::move(stop)),
          source_(fetcher, gate,
                  {.headers = request.headers,
                   .origin = origin_of(request.url),
                   .stall_timeout = options.stall_timeout,
                   .retries = {.times = options.segment_retries, .first_pause = options.first_pause},
                   .cookies = request.cookies}) {}

    Result<Downloaded> run() {
        const ChoiceOptions wanted{.max_height = options_.max_height, .max_segments = options_.max_segments};
        const auto choice = choose_stream(source_, request_.url, wanted, stop_);
        if (!choice) return choice.error();
        auto video = start(stream_of(request_.target), choice->video);
        if (!video) return std::move(video).error();
        tracks_.push_back(*std::move(video));
        if (choice->audio) {
            auto audio = start(audio_of(request_.target), *choice->audio);
            if (!audio) return std::move(audio).error();
            tracks_.push_back(*std::move(audio));
        } else {
            remove_track(audio_of(request_.target));
        }
        auto all = wait_for_all();
        for (auto& track : tracks_) track.download->stop();
        next_report_ = {};
        report();  // How far it came, also when it failed at once.
        if (!all) return std::move(all).error();
        return conclude();
    }

    std::optional<std::chrono::seconds> asked_to_wait() const { return source_.asked_to_wait(); }

private:
    static std::string origin_of(const std::string& url) {
        const auto parsed = net::parse_url(url, net::max_fetch_url);
        return parsed ? parsed->origin() : std::string();
    }

    Result<Track> start(const std::string& path, const TrackChoice& chosen) {
        Track track{PlaylistFeed(chosen.url,
                                 {.limits = {.max_segments = options_.max_segments},
                                  .max_seconds = static_cast<double>(options_.max_duration.count()) / 1000.0,
                                  .stall_timeout = options_.stall_timeout,
                                  .variables = chosen.variables}),
                    chosen.promised, nullptr};
        auto pieces = track.feed.take(chosen.media);
        if (!pieces) return std::move(pieces).error();
        if (pieces->empty() && track.feed.ended())
            return Error{Errc::corrupt, "NOT_MEDIA", "the HLS playlist has ended and lists no segment"};
        auto file = TrackFile::open(path, chosen.variant);
        if (!file) return std::move(file).error();
        JR_TRY(resume(*file, *pieces));
        resumed_from_ += file->size();
        track.download = std::make_unique<TrackDownload>(
            source_, *std::move(file), total_,
            TrackDownload::Options{.parallel = options_.parallel,
                                   .max_bytes = options_.max_bytes,
                                   .on_end = [this] { track_ended(); },
                                   .on_failing = [this] { polls_.request_stop(); }});
        track.download->add(*std::move(pieces));
        if (track.feed.ended()) track.download->close();
        return track;
    }

    /// Takes from the list what the file has already, and from the file what no longer fits the list.
    static Result<void> resume(TrackFile& file, std::vector<Piece>& pieces) {
        const auto& have = file.entries();
        if (pieces.empty() || have.empty()) return {};
        // A live playlist may have dropped its beginning since; it goes on at the file's end or inside it.
        // The init section in front of it is the one in force there, wherever the file has it.
        const std::size_t lead = pieces.front().init && pieces.size() > 1 ? 1 : 0;
        const auto& head = pieces[lead];
        const auto first = std::ranges::find(have, head.id(), &TrackFile::Entry::id);
        if (first == have.end()) {
            // What lies between the two is lost, and the rest alone would look like a whole stream.
            if (head.sequence > have.back().sequence + 1)
                return Error{Errc::unavailable, "DOWNLOAD_INCOMPLETE",
                             "the live playlist moved on before an earlier attempt had read all of its segments"};
            return head.sequence == have.back().sequence + 1 ? Result<void>() : file.cut(0);
        }
        const auto offset = static_cast<std::size_t>(first - have.begin());
        const auto in_force = std::find_if(std::make_reverse_iterator(first), have.rend(),
                                           [](const TrackFile::Entry& entry) { return entry.init; });
        if (lead == 1 && (in_force == have.rend() || in_force->id != pieces.front().id())) return file.cut(0);
        std::size_t same = 0;
        while (lead + same < pieces.size() && offset + same < have.size() &&
               have[offset + same].id == pieces[lead + same].id())
            ++same;
        JR_TRY(file.cut(offset + same));
        pieces.erase(pieces.begin(), pieces.begin() + static_cast<std::ptrdiff_t>(lead + same));
        return {};
    }

    void track_ended() {
        {
            const std::lock_guard lock(mutex_);
            track_ended_ = true;
        }
        bell_.notify_all();
    }

    bool has_failed() const {
        return std::ranges::any_of(tracks_, [](const Track& track) { return track.download->state().failing; });
    }

    Result<void> wait_for_all() {
        const std::stop_callback stopped(stop_, [this] { polls_.request_stop(); });
        while (true) {
            if (stop_.stop_requested()) return Error{Errc::canceled, "the download was stopped"};
            bool done = true;
            for (auto& track : tracks_) {
                auto state = track.download->state();
                if (state.failure) return *std::move(state.failure);
                done = done && state.done;
            }
            // A playlist may take its time, and what it says is of no use once a piece has failed.
            for (auto& track : tracks_) {
                if (has_failed()) break;
                auto fresh = track.feed.poll(source_, polls_.get_token());
                if (!fresh && has_failed()) break;  // A piece has failed since, and is the reason.
                if (!fresh) return std::move(fresh).error();
                if (!*fresh) continue;
                track.download->add(std::move(**fresh));
                if (track.feed.ended()) track.download->close();
            }
            report();
            if (done) return {};
            // The end of a track rings. Playlists and progress have their own times.
            std::unique_lock lock(mutex_);
            bell_.wait_for(lock, stop_, milliseconds(50), [&] { return track_ended_; });
            track_ended_ = false;
        }
    }

    void report() {
        if (!progress_ || steady_clock::now() < next_report_) return;
        next_report_ = steady_clock::now() + milliseconds(200);
        double seconds = 0;
        double all = 0;
        bool ended = true;
        for (const auto& track : tracks_) {
            const auto state = track.download->state();
            seconds += state.seconds;
            all += state.all_seconds;
            ended = ended && track.feed.ended();
        }
        const double percent = ended && all > 0 ? std::min(100.0, 100 * seconds / all) : 0;
        progress_({.stage = "download", .percent = percent, .bytes = total_, .total = 0});
    }

    Result<Downloaded> conclude() {
        Assembly assembly;
        for (auto& track : tracks_) JR_TRY(track.download->file().sync());
        const auto& video = tracks_.front();
        assembly.seconds = video.promised.value_or(video.download->file().seconds());
        assembly.tolerance = video.feed.tolerance();
        assembly.gap_seconds = video.feed.gap_seconds();
        assembly.runs = video.download->file().runs();
        assembly.pieces = video.download->file().pieces();
        if (tracks_.size() > 1) {
            const auto& audio = tracks_.back();
            assembly.audio = fs::path(audio_of(request_.target)).filename().string();
            assembly.audio_seconds = audio.download->file().seconds();
            assembly.audio_runs = audio.download->file().runs();
            assembly.audio_pieces = audio.download->file().pieces();
            assembly.tolerance = std::max(assembly.tolerance, audio.feed.tolerance());
        }
        JR_TRY(write_assembly(request_.target, assembly));
        if (std::rename(stream_of(request_.target).c_str(), request_.target.c_str()) != 0)
            return net::folder_error(errno, "rename the finished download");
        remove_track(stream_of(request_.target));
        std::error_code ignored;
        fs::remove(audio_of(request_.target) + ".log", ignored);
        if (progress_) progress_({.stage = "download", .percent = 100, .bytes = total_, .total = total_});
        return Downloaded{.path = request_.target, .bytes = total_, .resumed_from = resumed_from_};
    }

    const StreamRequest& request_;
    const DownloadOptions& options_;
    const OnProgress& progress_;
    std::stop_token stop_;
    StreamSource source_;
    std::atomic<std::uint64_t> total_ = 0;
    std::uint64_t resumed_from_ = 0;
    steady_clock::time_point next_report_{};
    std::mutex mutex_;
    std::condition_variable_any bell_;
    bool track_ended_ = false;  // Guarded by mutex_.
    std::stop_source polls_;    // A playlist that is asked for when a piece fails is not waited for.
    std::vector<Track> tracks_;  // Last: their threads end before what they use.
};

}  // namespace

Result<Downloaded> download_stream(const net::Fetcher& fetcher, HostGate& gate, const StreamRequest& request,
                                   const DownloadOptions& options, const OnProgress& progress,
                                   const std::stop_token& stop, net::TransferFacts& facts) {
    StreamDownload download(fetcher, gate, request, options, progress, stop);
    auto done = download.run();
    if (!done) facts.retry_after = download.asked_to_wait();
    if (!done && done.error().code == Errc::internal && stop.stop_requested())
        return Error{Errc::canceled, "the download was stopped"};
    return done;
}

bool has_stream_part(const std::string& target) {
    std::error_code missing;
    for (const auto& path : {stream_of(target), audio_of(target)})
        if (const auto bytes = fs::file_size(path, missing); !missing && bytes > 0) return true;
    return false;
}

}  // namespace jobruntime::media
