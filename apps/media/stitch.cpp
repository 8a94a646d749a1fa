// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "stitch.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "coding.hpp"
#include "coverage.hpp"
#include "muxer.hpp"
#include "open.hpp"
#include "remux.hpp"
#include "structure.hpp"
#include "transport.hpp"

namespace jobruntime::helper {
namespace {

constexpr double clocks_apart = 10;  // Seconds; sound and picture of one clock never begin so far apart.

double in_seconds(std::int64_t at, AVRational base) { return static_cast<double>(at) * av_q2d(base); }

/// One file's runs, read one after the other.
class Track {
public:
    Track(std::string path, std::vector<std::int64_t> begins, const std::vector<Piece>& pieces, bool picture, Holes::Kind kind)
        : path_(std::move(path)),
          begins_(std::move(begins)),
          pieces_(pieces),
          picture_(picture),
          kind_(std::move(kind)),
          packet_(av_packet_alloc()) {}

    Result<void> open() {
        if (!packet_) return write_error(AVERROR(ENOMEM));
        struct stat facts {};
        if (::stat(path_.c_str(), &facts) != 0)
            return Error{Errc::not_found, "MEDIA_IO", "cannot read " + path_};
        bytes_ = facts.st_size;
        JR_TRY(compare_heads());
        JR_TRY(open_run());
        const auto container = media_->container();
        kind_.without_clock = without_clock();
        if (container == "mpegts") kind_.breaks_off = [this](Slice part) { return ends_within_packet(path_, part); };
        if (container == "mp4") kind_.breaks_off = [this](Slice part) { return ends_before_its_index(path_, part); };
        if (container == "mpegts" && picture_)
            kind_.packets_lost = [this](Slice before, Slice after) {
                return packets_lost(path_, before, after, media_->video_stream()->id);
            };
        holes_.emplace(pieces_, kind_);
        holes_->begin_run(slice_of(0).begin, slice_of(0).end);
        return {};
    }

    const Media& media() const { return *media_; }
    std::size_t run() const { return run_; }
    std::size_t runs() const { return begins_.size(); }
    double start() const {
        const auto at = media_->file->start_time;
        return at == AV_NOPTS_VALUE ? 0 : static_cast<double>(at) / AV_TIME_BASE;
    }
    /// Of a file that is one run; 0 = it does not say. What was reckoned from its bit rate is no word of it.
    double declared() const {
        const bool says = media_->file->duration_estimation_method == AVFMT_DURATION_FROM_STREAM;
        return runs() > 1 || !says ? 0 : media_->seconds();
    }
    /// Of a file that is one run: whether it ends in the middle of what it announces.
    bool cut_off() const { return runs() == 1 && is_cut_off(*media_, read_structure(path_)); }
    /// Its clock says nothing: packed sound begins at zero wherever it belongs.
    bool without_clock() const {
        const auto container = media_->container();
        return container == "aac" || container == "mp3" || container == "flac" || container == "wav";
    }
    double covered() const { return covered_ + span_.seconds(); }
    Holes::Found holes() const { return holes_->find(); }
    /// How much shorter than `expected` a short one may be: by what stands at its runs' ends without being counted. Where the
    /// number is not what is said of the pieces themselves, or nothing shows the end, as much as two tracks may differ by.
    double least_off(double expected) const {
        constexpr double half = 0.5, short_of_sound = 0.15;
        double said = 0;
        bool exact = !pieces_.empty() && !kind_.borrowed && holes_->shows_its_end();
        for (const auto& piece : pieces_) {
            exact = exact && (piece.exact || piece.seconds <= 0);
            said += piece.seconds + piece.pause;
        }
        if (!exact || std::abs(said - expected) > 0.01) return half;
        const double once = std::max(short_of_sound, endings_.usual() + sound_packet);
        return std::min(half, once * static_cast<double>(runs()));
    }
    const Endings& endings() const { return endings_; }
    std::int64_t pictures() const { return pictures_; }
    std::int64_t position() const { return begins_[run_] + (packet_->pos > 0 ? packet_->pos : 0); }
    std::int64_t bytes() const { return bytes_; }

    /// Reads the next packet that is kept, or says that this run is over.
    Result<bool> read() {
        while (true) {
            av_packet_unref(packet_.get());
            const int code = av_read_frame(media_->file.get(), packet_.get());
            if (code == AVERROR(ENOMEM)) return write_error(code);
            if (code < 0) {
                if (code != AVERROR_EOF)
                    return Error{Errc::corrupt, "MEDIA_DAMAGED",
                                 "the stream cannot be read to its end: " + av_text(code)};
                holes_->end_run();
                endings_.end_run();
                return false;
            }
            JR_TRY(refuse_encrypted(*packet_));
            const auto index = static_cast<std::size_t>(packet_->stream_index);
            if (index >= lanes_.size() || lanes_[index] < 0) continue;
            count(*media_->file->streams[index]);
            if (static_cast<int>(index) != media_->video) return true;
            ++pictures_;
            if (in_band_) JR_TRY(in_band_->rewrite(*packet_));
            return true;
        }
    }
    bool last_run() const { return run_ + 1 == begins_.size(); }
    /// The next run begins on the output where this one ended.
    Result<void> next_run() {
        covered_ += span_.seconds();
        span_ = {};
        ++run_;
        holes_->begin_run(slice_of(run_).begin, slice_of(run_).end);
        return open_run();
    }

    /// Which lanes of the output its streams write to; found once, kept for all runs.
    Result<void> add_to(Muxer& muxer) {
        for (unsigned i = 0; i < media_->file->nb_streams; ++i) {
            lanes_.push_back(-1);
            if (!kept(i)) continue;
            const AVStream& stream = *media_->file->streams[i];
            const bool rewritten = in_band_ && static_cast<int>(i) == media_->video;
            auto lane = muxer.add(stream, rewritten ? in_band_->parameters() : *stream.codecpar);
            if (!lane) return lane.error();
            lanes_.back() = *lane;
            codings_.push_back({lanes_.back(), coding_of(*media_, i)});
        }
        return {};
    }

    AVPacket& packet() { return *packet_; }
    AVRational time_base() const { return media_->file->streams[packet_->stream_index]->time_base; }
    int lane() const { return lanes_[static_cast<std::size_t>(packet_->stream_index)]; }
    double time() const {
        const auto at = packet_->dts != AV_NOPTS_VALUE ? packet_->dts : packet_->pts;
        return at == AV_NOPTS_VALUE ? start() + shift : in_seconds(at, time_base()) + shift;
    }
    double end_of_run() const { return std::isfinite(span_.last) ? span_.last + shift : start() + shift; }

    double shift = 0;  ///< Added to this run's clock it is the output's.
    bool has_packet = false;
    bool over = false;

private:
    void count(const AVStream& stream) {
        span_.add(*packet_, stream);
        endings_.add(*packet_, stream, packet_->stream_index == media_->video);
        if (packet_->dts == AV_NOPTS_VALUE && packet_->pts == AV_NOPTS_VALUE) return;
        holes_->add({.lane = lane(),
                     .position = packet_->pos < 0 ? -1 : position(),
                     .begin = time(),
                     .seconds = in_seconds(packet_->duration, stream.time_base),
                     .sound = stream.codecpar->codec_type == AVMEDIA_TYPE_AUDIO});
    }

    bool kept(unsigned index) const {
        const auto type = media_->file->streams[index]->codecpar->codec_type;
        return (picture_ && static_cast<int>(index) == media_->video) || type == AVMEDIA_TYPE_AUDIO;
    }

    Slice slice_of(std::size_t run) const {
        return {begins_[run], run + 1 == begins_.size() ? bytes_ : begins_[run + 1]};
    }

    /// One track has one head. Where the runs' differ, the picture's parameters go into the stream from the first run
    /// on: who seeks backwards out of another run must find them again.
    Result<void> compare_heads() {
        std::optional<Coding> first;
        for (std::size_t run = 0; picture_ && runs() > 1 && run < runs() && !differing_; ++run) {
            auto head = open_head(path_, slice_of(run));
            if (!head) return head.error();
            if (head->video < 0) continue;
            const auto coding = coding_of(*head, static_cast<unsigned>(head->video));
            if (!InBand::fits(coding)) return {};
            if (!first) first = coding;
            differing_ = coding.head != first->head;
        }
        return {};
    }

    Result<void> open_run() {
        auto opened = open_media(path_, slice_of(run_));
        if (!opened) return opened.error();
        JR_TRY(refuse_encrypted(*opened));
        media_.reset();
        media_.emplace(*std::move(opened));
        if (picture_) JR_TRY(refuse_without_video(*media_));
        if (differing_ && !InBand::fits(coding_of(*media_, static_cast<unsigned>(media_->video)))) return other_coding();
        if (differing_) JR_TRY(in_band_.emplace().open(*media_->video_stream(), run_ > 0));
        return run_ == 0 ? Result<void>() : match_lanes();
    }

    /// A later run must have the streams that the first had, in whatever order.
    Result<void> match_lanes() {
        lanes_.assign(media_->file->nb_streams, -1);
        auto open_codings = codings_;
        for (unsigned i = 0; i < media_->file->nb_streams; ++i) {
            if (!kept(i)) continue;
            const auto coding = coding_of(*media_, i);
            auto same = std::ranges::find(open_codings, coding, &Taken::coding);
            if (same == open_codings.end())
                same = std::ranges::find_if(open_codings, [&](const auto& one) { return go_together(one.coding, coding); });
            if (same == open_codings.end()) continue;
            lanes_[i] = same->lane;
            open_codings.erase(same);
        }
        return open_codings.empty() ? Result<void>() : Result<void>(other_coding());
    }

    struct Taken {
        int lane = -1;
        Coding coding;
    };
    std::string path_;
    std::vector<std::int64_t> begins_;
    const std::vector<Piece>& pieces_;
    bool picture_;
    Holes::Kind kind_;
    std::int64_t bytes_ = 0;
    std::size_t run_ = 0;
    bool differing_ = false;         // The picture's heads, from run to run.
    std::optional<InBand> in_band_;  // Of this run, where they do.
    std::optional<Media> media_;
    std::vector<int> lanes_;
    std::vector<Taken> codings_;
    Packet packet_;
    Span span_;
    std::optional<Holes> holes_;
    Endings endings_;
    double covered_ = 0;
    std::int64_t pictures_ = 0;
};

/// Two tracks on one line of time.
class Stitcher {
public:
    Stitcher(Track& video, Track* audio, bool apart, Muxer& muxer)
        : video_(video), audio_(audio), apart_(apart), muxer_(muxer) {}

    Result<void> run() {
        begin_video(0);
        JR_TRY(fill(video_));
        if (audio_) {
            begin_audio(0);
            JR_TRY(fill(*audio_));
        }
        Progress progress("remux");
        while (!video_.over || (audio_ && !audio_->over)) {
            Track& next = audio_ && !audio_->over && (video_.over || audio_->time() <= video_.time())
                              ? *audio_
                              : video_;
            if (&next == &video_) progress.at(video_.position(), video_.bytes());
            JR_TRY(write(next));
            JR_TRY(fill(next));
        }
        return {};
    }

private:
    void begin_video(double at) {
        video_.shift = at - video_.start();
        anchors_.push_back({at, video_.start()});
    }

    /// Sound of the picture's clock keeps its place beside it; other sound begins where the run does.
    void begin_audio(double at) {
        const bool paired = audio_->runs() == video_.runs() && audio_->run() < anchors_.size();
        if (!paired) {
            audio_->shift = at - audio_->start();
            return;
        }
        const auto& anchor = anchors_[audio_->run()];
        const bool same_clock =
            !apart_ && !audio_->without_clock() && std::abs(audio_->start() - anchor.start) < clocks_apart;
        audio_->shift = anchor.at - (same_clock ? anchor.start : audio_->start());
    }

    Result<void> fill(Track& track) {
        while (true) {
            auto more = track.read();
            if (!more) return more.error();
            if (*more) return {};
            if (track.last_run()) {
                track.over = true;
                return {};
            }
            const double end = track.end_of_run();
            if (&track == audio_) JR_TRY(let_video_reach(audio_->run() + 1));
            JR_TRY(track.next_run());
            if (&track == &video_)
                begin_video(end);
            else
                begin_audio(end);
        }
    }

    /// Where a run begins is known once the picture has got there.
    Result<void> let_video_reach(std::size_t run) {
        if (audio_->runs() != video_.runs()) return {};
        while (!video_.over && video_.run() < run) {
            JR_TRY(write(video_));
            JR_TRY(fill(video_));
        }
        return {};
    }

    Result<void> write(Track& track) {
        AVPacket& packet = track.packet();
        const AVRational base = track.time_base();
        const auto shift = static_cast<std::int64_t>(std::llround(track.shift / av_q2d(base)));
        if (packet.pts != AV_NOPTS_VALUE) packet.pts += shift;
        if (packet.dts != AV_NOPTS_VALUE) packet.dts += shift;
        return muxer_.write(packet, track.lane(), base);
    }

    struct Anchor {
        double at = 0, start = 0;
    };
    Track& video_;
    Track* audio_;
    bool apart_;
    Muxer& muxer_;
    std::vector<Anchor> anchors_;  // Of the video's runs.
};

/// Against what its source promises, and against what its pieces do.
Result<void> judge(const char* what, const Track& track, double expected, double tolerance) {
    const auto holes = track.holes();
    if (holes.hole)
        return Error{Errc::corrupt, "WRONG_DURATION",
                     std::string("after ") + std::to_string(holes.hole->at) + " s there is no " + what + " for " +
                         std::to_string(holes.hole->seconds) +
                         " s: a segment has less than its playlist says; download it again"};
    if (expected <= 0) return {};
    // Pictures that stand for long: who made the playlist may not have known until when the last ones do.
    const double longer = track.endings().usual() > 0.5 ? 2 * track.endings().usual() : 0;
    // Half a second: sound may go on behind the picture that a playlist speaks of, and pieces that were coded by themselves
    // leave something between them.
    const double allowed = std::max(0.5, expected * 0.02) + tolerance;
    const double missing = expected - (track.covered() - holes.seconds);
    const bool ends_early = missing - holes.seconds > std::max(track.least_off(expected), expected * 0.02) + tolerance;
    if (!ends_early && missing <= allowed && -missing - longer <= allowed) return {};
    return Error{Errc::corrupt, "WRONG_DURATION",
                 std::string("the source promises ") + std::to_string(expected) + " s of " + what +
                     ", the file has " + std::to_string(track.covered() - holes.seconds) + " s; download it again"};
}

/// Two playlists that end alike may have been made one from the other, and nobody knows which.
bool may_be_borrowed(const Request& request) {
    const auto& sound = request.audio_pieces;
    const auto& picture = request.pieces;
    return sound.empty() || picture.empty() || std::abs(sound.back().seconds - picture.back().seconds) < 0.001;
}

}  // namespace

Result<Stitched> stitch(const Request& request) {
    Holes::Kind kind{.packets_lost = {}, .breaks_off = {}, .rounded = request.tolerance > 0,
                     .borrowed = !request.audio.empty() && may_be_borrowed(request)};
    Track video(request.input, request.runs, request.pieces, true, kind);
    JR_TRY(video.open());
    std::optional<Track> audio;
    if (!request.audio.empty()) {
        audio.emplace(request.audio, request.audio_runs, request.audio_pieces, false, kind);
        JR_TRY(audio->open());
    }
    // Without a playlist the files' own words count: one that was cut short still says how long it was.
    const double video_promised = request.expected_seconds > 0 ? request.expected_seconds : video.declared();
    const double audio_promised = request.audio_seconds > 0 || !audio ? request.audio_seconds : audio->declared();
    // No other word would tell of a file that was cut off and says nothing of its length.
    if ((request.expected_seconds <= 0 && video.cut_off()) || (audio && request.audio_seconds <= 0 && audio->cut_off()))
        return Error{Errc::corrupt, "TRUNCATED",
                     "the picture's or the sound's file is shorter than it says; it was cut off, download it again"};
    // What a playlist promises was held against the limit before anything of it was fetched.
    if (request.expected_seconds <= 0) JR_TRY(refuse_too_long(video.declared(), request.max_seconds));
    Stitched done;
    done.container = video.media().container();
    const bool mp4 = fits_mp4(video.media()) && (!audio || fits_mp4(audio->media()));
    done.ext = mp4 ? "mp4" : "mkv";
    Muxer muxer;
    JR_TRY(muxer.open(mp4 ? "mp4" : "matroska", request.output));
    JR_TRY(video.add_to(muxer));
    if (audio) JR_TRY(audio->add_to(muxer));
    JR_TRY(muxer.begin());
    JR_TRY(Stitcher(video, audio ? &*audio : nullptr, request.audio_apart, muxer).run());
    if (video.pictures() == 0)
        return Error{Errc::corrupt, "NO_VIDEO", "the stream declares a video but has no picture in it"};
    JR_TRY(judge("video", video, video_promised, request.tolerance));
    JR_TRY(video.endings().judge());
    if (audio) JR_TRY(judge("sound", *audio, audio_promised, request.tolerance));
    if (request.expected_seconds <= 0) JR_TRY(refuse_too_long(video.covered(), request.max_seconds));
    JR_TRY(muxer.finish());
    done.seconds = video.covered();
    return done;
}

}  // namespace jobruntime::helper
