// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "remux.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string_view>
#include <vector>

#include "coverage.hpp"
#include "muxer.hpp"
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

std::string in_seconds(double seconds) {
    char text[32];
    // Of a short film the tenths are what is missing.
    std::snprintf(text, sizeof text, "%.*f s", seconds < 60 ? 1 : 0, seconds);
    return text;
}

/// How far the length may be off: 2 %, and of a short film as much as is nobody's fault. How long the last picture
/// stands is not said by every container, and sound comes in whole packets. `rounding` is what the number may be off by
/// itself.
double allowed_off(double seconds, const Endings& endings, double rounding = 0) {
    return std::max(seconds * 0.02, endings.usual() + sound_packet + rounding);
}

/// A site's record in whole seconds was rounded, up or down.
double rounding_of(double seconds) { return seconds == std::floor(seconds) ? 1 : 0; }

/// An MP4 with a table of samples says by itself how long its picture is; such a film was made so.
bool says_lengths(const Media& media) {
    const auto container = media.container();
    return (container == "mp4" || container == "mov") && !read_structure(media.path).fragmented;
}

/// Only a duration that the container itself declares can convict it.
Result<void> judge(const Media& media, const Span& span, const Endings& endings, int read_error, double expected_seconds) {
    const double declared =
        media.file->duration_estimation_method == AVFMT_DURATION_FROM_STREAM ? media.seconds() : 0;
    const double missing = declared - span.seconds();
    if (declared > 0 && missing > allowed_off(declared, endings))
        return Error{Errc::corrupt, "TRUNCATED",
                     "the file ends after " + in_seconds(span.seconds()) + " of " + in_seconds(declared) +
                         "; it was cut off, download it again"};
    if (read_error != AVERROR_EOF && declared <= 0)
        return Error{Errc::corrupt, "MEDIA_DAMAGED",
                     "the file cannot be read to its end: " + av_text(read_error)};
    const double off = std::abs(expected_seconds - span.seconds());
    if (expected_seconds > 0 && off > allowed_off(expected_seconds, endings, rounding_of(expected_seconds)))
        return Error{Errc::corrupt, "WRONG_DURATION",
                     "the source promises " + in_seconds(expected_seconds) + ", the file has " +
                         in_seconds(span.seconds()) + "; download it again"};
    return {};
}

}  // namespace

bool fits_mp4(const Media& media) {
    for (unsigned i = 0; i < media.file->nb_streams; ++i)
        if (is_kept(media, i) && !fits_mp4(*media.file->streams[i]->codecpar)) return false;
    return true;
}

Plan plan_for(const Media& media, const Structure& structure) {
    const std::string container = media.container();
    if (container == "mp4" && structure.faststart) return {false, "mp4"};
    if (!fits_mp4(media)) return {false, ext_of(container)};
    return {true, "mp4"};
}

bool is_cut_off(const Media& media, const Structure& structure) {
    if (structure.cut_off || !structure.mp4 || structure.fragmented) return structure.cut_off;
    // The box of the samples may reach "to the end", wherever that is.
    for (unsigned i = 0; i < media.file->nb_streams; ++i) {
        AVStream* stream = media.file->streams[i];
        const int count = is_kept(media, i) ? avformat_index_get_entries_count(stream) : 0;
        for (int n = 0; n < count; ++n) {
            const auto* sample = avformat_index_get_entry(stream, n);
            if (sample && sample->pos + sample->size > media.bytes) return true;
        }
    }
    return false;
}

Result<void> refuse_too_long(double seconds, double most) {
    if (most <= 0 || seconds <= most) return {};
    return Error{Errc::full, "TOO_LONG",
                 "the video is " + in_seconds(seconds) + " long, the limit is " + in_seconds(most)};
}

Result<double> copy_streams(Media& media, const std::string& output, double expected_seconds) {
    Muxer muxer;
    // Streams that appear only in the middle of a file (MPEG-TS) have no lane and are left out.
    std::vector<int> lanes(media.file->nb_streams, -1);
    if (!output.empty()) {
        JR_TRY(muxer.open("mp4", output));
        for (unsigned i = 0; i < media.file->nb_streams; ++i) {
            if (!is_kept(media, i)) continue;
            const AVStream& stream = *media.file->streams[i];
            auto lane = muxer.add(stream, *stream.codecpar);
            if (!lane) return lane.error();
            lanes[i] = *lane;
        }
        JR_TRY(muxer.begin());
    }
    const std::int64_t start = media.file->start_time == AV_NOPTS_VALUE ? 0 : media.file->start_time;
    Progress progress(output.empty() ? "verify" : "remux");
    Packet packet(av_packet_alloc());
    if (!packet) return write_error(AVERROR(ENOMEM));
    Span span;
    Endings endings;
    std::int64_t pictures = 0;
    int code = 0;
    while ((code = av_read_frame(media.file.get(), packet.get())) >= 0) {
        const AVStream& stream = *media.file->streams[packet->stream_index];
        JR_TRY(refuse_encrypted(*packet));
        span.add(*packet, stream);
        endings.add(*packet, stream, packet->stream_index == media.video);
        if (packet->stream_index == media.video) ++pictures;
        if (packet->pos >= 0) progress.at(packet->pos, media.bytes);
        const auto index = static_cast<std::size_t>(packet->stream_index);
        if (index < lanes.size() && lanes[index] >= 0) {
            const std::int64_t shift = av_rescale_q(start, av_get_time_base_q(), stream.time_base);
            if (packet->pts != AV_NOPTS_VALUE) packet->pts -= shift;
            if (packet->dts != AV_NOPTS_VALUE) packet->dts -= shift;
            JR_TRY(muxer.write(*packet, lanes[index], stream.time_base));
        }
        av_packet_unref(packet.get());
    }
    if (code == AVERROR(ENOMEM)) return write_error(code);
    if (pictures == 0)
        return Error{Errc::corrupt, "NO_VIDEO", "the file declares a video stream but has no picture in it"};
    JR_TRY(judge(media, span, endings, code, expected_seconds));
    endings.end_run();
    if (!says_lengths(media)) JR_TRY(endings.judge());
    if (!output.empty()) JR_TRY(muxer.finish());
    return span.seconds();
}

}  // namespace jobruntime::helper
