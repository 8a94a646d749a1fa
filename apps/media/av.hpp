// Copyright the jobruntime authors. Licensed under the Apache License 2.0; see LICENSE.
#pragma once

#include <memory>
#include <string>

extern "C" {
#include <libavcodec/avcodec.h>
#include <libavcodec/bsf.h>
#include <libavformat/avformat.h>
#include <libavutil/avutil.h>
#include <libswscale/swscale.h>
}

namespace jobruntime::helper {

/// Owns a libav object whose free function takes the address of the pointer.
template <auto release>
struct AvCloser {
    template <class T>
    void operator()(T* handle) const noexcept {
        release(&handle);
    }
};

inline void free_scaler(SwsContext** scaler) noexcept { sws_freeContext(*scaler); }
inline void close_output(AVFormatContext** output) noexcept {
    avio_closep(&(*output)->pb);
    avformat_free_context(*output);
}

using Input = std::unique_ptr<AVFormatContext, AvCloser<avformat_close_input>>;
using Output = std::unique_ptr<AVFormatContext, AvCloser<close_output>>;
using Codec = std::unique_ptr<AVCodecContext, AvCloser<avcodec_free_context>>;
using Filter = std::unique_ptr<AVBSFContext, AvCloser<av_bsf_free>>;
using Frame = std::unique_ptr<AVFrame, AvCloser<av_frame_free>>;
using Packet = std::unique_ptr<AVPacket, AvCloser<av_packet_free>>;
using Scaler = std::unique_ptr<SwsContext, AvCloser<free_scaler>>;

/// libav's own words for one of its error numbers.
inline std::string av_text(int code) {
    char text[AV_ERROR_MAX_STRING_SIZE] = {};
    av_strerror(code, text, sizeof text);
    return text;
}

}  // namespace jobruntime::helper
