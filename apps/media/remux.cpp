// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "remux.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <optional>
#include <string_view>
#include <vector>

#include <unistd.h>

#include "protocol.hpp"

namespace jobruntime::helper {
namespace {

/// What players and browsers read from an MP4, not all that libav would write into one.
bool fits_mp4(const AVCodecParameters& codec) {
    switch (codec.codec_id) {
        case AV_CODEC_ID_H264:
        case AV_CODEC_ID_HEVC:
        case AV_CODEC_ID_AV1:
        case AV_CODEC_ID_VP9:
        case AV_CODEC_ID_MPEG4:
        case AV_CODEC_ID_AAC:
        case AV_CODEC_ID_MP3:
        case AV_CODEC_ID_OPUS:
        case AV_CODEC_ID_FLAC:
        case AV_CODEC_ID_ALAC:
        case AV_CODEC_ID_AC3:
        case AV_CODEC_ID_EAC3: return true;
        default: return false;
    }
}

bool is_kept(const Media& media, unsigned index) {
    const auto type = media.file->streams[index]->codecpar->codec_type;
    return static_cast<int>(index) == media.video || type == AVMEDIA_TYPE_AUDIO;
}

std::string ext_of(const std::string& container) {
    if (container == "matroska") return "mkv";
    if (container == "mpegts") return "ts";
    if (container == "mpeg") return "mpg";
    if (container == "ogg") return "ogv";
    if (container == "asf") return "wmv";
    return container;  // mp4, mov, webm, flv, avi
}

Error write_error(int code) {
    if (code == AVERROR(ENOSPC) || code == AVERROR(EDQUOT))
        return Error{Errc::full, "DISK_FULL",
                     "no space left while writing the video; free some and retry the job"};
    if (code == AVERROR(EFBIG))
        return Error{Errc::full, "TOO_LARGE", "the video is larger than the configured limit"};
    if (code == AVERROR(ENOMEM))
        return Error{Errc::full, "MEDIA_MEMORY", "the video needs more memory than allowed"};
    return Error{Errc::corrupt, "MEDIA_DAMAGED",
                 "the streams cannot be copied into an MP4: " + av_text(code)};
}

void copy_rotation(const AVStream& from, AVStream& to) {
    std::size_t bytes = 0;
    const auto* matrix = av_stream_get_side_data(&from, AV_PKT_DATA_DISPLAYMATRIX, &bytes);
    if (!matrix) return;
    if (auto* copy = av_stream_new_side_data(&to, AV_PKT_DATA_DISPLAYMATRIX, bytes))
        std::copy_n(matrix, bytes, copy);
}

/// The MP4 being written. Packets come in demuxing order.
class Muxer {
public:
    Result<void> open(const Media& media, const std::string& path) {
        path_ = path;
        AVFormatContext* raw = nullptr;
        if (const int code = avformat_alloc_output_context2(&raw, nullptr, "mp4", ("file:" + path).c_str());
            code < 0)
            return write_error(code);
        output_.reset(raw);
        raw->protocol_whitelist = av_strdup("file");
        for (unsigned i = 0; i < media.file->nb_streams; ++i) JR_TRY(add_stream(media, i));
        if (const int code = avio_open2(&raw->pb, raw->url, AVIO_FLAG_WRITE, nullptr, nullptr); code < 0)
            return Error{Errc::unavailable, "MEDIA_IO", "cannot write " + path + ": " + av_text(code)};
        AVDictionary* options = nullptr;
        av_dict_set(&options, "movflags", "+faststart", 0);
        const int code = avformat_write_header(raw, &options);
        av_dict_free(&options);
        if (code < 0) return write_error(code);
        return {};
    }

    /// Streams that appear only in the middle of a file (MPEG-TS) have no lane and are left out.
    bool wants(const AVPacket& packet) const {
        const auto index = static_cast<std::size_t>(packet.stream_index);
        return index < lanes_.size() && lanes_[index].out != nullptr;
    }

    Result<void> write(AVPacket& packet, const AVStream& from) {
        Lane& lane = lanes_[static_cast<std::size_t>(packet.stream_index)];
        av_packet_rescale_ts(&packet, from.time_base, lane.out->time_base);
        // Some files repeat or turn back a decoding time; MP4 cannot say that.
        if (packet.dts == AV_NOPTS_VALUE)
            packet.dts =
                lane.last_dts ? *lane.last_dts + std::max<std::int64_t>(1, packet.duration) : packet.pts;
        if (packet.dts == AV_NOPTS_VALUE) packet.dts = 0;
        if (lane.last_dts && packet.dts <= *lane.last_dts) packet.dts = *lane.last_dts + 1;
        if (packet.pts == AV_NOPTS_VALUE || packet.pts < packet.dts) packet.pts = packet.dts;
        lane.last_dts = packet.dts;
        packet.stream_index = lane.out->index;
        packet.pos = -1;
        const int code = av_interleaved_write_frame(output_.get(), &packet);
        return code < 0 ? Result<void>(write_error(code)) : Result<void>();
    }

    Result<void> finish() {
        if (const int code = av_write_trailer(output_.get()); code < 0) return write_error(code);
        const int code = avio_closep(&output_->pb);  // The last bytes leave the buffer here.
        if (code < 0) return write_error(code);
        finished_ = true;
        return {};
    }

    Muxer() = default;
    Muxer(const Muxer&) = delete;
    Muxer& operator=(const Muxer&) = delete;
    ~Muxer() {
        output_.reset();
        if (!path_.empty() && !finished_) ::unlink(path_.c_str());
    }

private:
    struct Lane {
        AVStream* out = nullptr;
        std::optional<std::int64_t> last_dts;
    };

    Result<void> add_stream(const Media& media, unsigned index) {
        Lane& lane = lanes_.emplace_back();
        if (!is_kept(media, index)) return {};
        const AVStream& from = *media.file->streams[index];
        lane.out = avformat_new_stream(output_.get(), nullptr);
        if (!lane.out) return write_error(AVERROR(ENOMEM));
        if (const int code = avcodec_parameters_copy(lane.out->codecpar, from.codecpar); code < 0)
            return write_error(code);
        // A tag of the old container stays only where it means the same in MP4.
        if (av_codec_get_id(output_->oformat->codec_tag, from.codecpar->codec_tag) != from.codecpar->codec_id)
            lane.out->codecpar->codec_tag = 0;
        lane.out->time_base = from.time_base;
        lane.out->avg_frame_rate = from.avg_frame_rate;
        lane.out->sample_aspect_ratio = from.sample_aspect_ratio;
        copy_rotation(from, *lane.out);
        if (const auto* language = av_dict_get(from.metadata, "language", nullptr, 0))
            av_dict_set(&lane.out->metadata, "language", language->value, 0);
        return {};
    }

    std::string path_;
    Output output_;
    std::vector<Lane> lanes_;
    bool finished_ = false;
};

/// The span of time that the packets really cover.
struct Span {
    double first = INFINITY;
    double last = -INFINITY;
    void add(const AVPacket& packet, const AVStream& stream) {
        const auto at = packet.pts != AV_NOPTS_VALUE ? packet.pts : packet.dts;
        if (at == AV_NOPTS_VALUE) return;
        const double begin = static_cast<double>(at) * av_q2d(stream.time_base);
        first = std::min(first, begin);
        last = std::max(last, begin + static_cast<double>(packet.duration) * av_q2d(stream.time_base));
    }
    double seconds() const { return last > first ? last - first : 0; }
};

std::string in_seconds(double seconds) { return std::to_string(std::llround(seconds)) + " s"; }

/// Only a duration that the container itself declares can convict it.
Result<void> judge(const Media& media, const Span& span, int read_error, double expected_seconds) {
    const double declared =
        media.file->duration_estimation_method == AVFMT_DURATION_FROM_STREAM ? media.seconds() : 0;
    const double missing = declared - span.seconds();
    if (declared > 0 && missing > std::max(1.0, declared * 0.02))
        return Error{Errc::corrupt, "TRUNCATED",
                     "the file ends after " + in_seconds(span.seconds()) + " of " + in_seconds(declared) +
                         "; it was cut off, download it again"};
    if (read_error != AVERROR_EOF && declared <= 0)
        return Error{Errc::corrupt, "MEDIA_DAMAGED",
                     "the file cannot be read to its end: " + av_text(read_error)};
    const double off = std::abs(expected_seconds - span.seconds());
    if (expected_seconds > 0 && off > std::max(2.0, expected_seconds * 0.02))
        return Error{Errc::corrupt, "WRONG_DURATION",
                     "the source promises " + in_seconds(expected_seconds) + ", the file has " +
                         in_seconds(span.seconds()) + "; download it again"};
    return {};
}

}  // namespace

Plan plan_for(const Media& media, const Structure& structure) {
    const std::string container = media.container();
    if (container == "mp4" && structure.faststart) return {false, "mp4"};
    for (unsigned i = 0; i < media.file->nb_streams; ++i)
        if (is_kept(media, i) && !fits_mp4(*media.file->streams[i]->codecpar))
            return {false, ext_of(container)};
    return {true, "mp4"};
}

Result<double> copy_streams(Media& media, const std::string& output, double expected_seconds) {
    Muxer muxer;
    if (!output.empty()) JR_TRY(muxer.open(media, output));
    const std::int64_t start = media.file->start_time == AV_NOPTS_VALUE ? 0 : media.file->start_time;
    Progress progress(output.empty() ? "verify" : "remux");
    Packet packet(av_packet_alloc());
    if (!packet) return write_error(AVERROR(ENOMEM));
    Span span;
    std::int64_t pictures = 0;
    int code = 0;
    while ((code = av_read_frame(media.file.get(), packet.get())) >= 0) {
        const AVStream& stream = *media.file->streams[packet->stream_index];
        JR_TRY(refuse_encrypted(*packet));
        span.add(*packet, stream);
        if (packet->stream_index == media.video) ++pictures;
        if (packet->pos >= 0) progress.at(packet->pos, media.bytes);
        if (muxer.wants(*packet)) {
            const std::int64_t shift = av_rescale_q(start, AV_TIME_BASE_Q, stream.time_base);
            if (packet->pts != AV_NOPTS_VALUE) packet->pts -= shift;
            if (packet->dts != AV_NOPTS_VALUE) packet->dts -= shift;
            JR_TRY(muxer.write(*packet, stream));
        }
        av_packet_unref(packet.get());
    }
    if (code == AVERROR(ENOMEM)) return write_error(code);
    if (pictures == 0)
        return Error{Errc::corrupt, "NO_VIDEO", "the file declares a video stream but has no picture in it"};
    JR_TRY(judge(media, span, code, expected_seconds));
    if (!output.empty()) JR_TRY(muxer.finish());
    return span.seconds();
}

}  // namespace jobruntime::helper
