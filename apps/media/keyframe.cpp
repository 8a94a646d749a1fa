// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "keyframe.hpp"

#include <algorithm>
#include <string>

namespace jobruntime::helper {
namespace {

constexpr int most_packets = 20'000;  // Of all streams, read to find the frame.
constexpr int most_decoded = 300;     // Of the video, given to the decoder.
constexpr std::int64_t most_pixels = std::int64_t{8192} * 8192;

Result<Codec> open_decoder(const AVStream& stream) {
    const AVCodec* decoder = avcodec_find_decoder(stream.codecpar->codec_id);
    const std::string name = avcodec_get_name(stream.codecpar->codec_id);
    if (!decoder)
        return Error{Errc::unsupported, "UNSUPPORTED_SOURCE",
                     "there is no decoder for " + name + " video in this libav"};
    Codec codec(avcodec_alloc_context3(decoder));
    if (!codec || avcodec_parameters_to_context(codec.get(), stream.codecpar) < 0)
        return Error{Errc::full, "MEDIA_MEMORY", "no memory for the decoder"};
    codec->thread_count = 1;
    codec->max_pixels = most_pixels;
    codec->pkt_timebase = stream.time_base;
    if (const int code = avcodec_open2(codec.get(), decoder, nullptr); code < 0)
        return Error{Errc::corrupt, "MEDIA_DAMAGED",
                     "the " + name + " decoder refuses the stream: " + av_text(code)};
    return codec;
}

bool is_whole_key_frame(const AVFrame& frame) {
    const bool key = frame.key_frame != 0 || frame.pict_type == AV_PICTURE_TYPE_I;
    return key && !(frame.flags & AV_FRAME_FLAG_CORRUPT) && frame.decode_error_flags == 0 &&
           frame.width > 0 && frame.height > 0;
}

/// True when a wanted frame has come out; the decoder may still hold others.
bool take_frame(AVCodecContext& codec, AVFrame& frame) {
    while (avcodec_receive_frame(&codec, &frame) >= 0) {
        if (is_whole_key_frame(frame)) return true;
        av_frame_unref(&frame);
    }
    return false;
}

}  // namespace

Result<Frame> decode_key_frame(Media& media, double seconds) {
    JR_TRY(refuse_without_video(media));
    const AVStream& stream = *media.video_stream();
    auto codec = open_decoder(stream);
    if (!codec) return codec.error();
    const std::int64_t start = media.file->start_time == AV_NOPTS_VALUE ? 0 : media.file->start_time;
    const auto target = start + static_cast<std::int64_t>(seconds * AV_TIME_BASE);
    // A file that cannot seek is read from where it stands.
    (void)avformat_seek_file(media.file.get(), -1, INT64_MIN, target, target, 0);
    Packet packet(av_packet_alloc());
    Frame frame(av_frame_alloc());
    if (!packet || !frame) return Error{Errc::full, "MEDIA_MEMORY", "no memory for a frame"};
    int decoded = 0;
    for (int i = 0;
         i < most_packets && decoded < most_decoded && av_read_frame(media.file.get(), packet.get()) >= 0;
         ++i) {
        const bool wanted =
            packet->stream_index == media.video && (decoded > 0 || (packet->flags & AV_PKT_FLAG_KEY));
        if (wanted) {
            JR_TRY(refuse_encrypted(*packet));
            ++decoded;
            (void)avcodec_send_packet(codec->get(),
                                      packet.get());  // A bad packet: the next key frame may be good.
        }
        av_packet_unref(packet.get());
        if (wanted && take_frame(**codec, *frame)) return frame;
    }
    (void)avcodec_send_packet(codec->get(), nullptr);
    if (take_frame(**codec, *frame)) return frame;
    return Error{Errc::corrupt, "MEDIA_DAMAGED",
                 "no picture of the video can be decoded without an error; it is damaged or protected"};
}

}  // namespace jobruntime::helper
