// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#include "thumbnail.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <unistd.h>

extern "C" {
#include <libavutil/display.h>
}

namespace jobruntime::helper {
namespace {

Error failed(const std::string& what) {
    return Error{Errc::internal, "THUMBNAIL_FAILED", "the thumbnail cannot be made: " + what};
}

Frame picture(int width, int height) {
    Frame frame(av_frame_alloc());
    if (!frame) return nullptr;
    frame->format = AV_PIX_FMT_YUVJ420P;
    frame->width = width;
    frame->height = height;
    return av_frame_get_buffer(frame.get(), 0) < 0 ? nullptr : std::move(frame);
}

int even(double pixels) { return std::max(2, static_cast<int>(std::lround(pixels / 2)) * 2); }

Result<Frame> scaled(const AVFrame& from, int size) {
    // A pixel need not be square; the JPEG's are.
    const AVRational aspect = from.sample_aspect_ratio;
    const double stretch = aspect.num > 0 && aspect.den > 0 ? std::clamp(av_q2d(aspect), 0.1, 10.0) : 1.0;
    const double width = from.width * stretch;
    const double shrink = std::min(1.0, size / std::max<double>(width, from.height));
    Frame to = picture(even(width * shrink), even(from.height * shrink));
    if (!to) return failed("no memory");
    Scaler scaler(sws_getContext(from.width, from.height, static_cast<AVPixelFormat>(from.format), to->width,
                                 to->height, AV_PIX_FMT_YUVJ420P, SWS_BICUBIC, nullptr, nullptr, nullptr));
    if (!scaler) return failed("libswscale cannot convert this picture");
    if (sws_scale(scaler.get(), from.data, from.linesize, 0, from.height, to->data, to->linesize) !=
        to->height)
        return failed("libswscale stopped early");
    return to;
}

/// Quarter turns clockwise that a player makes before showing the picture.
int quarter_turns(const AVStream& stream) {
    const auto* matrix = av_stream_get_side_data(&stream, AV_PKT_DATA_DISPLAYMATRIX, nullptr);
    if (!matrix) return 0;
    std::int32_t values[9];
    std::memcpy(values, matrix, sizeof values);
    const double degrees = av_display_rotation_get(values);
    if (!std::isfinite(degrees)) return 0;
    return ((static_cast<int>(std::lround(-degrees / 90)) % 4) + 4) % 4;
}

Result<Frame> turned(Frame from, int turns) {
    if (turns == 0) return from;
    const bool lying = turns % 2 == 1;
    Frame to = lying ? picture(from->height, from->width) : picture(from->width, from->height);
    if (!to) return failed("no memory");
    for (int plane = 0; plane < 3; ++plane) {
        const int divide = plane == 0 ? 1 : 2;
        const int width = from->width / divide;
        const int height = from->height / divide;
        for (int y = 0; y < height; ++y) {
            for (int x = 0; x < width; ++x) {
                const int to_x = turns == 1 ? height - 1 - y : turns == 2 ? width - 1 - x : y;
                const int to_y = turns == 1 ? x : turns == 2 ? height - 1 - y : width - 1 - x;
                to->data[plane][to_y * to->linesize[plane] + to_x] =
                    from->data[plane][y * from->linesize[plane] + x];
            }
        }
    }
    return to;
}

Result<Packet> encoded(AVFrame& frame) {
    const AVCodec* encoder = avcodec_find_encoder(AV_CODEC_ID_MJPEG);
    if (!encoder) return failed("this libav has no JPEG encoder");
    Codec codec(avcodec_alloc_context3(encoder));
    Packet packet(av_packet_alloc());
    if (!codec || !packet) return failed("no memory");
    constexpr int quality = 3;  // 1 is best, 31 worst; 3 is small and shows no blocks.
    codec->width = frame.width;
    codec->height = frame.height;
    codec->pix_fmt = AV_PIX_FMT_YUVJ420P;
    codec->color_range = AVCOL_RANGE_JPEG;
    codec->time_base = {1, 25};
    codec->thread_count = 1;
    codec->flags |= AV_CODEC_FLAG_QSCALE;
    codec->global_quality = FF_QP2LAMBDA * quality;
    frame.quality = codec->global_quality;
    frame.pts = 0;
    int code = avcodec_open2(codec.get(), encoder, nullptr);
    if (code >= 0) code = avcodec_send_frame(codec.get(), &frame);
    if (code >= 0) code = avcodec_send_frame(codec.get(), nullptr);
    if (code >= 0) code = avcodec_receive_packet(codec.get(), packet.get());
    if (code < 0) return failed(av_text(code));
    return packet;
}

Result<void> write_new_file(const std::string& path, const std::uint8_t* data, std::size_t bytes) {
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0) return failed("cannot create " + path + ": " + std::strerror(errno));
    bool good = true;
    for (std::size_t done = 0; good && done < bytes;) {
        const auto wrote = ::write(fd, data + done, bytes - done);
        if (wrote < 0 && errno == EINTR) continue;
        good = wrote > 0;
        if (good) done += static_cast<std::size_t>(wrote);
    }
    good = good && ::fsync(fd) == 0;
    const int why = errno;
    ::close(fd);
    if (good) return {};
    ::unlink(path.c_str());
    return failed("cannot write " + path + ": " + std::strerror(why));
}

}  // namespace

Result<void> write_thumbnail(const Media& media, const AVFrame& frame, int size, const std::string& path) {
    auto small = scaled(frame, size);
    if (!small) return small.error();
    auto upright = turned(std::move(*small), quarter_turns(*media.video_stream()));
    if (!upright) return upright.error();
    auto jpeg = encoded(**upright);
    if (!jpeg) return jpeg.error();
    return write_new_file(path, (*jpeg)->data, static_cast<std::size_t>((*jpeg)->size));
}

}  // namespace jobruntime::helper
